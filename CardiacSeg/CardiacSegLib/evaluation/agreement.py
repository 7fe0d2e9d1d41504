"""Volumes and ejection fractions of patients, from the labels and from the reference, and how well they agree.

Agreement is that of Bland and Altman (Lancet 327, 1986, p. 307): the bias is the mean of value - reference, and the
limits of agreement are the bias -/+ 1.96 standard deviations of these differences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from CardiacSegLib.clinical.volumes import MYOCARDIAL_DENSITY, Chamber
from CardiacSegLib.evaluation.tables import StructureRow, VolumeRow

#: Every measure with its unit. Volumes are sums of voxels; the mass is that of the myocardium at ED.
MEASURES: Mapping[str, str] = {
    **{"LVEDV": "mL", "LVESV": "mL", "LVSV": "mL", "LVEF": "%", "LVM": "g"},
    **{"RVEDV": "mL", "RVESV": "mL", "RVSV": "mL", "RVEF": "%"},
}
#: Half the width of the limits of agreement, in standard deviations.
_LIMIT = 1.96


class Agreement(NamedTuple):
    """How well one measure agrees with its reference over patients.

    Attributes:
        unit: of all that follows but ``n``, ``missing`` and ``r``; percent are percentage points.
        n: number of patients for whom both are known.
        missing: number of patients whose reference is known and whose value is not: no chamber was found.
        mae: mean absolute difference.
        bias: mean difference, value - reference.
        sd: standard deviation of the differences, with n - 1; None for a single patient.
        limits: of agreement, lower and upper; None for a single patient.
        r: Pearson's correlation of value and reference; None where either does not vary.
    """

    unit: str
    n: int
    missing: int
    mae: float
    bias: float
    sd: float | None
    limits: tuple[float, float] | None
    r: float | None


def volume_rows(rows: Sequence[StructureRow]) -> list[VolumeRow]:
    """The measures of each patient, from the cases at ED and ES.

    A patient with one phase alone has the measures of that phase. One with several images at a phase, of other views,
    has none: no image is the whole heart then. Where a chamber was found in neither phase but one, all that needs the
    other is None.
    """
    of_patient: dict[str, list[StructureRow]] = defaultdict(list)
    for row in rows:
        if row.phase and row.reference_ml is not None:
            of_patient[row.patient].append(row)
    return [measure for patient in of_patient.values() for measure in _measures(patient)]


def _measures(rows: Sequence[StructureRow]) -> list[VolumeRow]:
    volumes = {(row.phase, row.structure): row for row in rows}
    if len(volumes) < len(rows):
        return []
    ours, theirs = (
        _values({key: getattr(row, field) for key, row in volumes.items()}) for field in ("volume_ml", "reference_ml")
    )
    facts = rows[0].patient, rows[0].group, rows[0].vendor
    return [VolumeRow(*facts, name, MEASURES[name], ours[name], theirs[name]) for name in MEASURES if name in theirs]


def _values(volumes: Mapping[tuple[str, str], float | None]) -> dict[str, float | None]:
    """Each measure that labels at these phases can give; None where they hold nothing of the chamber."""
    values: dict[str, float | None] = {}
    for name in ("LV", "RV"):
        # A chamber that is not seen has no volume: 0 mL would be a wrong measurement, not a small one.
        chamber = Chamber(*(volumes.get((phase, name)) or None for phase in ("ED", "ES")))
        known = {phase for phase in ("ED", "ES") if (phase, name) in volumes}
        if "ED" in known:
            values[f"{name}EDV"] = chamber.edv_ml
        if "ES" in known:
            values[f"{name}ESV"] = chamber.esv_ml
        if len(known) == 2:
            values[f"{name}SV"], values[f"{name}EF"] = chamber.stroke_volume_ml, chamber.ejection_fraction
    if ("ED", "MYO") in volumes:
        volume = volumes["ED", "MYO"]
        values["LVM"] = MYOCARDIAL_DENSITY * volume if volume else None
    return values


def agreement(rows: Sequence[VolumeRow]) -> dict[str, Agreement]:
    """The agreement of each measure that some patient has from the labels and from the reference."""
    found = {}
    for name, unit in MEASURES.items():
        of_measure = [row for row in rows if row.measure == name and row.reference is not None]
        pairs = [(row.value, row.reference) for row in of_measure if row.value is not None]
        if pairs:
            found[name] = _agreement(np.array(pairs), unit, len(of_measure) - len(pairs))
    return found


def _agreement(pairs: np.ndarray, unit: str, missing: int) -> Agreement:
    """Of pairs (N, 2) of value and reference."""
    differences = pairs[:, 0] - pairs[:, 1]
    count, bias = len(pairs), float(differences.mean())
    sd = float(differences.std(ddof=1)) if count > 1 else None
    limits = None if sd is None else (bias - _LIMIT * sd, bias + _LIMIT * sd)
    varies = count > 1 and bool((np.ptp(pairs, axis=0) > 0).all())
    r = float(np.corrcoef(pairs.T)[0, 1]) if varies else None
    return Agreement(unit, count, missing, float(np.abs(differences).mean()), bias, sd, limits, r)
