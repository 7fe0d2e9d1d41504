"""DICOM headers: where each image lies in space and time, and what kind of scan it belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.dicom.elements import load, reading

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
#: What a person may have: a heart rate, per minute, and the milliseconds from one beat to the next.
_HEART_RATES, _INTERVALS = (20.0, 300.0), (200.0, 3000.0)
#: What a scanner can write: images of a heartbeat, milliseconds, millimeters of spacing and of position.
_PHASES, _TIMES, _SPACINGS, _FARTHEST = (1.0, 10_000.0), (-1e7, 1e7), (1e-3, 1e3), 1e5
#: Directions may be this far from right angles and from length 1: some scanners write two digits.
_NOT_SQUARE = 0.02
#: An image that claims more pixels than this is damaged; those of cardiac MR have a quarter of a million.
_MOST_PIXELS = 2**26
_GRAY = ("", "MONOCHROME1", "MONOCHROME2")
#: Longer descriptions are none: the standard has 64 characters, some scanners write a few more.
_LONGEST_TEXT = 128


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
