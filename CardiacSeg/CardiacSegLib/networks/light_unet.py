"""A U-Net for processors: light on the way up, and without convolutions at the full resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

#: Pixels along each axis that one feature at the finest level stands for.
_SHUFFLED = 2


class LightUNet(nn.Module):
    """U-Net that leaves out what costs a processor time and has few weights.

    Two by two pixels become channels before the finest level, and channels become pixels after it, as convolutions of
    few channels at the full resolution wait for memory. Skip connections add and do not concatenate, and each level of
    the decoder is one convolution.

    Sub-pixel convolution: Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", CVPR 2016 (arXiv 1609.05158). Skips that add: Chaurasia and Culurciello, "LinkNet",
    VCIP 2017 (arXiv 1707.03718).

    Args:
        in_channels, out_channels: of the image and of the logits.
        filters: channels of each level, the finest, which has half the image's size, first.
    """

    def __init__(self, in_channels: int, out_channels: int, filters: Sequence[int]) -> None:
        super().__init__()
        pixels = _SHUFFLED**2
        pairs = list(zip(filters, filters[1:]))
        first = _convolutions(in_channels * pixels, filters[0])
        self.encoder = nn.ModuleList([first, *(_convolutions(fine, deep, stride=2) for fine, deep in pairs)])
        self.rise = nn.ModuleList(nn.ConvTranspose2d(deep, fine, 2, stride=2, bias=False) for fine, deep in pairs[::-1])
        self.decoder = nn.ModuleList(_Joined(fine) for fine, _ in pairs[::-1])
        self.head = nn.Conv2d(filters[0], out_channels * pixels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes, H, W) of images (N, channels, H, W)."""
        x = F.pixel_unshuffle(images, _SHUFFLED)
        features = []
        for level in self.encoder:
            x = level(x)
            features.append(x)
        x = features.pop()
        for rise, level in zip(self.rise, self.decoder):
            x = level(rise(x), features.pop())
        return F.pixel_shuffle(self.head(x), _SHUFFLED)


class _Joined(nn.Module):
    """One level of the decoder: what came up and what the encoder found there, added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.BatchNorm2d(channels), nn.LeakyReLU(0.01))
        self.after = _convolution(channels, channels)

    def forward(self, risen: torch.Tensor, skipped: torch.Tensor) -> torch.Tensor:
        return self.after(self.before(risen) + skipped)


def _convolutions(first: int, second: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_convolution(first, second, stride), _convolution(second, second))


def _convolution(first: int, second: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(first, second, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(second), nn.LeakyReLU(0.01))
