"""DICOM headers: where each image lies in space and time, and what kind of scan it belongs to."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.errors import CardiacSegError

_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
#: Everything that is ever read besides pixels. None of it says who the patient is, or when the examination was.
_TAGS = (
    *(*_PLACE, "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "SliceThickness", "SpacingBetweenSlices"),
    *("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SeriesNumber"),
    *("SeriesDescription", "ImageType", "InstanceNumber", "TemporalPositionIdentifier", "TriggerTime", "FrameTime"),
    *("NominalCardiacTriggerDelayTime", "NominalInterval", "HeartRate", "CardiacNumberOfImages", "EchoTime"),
    *("FlipAngle", "RescaleSlope", "RescaleIntercept"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
_MAGIC_AT, _MAGIC = 128, b"DICM"
#: Names that say DICOM of files without the mark that newer ones begin with.
_EXTENSIONS = {".dcm", ".dicom", ".ima"}
#: What a person may have: a heart rate, per minute, and the milliseconds from one beat to the next.
_HEART_RATES, _INTERVALS = (20.0, 300.0), (200.0, 3000.0)
#: What pydicom raises for a file that is damaged, or no DICOM file.
_UNREADABLE = (AttributeError, EOFError, KeyError, NotImplementedError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Scan:
    """What the images of one series have in common.

    Attributes:
        series, study, frame: identifiers of the series, its study and the frame of reference of its positions; "" where
            the file does not say.
        image_type: what tells magnitude from phase images, and localizers, within a series.
        number: of the series; 0 where the file does not say.
        description: what the operator called the series.
        echo_time, flip_angle: milliseconds and degrees; None where the file does not say.
    """

    series: str
    study: str = ""
    frame: str = ""
    image_type: tuple[str, ...] = ()
    number: int = 0
    description: str = ""
    echo_time: float | None = None
    flip_angle: float | None = None


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One image, and where it lies in space and time.

    Attributes:
        path: of the file.
        frame: which image of a file that holds several, counted from 0; None where it holds one.
        number: of the image in its series (InstanceNumber).
        uid: identifier of the image; copies of a file share it.
        scan: what it has in common with the images of its series.
        size: columns and rows.
        spacing: millimeters between columns and between rows, shape (2,).
        directions: LPS, in which columns and rows are counted, shape (2, 3).
        position: center of the first pixel, LPS millimeters, shape (3,).
        thickness: of the slice, in millimeters; None where the file does not say.
        trigger_time: milliseconds after the R wave; None where the file does not say, as below.
        temporal_index: which of the phases.
        frame_time: milliseconds from one image of the file to the next.
        interval: milliseconds from one R wave to the next.
        phases: how many images there are of a heartbeat, by what the header says.
        rescale: slope and intercept from stored values to intensities.
    """

    path: Path
    number: int
    scan: Scan
    size: tuple[int, int]
    spacing: np.ndarray
    directions: np.ndarray
    position: np.ndarray
    uid: str = ""
    frame: int | None = None
    thickness: float | None = None
    trigger_time: float | None = None
    temporal_index: int | None = None
    frame_time: float | None = None
    interval: float | None = None
    phases: int | None = None
    rescale: tuple[float, float] = (1.0, 0.0)

    @property
    def series(self) -> str:
        """Identifier of the series."""
        return self.scan.series

    @property
    def normal(self) -> np.ndarray:
        """Unit vector through the slice, LPS: columns, rows and slices along it make a right-handed grid."""
        return np.cross(*self.directions)


@dataclass
class FoundImages:
    """The images in a folder, and how many of its DICOM files were left out. Other files are none of its business.

    Attributes:
        images: in the order of their paths.
        copies: DICOM files whose image is there already.
        without_place: DICOM files without an image that has a place in space: reports, screen captures, ultrasound.
        unreadable: DICOM files that are damaged.
    """

    images: list[DicomImage] = field(default_factory=list)
    copies: int = 0
    without_place: int = 0
    unreadable: int = 0

    def notes(self) -> list[str]:
        """A line for each kind of DICOM file that was left out."""
        counts = (
            (self.copies, "copied a second time"),
            (self.without_place, "without an image that has a place in space"),
            (self.unreadable, "damaged; copy again"),
        )
        return [f"left out: {count} DICOM file{'s'[: count > 1]} {what}" for count, what in counts if count]


def find_images(folder: Path) -> FoundImages:
    """Every image in a folder and the folders in it, whatever the files are called, each once."""
    found, seen = FoundImages(), set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not is_dicom_file(path):
            continue
        try:
            images = read_headers([path])
        except CardiacSegError:
            if _is_marked(path):
                found.unreadable += 1
            continue
        new = [image for image in images if not image.uid or (image.uid, image.frame) not in seen]
        seen.update((image.uid, image.frame) for image in new)
        found.images += new
        found.without_place += not images
        found.copies += bool(images) and not new
    return found


def is_dicom_file(path: Path) -> bool:
    """Whether a file looks like DICOM with an image. A DICOMDIR has none: what it lists lies beside and below it."""
    return not is_dicomdir(path) and (_is_marked(path) or path.suffix.lower() in _EXTENSIONS)


def is_dicomdir(path: Path) -> bool:
    """Whether that is the index of a DICOM medium, by its name."""
    return path.name.upper() == "DICOMDIR"


def _is_marked(path: Path) -> bool:
    """Whether a file begins as the standard says; older ones do not, and are known by their name alone."""
    try:
        with path.open("rb") as stream:
            stream.seek(_MAGIC_AT)
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def read_headers(paths: Iterable[Path]) -> list[DicomImage]:
    """The gray images in those files that have a place in space; others, such as reports, are left out.

    Raises:
        CardiacSegError: naming the file that is no DICOM file.
    """
    images = []
    for path in paths:
        with reading(path) as pydicom:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS), force=True)
            if "SOPInstanceUID" not in dataset and "SeriesInstanceUID" not in dataset:
                raise ValueError("it holds no DICOM elements")
            images += _images_of(path, dataset)
    return images


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Give pydicom, without its check of values: identifiers may have parts with leading zeros.

    What pydicom warns of and logs is not shown, as it quotes what stands in a file.

    Raises:
        CardiacSegError: naming the file, for whatever pydicom raises.
    """
    import warnings

    import pydicom

    try:
        with warnings.catch_warnings(), pydicom.config.disable_value_validation(), _silent("pydicom"):
            warnings.simplefilter("ignore")
            yield pydicom
    except (*_UNREADABLE, pydicom.errors.InvalidDicomError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CardiacSegError(f"{path}: cannot be read as DICOM ({reason}); copy it again, or take it away") from error


@contextmanager
def _silent(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _images_of(path: Path, dataset: Any) -> list[DicomImage]:
    if not (dataset.get("Rows") and dataset.get("Columns")) or int(dataset.get("SamplesPerPixel") or 1) != 1:
        return []
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if all(dataset.get(tag) for tag in _PLACE):
        several = int(dataset.get("NumberOfFrames") or 1) > 1
        return [] if several else [_described(path, dataset, _Groups(dataset, dataset, dataset), None)]
    shared = (dataset.get("SharedFunctionalGroupsSequence") or (dataset,))[0]
    groups = [_Groups(dataset, shared, frame) for frame in frames]
    if not all(each.get(tag) for each in groups for tag in _PLACE):
        return []
    return [_described(path, dataset, each, index) for index, each in enumerate(groups)]


#: Where enhanced objects keep, in groups of attributes, what others have at the top (PS3.3, C.7.6.16 and C.8.13.5).
_GROUPS = {
    "ImagePositionPatient": ("PlanePositionSequence", "ImagePositionPatient"),
    "ImageOrientationPatient": ("PlaneOrientationSequence", "ImageOrientationPatient"),
    "PixelSpacing": ("PixelMeasuresSequence", "PixelSpacing"),
    "SliceThickness": ("PixelMeasuresSequence", "SliceThickness"),
    "TriggerTime": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "NominalInterval": ("CardiacSynchronizationSequence", "RRIntervalTimeNominal"),
    "TemporalPositionIdentifier": ("FrameContentSequence", "TemporalPositionIndex"),
    "ImageType": ("MRImageFrameTypeSequence", "FrameType"),
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "FlipAngle": ("MRTimingAndRelatedParametersSequence", "FlipAngle"),
    "RescaleSlope": ("PixelValueTransformationSequence", "RescaleSlope"),
    "RescaleIntercept": ("PixelValueTransformationSequence", "RescaleIntercept"),
}


@dataclass(frozen=True)
class _Groups:
    """The attributes of one image: its own, those shared with others of the file, those of the file."""

    dataset: Any
    shared: Any
    own: Any

    def get(self, tag: str) -> Any:
        """The value of an attribute; None where there is none."""
        sequence, name = _GROUPS.get(tag, ("", ""))
        for source in (self.own, self.shared):
            items = source.get(sequence) if sequence else None
            if items and items[0].get(name) not in (None, ""):
                return items[0].get(name)
        return self.dataset.get(tag)

    def number(self, *tags: str) -> float | None:
        """The first of those attributes that is a finite number."""
        for tag in tags:
            try:
                value = float(self.get(tag))
            except (TypeError, ValueError):
                continue
            if np.isfinite(value):
                return value
        return None

    def within(self, limits: tuple[float, float], *tags: str) -> float | None:
        """The same where it lies within limits: a scanner that does not know writes 0."""
        value = self.number(*tags)
        return value if value is not None and limits[0] <= value <= limits[1] else None

    def text(self, tag: str) -> str:
        return " ".join(str(self.get(tag) or "").split())


def _described(path: Path, dataset: Any, groups: _Groups, frame: int | None) -> DicomImage:
    spacing = np.array(groups.get("PixelSpacing"), float).reshape(2)[::-1]  # DICOM has that between rows first
    directions = np.array(groups.get("ImageOrientationPatient"), float).reshape(2, 3)
    position = np.array(groups.get("ImagePositionPatient"), float).reshape(3)
    if not (np.isfinite([*spacing, *directions.ravel(), *position]).all() and (spacing > 0).all()):
        raise ValueError("its place in space is no number, or its spacing not positive")
    number = groups.number("InstanceNumber")
    index, phases = groups.number("TemporalPositionIdentifier"), groups.number("CardiacNumberOfImages")
    rate = groups.within(_HEART_RATES, "HeartRate")
    return DicomImage(
        path=path,
        number=int(number or 0) if frame is None else frame + 1,
        scan=_scan(groups),
        size=(int(dataset.Columns), int(dataset.Rows)),
        spacing=spacing,
        directions=directions,
        position=position,
        uid=groups.text("SOPInstanceUID"),
        frame=frame,
        thickness=groups.within((0.1, 100.0), "SliceThickness"),
        trigger_time=groups.number("TriggerTime", "NominalCardiacTriggerDelayTime"),
        temporal_index=None if index is None else int(index),
        frame_time=groups.within((1.0, 1000.0), "FrameTime"),
        interval=60_000 / rate if rate else groups.within(_INTERVALS, "NominalInterval"),
        phases=int(phases) if phases else None,
        rescale=(groups.number("RescaleSlope") or 1.0, groups.number("RescaleIntercept") or 0.0),
    )


def _scan(groups: _Groups) -> Scan:
    return Scan(
        series=groups.text("SeriesInstanceUID"),
        study=groups.text("StudyInstanceUID"),
        frame=groups.text("FrameOfReferenceUID"),
        image_type=tuple(map(str, groups.get("ImageType") or ()))[2:],
        number=int(groups.number("SeriesNumber") or 0),
        description=groups.text("SeriesDescription"),
        echo_time=groups.number("EchoTime"),
        flip_angle=groups.number("FlipAngle"),
    )
