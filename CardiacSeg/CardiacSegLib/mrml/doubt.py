"""The doubt of a segmentation in a scene: a volume over the image, and the slices that are worth a look.

The volume belongs to the image's volume node, which refers to it, and keeps what is known beside it, so that all of it
is there again when the scene is opened again. It is hidden until it is asked for: it then lies over the image as the
foreground of the slice views, clear where the model is sure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import slicer
import vtk

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.pictures import PICTURE_VIEW
from CardiacSegLib.mrml.volumes import add_volume_node, affine_of_volume_node, image_data

#: How far the doubt covers the image where it is shown.
OPACITY = 0.7

_ROLE = "CardiacSeg.Doubt"
_COLORS = "CardiacSeg doubt"
#: From sure to unsure: red, green, blue, and how much of the image is covered.
_RAMP = ((0.0, (0.2, 0.0, 0.3, 0.0)), (0.08, (0.4, 0.05, 0.4, 0.0)), (0.35, (0.85, 0.25, 0.3, 0.75)))
_RAMP_END = ((0.7, (1.0, 0.65, 0.1, 0.95)), (1.0, (1.0, 1.0, 0.5, 1.0)))
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
    volume_node: slicer.vtkMRMLScalarVolumeNode, doubt: np.ndarray, fields: Mapping[str, Any]
) -> slicer.vtkMRMLScalarVolumeNode:
    """Give an image the doubt of its segmentation; that of an earlier one is replaced, and stays shown or hidden.

    Args:
        volume_node: of the image, in a scene.
        doubt: (I, J, K) on the image's grid, 0 to 1.
        fields: what else is known, as :meth:`CardiacSegLib.inference.doubt.Doubt.fields` says it.

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
    doubt = np.asarray(doubt, np.float32)
    node = doubt_node(volume_node)
    if node is None:
        node = _new_node(volume_node, doubt)
    else:
        image_data(doubt, node.GetImageData())
        node.GetImageData().Modified()
        node.Modified()
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.SetAttribute(_ROLE, json.dumps(fields))
    return node


def _new_node(volume_node: slicer.vtkMRMLScalarVolumeNode, doubt: np.ndarray) -> slicer.vtkMRMLScalarVolumeNode:
    scene = volume_node.GetScene()
    node = add_volume_node(scene, doubt, affine_of_volume_node(volume_node), f"{volume_node.GetName()} doubt")
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(_color_node(scene).GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, 1.0)
    volume_node.SetNodeReferenceID(_ROLE, node.GetID())
    return node


def _color_node(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """The colors of doubt: one table for all, in the scene."""
    found = scene.GetFirstNodeByName(_COLORS)
    if isinstance(found, slicer.vtkMRMLColorTableNode):
        return found
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", _COLORS)
    node.SetTypeToUser()
    node.SetNumberOfColors(_STEPS)
    values = np.linspace(0, 1, _STEPS)
    places, colors = zip(*_RAMP, *_RAMP_END)
    channels = [np.interp(values, places, channel) for channel in zip(*colors)]
    for number, color in enumerate(zip(*channels)):
        node.SetColor(number, f"{values[number]:.2f}", *map(float, color))
    node.GetLookupTable().SetTableRange(0, _STEPS - 1)
    return node


def doubt_node(volume_node: slicer.vtkMRMLVolumeNode | None) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The doubt that belongs to an image; None where there is none."""
    return None if volume_node is None else volume_node.GetNodeReference(_ROLE)


def remove_doubt(volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Remove the doubt of an image, where there is one: its labels were made anew without."""
    node = doubt_node(volume_node)
    if node is not None:
        show_doubt(volume_node, False)
        volume_node.GetScene().RemoveNode(node)


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


def _fields(volume_node: slicer.vtkMRMLVolumeNode | None) -> dict[str, Any]:
    node = doubt_node(volume_node)
    try:
        fields = json.loads(node.GetAttribute(_ROLE) or "{}") if node is not None else {}
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def show_doubt(volume_node: slicer.vtkMRMLScalarVolumeNode, shown: bool, opacity: float = OPACITY) -> None:
    """Lay the doubt of an image over it, or take it away, in every slice view that shows the image.

    Args:
        volume_node: of the image.
        shown: whether the doubt is seen.
        opacity: how far it covers the image where the model is least sure, 0 to 1.
    """
    node = doubt_node(volume_node)
    if node is None:
        return
    for view in _views(volume_node.GetScene()):
        over_image = view.GetBackgroundVolumeID() == volume_node.GetID()
        is_ours = view.GetForegroundVolumeID() == node.GetID()
        modifying = view.StartModify()
        if shown and over_image:
            view.SetForegroundVolumeID(node.GetID())
            view.SetForegroundOpacity(opacity)
        elif is_ours:
            view.SetForegroundVolumeID(None)
            view.SetForegroundOpacity(0.0)
        view.EndModify(modifying)


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
    return (node for node in _nodes(scene, "vtkMRMLSliceCompositeNode") if node.GetLayoutName() != PICTURE_VIEW)


def _slice_nodes(scene: slicer.vtkMRMLScene) -> Iterator[slicer.vtkMRMLSliceNode]:
    return (node for node in _nodes(scene, "vtkMRMLSliceNode") if node.GetLayoutName() != PICTURE_VIEW)


def _nodes(scene: slicer.vtkMRMLScene, kind: str) -> list[Any]:
    return [scene.GetNthNodeByClass(number, kind) for number in range(scene.GetNumberOfNodesByClass(kind))]
