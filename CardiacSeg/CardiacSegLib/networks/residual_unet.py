"""U-Net of residual units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from CardiacSegLib.networks.blocks import initialize_he, preactivated
from CardiacSegLib.networks.u_shape import UShape


class ResidualUnit(nn.Module):
    """Two preactivated convolutions beside a 1 x 1 convolution; the first may halve the size.

    Args:
        in_channels, out_channels: before and after.
        stride: of the first convolution.
        raw: the input is an image, of which ReLU would lose what is darker than the mean.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, raw: bool = False) -> None:
        super().__init__()
        plain = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        first = plain if raw else preactivated(in_channels, out_channels, stride)
        self.body = nn.Sequential(first, preactivated(out_channels, out_channels))
        shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        self.shortcut = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.shortcut(x)


class ResidualUNet(UShape):
    """Deep residual U-Net (Zhang et al., arXiv 1711.10684, figure 2), with transposed convolutions on the way up.

    Args:
        in_channels, out_channels: of the image and of the logits.
        filters: channels of each level, the finest first.
    """

    def __init__(self, in_channels: int, out_channels: int, filters: Sequence[int]) -> None:
        def down(first: int, second: int, depth: int) -> ResidualUnit:
            return ResidualUnit(first, second, stride=2 if depth else 1, raw=depth == 0)

        def up(first: int, second: int, depth: int) -> ResidualUnit:
            return ResidualUnit(first, second)

        super().__init__(in_channels, out_channels, filters, down, up)
        initialize_he(self)
