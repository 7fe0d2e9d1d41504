"""What a job found, into the scene: the segmentation of a volume or of a cine, and how sure the model is of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

import numpy as np
import slicer

from CardiacSegLib.mrml.browsers import proxy_of
from CardiacSegLib.mrml.doubt import remove_doubt, set_doubt
from CardiacSegLib.mrml.doubt_sequences import doubt_frames_in_pieces, set_cine_doubt
from CardiacSegLib.mrml.pieces import Pieces, part_of
from CardiacSegLib.mrml.segmentation_sequences import segmentation_sequence_in_pieces
from CardiacSegLib.mrml.segmentations import segmentation_node_in_pieces

#: The doubt of an image and what else is known of each frame, as :meth:`CardiacSegLib.jobs.client.WorkerClient.doubt`
#: gives it; None where nobody asked.
ToldDoubt = Union[tuple[np.ndarray, Sequence[Mapping[str, Any]]], None]

#: The share of a cine's import that its doubt takes.
_DOUBT = 0.1


def outcome_in_pieces(
    image_node: slicer.vtkMRMLScalarVolumeNode | slicer.vtkMRMLSequenceNode,
    doubt: ToldDoubt,
    labels: np.ndarray,
    *options: Any,
) -> Pieces[slicer.vtkMRMLSegmentationNode]:
    """Show labels and doubt of a volume or of a cine, bit by bit.

    The scene is as before as long as the share is below 1. Doubt of an earlier result goes where this one has none.

    Args:
        image_node: the volume, or the sequence of a cine.
        doubt: of the labels.
        labels: integers (I, J, K) or (I, J, K, T) on the grid of the image.
        options: convention, segmentation node, whether to make surfaces, and their smoothing, as for
            :func:`CardiacSegLib.mrml.segmentations.segmentation_node_in_pieces`.

    Returns:
        The segmentation node; of a cine the one that shows the selected frame.

    Raises:
        CardiacSegError: where the labels do not fit the image or the convention, or a surface cannot be made.
    """
    if not image_node.IsA("vtkMRMLSequenceNode"):
        segmentation_node = yield from segmentation_node_in_pieces(labels, image_node, *options)
        if doubt is None:
            remove_doubt(image_node)
        else:
            set_doubt(image_node, doubt[0], doubt[1][0], segmentation_node)
        return segmentation_node
    frames, begin = [], 0.0
    if doubt is not None:
        frames, begin = (yield from part_of((0.0, _DOUBT), doubt_frames_in_pieces(doubt[0], image_node))), _DOUBT
    pieces = segmentation_sequence_in_pieces(labels, image_node, *options)
    _, segmentation_node = yield from part_of((begin, 1.0), pieces)
    _show_doubt_of_cine(image_node, doubt, frames, segmentation_node)
    return segmentation_node


def _show_doubt_of_cine(
    cine: slicer.vtkMRMLSequenceNode,
    doubt: ToldDoubt,
    frames: Sequence[slicer.vtkMRMLScalarVolumeNode],
    segmentation_node: slicer.vtkMRMLSegmentationNode,
) -> None:
    volume_node = proxy_of(cine) if cine.GetScene() is not None else None
    if volume_node is None:  # removed while what it replaced was freed
        return
    if doubt is None:
        remove_doubt(volume_node)
    else:
        set_cine_doubt(cine, frames, doubt[1], segmentation_node)
