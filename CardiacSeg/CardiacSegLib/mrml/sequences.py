"""Cines as sequences of volumes, and the frame of them that is shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.browsers import add_browser, browse, browser_of, update_proxies
from CardiacSegLib.mrml.nodes import undone_on_failure
from CardiacSegLib.mrml.pieces import Pieces, finished
from CardiacSegLib.mrml.volumes import add_volume_node, image_data, image_from_volume_node

#: Milliseconds in the units that an index may have.
_MILLISECONDS = {"ms": 1.0, "s": 1000.0}

#: Frames of one grid differ by no more than rounding, mm.
_SAME_PLACE = 1e-3


def cine_from_sequence_node(sequence_node: slicer.vtkMRMLSequenceNode) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of a sequence of volumes and where they lie.

    Returns:
        Array (I, J, K, T), a copy; and the affine (4, 4) float64 from voxel indices to RAS millimeters.

    Raises:
        CardiacSegError: where the sequence has no frame, a frame is no image, or not all are of one grid.
    """
    return finished(cine_in_pieces(sequence_node))


def cine_in_pieces(sequence_node: slicer.vtkMRMLSequenceNode) -> Pieces[tuple[np.ndarray, np.ndarray]]:
    """As :func:`cine_from_sequence_node`, a frame a piece."""
    frames, affine = frames_of(sequence_node)
    # One frame after the other in memory: to weave them takes many times as long, here and when they are written.
    cine = np.empty((len(frames), *frames[0].shape[::-1]), np.result_type(*frames))
    for number, frame in enumerate(frames):
        cine[number] = frame.T
        yield (number + 1) / len(frames)
    return cine.T, affine


def frames_of(sequence_node: slicer.vtkMRMLSequenceNode) -> tuple[list[np.ndarray], np.ndarray]:
    """Views of the frames, each (I, J, K), and the affine of all; raises as :func:`cine_from_sequence_node` does."""
    frames = [_frame_image(sequence_node, frame) for frame in range(sequence_node.GetNumberOfDataNodes())]
    if not frames:
        raise CardiacSegError(f"sequence '{sequence_node.GetName()}' has no frame; choose another or load it again")
    first, affine = frames[0]
    for number, (array, place) in enumerate(frames, 1):
        if array.shape != first.shape:
            raise _other_grid(sequence_node, number, f"has {array.shape} voxels and the first frame {first.shape}")
        if not np.allclose(place, affine, atol=_SAME_PLACE):
            raise _other_grid(sequence_node, number, "lies elsewhere than the first frame")
    return [array for array, _ in frames], affine


def _frame_image(sequence_node: slicer.vtkMRMLSequenceNode, frame: int) -> tuple[np.ndarray, np.ndarray]:
    node = sequence_node.GetNthDataNode(frame)
    place = f"sequence '{sequence_node.GetName()}', frame {frame + 1}"
    if not isinstance(node, slicer.vtkMRMLScalarVolumeNode):
        kind = node.GetNodeTagName() if node is not None else "nothing"
        raise CardiacSegError(f"{place}: is no image but {kind}; choose a sequence of volumes")
    try:
        return image_from_volume_node(node)
    except CardiacSegError as error:
        raise CardiacSegError(f"{place}: {error}") from error


def _other_grid(sequence_node: slicer.vtkMRMLSequenceNode, number: int, difference: str) -> CardiacSegError:
    return CardiacSegError(
        f"sequence '{sequence_node.GetName()}', frame {number}: {difference}; resample the frames to one grid"
    )


def frame_times(sequence_node: slicer.vtkMRMLSequenceNode) -> np.ndarray | None:
    """Time of each frame (T,), ms; None where the index is not numbers in s or ms."""
    factor = _MILLISECONDS.get((sequence_node.GetIndexUnit() or "").strip().lower())
    try:
        times = np.array([float(value) for value in index_values(sequence_node)])
    except ValueError:
        return None
    return None if factor is None or not np.isfinite(times).all() else times * factor


def show_frame(sequence_node: slicer.vtkMRMLSequenceNode, frame: int) -> None:
    """Show a frame, counted from 0, of a sequence and of all that its browser scrolls with it.

    Raises:
        CardiacSegError: where the sequence has no such frame or no browser.
    """
    count = sequence_node.GetNumberOfDataNodes()
    if not 0 <= frame < count:
        raise CardiacSegError(
            f"sequence '{sequence_node.GetName()}' has {count} frames, so frame {frame + 1} is none of them"
        )
    browser = browser_of(sequence_node)
    if browser is None:
        raise CardiacSegError(f"sequence '{sequence_node.GetName()}' has no browser; add one in the module Sequences")
    browser.SetSelectedItemByIndexValue(sequence_node.GetNthIndexValue(frame))
    update_proxies(browser)


def shown_frame(sequence_node: slicer.vtkMRMLSequenceNode) -> int | None:
    """The frame, counted from 0, that the browser of a sequence shows; None where it shows none."""
    browser = browser_of(sequence_node)
    if browser is None or browser.GetMasterSequenceNode() is None or browser.GetSelectedItemNumber() < 0:
        return None
    value = browser.GetMasterSequenceNode().GetNthIndexValue(browser.GetSelectedItemNumber())
    frame = sequence_node.GetItemNumberFromIndexValue(value)
    return frame if frame >= 0 else None


def add_cine(
    scene: slicer.vtkMRMLScene,
    array: np.ndarray,
    affine: np.ndarray,
    name: str,
    frame_times: Sequence[float] | None = None,
) -> slicer.vtkMRMLSequenceNode:
    """Add a cine to a scene: a sequence of volumes with a browser, and a volume that shows the first frame.

    Args:
        scene: where the nodes are added.
        array: voxels (I, J, K, T), copied.
        affine: (4, 4), voxel indices to RAS millimeters.
        name: of the volume that a person sees; the sequence and the browser are named after it.
        frame_times: (T,), ms, rising; the frames are numbered from 0 without them.

    Returns:
        The sequence node; :mod:`.browsers` tells its browser and the volume that shows a frame.

    Raises:
        CardiacSegError: where the array is no cine or the times do not fit it; nothing is then added.
    """
    if array.ndim != 4 or array.size == 0:
        raise CardiacSegError(f"cine '{name}' is an array of {array.shape}; it needs four dimensions (I, J, K, T)")
    values = _cine_values(name, array.shape[3], frame_times)
    with undone_on_failure(scene):
        proxy = add_volume_node(scene, array[..., 0], affine, name)
        sequence = slicer.vtkMRMLSequenceNode()
        sequence.SetName(f"{name} sequence")
        sequence.SetIndexName("frame" if frame_times is None else "time")
        sequence.SetIndexUnit("" if frame_times is None else "ms")
        for frame, value in enumerate(values):
            sequence.SetDataNodeAtValue(_frame_like(proxy, array[..., frame]), value)
        scene.AddNode(sequence)
        browse(add_browser(scene, name), sequence, proxy)
    return sequence


def _cine_values(name: str, count: int, times: Sequence[float] | None) -> list[str]:
    """The values of the index, as text."""
    if times is None:
        return [str(frame) for frame in range(count)]
    if len(times) != count or not np.isfinite(times).all() or not (np.diff(times) > _SAME_PLACE).all():
        raise CardiacSegError(f"cine '{name}' has {count} frames; their times must be as many rising numbers of ms")
    return [f"{time:.10g}" for time in times]


def _frame_like(volume_node: slicer.vtkMRMLScalarVolumeNode, array: np.ndarray) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume, in no scene, that lies where the other does."""
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(volume_node.GetName())
    node.CopyOrientation(volume_node)
    node.SetAndObserveImageData(image_data(array, vtk.vtkImageData()))
    return node


def copy_index(source: slicer.vtkMRMLSequenceNode, target: slicer.vtkMRMLSequenceNode) -> None:
    """Let the index of a sequence mean what that of another does; its values stay."""
    target.SetIndexName(source.GetIndexName())
    target.SetIndexUnit(source.GetIndexUnit())
    target.SetIndexType(source.GetIndexType())
    target.SetNumericIndexValueTolerance(source.GetNumericIndexValueTolerance())


def index_values(sequence_node: slicer.vtkMRMLSequenceNode) -> list[str]:
    """The value of the index at each frame, as text."""
    return [sequence_node.GetNthIndexValue(frame) for frame in range(sequence_node.GetNumberOfDataNodes())]
