"""A study as one HTML page that needs no other file: measures, pictures, hints, and how it was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.clinical.measures import PAPILLARY, StudyMeasures
from CardiacSegLib.clinical.ranges import NormalRange
from CardiacSegLib.clinical.rows import StudyRow
from CardiacSegLib.pages import picture_uri, write_page

_NAMES: Mapping[str, str] = {
    "EDV": "End-diastolic volume",
    "ESV": "End-systolic volume",
    "SV": "Stroke volume",
    "EF": "Ejection fraction",
}

#: The figures at the top of the page: measure, structure, name.
_TILES = (
    ("EF", "LV", "LV EF"),
    ("EDV", "LV", "LV EDV"),
    ("ESV", "LV", "LV ESV"),
    ("Mass at ED", "MYO", "LV mass at ED"),
    ("EF", "RV", "RV EF"),
    ("EDV", "RV", "RV EDV"),
)

_GROUPS = (("LV", "Left ventricle"), ("RV", "Right ventricle"), ("MYO", "Left ventricular wall"), ("LA", "Left atrium"))

_DECIMALS: Mapping[str, int] = {"mm": 1, "L/min": 1, "L/min/m²": 1, "cm²": 1, "mL/m²": 0, "g/m²": 0}

_METHODS = (
    "Volumes: the areas in the slices times the distance between slices, the gap included. Ejection fraction: stroke "
    "volume over end-diastolic volume. J. Schulz-Menger et al., J Cardiovasc Magn Reson 22:19 (2020).",
    "Mass: volume of the wall times 1.05 g/mL.",
)
_PHASE_METHOD = (
    "End-diastole and end-systole: the largest and the smallest left ventricle over the slices that show it in every "
    "frame, smoothed around the heartbeat from 12 frames on."
)
_WALL_METHODS = (
    "Wall thickness: across the center line of the wall in each slice. V. G. M. Buller et al., Invest Radiol "
    "32:529-539 (1997).",
    "Segments: counted from the anterior insertion of the right ventricle, in thirds of the slices that show the wall "
    "all around. M. D. Cerqueira et al., Circulation 105:539-542 (2002).",
    "Diameter: from the middle of the anteroseptal to the middle of the inferolateral wall, in the slice of the basal "
    "third nearest to the middle.",
)
_RATE_METHOD = (
    "Peak rates: steepest slopes of the left ventricular volume, its course that of the slices that show it "
    "throughout, smoothed to five harmonics of the heartbeat."
)
_BSA_METHODS: Mapping[str, str] = {
    "mosteller": "Body surface area: R. D. Mosteller, N Engl J Med 317:1098 (1987).",
    "dubois": "Body surface area: D. Du Bois and E. F. Du Bois, Arch Intern Med 17:863-871 (1916).",
}


def write_study_page(
    study: StudyMeasures,
    path: Path | str,
    *,
    title: str,
    pictures: Mapping[str, bytes | Path] | None = None,
    facts: Mapping[str, object] | None = None,
) -> Path:
    """Write the page of a study.

    Args:
        study: what was measured.
        path: of the page.
        title: what the person calls the study; a name of a file, say, and never that of a patient.
        pictures: PNG by caption, as bytes or a file: contours at ED and ES.
        facts: how it was made by what the fact is called: model, version, seconds, device.

    Returns:
        The path written.

    Raises:
        CardiacSegError: where the page cannot be written; what stood there stays.
    """
    from CardiacSegLib.clinical.figures import bullseye_figure, study_bullseyes, volume_figure

    bullseyes = study_bullseyes(study)
    is_cine = study.function.ed_frame is not None
    several = is_cine and len(next(iter(study.function.volumes_ml.values()), ())) > 2
    return write_page(
        path,
        "study.html",
        title=title,
        summary=_summary(study),
        tiles=_tiles(study),
        warnings=list(study.warnings),
        curve=picture_uri(volume_figure(study)) if several else None,
        curve_caption=_curve_caption(study) if several else "",
        **_table(study),
        bullseyes=picture_uri(bullseye_figure(bullseyes)) if bullseyes else None,
        bullseye_caption=_bullseye_caption(study),
        pictures=[{"caption": caption, "uri": picture_uri(png)} for caption, png in (pictures or {}).items()],
        facts=[*_own_facts(study), *((name, str(value)) for name, value in (facts or {}).items())],
        sources=_sources(study),
    )


def _summary(study: StudyMeasures) -> str:
    frames = len(next(iter(study.function.volumes_ml.values()), (0,)))
    parts = [f"{frames} frames" if frames > 1 else "A single phase"]
    parts.append(f"{study.slices_in_stack} slices, {round(study.slice_step_mm, 1):g} mm from one to the next")
    if study.phases.keys() >= {"ED", "ES"}:
        how = "chosen by hand" if study.phases_given else "found"
        parts.append(f"ED in frame {study.phases['ED'] + 1} and ES in frame {study.phases['ES'] + 1}, {how}")
    return " · ".join(parts)


def _tiles(study: StudyMeasures) -> list[dict[str, str]]:
    rows = ((study.row(measure, structure), name) for measure, structure, name in _TILES)
    return [
        {"name": name, "value": _shown(row), "unit": row.unit if row.value is not None else ""}
        for row, name in rows
        if row is not None
    ]


def _curve_caption(study: StudyMeasures) -> str:
    caption = "Dashed: end-diastole and end-systole of the left ventricle."
    if study.frame_times_ms is None:
        caption += " The times of the frames are not known."
    return caption


def _table(study: StudyMeasures) -> dict[str, Any]:
    """What the table of measures needs; a measure and itself over the body surface area share a line."""
    plain = [row for row in study.rows if not row.indexed]
    groups = [
        {"title": title, "lines": [_line(study, row) for row in plain if row.structure == structure]}
        for structure, title in _GROUPS
        if any(row.structure == structure for row in plain)
    ]
    has_ranges = any(row.ranges for row in study.rows)
    return {
        "groups": groups,
        "has_indexed": any(row.indexed for row in study.rows),
        "has_ranges": has_ranges,
        "table_caption": _table_caption(study, has_ranges),
    }


def _table_caption(study: StudyMeasures, has_ranges: bool) -> str:
    if has_ranges:
        origins = "; ".join(_origins(study))
        return f"Normal ranges as published, not a diagnosis: {origins}. How they were made stands at the end."
    if study.subject.sex is None:
        return "Published normal ranges are shown where the sex is known."
    return "No published normal range at hand applies to this sex, age and way of labeling."


def _line(study: StudyMeasures, row: StudyRow) -> dict[str, str]:
    indexed = study.row(row.measure, row.structure, indexed=True)
    short = row.measure if row.measure in _NAMES else ""
    return {
        "name": _NAMES.get(row.measure, row.measure),
        "short": short,
        "value": _shown(row),
        "unit": row.unit if row.value is not None else "",
        "range": _ranges_text(row.ranges),
        "indexed": _shown(indexed) if indexed else "",
        "indexed_unit": indexed.unit if indexed and indexed.value is not None else "",
        "indexed_range": _ranges_text(indexed.ranges) if indexed else "",
        "remark": row.note,
    }


def _shown(row: StudyRow) -> str:
    if row.value is None:
        return "–"
    return str(row.value) if isinstance(row.value, int) else f"{row.value:.{_DECIMALS.get(row.unit, 0)}f}"


def _ranges_text(ranges: Sequence[NormalRange]) -> str:
    return "; ".join(found.text for found in ranges)


def _bullseye_caption(study: StudyMeasures) -> str:
    reasons = dict.fromkeys(wall.reason for wall in study.walls.values() if wall.reason)
    return "Base outside, apex inside; the small number is that of the segment. " + " ".join(
        f"{reason[:1].upper()}{reason[1:]}." for reason in reasons
    )


def _own_facts(study: StudyMeasures) -> list[tuple[str, str]]:
    facts = [
        (
            f"Slices with {name}",
            ", ".join(f"{count} at {phase}" if phase else f"{count}" for phase, count in held.items()),
        )
        for name, held in study.slices.items()
    ]
    facts.append(("Papillary muscles", PAPILLARY[study.papillary]))
    if study.heart_rate is not None:
        facts.append(("Heart rate", f"{study.heart_rate:.0f} per minute"))
    subject = study.subject
    known = (
        ("Sex", subject.sex),
        ("Age", None if subject.age_years is None else f"{subject.age_years:.0f} years"),
        (
            "Height and weight",
            None if subject.bsa_m2 is None else f"{subject.height_cm:g} cm, {subject.weight_kg:g} kg",
        ),
        ("Body surface area", None if subject.bsa_m2 is None else f"{subject.bsa_m2:.2f} m² ({_formula(subject)})"),
    )
    return facts + [(name, value) for name, value in known if value is not None]


def _formula(subject: Subject) -> str:
    return {"mosteller": "Mosteller", "dubois": "Du Bois"}[subject.bsa_formula]


def _sources(study: StudyMeasures) -> list[str]:
    sources = list(_METHODS)
    if study.phases.keys() >= {"ED", "ES"} and not study.phases_given:
        sources.append(_PHASE_METHOD)
    if any(wall.slices for wall in study.walls.values()):
        sources += _WALL_METHODS
    if study.value("Peak ejection rate", "LV") is not None:
        sources.append(_RATE_METHOD)
    if study.subject.bsa_m2 is not None:
        sources.append(_BSA_METHODS[study.subject.bsa_formula])
    return sources + _range_sources(_used_ranges(study))


def _used_ranges(study: StudyMeasures) -> list[NormalRange]:
    return [found for row in study.rows for found in row.ranges]


def _origins(study: StudyMeasures) -> list[str]:
    return list(dict.fromkeys(f"{found.source}, {found.people}" for found in _used_ranges(study)))


def _range_sources(ranges: Iterable[NormalRange]) -> list[str]:
    """Of each publication what its figures are of, how their ends were made and where they were read."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for one in ranges:
        whole = f"{one.citation}. {one.population[:1].upper()}{one.population[1:]}; {PAPILLARY[one.papillary]}."
        part = f"{one.table}, {one.limits}; {one.checked}."
        measures = found.setdefault(whole, {}).setdefault(part, {}).setdefault(one.structure, [])
        if one.measure not in measures:
            measures.append(one.measure)
    return [
        f"Normal ranges: {whole} " + " ".join(f"{_measures_text(names)}: {part}" for part, names in parts.items())
        for whole, parts in found.items()
    ]


def _measures_text(names: Mapping[str, Sequence[str]]) -> str:
    """Measures by structure: ``LV EDV, ESV and SV``."""
    return "; ".join(f"{structure} {', '.join(measures)}" for structure, measures in names.items())
