"""How well the probabilities of a network tell a structure from all else: receiver operating characteristic and AUC.

Voxels count, and only those around the heart: in the box that encloses the heart of the reference with 20 mm more on
every side in plane and one slice more at either end. Beyond it nearly every voxel is certain background, which would
bring any model to an AUC of 1. The probabilities are those of the network itself, before any clean-up.

They are counted in 8,192 bins of equal width in log-odds from -16 to 16 (a probability of 1e-7 to 1 - 1e-7, as far as
single precision goes): a whole data set takes a few hundred kilobytes. scikit-learn makes the curve from those counts,
so that within a bin no voxel is told from another; a test finds the AUC within 1e-5 of that of all voxels one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.evaluation.overlap import structure_names
from CardiacSegLib.geometry import slice_axis, voxel_spacing

_BINS = 8192
_HIGHEST = 16.0
_MARGIN_MM = 20.0
_POINTS = 200


class RocCurve(NamedTuple):
    """Of one structure.

    Attributes:
        auc: area under the curve, from 0 to 1.
        fpr, tpr: at most 200 points of the curve, from (0, 0) to (1, 1), evenly along its length.
    """

    auc: float
    fpr: list[float]
    tpr: list[float]


class VoxelCounts:
    """How often each probability occurs within each structure and beside it.

    Args:
        convention: which number means which structure.
    """

    def __init__(self, convention: LabelConvention) -> None:
        self._convention = dict(convention)
        #: Of each structure, voxels by (not in the reference, in it) and bin.
        self._counts = {name: np.zeros((2, _BINS), np.int64) for name in structure_names(convention)}

    def add(self, probabilities: np.ndarray, reference: np.ndarray, affine: np.ndarray) -> None:
        """Count the voxels of a case; one whose reference holds no heart is left out.

        Args:
            probabilities: float (C, I, J, K), of background and of each structure at the place of its number.
            reference: integers (I, J, K) in the convention.
            affine: 4 x 4, index to millimeters.
        """
        box = heart_box(np.isin(reference, list(self._convention.values())), affine)
        if box is None:
            return
        for name, counts in self._counts.items():
            number = self._convention[name]
            bins = _bin_of(probabilities[(number, *box)])
            truth = reference[box] == number
            counts += np.stack([np.bincount(bins[truth == inside], minlength=_BINS) for inside in (False, True)])

    def curves(self) -> dict[str, RocCurve]:
        """The curve of each structure that some voxels belong to and others do not."""
        return {name: _curve(counts) for name, counts in self._counts.items() if counts.sum(axis=1).all()}


def heart_box(heart: np.ndarray, affine: np.ndarray) -> tuple[slice, ...] | None:
    """The box that this module looks at, as slices of the array; None where there is no heart.

    Args:
        heart: booleans (I, J, K).
        affine: 4 x 4, index to millimeters.
    """
    from scipy import ndimage

    found = ndimage.find_objects(heart.view(np.uint8))
    if not found:
        return None
    margins = np.ceil(_MARGIN_MM / voxel_spacing(affine)).astype(int)
    margins[slice_axis(heart.shape, affine)] = 1
    return tuple(slice(max(0, part.start - margin), part.stop + margin) for part, margin in zip(found[0], margins))


def _bin_of(probabilities: np.ndarray) -> np.ndarray:
    """The bin of each probability, an array of the same shape."""
    smallest = np.exp(-_HIGHEST)
    inside = np.clip(probabilities.astype(np.float64), smallest, 1 - smallest)
    log_odds = np.log(inside) - np.log1p(-inside)
    return np.clip((log_odds + _HIGHEST) * (_BINS / (2 * _HIGHEST)), 0, _BINS - 1).astype(np.intp)


def _curve(counts: np.ndarray) -> RocCurve:
    from sklearn.metrics import auc, roc_curve

    truth, score = (values.ravel() for values in np.indices(counts.shape))
    fpr, tpr, _ = roc_curve(truth, score, sample_weight=counts.ravel())
    kept = _evenly(fpr, tpr)
    return RocCurve(float(auc(fpr, tpr)), fpr[kept].tolist(), tpr[kept].tolist())


def _evenly(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """Indices of points of a curve that lie evenly along it, the first and the last among them."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(fpr), np.diff(tpr)))])
    return np.unique(np.searchsorted(along, np.linspace(0, along[-1], _POINTS)).clip(0, len(along) - 1))
