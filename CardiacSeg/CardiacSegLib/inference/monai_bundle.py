"""What a bundle's ``configs/inference.json`` names, so that MONAI's own runner gives CardiacSeg's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from CardiacSegLib.images import read_image, write_labels
from CardiacSegLib.inference.combining import load_rule
from CardiacSegLib.inference.devices import Device
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.torch_runtime import TorchRuntime


class SegmentationRun:
    """A network that MONAI built, ready to label files.

    Args:
        network: from the bundle's ``network_def``.
        weights: state dictionary; only tensors are read from it.
        spacing, multiple, percentiles, neighbors: see :class:`ModelGrid`.
        turns: see :class:`Segmenter`.
        labels: which number means which structure.
        device: "auto", "cpu", "cuda" or "mps".
        combine: the rule that follows a network of several members, see :func:`load_rule`.
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
        combine: Mapping[str, Any] | None = None,
    ) -> None:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        low, high = percentiles
        grid = ModelGrid(spacing, multiple, (low, high), neighbors)
        rule = load_rule(combine, Path(weights).parent, len(labels) + 1)
        self._segmenter = Segmenter(TorchRuntime(network, Device.choose(device)), grid, dict(labels), turns, rule=rule)

    def __call__(self, image: str, output: str) -> Path:
        """Segment the file ``image`` and write its labels to ``output``."""
        source = read_image(image)
        labels = self._segmenter.segment(source.array, source.affine)
        write_labels(output, labels, source, self._segmenter.convention)
        return Path(output)
