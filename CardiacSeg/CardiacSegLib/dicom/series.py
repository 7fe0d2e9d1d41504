"""What a DICOM folder holds: its images sorted into series, and which of these is the short-axis cine.

A series here is what belongs together in space and time. A scanner may keep a short-axis cine as one series of its own
numbering or as one for each slice, so that parallel slices of several are put together. What an image shows is told by
where it lies: the left ventricle points to the left, to the front and to the feet, and short-axis slices lie across it.
Descriptions are typed by hand in many languages, and decide only where geometry leaves a choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from CardiacSegLib.dicom.folders import find_images, is_dicomdir
from CardiacSegLib.dicom.headers import DicomImage, Scan, read_headers
from CardiacSegLib.dicom.stacks import EVEN, CineStack, are_parallel, even_run, parallel_images, sorted_slices
from CardiacSegLib.errors import CardiacSegError

SHORT_AXIS_CINE, SHORT_AXIS_STACK = "short-axis cine", "short-axis stack"
LONG_AXIS_CINE, LOCALIZER, OTHER = "long-axis cine", "localizer", "other"

#: From this many phases on, images of a slice are a cine.
_CINE = 5
#: How long a cine may be, from its first to its last image, and from one to the next: milliseconds.
_LENGTH, _LONGEST_STEP = (200.0, 3000.0), 150.0
#: From this many slices on, parallel images are a stack.
_STACK = 3
#: Where a left ventricle usually points to, LPS, and how far from it the normal of a short-axis slice may (cosine).
_TO_APEX = np.array([0.65, -0.62, -0.44]) / np.linalg.norm([0.65, -0.62, -0.44])
_ACROSS = 0.65
#: Slices within ten degrees of those that every scanner takes first, across or along the body, are not oblique.
_STRAIGHT = np.cos(np.radians(10.0))
#: Echo times and flip angles of one sequence differ by less than this, as a share.
_SAME_SEQUENCE = 0.25
#: Two slices this close together, as a share of their thickness, show the same part of the heart.
_SAME_PART = 0.6
#: A stack of which more than this share lies off its even spacing lacks slices.
_STRAY = 0.25

_SHORT_AXIS_NAME = re.compile(r"(?<![a-z])(sax|sa|shax|ka|petit|corto)(?![a-z])|short.?ax|kurz", re.I)
_LOCALIZER_NAME = re.compile(r"(?<![a-z])(loc|localiser|localizer|scout|survey|plan)(?![a-z])", re.I)


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """Images that belong together.

    Attributes:
        number: in the list of those in a folder, counted from 1.
        kind: "short-axis cine", "short-axis stack", "long-axis cine", "localizer" or "other".
        reason: what says so.
        description: as the operator called it; of the first, where several series of the scanner make it.
        sources: how many series of the scanner make it.
        slices, phases: how many there are; of phases, those of most slices.
        spacing: millimeters between columns, between rows, and between the centers of slices; the last is None for a
            single slice, and where directions differ.
        gap: millimeters between the faces of neighboring slices, below 0 where they overlap; None where unknown.
        images: all of them; those of all directions, for a localizer.
        notes: what was left out of it, a line each.
    """

    number: int
    kind: str
    reason: str
    description: str
    sources: int
    slices: int
    phases: int
    spacing: tuple[float, float, float | None]
    gap: float | None
    images: Sequence[DicomImage]
    notes: Sequence[str] = ()

    @property
    def label(self) -> str:
        """How a line calls it that says of which kind it is."""
        what = f"{_count(self.slices, 'slice')} x {_count(self.phases, 'phase')}"
        return f"series {self.number} ({what})"  # what an operator typed as description may name the patient

    @property
    def name(self) -> str:
        """How a line of its own calls it."""
        return f"{self.kind}: {self.label}"


@dataclass(frozen=True, eq=False)
class DicomFolder:
    """The series in a folder.

    Attributes:
        series: in the order of the scanner's numbers.
        notes: a line for each kind of file that was left out.
    """

    series: Sequence[DicomSeries]
    notes: Sequence[str]

    @classmethod
    def read(cls, path: Path | str) -> DicomFolder:
        """Sort what a folder holds, that in folders within it included; a file is taken alone.

        Raises:
            CardiacSegError: where there is no such folder, or no DICOM image in it.
        """
        path = Path(path)
        if is_dicomdir(path):
            path = path.parent
        try:
            path.stat()
        except OSError as error:
            reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise CardiacSegError(f"{path}: {reason}; check the path") from error
        if path.is_file():
            images, notes = read_headers([path]), []
        else:
            found = find_images(path)
            images, notes = found.images, found.notes()
        if not images:
            what = "; ".join(notes) or "no DICOM files"
            raise CardiacSegError(f"{path}: no DICOM image with a place in space in it ({what}); choose another folder")
        stacks = sorted(_stacks(images), key=lambda stack: (stack[0].scan.study, min(i.scan.number for i in stack)))
        studies = len({image.scan.study for image in images})
        if studies > 1:
            notes = [*notes, f"{studies} studies, perhaps of several patients; only series of one are put together"]
        return cls([_series(number, stack) for number, stack in enumerate(stacks, start=1)], notes)

    def choose(self) -> tuple[DicomSeries, list[str]]:
        """The short-axis cine, and what to say of the choice, a line each.

        Of several the one with the most images is taken. Without any, another stack of slices with phases is, and
        failing that a short-axis stack without phases.

        Raises:
            CardiacSegError: where nothing of that is there.
        """
        cines = [series for series in self.series if series.kind == SHORT_AXIS_CINE]
        others = [series for series in self.series if series.kind in (LONG_AXIS_CINE, OTHER)]
        odd = [series for series in others if series.phases >= _CINE and series.slices >= _STACK]
        stacks = [series for series in self.series if series.kind == SHORT_AXIS_STACK]
        for candidates, doubt in ((cines, ""), (odd, "by its directions"), (stacks, "by its phases")):
            if candidates:
                chosen = max(candidates, key=lambda series: series.slices * series.phases)
                return chosen, [*_doubt(chosen, doubt), *self._left_out(chosen)]
        known = ", ".join(sorted({series.kind for series in self.series}))
        raise CardiacSegError(
            f"no short-axis cine among {_count(len(self.series), 'series', 'series')} ({known}); "
            "list them by `cardiacseg dicom FOLDER` and choose one by its number"
        )

    def _left_out(self, chosen: DicomSeries) -> list[str]:
        """A line for each other series that shows the short axis, too, and one for all those of another kind."""
        others = [series for series in self.series if series is not chosen]
        alike = [series.name for series in others if series.kind in (SHORT_AXIS_CINE, SHORT_AXIS_STACK)]
        rest: dict[str, list[str]] = {}
        for series in others:
            if series.kind not in (SHORT_AXIS_CINE, SHORT_AXIS_STACK):
                rest.setdefault(series.kind, []).append(series.label)
        return [f"left out: {name}" for name in alike] + [f"left out: {k}: {', '.join(v)}" for k, v in rest.items()]


def _doubt(chosen: DicomSeries, why: str) -> list[str]:
    return [f"{chosen.name} is no short-axis cine {why}; taken because nothing fits better"] if why else []


def _count(number: int, word: str, words: str = "") -> str:
    return f"{number} {word if number == 1 else words or f'{word}s'}"


def _stacks(images: Iterable[DicomImage]) -> list[list[DicomImage]]:
    """Images that belong together."""
    by_series: dict[str, list[list[DicomImage]]] = {}
    for group in parallel_images(images):
        by_series.setdefault(group[0].series, []).append(group)
    stacks, parts = [], []
    for groups in by_series.values():
        turned = any(not are_parallel(groups[0][0], group[0]) for group in groups)
        if turned and not any(_is_cine(CineStack.of_images(group)) for group in groups):
            stacks.append([image for group in groups for image in group])
        else:
            parts += [_Part.of_images(group) for group in groups]
    return stacks + [stack.images for stack in _put_together(parts)]


@dataclass
class _Part:
    """Parallel images that may be a whole stack, or one slice of it."""

    images: list[DicomImage]
    places: np.ndarray
    is_cine: bool

    @classmethod
    def of_images(cls, images: list[DicomImage]) -> _Part:
        stack = CineStack.of_images(images)
        normal = images[0].normal
        places = np.array([each.images[0].position @ normal for each in stack.slices])
        return cls(images, places, _is_cine(stack))

    def continues(self, other: _Part) -> bool:
        """Whether this part adds slices to another one."""
        mine, its = self.images[0], other.images[0]
        alike = self.is_cine == other.is_cine and are_parallel(mine, its) and _same_sequence(mine.scan, its.scan)
        return alike and _shift_in_plane(mine, its) < 2 * EVEN and self._lies_beside(other)

    def _lies_beside(self, other: _Part) -> bool:
        thickness = self.images[0].thickness or other.images[0].thickness or 1.0
        apart = np.abs(self.places[:, None] - other.places).min() > _SAME_PART * thickness
        overlap = self.places.min() < other.places.max() and other.places.min() < self.places.max()
        return bool(apart and (len(self.places) == 1 or not overlap))

    def add(self, other: _Part) -> None:
        self.images = self.images + other.images
        self.places = np.append(self.places, other.places)


def _put_together(parts: Sequence[_Part]) -> list[_Part]:
    """Parts of several series as stacks; of slices that were taken twice the later ones come first."""
    stacks: list[_Part] = []
    for part in sorted(parts, key=lambda part: (-len(part.places), -part.images[0].scan.number)):
        stack = next((stack for stack in stacks if part.continues(stack)), None)
        if stack is None:
            stacks.append(part)
        else:
            stack.add(part)
    return stacks


def _shift_in_plane(one: DicomImage, other: DicomImage) -> float:
    """Millimeters between the first pixels of parallel slices, seen along their normal."""
    return float(np.linalg.norm(one.directions @ (one.position - other.position)))


def _same_sequence(one: Scan, other: Scan) -> bool:
    known = ((one.study, other.study), (one.frame, other.frame), (one.image_type, other.image_type))
    same = all(mine == its for mine, its in known if mine and its)
    pairs = ((one.echo_time, other.echo_time), (one.flip_angle, other.flip_angle))
    return same and all(
        abs(mine - its) <= _SAME_SEQUENCE * max(abs(mine), abs(its))
        for mine, its in pairs
        if mine is not None and its is not None
    )


def _is_cine(stack: CineStack) -> bool:
    """Whether images follow each other within a heartbeat; those of perfusion do so from one beat to the next."""
    if stack.phases < _CINE:
        return False
    group = next(each.images for each in stack.slices if len(each.images) == stack.phases)
    times = [image.trigger_time for image in group]
    if None in times or not any(times):
        return True
    steps = np.diff(np.sort(times))
    return bool(_LENGTH[0] <= steps.sum() <= _LENGTH[1] and np.median(steps) <= _LONGEST_STEP)


def _series(number: int, images: Sequence[DicomImage]) -> DicomSeries:
    first = min(images, key=lambda image: (image.scan.number, image.number))
    sources = len({image.series for image in images})
    columns, rows = first.spacing.tolist()
    if not all(are_parallel(first, image) for image in images):
        planes = len(parallel_images(images))
        kind = LOCALIZER
        about = (f"{planes} directions in one series", first.scan.description, sources, len(images), 1)
        return DicomSeries(number, kind, *about, (columns, rows, None), None, images)
    images, notes = _even(images)
    stack = CineStack.of_images(images)
    kind, reason = _kind(stack, first)
    distance = _distance(stack)
    gap = None if distance is None or first.thickness is None else round(distance - first.thickness, 3)
    about = (reason, first.scan.description, sources, len(stack.slices), stack.phases)
    return DicomSeries(number, kind, *about, (columns, rows, distance), gap, images, notes)


def _even(images: Sequence[DicomImage]) -> tuple[Sequence[DicomImage], list[str]]:
    """Parallel images without the few slices that lie off the even spacing of the others, and a line on these."""
    slices = sorted_slices(images)
    kept = even_run(slices)
    stray = len(slices) - len(kept)
    if not 0 < stray <= _STRAY * len(slices):
        return images, []
    note = f"left out: {_count(stray, 'slice')} off the even spacing of the other {len(kept)}"
    return [image for index in kept for image in slices[index]], [note]


def _distance(stack: CineStack) -> float | None:
    """Usual millimeters between the centers of neighboring slices."""
    firsts = [each.images[0] for each in stack.slices]
    if len(firsts) < 2:
        return None
    return round(float(np.median(np.diff([image.position @ firsts[0].normal for image in firsts]))), 3)


def _kind(stack: CineStack, first: DicomImage) -> tuple[str, str]:
    """What parallel images show, and what says so."""
    slices = _count(len(stack.slices), "parallel slice") if len(stack.slices) > 1 else "1 slice"
    what = f"{slices}, {_count(stack.phases, 'phase')}"
    normal = first.normal / np.linalg.norm(first.normal)
    name, is_cine, is_stack = first.scan.description, _is_cine(stack), len(stack.slices) >= _STACK
    if "LOCALIZER" in first.scan.image_type or (not is_cine and _LOCALIZER_NAME.search(name)):
        return LOCALIZER, f"{what}, by what its header says"
    straight, across = np.abs(normal).max() > _STRAIGHT, abs(normal @ _TO_APEX) >= _ACROSS
    where = "straight to the body" if straight else f"oblique, {'across' if across else 'along'} the heart's usual axis"
    if across and not straight:
        return (SHORT_AXIS_CINE if is_cine else SHORT_AXIS_STACK if is_stack else OTHER), f"{what}, {where}"
    if is_cine and is_stack and _SHORT_AXIS_NAME.search(name):
        return SHORT_AXIS_CINE, f"{what}, {where}, but called a short axis"
    return (LONG_AXIS_CINE if is_cine and not straight else OTHER), f"{what}, {where}"
