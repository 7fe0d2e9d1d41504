"""The folder of an evaluation: the names of its files, and its two tables; read without torch.

======================== =============================================================================================
``images``,              ``CASE.nii.gz`` each, on the grid of the image; labels numbered as ``labels`` of the summary
``references``,          says, with the structures that are scored and no others
``predictions``
``metrics.csv``          a row for each case and structure, with the columns of :class:`StructureRow`
``volumes.csv``          a row for each patient and measure, with the columns of :class:`VolumeRow`
``summary.json``         all that is said of them together: see :mod:`CardiacSegLib.evaluation.summary`
``report.html``          what people read: see :mod:`CardiacSegLib.evaluation.report`
======================== =============================================================================================

A cell is empty where a value is undefined. Overlap has six decimals, millimeters and milliliters have four.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing

TABLE = "metrics.csv"
VOLUMES = "volumes.csv"
SUMMARY = "summary.json"
REPORT = "report.html"
IMAGES, REFERENCES, PREDICTIONS = FOLDERS = ("images", "references", "predictions")

OVERLAPS = ("dice", "jaccard", "precision", "recall", "accuracy")
DISTANCES = ("hd_mm", "hd95_mm", "asd_mm")
METRICS = (*OVERLAPS, *DISTANCES)


class StructureRow(NamedTuple):
    """One structure of one case.

    Attributes:
        case: its name, which is that of its files.
        patient, phase, group: as of :class:`CardiacSegLib.datasets.cases.Case`.
        vendor: of the scanner; "" where unknown.
        structure: its name.
        dice, jaccard, precision, recall, accuracy: see :mod:`CardiacSegLib.evaluation.overlap`.
        hd_mm, hd95_mm, asd_mm: see :mod:`CardiacSegLib.evaluation.surfaces`; in pixels where the image says no spacing;
            None where the labels or the reference hold nothing of the structure.
        volume_ml, reference_ml: of the labels and of the reference; None where the image is a single slice, or says no
            spacing.
    """

    case: str
    patient: str
    phase: str
    group: str
    vendor: str
    structure: str
    dice: float
    jaccard: float
    precision: float
    recall: float
    accuracy: float
    hd_mm: float | None
    hd95_mm: float | None
    asd_mm: float | None
    volume_ml: float | None
    reference_ml: float | None


class VolumeRow(NamedTuple):
    """One measure of one patient.

    Attributes:
        patient, group, vendor: as of :class:`StructureRow`.
        measure: a key of :data:`CardiacSegLib.evaluation.agreement.MEASURES`.
        unit: "mL", "g" or "%".
        value, reference: from the labels and from the reference; None where the chamber was not found.
    """

    patient: str
    group: str
    vendor: str
    measure: str
    unit: str
    value: float | None
    reference: float | None


class CaseRow(NamedTuple):
    """One case with the Dice of each structure.

    Attributes:
        case: its name, which is that of its files.
        patient, phase, group: as of :class:`CardiacSegLib.datasets.cases.Case`.
        dice: of each structure.
    """

    case: str
    patient: str
    phase: str
    group: str
    dice: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean Dice over the structures."""
        return sum(self.dice.values()) / len(self.dice)


_Row = TypeVar("_Row", StructureRow, VolumeRow)
_TEXT = {"case", "patient", "phase", "group", "vendor", "structure", "measure", "unit"}


def write_rows(path: Path, rows: Sequence[_Row], kind: type[_Row]) -> None:
    """Write a table as CSV."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(kind._fields)
        for row in rows:
            writer.writerow([_cell(name, value) for name, value in zip(kind._fields, row)])


def _cell(name: str, value: Any) -> str:
    if name in _TEXT:
        return value
    return "" if value is None else f"{value:.{6 if name in OVERLAPS else 4}f}"


def read_metrics(path: Path) -> list[StructureRow]:
    """Read ``metrics.csv``.

    Raises:
        CardiacSegError: where there is none, or another table.
    """
    return _read_rows(path, StructureRow)


def read_volumes(path: Path) -> list[VolumeRow]:
    """Read ``volumes.csv``.

    Raises:
        CardiacSegError: where there is none, or another table.
    """
    return _read_rows(path, VolumeRow)


def _read_rows(path: Path, kind: type[_Row]) -> list[_Row]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return [kind(*(_value(name, line[name]) for name in kind._fields)) for line in csv.DictReader(stream)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CardiacSegError(f"{path}: no table of an evaluation ({error}); evaluate again") from error


def _value(name: str, cell: str) -> Any:
    if name in _TEXT:
        return cell
    return float(cell) if cell else None


def read_cases(path: Path) -> list[CaseRow]:
    """The cases of ``metrics.csv``, that with the lowest mean Dice first.

    Raises:
        CardiacSegError: where there is no such table, or another one.
    """
    return cases_by_dice(read_metrics(path))


def cases_by_dice(rows: Iterable[StructureRow]) -> list[CaseRow]:
    """The cases that rows are of, that with the lowest mean Dice first."""
    dice: dict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        dice[row.case, row.patient, row.phase, row.group][row.structure] = row.dice
    return sorted((CaseRow(*facts, of_case) for facts, of_case in dice.items()), key=lambda row: row.mean)
