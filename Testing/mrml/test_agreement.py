"""The engine places every file where Slicer's own reader places it, and Slicer opens what the engine writes."""

from __future__ import annotations

from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import slicer
import vtk

from CardiacSegLib.anatomy import ACDC, CANONICAL, STRUCTURES
from CardiacSegLib.images import Image, read_image, write_image, write_labels
from CardiacSegLib.mrml.segmentations import labels_from_segmentation_node
from CardiacSegLib.mrml.storage import load_segmentation, load_volume
from CardiacSegLib.mrml.volumes import image_from_volume_node
from CardiacSegLib.terminology import TAG_NAME, terminology_entry


def some_voxels(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(5).permutation(np.prod(shape)).reshape(shape).astype(np.int16)


def assert_same_places(image: Image, array: np.ndarray, affine: np.ndarray) -> None:
    """Every voxel of the file at the same place in space, in whatever order Slicer keeps them."""
    np.testing.assert_array_equal(np.sort(array, axis=None), np.sort(image.array, axis=None))
    by_value = np.argsort(image.array, axis=None), np.argsort(array, axis=None)
    places = []
    for order, (voxels, matrix) in zip(by_value, ((image.array, image.affine), (array, affine))):
        indices = np.stack(np.unravel_index(order, voxels.shape))
        places.append(matrix[:3, :3] @ indices + matrix[:3, 3:])
    np.testing.assert_allclose(*places, atol=1e-3)


def nifti_file(path: Path, array: np.ndarray, spacing, sform=None, qform=None) -> Path:
    """A NIfTI file with just the forms given, each (matrix, code)."""
    nifti = nibabel.Nifti1Image(array, None)
    nifti.header.set_zooms(spacing)
    nifti.header.set_xyzt_units("mm")
    if sform:
        nifti.header.set_sform(*sform)
    if qform:
        nifti.header.set_qform(*qform)
    nifti._affine = None  # or nibabel would tidy the header up
    nibabel.save(nifti, path)
    return path


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd"])
def test_an_image_that_the_engine_wrote_lies_alike_in_both(a_scene, a_geometry, tmp_path, extension):
    shape, affine = a_geometry
    write_image(tmp_path / f"heart{extension}", Image(some_voxels(shape), affine))
    array, place = image_from_volume_node(load_volume(a_scene, tmp_path / f"heart{extension}"))
    assert_same_places(read_image(tmp_path / f"heart{extension}"), array, place)


@pytest.mark.parametrize("forms", ["both", "sform", "qform", "neither", "disagreeing"])
def test_a_nifti_header_means_the_same_to_both(a_scene, a_geometry, tmp_path, forms):
    shape, affine = a_geometry
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    other = np.diag([*spacing, 1.0])
    sform, qform = {
        "both": ((affine, 1), (affine, 1)),
        "sform": ((affine, 2), None),
        "qform": (None, (affine, 1)),
        "neither": (None, None),
        "disagreeing": ((affine, 1), (other, 1)),
    }[forms]
    file = nifti_file(tmp_path / "heart.nii", some_voxels(shape), spacing, sform, qform)
    array, place = image_from_volume_node(load_volume(a_scene, file))
    assert_same_places(read_image(file), array, place)


def test_the_header_of_acdc_means_its_true_spacing_to_both(a_scene, tmp_path):
    """pixdim tells the truth, the sform does not."""
    file = nifti_file(
        tmp_path / "heart.nii.gz", some_voxels((9, 8, 4)), (1.5625, 1.5625, 10.0), (np.diag([-1.0, -1.0, 1.0, 1.0]), 2)
    )
    array, place = image_from_volume_node(load_volume(a_scene, file))
    image = read_image(file)
    assert_same_places(image, array, place)
    assert abs(np.linalg.det(image.affine)) == pytest.approx(1.5625 * 1.5625 * 10.0)


@pytest.mark.parametrize("affine", [np.diag([-1.3, -1.5, 8.0, 1.0]), np.diag([1.3, -1.5, 8.0, 1.0])])
def test_an_image_of_two_dimensions_lies_alike_in_both_and_so_do_its_labels(a_scene, tmp_path, affine):
    nibabel.save(nibabel.Nifti1Image(some_voxels((6, 5)), affine), tmp_path / "flat.nii.gz")
    image = read_image(tmp_path / "flat.nii.gz")
    write_labels(tmp_path / "labels.nii.gz", (image.array % 4).astype(np.uint8), image, CANONICAL)
    places = [
        image_from_volume_node(load_volume(a_scene, tmp_path / name)) for name in ("flat.nii.gz", "labels.nii.gz")
    ]
    assert_same_places(image, *places[0])
    np.testing.assert_array_equal(places[1][1], places[0][1])
    np.testing.assert_array_equal(places[1][0], places[0][0] % 4)


@pytest.mark.parametrize(
    "header", [{"spacings": [1.3, 1.5, 8.0]}, {"space": "RAS", "space directions": np.diag([1.3, 1.5, 8.0])}]
)
def test_a_nrrd_header_means_the_same_to_both(a_scene, tmp_path, header):
    nrrd.write(str(tmp_path / "heart.nrrd"), some_voxels((6, 5, 4)), header)
    array, place = image_from_volume_node(load_volume(a_scene, tmp_path / "heart.nrrd"))
    assert_same_places(read_image(tmp_path / "heart.nrrd"), array, place)


@pytest.mark.data
def test_a_real_acdc_volume_lies_alike_in_both_with_its_true_milliliters(a_scene, acdc_training, tmp_path):
    for patient in ("patient001", "patient042", "patient100"):
        for file in sorted((acdc_training / patient).glob("*_frame*_gt.nii.gz")):
            image = read_image(file)
            array, place = image_from_volume_node(load_volume(a_scene, file))
            np.testing.assert_array_equal(array, image.array)
            np.testing.assert_allclose(place, image.affine, atol=1e-5)
            milliliters = abs(np.linalg.det(image.affine)) / 1000 * np.count_nonzero(image.array == ACDC["LV"])
            assert milliliters == pytest.approx(
                np.prod(nibabel.load(file).header["pixdim"][1:4]) / 1000 * np.count_nonzero(array == ACDC["LV"]),
                rel=1e-5,
            )
            assert 15 < milliliters < 500


class TestASegmentationFileOfTheEngine:
    @pytest.fixture
    def a_loaded_file(self, a_scene, a_geometry, tmp_path):
        shape, affine = a_geometry
        image = Image(some_voxels(shape), affine)
        labels = (image.array % 4).astype(np.uint8)
        write_labels(tmp_path / "heart.seg.nrrd", labels, image, ACDC)
        write_image(tmp_path / "heart.nrrd", image)
        node = load_segmentation(a_scene, tmp_path / "heart.seg.nrrd")
        return node, load_volume(a_scene, tmp_path / "heart.nrrd"), labels

    def test_has_the_three_structures_by_name_color_and_code(self, a_loaded_file):
        segmentation = a_loaded_file[0].GetSegmentation()
        assert segmentation.GetNumberOfSegments() == 3
        for name in ACDC:
            segment, structure = segmentation.GetSegment(name), STRUCTURES[name]
            assert segment.GetName() == name
            assert segment.GetLabelValue() == ACDC[name]
            np.testing.assert_allclose(segment.GetColor(), np.array(structure.color) / 255, atol=1e-4)
            tag = vtk.reference("")
            assert segment.GetTag(TAG_NAME, tag)
            assert segment.GetTerminologyEntryTagName() == TAG_NAME
            assert str(tag) == terminology_entry(structure)

    def test_has_its_voxels_where_the_image_has_them(self, a_loaded_file):
        node, volume, labels = a_loaded_file
        voxels, _ = image_from_volume_node(volume)
        np.testing.assert_array_equal(labels_from_segmentation_node(node, volume, ACDC), voxels % 4)
        assert labels.any()


def test_an_empty_segmentation_file_of_the_engine_opens_too(a_scene, tmp_path):
    image = Image(some_voxels((6, 5, 4)), np.diag([1.3, 1.5, 8.0, 1.0]))
    write_labels(tmp_path / "heart.seg.nrrd", np.zeros((6, 5, 4), np.uint8), image, CANONICAL)
    segmentation = load_segmentation(a_scene, tmp_path / "heart.seg.nrrd").GetSegmentation()
    assert [segmentation.GetNthSegmentID(index) for index in range(3)] == list(CANONICAL)
    assert isinstance(segmentation, slicer.vtkSegmentation)
