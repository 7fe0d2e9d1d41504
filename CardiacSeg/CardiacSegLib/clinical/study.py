"""Measuring a study: from the labels of a cine, or of one phase, to everything a cardiologist reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from CardiacSegLib.anatomy import CANONICAL, LabelConvention
from CardiacSegLib.clinical import rows as tables
from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.clinical.curves import check_frame_times, cycle_ms, peak_rates, time_course_ml
from CardiacSegLib.clinical.hints import coverage_hints, function_hints, gating_hints
from CardiacSegLib.clinical.measures import PAPILLARY, StudyMeasures
from CardiacSegLib.clinical.rows import StudyRow
from CardiacSegLib.clinical.volumes import (
    VentricularFunction,
    find_phases,
    phase_curve_ml,
    slice_volumes_ml,
    ventricular_function,
)
from CardiacSegLib.clinical.wall import Wall, apex_is_last, measure_wall, thickening_percent
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.geometry import SliceView, slice_axis, voxel_spacing

#: Beats per minute of a living heart; beyond them frame times are in another unit.
_HEART_RATES = (20.0, 250.0)


def measure_study(
    labels: np.ndarray,
    affine: np.ndarray,
    *,
    frame_times: Sequence[float] | np.ndarray | None = None,
    heart_rate: float | None = None,
    subject: Subject | None = None,
    convention: LabelConvention = CANONICAL,
    frames: Sequence[int] | None = None,
    papillary: str = "volume",
) -> StudyMeasures:
    """Measure a study.

    Volumes are summed over the slices, each as thick as the way to the next one, its gap included. ED and ES are the
    largest and the smallest left ventricle over the slices that show it throughout
    (:func:`CardiacSegLib.clinical.volumes.find_phases`); the right ventricle is measured at these, and beside it at
    its own extremes. Of an image with a single slice areas are told instead of volumes.

    Args:
        labels: integers (I, J, K, T) over one heartbeat, or (I, J, K), which gives what a single phase can.
        affine: 4 x 4, array index to RAS mm.
        frame_times: (T,), ms, rising. The heart rate follows from them where the frames divide a heartbeat evenly.
        heart_rate: beats per minute; goes before that of the frame times.
        subject: the person's body and, for normal ranges, sex and age.
        convention: which number is which structure in ``labels``.
        frames: (ED frame, ES frame) counted from 0, where a person chose them.
        papillary: where the labels put papillary muscles: "volume", as those of ACDC, M&Ms and the models that ship
            with CardiacSeg do, or "mass".

    Returns:
        The measures. What cannot be known is empty, with a reason, never zero.

    Raises:
        CardiacSegError: where labels, affine, frames, times or rate do not fit together.
    """
    if papillary not in PAPILLARY:
        raise CardiacSegError(f"papillary '{papillary}' is not known; choose from {', '.join(PAPILLARY)}")
    subject = subject or Subject()
    function = ventricular_function(labels, affine, convention=convention, frames=frames)
    stack = _Stack(labels.reshape(*labels.shape[:3], -1), np.asarray(affine, float), convention, _phases(function))
    timing = _timing(frame_times, heart_rate, stack.cine.shape[3])
    walls = stack.walls()
    thickening = thickening_percent(walls["ED"], walls["ES"]) if "ES" in walls else None
    rows = _area_rows(function, stack) if stack.is_flat else _rows(function, stack, walls, thickening, timing)
    return StudyMeasures(
        rows=tables.with_ranges(tables.with_indexed(rows, subject.bsa_m2), subject, papillary),
        segment_rows=() if stack.is_flat else tables.segment_rows(walls, thickening),
        warnings=_warnings(function, stack, rows) + gating_hints(heart_rate, cycle_ms(timing.times)),
        function=function,
        subject=subject,
        phases=stack.phases,
        phases_given=frames is not None,
        frame_times_ms=timing.times,
        heart_rate=timing.rate,
        walls=walls,
        thickening_percent=thickening,
        slices=stack.slices_held(),
        slices_in_stack=int(stack.cine.shape[stack.through]),
        slice_step_mm=stack.step_mm,
        papillary=papillary,
    )


def _phases(function: VentricularFunction) -> dict[str, int]:
    """Frames by the name of their phase; of a single phase, whose name is not known, the only one."""
    if function.ed_frame is None or function.es_frame is None:
        return {"": 0}
    return {"ED": function.ed_frame, "ES": function.es_frame}


@dataclass(frozen=True)
class _Stack:
    """Labels (I, J, K, T), their affine and convention, and the frames of the phases."""

    cine: np.ndarray
    affine: np.ndarray
    convention: LabelConvention
    phases: Mapping[str, int]

    @property
    def through(self) -> int:
        return slice_axis(self.cine.shape, self.affine)

    @property
    def step_mm(self) -> float:
        return float(voxel_spacing(self.affine)[self.through])

    @property
    def is_flat(self) -> bool:
        return self.cine.shape[self.through] == 1

    @property
    def first_phase(self) -> np.ndarray:
        """Labels (I, J, K) at ED, or of the only phase. It shows more of the stack than ES does."""
        return self.cine[..., next(iter(self.phases.values()))]

    def slices_ml(self, name: str) -> np.ndarray:
        """What each slice adds to the volume of a structure in each frame, (slices, T), mL."""
        return slice_volumes_ml(self.cine, self.convention[name], self.affine)

    def slices_held(self) -> dict[str, dict[str, int]]:
        """How many slices show LV and RV at each phase."""
        held = {name: self.slices_ml(name) > 0 for name in ("LV", "RV") if name in self.convention}
        return {
            name: {phase: int(shown[:, frame].sum()) for phase, frame in self.phases.items()}
            for name, shown in held.items()
        }

    def walls(self) -> dict[str, Wall]:
        """The wall at each phase."""
        apex_last = apex_is_last(self.first_phase, self.affine, convention=self.convention)
        return {
            phase: measure_wall(self.cine[..., frame], self.affine, convention=self.convention, apex_last=apex_last)
            for phase, frame in self.phases.items()
        }

    def lv_from_base_ml(self) -> np.ndarray:
        """What each slice adds to the left ventricular volume in the first phase, base first, (slices,), mL."""
        apex_last = apex_is_last(self.first_phase, self.affine, convention=self.convention)
        view_runs_backward = 0 in SliceView.of_stack(self.cine.shape, self.affine).reversed_axes
        by_slice = self.slices_ml("LV")[:, next(iter(self.phases.values()))]
        return by_slice if apex_last != view_runs_backward else by_slice[::-1]


@dataclass(frozen=True)
class _Timing:
    """Frame times (T,), ms; heart rate, beats per minute; and where that is from, or why it is missing."""

    times: np.ndarray | None
    rate: float | None
    note: str


def _timing(frame_times: Sequence[float] | np.ndarray | None, heart_rate: float | None, frames: int) -> _Timing:
    times = None if frame_times is None else check_frame_times(np.asarray(frame_times), frames)
    low, high = _HEART_RATES
    if heart_rate is not None:
        if not low <= heart_rate <= high:
            raise CardiacSegError(f"heart rate {heart_rate:g} is not between {low:g} and {high:g}; give it per minute")
        return _Timing(times, float(heart_rate), f"at {heart_rate:.0f}/min, as given")
    cycle = cycle_ms(times)
    if cycle is None:
        return _Timing(times, None, "no heart rate, and no frame times that tell it")
    rate = 60000.0 / cycle
    if not low <= rate <= high:
        return _Timing(times, None, f"the frame times would make {rate:.0f} beats per minute; are they in ms?")
    return _Timing(times, rate, f"at {rate:.0f}/min, from frame times")


def _rows(
    function: VentricularFunction,
    stack: _Stack,
    walls: Mapping[str, Wall],
    thickening: np.ndarray | None,
    timing: _Timing,
) -> list[StudyRow]:
    wall_rows = tables.mass_rows(function.volumes_ml.get("MYO"), stack.phases) + tables.wall_rows(walls, thickening)
    if thickening is None:
        curves = function.volumes_ml.items()
        return [row for name, curve in curves for row in tables.volume_rows(name, curve, stack.phases)] + wall_rows
    rows = tables.ventricle_rows("LV", function.lv, timing.rate, timing.note)
    if "LV" in function.volumes_ml:
        rows += _rate_rows(function.volumes_ml["LV"], stack, timing)
    if "RV" in function.volumes_ml:
        rows += tables.ventricle_rows("RV", function.rv, timing.rate, timing.note)
        extremes = find_phases(stack.slices_ml("RV"))
        rows += tables.own_extreme_rows("RV", function.volumes_ml["RV"], extremes)
    if "LA" in function.volumes_ml:
        rows += tables.volume_rows("LA", function.volumes_ml["LA"], stack.phases)
    return rows + wall_rows


def _rate_rows(volumes_ml: np.ndarray, stack: _Stack, timing: _Timing) -> list[StudyRow]:
    period = cycle_ms(timing.times)
    known = period is not None and timing.rate is not None
    ed, es = stack.phases["ED"], stack.phases["ES"]
    curve = time_course_ml(volumes_ml, phase_curve_ml(stack.slices_ml("LV")), ed, es)
    rates = peak_rates(curve, period, ed, es) if known and curve is not None else None
    return tables.rate_rows(rates, len(volumes_ml), known)


def _area_rows(function: VentricularFunction, stack: _Stack) -> list[StudyRow]:
    """Areas, cm², of a single slice, whose volumes would mean nothing."""
    return [
        StudyRow(f"Area{tables.at(phase)}", name, float(curve[frame]) * 10.0 / stack.step_mm or None, "cm²")
        for phase, frame in stack.phases.items()
        for name, curve in function.volumes_ml.items()
    ]


def _warnings(function: VentricularFunction, stack: _Stack, rows: Sequence[StudyRow]) -> list[str]:
    if "LV" not in function.volumes_ml:
        return ["No left ventricle was found in the labels"]
    if stack.is_flat:
        return ["The image has a single slice: areas are told instead of volumes"]
    masses = {phase: row.value for phase in ("ED", "ES") for row in rows if row.measure == f"Mass at {phase}"}
    return coverage_hints(stack.lv_from_base_ml()) + function_hints(function.lv, function.rv, masses)
