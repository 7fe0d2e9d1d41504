"""What the segmentations of a scene measure, as studies: of one phase, of ED and ES, or of a cine.

Everything is measured on the grid of the image, from the voxels that the command line would measure too: a segment's
volume, the thickness of the wall and the contours on a page are then of the same voxels. Slicer lets segments overlap
and reach beyond the image; what of a segment is not measured for that is said, and in which phase.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.clinical.volumes import find_phases, slice_volumes_ml
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.geometry import slice_axis
from CardiacSegLib.jobs.studies import Contours, StudyInput
from CardiacSegLib.mrml.grids import NUMBERS, Grid, GridLabels, LabelStore
from CardiacSegLib.mrml.pieces import Pieces, finished, part_of
from CardiacSegLib.mrml.provenance import noted_provenance
from CardiacSegLib.mrml.segmentation_sequences import cine_of
from CardiacSegLib.mrml.segmentations import volume_of_segmentation
from CardiacSegLib.mrml.sequences import frame_times
from CardiacSegLib.mrml.volumes import image_from_volume_node

if TYPE_CHECKING:
    from CardiacSegLib.clinical.study import StudyMeasures

#: Voxels around the heart that are measured with it.
_MARGIN = 2
#: Of a segment's own volume so much has to be missing on the grid to be said: a nearest neighbor misses less.
_LOST = 0.02
#: What measuring loads at its first time, in steps: in one it would take a quarter of a second.
_LIBRARIES = ("numpy.testing", "numpy.f2py", "scipy.linalg", "scipy.special", "scipy.ndimage")


@dataclass(frozen=True)
class Phase:
    """One labeled phase.

    Attributes:
        label: what a person knows it by: the name of its volume, or its frame and time.
        segmentation_node: in the scene, or in a sequence.
        volume_node: the image; None where it is gone.
    """

    label: str
    segmentation_node: slicer.vtkMRMLSegmentationNode
    volume_node: slicer.vtkMRMLScalarVolumeNode | None


@dataclass(frozen=True)
class Measured:
    """A study, and what it is of.

    Attributes:
        study: the measures.
        study_input: what they were measured from, cropped to the heart.
        phases: of the labels, in their order.
        found: (ED, ES) by the volumes of the left ventricle over a cine; None where nothing tells them.
        grid: of the labels before they were cropped.
        gathered: the labels of all phases on it.
    """

    study: StudyMeasures
    study_input: StudyInput
    phases: Sequence[Phase]
    found: tuple[int, int] | None
    grid: Grid
    gathered: Sequence[GridLabels]

    @property
    def is_cine(self) -> bool:
        """Whether the phases are a heartbeat."""
        return self.study_input.is_cine and len(self.phases) > 1

    def contours(self) -> Contours | None:
        """The phases of the study as a picture shows them; None where an image is gone or lies on another grid."""
        frames = list(self.study.phases.values())
        volumes = [self.phases[frame].volume_node for frame in frames]
        if any(volume is None or volume.GetImageData() is None for volume in volumes):
            return None
        images = [image_from_volume_node(volume)[0] for volume in volumes]
        if any(image.shape != self.grid.shape for image in images):
            return None
        labels = np.stack([self.gathered[frame].labels for frame in frames], axis=-1)
        rows = {phase: row for row, phase in enumerate(self.study.phases)}
        return Contours(np.stack(images, axis=-1), labels, self.grid.affine, rows)


@dataclass(frozen=True)
class Person:
    """What is known of whom a study is of; what is not is None.

    Attributes:
        subject: body, sex and age.
        heart_rate: beats per minute; goes before that of the frame times.
    """

    subject: Subject = field(default_factory=Subject)
    heart_rate: float | None = None


def phases_of_sequence(sequence_node: slicer.vtkMRMLSequenceNode) -> list[Phase]:
    """The phases of a sequence of segmentations.

    Raises:
        CardiacSegError: where a frame is no segmentation.
    """
    times, cine = frame_times(sequence_node), cine_of(sequence_node)
    found = []
    for frame in range(sequence_node.GetNumberOfDataNodes()):
        node = sequence_node.GetNthDataNode(frame)
        if not isinstance(node, slicer.vtkMRMLSegmentationNode):
            raise CardiacSegError(
                f"sequence '{sequence_node.GetName()}', frame {frame + 1}: is no segmentation; choose a sequence of "
                "segmentations"
            )
        label = f"Frame {frame + 1}" if times is None else f"Frame {frame + 1} ({times[frame]:.0f} ms)"
        found.append(Phase(label, node, cine.GetNthDataNode(frame) if cine is not None else None))
    return found


def phase_of_segmentation(segmentation_node: slicer.vtkMRMLSegmentationNode) -> Phase:
    """The phase that a segmentation of the scene is of, with the image that it was made on."""
    volume = volume_of_segmentation(segmentation_node)
    if volume is not None and (volume.GetImageData() is None or not volume.IsA("vtkMRMLScalarVolumeNode")):
        volume = None
    return Phase((volume or segmentation_node).GetName(), segmentation_node, volume)


def measure_sequence(
    sequence_node: slicer.vtkMRMLSequenceNode,
    person: Person | None = None,
    ed: int | None = None,
    es: int | None = None,
) -> Measured:
    """Measure a cine as its segmentations are now, edits included.

    Args:
        sequence_node: of segmentations.
        person: of whom it is.
        ed, es: frames, counted from 0, that a person chose; None leaves one to the volumes.

    Raises:
        CardiacSegError: where the sequence is empty, a frame is no segmentation, or its segments cannot be counted.
    """
    return finished(sequence_in_pieces(sequence_node, person, ed, es))


def measure_segmentations(
    segmentation_nodes: Sequence[slicer.vtkMRMLSegmentationNode], person: Person | None = None
) -> Measured:
    """Measure a single phase, or ED and ES as two segmentations, as they are now, edits included.

    Args:
        segmentation_nodes: one, or those of ED and ES in this order. ES is measured on the grid of ED where theirs
            differ.
        person: of whom they are.

    Raises:
        CardiacSegError: where the segments cannot be counted.
    """
    return finished(segmentations_in_pieces(segmentation_nodes, person))


def sequence_in_pieces(
    sequence_node: slicer.vtkMRMLSequenceNode,
    person: Person | None = None,
    ed: int | None = None,
    es: int | None = None,
    store: LabelStore | None = None,
) -> Pieces[Measured]:
    """As :func:`measure_sequence`, a frame a piece; ``store`` remembers the frames that were not edited."""
    phases, times = phases_of_sequence(sequence_node), frame_times(sequence_node)
    if not phases:
        raise CardiacSegError(f"sequence '{sequence_node.GetName()}' has no frame; segment the cine again")
    made = noted_provenance(sequence_node)
    return (yield from _measuring(phases, person or Person(), (ed, es), times, store or LabelStore(), made))


def segmentations_in_pieces(
    segmentation_nodes: Sequence[slicer.vtkMRMLSegmentationNode],
    person: Person | None = None,
    store: LabelStore | None = None,
) -> Pieces[Measured]:
    """As :func:`measure_segmentations`, a segmentation a piece; ``store`` remembers those that were not edited."""
    phases = [phase_of_segmentation(node) for node in segmentation_nodes]
    made = noted_provenance(segmentation_nodes[0])
    return (yield from _measuring(phases, person or Person(), None, None, store or LabelStore(), made))


def _measuring(
    phases: Sequence[Phase],
    person: Person,
    chosen: tuple[int | None, int | None] | None,
    times: np.ndarray | None,
    store: LabelStore,
    made: Mapping[str, Any],
) -> Pieces[Measured]:
    """Measure phases; ``chosen`` is None where they are not a cine."""
    yield from part_of((0.0, 0.2), _loading())
    grid = _grid(phases[0])
    gathered = yield from part_of((0.2, 0.8), _gathering(phases, grid, store))
    window = _window(gathered, grid)
    # One frame after the other in memory: to count and to copy them is then quick.
    labels = np.stack([each.labels[window].T for each in gathered]).T
    found = _found(labels, grid.affine) if chosen is not None else None
    frames = _frames(chosen, found) if chosen is not None else ((0, 1) if len(phases) > 1 else None)
    study_input = StudyInput(
        labels=labels if len(phases) > 1 else labels[..., 0],
        affine=_cropped(grid.affine, window),
        convention=NUMBERS,
        frames=frames if chosen is None or chosen != (None, None) else None,
        frame_times=times,
        heart_rate=person.heart_rate,
        subject=person.subject,
        is_cine=chosen is not None,
        warnings=_lost(gathered, grid, frames),
        provenance=made,
    )
    yield 0.8
    study = study_input.measure()
    yield 1.0
    return Measured(study, study_input, phases, found, grid, gathered)


def _loading() -> Pieces[None]:
    """Load what measuring needs, a library a piece."""
    for number, name in enumerate(_LIBRARIES, 1):
        if "scipy.ndimage" not in sys.modules:
            importlib.import_module(name)
            yield number / (len(_LIBRARIES) + 1)
    if "CardiacSegLib.clinical.study" not in sys.modules:
        importlib.import_module("CardiacSegLib.clinical.study")
        yield 1.0


def _grid(phase: Phase) -> Grid:
    if phase.volume_node is not None:
        return Grid.of_volume(phase.volume_node)
    try:
        return Grid.of_segmentation(phase.segmentation_node.GetSegmentation())
    except CardiacSegError as error:
        raise CardiacSegError(f"segmentation '{phase.segmentation_node.GetName()}': {error}") from error


def _gathering(phases: Sequence[Phase], grid: Grid, store: LabelStore) -> Pieces[list[GridLabels]]:
    """The labels of all phases on one grid, a phase a piece; those that were not edited take no time."""
    found, names = [], []
    for number, phase in enumerate(phases, 1):
        names.append(f"{number} {phase.segmentation_node.GetID()}")
        try:
            found.append(store.get(names[-1], phase.segmentation_node, grid))
        except CardiacSegError as error:
            raise CardiacSegError(f"{phase.label}: {error}") from error
        yield number / len(phases)
    store.keep_only(names)
    return found


def _window(gathered: Sequence[GridLabels], grid: Grid) -> tuple[slice, slice, slice]:
    """The heart with a margin in the slices, of which all stay: what is measured is the same, in a third of the time.

    Where the spacing does not tell the slices, the number of voxels does: then nothing is cropped.
    """
    boxes = [each.box for each in gathered if each.box is not None]
    whole = tuple(slice(0, size) for size in grid.shape)
    if not boxes:
        return whole
    through = slice_axis(grid.shape, grid.affine)
    first, last = np.min(boxes, axis=0)[:, 0] - _MARGIN, np.max(boxes, axis=0)[:, 1] + _MARGIN
    window = [
        slice(0, size) if axis == through else slice(max(0, int(first[axis])), min(size, int(last[axis])))
        for axis, size in enumerate(grid.shape)
    ]
    shape = [part.stop - part.start for part in window]
    return tuple(window) if slice_axis(shape, grid.affine) == through else whole


def _cropped(affine: np.ndarray, window: Sequence[slice]) -> np.ndarray:
    """The affine of a part of a grid."""
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [part.start for part in window]
    return moved


def _found(labels: np.ndarray, affine: np.ndarray) -> tuple[int, int] | None:
    """ED and ES by the volumes of the left ventricle; None where there is none, or a single frame."""
    try:
        return find_phases(slice_volumes_ml(labels, NUMBERS["LV"], affine))
    except CardiacSegError:
        return None


def _frames(chosen: tuple[int | None, int | None], found: tuple[int, int] | None) -> tuple[int, int] | None:
    """ED and ES, what a person chose before what was found; None where neither is known."""
    ed, es = (ours if ours is not None else theirs for ours, theirs in zip(chosen, found or (None, None)))
    if ed is None and es is None:
        return None
    return (es if ed is None else ed), (ed if es is None else es)


def _lost(gathered: Sequence[GridLabels], grid: Grid, frames: tuple[int, int] | None) -> list[str]:
    """A line for each segment of which a part is not measured, in the phases that matter."""
    shown = [("", 0)] if frames is None else [(" at ED", frames[0]), (" at ES", frames[1])]
    return [line for when, frame in shown for line in _lost_of_phase(gathered[frame], grid, when)]


def _lost_of_phase(labels: GridLabels, grid: Grid, when: str) -> Iterator[str]:
    voxel_ml = abs(float(np.linalg.det(grid.affine[:3, :3]))) / 1000.0
    for name, own_ml in labels.own_ml.items():
        measured_ml = labels.counts[name] * voxel_ml
        if own_ml - measured_ml > max(_LOST * own_ml, voxel_ml):
            yield (
                f"{STRUCTURES[name].name}{when}: {own_ml - measured_ml:.1f} of {own_ml:.1f} mL of the segment lie "
                "outside the image or under another segment and are not measured"
            )
