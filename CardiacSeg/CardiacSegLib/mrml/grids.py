"""The labels of segmentations as arrays on one grid, each made once and again when it was edited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.segments import BINARY_LABELMAP, edit_state, segment_ids
from CardiacSegLib.mrml.volumes import affine_of_volume_node, array_of_matrix, lay_on_volume, voxels_of

#: The numbers of the structures in these arrays: the canonical ones, and one for each further structure.
NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(STRUCTURES, 1)}

_GEOMETRY = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()


@dataclass(frozen=True)
class Grid:
    """Where voxels lie.

    Attributes:
        image: without voxels.
        volume_node: the volume of which it is; None where it is that of a segmentation whose volume is gone.
    """

    image: slicer.vtkOrientedImageData
    volume_node: slicer.vtkMRMLVolumeNode | None = None

    @classmethod
    def of_volume(cls, volume_node: slicer.vtkMRMLVolumeNode) -> Grid:
        """That of an image."""
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(volume_node.GetImageData().GetDimensions())
        lay_on_volume(image, volume_node)
        return cls(image, volume_node)

    @classmethod
    def of_segmentation(cls, segmentation: slicer.vtkSegmentation) -> Grid:
        """That of the image on which a segmentation was made, or else one that holds all its segments.

        Raises:
            CardiacSegError: where there is neither.
        """
        image = slicer.vtkOrientedImageData()
        union = slicer.vtkSegmentation.EXTENT_UNION_OF_SEGMENTS
        for geometry in (
            segmentation.GetConversionParameter(_GEOMETRY),
            segmentation.DetermineCommonLabelmapGeometry(union, vtk.vtkStringArray()),
        ):
            if geometry and slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, image, False):
                return cls(image)
        raise CardiacSegError("the segments belong to no image; choose one as source volume in Segment Editor")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(I, J, K)."""
        return tuple(self.image.GetDimensions())

    @property
    def affine(self) -> np.ndarray:
        """4 x 4, array index to RAS mm, without any parent transform."""
        if self.volume_node is not None:
            return affine_of_volume_node(self.volume_node)
        matrix = vtk.vtkMatrix4x4()
        self.image.GetImageToWorldMatrix(matrix)
        affine = array_of_matrix(matrix)
        affine[:3, 3] += affine[:3, :3] @ self.image.GetExtent()[::2]  # its first voxel need not be voxel 0
        return affine

    @property
    def key(self) -> str:
        """Equal for equal grids."""
        return slicer.vtkSegmentationConverter.SerializeImageGeometry(self.image)


@dataclass(frozen=True)
class GridLabels:
    """A segmentation on a grid.

    Attributes:
        labels: uint8 (I, J, K), numbered by ``NUMBERS``. Where segments overlap, the later structure has the voxel.
        counts: voxels of each structure that has a segment.
        own_ml: volume of each segment on its own voxels, mL, wherever they lie.
        box: first voxel of a structure along each axis, and the one after the last, (3, 2); None where there is none.
    """

    labels: np.ndarray
    counts: Mapping[str, int]
    own_ml: Mapping[str, float]
    box: np.ndarray | None


class LabelStore:
    """Remembers the labels of segmentations until they are edited."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, GridLabels]] = {}

    def get(self, name: str, segmentation_node: slicer.vtkMRMLSegmentationNode, grid: Grid) -> GridLabels:
        """The labels of a segmentation, made anew only where it was edited since the last time.

        Args:
            name: tells it from the others that are remembered.
            segmentation_node: segments whose ID or else name is that of a structure are taken, others are not.
            grid: that of the result.

        Raises:
            CardiacSegError: where the segments cannot be made into voxels of the grid.
        """
        transform = _transform(segmentation_node, grid.volume_node)
        state = (edit_state(segmentation_node.GetSegmentation()), grid.key)
        known, labels = self._kept.get(name, (None, None))
        if known != state or transform is not None:
            labels = labels_on_grid(segmentation_node.GetSegmentation(), grid, transform)
            self._kept[name] = state, labels
        return labels

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget all others."""
        self._kept = {name: self._kept[name] for name in names if name in self._kept}


def labels_on_grid(
    segmentation: slicer.vtkSegmentation, grid: Grid, transform: vtk.vtkAbstractTransform | None = None
) -> GridLabels:
    """The segments of the structures on a grid; neither the segmentation nor its scene changes.

    Args:
        segmentation: segments whose ID or else name is that of a structure are taken.
        grid: that of the result.
        transform: from the segmentation to the grid.

    Raises:
        CardiacSegError: where segments that are surfaces cannot be made into voxels, or voxels not into the grid's.
    """
    segmentation = _with_voxels(segmentation)
    labels, own_ml = np.zeros(grid.shape, np.uint8, order="F"), {}
    layers: dict[Any, np.ndarray] = {}
    for name, segment_id in segment_ids(segmentation).items():
        segment = segmentation.GetSegment(segment_id)
        image = segment.GetRepresentation(BINARY_LABELMAP)
        own_ml[name] = 0.0
        if image is None or image.GetPointData().GetScalars() is None:
            continue
        if image not in layers:
            layers[image] = _resampled(image, grid, transform)
        labels[layers[image] == segment.GetLabelValue()] = NUMBERS[name]
        voxels = np.count_nonzero(voxels_of(image) == segment.GetLabelValue())
        own_ml[name] = float(voxels * np.prod(image.GetSpacing()) / 1000.0)
    counts = np.bincount(labels.ravel(order="K"), minlength=max(NUMBERS.values()) + 1)
    return GridLabels(labels, {name: int(counts[NUMBERS[name]]) for name in own_ml}, own_ml, _box(labels))


def _box(labels: np.ndarray) -> np.ndarray | None:
    held = [np.flatnonzero(labels.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    return np.array([(places[0], places[-1] + 1) for places in held]) if len(held[0]) else None


def _with_voxels(segmentation: slicer.vtkSegmentation) -> slicer.vtkSegmentation:
    """The segmentation itself where it has voxels; else a copy that has them."""
    if not segmentation.GetNumberOfSegments() or segmentation.ContainsRepresentation(BINARY_LABELMAP):
        return segmentation
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(segmentation)
    if not copy.CreateRepresentation(BINARY_LABELMAP):
        raise CardiacSegError("the segments are surfaces that cannot be made into voxels; create a binary labelmap")
    return copy


def _resampled(
    image: slicer.vtkOrientedImageData, grid: Grid, transform: vtk.vtkAbstractTransform | None
) -> np.ndarray:
    """The voxels of a layer of segments on a grid, (I, J, K), each as the nearest of the layer."""
    result = slicer.vtkOrientedImageData()
    resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
    if not resample(image, grid.image, result, False, False, transform) or result.GetDimensions() != grid.shape:
        raise CardiacSegError("the segments cannot be brought to the grid of the image; check their transforms")
    return voxels_of(result)


def _transform(
    segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLVolumeNode | None
) -> vtk.vtkAbstractTransform | None:
    """From the segmentation to a volume that lies under another parent transform; None where there is no such way."""
    before = segmentation_node.GetParentTransformNode()
    after = volume_node.GetParentTransformNode() if volume_node is not None else before
    if before is after:
        return None
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(before, after, transform)
    return transform
