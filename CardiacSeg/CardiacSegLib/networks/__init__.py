"""Networks by name: the one registry that training, bundles and the command line build from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from CardiacSegLib.errors import CardiacSegError

if TYPE_CHECKING:
    import torch

#: Classes of monai.networks.nets. A bundle's network is one of these, so that its configuration calls nothing else.
NETWORKS = ("DynUNet", "UNet", "BasicUNet")


def dynunet_definition(filters: tuple[int, ...], classes: int, channels: int = 1) -> dict[str, Any]:
    """Configuration of a plain 2D U-Net with batch normalization: two convolutions a level, strided downsampling.

    MONAI's DynUNet is the network of nnU-Net (Isensee et al., Nature Methods 2021, doi 10.1038/s41592-020-01008-z).

    Args:
        filters: channels of each level, the finest first.
        classes: output channels, background included.
        channels: of the input: a slice, and perhaps its neighbors.
    """
    levels = len(filters)
    return {
        "_target_": "DynUNet",
        "spatial_dims": 2,
        "in_channels": channels,
        "out_channels": classes,
        "kernel_size": [3] * levels,
        "strides": [1] + [2] * (levels - 1),
        "upsample_kernel_size": [2] * (levels - 1),
        "filters": list(filters),
        "norm_name": "batch",
        "act_name": ["leakyrelu", {"inplace": True, "negative_slope": 0.01}],
    }


def build_network(definition: Mapping[str, Any]) -> torch.nn.Module:
    """A network with fresh weights from its MONAI definition (``_target_`` and arguments), without running any text.

    Raises:
        CardiacSegError: for a target that is not in :data:`NETWORKS`, an expression, or arguments that do not fit.
    """
    import monai.networks.nets

    arguments = dict(definition)
    target = str(arguments.pop("_target_", "")).rpartition(".")[2]
    if target not in NETWORKS:
        raise CardiacSegError(f"network '{target}' is not known; choose one of {', '.join(NETWORKS)}")
    if _expressions(arguments):
        raise CardiacSegError(f"network '{target}' has an expression as argument: {_expressions(arguments)[0]}")
    try:
        return getattr(monai.networks.nets, target)(**arguments)
    except (TypeError, ValueError, AssertionError, LookupError, RuntimeError) as error:
        raise CardiacSegError(f"network '{target}' cannot be built: {error}") from error


def _expressions(value: Any) -> list[str]:
    """Strings anywhere in ``value`` that MONAI's configuration parser would evaluate or resolve."""
    if isinstance(value, str):
        return [value] if value.startswith(("$", "@", "%")) else []
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [found for item in items for found in _expressions(item)]
