"""Overlap of a segmentation with its reference.

Every measure counts voxels: right ones, those that are too many, and those that were missed. **Where a structure is
empty** the fractions lose their meaning, and this is what they are, all of them alike: 1 where neither the labels nor
the reference hold the structure, 0 where only one of them does. Distances (:mod:`CardiacSegLib.evaluation.surfaces`)
are undefined in both cases, stay empty in every table, and are left out of every mean; a summary counts the cases.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from CardiacSegLib.anatomy import LabelConvention


class Overlap(NamedTuple):
    """How one structure of a segmentation overlaps its reference, each from 0 to 1; TP, FP, FN, TN count voxels.

    Attributes:
        dice: 2 TP / (2 TP + FP + FN) (Dice, Ecology 26, 1945).
        jaccard: TP / (TP + FP + FN), intersection over union (Jaccard, New Phytologist 11, 1912).
        precision: TP / (TP + FP), the share of the labels that is right.
        recall: TP / (TP + FN), the share of the reference that was found.
        accuracy: (TP + TN) / all voxels of the image; close to 1 for anything small, as most of an image is not heart.
    """

    dice: float
    jaccard: float
    precision: float
    recall: float
    accuracy: float


def dice_scores(labels: np.ndarray, reference: np.ndarray, convention: LabelConvention) -> dict[str, float]:
    """Dice similarity coefficient of each structure (Dice, Ecology 1945): 2 |A and B| / (|A| + |B|).

    A structure that neither array holds scores 1; one that only one of them holds scores 0.

    Args:
        labels, reference: integers of the same shape, both in ``convention``.
    """
    scores = {}
    for name, number in convention.items():
        ours, theirs = labels == number, reference == number
        total = np.count_nonzero(ours) + np.count_nonzero(theirs)
        scores[name] = float(2 * np.count_nonzero(ours & theirs) / total) if total else 1.0
    return scores


def structure_names(convention: LabelConvention) -> list[str]:
    """The structures in the order of their numbers."""
    return sorted(convention, key=lambda name: convention[name])


def confusion_matrix(labels: np.ndarray, reference: np.ndarray, convention: LabelConvention) -> np.ndarray:
    """How many voxels of each class of the reference got which label.

    Args:
        labels, reference: integers of the same shape, both in ``convention``; other numbers count as background.

    Returns:
        int64 (N + 1, N + 1) for N structures: rows are the reference, columns the labels, background first and then
        the structures as :func:`structure_names` sorts them.
    """
    highest = max(int(labels.max(initial=0)), int(reference.max(initial=0)), *convention.values())
    class_of = np.zeros(highest + 1, np.intp)
    for index, name in enumerate(structure_names(convention), 1):
        class_of[convention[name]] = index
    classes = len(convention) + 1
    pairs = class_of[reference] * classes + class_of[labels]
    return np.bincount(pairs.ravel(), minlength=classes * classes).reshape(classes, classes)


def overlaps(confusion: np.ndarray, convention: LabelConvention) -> dict[str, Overlap]:
    """All measures of each structure, from the :func:`confusion_matrix` of an image."""
    total = int(confusion.sum())
    both, ours, theirs = (n.tolist() for n in (np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)))
    names = structure_names(convention)
    return {name: _overlap(both[k], ours[k], theirs[k], total) for k, name in enumerate(names, 1)}


def _overlap(both: int, ours: int, theirs: int, total: int) -> Overlap:
    accuracy = (total - ours - theirs + 2 * both) / total
    if not both:
        # Of an empty prediction no share is right, and of an empty reference none was found: 0, unless both are empty.
        agreement = float(ours == theirs == 0)
        return Overlap(agreement, agreement, agreement, agreement, accuracy)
    return Overlap(2 * both / (ours + theirs), both / (ours + theirs - both), both / ours, both / theirs, accuracy)


ABSENT, MISSED, INVENTED = EMPTINESS = ("absent", "missed", "invented")


def emptiness(confusion: np.ndarray, convention: LabelConvention) -> dict[str, str]:
    """Where each structure that is empty is so: in both ("absent"), in the labels ("missed") or in the reference."""
    ours, theirs = confusion.any(axis=0), confusion.any(axis=1)
    kinds = {(False, False): ABSENT, (False, True): MISSED, (True, False): INVENTED}
    found = {name: kinds.get((ours[k], theirs[k]), "") for k, name in enumerate(structure_names(convention), 1)}
    return {name: kind for name, kind in found.items() if kind}


def mean_iou(confusion: np.ndarray) -> float | None:
    """Mean over the classes, background included, of intersection over union (Long et al., CVPR 2015, section 5).

    A class that neither the labels nor the reference hold is left out.

    Args:
        confusion: of one image, or the sum over many.

    Returns:
        From 0 to 1; None without any voxel.
    """
    unions = confusion.sum(axis=0) + confusion.sum(axis=1) - np.diag(confusion)
    present = unions > 0
    return float(np.mean(np.diag(confusion)[present] / unions[present])) if present.any() else None


def pixel_accuracy(confusion: np.ndarray) -> float | None:
    """The share of all voxels, background included, that have the label of the reference; None without any voxel."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else None
