"""DICOM headers: where each image lies in space and time, and what kind of scan it belongs to."""

from __future__ import annotations

import io
import logging
import re
import struct
import zlib
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
    *(*_PLACE, "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "SliceThickness"),
    *("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SeriesNumber"),
    *("SeriesDescription", "ImageType", "InstanceNumber", "TemporalPositionIdentifier", "TriggerTime", "FrameTime"),
    *("NominalCardiacTriggerDelayTime", "NominalInterval", "HeartRate", "CardiacNumberOfImages", "EchoTime"),
    *("FlipAngle", "RescaleSlope", "RescaleIntercept"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
_MAGIC_AT, _MAGIC = 128, b"DICM"
#: Names that say DICOM of files without the mark that newer ones begin with.
_EXTENSIONS = {".dcm", ".dicom", ".ima"}
#: What macOS writes beside files on other disks, under their names.
_SHADOW = "._"
#: What a person may have: a heart rate, per minute, and the milliseconds from one beat to the next.
_HEART_RATES, _INTERVALS = (20.0, 300.0), (200.0, 3000.0)
#: What a scanner can write: images of a heartbeat, milliseconds, millimeters of spacing and of position.
_PHASES, _TIMES, _SPACINGS, _FARTHEST = (1.0, 10_000.0), (-1e7, 1e7), (1e-3, 1e3), 1e5
#: Directions may be this far from right angles and from length 1: some scanners write two digits.
_NOT_SQUARE = 0.02
#: An image that claims more pixels than this is damaged; those of cardiac MR have a quarter of a million.
_MOST_PIXELS = 2**26
#: What deflated files may come to, in bytes.
_MOST_INFLATED = 2**28
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_GRAY = ("", "MONOCHROME1", "MONOCHROME2")
#: Longer descriptions are none: the standard has 64 characters, some scanners write a few more.
_LONGEST_TEXT = 128
#: What pydicom raises for a file that is damaged, or no DICOM file.
_UNREADABLE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError),
    *(OSError, RuntimeError, TypeError, ValueError, struct.error, zlib.error),
)
#: Those that tell a person something.
_TELLING = (AttributeError, CardiacSegError, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)
#: Text in quotes or brackets within an error: it may be what stands in the file.
_QUOTED = re.compile(r"""(?<!\w)b?(['"]).*?\1|<.*?>""")


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
        example: what is wrong with the first of these.
    """

    images: list[DicomImage] = field(default_factory=list)
    copies: int = 0
    without_place: int = 0
    unreadable: int = 0
    example: str = ""

    def notes(self) -> list[str]:
        """A line for each kind of DICOM file that was left out."""
        counts = (
            (self.copies, "copied a second time"),
            (self.without_place, "without an image that has a place in space"),
            (self.unreadable, f"damaged{self.example}; copy again"),
        )
        return [f"left out: {count} DICOM file{'s'[: count > 1]} {what}" for count, what in counts if count]


def find_images(folder: Path) -> FoundImages:
    """Every image in a folder and the folders in it, whatever the files are called, each once."""
    found, seen = FoundImages(), set()
    for path in files_in(folder):
        if not is_dicom_file(path):
            continue
        try:
            images = read_headers([path])
        except CardiacSegError as error:
            found.unreadable += 1
            found.example = found.example or f", such as {_shown(path.name)} ({_reason(error.__cause__ or error)})"
            continue
        new = [image for image in images if not image.uid or (image.uid, image.frame) not in seen]
        seen.update((image.uid, image.frame) for image in new)
        found.images += new
        found.without_place += not images
        found.copies += bool(images) and not new
    return found


def files_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The files in a folder and the folders in it, sorted; folders that are links are not followed.

    Raises:
        CardiacSegError: where folders lie so deep that their files have no usable path.
    """
    try:
        return sorted(path for path in folder.rglob(pattern) if path.is_file() and not path.name.startswith(_SHADOW))
    except (OSError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "folders in folders without end"
        raise CardiacSegError(f"{folder}: cannot be listed ({reason}); give a folder of shorter paths") from error


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
            dataset = load(pydicom, path, stop_before_pixels=True, specific_tags=list(_TAGS))
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
    except (*_UNREADABLE, pydicom.errors.BytesLengthException, pydicom.errors.InvalidDicomError) as error:
        message = f"{path}: cannot be read as DICOM ({_reason(error)}); copy it again, or take it away"
        raise CardiacSegError(message) from error


def _reason(error: BaseException) -> str:
    """What an exception says, in one line, without what it quotes: that may name the patient."""
    if not isinstance(error, _TELLING):
        return "its elements are damaged"
    return _shown(_QUOTED.sub("...", " ".join(str(error).split())))[:160] or type(error).__name__


def _shown(text: str) -> str:
    """Text without what no terminal shows, as names of files may have it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def load(pydicom: Any, path: Path, **options: Any) -> Any:
    """The elements of a file, by pydicom; ``options`` are those of ``dcmread``.

    Raises:
        Whatever pydicom raises, and ValueError where the file inflates beyond all measure.
    """
    with _WholeFile(path) as stream:
        _check_inflated(stream)
        return pydicom.dcmread(stream, force=True, **options)


class _WholeFile(io.BufferedReader):
    """A file of which no more can be asked than it holds: an element's length may claim four gigabytes."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None else min(size, self._size))


def _check_inflated(stream: _WholeFile) -> None:
    """Refuse a deflated file that would fill the memory; leave the stream at its beginning."""
    head = stream.read(1024)
    if _DEFLATED in head:
        # The group of the transfer syntax says its length in its first element; the deflated ones begin behind it.
        stream.seek(_MAGIC_AT + len(_MAGIC) + 12 + struct.unpack_from("<I", head, _MAGIC_AT + len(_MAGIC) + 8)[0])
        inflating, count, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, stream.read()
        while rest and count <= _MOST_INFLATED:
            count += len(inflating.decompress(rest, 2**20))
            rest = inflating.unconsumed_tail
        if count > _MOST_INFLATED:
            raise ValueError(f"it inflates to more than {_MOST_INFLATED >> 20} MB")
    stream.seek(0)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)  # unlike `disabled`, it is for the loggers below this one, too
    try:
        yield
    finally:
        logger.setLevel(before)


def _images_of(path: Path, dataset: Any) -> list[DicomImage]:
    rows, columns = (int(dataset.get(tag) or 0) for tag in ("Rows", "Columns"))
    gray = int(dataset.get("SamplesPerPixel") or 1) == 1
    if not (rows and columns and gray and str(dataset.get("PhotometricInterpretation") or "") in _GRAY):
        return []
    if rows * columns > _MOST_PIXELS:
        raise ValueError(f"its header claims {rows} x {columns} pixels")
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
            except (OverflowError, TypeError, ValueError):
                continue
            if np.isfinite(value):
                return value
        return None

    def within(self, limits: tuple[float, float], *tags: str) -> float | None:
        """The same where it lies within limits: a scanner that does not know writes 0."""
        value = self.number(*tags)
        return value if value is not None and limits[0] <= value <= limits[1] else None

    def text(self, tag: str) -> str:
        """In one line; "" where it holds what cannot be text, as it does where a length is damaged."""
        text = " ".join(str(self.get(tag) or "").split())
        return text if text.isprintable() and len(text) <= _LONGEST_TEXT else ""


def _described(path: Path, dataset: Any, groups: _Groups, frame: int | None) -> DicomImage:
    spacing = np.array(groups.get("PixelSpacing"), float).reshape(2)[::-1]  # DICOM has that between rows first
    directions = np.array(groups.get("ImageOrientationPatient"), float).reshape(2, 3)
    position = np.array(groups.get("ImagePositionPatient"), float).reshape(3)
    _check_place(spacing, directions, position)
    number = groups.number("InstanceNumber")
    index, phases = groups.number("TemporalPositionIdentifier"), groups.within(_PHASES, "CardiacNumberOfImages")
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
        trigger_time=groups.within(_TIMES, "TriggerTime", "NominalCardiacTriggerDelayTime"),
        temporal_index=None if index is None else int(index),
        frame_time=groups.within((1.0, 1000.0), "FrameTime"),
        interval=60_000 / rate if rate else groups.within(_INTERVALS, "NominalInterval"),
        phases=int(phases) if phases else None,
        rescale=(groups.number("RescaleSlope") or 1.0, groups.number("RescaleIntercept") or 0.0),
    )


def _check_place(spacing: np.ndarray, directions: np.ndarray, position: np.ndarray) -> None:
    """Find what no scanner measures, (2,), (2, 3) and (3,): it would place an image anywhere."""
    if not (np.isfinite(spacing).all() and _SPACINGS[0] <= spacing.min() <= spacing.max() <= _SPACINGS[1]):
        raise ValueError(f"its spacing is {spacing[1]:g} x {spacing[0]:g} mm")
    if not (np.isfinite(directions).all() and np.abs(directions @ directions.T - np.eye(2)).max() < _NOT_SQUARE):
        raise ValueError("its rows and columns have no directions at right angles")
    if not (np.isfinite(position).all() and np.abs(position).max() < _FARTHEST):
        raise ValueError("its position is no place near the patient")


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
