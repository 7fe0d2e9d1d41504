"""What was measured of segmentations, as the rows and the curve that a person reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from CardiacSegLib.mrml.studies import Measured
from CardiacSegLib.mrml.tables import HEADER, Row

if TYPE_CHECKING:  # their own imports take a quarter of a second
    from CardiacSegLib.clinical.rows import StudyRow
    from CardiacSegLib.clinical.study import StudyMeasures

#: Structures of which the curve shows the volume; that of the wall does not change.
_CURVES = ("LV", "RV", "LA")


def table_rows(measured: Measured) -> list[Row]:
    """The rows of a study: a measure with itself over the body surface area in one row.

    Those of the segments of the wall follow, and of a cine the frames of ED and ES, counted from 1.
    """
    study = measured.study
    found = [_row(study, row) for row in (*study.rows, *study.segment_rows) if not row.indexed]
    if measured.is_cine:
        found += [Row(f"{name} frame", "", frame + 1, "") for name, frame in study.phases.items() if name]
    return found


def _row(study: StudyMeasures, row: StudyRow) -> Row:
    indexed = study.row(row.measure, row.structure, indexed=True)
    both = [row] if indexed is None else [row, indexed]
    ranges = [(found, each.unit) for each in both for found in each.ranges]
    return Row(
        *(row.measure, row.structure, row.value, row.unit, None if indexed is None else indexed.value),
        normal_range="; ".join(f"{found.text} {unit}" for found, unit in ranges),
        range_source="; ".join(dict.fromkeys(found.origin for found, _ in ranges)),
        note=row.note,
    )


class Curve(NamedTuple):
    """What :func:`CardiacSegLib.mrml.plots.fill_curves` needs of a heartbeat, by the names of its arguments."""

    rows: list[dict[str, float]]
    x: str
    columns: list[str]
    y_title: str
    marks: Mapping[str, float]


def study_curve(measured: Measured) -> Curve:
    """The volumes of the ventricles, and of the atrium where it is seen, over time or frames from 1, with ED and ES.

    Of images of one slice the areas.
    """
    study, times = measured.study, measured.study.frame_times_ms
    x = "frame" if times is None else "time (ms)"
    places = np.arange(1, len(measured.phases) + 1) if times is None else times
    is_flat = study.slices_in_stack == 1
    factor = 10.0 / study.slice_step_mm if is_flat else 1.0
    curves = {name: factor * study.function.volumes_ml[name] for name in _CURVES if name in study.function.volumes_ml}
    rows = [
        {x: float(place), **{name: float(curve[number]) for name, curve in curves.items()}}
        for number, place in enumerate(places)
    ]
    marks = {name: float(places[frame]) for name, frame in study.phases.items() if name}
    return Curve(rows, x, list(curves), "area (cm²)" if is_flat else "volume (mL)", marks)


def csv_text(rows: Sequence[Row]) -> str:
    """Rows as CSV with a header; a value that is None stays empty."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(_lines(rows))
    return stream.getvalue()


def tab_text(rows: Sequence[Row]) -> str:
    """Rows as plain text with tabs, which a spreadsheet takes from the clipboard as cells."""
    return "".join("\t".join(line) + "\n" for line in _lines(rows))


def _lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    return [HEADER, *(tuple(map(_shown, row)) for row in rows)]


def _shown(cell: str | float | None) -> str:
    if cell is None:
        return ""
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
