"""Label arrays to the segments of a segmentation, with surfaces or without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import slicer

from CardiacSegLib.anatomy import CANONICAL, STRUCTURES, Structure
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.pieces import Pieces, part_of
from CardiacSegLib.mrml.volumes import image_data, image_from_volume_node, lay_on_volume
from CardiacSegLib.terminology import terminology_entry

BINARY_LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
_CLOSED_SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
#: The share of the time that the voxels take where surfaces are made, too.
_VOXELS = 0.1


def segmentation_in_pieces(
    labels: np.ndarray,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    convention: Mapping[str, int] = CANONICAL,
    earlier: slicer.vtkSegmentation | None = None,
    closed_surface: bool = False,
    smoothing: float = 0.5,
) -> Pieces[slicer.vtkSegmentation]:
    """A segmentation that holds the structures of a label array; the surface of each segment is a piece.

    Args:
        labels: integers (I, J, K) on the grid of the volume.
        volume_node: gives the geometry.
        convention: which number in ``labels`` means which structure.
        earlier: gives the segments that a person added, and stays as it is; where it has surfaces, so has the new one.
        closed_surface: whether to make surfaces in any case.
        smoothing: of them, 0 (none) to 1 (strong).

    Raises:
        CardiacSegError: where the labels do not fit the volume or the convention, or a surface cannot be made.
    """
    image = _oriented_image(labels, volume_node, convention)
    closed_surface = closed_surface or (earlier is not None and earlier.ContainsRepresentation(_CLOSED_SURFACE))
    segmentation = _segments_of_person(earlier) if earlier is not None else slicer.vtkSegmentation()
    _use_binary_labelmaps(segmentation)
    segmentation.RemoveRepresentation(_CLOSED_SURFACE)
    _add_segments(segmentation, image, convention)
    if closed_surface:
        yield _VOXELS
        yield from part_of((_VOXELS, 1.0), _add_closed_surfaces(segmentation, smoothing))
    return segmentation


def _segments_of_person(earlier: slicer.vtkSegmentation) -> slicer.vtkSegmentation:
    """A copy without the segments of the structures."""
    segmentation = slicer.vtkSegmentation()
    if set(earlier.GetSegmentIDs()) <= set(STRUCTURES):
        _copy_conversion_parameters(earlier, segmentation)  # surfaces that nobody needs take long to copy
        return segmentation
    segmentation.DeepCopy(earlier)
    for name in STRUCTURES:
        if segmentation.GetSegment(name):
            segmentation.RemoveSegment(name)
    return segmentation


def _copy_conversion_parameters(source: slicer.vtkSegmentation, target: slicer.vtkSegmentation) -> None:
    # As text: CopyConversionParameters takes the longer, the more observers there are in the application.
    target.DeserializeConversionParameters(source.SerializeAllConversionParameters())


def segment_ids(segmentation: slicer.vtkSegmentation, structures: Iterable[str] = STRUCTURES) -> dict[str, str]:
    """The segment of each structure that has one: by its ID, or by its name where other software made it."""
    ids = {
        name: name if segmentation.GetSegment(name) else segmentation.GetSegmentIdBySegmentName(name)
        for name in structures
    }
    return {name: segment_id for name, segment_id in ids.items() if segment_id}


def edit_state(segmentation: slicer.vtkSegmentation | None) -> Any:
    """What differs once a segment was drawn in, added, removed or renamed, and can be compared with ``==``."""
    if segmentation is None:
        return None
    source = segmentation.GetSourceRepresentationName()
    segments = {name: segmentation.GetSegment(name) for name in segmentation.GetSegmentIDs()}
    drawn = {name: segment.GetRepresentation(source) for name, segment in segments.items()}
    return [(name, segments[name].GetMTime(), image and image.GetMTime()) for name, image in drawn.items()]


def _oriented_image(
    labels: np.ndarray, volume_node: slicer.vtkMRMLScalarVolumeNode, convention: Mapping[str, int]
) -> slicer.vtkOrientedImageData:
    """The labels, uint8, with the geometry of the volume."""
    _check_labels(labels, volume_node, convention)
    image = image_data(labels.astype(np.uint8), slicer.vtkOrientedImageData())
    lay_on_volume(image, volume_node)
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
    if segmentation.GetSourceRepresentationName() == BINARY_LABELMAP:
        return
    if segmentation.GetNumberOfSegments():
        segmentation.CreateRepresentation(BINARY_LABELMAP)
    segmentation.SetSourceRepresentationName(BINARY_LABELMAP)


def _add_segments(
    segmentation: slicer.vtkSegmentation, image: slicer.vtkOrientedImageData, convention: Mapping[str, int]
) -> None:
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
    segment.AddRepresentation(BINARY_LABELMAP, image)
    return segment


def _add_closed_surfaces(segmentation: slicer.vtkSegmentation, smoothing: float) -> Pieces[None]:
    """Give each segment its surface, one a piece."""
    segmentation.SetConversionParameter("Smoothing factor", str(smoothing))
    if segmentation.GetConversionParameter("Joint smoothing") == "1":  # a person wants them to fit without gaps
        _make_closed_surfaces(segmentation)
        return
    names = segmentation.GetSegmentIDs()
    for number, name in enumerate(names, 1):
        _add_closed_surface(segmentation, segmentation.GetSegment(name))
        yield number / len(names)


def _add_closed_surface(segmentation: slicer.vtkSegmentation, segment: slicer.vtkSegment) -> None:
    alone, copy = slicer.vtkSegmentation(), slicer.vtkSegment()
    _copy_conversion_parameters(segmentation, alone)
    copy.SetLabelValue(segment.GetLabelValue())
    copy.AddRepresentation(BINARY_LABELMAP, segment.GetRepresentation(BINARY_LABELMAP))
    alone.AddSegment(copy, "alone")
    _make_closed_surfaces(alone)
    segment.AddRepresentation(_CLOSED_SURFACE, copy.GetRepresentation(_CLOSED_SURFACE))


def _make_closed_surfaces(segmentation: slicer.vtkSegmentation) -> None:
    if not segmentation.CreateRepresentation(_CLOSED_SURFACE, True):
        raise CardiacSegError("the closed surfaces cannot be made from the segments; segment without them")
