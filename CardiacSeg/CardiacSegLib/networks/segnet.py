"""SegNet."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from CardiacSegLib.networks.blocks import conv_chain, initialize_he
from CardiacSegLib.networks.unpooling import UnpoolingNetwork, vgg_channels


class SegNet(UnpoolingNetwork):
    """The convolutions of VGG-16 and their mirror, the last of which makes the logits (arXiv 1511.00561).

    Args:
        in_channels, out_channels: of the image and of the logits.
        filters: channels of each level, the finest first.
    """

    def __init__(self, in_channels: int, out_channels: int, filters: Sequence[int]) -> None:
        down = vgg_channels(in_channels, filters)
        up = [channels[::-1] for channels in down[::-1]]
        up[-1] = up[-1][:-1]
        head = nn.Conv2d(filters[0], out_channels, 3, padding=1)
        super().__init__([conv_chain(*one) for one in down], nn.Identity(), [conv_chain(*one) for one in up], head)
        initialize_he(self)
