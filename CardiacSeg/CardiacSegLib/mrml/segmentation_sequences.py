"""The labels of a cine as a sequence of segmentations under the browser of the cine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.browsers import add_browser, browse, browser_of, proxy_of, sequence_of_proxy, update_proxies
from CardiacSegLib.mrml.nodes import nodes_of_class, undone_on_failure
from CardiacSegLib.mrml.pieces import Pieces, finished, part_of
from CardiacSegLib.mrml.segments import edit_state, segmentation_in_pieces
from CardiacSegLib.mrml.sequences import copy_index, frames_of, index_values

#: From the segmentations of a cine to the cine.
_CINE_ROLE = "CardiacSeg.cine"


def cine_of(segmentation_sequence: slicer.vtkMRMLSequenceNode) -> slicer.vtkMRMLSequenceNode | None:
    """The cine that :func:`add_segmentation_sequence` made a sequence for."""
    return segmentation_sequence.GetNodeReference(_CINE_ROLE)


def segmentation_sequence_of(cine: slicer.vtkMRMLSequenceNode) -> slicer.vtkMRMLSequenceNode | None:
    """The sequence that :func:`add_segmentation_sequence` made for a cine and that is still under its browser."""
    browser = browser_of(cine)
    if browser is None:
        return None
    sequences = vtk.vtkCollection()
    browser.GetSynchronizedSequenceNodes(sequences, True)
    found = (sequences.GetItemAsObject(number) for number in range(sequences.GetNumberOfItems()))
    return next((node for node in found if cine_of(node) is cine), None)


def update_results(scene: slicer.vtkMRMLScene) -> None:
    """After a scene was loaded: let the segmentations that show results be one with the frames that they show.

    Both come from files of their own; what a person edited would be in the one and not in the other.
    """
    sequences = nodes_of_class(scene, "vtkMRMLSequenceNode")
    for browser in {browser_of(sequence) for sequence in sequences if cine_of(sequence) is not None} - {None}:
        update_proxies(browser)


def add_segmentation_sequence(
    labels: np.ndarray,
    sequence_node: slicer.vtkMRMLSequenceNode,
    convention: Mapping[str, int] = CANONICAL,
    segmentation_node: slicer.vtkMRMLSegmentationNode | None = None,
    closed_surface: bool = False,
    smoothing: float = 0.5,
) -> tuple[slicer.vtkMRMLSequenceNode, slicer.vtkMRMLSegmentationNode]:
    """Add the labels of a cine as a sequence of segmentations, scrolled by the browser of the cine.

    An earlier result for the same cine is replaced; segments that a person added stay, in each frame. What a person
    edits in the frame that is shown is kept in the sequence. Where this fails, the scene is as before.

    Args:
        labels: integers (I, J, K, T) on the grid of the cine.
        sequence_node: the cine, a sequence of volumes.
        convention: which number in ``labels`` means which structure.
        segmentation_node: shows the frame that is selected; the one of the earlier result, or else a new node, where
            None.
        closed_surface: whether to make the surfaces for the 3D view.
        smoothing: of those surfaces, 0 (none) to 1 (strong).

    Returns:
        The sequence of segmentations and the segmentation node that shows its selected frame.

    Raises:
        CardiacSegError: where the labels do not fit the cine or the convention, a surface cannot be made, or
            ``segmentation_node`` shows the result of another cine.
    """
    pieces = segmentation_sequence_in_pieces(
        labels, sequence_node, convention, segmentation_node, closed_surface, smoothing
    )
    return finished(pieces)


def segmentation_sequence_in_pieces(
    labels: np.ndarray,
    sequence_node: slicer.vtkMRMLSequenceNode,
    convention: Mapping[str, int] = CANONICAL,
    segmentation_node: slicer.vtkMRMLSegmentationNode | None = None,
    closed_surface: bool = False,
    smoothing: float = 0.5,
) -> Pieces[tuple[slicer.vtkMRMLSequenceNode, slicer.vtkMRMLSegmentationNode]]:
    """As :func:`add_segmentation_sequence`, a frame or the surface of one of its segments a piece.

    As long as the share is below 1 the scene is as before, and stays so where the generator is closed. A person may
    meanwhile scroll, edit and remove nodes: a frame in which segments were drawn is made again. From the share of 1 on
    the result is in the scene; what it has replaced is freed a frame a piece.
    """
    _check_fit(labels, sequence_node)
    earlier = segmentation_sequence_of(sequence_node)
    _check_proxy(segmentation_node, earlier)
    yield 0.0
    count = labels.shape[3]
    made: dict[int, tuple[Any, slicer.vtkMRMLSegmentationNode]] = {}
    while True:
        before = [_segmentation_before(frame, earlier, segmentation_node) for frame in range(count)]
        frame = next((n for n in range(count) if n not in made or made[n][0] != edit_state(before[n])), None)
        if frame is None:
            break
        state, volume_node = edit_state(before[frame]), sequence_node.GetNthDataNode(frame)
        arguments = (labels[..., frame], volume_node, convention, before[frame], closed_surface, smoothing)
        share = len(made) / (count + 1), (len(made) + 1) / (count + 1)
        segmentation = yield from part_of(share, segmentation_in_pieces(*arguments))
        made[frame] = state, _node_of(segmentation, volume_node)
        yield share[1]
    _check_fit(labels, sequence_node)
    result = _add_frames([made[frame][1] for frame in range(count)], sequence_node, segmentation_node)
    while before:
        yield 1.0
        before.pop()
    return result


def _check_fit(labels: np.ndarray, sequence_node: slicer.vtkMRMLSequenceNode) -> None:
    name = sequence_node.GetName()
    if sequence_node.GetScene() is None:
        raise CardiacSegError(f"sequence '{name}' is in the scene no more; load it again and segment it")
    frames, _ = frames_of(sequence_node)
    shape = (*frames[0].shape, len(frames))
    if labels.shape != shape:
        raise CardiacSegError(
            f"labels of {labels.shape} voxels do not fit sequence '{name}' of {shape}; segment this sequence itself"
        )


def _check_proxy(
    segmentation_node: slicer.vtkMRMLSegmentationNode | None, earlier: slicer.vtkMRMLSequenceNode | None
) -> None:
    shown = sequence_of_proxy(segmentation_node) if segmentation_node is not None else None
    if shown is not None and shown is not earlier:
        raise CardiacSegError(
            f"segmentation '{segmentation_node.GetName()}' shows sequence '{shown.GetName()}'; choose another or a "
            "new segmentation"
        )


def _segmentation_before(
    frame: int,
    earlier: slicer.vtkMRMLSequenceNode | None,
    segmentation_node: slicer.vtkMRMLSegmentationNode | None,
) -> slicer.vtkSegmentation | None:
    """What holds the segments that a person added to a frame."""
    node = earlier.GetNthDataNode(frame) if earlier is not None else segmentation_node
    return node.GetSegmentation() if node is not None else None


def _node_of(
    segmentation: slicer.vtkSegmentation, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSegmentationNode:
    """A node, in no scene, with a segmentation on the grid of a volume."""
    node = slicer.vtkMRMLSegmentationNode()
    node.SetAndObserveSegmentation(segmentation)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    return node


def _add_frames(
    frames: Sequence[slicer.vtkMRMLSegmentationNode],
    sequence_node: slicer.vtkMRMLSequenceNode,
    segmentation_node: slicer.vtkMRMLSegmentationNode | None,
) -> tuple[slicer.vtkMRMLSequenceNode, slicer.vtkMRMLSegmentationNode]:
    """Show finished frames in the scene."""
    if segmentation_node is not None and segmentation_node.GetScene() is None:
        segmentation_node = None  # removed while the frames were made
    with undone_on_failure(sequence_node.GetScene()):
        browser, volume_node = _shown_cine(sequence_node)
        sequence = segmentation_sequence_of(sequence_node) or _add_result(sequence_node, volume_node)
        _put_frames(sequence, sequence_node, frames, browser)
        proxy = _result_proxy(browser, sequence, volume_node, segmentation_node)
    return sequence, proxy


def _shown_cine(
    sequence_node: slicer.vtkMRMLSequenceNode,
) -> tuple[slicer.vtkMRMLSequenceBrowserNode, slicer.vtkMRMLScalarVolumeNode]:
    """The browser of a cine and the volume that shows it, each made where it is missing."""
    browser = browser_of(sequence_node)
    if browser is None:
        browser = add_browser(sequence_node.GetScene(), sequence_node.GetName())
    if browser.GetProxyNode(sequence_node) is None:
        browser.AddSynchronizedSequenceNode(sequence_node)
        browser.SetSelectedItemNumber(max(0, browser.GetSelectedItemNumber()))
        update_proxies(browser)
    return browser, proxy_of(sequence_node)


def _add_result(
    cine: slicer.vtkMRMLSequenceNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSequenceNode:
    """An empty sequence for the segmentations of a cine."""
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetName(f"{volume_node.GetName()} segmentation sequence")
    cine.GetScene().AddNode(sequence)
    sequence.SetNodeReferenceID(_CINE_ROLE, cine.GetID())
    return sequence


def _put_frames(
    sequence: slicer.vtkMRMLSequenceNode,
    cine: slicer.vtkMRMLSequenceNode,
    frames: Sequence[slicer.vtkMRMLSegmentationNode],
    browser: slicer.vtkMRMLSequenceBrowserNode,
) -> None:
    """Give a sequence those frames, and no others, at the index values of the cine."""
    modifying = browser.StartModify(), sequence.StartModify()
    copy_index(cine, sequence)
    values = index_values(cine)
    if index_values(sequence) != values:
        sequence.RemoveAllDataNodes()
        empty = slicer.vtkMRMLSegmentationNode()
        for value in values:
            sequence.SetDataNodeAtValue(empty, value)
    for node, value in zip(frames, values):
        sequence.UpdateDataNodeAtValue(node, value, True)  # taken over: a copy of each takes long
    sequence.EndModify(modifying[1])
    browser.EndModify(modifying[0])


def _result_proxy(
    browser: slicer.vtkMRMLSequenceBrowserNode,
    sequence: slicer.vtkMRMLSequenceNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    segmentation_node: slicer.vtkMRMLSegmentationNode | None,
) -> slicer.vtkMRMLSegmentationNode:
    """The node that shows the segmentations: the one given, the one there, or a new one."""
    scene = sequence.GetScene()
    earlier = browser.GetProxyNode(sequence)
    proxy = segmentation_node or earlier
    if proxy is None:
        proxy = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume_node.GetName()} segmentation")
    if proxy.GetDisplayNode() is None:
        proxy.CreateDefaultDisplayNodes()
    proxy.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    browse(browser, sequence, proxy, save_changes=True)
    proxy.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    if earlier is not None and earlier is not proxy:
        scene.RemoveNode(earlier.GetDisplayNode())
        scene.RemoveNode(earlier)
    return proxy
