"""The studies below a folder, whatever lies there: layouts that are known, DICOM folders, files of any order.

What a data set says in its layout is used: which frames are ED and ES, which files are labels and no images. Labels are
not needed: a cohort is there to get some.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.cohorts.lists import read_list
from CardiacSegLib.cohorts.results import SETTINGS
from CardiacSegLib.cohorts.studies import CohortStudy
from CardiacSegLib.datasets import acdc, camus, datalist, mnms, nnunet
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.descriptions import CaseName
from CardiacSegLib.dicom.elements import load, reading
from CardiacSegLib.dicom.folders import is_dicom_file
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import IMAGE_EXTENSIONS, PICTURE_EXTENSIONS, extension_of, stem_of

_LISTS = (".txt", ".csv", ".tsv")
#: Layouts that say more of their images than their names do. ACDC is read here patient by patient, so that a damaged
#: one is a failed study; Sunnybrook is folders of DICOM files, and pairs are images beside files named as labels.
_LAYOUTS = {"camus": camus, "mnms": mnms, "nnunet": nnunet, "datalist": datalist}
_LABEL_NAME = re.compile(r".+[_-](gt|masks?|labels?|seg|segmentation)", re.IGNORECASE)
_LABEL_FOLDER = re.compile(r"(gt|masks?|labels?(tr|ts)?|seg|segmentations?)", re.IGNORECASE)
_INFO = "Info.cfg"


@dataclass
class Cohort:
    """What was found.

    Attributes:
        studies: each with an id of its own.
        notes: what a person should know of the search, a line each.
    """

    studies: list[CohortStudy] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_studies(source: Path | str, bsa_formula: str = "mosteller") -> Cohort:
    """The studies in a folder or a list.

    Args:
        source: a folder; a list (see :func:`CardiacSegLib.cohorts.lists.read_list`); a datalist in JSON; or one image.
        bsa_formula: see :func:`~CardiacSegLib.cohorts.lists.read_list`.

    Raises:
        CardiacSegError: where it does not exist, or holds no study.
    """
    source = Path(source)
    if not source.exists():
        raise CardiacSegError(f"{source}: does not exist; give a folder, or a list of paths")
    if source.suffix.lower() in _LISTS and source.is_file():
        return Cohort(read_list(source, bsa_formula))
    place = source.resolve()
    if source.is_dir():
        cohort = _Search(place).cohort()
    elif source.suffix.lower() == ".json":
        cohort = Cohort(_studies_of_cases(datalist.find_cases(place, CANONICAL), place.parent, place.parent))
    else:
        cohort = Cohort([CohortStudy(stem_of(place), place.parent, {"": place})])
    if not cohort.studies:
        raise CardiacSegError(f"{source}: no image is in it that is known; give a folder with images, or a list")
    subject = Subject(bsa_formula=bsa_formula)
    return Cohort([replace(study, subject=subject) for study in _each_its_own_id(cohort.studies)], cohort.notes)


def _each_its_own_id(studies: Iterable[CohortStudy]) -> list[CohortStudy]:
    """heart.nii.gz beside heart.nrrd, or beside a folder heart: one of the two is called by its whole name."""
    studies, found = list(studies), set()
    folders = {parent for study in studies for parent in PurePosixPath(study.id).parents}
    each = []
    for study in studies:
        if study.images and (study.id in found or PurePosixPath(study.id) in folders):
            file = next(iter(study.images.values()))
            study = replace(study, id=(PurePosixPath(study.id).parent / file.name).as_posix())
        found.add(study.id)
        each.append(study)
    return each


class _Search:
    """The search of a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._notes: list[str] = []
        self._dicom: set[Path] = set()

    def cohort(self) -> Cohort:
        folders = list(_folders(self._root))
        self._dicom = _dicom_studies([folder for folder in folders if folder.has_dicom()])
        studies = [CohortStudy(self._id(folder), self._root, {"": folder}) for folder in self._dicom]
        studies += self._studies_of_files(folders)
        return Cohort(sorted(studies, key=lambda study: study.id), self._notes)

    def _id(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix() if path != self._root else path.name

    def _studies_of_files(self, folders: Sequence[_Folder]) -> list[CohortStudy]:
        free = [folder for folder in folders if not self._is_dicom(folder.path)]
        # Pictures beside volumes are screenshots.
        has_volumes = bool(self._dicom) or any(folder.volumes for folder in free)
        studies, layouts = [], _Layouts(self._root, self._notes)
        for folder in free:
            studies += layouts.studies_in(folder.path)
            files = [file for file in (folder.volumes if has_volumes else folder.pictures) if layouts.leaves(file)]
            studies += self._plain(folder.path, files)
        return studies

    def _is_dicom(self, folder: Path) -> bool:
        return folder in self._dicom or not self._dicom.isdisjoint(folder.parents)

    def _plain(self, folder: Path, files: Sequence[Path]) -> Iterator[CohortStudy]:
        """Files as they come: ED and ES by their names, everything else a study of its own."""
        if (folder / _INFO).is_file():
            yield self._acdc_patient(folder)
            return
        names = {file: CaseName.parse(stem_of(file)) for file in files}
        phases = defaultdict(dict)
        for file, name in names.items():
            if name.phase:
                phases[name.patient, name.view].setdefault(name.phase, file)
        for file, name in names.items():
            pair = phases[name.patient, name.view] if name.phase else {}
            if len(pair) < 2 or file not in pair.values():
                yield CohortStudy(self._id(folder / stem_of(file)), self._root, {"": file})
            elif name.phase == "ED":
                stem = "_".join(filter(None, (name.patient, name.view)))
                yield CohortStudy(self._id(folder / stem), self._root, {"ED": pair["ED"], "ES": pair["ES"]})

    def _acdc_patient(self, folder: Path) -> CohortStudy:
        """ED and ES of a patient of ACDC, with labels or, as its test set was for years, without."""
        study = CohortStudy(self._id(folder), self._root, {})
        try:
            info = acdc.read_info(folder / _INFO)
            return replace(study, images={phase: _acdc_frame(folder, int(info[phase])) for phase in ("ED", "ES")})
        except CardiacSegError as error:
            return replace(study, problem=str(error))


def _acdc_frame(folder: Path, number: int) -> Path:
    stem = f"{folder.name}_frame{number:02d}"
    found = next((path for path in (folder / f"{stem}.nii.gz", folder / f"{stem}.nii") if path.exists()), None)
    if found is None:
        raise CardiacSegError(f"{folder / stem}.nii.gz: missing, though {_INFO} names frame {number}; copy it again")
    return found


class _Layouts:
    """What the readers of layouts find, and which files are theirs."""

    def __init__(self, root: Path, notes: list[str]) -> None:
        self._root, self._notes = root, notes
        self._places: list[Path] = []
        self._files: set[Path] = set()
        self._patients: dict[Path, set[str]] = {}

    def studies_in(self, folder: Path) -> list[CohortStudy]:
        """The studies of a folder that has a layout, which includes all folders in it; [] of others."""
        if any(folder == place or folder.is_relative_to(place) for place in self._places):
            return []
        name = next((name for name, layout in _LAYOUTS.items() if layout.recognizes(folder)), "")
        if not name:
            return []
        self._places.append(folder)
        named = CANONICAL if name in ("nnunet", "datalist") else None
        try:
            cases = _LAYOUTS[name].find_cases(folder, named)
        except CardiacSegError as error:
            self._notes.append(f"looks like {name}, but is read file by file: {error}")
            return []
        self._files |= {_absolute(path) for case in cases for path in (case.image, case.labels)}
        self._patients[folder] = {case.patient for case in cases}
        return _studies_of_cases(cases, folder, self._root)

    def leaves(self, file: Path) -> bool:
        """Whether a file is no image or label of a patient whom a layout told of."""
        if file in self._files:
            return False
        words = stem_of(file).split("_")
        starts = {"_".join(words[:count]) for count in range(1, len(words) + 1)}
        return not any(starts & names for place, names in self._patients.items() if file.is_relative_to(place))


def _studies_of_cases(cases: Sequence[Case], folder: Path, root: Path) -> list[CohortStudy]:
    """ED and ES of each view of a patient as one study."""
    views: dict[tuple[str, str], dict[str, Case]] = defaultdict(dict)
    for case in cases:
        views[case.patient, case.view][case.phase] = case
    return [
        study
        for (patient, view), by_phase in views.items()
        for study in _studies_of_view(_below(folder, root, "_".join(filter(None, (patient, view)))), by_phase, root)
    ]


def _below(folder: Path, root: Path, name: str) -> str:
    return (folder.relative_to(root) / name).as_posix()


def _studies_of_view(name: str, by_phase: dict[str, Case], root: Path) -> Iterator[CohortStudy]:
    images = {phase: _absolute(by_phase[phase].image) for phase in ("ED", "ES") if phase in by_phase}
    if len(images) == 2 and len(set(images.values())) == 1:
        frames = (by_phase["ED"].frame, by_phase["ES"].frame)
        yield CohortStudy(name, root, {"": images["ED"]}, None if None in frames else frames)
    elif len(images) == 2:
        yield CohortStudy(name, root, images)
    else:
        for phase, case in by_phase.items():
            yield CohortStudy("_".join(filter(None, (name, phase))), root, {"": _absolute(case.image)})


@dataclass(frozen=True)
class _Folder:
    """A folder with the files directly in it that count."""

    path: Path
    files: Sequence[Path]

    @property
    def volumes(self) -> list[Path]:
        return [file for file in self._images() if extension_of(file, PICTURE_EXTENSIONS) == ""]

    @property
    def pictures(self) -> list[Path]:
        return [file for file in self._images() if extension_of(file, PICTURE_EXTENSIONS)]

    def _images(self) -> list[Path]:
        if _LABEL_FOLDER.fullmatch(self.path.name):
            return []
        files = [file for file in self.files if extension_of(file, IMAGE_EXTENSIONS)]
        return [file for file in files if not _LABEL_NAME.fullmatch(stem_of(file)) and ".seg." not in file.name.lower()]

    def has_dicom(self) -> bool:
        return any(is_dicom_file(file) for file in self.files if not extension_of(file, IMAGE_EXTENSIONS))

    def dicom_study(self) -> tuple[str, str]:
        """What the first DICOM file calls its study and its patient: alike in all folders of one study."""
        file = next(file for file in self.files if not extension_of(file, IMAGE_EXTENSIONS) and is_dicom_file(file))
        tags = ("StudyInstanceUID", "PatientID")
        try:
            with reading(file) as pydicom:
                header = load(pydicom, file, stop_before_pixels=True, specific_tags=list(tags))
                study, patient = (str(header.get(tag, "") or "") for tag in tags)
        except CardiacSegError:  # read_image will say what is wrong with it
            return str(self.path), ""
        return (study, patient) if study else (str(self.path), patient)


def _folders(root: Path) -> Iterator[_Folder]:
    """A folder and those in it, sorted; links are followed, no place is seen twice, nothing hidden and no results."""
    seen = set()
    for place, names, files in os.walk(root, followlinks=True):
        path = Path(place)
        real = path.resolve()
        if real in seen or (path / SETTINGS).is_file():
            names.clear()
            continue
        seen.add(real)
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield _Folder(path, [path / name for name in sorted(files) if not name.startswith(".")])


def _dicom_studies(folders: Sequence[_Folder]) -> set[Path]:
    """The folder of each study in DICOM files: its series may lie in folders of their own, below that of the study."""
    groups: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for folder in folders:
        groups[folder.dicom_study()].append(folder.path)
    studies_below: dict[Path, set[tuple[str, str]]] = defaultdict(set)
    for key, paths in groups.items():
        for path in paths:
            for place in (path, *path.parents):
                studies_below[place].add(key)
    roots = {key: Path(os.path.commonpath(paths)) for key, paths in groups.items()}
    # Series of two studies in one folder of folders: each is read by itself, what belongs to what cannot be told.
    return {
        place
        for key, paths in groups.items()
        for place in ([roots[key]] if studies_below[roots[key]] == {key} else paths)
    }


def _absolute(path: Path) -> Path:
    """Without '..'; links stay, as what they lead to may lie anywhere."""
    return Path(os.path.normpath(path.absolute()))
