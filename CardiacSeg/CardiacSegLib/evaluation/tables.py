"""The table of an evaluation and the names of what lies beside it; read without torch."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing

TABLE = "cases.csv"
IMAGES, REFERENCES, PREDICTIONS = FOLDERS = ("images", "references", "predictions")
_FACTS = ("case", "patient", "phase", "group")


class CaseRow(NamedTuple):
    """One case of the table.

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


def write_cases(path: Path, rows: Sequence[CaseRow]) -> None:
    """Write the table as CSV, Dice to four digits."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow((*_FACTS, *rows[0].dice, "mean"))
        for row in rows:
            dice = [f"{value:.4f}" for value in (*row.dice.values(), row.mean)]
            writer.writerow((row.case, row.patient, row.phase, row.group, *dice))


def read_cases(path: Path) -> list[CaseRow]:
    """Read a table that :func:`write_cases` wrote.

    Raises:
        CardiacSegError: where there is none, or another one.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            lines = list(csv.DictReader(stream))
        return [_row(line) for line in lines]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CardiacSegError(f"{path}: no table of an evaluation ({error}); evaluate again") from error


def _row(line: dict[str, str]) -> CaseRow:
    facts = [line.pop(name) for name in _FACTS]
    del line["mean"]
    return CaseRow(*facts, {name: float(value) for name, value in line.items()})
