"""Label arrays to segmentation nodes, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import slicer
import vtk

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.nodes import removed_afterwards
from CardiacSegLib.mrml.pieces import Pieces, finished
from CardiacSegLib.mrml.segments import edit_state, segment_ids, segmentation_in_pieces
from CardiacSegLib.mrml.volumes import image_from_volume_node


class Segmenter(Protocol):
    """What finds the structures in an image: the engine, the client of a worker, or a test's stand-in."""

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
    found = segment_ids(segmentation_node.GetSegmentation(), convention)
    if not found:
        return np.zeros(array.shape, np.uint8)
    exported = export_segments(segmentation_node, list(found.values()), volume_node)
    numbers = np.array([0, *(convention[name] for name in found)], np.uint8)
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


def volume_of_segmentation(segmentation_node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLVolumeNode | None:
    """The image that a segmentation was made on: its reference image in Slicer; None where it has none."""
    return segmentation_node.GetNodeReference(segmentation_node.GetReferenceImageGeometryReferenceRole())


def export_segments(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    chosen: Sequence[str],
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> np.ndarray:
    """Array (I, J, K) on the grid of the volume that numbers the segments of these IDs from 1 in the order given."""
    ids = vtk.vtkStringArray()
    for segment_id in chosen:
        ids.InsertNextValue(segment_id)
    scene = segmentation_node.GetScene()
    with removed_afterwards(scene):  # the logic adds a display node and a color table
        labelmap_node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "CardiacSeg export")
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        if not logic.ExportSegmentsToLabelmapNode(segmentation_node, ids, labelmap_node, volume_node):
            raise CardiacSegError(
                f"segmentation '{segmentation_node.GetName()}' cannot be brought to the grid of volume "
                f"'{volume_node.GetName()}'; check that both belong to the same patient and space"
            )
        return image_from_volume_node(labelmap_node)[0].copy()
