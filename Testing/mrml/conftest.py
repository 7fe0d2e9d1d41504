"""Nodes on a real MRML scene, without the Slicer application."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import slicer

from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.mrml.storage import create_scene
from CardiacSegLib.mrml.volumes import add_volume_node


def _affine(directions: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = (-37.1, 12.25, 101.7)
    return affine


def _oblique() -> np.ndarray:
    directions, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))
    return directions * np.sign(np.linalg.det(directions))


#: Shape and affine of volumes as scanners and data sets make them.
GEOMETRIES = {
    "straight": ((12, 10, 5), np.eye(4)),
    "oblique": ((12, 10, 5), _affine(_oblique(), (1.3671875, 1.3671875, 8.0))),
    "flipped": ((12, 10, 5), _affine(np.diag([-1.0, -1.0, 1.0]), (1.5625, 1.5625, 10.0))),
    "left-handed": ((12, 10, 5), _affine(_oblique() @ np.diag([1.0, 1.0, -1.0]), (1.4, 1.4, 9.6))),
    "axis-permuted": ((5, 12, 10), _affine(_oblique()[:, [2, 0, 1]], (8.0, 1.25, 1.25))),
    "anisotropic": ((12, 10, 5), _affine(_oblique(), (0.7, 1.9, 10.0))),
    "single-slice": ((12, 10, 1), _affine(_oblique(), (1.5, 1.5, 8.0))),
}


@pytest.fixture(params=GEOMETRIES)
def a_geometry(request: pytest.FixtureRequest) -> tuple[tuple[int, int, int], np.ndarray]:
    return GEOMETRIES[request.param]


@pytest.fixture
def a_scene() -> Iterator[slicer.vtkMRMLScene]:
    scene = create_scene()
    yield scene
    scene.Clear(True)  # it and its logics hold each other: what is left in it would stay, and slow the tests to come


@pytest.fixture
def a_volume_node(a_scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLScalarVolumeNode:
    shape, affine = GEOMETRIES["oblique"]
    image = np.random.default_rng(1).integers(0, 900, shape).astype(np.int16)
    return add_volume_node(a_scene, image, affine, "a volume")


@pytest.fixture
def some_labels() -> np.ndarray:
    """All three structures and the background, scattered, on the grid of ``a_volume_node``."""
    return np.random.default_rng(2).integers(0, 4, GEOMETRIES["oblique"][0]).astype(np.uint8)


@pytest.fixture
def a_segmentation_node(
    a_volume_node: slicer.vtkMRMLScalarVolumeNode, some_labels: np.ndarray
) -> slicer.vtkMRMLSegmentationNode:
    return add_segmentation_node(some_labels, a_volume_node)
