"""Layers that several architectures are made of."""

from __future__ import annotations

from typing import Any

from monai.networks.blocks import Convolution
from torch import nn


def convolution(in_channels: int, out_channels: int, **options: Any) -> Convolution:
    """A convolution that keeps the size, 3 x 3 unless ``kernel_size`` says otherwise, batch normalization and ReLU.

    Args:
        in_channels, out_channels: before and after.
        options: of MONAI's Convolution, such as ``dropout``, ``dilation``, ``groups`` or ``is_transposed``.
    """
    relu = ("relu", {"inplace": True})
    return Convolution(2, in_channels, out_channels, act=relu, norm="batch", bias=False, **options)


def conv_chain(*channels: int, **options: Any) -> nn.Sequential:
    """Convolutions one after another, from each number of channels to the next; options as of :func:`convolution`."""
    return nn.Sequential(*(convolution(first, second, **options) for first, second in zip(channels, channels[1:])))


def preactivated(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Batch normalization and ReLU before a 3 x 3 convolution (He et al., arXiv 1603.05027)."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True), conv)


def initialize_he(network: nn.Module) -> None:
    """Draw the weights of all convolutions so that ReLU keeps their deviation (He et al., arXiv 1502.01852, eq. 10)."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
