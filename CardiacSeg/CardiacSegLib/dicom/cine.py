"""A series of DICOM images as one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from CardiacSegLib.dicom.headers import DicomImage, read_headers
from CardiacSegLib.dicom.pixels import read_pixels
from CardiacSegLib.dicom.series import DicomSeries
from CardiacSegLib.dicom.stacks import CineStack, Slice, affine_of, are_parallel, times
from CardiacSegLib.errors import CardiacSegError

#: Files that claim more pixels than this together are damaged: compressed ones may be small all the same.
_MOST_VOXELS = 2**31


@dataclass(frozen=True, eq=False)
class DicomCine:
    """The images of a series in space and time.

    Attributes:
        array: (I, J, K, T): columns, rows, slices along their normal, phases; (I, J, K) where there is one phase.
        affine: 4 x 4, index to RAS millimeters.
        frame_times: milliseconds after the R wave, or after the first phase, (T,); None where the files do not say.
        heart_rate: per minute; None where the files do not say.
        notes: what was left out or stands in for something else, a line each.
    """

    array: np.ndarray
    affine: np.ndarray
    frame_times: np.ndarray | None
    heart_rate: float | None
    notes: Sequence[str]


def read_cine(series: DicomSeries) -> DicomCine:
    """Read the images of a series.

    A slice with fewer phases than the others shows in place of those that it lacks its own nearest in time; one that
    has less than half of them is left out. Either is said.

    Raises:
        CardiacSegError: where slices lack or point in several directions, or naming a file that is damaged.
    """
    if not all(are_parallel(series.images[0], image) for image in series.images):
        raise CardiacSegError(f"{series.name}: its slices are not parallel; choose another series")
    stack = CineStack.of_images(series.images)
    slices, notes = _whole_slices(stack)
    affine = affine_of([each.at(0) for each in slices])
    count = stack.phases * len(slices) * int(np.prod(series.images[0].size))
    if count > _MOST_VOXELS:
        raise CardiacSegError(f"{series.name}: its headers claim {count:.0e} pixels; choose another series")
    images = [each.at(phase) for phase in range(stack.phases) for each in slices]
    # In memory phase by phase and slice by slice, as NIfTI has them and as they are segmented.
    array = np.stack([pixels.T for pixels in read_pixels(images)])
    array = array.reshape(stack.phases, len(slices), *array.shape[1:]).T
    return DicomCine(
        array=array if stack.phases > 1 else array[..., 0],
        affine=affine,
        frame_times=_frame_times(slices, stack.phases) if stack.phases > 1 else None,
        heart_rate=_heart_rate(series.images),
        notes=[*series.notes, *notes, *_unordered(slices)],
    )


def read_volume(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """The volume whose slices those files hold.

    Args:
        paths: of parallel slices, sorted along their normal.

    Returns:
        Array (columns, rows, slices), and the affine (4, 4) from its indices to RAS millimeters.

    Raises:
        CardiacSegError: naming a file that is truncated or damaged, or a slice that does not fit the others.
    """
    images = read_headers(paths)
    affine = affine_of(images)
    return np.stack(list(read_pixels(images)), axis=-1), affine


def _whole_slices(stack: CineStack) -> tuple[list[Slice], list[str]]:
    """The slices with at least half of the phases, and a line on each that has not as many as the others."""
    kept, notes = [], []
    for number, each in enumerate(stack.slices, start=1):
        count = len(each.images)
        short = 2 * count < stack.phases
        if not short:
            kept.append(each)
        if count != stack.phases:
            what = f"slice {number} of {len(stack.slices)} has {count} of {stack.phases} phases"
            notes.append(f"left out: {what}" if short else f"{what}: each phase shows its nearest in time")
    return kept, notes


def _unordered(slices: Sequence[Slice]) -> list[str]:
    """A line where slices have images that neither time nor number puts in an order."""
    known = [{(time, image.number) for time, image in zip(times(each.images), each.images)} for each in slices]
    count = sum(len(each) < len(one.images) for each, one in zip(known, slices))
    what = "images without times and numbers: their phases are in the order of the names of their files"
    return [f"in {count} of {len(slices)} slices there are {what}"] if count else []


def _frame_times(slices: Sequence[Slice], phases: int) -> np.ndarray | None:
    """The usual time of each phase over the slices, milliseconds (T,): every slice has heartbeats of its own."""
    whole = [each.images for each in slices if len(each.images) == phases]
    triggers = [[image.trigger_time for image in images] for images in whole]
    if all(times(images) == trigger for images, trigger in zip(whole, triggers)):
        found = np.median(np.array(triggers, float), axis=0)
    elif whole[0][0].frame_time:
        found = whole[0][0].frame_time * np.arange(phases)
    else:
        return None
    return found if (np.diff(found) > 0).all() else None


def _heart_rate(images: Sequence[DicomImage]) -> float | None:
    intervals = [image.interval for image in images if image.interval]
    return round(60_000 / float(np.median(intervals)), 1) if intervals else None
