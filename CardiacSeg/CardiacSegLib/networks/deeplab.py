"""DeepLabV3+."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from CardiacSegLib.networks.blocks import convolution, initialize_he
from CardiacSegLib.networks.mobilenetv2 import MobileNetV2Encoder


def separable(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    """An atrous separable convolution (section 3.1): each channel for itself, then all of them at each pixel."""
    depthwise = convolution(in_channels, in_channels, groups=in_channels, dilation=dilation)
    return nn.Sequential(depthwise, convolution(in_channels, out_channels, kernel_size=1))


class AtrousPyramid(nn.Module):
    """Atrous convolutions at several rates beside the mean of the whole image (Chen et al., arXiv 1706.05587)."""

    def __init__(self, in_channels: int, out_channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        pixel = convolution(in_channels, out_channels, kernel_size=1)
        self.branches = nn.ModuleList([pixel, *(separable(in_channels, out_channels, rate) for rate in rates)])
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), convolution(in_channels, out_channels, kernel_size=1))
        self.merge = convolution((len(rates) + 2) * out_channels, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole = self.whole(x).expand(-1, -1, *x.shape[2:])
        return self.merge(torch.cat([whole, *(branch(x) for branch in self.branches)], dim=1))


class DeepLabV3Plus(nn.Module):
    """DeepLabV3+ (Chen et al., arXiv 1802.02611) on MobileNetV2 with an output stride of 16.

    Args:
        in_channels, out_channels: of the image and of the logits.
        width: channels of the pyramid and of the decoder.
        shallow: channels to which the fine features are reduced.
        rates: of the pyramid's atrous convolutions.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 256,
        shallow: int = 48,
        rates: Sequence[int] = (6, 12, 18),
    ) -> None:
        super().__init__()
        self.encoder = MobileNetV2Encoder(in_channels, output_stride=16)
        _, fine, *_, deep = self.encoder.channels
        self.pyramid = AtrousPyramid(deep, width, rates)
        self.reduce = convolution(fine, shallow, kernel_size=1)
        self.decoder = nn.Sequential(separable(width + shallow, width), separable(width, width))
        self.head = nn.Conv2d(width, out_channels, 1)
        initialize_he(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes, H, W) of images (N, channels, H, W)."""
        _, fine, *_, deep = self.encoder(images)
        fine = self.reduce(fine)
        deep = _resized(self.pyramid(deep), fine)
        return _resized(self.head(self.decoder(torch.cat((fine, deep), dim=1))), images)


def _resized(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)
