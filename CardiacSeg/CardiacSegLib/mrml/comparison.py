"""A case of an evaluation in the scene: its image, its reference labels, and what a model made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import slicer

from CardiacSegLib.evaluation.tables import IMAGES, PREDICTIONS, REFERENCES
from CardiacSegLib.images import read_image
from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.mrml.volumes import add_volume_node

_OUTLINE_THICKNESS = 2


class Comparison(NamedTuple):
    """The nodes of a case."""

    volume: slicer.vtkMRMLScalarVolumeNode
    reference: slicer.vtkMRMLSegmentationNode
    prediction: slicer.vtkMRMLSegmentationNode


def add_comparison(
    scene: slicer.vtkMRMLScene, evaluation: Path, case: str, convention: Mapping[str, int]
) -> Comparison:
    """Add a case to a scene: the prediction as filled areas, the reference as outlines over them.

    Args:
        scene: where the nodes are added.
        evaluation: folder that an evaluation wrote.
        case: name of the case in its table.
        convention: which number in its files means which structure.

    Raises:
        CardiacSegError: where a file of the case is missing or damaged; nothing is then added.
    """
    file = f"{case}.nii.gz"
    image, reference, prediction = (
        read_image(evaluation / folder / file) for folder in (IMAGES, REFERENCES, PREDICTIONS)
    )
    volume_node = add_volume_node(scene, image.array, image.affine, case)
    nodes = []
    for name, labels in (("reference", reference), ("prediction", prediction)):
        node = add_segmentation_node(labels.array.astype("uint8"), volume_node, convention)
        node.SetName(f"{case} {name}")
        nodes.append(node)
    nodes[0].GetDisplayNode().SetVisibility2DFill(False)
    nodes[0].GetDisplayNode().SetSliceIntersectionThickness(_OUTLINE_THICKNESS)
    nodes[1].GetDisplayNode().SetVisibility2DOutline(False)
    return Comparison(volume_node, *nodes)
