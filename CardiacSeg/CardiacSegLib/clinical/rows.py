"""The rows of a study's table, from what was measured: a value, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.clinical.curves import FRAMES_FOR_RATES, PeakRates
from CardiacSegLib.clinical.ranges import NormalRange, find_ranges
from CardiacSegLib.clinical.volumes import MYOCARDIAL_DENSITY, Chamber
from CardiacSegLib.clinical.wall import SEGMENTS, Wall

#: Measures that are divided by the body surface area, with the unit that this gives.
_INDEXED_UNITS: Mapping[str, str] = {"mL": "mL/m²", "g": "g/m²", "L/min": "L/min/m²"}


@dataclass(frozen=True)
class StudyRow:
    """One measure.

    Attributes:
        measure: such as "EDV" or "Mass at ED".
        structure: "LV", "MYO", "RV", "LA", or "" for what is of none.
        value: None where it could not be measured; never zero instead.
        unit: of the value.
        indexed: whether the value is divided by the body surface area.
        ranges: published normal ranges that apply.
        note: what the value rests on, or why there is none.
    """

    measure: str
    structure: str
    value: float | int | None
    unit: str
    indexed: bool = False
    ranges: tuple[NormalRange, ...] = ()
    note: str = ""


def ventricle_rows(name: str, chamber: Chamber, heart_rate: float | None, rate_note: str) -> list[StudyRow]:
    """EDV, ESV, SV, EF and cardiac output of one ventricle.

    Stroke volume is EDV - ESV, ejection fraction that over EDV, and cardiac output stroke volume times heart rate:
    J. Schulz-Menger et al., J Cardiovasc Magn Reson 22:19 (2020).

    Args:
        name: "LV" or "RV".
        chamber: its volumes at ED and ES.
        heart_rate: beats per minute; None where it is not known.
        rate_note: where the heart rate is from, or why there is none.
    """
    missing = [phase for phase, volume in (("ED", chamber.edv_ml), ("ES", chamber.esv_ml)) if volume is None]
    unseen = f"{name} is not seen at {' and '.join(missing)}" if missing else ""
    stroke = chamber.stroke_volume_ml
    output = None if stroke is None or heart_rate is None else stroke * heart_rate / 1000.0
    return [
        StudyRow("EDV", name, chamber.edv_ml, "mL", note=unseen if chamber.edv_ml is None else ""),
        StudyRow("ESV", name, chamber.esv_ml, "mL", note=unseen if chamber.esv_ml is None else ""),
        StudyRow("SV", name, stroke, "mL", note=unseen),
        StudyRow("EF", name, chamber.ejection_fraction, "%", note=unseen),
        StudyRow("Cardiac output", name, output, "L/min", note=unseen or rate_note),
    ]


def own_extreme_rows(name: str, volumes_ml: np.ndarray, frames: tuple[int, int]) -> list[StudyRow]:
    """Volumes of a ventricle at its own largest and smallest frame, beside those at the phases of the left one."""
    chamber = Chamber(*(float(volumes_ml[frame]) or None for frame in frames))
    notes = [f"frame {frame + 1}" for frame in frames]
    return [
        StudyRow("Largest volume", name, chamber.edv_ml, "mL", note=notes[0]),
        StudyRow("Smallest volume", name, chamber.esv_ml, "mL", note=notes[1]),
        StudyRow("EF of own extremes", name, chamber.ejection_fraction, "%", note=f"{notes[0]} to {notes[1]}"),
    ]


def volume_rows(name: str, volumes_ml: np.ndarray, phases: Mapping[str, int]) -> list[StudyRow]:
    """The volume of a structure at each phase."""
    return [
        StudyRow(f"Volume{at(phase)}", name, float(volumes_ml[frame]) or None, "mL") for phase, frame in phases.items()
    ]


def rate_rows(rates: PeakRates | None, frames: int, has_period: bool) -> list[StudyRow]:
    """Peak ejection and peak filling rate of the left ventricle (:func:`CardiacSegLib.clinical.curves.peak_rates`)."""
    note = "smoothed to 5 harmonics"
    if rates is None:
        few = f"needs {FRAMES_FOR_RATES} frames or more; there are {frames}"
        same = "no change from ED to ES" if has_period else "no frame times, or uneven ones"
        note = few if frames < FRAMES_FOR_RATES else same
    return [
        StudyRow("Peak ejection rate", "LV", rates.ejection if rates else None, "mL/s", note=note),
        StudyRow("Peak filling rate", "LV", rates.filling if rates else None, "mL/s", note=note),
    ]


def mass_rows(volumes_ml: np.ndarray | None, phases: Mapping[str, int]) -> list[StudyRow]:
    """Mass of the left ventricular wall: 1.05 g/mL times its volume, at each phase.

    Args:
        volumes_ml: of the wall in each frame, (T,); None where the labels have none.
        phases: frames by the name of their phase, "" where it is not known.
    """
    if volumes_ml is None:
        return []
    volumes = {phase: float(volumes_ml[frame]) or None for phase, frame in phases.items()}
    return [
        StudyRow(
            f"Mass{at(phase)}",
            "MYO",
            None if volume is None else MYOCARDIAL_DENSITY * volume,
            "g",
            note="the wall is not seen" if volume is None else "",
        )
        for phase, volume in volumes.items()
    ]


def wall_rows(walls: Mapping[str, Wall], thickening: np.ndarray | None) -> list[StudyRow]:
    """Diameter and wall thickness at each phase, and what they change by.

    Args:
        walls: by the name of their phase.
        thickening: of the 16 segments, percent; None without ED and ES.
    """
    rows = [
        StudyRow(f"Diameter{at(phase)}", "LV", wall.diameter_mm, "mm", note="" if wall.diameter_mm else wall.reason)
        for phase, wall in walls.items()
    ]
    if thickening is not None:
        rows.append(_shortening_row(walls["ED"].diameter_mm, walls["ES"].diameter_mm))
    for phase, wall in walls.items():
        rows += _thickness_rows(phase, wall)
    if thickening is not None:
        mean = None if np.isnan(thickening).all() else float(np.nanmean(thickening))
        seen = int(np.isfinite(thickening).sum())
        rows.append(StudyRow("Thickening, mean", "MYO", mean, "%", note=f"of {seen} segments"))
    return rows


def _shortening_row(ed_mm: float | None, es_mm: float | None) -> StudyRow:
    """Fractional shortening: the change of the diameter against that at ED."""
    known = ed_mm is not None and es_mm is not None
    value = 100.0 * (ed_mm - es_mm) / ed_mm if known else None
    return StudyRow("Fractional shortening", "LV", value, "%", note="" if known else "a diameter is missing")


def _thickness_rows(phase: str, wall: Wall) -> list[StudyRow]:
    segments = wall.segments_mm
    seen = int(np.isfinite(segments).sum())
    if not seen:
        return [
            StudyRow(f"Wall thickness{at(phase)}, {what}", "MYO", None, "mm", note=wall.reason)
            for what in ("mean", "largest")
        ]
    thickest = int(np.nanargmax(segments))
    return [
        StudyRow(
            f"Wall thickness{at(phase)}, mean", "MYO", float(np.nanmean(segments)), "mm", note=f"of {seen} segments"
        ),
        StudyRow(
            f"Wall thickness{at(phase)}, largest",
            "MYO",
            float(segments[thickest]),
            "mm",
            note=f"segment {thickest + 1}, {SEGMENTS[thickest]}",
        ),
    ]


def segment_rows(walls: Mapping[str, Wall], thickening: np.ndarray | None) -> list[StudyRow]:
    """A row for every segment and phase, and for its thickening."""
    columns = [(f"Wall thickness{at(phase)}", "mm", wall.segments_mm) for phase, wall in walls.items()]
    if thickening is not None:
        columns.append(("Thickening", "%", thickening))
    return [
        StudyRow(f"{measure}, segment {number}", "MYO", float(value) if np.isfinite(value) else None, unit, note=name)
        for measure, unit, values in columns
        for number, (name, value) in enumerate(zip(SEGMENTS, values), 1)
    ]


def with_indexed(rows: Sequence[StudyRow], bsa_m2: float | None) -> list[StudyRow]:
    """Rows, each volume, mass and output of them followed by itself over the body surface area where that is known."""
    if bsa_m2 is None:
        return list(rows)
    found = []
    for row in rows:
        found.append(row)
        if row.unit in _INDEXED_UNITS:
            value = None if row.value is None else row.value / bsa_m2
            found.append(replace(row, value=value, unit=_INDEXED_UNITS[row.unit], indexed=True))
    return found


def with_ranges(rows: Sequence[StudyRow], subject: Subject, papillary: str) -> list[StudyRow]:
    """Rows with the published ranges that apply to them."""
    return [
        replace(
            row,
            ranges=find_ranges(row.measure, row.structure, indexed=row.indexed, subject=subject, papillary=papillary),
        )
        for row in rows
    ]


def at(phase: str) -> str:
    """What the name of a measure says of its phase; nothing where that is not known."""
    return f" at {phase}" if phase else ""
