"""What was begun in a scene and failed leaves nothing in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer


@contextmanager
def undone_on_failure(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Where the block fails, no node that it added stays in the scene."""
    before = _node_ids(scene)
    try:
        yield
    except BaseException:
        for node_id in _node_ids(scene) - before:
            scene.RemoveNode(scene.GetNodeByID(node_id))
        raise


def _node_ids(scene: slicer.vtkMRMLScene) -> set[str]:
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
