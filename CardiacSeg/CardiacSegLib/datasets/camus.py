"""The layout of CAMUS (Leclerc et al., IEEE TMI 2019, doi 10.1109/TMI.2019.2900516): two views in ultrasound.

``patientNNNN/patientNNNN_2CH_ED.nii.gz`` with ``_gt`` for its labels, as NIfTI or as the older MetaImage. Where a phase
has no file of its own it is a frame, counted from 1 in ``Info_2CH.cfg``, of ``patientNNNN_2CH_half_sequence.nii.gz``;
some sequences run from ES to ED. Labels: 1 LV, 2 MYO, 3 left atrium. Both views of a patient are cases of that patient.
Lists of patients beside them (``train.txt``, or ``subgroup_training.txt`` as CAMUS names it) say the part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from CardiacSegLib.anatomy import CAMUS, LabelConvention
from CardiacSegLib.datasets.acdc import read_info
from CardiacSegLib.datasets.cases import Case, fixed_labels
from CardiacSegLib.datasets.splits import PARTS, read_part_lists
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image

TITLE = "CAMUS: patientNNNN/patientNNNN_2CH_ED[_gt].nii.gz, with 4CH and half sequences"

_EXTENSIONS = (".nii.gz", ".nii", ".mhd")
_VIEWS = ("2CH", "4CH")
#: Where lists of patients lie, and how CAMUS names them.
_LIST_FOLDERS = (".", "database_split", "../database_split")
_LIST_NAMES = dict(zip(PARTS, ("subgroup_training", "subgroup_validation", "subgroup_testing")))


def recognizes(folder: Path) -> bool:
    """Whether labels named as those of CAMUS lie in ``folder``."""
    return any(Path(folder).glob("patient*/patient*_[24]CH_*_gt.*"))


def find_cases(folder: Path, labels: LabelConvention | None = None) -> list[Case]:
    """Every labeled view at ED and ES below ``folder``, sorted by patient.

    Raises:
        CardiacSegError: where there is none, an image, its labels or a frame number is missing, a patient stands in
            two lists, or ``labels`` names another convention.
    """
    fixed_labels(CAMUS, labels, "CAMUS")
    folder = Path(folder)
    parts = _parts(folder)
    patients = sorted(path for path in folder.glob("patient*") if path.is_dir())
    cases = [case for patient in patients for case in _cases_of_patient(patient, parts.get(patient.name, ""))]
    if not cases:
        raise CardiacSegError(
            f"{folder}: no patientNNNN/patientNNNN_2CH_ED_gt.nii.gz in it; give the folder that holds the patients"
        )
    return cases


def _parts(folder: Path) -> dict[str, str]:
    """The part of each patient that a list names."""
    for place in _LIST_FOLDERS:
        parts = read_part_lists(folder / place) or read_part_lists(folder / place, _LIST_NAMES)
        if parts:
            return {patient: part for part, patients in parts.items() for patient in patients}
    return {}


def _cases_of_patient(folder: Path, part: str) -> list[Case]:
    return [
        replace(case, part=part, view=view)
        for view in _VIEWS
        if any(folder.glob(f"{folder.name}_{view}_*_gt.*"))
        for case in (_case(folder, view, phase) for phase in ("ED", "ES"))
    ]


def _case(folder: Path, view: str, phase: str) -> Case:
    stem, info = folder / f"{folder.name}_{view}", folder / f"Info_{view}.cfg"
    facts = read_info(info) if info.exists() else {}
    group = facts.get("ImageQuality", "")
    if _find(stem, f"{phase}_gt"):
        return Case(folder.name, phase, _file(stem, phase), _file(stem, f"{phase}_gt"), CAMUS, group)
    if not (facts and _find(stem, "half_sequence_gt")):
        raise CardiacSegError(
            f"{stem}_{phase}_gt.nii.gz: missing, and there is no half sequence with labels and {info.name} in its place"
        )
    image, labels = _file(stem, "half_sequence"), _file(stem, "half_sequence_gt")
    return _SequenceCase(folder.name, phase, image, labels, CAMUS, group, frame=int(facts[phase]) - 1)


def _find(stem: Path, suffix: str) -> Path | None:
    paths = (stem.with_name(f"{stem.name}_{suffix}{extension}") for extension in _EXTENSIONS)
    return next((path for path in paths if path.exists()), None)


def _file(stem: Path, suffix: str) -> Path:
    path = _find(stem, suffix)
    if path is None:
        raise CardiacSegError(f"{stem}_{suffix}.nii.gz: missing; copy the patient again, or take its folder away")
    return path


@dataclass(frozen=True)
class _SequenceCase(Case):
    """A frame of a sequence whose files hold the frames along their third axis, as if they were slices."""

    def read(self) -> tuple[Image, np.ndarray]:
        image, labels = super().read()
        if image.array.shape[2] == 1:  # a file that says its third axis is time, which Case has read as such
            return image, labels
        if not 0 <= self.frame < image.array.shape[2]:
            raise CardiacSegError(
                f"{self.image}: has {image.array.shape[2]} frames, but {self.phase} is frame {self.frame + 1}"
            )
        frame = slice(self.frame, self.frame + 1)
        return replace(image, array=image.array[..., frame]), labels[..., frame]
