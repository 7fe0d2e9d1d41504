"""The frame of a U-Net, whatever its levels are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

#: Makes the layers of a level from its channels before and after, and its depth: 0 is the finest.
Level = Callable[[int, int, int], nn.Module]


class UShape(nn.Module):
    """Levels of ever coarser features and, back up, as many less one (Ronneberger et al., arXiv 1505.04597).

    Args:
        in_channels, out_channels: of the image and of the logits.
        filters: channels of each level, the finest first.
        down: makes a level of the encoder; all but the finest halve the size.
        up: makes a level of the decoder.
        skips: whether a level of the decoder also sees what the encoder found there.
    """

    def __init__(
        self, in_channels: int, out_channels: int, filters: Sequence[int], down: Level, up: Level, skips: bool = True
    ) -> None:
        super().__init__()
        self.skips = skips
        steps = enumerate(zip((in_channels, *filters), filters))
        rises = list(enumerate(zip(filters[1:], filters)))[::-1]
        self.encoder = nn.ModuleList(down(first, second, depth) for depth, (first, second) in steps)
        self.rise = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, stride=2) for _, (deep, shallow) in rises)
        self.decoder = nn.ModuleList(up(shallow * (1 + skips), shallow, depth) for depth, (_, shallow) in rises)
        self.head = nn.Conv2d(filters[0], out_channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes, H, W) of images (N, channels, H, W)."""
        features = [images]
        for level in self.encoder:
            features.append(level(features[-1]))
        x = features.pop()
        for rise, level in zip(self.rise, self.decoder):
            x, skipped = rise(x), features.pop()
            x = level(torch.cat((skipped, x), dim=1) if self.skips else x)
        return self.head(x)


def pooled(level: Level) -> Level:
    """The level as an encoder has it: all but the finest begin with max pooling."""

    def made(first: int, second: int, depth: int) -> nn.Module:
        layers = level(first, second, depth)
        return nn.Sequential(nn.MaxPool2d(2), layers) if depth else layers

    return made
