"""What made a segmentation, kept on its node and in its scene: a page that is made of it later can say so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import slicer

from CardiacSegLib.mrml.segmentation_sequences import segmentation_sequence_of

_ATTRIBUTE = "CardiacSeg.Provenance"


def note_provenance(
    image_node: slicer.vtkMRMLScalarVolumeNode | slicer.vtkMRMLSequenceNode,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    made: Mapping[str, Any],
) -> None:
    """Keep what made the segmentation of an image; of a cine with the sequence of its segmentations.

    Args:
        image_node: the volume, or the sequence of a cine.
        segmentation_node: that shows the result.
        made: as :meth:`CardiacSegLib.inference.provenance.Provenance.fields` tells it.
    """
    is_cine = image_node.IsA("vtkMRMLSequenceNode")
    holder = segmentation_sequence_of(image_node) if is_cine else segmentation_node
    if holder is not None:
        holder.SetAttribute(_ATTRIBUTE, json.dumps(dict(made)))


def noted_provenance(node: slicer.vtkMRMLSegmentationNode | slicer.vtkMRMLSequenceNode) -> dict[str, Any]:
    """What :func:`note_provenance` kept; {} of a segmentation that somebody drew, or another program made."""
    try:
        made = json.loads(node.GetAttribute(_ATTRIBUTE) or "{}")
    except ValueError:
        return {}
    return made if isinstance(made, dict) else {}
