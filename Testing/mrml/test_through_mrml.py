"""A volume that is saved, loaded and segmented through MRML gets the labels that the engine gives its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer

from CardiacSegLib.anatomy import ACDC
from CardiacSegLib.clinical.volumes import structure_volume_ml
from CardiacSegLib.images import Image, read_image, write_image
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.mrml.segmentations import SegmentationLogic, labels_from_segmentation_node
from CardiacSegLib.mrml.storage import load_segmentation, load_volume, save_segmentation
from CardiacSegLib.mrml.volumes import affine_of_volume_node
from CardiacSegLib.phantom import PhantomOptions, make_phantom


@pytest.fixture(scope="module")
def the_model() -> Segmenter:
    return Segmenter.load()


def _heart(orientation: object, slices: int = 6, spacing: tuple[float, float, float] = (1.5, 1.5, 12.0)) -> Image:
    phantom = make_phantom(
        PhantomOptions(frames=1, slices=slices, spacing=spacing, size=(128, 112), orientation=orientation)
    )
    return Image(phantom.image[..., 0], phantom.affine)


def _oblique() -> np.ndarray:
    directions, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    return directions * np.sign(np.linalg.det(directions))


HEARTS = {
    "oblique": lambda: _heart(_oblique()),
    "left-handed": lambda: _heart(_oblique() @ np.diag([1.0, 1.0, -1.0])),
    "flipped": lambda: _heart("flipped"),
    "axis-permuted": lambda: _heart("slices-first"),
    "transposed": lambda: _heart("transposed"),
    "anisotropic": lambda: _heart("short-axis", spacing=(1.1, 1.9, 12.0)),
    "single-slice": lambda: _middle_slice(_heart("short-axis")),
    "ACDC-like": lambda: _heart("ACDC"),
}


def _middle_slice(image: Image) -> Image:
    affine = image.affine.copy()
    affine[:3, 3] += 3 * affine[:3, 2]
    return Image(image.array[:, :, 3:4], affine)


def _on_grid_of(labels: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], other: np.ndarray) -> np.ndarray:
    """Labels moved, voxel by voxel, to the array order of another affine that covers the same places."""
    index = np.indices(shape).reshape(3, -1)
    place = np.linalg.inv(affine) @ other @ np.vstack([index, np.ones(index.shape[1])])
    return labels[tuple(np.rint(place[:3]).astype(int))].reshape(shape)


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize("heart", HEARTS)
def test_labels_through_mrml_are_those_of_the_engine(
    heart: str, extension: str, the_model: Segmenter, a_scene: slicer.vtkMRMLScene, tmp_path: Path
) -> None:
    path = tmp_path / f"heart{extension}"
    write_image(path, HEARTS[heart]())
    image = read_image(path)
    expected = the_model.segment(image.array, image.affine)

    volume_node = load_volume(a_scene, path)
    segmentation_node = SegmentationLogic(the_model).segment(volume_node)
    saved = save_segmentation(segmentation_node, tmp_path / "heart.seg.nrrd")
    loaded = labels_from_segmentation_node(load_segmentation(a_scene, saved), volume_node)

    assert np.count_nonzero(expected) > 300, "the heart is found, so that there is something to compare"
    # Slicer reverses an axis of some arrays when it loads them, and the affine with it: compare by place.
    moved = _on_grid_of(expected, image.affine, loaded.shape, affine_of_volume_node(volume_node))
    np.testing.assert_array_equal(loaded, moved)


def test_an_acdc_volume_has_its_true_milliliters_in_the_scene(
    acdc_training: Path, a_scene: slicer.vtkMRMLScene
) -> None:
    labels = acdc_training / "patient001" / "patient001_frame01_gt.nii.gz"
    node = load_volume(a_scene, labels)
    image = read_image(labels)
    count = np.count_nonzero(image.array == ACDC["LV"])

    engine = structure_volume_ml(image.array, ACDC["LV"], image.affine)
    scene = structure_volume_ml(image.array, ACDC["LV"], affine_of_volume_node(node))

    assert engine == pytest.approx(count * 1.5625**2 * 10 / 1000, rel=1e-6)
    assert scene == pytest.approx(engine, rel=1e-6)
