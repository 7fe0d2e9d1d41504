"""Overlap of a segmentation with its reference."""

from __future__ import annotations

import numpy as np

from CardiacSegLib.anatomy import LabelConvention


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
