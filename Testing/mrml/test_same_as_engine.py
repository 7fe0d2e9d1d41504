"""A file segmented through MRML gives what the engine gives for the file itself."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from CardiacSegLib.geometry import voxel_spacing
from CardiacSegLib.images import read_image
from CardiacSegLib.mrml.segmentations import add_segmentation_node, labels_from_segmentation_node
from CardiacSegLib.mrml.storage import load_segmentation, load_volume, save_segmentation
from CardiacSegLib.mrml.volumes import add_volume_node, image_from_volume_node


def bright_and_dark(array: np.ndarray) -> np.ndarray:
    return np.digitize(array, (100, 250, 400)).astype(np.uint8)


def on_the_grid_of(target: tuple[tuple[int, ...], np.ndarray], array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The same voxels in the order of another array over the same places: Slicer turns left-handed files round."""
    shape, target_affine = target
    to_source = np.linalg.inv(affine) @ target_affine
    indices = to_source[:3, :3] @ np.indices(shape).reshape(3, -1) + to_source[:3, 3:]
    np.testing.assert_allclose(indices, indices.round(), atol=1e-3)
    return array[tuple(indices.round().astype(int))].reshape(shape)


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
def test_labels_are_the_same_voxel_for_voxel(a_scene, a_geometry, tmp_path, extension):
    shape, affine = a_geometry
    image = np.random.default_rng(11).integers(0, 500, shape).astype(np.int16)
    file = tmp_path / f"heart{extension}"
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(file))
    assert storage.WriteData(add_volume_node(a_scene, image, affine, "v"))

    engine = read_image(file)
    expected = bright_and_dark(engine.array)
    volume = load_volume(a_scene, file)
    array, volume_affine = image_from_volume_node(volume)
    node = add_segmentation_node(bright_and_dark(array), volume)
    saved = load_segmentation(a_scene, save_segmentation(node, tmp_path / "heart.seg.nrrd"))

    target = (engine.array.shape, engine.affine)
    for segmentation in (node, saved):
        labels = labels_from_segmentation_node(segmentation, volume)
        np.testing.assert_array_equal(on_the_grid_of(target, labels, volume_affine), expected)


def test_engine_and_slicer_place_a_file_alike(a_scene, a_geometry, tmp_path):
    shape, affine = a_geometry
    file = tmp_path / "heart.nii.gz"
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(file))
    assert storage.WriteData(add_volume_node(a_scene, np.zeros(shape, np.int16), affine, "v"))
    engine = read_image(file)
    _, found = image_from_volume_node(load_volume(a_scene, file))
    np.testing.assert_allclose(voxel_spacing(found), voxel_spacing(engine.affine), rtol=1e-5)
    if np.linalg.det(engine.affine[:3, :3]) > 0:
        np.testing.assert_allclose(found, engine.affine, atol=1e-4)


@pytest.mark.data
@pytest.mark.parametrize("patient", ["patient001", "patient050"])
def test_acdc_volumes_have_their_true_milliliters(a_scene, acdc_training, patient):
    """Their sform says 1 mm; pixdim, ITK and Slicer say the truth."""
    file = next((acdc_training / patient).glob("*_frame*_gt.nii.gz"))
    engine = read_image(file)
    volume = load_volume(a_scene, file)
    array, affine = image_from_volume_node(volume)
    np.testing.assert_array_equal(array, engine.array)
    np.testing.assert_allclose(affine, engine.affine, atol=1e-5)
    node = add_segmentation_node(array.astype(np.uint8), volume)
    labels = labels_from_segmentation_node(node, volume)
    milliliters = np.count_nonzero(labels == 3) * abs(np.linalg.det(affine[:3, :3])) / 1000
    assert 20 < milliliters < 500
    assert (voxel_spacing(affine) > 1.2).all()
