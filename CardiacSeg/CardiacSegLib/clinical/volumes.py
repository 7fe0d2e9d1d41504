"""Ventricular volumes and function from labels.

Volumes are the sum of voxel volumes, that is, of the areas in each slice times the distance between slices with its
gap (Simpson's rule as cardiac MR uses it). Papillary muscles belong to the pool where the labels say so. Formulas and
units follow Schulz-Menger et al., "Standardized image interpretation and post-processing in cardiovascular magnetic
resonance - 2020 update", J Cardiovasc Magn Reson 22:19 (2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from CardiacSegLib.anatomy import CANONICAL, LabelConvention
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.geometry import slice_axis

#: Density of myocardium, g/mL.
MYOCARDIAL_DENSITY = 1.05

#: From this many frames on a heartbeat, ED and ES are chosen on the smoothed volume curve.
_FRAMES_TO_SMOOTH = 12


def structure_volume_ml(labels: np.ndarray, structure_number: int, affine: np.ndarray) -> float:
    """Volume of one structure in one image.

    Args:
        labels: integers (I, J, K).
        structure_number: number of the structure in ``labels``.
        affine: 4 x 4, array index to mm in any frame. The volume of a voxel is the determinant of its 3 x 3 part, so
            that oblique and flipped images are right too.

    Returns:
        mL; 0 where the structure is absent.

    Raises:
        CardiacSegError: where ``labels`` is not three-dimensional or ``affine`` gives voxels without volume.
    """
    if labels.ndim != 3:
        raise CardiacSegError(f"labels have {labels.ndim} dimensions; a volume needs 3")
    return float(volume_curve_ml(labels, structure_number, affine)[0])


def volume_curve_ml(labels: np.ndarray, structure_number: int, affine: np.ndarray) -> np.ndarray:
    """Volume of one structure in every frame.

    Args:
        labels: integers (I, J, K, T), or (I, J, K) for a single frame.
        structure_number: number of the structure in ``labels``.
        affine: 4 x 4, array index to mm.

    Returns:
        float64 (T,), mL.

    Raises:
        CardiacSegError: where ``labels`` has other dimensions or ``affine`` gives voxels without volume.
    """
    _check_dimensions(labels)
    voxels = np.count_nonzero(labels == structure_number, axis=(0, 1, 2))
    return np.atleast_1d(voxels) * _voxel_ml(affine)


def _check_dimensions(labels: np.ndarray) -> None:
    if labels.ndim not in (3, 4):
        raise CardiacSegError(f"labels have {labels.ndim} dimensions; a volume needs 3 and a cine 4")


def _voxel_ml(affine: np.ndarray) -> float:
    affine = np.asarray(affine, float)
    if affine.shape != (4, 4):
        raise CardiacSegError(f"the affine is {affine.shape}; it must be 4 x 4")
    volume = abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0 if np.isfinite(affine).all() else 0.0
    if not volume > 0:
        raise CardiacSegError("the affine gives voxels without a volume; check the image's spacing and orientation")
    return volume


def slice_volumes_ml(labels: np.ndarray, structure_number: int, affine: np.ndarray) -> np.ndarray:
    """What each slice adds to the volume of one structure in every frame.

    Args:
        labels: integers (I, J, K, T), or (I, J, K) for a single frame. Any axis may run through the slices.
        structure_number: number of the structure in ``labels``.
        affine: 4 x 4, array index to mm.

    Returns:
        float64 (slices, T), mL, in the order of the array.

    Raises:
        CardiacSegError: as :func:`volume_curve_ml`.
    """
    _check_dimensions(labels)
    through = slice_axis(labels.shape, affine)
    in_plane = tuple(axis for axis in range(3) if axis != through)
    voxels = np.count_nonzero(labels == structure_number, axis=in_plane)
    return voxels.reshape(labels.shape[through], -1) * _voxel_ml(affine)


def phase_curve_ml(slices_ml: np.ndarray) -> np.ndarray:
    """The volume over time by which phases are told apart: that of the same slices in every frame.

    A slice at the base holds the ventricle in one frame and the atrium in the next, and adds or takes a tenth of the
    volume at once. So only the slices that show the ventricle in every frame count; with 12 frames or more each is
    taken at the median of a frame and its two neighbors around the cycle first, so that one frame in which the
    ventricle was missed does not exclude a slice. Where those slices hold less than half of the volume, all count.

    Args:
        slices_ml: volume of the ventricle in each slice and frame, (slices, T), mL.

    Returns:
        (T,), mL.
    """
    slices_ml = _without_slips(np.asarray(slices_ml, float))
    total = slices_ml.sum(axis=0)
    steady = slices_ml[(slices_ml > 0).all(axis=1)].sum(axis=0)
    return steady if steady.sum() >= 0.5 * total.sum() else total


def _without_slips(volumes_ml: np.ndarray) -> np.ndarray:
    """Volumes (..., T) at the median of each frame and its neighbors; as they are where frames are few."""
    if volumes_ml.shape[-1] < _FRAMES_TO_SMOOTH:
        return volumes_ml
    return np.median([np.roll(volumes_ml, shift, axis=-1) for shift in (-1, 0, 1)], axis=0)


def find_phases(slices_ml: np.ndarray) -> tuple[int, int]:
    """Frames of end-diastole and end-systole: the largest and the smallest left ventricle.

    It is looked at over the slices that show it throughout (:func:`phase_curve_ml`). With 12 frames or more the curve
    is smoothed around the cycle (weights 1, 2, 1). A frame in which most of the ventricle was missed is neither, where
    two others are whole.

    Args:
        slices_ml: volume of the ventricle in each slice and frame, (slices, T), mL (:func:`slice_volumes_ml`).

    Returns:
        (ED frame, ES frame), counted from 0. The first where several are equal.

    Raises:
        CardiacSegError: with fewer than two frames, or where no frame holds the ventricle.
    """
    total = np.asarray(slices_ml, float).sum(axis=0)
    if len(total) < 2:
        raise CardiacSegError("ED and ES need a cine with at least two frames")
    if not total.max() > 0:
        raise CardiacSegError("no frame holds a left ventricle, so ED and ES cannot be told")
    whole = (total > 0) & (total >= 0.5 * _without_slips(total))
    if np.count_nonzero(whole) < 2:
        whole[:] = True
    curve = phase_curve_ml(slices_ml)
    if len(curve) >= _FRAMES_TO_SMOOTH:
        curve = 0.25 * np.roll(curve, 1) + 0.5 * curve + 0.25 * np.roll(curve, -1)
    return int(np.argmax(np.where(whole, curve, -np.inf))), int(np.argmin(np.where(whole, curve, np.inf)))


@dataclass(frozen=True)
class Chamber:
    """Volumes of one ventricle, mL; None where unknown."""

    edv_ml: float | None = None
    esv_ml: float | None = None

    @property
    def stroke_volume_ml(self) -> float | None:
        """EDV - ESV, mL."""
        if self.edv_ml is None or self.esv_ml is None:
            return None
        return self.edv_ml - self.esv_ml

    @property
    def ejection_fraction(self) -> float | None:
        """(EDV - ESV) / EDV, percent."""
        stroke_volume = self.stroke_volume_ml
        if stroke_volume is None or not self.edv_ml:
            return None
        return 100.0 * stroke_volume / self.edv_ml


@dataclass(frozen=True)
class VentricularFunction:
    """What one heartbeat, or one image, says about the ventricles.

    Attributes:
        lv, rv: volumes at ED and ES. Both phases are those of the left ventricle. Empty without a cine.
        ed_frame, es_frame: counted from 0; None without a cine or without a left ventricle in it.
        volumes_ml: for each structure present its volume in each frame, (T,), mL.
    """

    lv: Chamber
    rv: Chamber
    ed_frame: int | None
    es_frame: int | None
    volumes_ml: Mapping[str, np.ndarray]


def ventricular_function(
    labels: np.ndarray,
    affine: np.ndarray,
    *,
    convention: LabelConvention = CANONICAL,
    frames: Sequence[int] | None = None,
) -> VentricularFunction:
    """Measure both ventricles.

    Args:
        labels: integers (I, J, K, T) over one heartbeat, or (I, J, K).
        affine: 4 x 4, array index to mm.
        convention: which number is which structure in ``labels``.
        frames: (ED frame, ES frame) counted from 0 where they are known; otherwise they are found in the left
            ventricle's volume over time (:func:`find_phases`).

    Returns:
        The volumes; with a cine also the function. A structure that the convention lacks, or that is nowhere in
        ``labels``, is left out rather than reported as 0 mL.

    Raises:
        CardiacSegError: where ``labels`` or ``affine`` do not fit together, or ``frames`` are not in the cine.
    """
    curves = {name: volume_curve_ml(labels, number, affine) for name, number in convention.items()}
    curves = {name: curve for name, curve in curves.items() if curve.max(initial=0.0) > 0}
    phases = _phases(labels, affine, convention, frames) if "LV" in curves or frames is not None else None
    if phases is None:
        return VentricularFunction(Chamber(), Chamber(), None, None, curves)
    ed_frame, es_frame = phases
    return VentricularFunction(
        lv=_chamber(curves.get("LV"), ed_frame, es_frame),
        rv=_chamber(curves.get("RV"), ed_frame, es_frame),
        ed_frame=ed_frame,
        es_frame=es_frame,
        volumes_ml=curves,
    )


def _phases(
    labels: np.ndarray, affine: np.ndarray, convention: LabelConvention, frames: Sequence[int] | None
) -> tuple[int, int] | None:
    """(ED frame, ES frame), or None where there is no cine."""
    count = labels.shape[3] if labels.ndim == 4 else 1
    if frames is not None:
        if len(frames) != 2 or not all(0 <= frame < count for frame in frames):
            raise CardiacSegError(
                f"ED and ES frames {tuple(frames)} are not both among the {count} frames of the image"
            )
        return int(frames[0]), int(frames[1])
    if count < 2:
        return None
    return find_phases(slice_volumes_ml(labels, convention["LV"], affine))


def _chamber(curve: np.ndarray | None, ed_frame: int, es_frame: int) -> Chamber:
    """A chamber that is not seen in a phase has no volume there: 0 mL would be a wrong measurement, not a small one."""
    if curve is None:
        return Chamber()
    return Chamber(float(curve[ed_frame]) or None, float(curve[es_frame]) or None)
