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
from CardiacSegLib.mrml.volumes import image_data, image_from_volume_node
from CardiacSegLib.terminology import terminology_entry

_BINARY_LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
_CLOSED_SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()


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
    scene = volume_node.GetScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume_node.GetName()} segmentation")
    try:
        node.CreateDefaultDisplayNodes()
        fill_segmentation_node(node, labels, volume_node, convention, closed_surface, smoothing)
    except BaseException:
        scene.RemoveNode(node.GetDisplayNode())
        scene.RemoveNode(node)
        raise
    return node


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
    earlier = segmentation_node.GetSegmentation()
    segmentation = segmentation_of_labels(labels, volume_node, convention, earlier, closed_surface, smoothing)
    _commit(segmentation, segmentation_node, volume_node)


def segmentation_of_labels(
    labels: np.ndarray,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    convention: Mapping[str, int] = CANONICAL,
    earlier: slicer.vtkSegmentation | None = None,
    closed_surface: bool = False,
    smoothing: float = 0.5,
) -> slicer.vtkSegmentation:
    """What :func:`fill_segmentation_node` puts into a node; ``earlier``, left as it is, gives the other segments.

    Raises:
        CardiacSegError: where the labels do not fit the volume or the convention, or a surface cannot be made.
    """
    image = _oriented_image(labels, volume_node, convention)
    segmentation = slicer.vtkSegmentation()
    if earlier is not None:
        segmentation.DeepCopy(earlier)
    _use_binary_labelmaps(segmentation)
    if closed_surface or segmentation.ContainsRepresentation(_CLOSED_SURFACE):
        segmentation.RemoveRepresentation(_CLOSED_SURFACE)
        closed_surface = True
    _replace_segments(segmentation, image, convention)
    if closed_surface:
        _make_closed_surfaces(segmentation, smoothing)
    return segmentation


def segment_volumes_ml(segmentation: slicer.vtkSegmentation) -> dict[str, float]:
    """Volume of each structure that has a segment, mL, counted on the segment's own voxels.

    Segments are found as by :func:`labels_from_segmentation_node`; each is counted alone, also where two overlap. One
    without a voxel has 0 mL.

    Raises:
        CardiacSegError: where segments that are surfaces cannot be made into voxels.
    """
    if segmentation.GetNumberOfSegments() and not segmentation.ContainsRepresentation(_BINARY_LABELMAP):
        surfaces, segmentation = segmentation, slicer.vtkSegmentation()
        segmentation.DeepCopy(surfaces)  # a measurement leaves the person's segmentation as it is
        if not segmentation.CreateRepresentation(_BINARY_LABELMAP):
            raise CardiacSegError("the segments are surfaces that cannot be made into voxels; create a binary labelmap")
    return {
        name: _segment_volume_ml(segmentation.GetSegment(segment_id))
        for name, segment_id in _segment_ids(segmentation, STRUCTURES).items()
    }


def _segment_volume_ml(segment: slicer.vtkSegment) -> float:
    image = segment.GetRepresentation(_BINARY_LABELMAP)
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


def _oriented_image(
    labels: np.ndarray, volume_node: slicer.vtkMRMLScalarVolumeNode, convention: Mapping[str, int]
) -> slicer.vtkOrientedImageData:
    """The labels, uint8, with the geometry of the volume to the last bit."""
    _check_labels(labels, volume_node, convention)
    image = image_data(labels.astype(np.uint8), slicer.vtkOrientedImageData())
    # Not through the 4x4 matrix: taking that apart again rounds.
    directions = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASDirectionMatrix(directions)
    image.SetDirections([[directions.GetElement(row, column) for column in range(3)] for row in range(3)])
    image.SetSpacing(volume_node.GetSpacing())
    image.SetOrigin(volume_node.GetOrigin())
    return image


def _check_labels(
    labels: np.ndarray, volume_node: slicer.vtkMRMLScalarVolumeNode, convention: Mapping[str, int]
) -> None:
    array, _ = image_from_volume_node(volume_node)
    name = volume_node.GetName()
    if labels.shape != array.shape:
        raise CardiacSegError(
            f"labels of {labels.shape} voxels do not fit volume '{name}' of {array.shape}; segment this volume itself"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise CardiacSegError(f"labels for volume '{name}' are {labels.dtype}, not integers; convert them")
    unknown = set(np.unique(labels).tolist()) - set(convention.values()) - {0}
    if unknown:
        raise CardiacSegError(
            f"label values {sorted(unknown)} for volume '{name}' are not in the convention {dict(convention)}; "
            "name the right one"
        )


def _use_binary_labelmaps(segmentation: slicer.vtkSegmentation) -> None:
    """Make binary labelmaps the source; a person may have changed that to edit surfaces."""
    if segmentation.GetSourceRepresentationName() == _BINARY_LABELMAP:
        return
    if segmentation.GetNumberOfSegments():
        segmentation.CreateRepresentation(_BINARY_LABELMAP)
    segmentation.SetSourceRepresentationName(_BINARY_LABELMAP)


def _replace_segments(
    segmentation: slicer.vtkSegmentation, image: slicer.vtkOrientedImageData, convention: Mapping[str, int]
) -> None:
    for name in STRUCTURES:
        if segmentation.GetSegment(name):
            segmentation.RemoveSegment(name)
    first_of_person = segmentation.GetNthSegmentID(0) if segmentation.GetNumberOfSegments() else ""
    for name, number in convention.items():
        segmentation.AddSegment(_segment(STRUCTURES[name], number, image), name, first_of_person)


def _segment(structure: Structure, number: int, image: slicer.vtkOrientedImageData) -> slicer.vtkSegment:
    """A segment whose voxels are those of ``image`` with that number; all segments share the one image."""
    segment = slicer.vtkSegment()
    segment.SetName(structure.name)
    segment.SetNameAutoGenerated(False)
    segment.SetColor([value / 255 for value in structure.color])
    segment.SetColorAutoGenerated(False)
    segment.SetTag(segment.GetTerminologyEntryTagName(), terminology_entry(structure))
    segment.SetLabelValue(number)
    segment.AddRepresentation(_BINARY_LABELMAP, image)
    return segment


def _make_closed_surfaces(segmentation: slicer.vtkSegmentation, smoothing: float) -> None:
    segmentation.SetConversionParameter("Smoothing factor", str(smoothing))
    if not segmentation.CreateRepresentation(_CLOSED_SURFACE, True):
        raise CardiacSegError("the closed surfaces cannot be made from the segments; segment without them")


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
