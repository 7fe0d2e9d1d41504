from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.storage import load_volume
from CardiacSegLib.mrml.volumes import add_volume_node, image_from_volume_node


def test_array_and_affine_come_back_as_they_were_put_in(a_scene, a_geometry):
    shape, affine = a_geometry
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    array, found = image_from_volume_node(add_volume_node(a_scene, image, affine, "v"))
    assert array.dtype == image.dtype
    np.testing.assert_array_equal(array, image)
    np.testing.assert_allclose(found, affine, rtol=0, atol=1e-13)
    assert found.dtype == np.float64


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int16, np.uint16, np.int32, np.float16, np.float32, ">i2"])
def test_every_kind_of_number_becomes_a_volume(a_scene, kind):
    image = (np.arange(24).reshape(2, 3, 4) % 2).astype(kind)
    array, _ = image_from_volume_node(add_volume_node(a_scene, image, np.eye(4), "v"))
    np.testing.assert_array_equal(array, image)


def test_the_array_is_a_view_that_costs_no_copy(a_volume_node):
    first, _ = image_from_volume_node(a_volume_node)
    second, _ = image_from_volume_node(a_volume_node)
    assert np.shares_memory(first, second)


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
def test_a_saved_volume_loads_with_its_voxels_in_their_place(a_scene, a_geometry, tmp_path, extension):
    shape, affine = a_geometry
    image = np.random.default_rng(0).integers(0, 500, shape).astype(np.int16)
    node = add_volume_node(a_scene, image, affine, "v")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / f"heart{extension}"))
    assert storage.WriteData(node)
    loaded = load_volume(a_scene, tmp_path / f"heart{extension}")
    array, found = image_from_volume_node(loaded)
    assert loaded.GetName() == "heart"
    # Slicer turns the slices of a left-handed file round, its affine with them: so voxels are compared by place.
    to_original = np.linalg.inv(affine) @ found
    places = np.indices(array.shape).reshape(3, -1)
    originals = to_original[:3, :3] @ places + to_original[:3, 3:]
    np.testing.assert_allclose(originals, originals.round(), atol=1e-3)
    np.testing.assert_array_equal(array.ravel(), image[tuple(originals.round().astype(int))])


def test_a_volume_without_voxels_is_refused_by_name(a_scene):
    node = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    with pytest.raises(CardiacSegError, match="'hollow' has no voxels"):
        image_from_volume_node(node)


def test_a_volume_of_colors_is_refused_by_name(a_scene):
    image = vtk.vtkImageData()
    image.SetDimensions(2, 2, 2)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node = a_scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photograph")
    node.SetAndObserveImageData(image)
    with pytest.raises(CardiacSegError, match="'photograph' has several values a voxel"):
        image_from_volume_node(node)


@pytest.mark.parametrize("content", [None, b"", b"no image at all"])
def test_a_file_that_is_no_image_is_named_and_adds_no_node(a_scene, tmp_path, content):
    file = tmp_path / "heart.nii.gz"
    if content is not None:
        file.write_bytes(content)
    before = a_scene.GetNumberOfNodes()
    with pytest.raises(CardiacSegError, match=r"heart\.nii\.gz"):
        load_volume(a_scene, file)
    assert a_scene.GetNumberOfNodes() == before
