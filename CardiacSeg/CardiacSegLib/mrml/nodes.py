"""The nodes of a scene: which there are, and how those go again that were only begun or borrowed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import slicer


def nodes_of_class(scene: slicer.vtkMRMLScene, kind: str) -> list[Any]:
    """The nodes of a class and of those derived from it, such as "vtkMRMLSegmentationNode", in their order."""
    return [scene.GetNthNodeByClass(number, kind) for number in range(scene.GetNumberOfNodesByClass(kind))]


def node_ids(scene: slicer.vtkMRMLScene) -> set[str]:
    """The IDs of all nodes of a scene."""
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


@contextmanager
def undone_on_failure(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Where the block fails, no node that it added stays in the scene."""
    before = node_ids(scene)
    try:
        yield
    except BaseException:
        _remove_others(scene, before)
        raise


@contextmanager
def removed_afterwards(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Remove every node that comes into the scene meanwhile."""
    before = node_ids(scene)
    try:
        yield
    finally:
        _remove_others(scene, before)


def _remove_others(scene: slicer.vtkMRMLScene, kept: set[str]) -> None:
    for node_id in node_ids(scene) - kept:
        scene.RemoveNode(scene.GetNodeByID(node_id))
