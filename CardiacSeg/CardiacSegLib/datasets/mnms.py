"""The layout of M&Ms (Campello et al., IEEE TMI 2021, doi 10.1109/TMI.2021.3090082) and of M&Ms-2.

M&Ms keeps a cine and its labels (``ID_sa.nii.gz``, ``ID_sa_gt.nii.gz``) and says in a table which frames, counted from
0, are ED and ES; many keep those frames apart (``ID_sa_ED.nii.gz``), as M&Ms-2 does (``001_SA_ED.nii.gz``). The files
of a patient lie in a folder of its name or all in one. Labels: 1 LV, 2 MYO, 3 RV. The long-axis images of M&Ms-2 are
left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from CardiacSegLib.anatomy import CANONICAL, LabelConvention
from CardiacSegLib.datasets.cases import Case, fixed_labels
from CardiacSegLib.datasets.descriptions import read_number
from CardiacSegLib.errors import CardiacSegError

TITLE = "M&Ms and M&Ms-2: ID_sa[_gt].nii.gz with the table of ED and ES, or ID_sa_ED[_gt].nii.gz"

#: Where patients lie below the folder that is given, with the part that the challenge made of them.
_PLACES = {
    **{"": "", "dataset": ""},
    **{"Training": "train", "Training/Labeled": "train", "Validation": "val", "Testing": "test"},
}
_LABELS = re.compile(r"(?P<patient>.+)_sa(_(?P<phase>ED|ES))?_gt\.nii(\.gz)?", re.IGNORECASE)
#: The table lies in the folder or at most this many folders above it.
_FOLDERS_ABOVE = 3
_CODES = ("external code", "subject_code")
_GROUPS = ("disease", "pathology", "vendor", "vendorname", "centre")
_VENDORS = ("vendorname", "vendor")

#: A row of the table, its columns in lower case.
_Row = Mapping[str, str]


def recognizes(folder: Path) -> bool:
    """Whether labels named as those of M&Ms lie in ``folder``."""
    return bool(_label_files(Path(folder)))


def find_cases(folder: Path, labels: LabelConvention | None = None) -> list[Case]:
    """Every labeled ED and ES frame below ``folder``, sorted by patient.

    Raises:
        CardiacSegError: where there is none, an image is missing, the table is missing or says nothing of a cine, or
            ``labels`` names another convention.
    """
    fixed_labels(CANONICAL, labels, "M&Ms")
    folder = Path(folder)
    files = _label_files(folder)
    if not files:
        raise CardiacSegError(f"{folder}: no ID_sa_gt.nii.gz or ID_sa_ED_gt.nii.gz in it; give the folder of M&Ms")
    table = _Table.near(folder)
    return [case for file in files for case in file.cases(table)]


@dataclass(frozen=True)
class _LabelFile:
    """The labels of a cine, or of one phase of it."""

    path: Path
    patient: str
    phase: str
    part: str

    @property
    def image(self) -> Path:
        path = self.path.with_name(re.sub(r"_gt(?=\.nii(\.gz)?$)", "", self.path.name, flags=re.IGNORECASE))
        if not path.exists():
            raise CardiacSegError(f"{path}: missing, though its labels {self.path.name} are there")
        return path

    def cases(self, table: _Table) -> list[Case]:
        frames = {self.phase: None} if self.phase else table.frames(self.patient, self.path)
        group, vendor = table.group(self.patient), table.vendor(self.patient)
        return [
            Case(self.patient, phase, self.image, self.path, CANONICAL, group, frame, self.part, vendor=vendor)
            for phase, frame in frames.items()
        ]


def _label_files(folder: Path) -> list[_LabelFile]:
    """Sorted by patient; the labels of a cine only where its phases have no files of their own."""
    files = [file for place, part in _PLACES.items() for file in _label_files_in(folder / place, part)]
    apart = {file.patient for file in files if file.phase}
    files = [file for file in files if file.phase or file.patient not in apart]
    return sorted(files, key=lambda file: (file.patient, file.phase))


def _label_files_in(place: Path, part: str) -> Iterator[_LabelFile]:
    for path in chain(place.glob("*_gt.nii*"), place.glob("*/*_gt.nii*")):
        match = _LABELS.fullmatch(path.name)
        if match and path.parent.name in (place.name, match["patient"]):
            yield _LabelFile(path, match["patient"], (match["phase"] or "").upper(), part)


@dataclass(frozen=True)
class _Table:
    """The table that comes with the data: a row for each patient. ``path`` is None where there is none."""

    path: Path | None
    rows: Mapping[str, _Row]

    @classmethod
    def near(cls, folder: Path) -> _Table:
        """The first table of patients in the folder or above it."""
        folder = folder.resolve()
        for place in (folder, *folder.parents[:_FOLDERS_ABOVE]):
            for path in sorted(place.glob("*.csv")):
                rows = _read_rows(path)
                if rows:
                    return cls(path, rows)
        return cls(None, {})

    def frames(self, patient: str, labels: Path) -> dict[str, int]:
        """ED and ES, counted from 0."""
        if self.path is None:
            raise CardiacSegError(
                f"{labels}: is a cine, and no table with the columns 'External code', 'ED' and 'ES' lies in its folder "
                "or above; put the one that comes with M&Ms there"
            )
        row = self.rows.get(_key(patient), {})
        numbers = {phase: read_number(row.get(phase.lower(), "")) for phase in ("ED", "ES")}
        if None in numbers.values():
            raise CardiacSegError(f"{self.path}: gives no ED and ES frame for {patient}; add them, counted from 0")
        return numbers

    def group(self, patient: str) -> str:
        """The disease; where the table has none, the maker of the scanner."""
        return self._first_of(_GROUPS, patient)

    def vendor(self, patient: str) -> str:
        """The maker of the scanner."""
        return self._first_of(_VENDORS, patient)

    def _first_of(self, columns: Sequence[str], patient: str) -> str:
        row = self.rows.get(_key(patient), {})
        return next((row[column] for column in columns if row.get(column)), "")


def _read_rows(path: Path) -> dict[str, _Row]:
    """The rows of a table by patient; none where it is another table, which may be anything and of any size."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            header = stream.readline()
            delimiter = ";" if header.count(";") > header.count(",") else ","
            columns = [column.strip().lower() for column in next(csv.reader([header], delimiter=delimiter), [])]
            code = next((name for name in _CODES if name in columns), None)
            if code is None:
                return {}
            rows = csv.DictReader(stream, columns, restval="", delimiter=delimiter)
            return {_key(row[code]): {column: row[column].strip() for column in columns} for row in rows}
    except (OSError, csv.Error):
        return {}


def _key(patient: str) -> str:
    """What a patient is found by: spreadsheets drop the zeros of M&Ms-2's 001."""
    return patient.strip().lstrip("0").lower()
