"""U-Net of dense blocks that looks at the image at several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from CardiacSegLib.networks.blocks import convolution, initialize_he, preactivated
from CardiacSegLib.networks.u_shape import UShape, pooled

_SCALES = (3, 5, 7)
_LAYERS = 4


class MultiScale(nn.Module):
    """Convolutions of 3, 5 and 7 pixels side by side, ``out_channels`` each."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(convolution(in_channels, out_channels, kernel_size=size) for size in _SCALES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([scale(x) for scale in self.scales], dim=1)


class DenseBlock(nn.Module):
    """Layers that each see all that came before, merged by a 1 x 1 convolution (Jégou et al., arXiv 1611.09326)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        growth = -(-out_channels // _LAYERS)
        seen = range(in_channels, in_channels + _LAYERS * growth, growth)
        self.layers = nn.ModuleList(preactivated(channels, growth) for channels in seen)
        self.merge = convolution(in_channels + _LAYERS * growth, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.cat((x, layer(x)), dim=1)
        return self.merge(x)


class DenseUNet(UShape):
    """U-Net of dense blocks behind convolutions of several sizes (Khened et al., arXiv 1801.05173), one level deeper.

    Args:
        in_channels, out_channels: of the image and of the logits.
        filters: channels of each level, the finest first; each of a block's four layers adds a fourth of them.
    """

    def __init__(self, in_channels: int, out_channels: int, filters: Sequence[int]) -> None:
        def down(first: int, second: int, depth: int) -> nn.Module:
            if depth:
                return DenseBlock(first, second)
            return nn.Sequential(MultiScale(first, second), DenseBlock(len(_SCALES) * second, second))

        def up(first: int, second: int, depth: int) -> DenseBlock:
            return DenseBlock(first, second)

        super().__init__(in_channels, out_channels, filters, pooled(down), up)
        initialize_he(self)
