"""The layout of the Sunnybrook Cardiac Data (Radau et al., MIDAS Journal 2009, http://hdl.handle.net/10380/3070).

A short-axis cine in DICOM files, and contours in text files, a point in pixels a line:
``IM-0001-0048-icontour-manual.txt`` is the inner one (endocardium) of image number 48, ``ocontour`` the outer one
(epicardium). They come in arrangements that are all read, patient by patient:

* ``SC-HF-I-1/DICOM/48.dcm`` beside ``SC-HF-I-1/i-contours`` and ``o-contours``;
* ``challenge_training/SC-HF-I-1/IM-0004-0048.dcm`` and elsewhere ``SC-HF-I-01/contours-manual/IRCCI-expert``;
* images in folders of another name (``SCD0000101``), which ``link.csv`` or ``scd_patientdata.csv`` gives.

Outer contours are drawn at end-diastole only. So cases have the convention of what is drawn: LV and MYO where every
inner contour of the phase has its outer one, LV where not. Of the two contoured phases of a patient the one with the
larger area within the inner contours is ED, whatever its number; a single one has no name. A slice without a contour
holds no heart, by the convention of the experts, who drew from base to apex. Papillary muscles, contoured apart
(``p1contour``), belong to the blood pool.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.datasets.cases import Case, fixed_labels
from CardiacSegLib.dicom.cine import read_volume
from CardiacSegLib.dicom.folders import files_in
from CardiacSegLib.dicom.headers import DicomImage, read_headers
from CardiacSegLib.dicom.stacks import CineStack, parallel_images
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image

TITLE = "Sunnybrook: DICOM cine with IM-0001-0048-icontour-manual.txt and ocontour"

SUNNYBROOK: LabelConvention = {"LV": 1, "MYO": 2}

_CONTOUR = re.compile(r"IM-\d+-(?P<number>\d+)-(?P<kind>[io])contour-manual\.txt", re.IGNORECASE)
#: Folders between that of a patient and its contours.
_INNER_FOLDERS = {"i-contours", "o-contours", "contours-manual", "ircci-expert"}
_TABLES = {"link.csv", "scd_patientdata.csv"}
#: Contours count pixels from the corner of the image, so the center of the first pixel is (0.5, 0.5). The workshop that
#: published them says so, and the images agree: taken as counted from that center, contours lie 0.5 pixels, give or
#: take 0.1, beyond the borders that they follow (a test measures it).
_FIRST_CENTER = 0.5
#: More columns or rows no DICOM image has.
_LARGEST = 2**16
#: Contours run on a grid of half pixels, right through centers. Moved by next to nothing, and not along a diagonal, a
#: contour loses as many of those on one side as it gains on the other: it keeps its area, and what it fills moves by a
#: quarter of a pixel at most.
_ASIDE = np.array([-2e-6, -1e-6])


@dataclass(frozen=True)
class Contours:
    """The files of contours on one image; None where there is none."""

    inner: Path | None = None
    outer: Path | None = None


@dataclass(frozen=True)
class SunnybrookCase(Case):
    """One phase of a stack. ``image`` is the folder of its DICOM files, ``labels`` that of its contours.

    Attributes:
        slices: the DICOM file of each slice, sorted along the normal, with the contours on it.
    """

    slices: tuple[tuple[Path, Contours], ...] = ()

    def read(self) -> tuple[Image, np.ndarray]:
        """The volume (columns, rows, slices), and labels of the same shape, uint8: pixels with the center in a contour.

        Raises:
            CardiacSegError: naming the file that cannot be read, or the contour that leaves its image.
        """
        array, affine = read_volume([path for path, _ in self.slices])
        labels = [self._labels(contours, array.shape[:2]) for _, contours in self.slices]
        return Image(array, affine, self.image), np.stack(labels, axis=-1)

    def _labels(self, contours: Contours, size: tuple[int, int]) -> np.ndarray:
        labels = np.zeros(size, np.uint8)
        for name, path in (("MYO", contours.outer), ("LV", contours.inner)):
            if path is not None and name in self.convention:
                labels[_filled(path, size)] = self.convention[name]
        return labels


def _filled(path: Path, size: tuple[int, int]) -> np.ndarray:
    points = read_contour(path)
    if points.min() < 0 or (points > size).any():
        raise CardiacSegError(f"{path}: leaves its image of {size[0]} x {size[1]} pixels; it belongs to another one")
    return fill_contour(points, size)


def read_contour(path: Path) -> np.ndarray:
    """The points of a contour, shape (N, 2): columns and rows, counted in pixels from the corner of the image.

    Raises:
        CardiacSegError: where the file does not hold three or more points.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        points = np.array([line.split() for line in lines if line.strip()], float)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            raise ValueError(f"numbers of shape {points.shape}")
        if not (np.abs(points) <= _LARGEST).all():
            raise ValueError("points beyond any image")
        if not np.ptp(points, axis=0).all():
            raise ValueError("it encloses nothing")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CardiacSegError(
            f"{path}: is no contour ({reason}); it holds two numbers a line, column and row of a point: copy it again"
        ) from error
    return points


def fill_contour(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixels whose center lies within a closed contour.

    Args:
        points: as :func:`read_contour` gives them, all within the image.
        size: columns and rows.

    Returns:
        Boolean array (columns, rows).
    """
    from matplotlib.path import Path as Outline

    low, high = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int)
    pixels = np.mgrid[low[0] : high[0], low[1] : high[1]]
    inside = Outline(points + _ASIDE).contains_points(pixels.reshape(2, -1).T + _FIRST_CENTER)
    filled = np.zeros(size, bool)
    filled[low[0] : high[0], low[1] : high[1]] = inside.reshape(pixels.shape[1:])
    return filled


def recognizes(folder: Path) -> bool:
    """Whether contours named as those of Sunnybrook lie anywhere in ``folder``."""
    return any(_CONTOUR.fullmatch(path.name) for path in files_in(Path(folder), "IM-*contour-manual.txt"))


def find_cases(folder: Path, labels: LabelConvention | None = None) -> list[Case]:
    """Every contoured phase of every patient in ``folder``, sorted by patient, ED first.

    Raises:
        CardiacSegError: where there is none; a contour is damaged, is there twice or has no image; images fit in no or
            in several ways; more than two phases are contoured; or ``labels`` names another convention.
    """
    fixed_labels(SUNNYBROOK, labels, "Sunnybrook")
    folder = Path(folder).absolute()
    patients = _contoured_patients(folder)
    if not patients:
        raise CardiacSegError(f"{folder}: no IM-0001-0048-icontour-manual.txt or such in it; give the folder with both")
    images = _images_of(patients, folder)
    return [case for patient in sorted(patients) for case in patients[patient].cases(images[patient])]


@dataclass(frozen=True)
class _Patient:
    """A patient's contours, by the number of their image."""

    name: str
    folder: Path
    contours: Mapping[int, Contours]

    def cases(self, files: Sequence[Path]) -> list[Case]:
        stack = self._stack(files)
        phases = self._phases(stack)
        names = ("ED", "ES") if len(phases) == 2 else ("",)
        return [self._case(name, phase, phases[phase], stack) for name, phase in zip(names, phases)]

    def _stack(self, files: Sequence[Path]) -> CineStack:
        """The one stack of parallel slices, of all series there may be, that the contours are drawn on."""
        stacks = [CineStack.of_images(group) for group in self._contoured_groups(files)]
        # Other series, perfusion for one, have images of those numbers, too, but scattered over phases.
        fitting = [stack for stack in stacks if len(self._phases(stack)) <= 2]
        if not fitting:
            frames = ", ".join(map(str, sorted(self._phases(stacks[0]))))
            raise CardiacSegError(
                f"{self.folder}: contours at more than two phases of the cine (frames {frames}, counted from 0); "
                "leave those of end-diastole and end-systole"
            )
        if len(fitting) > 1:
            first, second = (stack.slices[0].images[0].path for stack in fitting[:2])
            raise CardiacSegError(
                f"{self.folder}: its contours fit the series of {first} as well as that of {second}; leave the "
                "short-axis cine that they were drawn on"
            )
        return fitting[0]

    def _contoured_groups(self, files: Sequence[Path]) -> list[list[DicomImage]]:
        """Parallel images of one series that have the numbers of all contours."""
        groups = parallel_images(_numbered(read_headers(files)))
        missing = [set(self.contours) - {image.number for image in group} for group in groups]
        if all(missing):
            number = min(min(missing, key=len, default=self.contours))
            path = self.contours[number].inner or self.contours[number].outer
            raise CardiacSegError(
                f"{path}: no image number {number} in a series with those of the other contours, among {len(files)} "
                f"DICOM files of {self.name}; copy it there, or take the contour away"
            )
        return [group for group, numbers in zip(groups, missing) if not numbers]

    def _phases(self, stack: CineStack) -> dict[int, dict[int, Contours]]:
        """The contours of each contoured phase, by number; the phase with the largest cavity first."""
        phases: dict[int, dict[int, Contours]] = defaultdict(dict)
        for number, contours in self.contours.items():
            phases[stack.phase_of(number)][number] = contours
        return dict(sorted(phases.items(), key=lambda item: _cavity(item[1].values()), reverse=True))

    def _case(self, name: str, phase: int, drawn: Mapping[int, Contours], stack: CineStack) -> Case:
        inner = [contours for contours in drawn.values() if contours.inner]
        if not inner:
            raise CardiacSegError(f"{self.folder}: frame {phase} of the cine has outer contours only; add inner ones")
        convention = SUNNYBROOK if all(contours.outer for contours in inner) else {"LV": SUNNYBROOK["LV"]}
        slices = tuple((image.path, drawn.get(image.number, Contours())) for image in stack.at(phase))
        return SunnybrookCase(
            *(self.name, name, slices[0][0].parent, self.folder, convention),
            group=_group(self.name),
            frame=phase,
            slices=slices,
        )


def _numbered(images: Iterable[DicomImage]) -> list[DicomImage]:
    """Images that contours can name: each number of a series once. Copies of a file are the same image.

    Raises:
        CardiacSegError: where two images of a series have the same number.
    """
    found: dict[tuple[str, int], DicomImage] = {}
    for image in filter(lambda image: image.number, images):
        before = found.setdefault((image.series, image.number), image)
        if before.uid != image.uid:
            raise CardiacSegError(f"{image.path}: is image {image.number}, as {before.path} is; take one away")
    return list(found.values())


def _cavity(drawn: Iterable[Contours]) -> float:
    """Within the inner contours, in square pixels."""
    return sum(_area(read_contour(contours.inner)) for contours in drawn if contours.inner)


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _group(patient: str) -> str:
    """The diagnosis in a patient's name: HF-I and HF-NI (heart failure with and without infarction), HYP, N."""
    match = re.fullmatch(r"SC-(.+)-\d+", patient)
    return match[1] if match else ""


def _contoured_patients(folder: Path) -> dict[str, _Patient]:
    found: dict[Path, dict[int, dict[str, Path]]] = defaultdict(lambda: defaultdict(dict))
    for path in files_in(folder, "IM-*contour-manual.txt"):
        match = _CONTOUR.fullmatch(path.name)
        if match is None:  # papillary muscles
            continue
        kinds, kind = found[_patient_folder(path)][int(match["number"])], match["kind"].lower()
        if kind in kinds:
            raise CardiacSegError(f"{path}: the same contour is in {kinds[kind].parent}; leave one of them")
        kinds[kind] = path
    patients: dict[str, _Patient] = {}
    for place, numbers in found.items():
        contours = {number: Contours(kinds.get("i"), kinds.get("o")) for number, kinds in numbers.items()}
        patient = _Patient(_short(place.name), place, contours)
        if patient.name in patients:
            raise CardiacSegError(f"{place}: {patient.name} has contours in {patients[patient.name].folder}; leave one")
        patients[patient.name] = patient
    return patients


def _patient_folder(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.name.lower() not in _INNER_FOLDERS)


def _short(name: str) -> str:
    """SC-HF-I-01 and SC-HF-I-1 are one patient."""
    return re.sub(r"-0+(?=\d+$)", "-", name)


def _images_of(patients: Collection[str], folder: Path) -> dict[str, list[Path]]:
    """The DICOM files of each patient: those anywhere in a folder with its name or one that a table links to it."""
    names = {patient: patient for patient in patients} | _links(folder)
    images: dict[str, list[Path]] = {patient: [] for patient in patients}
    for path in files_in(folder, "*.dcm"):
        patient = next((names[name] for name in map(_short, path.parts[-2::-1]) if name in names), None)
        if patient in images:
            images[patient].append(path)
    for patient, paths in images.items():
        if not paths:
            raise CardiacSegError(
                f"{folder}: no DICOM files (.dcm) of {patient}, which has contours; put them in a folder of that name, "
                "say in link.csv how it is called (columns patient_id and original_id), or take its contours away"
            )
    return images


def _links(folder: Path) -> dict[str, str]:
    """The patient whose images are in a folder of another name."""
    links = {}
    for path in files_in(folder, "*.csv"):
        if path.name.lower() in _TABLES:
            links |= _read_links(path)
    return links


def _read_links(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
        rows = [{key.lower().replace("_", ""): value.strip() for key, value in row.items()} for row in rows]
        return {row["patientid"]: _short(row["originalid"]) for row in rows}
    except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
        raise CardiacSegError(
            f"{path}: is no table of patients ({error}); it has the columns patient_id and original_id"
        ) from error
