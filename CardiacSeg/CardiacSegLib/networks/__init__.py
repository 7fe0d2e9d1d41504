"""Networks by name: the one registry that training, bundles and the command line build from.

The table is read without torch and MONAI; they are imported when a network is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.networks.versions import require

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class NetworkEntry:
    """One architecture.

    Attributes:
        name: on the command line.
        line: about it, for people, with the paper.
        target: full name of its class, which takes ``in_channels``, ``out_channels`` and the :attr:`arguments`.
        arguments: gives the class's other arguments for the channels of each level.
        multiple: image sizes must be divisible by this, with as many levels as :attr:`filters` has.
        filters: channels of each level where nobody asks for others, the finest first; empty where they are fixed.
        encoder: for which there are weights trained on ImageNet; empty where there is none.
    """

    name: str
    line: str
    target: str
    arguments: Callable[[Sequence[int]], dict[str, Any]]
    multiple: int
    filters: tuple[int, ...] = ()
    encoder: str = ""

    def definition(self, channels: int, classes: int, filters: Sequence[int] = ()) -> dict[str, Any]:
        """See :func:`network_definition`."""
        arguments = self.arguments(self.levels(filters))
        return {"_target_": self.target, "in_channels": channels, "out_channels": classes, **arguments}

    def multiple_for(self, filters: Sequence[int] = ()) -> int:
        """See :func:`network_multiple`: a level more halves the image once more."""
        return self.multiple * 2 ** len(self.levels(filters)) // 2 ** len(self.filters)

    def levels(self, filters: Sequence[int]) -> tuple[int, ...]:
        """Channels of each level: ``filters``, or the network's own where that is empty.

        Raises:
            CardiacSegError: where the network's channels are fixed, or ``filters`` is no list of channels.
        """
        if not filters:
            return self.filters
        if not self.filters:
            raise CardiacSegError(f"network '{self.name}' has fixed channels; leave filters out")
        if len(filters) < 2 or min(filters) < 1:
            raise CardiacSegError(f"filters is {tuple(filters)}; give two levels or more, each with a channel or more")
        return tuple(filters)


def _dynunet(filters: Sequence[int]) -> dict[str, Any]:
    levels = len(filters)
    return {
        "spatial_dims": 2,
        "kernel_size": [3] * levels,
        "strides": [1] + [2] * (levels - 1),
        "upsample_kernel_size": [2] * (levels - 1),
        "filters": list(filters),
        "norm_name": "batch",
        "act_name": ["leakyrelu", {"inplace": True, "negative_slope": 0.01}],
    }


def _strided(filters: Sequence[int], **others: Any) -> dict[str, Any]:
    """Arguments of MONAI's UNet and AttentionUnet."""
    return {"spatial_dims": 2, "channels": list(filters), "strides": [2] * (len(filters) - 1), **others}


def _basic_unet(filters: Sequence[int]) -> dict[str, Any]:
    if len(filters) != 5:
        raise CardiacSegError(f"filters is {tuple(filters)}; network 'basic-unet' has five levels, give five numbers")
    return {"spatial_dims": 2, "features": [*filters, filters[0]], "norm": "batch"}


def _segresnet(filters: Sequence[int]) -> dict[str, Any]:
    first, levels = filters[0], len(filters)
    if first % 8 or list(filters) != [first * 2**level for level in range(levels)]:
        raise CardiacSegError(
            f"filters is {tuple(filters)}; the channels of network 'segresnet' double with each level, "
            "give for example 8 16 32 64"
        )
    blocks = {"blocks_down": [1, *[2] * (levels - 2), 4], "blocks_up": [1] * (levels - 1)}
    return {"spatial_dims": 2, "init_filters": first, **blocks}


def _filters(filters: Sequence[int], **others: Any) -> dict[str, Any]:
    """Arguments of CardiacSeg's own architectures with levels."""
    return {"filters": list(filters), **others}


def _fixed(**arguments: Any) -> Callable[[Sequence[int]], dict[str, Any]]:
    return lambda filters: arguments


_MONAI, _OWN = "monai.networks.nets", "CardiacSegLib.networks"
_ENCODER_UNET, _ENCODER_DECODER = f"{_OWN}.encoder_unet.EncoderUNet", f"{_OWN}.encoder_decoder.EncoderDecoder"
_VGG = (64, 128, 256, 512, 512)

_ENTRIES = (
    NetworkEntry(
        "dynunet",
        "plain U-Net with strided convolutions, as nnU-Net builds it (Isensee et al., doi 10.1038/s41592-020-01008-z)",
        f"{_MONAI}.DynUNet",
        _dynunet,
        multiple=32,
        filters=(16, 32, 64, 128, 256, 256),
    ),
    NetworkEntry(
        "light-unet",
        "U-Net for processors: half resolution inside, skips that add, a light decoder (Shi et al., arXiv 1609.05158)",
        f"{_OWN}.light_unet.LightUNet",
        _filters,
        multiple=32,
        filters=(16, 32, 64, 128, 256),
    ),
    NetworkEntry(
        "unet",
        "U-Net of residual units and strided convolutions (Kerfoot et al., doi 10.1007/978-3-030-12029-0_40)",
        f"{_MONAI}.UNet",
        lambda filters: _strided(filters, num_res_units=2, norm="batch"),
        multiple=16,
        filters=(16, 32, 64, 128, 256),
    ),
    NetworkEntry(
        "basic-unet",
        "U-Net with max pooling, 64 to 1024 channels (Falk et al., doi 10.1038/s41592-018-0261-2)",
        f"{_MONAI}.BasicUNet",
        _basic_unet,
        multiple=16,
        filters=(64, 128, 256, 512, 1024),
    ),
    NetworkEntry(
        "segresnet",
        "residual encoder with group normalization and a small decoder (Myronenko, arXiv 1810.11654)",
        f"{_MONAI}.SegResNet",
        _segresnet,
        multiple=8,
        filters=(32, 64, 128, 256),
    ),
    NetworkEntry(
        "attention-unet",
        "U-Net whose skip connections pass a gate (Oktay et al., arXiv 1804.03999)",
        f"{_MONAI}.AttentionUnet",
        _strided,
        multiple=16,
        filters=(16, 32, 64, 128, 256),
    ),
    NetworkEntry(
        "flexible-unet-resnet34",
        "U-Net on the encoder ResNet-34 (He et al., arXiv 1512.03385)",
        _ENCODER_UNET,
        _fixed(backbone="imagenet-resnet34"),
        multiple=32,
        encoder="ResNet-34",
    ),
    NetworkEntry(
        "flexible-unet-efficientnet",
        "U-Net on the encoder EfficientNet-B0 (Tan and Le, arXiv 1905.11946)",
        _ENCODER_UNET,
        _fixed(backbone="imagenet-efficientnet-b0"),
        multiple=32,
        encoder="EfficientNet-B0",
    ),
    NetworkEntry(
        "unet-dropout",
        "U-Net with batch normalization, and dropout that grows with depth (Ronneberger et al., arXiv 1505.04597)",
        _ENCODER_DECODER,
        lambda filters: _filters(filters, skips=True, attention=False, dropout=[0.1, 0.3]),
        multiple=16,
        filters=(16, 32, 64, 128, 256),
    ),
    NetworkEntry(
        "residual-unet",
        "U-Net of residual units, 64 to 1024 channels (Zhang et al., arXiv 1711.10684)",
        f"{_OWN}.residual_unet.ResidualUNet",
        _filters,
        multiple=16,
        filters=(64, 128, 256, 512, 1024),
    ),
    NetworkEntry(
        "dense-unet",
        "deeper U-Net of dense blocks that begins at several scales (Khened et al., arXiv 1801.05173)",
        f"{_OWN}.dense_unet.DenseUNet",
        _filters,
        multiple=32,
        filters=(32, 64, 128, 256, 512, 1024),
    ),
    NetworkEntry(
        "encoder-decoder",
        "U-Net without skip connections: what comes up is only what went through the narrow end",
        _ENCODER_DECODER,
        lambda filters: _filters(filters, skips=False, attention=False),
        multiple=16,
        filters=(32, 64, 128, 256, 512),
    ),
    NetworkEntry(
        "encoder-decoder-attention",
        "encoder-decoder with spatial and channel attention after each level (Roy et al., arXiv 1803.02579)",
        _ENCODER_DECODER,
        lambda filters: _filters(filters, skips=False, attention=True),
        multiple=16,
        filters=(32, 64, 128, 256, 512),
    ),
    NetworkEntry(
        "unet-attention",
        "U-Net with spatial and channel attention after each level (Roy et al., arXiv 1803.02579)",
        _ENCODER_DECODER,
        lambda filters: _filters(filters, skips=True, attention=True),
        multiple=16,
        filters=(32, 64, 128, 256, 512),
    ),
    NetworkEntry(
        "segnet",
        "VGG-16 and its mirror, which unpools to where the maxima were (Badrinarayanan et al., arXiv 1511.00561)",
        f"{_OWN}.segnet.SegNet",
        _filters,
        multiple=32,
        filters=_VGG,
    ),
    NetworkEntry(
        "deconvnet",
        "VGG-16 with its wide end, unpooling and deconvolutions; 252 million weights (Noh et al., arXiv 1505.04366)",
        f"{_OWN}.deconvnet.DeconvNet",
        _filters,
        multiple=32,
        filters=_VGG,
    ),
    NetworkEntry(
        "deeplabv3plus",
        "DeepLabV3+, atrous convolutions at several rates, on MobileNetV2 (Chen et al., arXiv 1802.02611)",
        f"{_OWN}.deeplab.DeepLabV3Plus",
        _fixed(),
        multiple=16,
        encoder="MobileNetV2",
    ),
    NetworkEntry(
        "unet-densenet121",
        "U-Net on the encoder DenseNet-121 (Huang et al., arXiv 1608.06993)",
        _ENCODER_UNET,
        _fixed(backbone="imagenet-densenet121"),
        multiple=32,
        encoder="DenseNet-121",
    ),
    NetworkEntry(
        "unet-mobilenetv2",
        "U-Net on the encoder MobileNetV2 (Sandler et al., arXiv 1801.04381)",
        _ENCODER_UNET,
        _fixed(backbone="imagenet-mobilenetv2"),
        multiple=32,
        encoder="MobileNetV2",
    ),
)

#: Every architecture by its name on the command line.
NETWORKS: Mapping[str, NetworkEntry] = {entry.name: entry for entry in _ENTRIES}

#: Instead of a file with an encoder's weights: where they are published.
DOWNLOAD = "download"

#: Several of them in one; nothing trains it, so that it has no entry.
ENSEMBLE = f"{_OWN}.ensemble.Ensemble"

#: A bundle's network is of one of these classes, so that its configuration calls nothing else. MONAI's FlexibleUNet
#: is not among them, because its argument ``pretrained`` downloads; EncoderUNet has no such argument.
TARGETS = (*dict.fromkeys(entry.target for entry in _ENTRIES), ENSEMBLE)


def network_definition(name: str, channels: int, classes: int, filters: Sequence[int] = ()) -> dict[str, Any]:
    """MONAI definition of a network, ``_target_`` and plain arguments, as JSON can hold it.

    Args:
        name: one of :data:`NETWORKS`.
        channels: of the input: a slice, and perhaps its neighbors.
        classes: output channels, background included.
        filters: channels of each level, the finest first; the network's own where empty.

    Raises:
        CardiacSegError: for an unknown name, or filters that the network cannot have.
    """
    return _entry(name).definition(channels, classes, filters)


def network_multiple(name: str, filters: Sequence[int] = ()) -> int:
    """What image sizes must be divisible by; arguments and errors as of :func:`network_definition`."""
    return _entry(name).multiple_for(filters)


def build_network(definition: Mapping[str, Any]) -> torch.nn.Module:
    """A network with fresh weights from its MONAI definition (``_target_`` and arguments), without running any text.

    Raises:
        CardiacSegError: for a target that no entry of `NETWORKS` has, an expression, or arguments that do not fit;
            for a torch or MONAI that is too old.
    """
    require("torch", "monai")
    arguments = dict(definition)
    target = str(arguments.pop("_target_", ""))
    module, _, name = target.rpartition(".")
    if target not in TARGETS:
        known = ", ".join(one.rpartition(".")[2] for one in TARGETS)
        raise CardiacSegError(f"network '{target}' is not known; choose one of {known}")
    if _expressions(arguments):
        raise CardiacSegError(f"network '{name}' has an expression as argument: {_expressions(arguments)[0]}")
    try:
        return getattr(import_module(module), name)(**arguments)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CardiacSegError(f"network '{name}' cannot be built: {error}") from error


def _entry(name: str) -> NetworkEntry:
    if name not in NETWORKS:
        raise CardiacSegError(f"network '{name}' is not known; choose one of {', '.join(NETWORKS)}")
    return NETWORKS[name]


def _expressions(value: Any) -> list[str]:
    """Strings anywhere in ``value`` that MONAI's configuration parser would evaluate or resolve."""
    if isinstance(value, str):
        return [value] if value.startswith(("$", "@", "%")) else []
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [found for item in items for found in _expressions(item)]
