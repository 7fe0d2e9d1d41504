"""The frame of SegNet and DeconvNet: what max pooling shrinks is put back to where the maxima were."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


def vgg_channels(in_channels: int, filters: Sequence[int]) -> list[tuple[int, ...]]:
    """Channels along each level of VGG-16: two convolutions in the first two levels, then three (arXiv 1409.1556)."""
    depths = [2 if level < 2 else 3 for level in range(len(filters))]
    return [(first, *[second] * depth) for first, second, depth in zip((in_channels, *filters), filters, depths)]


class UnpoolingNetwork(nn.Module):
    """Levels that end with max pooling, and their mirrors that begin by unpooling to the same pixels.

    Args:
        encoder: layers of each level, the finest first.
        middle: layers at the narrow end.
        decoder: layers of each level, the coarsest first.
        head: makes the logits.
    """

    def __init__(
        self, encoder: Sequence[nn.Module], middle: nn.Module, decoder: Sequence[nn.Module], head: nn.Module
    ) -> None:
        super().__init__()
        self.encoder, self.middle = nn.ModuleList(encoder), middle
        self.decoder, self.head = nn.ModuleList(decoder), head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes, H, W) of images (N, channels, H, W)."""
        x, maxima = images, []
        for level in self.encoder:
            x, places = F.max_pool2d(level(x), 2, return_indices=True)
            maxima.append(places)
        x = self.middle(x)
        for level in self.decoder:
            x = level(F.max_unpool2d(x, maxima.pop(), 2))
        return self.head(x)
