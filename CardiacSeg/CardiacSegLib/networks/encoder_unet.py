"""U-Nets on encoders that weights trained on ImageNet fit."""

from __future__ import annotations

from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE, FlexibleUNet

from CardiacSegLib.networks.encoders import DenseNet121Encoder, EfficientNetB0Encoder, ResNet34Encoder
from CardiacSegLib.networks.mobilenetv2 import MobileNetV2Encoder

for _encoder in (DenseNet121Encoder, EfficientNetB0Encoder, MobileNetV2Encoder, ResNet34Encoder):
    FLEXUNET_BACKBONE.register_class(_encoder)


class EncoderUNet(FlexibleUNet):
    """MONAI's FlexibleUNet in two dimensions, which knows CardiacSeg's encoders too and downloads nothing.

    Args:
        in_channels, out_channels: of the image and of the logits.
        backbone: name of a registered encoder.
    """

    def __init__(self, in_channels: int, out_channels: int, backbone: str) -> None:
        super().__init__(in_channels, out_channels, backbone, pretrained=False, spatial_dims=2)
