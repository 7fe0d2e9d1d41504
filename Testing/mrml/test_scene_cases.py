"""Volumes and segmentations of a scene become cases that training and evaluation read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
from vtk.util import numpy_support

from CardiacSegLib.anatomy import ACDC, CANONICAL
from CardiacSegLib.datasets import datalist
from CardiacSegLib.datasets.cases import read_case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.cases import Pair, export_cases, find_pairs
from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.mrml.volumes import add_volume_node, image_from_volume_node


def add_segment(node, volume, mask: np.ndarray, name: str) -> str:
    """Add a segment as other software would: with a name, an ID that means nothing, and no terminology."""
    image = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(volume)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(mask.T.astype(np.uint8).ravel(), deep=True))
    return node.AddSegmentFromBinaryLabelmapRepresentation(image, name)


@pytest.fixture
def an_empty_segmentation_node(a_scene, a_volume_node) -> slicer.vtkMRMLSegmentationNode:
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn by hand")
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume_node)
    return node


def half(volume, axis: int) -> np.ndarray:
    """The half of a volume that comes first along an axis."""
    array, _ = image_from_volume_node(volume)
    mask = np.zeros(array.shape, bool)
    mask[tuple(slice(size // 2) if index == axis else slice(None) for index, size in enumerate(array.shape))] = True
    return mask


class TestPairs:
    def test_are_segmentations_with_the_volume_that_they_were_drawn_on(self, a_scene, a_volume_node, some_labels):
        other = add_volume_node(a_scene, *image_from_volume_node(a_volume_node), "another volume")
        nodes = [add_segmentation_node(some_labels, volume) for volume in (other, a_volume_node)]
        found = find_pairs(a_scene)
        assert [(pair.volume.GetName(), pair.segmentation.GetName()) for pair in found] == [
            ("another volume", nodes[0].GetName()),
            ("a volume", nodes[1].GetName()),
        ]

    def test_leave_out_a_segmentation_that_knows_no_volume(self, a_scene, a_volume_node):
        a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "of nothing")
        assert find_pairs(a_scene) == []


class TestAnExport:
    @pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
    def test_reads_back_voxel_for_voxel(self, a_scene, a_geometry, tmp_path, extension):
        shape, affine = a_geometry
        rng = np.random.default_rng(5)
        array, labels = rng.integers(0, 900, shape).astype(np.int16), rng.integers(0, 4, shape).astype(np.uint8)
        add_segmentation_node(labels, add_volume_node(a_scene, array, affine, "heart"))

        path = export_cases(a_scene, None, tmp_path / "cases", extension=extension)

        (case,) = datalist.find_cases(path)
        image, found = read_case(case, CANONICAL)
        np.testing.assert_array_equal(image.array, array)
        np.testing.assert_allclose(image.affine, affine, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(found, labels)
        assert (case.patient, case.image.name) == ("heart", f"heart{extension}")
        assert datalist.recognizes(tmp_path / "cases")

    def test_is_of_one_patient_a_volume_unless_named(self, a_scene, a_volume_node, a_segmentation_node, tmp_path):
        nodes = (a_volume_node, a_segmentation_node)
        pairs = [Pair(*nodes), Pair(*nodes, "P 1", "ED", "DCM"), Pair(*nodes, "P 1", "ES", "DCM")]
        cases = datalist.find_cases(export_cases(a_scene, pairs, tmp_path))
        assert [(case.patient, case.phase, case.group) for case in cases] == [
            ("a volume", "", ""),
            ("P 1", "ED", "DCM"),
            ("P 1", "ES", "DCM"),
        ]
        assert cases[1].image.name == "P_1_ED.nrrd", "no blank in the names of files"

    def test_leaves_the_scene_as_it_was(self, a_scene, a_segmentation_node, tmp_path):
        before = a_scene.GetNumberOfNodes()
        export_cases(a_scene, None, tmp_path)
        assert a_scene.GetNumberOfNodes() == before

    def test_has_no_list_where_an_image_cannot_be_written(self, a_scene, a_segmentation_node, tmp_path):
        with pytest.raises(CardiacSegError, match=r"give a name that ends in \.nii\.gz"):
            export_cases(a_scene, None, tmp_path, extension=".png")
        assert not (tmp_path / "dataset.json").exists()


class TestStructures:
    def test_are_known_by_their_names_whatever_their_order(
        self, a_scene, a_volume_node, an_empty_segmentation_node, tmp_path
    ):
        masks = {"Right Ventricle": half(a_volume_node, 0), "left_atrium": ~half(a_volume_node, 0)}
        for name, mask in masks.items():
            add_segment(an_empty_segmentation_node, a_volume_node, mask, name)
        (case,) = datalist.find_cases(export_cases(a_scene, None, tmp_path))
        _, labels = read_case(case, {"RV": 1, "LA": 2})
        np.testing.assert_array_equal(labels == 1, masks["Right Ventricle"])
        np.testing.assert_array_equal(labels == 2, masks["left_atrium"])

    def test_are_known_by_their_terminology_before_their_names(
        self, a_scene, a_volume_node, a_segmentation_node, some_labels, tmp_path
    ):
        segment = a_segmentation_node.GetSegmentation().GetSegment("LV")
        segment.SetName("RV")
        a_segmentation_node.GetSegmentation().GetSegment("RV").SetName("the other one")
        (case,) = datalist.find_cases(export_cases(a_scene, None, tmp_path))
        np.testing.assert_array_equal(read_case(case, CANONICAL)[1], some_labels)

    def test_that_a_segmentation_has_not_are_not_in_its_convention(self, a_scene, a_volume_node, some_labels, tmp_path):
        two = add_volume_node(a_scene, *image_from_volume_node(a_volume_node), "two structures")
        add_segmentation_node(some_labels, a_volume_node, ACDC)
        add_segmentation_node(np.minimum(some_labels, 2), two, {"LV": 1, "MYO": 2})
        cases = datalist.find_cases(export_cases(a_scene, None, tmp_path))
        assert [set(case.convention) for case in cases] == [{"LV", "MYO", "RV"}, {"LV", "MYO"}]

    def test_lie_over_the_myocardium_where_segments_overlap(
        self, a_scene, a_volume_node, an_empty_segmentation_node, tmp_path
    ):
        cavity = half(a_volume_node, 0)
        add_segment(an_empty_segmentation_node, a_volume_node, cavity, "LV")
        add_segment(an_empty_segmentation_node, a_volume_node, np.ones_like(cavity), "Myocardium")
        (case,) = datalist.find_cases(export_cases(a_scene, None, tmp_path))
        _, labels = read_case(case, CANONICAL)
        np.testing.assert_array_equal(labels, np.where(cavity, 1, 2))

    def test_that_are_not_known_are_left_out_with_a_word(
        self, a_scene, a_volume_node, a_segmentation_node, some_labels, tmp_path
    ):
        add_segment(a_segmentation_node, a_volume_node, half(a_volume_node, 1), "Scar")
        add_segment(a_segmentation_node, a_volume_node, half(a_volume_node, 2), "Liver")
        said: list[str] = []
        (case,) = datalist.find_cases(export_cases(a_scene, None, tmp_path, tell=said.append))
        assert said == ["segmentation 'a volume segmentation': left out Scar, Liver, which are none of LV, MYO, RV, LA"]
        np.testing.assert_array_equal(read_case(case, CANONICAL)[1], some_labels)


class TestWhatCannotBeExported:
    def refused(self, scene, pairs, folder: Path, message: str) -> None:
        with pytest.raises(CardiacSegError, match=message):
            export_cases(scene, pairs, folder)
        assert not list(folder.iterdir()), "nothing is written"

    def test_is_a_scene_without_a_segmentation(self, a_scene, a_volume_node, tmp_path):
        self.refused(a_scene, None, tmp_path, "no volume of the scene has a segmentation")

    def test_is_a_volume_without_one(self, a_scene, a_volume_node, tmp_path):
        self.refused(a_scene, [Pair(a_volume_node, None)], tmp_path, "volume 'a volume' has no segmentation")

    def test_is_a_segmentation_without_a_known_structure(
        self, a_scene, a_volume_node, an_empty_segmentation_node, tmp_path
    ):
        add_segment(an_empty_segmentation_node, a_volume_node, half(a_volume_node, 0), "Scar")
        self.refused(a_scene, None, tmp_path, "'drawn by hand' has no segment of a known structure; give one the name")

    def test_is_one_structure_in_two_segments(self, a_scene, a_volume_node, an_empty_segmentation_node, tmp_path):
        for name in ("LV", "left ventricle"):
            add_segment(an_empty_segmentation_node, a_volume_node, half(a_volume_node, 0), name)
        self.refused(a_scene, None, tmp_path, "segments 'LV' and 'left ventricle' are both LV; leave one")

    def test_is_a_segmentation_without_a_voxel(self, a_scene, a_volume_node, some_labels, tmp_path):
        add_segmentation_node(0 * some_labels, a_volume_node)
        self.refused(a_scene, None, tmp_path, "has no voxel on volume 'a volume'")

    def test_are_two_cases_of_one_name(self, a_scene, a_volume_node, a_segmentation_node, some_labels, tmp_path):
        add_segmentation_node(some_labels, a_volume_node)
        self.refused(a_scene, None, tmp_path, "two cases are called a_volume; name a patient and a phase for each")
