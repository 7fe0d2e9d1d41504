"""Several networks as one: what a bundle that ``cardiacseg ensemble`` made holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

#: A probability is at least this before its logarithm is taken, which low precision would otherwise make infinite.
_LEAST = 1e-7


class Ensemble(nn.Module):
    """Networks that see the same image; what they say is averaged, or handed on side by side.

    The output is the logarithm of probabilities, so that a softmax over its channels, which follows every network of
    CardiacSeg, gives these probabilities back: the weighted mean over the members (the sum rule of Kittler et al., IEEE
    TPAMI 20(3), 1998), or with ``stacked`` those of all members, each divided by their number.

    Args:
        members: networks, or their definitions as :func:`CardiacSegLib.networks.build_network` takes them.
        in_channels: of each member.
        out_channels: classes of each member, background included.
        weights: of the members in the mean, above 0; all alike where empty.
        stacked: whether to return the members' probabilities side by side for a rule that follows
            (:mod:`CardiacSegLib.inference.combining`), (N, members x C, H, W), and not their mean, (N, C, H, W).

    Raises:
        ValueError: where there are no members, a member has other channels, or the weights do not fit.
    """

    def __init__(
        self,
        members: Sequence[nn.Module | Mapping[str, Any]],
        in_channels: int,
        out_channels: int,
        weights: Sequence[float] = (),
        stacked: bool = False,
    ) -> None:
        super().__init__()
        weights = [float(weight) for weight in weights]
        if not members or (weights and len(weights) != len(members)):
            raise ValueError(f"{len(weights)} weights for {len(members)} members")
        if any(not 0 < weight < float("inf") for weight in weights):
            raise ValueError(f"weights {weights} are not all above 0")
        self.members = nn.ModuleList(_member(one, in_channels, out_channels) for one in members)
        weights = weights or [1.0] * len(members)
        self.shares = [weight / sum(weights) for weight in weights]
        self.stacked = stacked

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logarithms of probabilities for images (N, in_channels, H, W)."""
        # In single precision whatever the members compute in: that of a mean is lost in bfloat16.
        found = [member(images).float().softmax(1) for member in self.members]
        if self.stacked:
            return torch.cat(found, dim=1).clamp_min(_LEAST).log()
        return sum(share * one for share, one in zip(self.shares, found)).clamp_min(_LEAST).log()


def _member(one: nn.Module | Mapping[str, Any], in_channels: int, out_channels: int) -> nn.Module:
    if not isinstance(one, Mapping):  # MONAI's own runner has built it already
        return one
    from CardiacSegLib.networks import ENSEMBLE, build_network

    if one.get("_target_") == ENSEMBLE:
        raise ValueError("a member is an ensemble itself")
    channels = (one.get("in_channels", in_channels), one.get("out_channels", out_channels))
    if channels != (in_channels, out_channels):
        raise ValueError(f"a member has {channels} channels and classes, not {(in_channels, out_channels)}")
    return build_network(one)
