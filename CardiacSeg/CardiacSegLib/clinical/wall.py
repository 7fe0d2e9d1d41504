"""Wall thickness in the segments of the American Heart Association, and diameters, from a short-axis stack.

Segments follow M. D. Cerqueira et al., "Standardized myocardial segmentation and nomenclature for tomographic imaging
of the heart", Circulation 105:539-542 (2002): six each at base and middle and four at the apex, counted from the
anterior insertion of the right ventricle. The seventeenth, the tip of the apex, lies in no short-axis slice.

Which way is anterior follows from where the array lies in the patient; which way round the segments go, from the side
on which the septum is; and which end is the base, from the size of the ventricle. So a stack that is turned or
flipped, its affine with it, has the same segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from CardiacSegLib.anatomy import CANONICAL, LabelConvention
from CardiacSegLib.clinical.rings import ANGLES, RAYS, Ring, find_ring
from CardiacSegLib.geometry import SliceView

#: Names of the segments 1 to 16.
SEGMENTS: tuple[str, ...] = (
    *(f"basal {name}" for name in ("anterior", "anteroseptal", "inferoseptal")),
    *(f"basal {name}" for name in ("inferior", "inferolateral", "anterolateral")),
    *(f"mid {name}" for name in ("anterior", "anteroseptal", "inferoseptal")),
    *(f"mid {name}" for name in ("inferior", "inferolateral", "anterolateral")),
    *(f"apical {name}" for name in ("anterior", "septal", "inferior", "lateral")),
)

#: Degrees from the anterior insertion towards the septum at which the segments of a level begin, in their order; the
#: first of each begins on the other side. Apical segments are centered as those above, a quarter turn each.
_BEGINS: tuple[tuple[int, ...], ...] = ((300, 0, 60, 120, 180, 240), (300, 0, 60, 120, 180, 240), (285, 15, 105, 195))
_FIRST_SEGMENT = (0, 6, 12)

#: Towards the front and the head, in RAS: up in a short-axis view.
_ANTERIOR = np.array((0.0, 1.0, 1.01))

#: Towards the apex the right ventricle tapers to a tip behind the middle of the septum, and at the base its outflow
#: tract runs around the left one: only where it covers an arc like this do its ends divide septum from free wall.
_SEPTUM_DEGREES = (75.0, 160.0)

#: The insertions of the slices of one heart lie within this of each other; another one was misread.
_STRAY_DEGREES = 45.0

#: A segment counts where the wall is seen along so much of it.
_SEEN = 0.5

#: From the middle of the anteroseptal segment to that of the inferolateral one: across the pool as in a long-axis view.
_DIAMETER_DEGREES = 30.0


@dataclass(frozen=True)
class Wall:
    """The wall of the left ventricle in one phase.

    Attributes:
        segments_mm: thickness in the segments 1 to 16, NaN where it could not be measured.
        diameter_mm: inner diameter (:func:`measure_wall`); None where it could not be measured.
        slices: how many slices show the wall all around.
        reason: why segments are missing; "" where none is.
    """

    segments_mm: np.ndarray = field(default_factory=lambda: np.full(len(SEGMENTS), np.nan))
    diameter_mm: float | None = None
    slices: int = 0
    reason: str = ""


def measure_wall(
    labels: np.ndarray,
    affine: np.ndarray,
    *,
    convention: LabelConvention = CANONICAL,
    apex_last: bool | None = None,
) -> Wall:
    """Measure the wall in one phase.

    The slices that show the wall all around are divided into a basal, a middle and an apical third. In each slice the
    thickness is that across the wall's center line (:mod:`CardiacSegLib.clinical.rings`); a segment has the mean over
    its directions and slices. The segments of a slice begin at the anterior insertion of the right ventricle; where a
    slice shows none, at that of the slices next to it.

    The diameter is the inner one from the middle of the anteroseptal to the middle of the inferolateral wall, through
    the center of the pool, in the slice of the basal third that is nearest to the middle: about at the tips of the
    mitral leaflets, where J. Schulz-Menger et al., J Cardiovasc Magn Reson 22:19 (2020), want it measured.

    Args:
        labels: integers (I, J, K). Any axis may run through the slices.
        affine: 4 x 4, array index to RAS mm.
        convention: which number is which structure in ``labels``.
        apex_last: whether the apex lies at the end of the stack as :class:`~CardiacSegLib.geometry.SliceView` orders
            it; found by :func:`apex_is_last` where None.

    Returns:
        The wall; everything in it is empty, with a reason, where pool and wall are not both labeled.
    """
    if not {"LV", "MYO"} <= set(convention):
        return Wall(reason="the labels hold no myocardium around a left ventricular pool")
    view = SliceView.of_stack(labels.shape, affine)
    if apex_last is None:
        apex_last = apex_is_last(labels, affine, convention=convention)
    slices = view.slices(labels)[:: 1 if apex_last else -1]
    rings = [ring for ring in (_ring(image, convention, view.spacing) for image in slices) if ring is not None]
    if not rings:
        return Wall(reason="no slice shows the myocardium all around the left ventricle")
    insertions = _insertions(rings, _anterior_in_plane(view, affine))
    if insertions is None:
        return Wall(slices=len(rings), reason="no slice shows where the right ventricle meets the left")
    levels = [min(int(3.0 * (number + 0.5) / len(rings)), 2) for number in range(len(rings))]
    segments = _segments(rings, insertions, levels)
    basal = max((number for number, level in enumerate(levels) if level == 0), default=None)
    missing = int(np.isnan(segments).sum())
    reason = f"{missing} segments are not in the {len(rings)} slices that show the wall all around" if missing else ""
    diameter = None if basal is None else _diameter(rings[basal], insertions[basal])
    return Wall(segments, diameter, len(rings), reason)


def thickening_percent(ed: Wall, es: Wall) -> np.ndarray:
    """Systolic wall thickening of the segments 1 to 16: (ES - ED) / ED, percent; NaN where either is missing."""
    return 100.0 * (es.segments_mm - ed.segments_mm) / ed.segments_mm


def apex_is_last(labels: np.ndarray, affine: np.ndarray, *, convention: LabelConvention = CANONICAL) -> bool:
    """Whether the apex lies at the end of a stack as ``SliceView`` orders it: where the left ventricle is smaller.

    Headers cannot tell: those of ACDC, for one, claim that the slices are axial. Where the ventricle is as large at
    both ends, the order of ``SliceView`` counts, which leads to the left, the front and the feet.
    """
    view = SliceView.of_stack(labels.shape, affine)
    numbers = [convention[name] for name in ("LV", "MYO") if name in convention]
    areas = np.count_nonzero(np.isin(view.slices(labels), numbers), axis=(1, 2))
    held = np.flatnonzero(areas)
    if len(held) < 2:
        return True
    return bool(np.polyfit(held, areas[held], 1)[0] <= 1e-9)


def _ring(image: np.ndarray, convention: LabelConvention, spacing: Sequence[float]) -> Ring | None:
    pool, wall = (image == convention[name] for name in ("LV", "MYO"))
    right = image == convention["RV"] if "RV" in convention else np.zeros(image.shape, bool)
    return find_ring(pool, wall, right, spacing)


def _anterior_in_plane(view: SliceView, affine: np.ndarray) -> np.ndarray:
    """How far a millimeter along the rows and one along the columns of the view lead towards anterior, (2,)."""
    directions = np.asarray(affine, float)[:3, :3]
    directions = directions / np.linalg.norm(directions, axis=0)
    signs = [-1.0 if number in view.reversed_axes else 1.0 for number in (1, 2)]
    return np.array([sign * float(directions[:, axis] @ _ANTERIOR) for sign, axis in zip(signs, view.axes[1:])])


@dataclass(frozen=True)
class _Insertion:
    """The anterior insertion as an angle, radians, and the way from it to the septum: 1 with rising angles, or -1."""

    angle: float
    way: int


def _insertions(rings: Sequence[Ring], anterior: np.ndarray) -> list[_Insertion] | None:
    """The anterior insertion of each slice, from its neighbors where the slice shows none that can be relied on.

    None where no slice shows one.
    """
    shown = [number for number, ring in enumerate(rings) if ring.septum is not None]
    seen = [number for number in shown if _divides(rings[number])] or shown
    if not seen:
        return None
    found = [_insertion(rings[number], anterior) for number in seen]
    way = 1 if sum(insertion.way for insertion in found) >= 0 else -1
    agreeing = [(number, insertion.angle) for number, insertion in zip(seen, found) if insertion.way == way]
    numbers, angles = (np.array(values) for values in zip(*agreeing))
    middle = _circular_median(angles)
    offsets = np.angle(np.exp(1j * (angles - middle)))
    kept = np.abs(offsets) <= np.radians(_STRAY_DEGREES)
    offsets = np.interp(np.arange(len(rings)), numbers[kept], offsets[kept])
    return [_Insertion(middle + float(offset), way) for offset in offsets]


def _divides(ring: Ring) -> bool:
    """Whether the right ventricle covers the septum, neither less nor much more."""
    first, last = ring.septum
    return _SEPTUM_DEGREES[0] <= 360.0 / RAYS * (last - first + 1) <= _SEPTUM_DEGREES[1]


def _insertion(ring: Ring, anterior: np.ndarray) -> _Insertion:
    """Of the two ends of the septum the anterior one."""
    first, last = ring.septum
    if ring.outer_point(first) @ anterior >= ring.outer_point(last) @ anterior:
        return _Insertion(float(ANGLES[first % RAYS]), 1)
    return _Insertion(float(ANGLES[last % RAYS]), -1)


def _circular_median(angles: np.ndarray) -> float:
    """The one of the angles from which the others are nearest, around the circle."""
    distances = np.abs(np.angle(np.exp(1j * (angles[:, None] - angles[None, :])))).sum(axis=1)
    return float(angles[np.argmin(distances)])


def _segments(rings: Sequence[Ring], insertions: Sequence[_Insertion], levels: Sequence[int]) -> np.ndarray:
    """Mean thickness in the 16 segments, mm, NaN where it is not seen along half of one."""
    gathered: list[list[np.ndarray]] = [[] for _ in SEGMENTS]
    for ring, insertion, level in zip(rings, insertions, levels):
        degrees = np.degrees(insertion.way * (ANGLES - insertion.angle)) % 360.0
        width = 360.0 / len(_BEGINS[level])
        for number, begin in enumerate(_BEGINS[level]):
            gathered[_FIRST_SEGMENT[level] + number].append(ring.thickness[(degrees - begin) % 360.0 < width])
    return np.array([_mean_of_seen(np.concatenate(parts) if parts else np.empty(0)) for parts in gathered])


def _mean_of_seen(values: np.ndarray) -> float:
    seen = values[~np.isnan(values)]
    return float(seen.mean()) if len(seen) and len(seen) >= _SEEN * len(values) else np.nan


def _diameter(ring: Ring, insertion: _Insertion) -> float | None:
    """Inner diameter, mm, from the middle of the anteroseptal to the middle of the inferolateral wall."""
    angle = insertion.angle + insertion.way * np.radians(_DIAMETER_DEGREES)
    ray = round(angle / (2.0 * np.pi) * RAYS)
    diameter = float(ring.inner[ray % RAYS] + ring.inner[(ray + RAYS // 2) % RAYS])
    return diameter if np.isfinite(diameter) else None
