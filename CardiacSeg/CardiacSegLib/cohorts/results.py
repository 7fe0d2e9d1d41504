"""The folder that a cohort is written into: a folder a study, and the tables that are made from them.

========================  ============================================================================================
``batch.json``            model and options; other ones are refused
``studies/ID/``           ``labels.nii.gz`` (ED and ES apart: ``labels_ED.nii.gz``, ``labels_ES.nii.gz``), with
                          ``--reports`` ``report.html``, and, last of all, ``measures.json``; or ``failed.json``
``measures.csv``          a row a study
``failed.csv``            id and reason of each study that failed
========================  ============================================================================================

Nothing is ever half written, and the tables say nothing that does not stand in the folders of the studies.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from CardiacSegLib.cohorts.studies import CohortStudy
from CardiacSegLib.cohorts.work import FAILED, MEASURES, Outcome
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder, replacing

SETTINGS = "batch.json"
STUDIES = "studies"
TABLE = "measures.csv"
FAILED_TABLE = "failed.csv"

#: The tables are written anew after so many seconds, or after so many times what writing them takes.
_TABLE_SECONDS, _TABLE_SHARE = 10.0, 20.0
#: Columns of the table that are not measures of a structure.
_FIRST, _LAST = ("id", "frames", "ED frame", "ES frame", "heart rate [1/min]"), ("look at again",)


class Results:
    """The results of a cohort on disk.

    Attributes:
        folder: of the cohort.
        failed: reasons by the id of the study.
    """

    def __init__(self, folder: Path, studies: Sequence[CohortStudy]) -> None:
        self.folder = folder
        self.failed: dict[str, str] = {}
        self._order = [study.id for study in studies]
        self._rows: dict[str, dict[str, str]] = {}
        self._written, self._took = float("-inf"), 0.0

    @property
    def measured(self) -> int:
        """How many studies have results."""
        return len(self._rows)

    def load(self, studies: Iterable[CohortStudy], retry_failed: bool) -> list[CohortStudy]:
        """Take over what an earlier run came to, and return the studies that are still to be done.

        A study whose images or person have changed since then is done again.
        """
        todo = []
        for study in studies:
            done, failed = (self._read(study, name) for name in (MEASURES, FAILED))
            if done:
                self.add(Outcome(study, done))
            elif failed and not retry_failed:
                self.add(Outcome(study, {}, str(failed.get("reason", ""))))
            else:
                todo.append(study)
        return todo

    def _read(self, study: CohortStudy, name: str) -> dict[str, Any]:
        """The content of a result of these very images and this person; {} where there is none."""
        try:
            content = json.loads((self.folder / STUDIES / study.id / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        same = isinstance(content, dict) and content.get("given") == _as_json(study.given)
        return content if same else {}

    def add(self, outcome: Outcome) -> None:
        """Take in how a study ended."""
        name = outcome.study.id
        if outcome.reason:
            self.failed[name] = outcome.reason
            return
        self._rows[name] = _row(outcome.content)

    def write_tables_now_and_then(self) -> None:
        """Write the tables, unless that was done a moment ago."""
        if time.monotonic() - self._written > max(_TABLE_SECONDS, _TABLE_SHARE * self._took):
            self.write_tables()

    def write_tables(self) -> None:
        """Write both tables, the studies in the order in which they were found.

        Raises:
            CardiacSegError: where they cannot be written.
        """
        started = time.monotonic()
        rows = [self._rows[name] for name in self._order if name in self._rows]
        found = dict.fromkeys(name for row in rows for name in row)
        columns = [*_FIRST, *(name for name in found if name not in (*_FIRST, *_LAST)), *_LAST]
        _write_csv(self.folder / TABLE, columns, rows)
        failed = ({"id": name, "reason": self.failed[name]} for name in self._order if name in self.failed)
        _write_csv(self.folder / FAILED_TABLE, ("id", "reason"), failed)
        self._written = time.monotonic()
        self._took = self._written - started


def _as_json(content: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(content))


def _row(content: Mapping[str, Any]) -> dict[str, str]:
    """The row of a study from its ``measures.json``."""
    row = {
        "id": content["id"],
        "frames": str(content["frames"]),
        "ED frame": _frame(content["ed_frame"]),
        "ES frame": _frame(content["es_frame"]),
        "heart rate [1/min]": _shown(content["heart_rate"]),
    }
    for found in content["rows"]:
        name = " ".join(filter(None, (found["structure"], found["measure"], f"[{found['unit']}]")))
        row[sys.intern(name)] = _shown(found["value"])
    return {**row, "look at again": "; ".join(content["warnings"])}


def _frame(number: int | None) -> str:
    return "" if number is None else str(number + 1)


def _shown(value: float | int | None) -> str:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Keep what the results depend on, or compare it with what an earlier run kept.

    Raises:
        CardiacSegError: where the folder holds results of other settings, or something else.
    """
    make_folder(folder / STUDIES)
    file = folder / SETTINGS
    if not file.exists():
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return
    try:
        before = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CardiacSegError(f"{file}: cannot be read; choose another folder") from error
    changed = [name for name in settings if before.get(name) != settings[name]]
    if changed:
        what = ", ".join(f"{name} {before.get(name)} (now {settings[name]})" for name in changed)
        raise CardiacSegError(f"{folder}: holds results of {what}; give the same, or another folder")
