"""What was measured in a study, as one object: for a table, a file, a page or a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.clinical.rows import StudyRow
from CardiacSegLib.clinical.volumes import VentricularFunction
from CardiacSegLib.clinical.wall import Wall

#: What the labels can make of papillary muscles, in words for a reader.
PAPILLARY: Mapping[str, str] = {
    "volume": "papillary muscles and trabeculae belong to the pool",
    "mass": "papillary muscles and trabeculae belong to the wall",
}


@dataclass(frozen=True)
class StudyMeasures:
    """What was measured.

    Attributes:
        rows: the table.
        warnings: what to look at again, one line each.
        function: volumes and phases; ``function.volumes_ml`` holds the volume of each structure in each frame.
        subject: the person.
        phases: frames, counted from 0, by the name of their phase: "ED" and "ES"; {"": 0} without a cine.
        phases_given: whether a person chose them.
        frame_times_ms: (T,), or None where they are not known.
        heart_rate: beats per minute, given or from the frame times; None where neither is known.
        walls: the left ventricular wall by the name of its phase, as ``phases``.
        thickening_percent: of the segments 1 to 16, NaN where it was not measured; None without a cine.
        slices: for LV and RV how many slices show them, by the name of the phase, as ``phases``.
        slices_in_stack: how many slices there are.
        slice_step_mm: from the middle of one slice to that of the next, the gap included.
        papillary: where the labels put papillary muscles, a key of ``PAPILLARY``.
        segment_rows: the thickness of every segment, and its thickening, as further rows.
    """

    rows: Sequence[StudyRow]
    warnings: Sequence[str]
    function: VentricularFunction
    subject: Subject
    phases: Mapping[str, int]
    phases_given: bool
    frame_times_ms: np.ndarray | None
    heart_rate: float | None
    walls: Mapping[str, Wall]
    thickening_percent: np.ndarray | None
    slices: Mapping[str, Mapping[str, int]]
    slices_in_stack: int
    slice_step_mm: float
    papillary: str = "volume"
    segment_rows: Sequence[StudyRow] = field(default=(), repr=False)

    def row(self, measure: str, structure: str, *, indexed: bool = False) -> StudyRow | None:
        """The row of that measure, or None where the study has none."""
        wanted = (measure, structure, indexed)
        return next((row for row in self.rows if (row.measure, row.structure, row.indexed) == wanted), None)

    def value(self, measure: str, structure: str, *, indexed: bool = False) -> float | int | None:
        """The value of that measure; None where it is missing."""
        row = self.row(measure, structure, indexed=indexed)
        return None if row is None else row.value

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it; what was not measured is null."""
        return {
            "research_use_only": True,
            "ed_frame": self.function.ed_frame,
            "es_frame": self.function.es_frame,
            "phases_given": self.phases_given,
            "heart_rate": self.heart_rate,
            "subject": {**vars(self.subject), "bsa_m2": self.subject.bsa_m2},
            "papillary": PAPILLARY[self.papillary],
            "slices": {
                "in_stack": self.slices_in_stack,
                "step_mm": self.slice_step_mm,
                **{name: {phase or "volume": n for phase, n in held.items()} for name, held in self.slices.items()},
            },
            "rows": [_row_dict(row) for row in self.rows],
            "segments": {
                **{f"thickness_mm{_key(phase)}": _values(wall.segments_mm) for phase, wall in self.walls.items()},
                **({} if self.thickening_percent is None else {"thickening_percent": _values(self.thickening_percent)}),
            },
            "frame_times_ms": None if self.frame_times_ms is None else _values(self.frame_times_ms),
            "volumes_ml": {name: _values(curve) for name, curve in self.function.volumes_ml.items()},
            "warnings": list(self.warnings),
        }


def _row_dict(row: StudyRow) -> dict[str, Any]:
    kept = ("low", "high", "source", "table", "sex", "ages", "papillary", "population", "limits", "checked", "citation")
    ranges = [{name: getattr(found, name) for name in kept} for found in row.ranges]
    return {**vars(row), "ranges": ranges}


def _values(values: np.ndarray) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _key(phase: str) -> str:
    return f"_{phase.lower()}" if phase else ""
