"""What a training starts from: fresh weights, an encoder that others trained, or another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from CardiacSegLib.bundles import Bundle, training_facts
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.networks.encoder_weights import load_encoder_weights
from CardiacSegLib.training.config import TrainingConfig


def load_initial_weights(network: torch.nn.Module, config: TrainingConfig) -> dict[str, Any] | None:
    """Give a new network the weights that a configuration names, if any.

    Returns:
        Facts about the training of the model that it starts from; None where there is none.

    Raises:
        CardiacSegError: where these weights are missing or of another network, or their bundle does not say what they
            were trained on.
    """
    if config.encoder_weights:
        load_encoder_weights(network, config.encoder_weights)
    if not config.start:
        return None
    start = Bundle.read(Path(config.start))
    facts = training_facts(start)
    if "patients_trained_on" not in facts:
        # Scores of what is made of it could not be believed, and nobody would know.
        raise CardiacSegError(
            f"{config.start}: does not say which patients it was trained on; start from another model"
        )
    _load_widened(network, start.load_network())
    return facts


def _load_widened(network: torch.nn.Module, start: torch.nn.Module) -> None:
    """Give a network the weights of another that may see fewer slices; what its new neighbors say counts nothing yet.

    Raises:
        CardiacSegError: where they differ in more than their input.
    """
    weights, widened = start.state_dict(), network.state_dict()
    for name, new in widened.items():
        old = weights.get(name)
        extra = new.shape[1] - old.shape[1] if old is not None and new.ndim == 4 == old.ndim else 0
        if extra > 0 and extra % 2 == 0:
            weights[name] = torch.nn.functional.pad(old, (0, 0, 0, 0, extra // 2, extra // 2))
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        message = "the model to start from has another network; give the network and filters that it was trained with"
        raise CardiacSegError(message) from error
