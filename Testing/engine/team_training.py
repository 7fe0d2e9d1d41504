"""Training of a tiny network on slices in a fixed order, by as many processes as ``torchrun`` starts of this file.

What would make a team differ from one process with as many times the batch is left out: norms over a batch, losses over
a batch, and chance.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet

from CardiacSegLib.inference.devices import Device
from CardiacSegLib.training import trainer
from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.distributed import ALONE, Team, join_team
from CardiacSegLib.training.store import SliceStore
from tiny_training import phantom_batch

_CONFIG = TrainingConfig(
    "a phantom", loss="focal", neighbors=0, epochs=4, optimizer="sgd", learning_rate=0.1, compile="never"
)


def trained(batch_size: int, team: Team = ALONE) -> dict[str, torch.Tensor]:
    """The averaged weights after a few steps, each process on its own share of every batch."""
    images, labels = phantom_batch()
    images, labels = images[:4], labels[:4]
    store = SliceStore(images[:, 0], labels[:, 0].byte(), torch.full((4, 2), 32.0), torch.zeros(4, dtype=torch.long))
    torch.manual_seed(1)
    network = UNet(2, 1, 4, channels=(8, 16, 16), strides=(2, 2), norm="instance")
    device = replace(Device.choose("cpu"), precision=torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "Sampler", lambda *_: _shares(batch_size, team))
        patch.setattr(trainer, "build_augmentation", lambda *_: lambda _, chosen, *__: (images[chosen], labels[chosen]))
        work = trainer.Trainer(replace(_CONFIG, batch_size=batch_size), network, device, store, 4, team)
    for _ in work.steps():
        pass
    return work.network.state_dict()


def _shares(size: int, team: Team) -> Iterator[torch.Tensor]:
    """Of all four slices in turn those that this process gets."""
    start = team.rank * size
    while True:
        for together in torch.arange(4).split(size * team.size):
            yield together[start : start + size]


if __name__ == "__main__":
    with join_team("cpu") as (the_team, _):
        weights = trained(int(sys.argv[1]), the_team)
        torch.save(weights, Path(sys.argv[2]) / f"{the_team.rank}.pt")
