"""Encoder-decoder of plain convolutions: a U-Net, or one without skip connections, with or without attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import ChannelSELayer
from torch import nn

from CardiacSegLib.networks.blocks import conv_chain, initialize_he
from CardiacSegLib.networks.u_shape import UShape, pooled


class SpatialChannelAttention(nn.Module):
    """Squeeze and excitation over channels and over pixels, added (scSE: Roy et al., arXiv 1803.02579)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = ChannelSELayer(2, channels)
        self.spatial = nn.Sequential(nn.Conv2d(channels, 1, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.channel(x) + x * self.spatial(x)


class EncoderDecoder(UShape):
    """Two convolutions with batch normalization a level, max pooling, and up again (Ronneberger, arXiv 1505.04597).

    Args:
        in_channels, out_channels: of the image and of the logits.
        filters: channels of each level, the finest first.
        skips: whether the decoder sees the features of the encoder, as in a U-Net.
        attention: whether each level ends with :class:`SpatialChannelAttention`.
        dropout: rates of the finest and of the coarsest level; those between lie on a line.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        filters: Sequence[int],
        skips: bool = True,
        attention: bool = False,
        dropout: Sequence[float] = (0.0, 0.0),
    ) -> None:
        low, high = dropout
        slope = (high - low) / (len(filters) - 1)

        def level(first: int, second: int, depth: int) -> nn.Sequential:
            chain = conv_chain(first, second, second, dropout=low + slope * depth or None)
            return nn.Sequential(chain, SpatialChannelAttention(second)) if attention else chain

        super().__init__(in_channels, out_channels, filters, pooled(level), level, skips)
        initialize_he(self)
