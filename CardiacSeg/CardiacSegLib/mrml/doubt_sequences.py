"""The doubt of a cine: a sequence of volumes under the browser of the cine, frame by frame over the image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.browsers import browse, browser_of, proxy_of
from CardiacSegLib.mrml.doubt import DOUBT_ROLE, add_doubt_node, is_doubt_shown, remove_doubt, show_doubt
from CardiacSegLib.mrml.pieces import Pieces
from CardiacSegLib.mrml.sequences import copy_index, index_values
from CardiacSegLib.mrml.volumes import image_data


def doubt_frames_in_pieces(
    doubt: np.ndarray, cine: slicer.vtkMRMLSequenceNode
) -> Pieces[list[slicer.vtkMRMLScalarVolumeNode]]:
    """The frames of a cine's doubt (I, J, K, T) as volumes that are in no scene yet, a frame a piece."""
    frames = []
    for number in range(doubt.shape[3]):
        node = slicer.vtkMRMLScalarVolumeNode()
        node.CopyOrientation(cine.GetNthDataNode(number))
        node.SetAndObserveImageData(image_data(np.asarray(doubt[..., number], np.float32), vtk.vtkImageData()))
        frames.append(node)
        yield (number + 1) / doubt.shape[3]
    return frames


def set_cine_doubt(
    cine: slicer.vtkMRMLSequenceNode,
    frames: Sequence[slicer.vtkMRMLScalarVolumeNode],
    fields: Sequence[Mapping[str, Any]],
    segmentation_node: slicer.vtkMRMLSegmentationNode | None = None,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Give a cine the doubt of its segmentations; that of earlier ones is replaced, and stays shown or hidden.

    Args:
        cine: a sequence that a browser shows.
        frames: of :func:`doubt_frames_in_pieces`.
        fields: what else is known of each frame, as for :func:`CardiacSegLib.mrml.doubt.set_doubt`.
        segmentation_node: shows the segmentation of the frame that is selected.

    Returns:
        The node that shows the doubt of the frame that is selected.

    Raises:
        CardiacSegError: where the cine has other frames.
    """
    name, count = cine.GetName(), cine.GetNumberOfDataNodes()
    if len(frames) != count:
        raise CardiacSegError(f"sequence '{name}': has {count} frames, its doubt {len(frames)}; segment it again")
    volume_node = proxy_of(cine)
    shown = is_doubt_shown(volume_node)
    remove_doubt(volume_node)
    sequence = _add_sequence(cine, frames, f"{volume_node.GetName()} doubt sequence")
    sequence.SetAttribute(DOUBT_ROLE, json.dumps(list(fields)))
    node = add_doubt_node(volume_node, np.zeros((1, 1, 1), np.float32), segmentation_node)
    browse(browser_of(cine), sequence, node)
    show_doubt(volume_node, shown)
    return node


def _add_sequence(
    cine: slicer.vtkMRMLSequenceNode, frames: Sequence[slicer.vtkMRMLScalarVolumeNode], name: str
) -> slicer.vtkMRMLSequenceNode:
    """A sequence with these frames at the index values of a cine."""
    sequence, empty = slicer.vtkMRMLSequenceNode(), slicer.vtkMRMLScalarVolumeNode()
    sequence.SetName(name)
    copy_index(cine, sequence)
    for node, value in zip(frames, index_values(cine)):
        sequence.SetDataNodeAtValue(empty, value)
        sequence.UpdateDataNodeAtValue(node, value, True)  # taken over: a copy of each takes long
    return cine.GetScene().AddNode(sequence)
