"""What a bundle's ``configs/inference.json`` names, so that MONAI's own runner gives CardiacSeg's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from CardiacSegLib.images import read_image, write_labels
from CardiacSegLib.inference.devices import Device
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.inference.segmenter import Segmenter


class SegmentationRun:
    """A network that MONAI built, ready to label files.

    Args:
        network: from the bundle's ``network_def``.
        weights: state dictionary; only tensors are read from it.
        spacing, multiple, percentiles, neighbors: see :class:`ModelGrid`.
        turns: see :class:`Segmenter`.
        labels: which number means which structure.
        device: "auto", "cpu", "cuda" or "mps".
    """

    def __init__(
        self,
        network: torch.nn.Module,
        weights: str,
        spacing: float,
        multiple: int,
        percentiles: Sequence[float],
        neighbors: int,
        turns: int,
        labels: Mapping[str, int],
        device: str = "auto",
    ) -> None:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        low, high = percentiles
        grid = ModelGrid(spacing, multiple, (low, high), neighbors)
        self._segmenter = Segmenter(network, grid, dict(labels), Device.choose(device), turns)

    def __call__(self, image: str, output: str) -> Path:
        """Segment the file ``image`` and write its labels to ``output``."""
        source = read_image(image)
        labels = self._segmenter.segment(source.array, source.affine)
        write_labels(output, labels, source, self._segmenter.convention)
        return Path(output)
