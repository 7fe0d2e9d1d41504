"""The layout of ACDC (Bernard et al., IEEE TMI 2018, doi 10.1109/TMI.2018.2837502).

``patientNNN/Info.cfg`` names the ED and ES frames (counted from 1); ``patientNNN_frameFF.nii.gz`` and
``patientNNN_frameFF_gt.nii.gz`` hold them. Labels: 1 RV, 2 MYO, 3 LV.
"""

from __future__ import annotations

from pathlib import Path

from CardiacSegLib.anatomy import ACDC, LabelConvention
from CardiacSegLib.datasets.cases import Case, fixed_labels
from CardiacSegLib.datasets.descriptions import read_number
from CardiacSegLib.errors import CardiacSegError

TITLE = "ACDC: patientNNN/Info.cfg with patientNNN_frameFF[_gt].nii.gz"

#: These two patients are the same images, pixel for pixel, with different labels.
SAME_IMAGES = (("patient074", "patient076"),)


def recognizes(folder: Path) -> bool:
    """Whether a patient of ACDC lies in ``folder``."""
    return any(Path(folder).glob("patient*/Info.cfg"))


def read_info(path: Path) -> dict[str, str]:
    """The ``key: value`` lines of an Info.cfg, which ACDC and CAMUS write alike.

    Raises:
        CardiacSegError: where the file is missing or does not name the ED and ES frames.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CardiacSegError(f"{path}: cannot be read ({error}); every patient has one") from error
    info = {
        key.strip(): value.strip() for key, separator, value in (line.partition(":") for line in lines) if separator
    }
    for phase in ("ED", "ES"):
        if read_number(info.get(phase, "")) is None:
            raise CardiacSegError(f"{path}: no frame number for {phase}; add a line '{phase}: <number>'")
    return info


def find_cases(folder: Path, labels: LabelConvention | None = None) -> list[Case]:
    """Every labeled ED and ES frame below ``folder``, sorted by patient.

    Raises:
        CardiacSegError: where there is no patient folder, a frame or its labels are missing, or ``labels`` names
            another convention.
    """
    fixed_labels(ACDC, labels, "ACDC")
    patients = sorted(path.parent for path in Path(folder).glob("patient*/Info.cfg"))
    if not patients:
        raise CardiacSegError(f"{folder}: no patientNNN/Info.cfg in it; give the folder that holds the ACDC patients")
    return [case for patient in patients for case in _cases_of_patient(patient)]


def _cases_of_patient(folder: Path) -> list[Case]:
    info = read_info(folder / "Info.cfg")
    return [
        Case(
            patient=folder.name,
            phase=phase,
            image=_frame(folder, int(info[phase]), ""),
            labels=_frame(folder, int(info[phase]), "_gt"),
            convention=ACDC,
            group=info.get("Group", ""),
        )
        for phase in ("ED", "ES")
    ]


def _frame(folder: Path, number: int, suffix: str) -> Path:
    stem = folder / f"{folder.name}_frame{number:02d}{suffix}"
    for extension in (".nii.gz", ".nii"):
        path = stem.with_name(stem.name + extension)
        if path.exists():
            return path
    raise CardiacSegError(f"{stem}.nii.gz: missing, though Info.cfg names frame {number}")
