"""MONAI's classifiers as encoders, laid out so that published weights fit and without layers that only classify."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.networks.nets import DenseNet121, EfficientNetBNFeatures, ResNet
from monai.networks.nets.efficientnet import url_map

from CardiacSegLib.networks.encoder_weights import ImageNetEncoder


class ResNet34Encoder(ResNet, ImageNetEncoder):
    """ResNet-34 (He et al., arXiv 1512.03385) with projections where the size changes, as torchvision has it.

    The backbone "resnet34" of MONAI fills up with zeros there, lets no gradient through, and so has no place for the
    projections' weights.

    Args:
        in_channels: of the image.
        others: what FlexibleUNet gives to every encoder.
    """

    backbone = "imagenet-resnet34"
    channels = (64, 64, 128, 256, 512)
    address = "https://download.pytorch.org/models/resnet34-b627a593.pth"

    def __init__(self, in_channels: int, **others: object) -> None:
        super().__init__(
            "basic",
            layers=[3, 4, 6, 3],
            block_inplanes=[64, 128, 256, 512],
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            bias_downsample=False,
            feed_forward=False,
        )

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Features of images (N, channels, H, W) at 1/2 to 1/32 of the size."""
        outputs = [self.act(self.bn1(self.conv1(images)))]
        x = self.maxpool(outputs[0])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            outputs.append(x)
        return outputs


class DenseNet121Encoder(DenseNet121, ImageNetEncoder):
    """DenseNet-121 (Huang et al., arXiv 1608.06993); skip connections take what the transitions normalize.

    Args:
        in_channels: of the image.
        others: what FlexibleUNet gives to every encoder.
    """

    backbone = "imagenet-densenet121"
    channels = (64, 256, 512, 1024, 1024)
    address = "https://download.pytorch.org/models/densenet121-a639ec97.pth"
    renaming = (r"(denselayer\d+)(?:\.layers)?\.(norm|conv)\.?([12])\.", r"\1.\2\3.")

    def __init__(self, in_channels: int, **others: object) -> None:
        super().__init__(spatial_dims=2, in_channels=in_channels, out_channels=1)
        del self.class_layers

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Features of images (N, channels, H, W) at 1/2 to 1/32 of the size."""
        layers = self.features
        outputs = [layers.relu0(layers.norm0(layers.conv0(images)))]
        x = layers.pool0(outputs[0])
        for number in (1, 2, 3):
            x = layers.get_submodule(f"denseblock{number}")(x)
            transition = layers.get_submodule(f"transition{number}")
            outputs.append(transition.relu(transition.norm(x)))
            x = transition.pool(transition.conv(outputs[-1]))
        return [*outputs, F.relu(layers.norm5(layers.denseblock4(x)))]


class EfficientNetB0Encoder(EfficientNetBNFeatures, ImageNetEncoder):
    """EfficientNet-B0 (Tan and Le, arXiv 1905.11946).

    Args:
        in_channels: of the image.
        others: what FlexibleUNet gives to every encoder.
    """

    backbone = "imagenet-efficientnet-b0"
    channels = (16, 24, 40, 112, 320)
    address = url_map["efficientnet-b0"]
    renaming = (r"^_blocks\.\d+\.(\d+\.)", r"_blocks.\1")  # MONAI numbers the stage before the block

    def __init__(self, in_channels: int, **others: object) -> None:
        # MONAI's momentum of 0.01 suits hundreds of thousands of steps; a run here has a few thousand.
        norm = ("batch", {"eps": 1e-3, "momentum": 0.1})
        super().__init__("efficientnet-b0", pretrained=False, in_channels=in_channels, num_classes=1, norm=norm)
        del self._conv_head, self._bn1, self._fc
