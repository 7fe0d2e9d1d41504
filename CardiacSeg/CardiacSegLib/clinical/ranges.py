"""Published normal ranges, from the JSON files in ``Resources/NormalRanges``: shown beside a measure, never judged.

A file is one publication: ``name``, ``citation``, ``population``, ``ages`` (first and last year), ``papillary`` and
``sets``. A set is what one table says of one sex: ``sex``, ``table``, ``limits`` (how its limits were made),
``checked`` (where the figures were read), the ``ranges``, and ``ages`` or ``papillary`` where they differ from the
file's. To add a range, add it there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.resources import resource_folder

#: Without the age of a person, a range for a single decade of life does not apply.
_YEARS_WITHOUT_AGE = 20

_PEOPLE = {"male": "men", "female": "women"}


@dataclass(frozen=True)
class NormalRange:
    """What one publication says of one measure in one sex.

    Attributes:
        structure, measure, indexed, unit: what it is of; ``indexed`` by the body surface area.
        low, high: ends of the range, in ``unit``.
        sex: "female" or "male".
        ages: first and last year.
        papillary: "volume" where papillary muscles belong to the pool, "mass" where they belong to the wall.
        source, table, citation: short name, where in it, and in full.
        population: who was measured.
        limits: how the ends were made.
        checked: where the figures were read.
    """

    structure: str
    measure: str
    indexed: bool
    unit: str
    low: float
    high: float
    sex: str
    ages: tuple[int, int]
    papillary: str
    source: str
    table: str
    citation: str
    population: str
    limits: str
    checked: str

    @property
    def text(self) -> str:
        """The range as a person reads it, with a dash between its ends."""
        return f"{self.low:g}–{self.high:g}"

    @property
    def people(self) -> str:
        """Of whom it is."""
        return f"{_PEOPLE[self.sex]} {self.ages[0]}–{self.ages[1]} years"

    @property
    def origin(self) -> str:
        """Of whom it is and where it was published."""
        return f"{self.people}, {self.source}, {self.table}"


def find_ranges(
    measure: str, structure: str, *, indexed: bool, subject: Subject, papillary: str
) -> tuple[NormalRange, ...]:
    """The published ranges that apply to a measure of a person.

    Args:
        measure, structure: as in the rows of a study, such as "EDV" and "LV".
        indexed: whether it is divided by the body surface area.
        subject: sex and, where it is known, age choose the range.
        papillary: where the labels put papillary muscles, "volume" or "mass": ranges of the other convention are off
            by tens of milliliters.

    Returns:
        In the order of the publications' names; none where the sex is not known. Where the age is not known, only
        ranges over 20 years or more.

    Raises:
        CardiacSegError: where a file of ranges cannot be read.
    """
    key = (measure, structure, indexed, subject.sex, papillary)
    return tuple(
        found
        for found in all_ranges()
        if (found.measure, found.structure, found.indexed, found.sex, found.papillary) == key
        and _covers(found.ages, subject.age_years)
    )


def _covers(ages: Sequence[int], age: float | None) -> bool:
    if age is None:
        return ages[1] - ages[0] >= _YEARS_WITHOUT_AGE
    return ages[0] <= age < ages[1] + 1


@lru_cache(maxsize=1)
def all_ranges() -> tuple[NormalRange, ...]:
    """Every range that ships with CardiacSeg.

    Raises:
        CardiacSegError: naming the file that cannot be read.
    """
    files = sorted((resource_folder() / "NormalRanges").glob("*.json"))
    return tuple(found for path in files for found in read_ranges(path))


def read_ranges(path: Path) -> list[NormalRange]:
    """The ranges of one publication.

    Raises:
        CardiacSegError: naming the file, where it cannot be read, lacks a field or has a range upside down.
    """
    try:
        publication = json.loads(path.read_text(encoding="utf-8"))
        return [_range(publication, part, entry) for part in publication["sets"] for entry in part["ranges"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CardiacSegError(
            f"{path}: no normal ranges in it ({error}); see clinical/ranges.py for its form"
        ) from error


def _range(publication: dict[str, Any], part: dict[str, Any], entry: dict[str, Any]) -> NormalRange:
    if not entry["low"] < entry["high"]:
        raise ValueError(f"{entry['measure']} {entry['structure']} from {entry['low']} to {entry['high']}")
    if part["sex"] not in _PEOPLE:
        raise ValueError(f"sex {part['sex']!r}")
    return NormalRange(
        structure=entry["structure"],
        measure=entry["measure"],
        indexed=entry.get("indexed", False),
        unit=entry["unit"],
        low=float(entry["low"]),
        high=float(entry["high"]),
        sex=part["sex"],
        ages=tuple(part.get("ages", publication["ages"])),
        papillary=part.get("papillary", publication["papillary"]),
        source=publication["name"],
        table=part["table"],
        citation=publication["citation"],
        population=publication["population"],
        limits=part["limits"],
        checked=part["checked"],
    )
