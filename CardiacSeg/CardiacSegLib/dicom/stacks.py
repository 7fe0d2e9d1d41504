"""Parallel images put together: slices sorted along their normal, each at its phases of the heartbeat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from CardiacSegLib.dicom.headers import DicomImage
from CardiacSegLib.errors import CardiacSegError

#: Direction cosines of parallel slices, and spacings, may differ by this much: scanners round them slice by slice.
_SAME_DIRECTION = 1e-3
#: Images less than this apart along the normal, in millimeters, show the same slice.
SAME_SLICE = 0.5
#: A slice may lie this far, in millimeters, from where even spacing puts it.
EVEN = 1.0
#: Two slices with this many others between them do not begin a run of even spacing.
_NEAR = 10
#: A step in time longer than this many usual ones has a phase missing in it.
_GAP = 1.5
#: DICOM counts millimeters to the left and to the back, Slicer and NIfTI to the right and to the front.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def are_parallel(one: DicomImage, other: DicomImage) -> bool:
    """Whether two images have the same pixels and directions, but for the last digits."""
    return one.size == other.size and all(
        np.abs(mine - its).max() < _SAME_DIRECTION
        for mine, its in ((one.directions, other.directions), (one.spacing, other.spacing))
    )


def parallel_images(images: Iterable[DicomImage]) -> list[list[DicomImage]]:
    """Images put together that are of one series and one type, and parallel."""
    groups: dict[tuple[str, tuple[str, ...]], list[list[DicomImage]]] = {}
    for image in images:
        alike = groups.setdefault((image.series, image.scan.image_type), [])
        group = next((group for group in alike if are_parallel(group[0], image)), None)
        if group is None:
            alike.append([image])
        else:
            group.append(image)
    return [group for alike in groups.values() for group in alike]


def sorted_slices(images: Sequence[DicomImage]) -> list[list[DicomImage]]:
    """Parallel images by slice: slices along their normal, the images of each in time."""
    normal = images[0].normal
    images = sorted(images, key=lambda image: image.position @ normal)
    slices = [[images[0]]]
    for before, image in zip(images, images[1:]):
        if (image.position - before.position) @ normal > SAME_SLICE:
            slices.append([])
        slices[-1].append(image)
    return [[each for _, each in sorted(zip(times(group), group), key=_by_time)] for group in slices]


def _by_time(timed: tuple[float, DicomImage]) -> tuple[float, int]:
    time, image = timed
    return time, image.number


def times(group: Sequence[DicomImage]) -> list[float]:
    """What tells the order of the images of one slice: trigger times, else their index in time, else their numbers."""
    for name in ("trigger_time", "temporal_index"):
        values = [getattr(image, name) for image in group]
        if None not in values and len(set(values)) > len(values) // 2:
            return [float(value) for value in values]
    return [float(image.number) for image in group]


@dataclass(frozen=True)
class Slice:
    """One slice of a stack.

    Attributes:
        images: in time.
        phases: for each image its place among the phases of the stack, counted from 0; whole numbers unless the slice
            was taken at another number of phases.
    """

    images: Sequence[DicomImage]
    phases: np.ndarray

    def at(self, phase: int) -> DicomImage:
        """The image nearest in time to a phase."""
        return self.images[int(np.argmin(np.abs(self.phases - phase)))]


@dataclass(frozen=True)
class CineStack:
    """Parallel slices, each at its phases.

    Attributes:
        slices: sorted along their normal.
        phases: how many there are: as many as most slices have.
    """

    slices: Sequence[Slice]
    phases: int

    @classmethod
    def of_images(cls, images: Iterable[DicomImage]) -> CineStack:
        """The stack of parallel images.

        The images of a slice are counted in the order of time. A slice that lacks images has gaps in its phases, found
        in steps of its own heartbeat, as every slice is taken in another breath-hold; one that was taken at another
        number of phases has these spread over the same heartbeat.
        """
        slices = sorted_slices(list(images))
        counts = [len(group) for group in slices]
        usual = max(counts, key=lambda count: (counts.count(count), count))
        complete = next(group for group in slices if len(group) == usual)
        return cls([Slice(group, _phases(group, complete)) for group in slices], usual)

    def phase_of(self, number: int) -> int:
        """The phase of the image with that number, which the stack holds."""
        return next(
            int(np.rint(phase))
            for each in self.slices
            for phase, image in zip(each.phases, each.images)
            if image.number == number
        )

    def at(self, phase: int) -> list[DicomImage]:
        """One image of each slice; a slice that lacks the phase gives its nearest."""
        return [each.at(phase) for each in self.slices]


def _phases(group: Sequence[DicomImage], complete: Sequence[DicomImage]) -> np.ndarray:
    """Where the images of a slice lie among the phases of a complete one, (len(group),)."""
    if len(group) == len(complete):
        return np.arange(len(group), dtype=float)
    steps, of_complete = _in_steps(group), _in_steps(complete)
    return steps * (len(complete) / _count_in_beat(group, complete)) - of_complete[0]


def _in_steps(group: Sequence[DicomImage]) -> np.ndarray:
    """Times in steps from one phase to the next; from the first image on where they are not counted from an R wave."""
    seconds = np.array(times(group))
    if not _are_triggered(group):
        seconds -= seconds[0]
    return seconds / (_step(group) or 1.0)


def _step(group: Sequence[DicomImage]) -> float:
    return float(np.median(np.diff(times(group)))) if len(group) > 1 else 0.0


def _are_triggered(group: Sequence[DicomImage]) -> bool:
    return times(group) == [image.trigger_time for image in group]


def _count_in_beat(group: Sequence[DicomImage], complete: Sequence[DicomImage]) -> int:
    """How many phases a slice has that are as long as its own, those that lack included."""
    said, usual = group[0].phases, complete[0].phases
    if said and usual:
        return max(1, round(len(complete) * said / usual))
    step = _step(group)
    if step and np.diff(times(group)).max() > _GAP * step:
        return len(complete)
    if not _are_triggered(group):
        return len(group)
    # Without a gap: the same heartbeat in fewer phases, or the first or last ones lack.
    length = len(group) * step / (len(complete) * _step(complete) or 1.0)
    shorter = len(group) / len(complete)
    return len(group) if abs(np.log(length or 1.0)) < abs(np.log((length or 1.0) / shorter)) else len(complete)


def even_run(slices: Sequence[Sequence[DicomImage]]) -> list[int]:
    """Which of several slices, sorted along their normal, make the longest run of even spacing.

    Slices count from 0. Any two that are close enough together may begin the run, so that one slice too many between
    others, or beyond them, does not end it.
    """
    normal = slices[0][0].normal
    places = np.array([group[0].position @ normal for group in slices])
    best = [0]
    for first in range(len(places)):
        if len(places) - first < len(best):  # what begins here is shorter, with whatever step
            break
        runs = [_run(places, first, second) for second in range(first + 1, min(first + _NEAR, len(places)))]
        best = max([best, *runs], key=lambda run: (len(run), places[run[0]] - places[run[1 % len(run)]]))
    return best


def _run(places: np.ndarray, first: int, second: int) -> list[int]:
    run = [first, second]
    while True:
        step = (places[run[-1]] - places[first]) / (len(run) - 1)
        nearest = int(np.argmin(np.abs(places - places[run[-1]] - step)))
        if abs(places[nearest] - places[run[-1]] - step) > EVEN / 2 or nearest <= run[-1]:
            return run
        run.append(nearest)


def affine_of(images: Sequence[DicomImage]) -> np.ndarray:
    """Where the slices of one volume lie: 4 x 4, from (column, row, slice) to RAS millimeters.

    Args:
        images: one of each slice, sorted along their normal. A single one is as thick as its header says, or 1 mm.

    Raises:
        CardiacSegError: naming the slice that does not fit the others.
    """
    first = images[0]
    lps = np.eye(4)
    lps[:3, :2] = first.directions.T * first.spacing
    lps[:3, 2] = _step_between(images) if len(images) > 1 else first.normal * (first.thickness or 1.0)
    lps[:3, 3] = first.position
    return _LPS_TO_RAS @ lps


def _step_between(images: Sequence[DicomImage]) -> np.ndarray:
    """From one slice to the next, LPS millimeters, shape (3,)."""
    first = images[0]
    positions = np.array([image.position for image in images])
    step = first.normal * ((positions[-1] - positions[0]) @ first.normal / (len(images) - 1))
    errors = np.linalg.norm(positions - positions[0] - np.arange(len(images))[:, None] * step, axis=1)
    if errors.max() > EVEN:
        worst = images[int(errors.argmax())].path
        raise CardiacSegError(
            f"{worst}: its slice and the other {len(images) - 1} make no even stack ({errors.max():.1f} mm off); "
            "copy the missing slices, or take away what is not of the stack"
        )
    return step
