"""DeconvNet."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from CardiacSegLib.networks.blocks import conv_chain, convolution, initialize_he
from CardiacSegLib.networks.unpooling import UnpoolingNetwork, vgg_channels


class DeconvNet(UnpoolingNetwork):
    """VGG-16 with its fully connected layers as convolutions, and a mirror of deconvolutions (Noh, arXiv 1505.04366).

    The paper's 7 x 7 convolution shrinks the 7 x 7 features of its 224 x 224 images to one pixel. Here it keeps the
    size, so that images of any size will do.

    Args:
        in_channels, out_channels: of the image and of the logits.
        filters: channels of each level, the finest first; the narrow end has eight times the last, 4096 in the paper.
    """

    def __init__(self, in_channels: int, out_channels: int, filters: Sequence[int]) -> None:
        down = vgg_channels(in_channels, filters)
        up = [channels[::-1] for channels in down[::-1]]
        up[-1] = (*up[-1][:-1], filters[0])
        deepest, wide = filters[-1], 8 * filters[-1]
        middle = nn.Sequential(
            convolution(deepest, wide, kernel_size=7),
            convolution(wide, wide, kernel_size=1),
            convolution(wide, deepest, kernel_size=7, is_transposed=True),
        )
        decoder = [conv_chain(*one, is_transposed=True) for one in up]
        head = nn.Conv2d(filters[0], out_channels, 1)
        super().__init__([conv_chain(*one) for one in down], middle, decoder, head)
        initialize_he(self)
