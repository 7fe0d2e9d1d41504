"""A cine stack as a scanner writes it: one DICOM file for each slice and phase."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import LPS_TO_RAS

_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
_TAGS = (*_PLACE, "InstanceNumber", "SeriesInstanceUID", "TriggerTime")
#: Direction cosines of parallel slices, and spacings, may differ by this much: scanners round them slice by slice.
_SAME_DIRECTION = 1e-3
#: Images less than this apart along the normal, in millimeters, show the same slice.
_SAME_SLICE = 0.5
#: A slice may lie this far, in millimeters, from where even spacing puts it.
_EVEN = 1.0


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One image, and where it lies in space and time.

    Attributes:
        path: of the file.
        number: of the image in its series (InstanceNumber).
        series: its identifier.
        size: columns and rows.
        spacing: millimeters between columns and between rows, shape (2,).
        directions: LPS, in which columns and rows are counted, shape (2, 3).
        position: center of the first pixel, LPS millimeters, shape (3,).
        trigger_time: milliseconds after the R wave; 0 where the file does not say.
    """

    path: Path
    number: int
    series: str
    size: tuple[int, int]
    spacing: np.ndarray
    directions: np.ndarray
    position: np.ndarray
    trigger_time: float

    @property
    def normal(self) -> np.ndarray:
        """Unit vector through the slice, LPS: columns, rows and slices along it make a right-handed grid."""
        return np.cross(*self.directions)

    def is_parallel_to(self, other: DicomImage) -> bool:
        """Whether both are of one series and could be slices of one volume."""
        return (self.series, self.size) == (other.series, other.size) and all(
            np.abs(mine - its).max() < _SAME_DIRECTION
            for mine, its in ((self.directions, other.directions), (self.spacing, other.spacing))
        )


def read_headers(paths: Iterable[Path]) -> list[DicomImage]:
    """The images of those files that have a number and a place in space; others, such as reports, are left out.

    Raises:
        CardiacSegError: naming the file that is no DICOM file.
    """
    images = []
    for path in paths:
        with _reading(path) as pydicom:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
            if all(dataset.get(tag) for tag in (*_PLACE, "InstanceNumber")):
                images.append(_described(path, dataset))
    return images


def read_volume(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """The volume whose slices those files hold.

    Args:
        paths: of parallel slices (:func:`parallel_images`), sorted along their normal.

    Returns:
        Array (columns, rows, slices), and the affine (4, 4) from its indices to RAS millimeters.

    Raises:
        CardiacSegError: naming a file that is truncated or damaged, or a slice that does not fit the others.
    """
    slices = [_read_slice(path) for path in paths]
    return np.stack([array for _, array in slices], axis=-1), _affine([image for image, _ in slices])


def _read_slice(path: Path) -> tuple[DicomImage, np.ndarray]:
    with _reading(path) as pydicom:
        dataset = pydicom.dcmread(path)
        pixels = pydicom.pixels.apply_rescale(dataset.pixel_array, dataset)
        image = _described(path, dataset)
        if pixels.shape[::-1] != image.size:
            raise ValueError(f"its pixels have the shape {pixels.shape}")
        return image, pixels.T


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Give pydicom, without its check of values: identifiers may have parts with leading zeros."""
    import pydicom

    try:
        with pydicom.config.disable_value_validation():
            yield pydicom
    except (
        *(AttributeError, EOFError, KeyError, NotImplementedError, OSError, RuntimeError, TypeError, ValueError),
        pydicom.errors.InvalidDicomError,
    ) as error:
        reason = " ".join(str(error).split())[:160]
        raise CardiacSegError(f"{path}: cannot be read as DICOM ({reason}); copy it again, or take it away") from error


def _described(path: Path, dataset: Any) -> DicomImage:
    return DicomImage(
        path=path,
        number=int(dataset.InstanceNumber),
        series=str(dataset.get("SeriesInstanceUID", "")),
        size=(int(dataset.Columns), int(dataset.Rows)),
        spacing=np.array(dataset.PixelSpacing, float).reshape(2)[::-1],  # DICOM has that between rows first
        directions=np.array(dataset.ImageOrientationPatient, float).reshape(2, 3),
        position=np.array(dataset.ImagePositionPatient, float).reshape(3),
        trigger_time=float(dataset.get("TriggerTime") or 0),
    )


def _affine(images: Sequence[DicomImage]) -> np.ndarray:
    first = images[0]
    positions = np.array([image.position for image in images])
    step = first.normal * ((positions[-1] - positions[0]) @ first.normal / max(1, len(images) - 1))
    errors = np.linalg.norm(positions - positions[0] - np.arange(len(images))[:, None] * step, axis=1)
    if len(images) < 2 or errors.max() > _EVEN:
        worst = images[int(errors.argmax())].path
        raise CardiacSegError(
            f"{worst}: its slice and the other {len(images) - 1} make no even stack ({errors.max():.1f} mm off); "
            "copy the missing slices, or take away what is not of the stack"
        )
    lps = np.eye(4)
    lps[:3, :2] = first.directions.T * first.spacing
    lps[:3, 2] = step
    lps[:3, 3] = first.position
    return LPS_TO_RAS @ lps


@dataclass(frozen=True)
class CineStack:
    """Parallel slices of one series, each at its phases.

    Attributes:
        slices: sorted along their normal; for each its images by phase, counted from 0.
    """

    slices: Sequence[Mapping[int, DicomImage]]

    @classmethod
    def of_images(cls, images: Iterable[DicomImage]) -> CineStack:
        """The stack of images that :func:`parallel_images` puts together.

        Images of a slice are counted by trigger time. A slice that lacks images has gaps in its phases, found in steps
        of its own heartbeat, as every slice is taken in another breath-hold.

        Raises:
            CardiacSegError: where two images have the same number, or trigger times do not tell what a slice lacks.
        """
        images = sorted(images, key=lambda image: image.number)
        for before, image in zip(images, images[1:]):
            if before.number == image.number:
                raise CardiacSegError(f"{image.path}: is image {image.number}, as {before.path} is; take one away")
        slices = [sorted(group, key=lambda image: (image.trigger_time, image.number)) for group in _slices(images)]
        complete = max(slices, key=len)
        return cls([dict(zip(_phases(group, complete), group)) for group in slices])

    def phase_of(self, number: int) -> int:
        """The phase of the image with that number, which the stack holds."""
        return next(phase for group in self.slices for phase, image in group.items() if image.number == number)

    def at(self, phase: int) -> list[DicomImage]:
        """One image of each slice; a slice that lacks the phase gives its nearest."""
        return [group[min(group, key=lambda other: abs(other - phase))] for group in self.slices]


def parallel_images(images: Iterable[DicomImage]) -> list[list[DicomImage]]:
    """Images put together that are of one series and parallel, orientations that differ in the last digit included."""
    groups: list[list[DicomImage]] = []
    for image in images:
        group = next((group for group in groups if group[0].is_parallel_to(image)), None)
        if group is None:
            groups.append([image])
        else:
            group.append(image)
    return groups


def _slices(images: Sequence[DicomImage]) -> list[list[DicomImage]]:
    """Images by slice, sorted along the normal."""
    normal = images[0].normal
    images = sorted(images, key=lambda image: image.position @ normal)
    slices = [[images[0]]]
    for before, image in zip(images, images[1:]):
        if (image.position - before.position) @ normal > _SAME_SLICE:
            slices.append([])
        slices[-1].append(image)
    return slices


def _phases(group: Sequence[DicomImage], complete: Sequence[DicomImage]) -> list[int]:
    if len(group) == len(complete):
        return list(range(len(group)))
    return np.rint(_in_steps(group) - _in_steps(complete)[0]).astype(int).tolist()


def _in_steps(group: Sequence[DicomImage]) -> np.ndarray:
    """Trigger times in steps from one phase to the next."""
    times = np.array([image.trigger_time for image in group])
    step = np.median(np.diff(times)) if len(times) > 1 else 0.0
    if not step > 0:
        raise CardiacSegError(
            f"{group[0].path}: its slice lacks images, and trigger times do not tell which; copy the series again"
        )
    return times / step
