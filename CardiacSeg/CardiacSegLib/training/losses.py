"""Losses by name: MONAI's, the Lovász-Softmax, which it lacks, and the boundary loss, which only its newest has.

Each is called with logits float32 (N, C, H, W) and labels int64 (N, 1, H, W) and gives one number. Those that compare
regions take a structure's pixels from the whole batch, so that a slice without it is no special case, and leave the
background, which is most of an image, to the competition of the classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss, DiceLoss, FocalLoss, GeneralizedDiceLoss, TverskyLoss
from monai.transforms.utils import distance_transform_edt

from CardiacSegLib.training.choices import pick

_OF_LOGITS = {"softmax": True, "to_onehot_y": True}
_OF_STRUCTURES = {**_OF_LOGITS, "include_background": False, "batch": True}
#: The paper lets the weight of the distances rise by 0.01 an epoch; a loss does not know how long its run is.
_BOUNDARY_WEIGHT = 0.1


def build_loss(name: str, class_shares: torch.Tensor) -> torch.nn.Module:
    """The loss of that name; move it to the device of the logits.

    Args:
        name: one of :data:`CardiacSegLib.training.choices.LOSSES`.
        class_shares: float32 (C,), share of the training pixels that belong to each class, background first.

    Raises:
        CardiacSegError: where there is no such loss.
    """
    return pick("loss", name, BUILDERS)(class_shares)


def median_frequency_weights(class_shares: torch.Tensor) -> torch.Tensor:
    """Weight of each class: the median share of the classes over its own (Eigen and Fergus, arXiv 1411.4734).

    A class without pixels weighs as much as the rarest of the others.
    """
    present = class_shares[class_shares > 0]
    return present.median() / class_shares.clamp(min=present.min())


class WeightedSum(torch.nn.Module):
    """Several losses at once, each with its weight."""

    def __init__(self, *terms: tuple[float, torch.nn.Module]) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.losses = torch.nn.ModuleList(loss for _, loss in terms)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return sum(weight * loss(logits, labels) for weight, loss in zip(self.weights, self.losses))


class LovaszSoftmaxLoss(torch.nn.Module):
    """The Jaccard loss of each class that the batch holds, continued from labels to probabilities.

    Berman, Rannen Triki and Blaschko, "The Lovász-Softmax loss", CVPR 2018, arXiv 1705.08790, equations 9 and 11. For
    probabilities of 0 and 1 it is one minus the mean Jaccard index.
    """

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        classes = logits.shape[1]
        truth = F.one_hot(labels.flatten(), classes).T.to(logits.dtype)
        errors = (truth - logits.softmax(1).transpose(0, 1).reshape(classes, -1)).abs()
        errors, order = errors.sort(dim=1, descending=True)
        losses = (errors * _jaccard_steps(truth.gather(1, order))).sum(1)
        return losses[truth.any(1)].mean()


def _jaccard_steps(truth: torch.Tensor) -> torch.Tensor:
    """By how much the Jaccard loss grows as one pixel after another is wrong: algorithm 1 of the paper.

    Args:
        truth: (C, P), one where a pixel is of the class, in the order in which pixels become wrong.
    """
    total = truth.sum(1, keepdim=True)
    intersection = total - truth.cumsum(1)
    union = total + (1 - truth).cumsum(1)
    return (1 - intersection / union).diff(dim=1, prepend=torch.zeros_like(total))


class BoundaryLoss(torch.nn.Module):
    """Mean over all pixels of the probability of each structure times the distance to its border, negative inside.

    Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019, arXiv 1812.07032; to be added to
    another loss. MONAI has it since 1.6.1; this one needs no newer version and runs on Apple's GPUs, too, which lack
    the double precision of distances.
    """

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        structures = torch.arange(1, logits.shape[1])[:, None, None]
        distances = _signed_distances(labels.cpu() == structures).to(logits.device, logits.dtype)
        return (logits.softmax(1)[:, 1:] * distances).mean()


def _signed_distances(inside: torch.Tensor) -> torch.Tensor:
    """Distance to each structure in pixels, (N, C, H, W), zero on its outermost ones and negative within.

    A structure that a slice does not hold, or that fills it, has no border: zero everywhere.
    """
    planes = inside.flatten(0, 1)
    distances = distance_transform_edt(~planes) - (distance_transform_edt(planes) - 1) * planes
    pixels = planes.flatten(1)
    distances[~pixels.any(1) | pixels.all(1)] = 0
    return distances.reshape(inside.shape)


def _dice() -> torch.nn.Module:
    return DiceLoss(**_OF_STRUCTURES)


def _focal() -> torch.nn.Module:
    return FocalLoss(use_softmax=True, to_onehot_y=True)


BUILDERS: Mapping[str, Callable[[torch.Tensor], torch.nn.Module]] = {
    "dice-ce": lambda shares: DiceCELoss(**_OF_STRUCTURES),
    "dice": lambda shares: _dice(),
    "weighted-dice-ce": lambda shares: DiceCELoss(**_OF_STRUCTURES, weight=median_frequency_weights(shares)),
    "focal": lambda shares: _focal(),
    "dice-focal": lambda shares: WeightedSum((1.0, _dice()), (1.0, _focal())),
    "tversky": lambda shares: TverskyLoss(**_OF_STRUCTURES, alpha=0.3, beta=0.7),
    # Its weights are one over squared numbers of pixels: sums so small that MONAI's smoothing of 1e-5 would hide them.
    "generalized-dice": lambda shares: GeneralizedDiceLoss(**_OF_LOGITS, batch=True, smooth_nr=1e-9, smooth_dr=1e-9),
    "lovasz-softmax": lambda shares: LovaszSoftmaxLoss(),
    "boundary": lambda shares: WeightedSum((1.0, _dice()), (_BOUNDARY_WEIGHT, BoundaryLoss())),
}
