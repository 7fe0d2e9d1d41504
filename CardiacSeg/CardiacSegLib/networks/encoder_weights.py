"""Encoders whose weights others trained on ImageNet, and how such weights come into a network."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.networks.blocks import BaseEncoder

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.networks import DOWNLOAD, NETWORKS
from CardiacSegLib.networks.versions import require
from CardiacSegLib.networks.weights import read_tensors


class ImageNetEncoder(BaseEncoder):
    """What MONAI's FlexibleUNet asks an encoder, and where there are weights for it.

    Attributes:
        backbone: its name among FlexibleUNet's backbones.
        channels: of its outputs, each of half the size of the one before.
        address: of its published weights; the file's name ends with the first digits of its SHA-256.
        renaming: expression and replacement that turn a published name and the encoder's own into the same.
    """

    backbone: str
    channels: tuple[int, ...]
    address: str
    renaming: tuple[str, str] = ("", "")

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        return [cls.backbone]

    @classmethod
    def num_outputs(cls) -> list[int]:
        return [len(cls.channels)]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        return [cls.channels]

    @classmethod
    def get_encoder_parameters(cls) -> list[dict[str, Any]]:
        return [{"spatial_dims": 2, "in_channels": 1, "pretrained": False}]

    @classmethod
    def common_name(cls, name: str) -> str:
        """See :attr:`renaming`."""
        return re.sub(*cls.renaming, name)


def load_encoder_weights(network: torch.nn.Module, source: Path | str) -> None:
    """Give the encoder of a network the weights that others trained on ImageNet.

    A first convolution for colors becomes one for other channels: each gets the mean over the colors, scaled so that
    a gray image is answered as before.

    Args:
        network: of an entry of ``NETWORKS`` that names an encoder.
        source: file with the weights as torchvision publishes them (EfficientNet: as its PyTorch port does), or
            "download": then they are kept where torch keeps such files.

    Raises:
        CardiacSegError: for a network without such an encoder, a file that does not fit it, or no connection.
    """
    encoder = getattr(network, "encoder", None)
    if not isinstance(encoder, ImageNetEncoder):
        names = ", ".join(entry.name for entry in NETWORKS.values() if entry.encoder)
        raise CardiacSegError(f"there are no encoder weights for {type(network).__name__}; choose one of {names}")
    given = _download(encoder.address) if source == DOWNLOAD else _read(source)
    encoder.load_state_dict(_fitted(encoder, given, f"{source}: no weights of this encoder; give {encoder.address}"))


#: How files of weights are published: the first digits of their SHA-256 end the name.
_PUBLISHED = re.compile(r".+-([0-9a-f]{8,64})\.pth?")


def _read(path: Path | str) -> Any:
    path = Path(path)
    named = _PUBLISHED.fullmatch(path.name)
    try:
        content = path.read_bytes()
        if named and not hashlib.sha256(content).hexdigest().startswith(named[1]):
            raise ValueError("SHA-256 is not the one in its name")
        return read_tensors(content)
    except (OSError, ValueError) as error:
        raise CardiacSegError(f"{path}: cannot be read as weights ({error}); give a file of weights") from error


def _download(address: str) -> Any:
    require("torch")
    try:
        return torch.hub.load_state_dict_from_url(address, map_location="cpu", check_hash=True, weights_only=True)
    except Exception as error:  # of the connection, of the disk, of torch.load
        raise CardiacSegError(f"{address}: cannot be downloaded ({error}); give it as a file") from error


def _fitted(encoder: ImageNetEncoder, given: Any, message: str) -> dict[str, torch.Tensor]:
    """The given weights under the names of the encoder's own; what classifies images is left out."""
    own = encoder.state_dict()
    weights = {encoder.common_name(str(name)): value for name, value in _tensors(given).items()}
    # Files from before PyTorch 0.4.1 do not count batches, and nothing that is used here depends on the count.
    counts = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    found = counts | {name: weights[encoder.common_name(name)] for name in own if encoder.common_name(name) in weights}
    first = next(iter(own))
    if first in found:
        found[first] = _with_channels(found[first], own[first].shape[1])
    for name, value in own.items():
        if name not in found or found[name].shape != value.shape:
            raise CardiacSegError(f"{message} ('{name}' is missing or has another shape)")
    return found


def _tensors(given: Any) -> dict[Any, torch.Tensor]:
    items = given.items() if isinstance(given, Mapping) else ()
    return {name: value for name, value in items if isinstance(value, torch.Tensor)}


def _with_channels(weights: torch.Tensor, channels: int) -> torch.Tensor:
    """Weights (out, colors, h, w) of a first convolution, for another number of channels."""
    colors = weights.shape[1] if weights.ndim == 4 else channels
    if colors == channels:
        return weights
    return weights.mean(1, keepdim=True).repeat(1, channels, 1, 1) * (colors / channels)
