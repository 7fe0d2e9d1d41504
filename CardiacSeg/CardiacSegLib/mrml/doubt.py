"""The doubt of a segmentation in a scene: a volume over the image, and the slices that are worth a look.

The volume belongs to the image's volume node, which refers to it, and keeps what is known beside it, so that all of it
is there again when the scene is opened again. It is hidden until it is asked for: it then lies over the image as the
foreground of the slice views, clear where the model is sure. For a cine it shows the frame that the image shows, see
:mod:`CardiacSegLib.mrml.doubt_sequences`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import slicer
import vtk

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.browsers import browser_of, sequence_of_proxy
from CardiacSegLib.mrml.nodes import nodes_of_class
from CardiacSegLib.mrml.pictures import PICTURE_VIEW
from CardiacSegLib.mrml.sequences import shown_frame
from CardiacSegLib.mrml.volumes import add_volume_node, affine_of_volume_node, image_data

#: How far the doubt covers the image, where it is shown and the model is least sure; 0 to 1.
OPACITY = 0.7

#: From an image to its doubt; and, as an attribute of that or of its sequence, what else is known.
DOUBT_ROLE = "CardiacSeg.Doubt"
_SEGMENTATION_ROLE = "CardiacSeg.DoubtOf"
_COLORS = "CardiacSeg doubt"
#: From sure to unsure: red, green, blue, and how much of the image is covered.
_RAMP = (
    (0.0, (0.2, 0.0, 0.3, 0.0)),
    (0.08, (0.4, 0.05, 0.4, 0.0)),
    (0.35, (0.85, 0.25, 0.3, 0.75)),
    (0.7, (1.0, 0.65, 0.1, 0.95)),
    (1.0, (1.0, 1.0, 0.5, 1.0)),
)
_STEPS = 256


class SliceToCheck(NamedTuple):
    """A slice that is worth a look.

    Attributes:
        text: which, and why.
        center: RAS, mm, on the image's grid, without a transform that it observes.
    """

    text: str
    center: tuple[float, float, float]


def set_doubt(
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    doubt: np.ndarray,
    fields: Mapping[str, Any],
    segmentation_node: slicer.vtkMRMLSegmentationNode | None = None,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Give an image the doubt of its segmentation; that of an earlier one is replaced, and stays shown or hidden.

    Args:
        volume_node: of the image, in a scene.
        doubt: (I, J, K) on the image's grid, 0 to 1.
        fields: what else is known, as :meth:`CardiacSegLib.inference.doubt.Doubt.fields` says it.
        segmentation_node: of which it is the doubt; of any of the image where None.

    Returns:
        The node of the doubt.

    Raises:
        CardiacSegError: where the doubt is not on the image's grid.
    """
    shape = volume_node.GetImageData().GetDimensions() if volume_node.GetImageData() else ()
    if tuple(shape) != tuple(doubt.shape):
        raise CardiacSegError(
            f"volume '{volume_node.GetName()}': has the shape {tuple(shape)}, its doubt {tuple(doubt.shape)}; segment "
            "the volume again"
        )
    node, shown = doubt_node(volume_node), is_doubt_shown(volume_node)
    if node is not None and sequence_of_proxy(node) is not None:
        remove_doubt(volume_node)
        node = None
    if node is None:
        node = add_doubt_node(volume_node, doubt, segmentation_node)
        show_doubt(volume_node, shown)
    else:
        image_data(np.asarray(doubt, np.float32), node.GetImageData())
        node.GetImageData().Modified()
        node.Modified()
        _belong(node, volume_node, segmentation_node)
    node.SetAttribute(DOUBT_ROLE, json.dumps(fields))
    volume_node.Modified()  # for who follows it
    return node


def add_doubt_node(
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    doubt: np.ndarray,
    segmentation_node: slicer.vtkMRMLSegmentationNode | None = None,
) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume that shows the doubt of an image that has none; what else is known is not yet said."""
    scene, doubt = volume_node.GetScene(), np.asarray(doubt, np.float32)
    node = add_volume_node(scene, doubt, affine_of_volume_node(volume_node), f"{volume_node.GetName()} doubt")
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(_color_node(scene).GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, 1.0)
    _belong(node, volume_node, segmentation_node)
    volume_node.SetNodeReferenceID(DOUBT_ROLE, node.GetID())
    return node


def _belong(
    node: slicer.vtkMRMLScalarVolumeNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    segmentation_node: slicer.vtkMRMLSegmentationNode | None,
) -> None:
    """Let a doubt move with its image, and know its segmentation."""
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    known = None if segmentation_node is None else segmentation_node.GetID()
    node.SetNodeReferenceID(_SEGMENTATION_ROLE, known)


def _color_node(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """The colors of doubt: one table for all, in the scene."""
    found = scene.GetFirstNodeByName(_COLORS)
    if isinstance(found, slicer.vtkMRMLColorTableNode):
        return found
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", _COLORS)
    node.SetTypeToUser()
    node.SetNumberOfColors(_STEPS)
    values = np.linspace(0, 1, _STEPS)
    places, colors = zip(*_RAMP)
    channels = [np.interp(values, places, channel) for channel in zip(*colors)]
    for number, color in enumerate(zip(*channels)):
        node.SetColor(number, f"{values[number]:.2f}", *map(float, color))
    node.GetLookupTable().SetTableRange(0, _STEPS - 1)
    return node


def doubt_node(volume_node: slicer.vtkMRMLVolumeNode | None) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The doubt that belongs to an image; None where there is none."""
    return None if volume_node is None else volume_node.GetNodeReference(DOUBT_ROLE)


def has_doubt(
    volume_node: slicer.vtkMRMLVolumeNode | None, segmentation_node: slicer.vtkMRMLSegmentationNode | None
) -> bool:
    """Whether an image has a doubt, and that of this segmentation; another one of the same image has none."""
    node = doubt_node(volume_node)
    if node is None:
        return False
    return node.GetNodeReferenceID(_SEGMENTATION_ROLE) is None or (
        segmentation_node is not None and node.GetNodeReference(_SEGMENTATION_ROLE) is segmentation_node
    )


def remove_doubt(volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Remove the doubt of an image, where there is one, of all frames of a cine: its labels were made anew."""
    node = doubt_node(volume_node)
    if node is None:
        return
    show_doubt(volume_node, False)
    sequence = sequence_of_proxy(node)
    if sequence is not None:
        browser_of(sequence).RemoveSynchronizedSequenceNode(sequence.GetID())
    for one in (sequence, node.GetDisplayNode(), node):
        if one is not None:
            volume_node.GetScene().RemoveNode(one)


def expected_dice(volume_node: slicer.vtkMRMLVolumeNode | None) -> dict[str, float | None]:
    """The Dice to be expected of each structure of an image; {} where it has no doubt."""
    dice = _fields(volume_node).get("predicted_dice")
    return dict(dice) if isinstance(dice, dict) else {}


def slices_to_check(volume_node: slicer.vtkMRMLVolumeNode | None) -> list[SliceToCheck]:
    """The slices of an image that are worth a look, the worst first; none where it has no doubt."""
    try:
        return [
            SliceToCheck(str(one["text"]), tuple(float(value) for value in one["center"]))
            for one in _fields(volume_node).get("slices", ())
            if len(one["center"]) == 3
        ]
    except (KeyError, TypeError, ValueError):  # a scene that something else has written to
        return []


def least_sure_frame(volume_node: slicer.vtkMRMLVolumeNode | None) -> int | None:
    """The frame, counted from 0, of which least Dice is to be expected; None of an image that is no cine."""
    told = _told(volume_node)
    if not isinstance(told, list) or not told:
        return None
    means = [_mean_dice(fields) for fields in told]
    return means.index(min(means))


def _mean_dice(fields: Any) -> float:
    """Over the structures, 0 of one that was not found; 1 where nothing is known."""
    try:
        dice = [float(one or 0.0) for one in fields["predicted_dice"].values()]
        return sum(dice) / len(dice)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return 1.0


def _fields(volume_node: slicer.vtkMRMLVolumeNode | None) -> dict[str, Any]:
    """What is known beside the doubt of an image; of a cine in the frame that is shown."""
    told = _told(volume_node)
    if isinstance(told, list):
        frame = shown_frame(sequence_of_proxy(doubt_node(volume_node)))
        told = told[frame] if frame is not None and frame < len(told) else {}
    return told if isinstance(told, dict) else {}


def _told(volume_node: slicer.vtkMRMLVolumeNode | None) -> Any:
    """What was written beside the doubt of an image: fields, or for a cine those of each frame."""
    node = doubt_node(volume_node)
    if node is None:
        return {}
    sequence = sequence_of_proxy(node)
    try:
        told = json.loads((sequence or node).GetAttribute(DOUBT_ROLE) or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, list if sequence is not None else dict) else {}


def show_doubt(volume_node: slicer.vtkMRMLScalarVolumeNode, shown: bool) -> None:
    """Lay the doubt of an image over it, or take it away, in every slice view that shows the image.

    The doubt of another image does not stay over this one in any case.
    """
    node, scene = doubt_node(volume_node), volume_node.GetScene()
    for view in _views(scene):
        over_image = view.GetBackgroundVolumeID() == volume_node.GetID()
        foreground = scene.GetNodeByID(view.GetForegroundVolumeID() or "")
        modifying = view.StartModify()
        if shown and over_image and node is not None:
            view.SetForegroundVolumeID(node.GetID())
            view.SetForegroundOpacity(OPACITY)
        elif foreground is not None and (foreground is node or (over_image and _is_doubt(foreground))):
            view.SetForegroundVolumeID(None)
            view.SetForegroundOpacity(0.0)
        view.EndModify(modifying)


def _is_doubt(node: slicer.vtkMRMLNode) -> bool:
    told_by = sequence_of_proxy(node) or node  # attributes of what shows a frame go with each frame
    return told_by.GetAttribute(DOUBT_ROLE) is not None


def is_doubt_shown(volume_node: slicer.vtkMRMLVolumeNode | None) -> bool:
    """Whether some slice view shows the doubt of an image."""
    node = doubt_node(volume_node)
    if node is None:
        return False
    views = _views(volume_node.GetScene())
    return any(view.GetForegroundVolumeID() == node.GetID() and view.GetForegroundOpacity() > 0 for view in views)


def jump_to(volume_node: slicer.vtkMRMLVolumeNode, place: SliceToCheck) -> None:
    """Let all slice views stand at a slice of an image."""
    point = _in_world(volume_node, place.center)
    for view in _slice_nodes(volume_node.GetScene()):
        view.JumpSliceByOffsetting(*point)


def _in_world(volume_node: slicer.vtkMRMLVolumeNode, center: Sequence[float]) -> tuple[float, float, float]:
    transform = volume_node.GetParentTransformNode()
    if transform is None:
        return tuple(center)
    to_world = vtk.vtkGeneralTransform()
    transform.GetTransformToWorld(to_world)
    return to_world.TransformPoint(*center)


def _views(scene: slicer.vtkMRMLScene) -> Iterator[slicer.vtkMRMLSliceCompositeNode]:
    """What each slice view of the heart shows."""
    return (node for node in nodes_of_class(scene, "vtkMRMLSliceCompositeNode") if node.GetLayoutName() != PICTURE_VIEW)


def _slice_nodes(scene: slicer.vtkMRMLScene) -> Iterator[slicer.vtkMRMLSliceNode]:
    return (node for node in nodes_of_class(scene, "vtkMRMLSliceNode") if node.GetLayoutName() != PICTURE_VIEW)
