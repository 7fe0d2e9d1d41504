"""Label arrays to segmentation nodes, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from CardiacSegLib.anatomy import CANONICAL, STRUCTURES, Structure
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.pieces import Pieces, finished
from CardiacSegLib.mrml.segments import BINARY_LABELMAP, edit_state, segmentation_in_pieces
from CardiacSegLib.mrml.volumes import image_from_volume_node


class Segmenter(Protocol):
    """What finds the structures in an image: the engine, the client of a worker, or a test's stand-in."""

    structures: Sequence[Structure]
    convention: Mapping[str, int]

    def segment(self, array: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Labels, uint8 of the shape of ``array`` (I, J, K) and numbered by ``convention``.

        ``affine`` (4, 4) leads from voxel indices to RAS millimeters.
        """
        ...


class SegmentationLogic:
    """Segments volume nodes with the segmenter that it is given."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def segment(
        self,
        volume_node: slicer.vtkMRMLScalarVolumeNode,
        segmentation_node: slicer.vtkMRMLSegmentationNode | None = None,
        closed_surface: bool = False,
        smoothing: float = 0.5,
    ) -> slicer.vtkMRMLSegmentationNode:
        """Segment a volume and show the result; where it fails, the scene stays as it was.

        Args:
            volume_node: the image.
            segmentation_node: gets the segments; a new node in the volume's scene where None.
            closed_surface: whether to make the surfaces for the 3D view.
            smoothing: of those surfaces, 0 (none) to 1 (strong).

        Returns:
            The segmentation node.

        Raises:
            CardiacSegError: where the volume cannot be segmented.
        """
        labels = self._segmenter.segment(*image_from_volume_node(volume_node))
        arguments = (labels, volume_node, self._segmenter.convention, closed_surface, smoothing)
        if segmentation_node is not None:
            fill_segmentation_node(segmentation_node, *arguments)
            return segmentation_node
        return add_segmentation_node(*arguments)


def add_segmentation_node(
    labels: np.ndarray,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    convention: Mapping[str, int] = CANONICAL,
    closed_surface: bool = False,
    smoothing: float = 0.5,
) -> slicer.vtkMRMLSegmentationNode:
    """As :func:`fill_segmentation_node`, with a new node in the scene of the volume, which is returned."""
    return finished(segmentation_node_in_pieces(labels, volume_node, convention, None, closed_surface, smoothing))


def fill_segmentation_node(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    labels: np.ndarray,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    convention: Mapping[str, int] = CANONICAL,
    closed_surface: bool = False,
    smoothing: float = 0.5,
) -> None:
    """Put the structures of a label array into a segmentation node, each as a segment.

    Segments of an earlier result are replaced, and so are those of structures that ``convention`` does not hold;
    segments that a person added stay. Where this fails, the node is as before.

    Args:
        segmentation_node: gets the segments. Their IDs are the names of the structures; one that has no voxel is
            there, empty. The node then observes the parent transform of the volume.
        labels: integers (I, J, K) on the grid of the volume.
        volume_node: gives the geometry.
        convention: which number in ``labels`` means which structure.
        closed_surface: whether to make the surfaces for the 3D view.
        smoothing: of those surfaces, 0 (none) to 1 (strong).

    Raises:
        CardiacSegError: where the labels do not fit the volume or the convention, or a surface cannot be made.
    """
    finished(segmentation_node_in_pieces(labels, volume_node, convention, segmentation_node, closed_surface, smoothing))


def segmentation_node_in_pieces(
    labels: np.ndarray,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    convention: Mapping[str, int] = CANONICAL,
    segmentation_node: slicer.vtkMRMLSegmentationNode | None = None,
    closed_surface: bool = False,
    smoothing: float = 0.5,
) -> Pieces[slicer.vtkMRMLSegmentationNode]:
    """As :func:`fill_segmentation_node`, or where the node is None :func:`add_segmentation_node`, bit by bit.

    The scene changes after the last piece alone: whoever closes the generator before leaves it as it was. A person may
    meanwhile edit and remove nodes; what was drawn is kept.
    """
    scene = volume_node.GetScene()
    given_scene = segmentation_node.GetScene() if segmentation_node is not None else None
    earlier = segmentation_node.GetSegmentation() if segmentation_node is not None else None
    state, segmentation = None, None
    while segmentation is None or edit_state(earlier) != state:
        state = edit_state(earlier)
        segmentation = yield from segmentation_in_pieces(
            labels, volume_node, convention, earlier, closed_surface, smoothing
        )
    if volume_node.GetScene() is not scene:
        raise CardiacSegError(f"volume '{volume_node.GetName()}' is in the scene no more; load it again and segment it")
    if segmentation_node is None or segmentation_node.GetScene() is not given_scene:
        segmentation_node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume_node.GetName()} segmentation")
        segmentation_node.CreateDefaultDisplayNodes()
    _commit(segmentation, segmentation_node, volume_node)
    return segmentation_node


def segment_volumes_ml(segmentation: slicer.vtkSegmentation) -> dict[str, float]:
    """Volume of each structure that has a segment, mL, counted on the segment's own voxels.

    Segments are found as by :func:`labels_from_segmentation_node`; each is counted alone, also where two overlap. One
    without a voxel has 0 mL.

    Raises:
        CardiacSegError: where segments that are surfaces cannot be made into voxels.
    """
    if segmentation.GetNumberOfSegments() and not segmentation.ContainsRepresentation(BINARY_LABELMAP):
        surfaces, segmentation = segmentation, slicer.vtkSegmentation()
        segmentation.DeepCopy(surfaces)  # a measurement leaves the person's segmentation as it is
        if not segmentation.CreateRepresentation(BINARY_LABELMAP):
            raise CardiacSegError("the segments are surfaces that cannot be made into voxels; create a binary labelmap")
    return {
        name: _segment_volume_ml(segmentation.GetSegment(segment_id))
        for name, segment_id in _segment_ids(segmentation, STRUCTURES).items()
    }


def _segment_volume_ml(segment: slicer.vtkSegment) -> float:
    image = segment.GetRepresentation(BINARY_LABELMAP)
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None:
        return 0.0
    voxels = np.count_nonzero(numpy_support.vtk_to_numpy(scalars) == segment.GetLabelValue())
    return float(voxels * np.prod(image.GetSpacing()) / 1000.0)


def labels_from_segmentation_node(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    convention: Mapping[str, int] = CANONICAL,
) -> np.ndarray:
    """The segments of the structures as a label array on the grid of a volume.

    Args:
        segmentation_node: segments whose ID or else name is that of a structure are taken, others are not.
        volume_node: gives the grid; it may lie under another parent transform than the segmentation.
        convention: the numbers to use; a structure without a segment has no voxel.

    Returns:
        uint8 array (I, J, K).

    Raises:
        CardiacSegError: where the volume has no voxels or the segments cannot be brought to its grid.
    """
    array, _ = image_from_volume_node(volume_node)
    segment_ids = _segment_ids(segmentation_node.GetSegmentation(), convention)
    if not segment_ids:
        return np.zeros(array.shape, np.uint8)
    exported = export_segments(segmentation_node, list(segment_ids.values()), volume_node)
    numbers = np.zeros(len(segment_ids) + 1, np.uint8)
    numbers[1:] = [convention[name] for name in segment_ids]
    return numbers[exported]


def _commit(
    segmentation: slicer.vtkSegmentation,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> None:
    """Show the finished segmentation in the node; nothing here can fail."""
    modifying = segmentation_node.StartModify()
    segmentation_node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    with _display_kept(segmentation_node.GetDisplayNode()):
        segmentation_node.GetSegmentation().DeepCopy(segmentation)
    segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    segmentation_node.EndModify(modifying)


@contextmanager
def _display_kept(display_node: slicer.vtkMRMLSegmentationDisplayNode | None) -> Iterator[None]:
    """Keep the opacity and visibility that a person gave to a segment while another takes its place."""
    if display_node is None:
        yield
        return
    removing = display_node.GetRemoveUnusedDisplayProperties()
    display_node.SetRemoveUnusedDisplayProperties(False)
    yield
    display_node.SetRemoveUnusedDisplayProperties(removing)


def _segment_ids(segmentation: slicer.vtkSegmentation, names: Iterable[str]) -> dict[str, str]:
    """The segment of each structure that has one: by its ID, or by its name where other software made it."""
    ids = {
        name: name if segmentation.GetSegment(name) else segmentation.GetSegmentIdBySegmentName(name) for name in names
    }
    return {name: segment_id for name, segment_id in ids.items() if segment_id}


def export_segments(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    segment_ids: Sequence[str],
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> np.ndarray:
    """Array (I, J, K) on the grid of the volume that numbers the segments from 1 in the order given."""
    ids = vtk.vtkStringArray()
    for segment_id in segment_ids:
        ids.InsertNextValue(segment_id)
    scene = segmentation_node.GetScene()
    with _nodes_removed_afterwards(scene):
        labelmap_node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "CardiacSeg export")
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        if not logic.ExportSegmentsToLabelmapNode(segmentation_node, ids, labelmap_node, volume_node):
            raise CardiacSegError(
                f"segmentation '{segmentation_node.GetName()}' cannot be brought to the grid of volume "
                f"'{volume_node.GetName()}'; check that both belong to the same patient and space"
            )
        return image_from_volume_node(labelmap_node)[0].copy()


@contextmanager
def _nodes_removed_afterwards(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Remove every node that comes into the scene meanwhile: the logic adds a display node and a color table."""
    before = _node_ids(scene)
    try:
        yield
    finally:
        for node_id in _node_ids(scene) - before:
            scene.RemoveNode(scene.GetNodeByID(node_id))


def _node_ids(scene: slicer.vtkMRMLScene) -> set[str]:
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
