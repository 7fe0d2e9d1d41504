"""What a bundle's ``configs/inference.json`` names, so that MONAI's own runner gives CardiacSeg's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from CardiacSegLib.bundles import Bundle, fill_network, read_weights
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
        weights: file in the bundle's folder of weights, whose SHA-256 has to be the one in the bundle's metadata; only
            tensors are read from it.
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
        path = Path(weights)
        expected = Bundle.read(path.resolve().parents[1]).hash
        fill_network(network, read_weights(path, expected), path)
        low, high = percentiles
        grid = ModelGrid(spacing, multiple, (low, high), neighbors)
        rule = load_rule(combine, path.parent, len(labels) + 1)
        self._segmenter = Segmenter(TorchRuntime(network, Device.choose(device)), grid, dict(labels), turns, rule=rule)

    def __call__(self, image: str, output: str) -> Path:
        """Segment the file ``image`` and write its labels to ``output``."""
        source = read_image(image)
        labels = self._segmenter.segment(source.array, source.affine)
        write_labels(output, labels, source, self._segmenter.convention)
        return Path(output)
