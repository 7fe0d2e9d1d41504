"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from CardiacSegLib.training.choices import pick

#: By the names of :data:`CardiacSegLib.training.choices.OPTIMIZERS`.
BUILDERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    # A memory of ten steps. nnU-Net's momentum of 0.99 remembers a hundred, which is little in its 250,000 steps and
    # much in a run of a few hundred, where it would still go by gradients from before the learning rate fell.
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adagrad": torch.optim.Adagrad,
}


def build_optimizer(
    name: str, network: torch.nn.Module, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimizer of that name for the weights of a network that already is on its device.

    Raises:
        CardiacSegError: where there is no such optimizer.
    """
    # All weights in one pass over memory, which PyTorch does on a CPU where it is asked to.
    on_cpu = all(weights.device.type == "cpu" for weights in network.parameters())
    return pick("optimizer", name, BUILDERS)(_groups(network, weight_decay), lr=learning_rate, fused=on_cpu or None)


def _groups(network: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trained weights with and without decay.

    Biases and the scales of normalization layers have none: to make them small is no regularization
    (He et al., "Bag of tricks", CVPR 2019, arXiv 1812.01187, section 3.1).
    """
    trained = [weights for weights in network.parameters() if weights.requires_grad]
    return [
        {"params": [weights for weights in trained if weights.ndim > 1], "weight_decay": weight_decay},
        {"params": [weights for weights in trained if weights.ndim <= 1], "weight_decay": 0.0},
    ]
