"""MobileNetV2 as an encoder, with the names of torchvision's parameters so that its weights fit."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from CardiacSegLib.networks.blocks import initialize_he
from CardiacSegLib.networks.encoder_weights import ImageNetEncoder

#: Sandler et al., arXiv 1801.04381, table 2: expansion, channels, repetitions and stride of each stage.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_STEM = 32
#: The last blocks before the size is halved, and the last of all.
_OUTPUTS = (1, 3, 6, 13, 17)


class MobileNetV2Encoder(nn.Module, ImageNetEncoder):
    """MobileNetV2 (Sandler et al., arXiv 1801.04381) up to its last bottleneck.

    Args:
        in_channels: of the image.
        output_stride: where the size would shrink more than this, convolutions are dilated instead (arXiv 1802.02611).
        others: what FlexibleUNet gives to every encoder.
    """

    backbone = "imagenet-mobilenetv2"
    channels = (16, 24, 32, 96, 320)
    address = "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"

    def __init__(self, in_channels: int, output_stride: int = 32, **others: object) -> None:
        super().__init__()
        self.features = nn.Sequential(_activated(in_channels, _STEM, 3, stride=2), *_blocks(output_stride))
        initialize_he(self)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features of images (N, channels, H, W) at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size, or the output stride."""
        outputs = []
        for index, block in enumerate(self.features):
            x = block(x)
            if index in _OUTPUTS:
                outputs.append(x)
        return outputs


class InvertedResidual(nn.Module):
    """A wide depthwise convolution between two narrow ends (section 3.3)."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int, dilation: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        expand = [_activated(in_channels, wide, 1)] if expansion > 1 else []
        depthwise = _activated(wide, wide, 3, stride=stride, dilation=dilation, groups=wide)
        project = nn.Conv2d(wide, out_channels, 1, bias=False)
        self.conv = nn.Sequential(*expand, depthwise, project, nn.BatchNorm2d(out_channels))
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


def _activated(in_channels: int, out_channels: int, size: int, dilation: int = 1, **options: int) -> nn.Sequential:
    padding = dilation * (size // 2)
    conv = nn.Conv2d(in_channels, out_channels, size, padding=padding, dilation=dilation, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU6(inplace=True))


def _blocks(output_stride: int) -> Iterator[InvertedResidual]:
    """All blocks; a stride too many leaves its own block as it is, and dilates those behind it instead."""
    before, shrunk, dilation = _STEM, 2, 1
    for expansion, channels, repetitions, first_stride in _STAGES:
        for stride in (first_stride, *[1] * (repetitions - 1)):
            too_many = shrunk * stride > output_stride
            yield InvertedResidual(before, channels, expansion, 1 if too_many else stride, dilation)
            before = channels
            if too_many:
                dilation *= stride
            else:
                shrunk *= stride
