"""Cohorts as a list of paths: a line a study, or a table that says more of each."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.cohorts.studies import CohortStudy, checked_id
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import stem_of

#: Names of the columns of a table; case, spaces and units behind them do not matter.
_COLUMNS: Mapping[str, Sequence[str]] = {
    "path": ("path", "image", "file", "folder"),
    "id": ("id", "study", "patient", "subject", "case"),
    "height": ("height",),
    "weight": ("weight",),
    "sex": ("sex", "gender"),
    "age": ("age",),
    "heart_rate": ("heart_rate", "hr"),
}
_UNITS = re.compile(r"[ _]*[(\[]?(cm|kg|years|bpm|1/min)[)\]]?$")
_SEXES = {"f": "female", "m": "male", "w": "female"}


def read_list(path: Path, bsa_formula: str = "mosteller") -> list[CohortStudy]:
    """The studies that a list names.

    Args:
        path: ``.txt`` with a path a line (empty lines and those that begin with # are left out), or ``.csv`` or
            ``.tsv`` with a column ``path`` and, where known, ``id``, ``height`` (cm), ``weight`` (kg), ``sex``, ``age``
            and ``heart_rate``. Paths are files or DICOM folders, and relative to the list.
        bsa_formula: by which measures are told over the body surface.

    Returns:
        Studies in the order of the list; one whose row says what cannot be has a problem.

    Raises:
        CardiacSegError: where the list cannot be read, names no study or two of one id.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CardiacSegError(f"{path}: cannot be read ({error}); save it as text in UTF-8") from error
    rows = _table(text, path) if path.suffix.lower() in (".csv", ".tsv") else _lines(text)
    try:
        studies = [_study(row, path.parent.resolve(), bsa_formula) for row in rows]
    except CardiacSegError as error:
        raise CardiacSegError(f"{path}: {error}") from error
    if not studies:
        raise CardiacSegError(f"{path}: names no study; give a path a line")
    (name, count) = Counter(study.id for study in studies).most_common(1)[0]
    if count > 1:
        raise CardiacSegError(f"{path}: {count} studies are called {name}; add a column id that tells them apart")
    folders = {parent.as_posix() for study in studies for parent in PurePosixPath(study.id).parents}
    inside = next((study.id for study in studies if study.id in folders), None)
    if inside is not None:
        raise CardiacSegError(f"{path}: id {inside} is the folder of another study's; add a column id without slashes")
    return studies


def _lines(text: str) -> list[dict[str, str]]:
    lines = (line.strip() for line in text.splitlines())
    return [{"path": line} for line in lines if line and not line.startswith("#")]


def _table(text: str, path: Path) -> list[dict[str, str]]:
    header = text.partition("\n")[0]
    delimiter = max("\t;,", key=header.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    columns = [_column(name) for name in next(reader, [])]
    if "path" not in columns:
        raise CardiacSegError(f"{path}: has no column path; give its first line the names, such as path,id,height")
    rows = [dict(zip(columns, (value.strip() for value in row))) for row in reader]
    return [row for row in rows if row.get("path")]


def _column(name: str) -> str:
    plain = _UNITS.sub("", name.strip().lower()).replace(" ", "_").replace("-", "_")
    return next((column for column, names in _COLUMNS.items() if plain in names), f"other {name}")


def _study(row: Mapping[str, str], root: Path, bsa_formula: str) -> CohortStudy:
    path = root / Path(row["path"]).expanduser()
    name = checked_id(row["id"]) if row.get("id") else _id_of(path, root)
    study = CohortStudy(name, root, {"": path}, subject=Subject(bsa_formula=bsa_formula))
    try:
        numbers = {key: _number(row.get(key, ""), key) for key in ("height", "weight", "age", "heart_rate")}
        sex = row.get("sex", "").lower()
        subject = Subject(
            numbers["height"], numbers["weight"], _SEXES.get(sex, sex) or None, numbers["age"], bsa_formula
        )
    except CardiacSegError as error:
        return replace(study, problem=str(error))
    return replace(study, subject=subject, heart_rate=numbers["heart_rate"])


def _number(text: str, name: str) -> float | None:
    try:
        return float(text.replace(",", ".")) if text else None
    except ValueError as error:
        raise CardiacSegError(f"{name} '{text}' is no number; mend it in the list, or leave it empty") from error


def _id_of(path: Path, root: Path) -> str:
    """The path below the folder of the list; of one that lies elsewhere, its last two names."""
    path = path.with_name(stem_of(path))
    parts = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[1:][-2:]
    return checked_id("/".join(part for part in parts if part != ".."))
