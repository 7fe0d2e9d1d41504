from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import slicer
import vtk
from vtk.util import numpy_support

from CardiacSegLib.anatomy import ACDC, CAMUS, CANONICAL, STRUCTURES
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.grids import Grid, labels_on_grid
from CardiacSegLib.mrml.nodes import node_ids
from CardiacSegLib.mrml.pieces import finished
from CardiacSegLib.mrml.segmentations import (
    SegmentationLogic,
    add_segmentation_node,
    fill_segmentation_node,
    labels_from_segmentation_node,
    segmentation_node_in_pieces,
)
from CardiacSegLib.mrml.segments import segmentation_in_pieces
from CardiacSegLib.mrml.storage import create_scene, load_segmentation, save_segmentation
from CardiacSegLib.mrml.volumes import add_volume_node, affine_of_volume_node, image_from_volume_node


class BrightnessSegmenter:
    """Calls voxels by their brightness; what it was asked stays to be looked at."""

    convention = CANONICAL

    def segment(self, array: np.ndarray, affine: np.ndarray) -> np.ndarray:
        self.affine = affine
        return (array // 250).clip(0, 3).astype(np.uint8)


def segment_ids(node) -> list[str]:
    return list(node.GetSegmentation().GetSegmentIDs())


def a_transform(scene, *angles: float):
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "where the patient lies")
    transform = vtk.vtkTransform()
    transform.Translate(5, -7, 11)
    transform.RotateX(angles[0])
    transform.RotateZ(angles[1])
    node.SetMatrixTransformToParent(transform.GetMatrix())
    return node


def draw_by_hand(node, mask: np.ndarray) -> str:
    """Add a segment as a person does in Segment Editor: in the layer of the others where it does not overlap them."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation("LV", image)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(mask.T.astype(np.uint8).ravel(), deep=True))
    segment_id = node.AddSegmentFromBinaryLabelmapRepresentation(image, "Scar")
    node.GetSegmentation().CollapseBinaryLabelmaps(False)
    return segment_id


class TestRoundTrip:
    def test_labels_come_back_voxel_for_voxel(self, a_scene, a_geometry):
        shape, affine = a_geometry
        labels = np.random.default_rng(3).integers(0, 4, shape).astype(np.uint8)
        volume = add_volume_node(a_scene, np.zeros(shape, np.int16), affine, "v")
        node = add_segmentation_node(labels, volume)
        np.testing.assert_array_equal(labels_from_segmentation_node(node, volume), labels)

    def test_also_through_a_file(self, a_scene, a_geometry, tmp_path):
        shape, affine = a_geometry
        labels = np.random.default_rng(4).integers(0, 4, shape).astype(np.uint8)
        volume = add_volume_node(a_scene, np.zeros(shape, np.int16), affine, "v")
        file = save_segmentation(add_segmentation_node(labels, volume), tmp_path / "heart.seg.nrrd")
        loaded = load_segmentation(create_scene(), file)
        assert segment_ids(loaded) == ["LV", "MYO", "RV"]
        other_scene = loaded.GetScene()
        volume = add_volume_node(other_scene, np.zeros(shape, np.int16), affine, "v")
        np.testing.assert_array_equal(labels_from_segmentation_node(loaded, volume), labels)

    def test_the_grid_is_that_of_the_volume_to_the_last_bit(self, a_scene, a_geometry):
        shape, affine = a_geometry
        volume = add_volume_node(a_scene, np.zeros(shape, np.int16), affine, "v")
        node = add_segmentation_node(np.ones(shape, np.uint8), volume)
        image = slicer.vtkOrientedImageData()
        assert node.GetBinaryLabelmapRepresentation("LV", image)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        found = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        np.testing.assert_array_equal(found, affine_of_volume_node(volume))
        assert image.GetDimensions() == shape

    def test_another_numbering_comes_back_in_the_one_asked_for(self, a_volume_node, some_labels):
        node = add_segmentation_node(some_labels, a_volume_node, ACDC)
        np.testing.assert_array_equal(labels_from_segmentation_node(node, a_volume_node, ACDC), some_labels)
        canonical = labels_from_segmentation_node(node, a_volume_node)
        np.testing.assert_array_equal(canonical == CANONICAL["RV"], some_labels == ACDC["RV"])

    def test_a_renamed_segment_is_found_by_its_id(self, a_segmentation_node, a_volume_node, some_labels):
        a_segmentation_node.GetSegmentation().GetSegment("LV").SetName("Left ventricle")
        np.testing.assert_array_equal(labels_from_segmentation_node(a_segmentation_node, a_volume_node), some_labels)

    def test_no_temporary_node_remains(self, a_segmentation_node, a_volume_node):
        before = node_ids(a_volume_node.GetScene())
        labels_from_segmentation_node(a_segmentation_node, a_volume_node)
        assert node_ids(a_volume_node.GetScene()) == before

    def test_also_where_the_export_fails(self, a_segmentation_node, a_volume_node, monkeypatch):
        failing = SimpleNamespace(ExportSegmentsToLabelmapNode=lambda *_: False)
        monkeypatch.setattr(slicer, "vtkSlicerSegmentationsModuleLogic", failing)
        before = node_ids(a_volume_node.GetScene())
        with pytest.raises(CardiacSegError, match="cannot be brought to the grid"):
            labels_from_segmentation_node(a_segmentation_node, a_volume_node)
        assert node_ids(a_volume_node.GetScene()) == before


class TestSegments:
    def test_each_structure_is_a_segment_with_its_name_and_color(self, a_segmentation_node):
        assert segment_ids(a_segmentation_node) == ["LV", "MYO", "RV"]
        for name in CANONICAL:
            segment = a_segmentation_node.GetSegmentation().GetSegment(name)
            assert segment.GetName() == name
            np.testing.assert_allclose(np.array(segment.GetColor()) * 255, STRUCTURES[name].color)

    def test_a_structure_that_is_not_there_is_an_empty_segment(self, a_volume_node, some_labels):
        node = add_segmentation_node(np.where(some_labels == 3, 0, some_labels), a_volume_node)
        assert segment_ids(node) == ["LV", "MYO", "RV"]
        assert not (labels_from_segmentation_node(node, a_volume_node) == 3).any()

    def test_where_there_is_no_heart_empty_segments_can_be_saved(self, a_volume_node, some_labels, tmp_path):
        node = add_segmentation_node(np.zeros_like(some_labels), a_volume_node, closed_surface=True)
        file = save_segmentation(node, tmp_path / "nothing.seg.nrrd")
        loaded = load_segmentation(a_volume_node.GetScene(), file)
        assert segment_ids(loaded) == ["LV", "MYO", "RV"]
        assert not labels_from_segmentation_node(loaded, a_volume_node).any()

    def test_binary_labelmap_is_the_source_and_all_share_one_layer(self, a_segmentation_node):
        segmentation = a_segmentation_node.GetSegmentation()
        assert segmentation.GetSourceRepresentationName() == "Binary labelmap"
        assert segmentation.GetNumberOfLayers() == 1

    def test_the_volume_is_the_reference_geometry(self, a_segmentation_node, a_volume_node):
        role = a_segmentation_node.GetReferenceImageGeometryReferenceRole()
        assert a_segmentation_node.GetNodeReferenceID(role) == a_volume_node.GetID()

    def test_surfaces_are_made_when_asked_for(self, a_volume_node, some_labels):
        node = add_segmentation_node(some_labels, a_volume_node, closed_surface=True, smoothing=0.2)
        assert node.GetClosedSurfaceInternalRepresentation("MYO").GetNumberOfPoints() > 0
        assert node.GetSegmentation().GetConversionParameter("Smoothing factor") == "0.2"

    def test_and_not_otherwise(self, a_segmentation_node):
        assert not a_segmentation_node.GetSegmentation().ContainsRepresentation("Closed surface")

    def test_smoothing_moves_the_surface(self, a_volume_node, some_labels):
        blob = np.zeros_like(some_labels)
        blob[3:9, 3:8, 1:4] = 1
        areas = []
        for smoothing in (0.0, 0.8):
            node = add_segmentation_node(blob, a_volume_node, closed_surface=True, smoothing=smoothing)
            properties = vtk.vtkMassProperties()
            properties.SetInputData(node.GetClosedSurfaceInternalRepresentation("LV"))
            areas.append(properties.GetSurfaceArea())
        assert areas[1] < areas[0]


class TestReplacement:
    def test_a_second_result_takes_the_place_of_the_first(self, a_segmentation_node, a_volume_node, some_labels):
        other = (3 - some_labels).astype(np.uint8)
        fill_segmentation_node(a_segmentation_node, other, a_volume_node)
        assert segment_ids(a_segmentation_node) == ["LV", "MYO", "RV"]
        assert a_segmentation_node.GetSegmentation().GetNumberOfLayers() == 1
        np.testing.assert_array_equal(labels_from_segmentation_node(a_segmentation_node, a_volume_node), other)

    def test_also_where_the_model_knows_other_structures(self, a_segmentation_node, a_volume_node, some_labels):
        fill_segmentation_node(a_segmentation_node, some_labels, a_volume_node, CAMUS)
        assert segment_ids(a_segmentation_node) == ["LV", "MYO", "LA"]

    def test_also_where_the_volume_is_another_one(self, a_segmentation_node, a_scene):
        volume = add_volume_node(a_scene, np.zeros((4, 5, 6), np.int16), np.diag([2, 2, 2, 1]), "other")
        labels = np.random.default_rng(5).integers(0, 4, (4, 5, 6)).astype(np.uint8)
        fill_segmentation_node(a_segmentation_node, labels, volume)
        np.testing.assert_array_equal(labels_from_segmentation_node(a_segmentation_node, volume), labels)

    @pytest.mark.parametrize("overlapping", [False, True])
    def test_what_a_person_drew_stays(self, a_segmentation_node, a_volume_node, some_labels, overlapping):
        scar = np.zeros(some_labels.shape, bool)
        scar[2:8, 2:8, 1] = overlapping | (some_labels[2:8, 2:8, 1] == 0)
        scar_id = draw_by_hand(a_segmentation_node, scar)
        assert a_segmentation_node.GetSegmentation().GetNumberOfLayers() == (2 if overlapping else 1)
        other = (3 - some_labels).astype(np.uint8)
        fill_segmentation_node(a_segmentation_node, other, a_volume_node)
        assert segment_ids(a_segmentation_node) == ["LV", "MYO", "RV", scar_id]
        drawn = slicer.vtkOrientedImageData()
        a_segmentation_node.GetBinaryLabelmapRepresentation(scar_id, drawn)
        voxels = numpy_support.vtk_to_numpy(drawn.GetPointData().GetScalars())
        assert np.count_nonzero(voxels) == scar.sum()
        np.testing.assert_array_equal(labels_from_segmentation_node(a_segmentation_node, a_volume_node), other)

    def test_how_a_person_shows_a_segment_stays(self, a_segmentation_node, a_volume_node, some_labels):
        display = a_segmentation_node.GetDisplayNode()
        display.SetSegmentOpacity3D("LV", 0.3)
        display.SetSegmentVisibility("RV", False)
        fill_segmentation_node(a_segmentation_node, some_labels, a_volume_node)
        assert display.GetSegmentOpacity3D("LV") == pytest.approx(0.3)
        assert not display.GetSegmentVisibility("RV")
        assert display.GetSegmentVisibility("MYO")

    def test_surfaces_that_were_shown_follow(self, a_volume_node, some_labels):
        node = add_segmentation_node(some_labels, a_volume_node, closed_surface=True)
        fill_segmentation_node(node, np.zeros_like(some_labels), a_volume_node)
        surface = node.GetClosedSurfaceInternalRepresentation("LV")
        assert surface is None or surface.GetNumberOfPoints() == 0

    def test_surfaces_as_source_are_turned_back(self, a_volume_node, some_labels):
        node = add_segmentation_node(some_labels, a_volume_node, closed_surface=True)
        node.SetSourceRepresentationToClosedSurface()
        fill_segmentation_node(node, some_labels, a_volume_node)
        assert node.GetSegmentation().GetSourceRepresentationName() == "Binary labelmap"
        np.testing.assert_array_equal(labels_from_segmentation_node(node, a_volume_node), some_labels)


class TestTransform:
    def test_the_result_follows_the_volume(self, a_scene, a_volume_node, some_labels):
        transform = a_transform(a_scene, 20, 35)
        a_volume_node.SetAndObserveTransformNodeID(transform.GetID())
        node = add_segmentation_node(some_labels, a_volume_node)
        assert node.GetTransformNodeID() == transform.GetID()
        np.testing.assert_array_equal(labels_from_segmentation_node(node, a_volume_node), some_labels)
        transform.SetMatrixTransformToParent(vtk.vtkMatrix4x4())
        np.testing.assert_array_equal(labels_from_segmentation_node(node, a_volume_node), some_labels)

    def test_and_leaves_the_transform_of_an_earlier_volume(
        self, a_scene, a_segmentation_node, a_volume_node, some_labels
    ):
        a_segmentation_node.SetAndObserveTransformNodeID(a_transform(a_scene, 10, 0).GetID())
        fill_segmentation_node(a_segmentation_node, some_labels, a_volume_node)
        assert a_segmentation_node.GetTransformNodeID() is None


class TestFailure:
    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda labels: labels[1:], "do not fit volume 'a volume'"),
            (lambda labels: labels.astype(float), "float64, not integers"),
            (lambda labels: labels + 7, "label values .* not in the convention"),
        ],
    )
    def test_nothing_changes(self, a_segmentation_node, a_volume_node, some_labels, spoil, message):
        before = node_ids(a_volume_node.GetScene())
        with pytest.raises(CardiacSegError, match=message):
            fill_segmentation_node(a_segmentation_node, spoil(some_labels), a_volume_node)
        with pytest.raises(CardiacSegError, match=message):
            add_segmentation_node(spoil(some_labels), a_volume_node)
        np.testing.assert_array_equal(labels_from_segmentation_node(a_segmentation_node, a_volume_node), some_labels)
        assert node_ids(a_volume_node.GetScene()) == before

    def test_not_even_where_surfaces_cannot_be_made(self, a_segmentation_node, a_volume_node, some_labels, monkeypatch):
        class Segmentation(slicer.vtkSegmentation):
            def CreateRepresentation(self, *_):  # noqa: N802
                return False

        monkeypatch.setattr(slicer, "vtkSegmentation", Segmentation)
        with pytest.raises(CardiacSegError, match="surfaces cannot be made"):
            fill_segmentation_node(a_segmentation_node, 0 * some_labels, a_volume_node, closed_surface=True)
        np.testing.assert_array_equal(labels_from_segmentation_node(a_segmentation_node, a_volume_node), some_labels)

    def test_a_file_that_cannot_be_written_is_named(self, a_segmentation_node, tmp_path):
        with pytest.raises(CardiacSegError, match=r"absent/heart\.seg\.nrrd: cannot be written"):
            save_segmentation(a_segmentation_node, tmp_path / "absent" / "heart.seg.nrrd")
        with pytest.raises(CardiacSegError, match=r"does not end in \.seg\.nrrd"):
            save_segmentation(a_segmentation_node, tmp_path / "heart.nii.gz")
        assert not list(tmp_path.iterdir())


class TestLogic:
    def test_a_volume_becomes_a_segmentation(self, a_volume_node):
        segmenter = BrightnessSegmenter()
        node = SegmentationLogic(segmenter).segment(a_volume_node)
        array, affine = image_from_volume_node(a_volume_node)
        np.testing.assert_array_equal(segmenter.affine, affine)
        expected = segmenter.segment(array, affine)
        np.testing.assert_array_equal(labels_from_segmentation_node(node, a_volume_node), expected)
        assert node.GetDisplayNode() is not None

    def test_the_same_node_is_used_again(self, a_volume_node):
        logic = SegmentationLogic(BrightnessSegmenter())
        node = logic.segment(a_volume_node)
        before = node_ids(a_volume_node.GetScene())
        assert logic.segment(a_volume_node, node) is node
        assert node_ids(a_volume_node.GetScene()) == before

    def test_a_segmenter_that_fails_leaves_no_node_behind(self, a_volume_node):
        class Failing(BrightnessSegmenter):
            def segment(self, array, affine):
                raise CardiacSegError("no heart here")

        before = node_ids(a_volume_node.GetScene())
        with pytest.raises(CardiacSegError, match="no heart here"):
            SegmentationLogic(Failing()).segment(a_volume_node)
        assert node_ids(a_volume_node.GetScene()) == before


def volumes_ml(segmentation, volume_node) -> dict[str, float]:
    """What is told of each segment beside its part of the grid."""
    return labels_on_grid(segmentation, Grid.of_volume(volume_node)).own_ml


class TestVolumes:
    def test_are_counted_voxels_in_milliliters(self, a_segmentation_node, a_volume_node, some_labels):
        voxel_ml = np.prod(a_volume_node.GetSpacing()) / 1000
        expected = {name: np.count_nonzero(some_labels == number) * voxel_ml for name, number in CANONICAL.items()}
        assert volumes_ml(a_segmentation_node.GetSegmentation(), a_volume_node) == pytest.approx(expected)

    def test_count_each_segment_in_full_where_two_overlap(self, a_segmentation_node, a_volume_node, some_labels):
        segmentation = a_segmentation_node.GetSegmentation()
        before = volumes_ml(segmentation, a_volume_node)
        segmentation.RemoveSegment("RV")
        everything = draw_by_hand(a_segmentation_node, np.ones(some_labels.shape, bool))
        segmentation.GetSegment(everything).SetName("RV")
        after = volumes_ml(segmentation, a_volume_node)
        assert (after["LV"], after["MYO"]) == (before["LV"], before["MYO"])
        assert after["RV"] == pytest.approx(some_labels.size * np.prod(a_volume_node.GetSpacing()) / 1000)

    def test_are_none_without_a_structure(self, a_scene, a_volume_node):
        node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
        assert volumes_ml(node.GetSegmentation(), a_volume_node) == {}


def test_a_segmentation_is_made_from_labels_beside_what_was_there(a_segmentation_node, a_volume_node, some_labels):
    earlier = a_segmentation_node.GetSegmentation()
    scar = draw_by_hand(a_segmentation_node, some_labels == 0)
    volumes = volumes_ml(earlier, a_volume_node)
    made = finished(segmentation_in_pieces(0 * some_labels, a_volume_node, earlier=earlier))
    assert list(made.GetSegmentIDs()) == ["LV", "MYO", "RV", scar]
    assert set(volumes_ml(made, a_volume_node).values()) == {0.0}
    assert volumes_ml(earlier, a_volume_node) == volumes


class TestSurfaces:
    @pytest.fixture
    def a_heart(self, some_labels) -> np.ndarray:
        """A cavity in a wall, and nothing of the right ventricle."""
        labels = np.zeros_like(some_labels)
        labels[2:10, 2:8, 1:4] = CANONICAL["MYO"]
        labels[4:8, 4:6, 1:4] = CANONICAL["LV"]
        return labels

    def test_are_those_that_slicer_makes(self, a_heart, a_volume_node):
        node = add_segmentation_node(a_heart, a_volume_node, closed_surface=True, smoothing=0.3)
        points = {name: surface_points(node, name) for name in CANONICAL}
        assert node.GetSegmentation().CreateRepresentation("Closed surface", True)
        for name in CANONICAL:
            np.testing.assert_array_equal(points[name], surface_points(node, name))
        assert [len(points[name]) > 0 for name in CANONICAL] == [True, True, False]

    def test_are_of_what_a_person_drew_too(self, a_heart, a_volume_node):
        node = add_segmentation_node(a_heart, a_volume_node)
        scar = draw_by_hand(node, a_heart == 0)
        fill_segmentation_node(node, a_heart, a_volume_node, closed_surface=True)
        assert len(surface_points(node, scar)) > 0

    def test_follow_a_segmentation_that_has_some(self, a_heart, a_volume_node):
        node = add_segmentation_node(a_heart, a_volume_node, closed_surface=True)
        before = surface_points(node, "LV")
        fill_segmentation_node(node, np.roll(a_heart, 1, axis=0), a_volume_node)
        assert not np.array_equal(before, surface_points(node, "LV"))

    def test_fit_without_gaps_where_a_person_wants_them_to(self, a_heart, a_volume_node):
        node = add_segmentation_node(a_heart, a_volume_node)
        node.GetSegmentation().SetConversionParameter("Joint smoothing", "1")
        fill_segmentation_node(node, a_heart, a_volume_node, closed_surface=True)
        points = surface_points(node, "LV")
        assert node.GetSegmentation().CreateRepresentation("Closed surface", True)
        np.testing.assert_array_equal(points, surface_points(node, "LV"))


class TestInPieces:
    def test_the_scene_is_as_it_was_where_they_are_closed(self, a_volume_node, some_labels):
        before = node_ids(a_volume_node.GetScene())
        pieces = segmentation_node_in_pieces(some_labels, a_volume_node, closed_surface=True)
        next(pieces)
        pieces.close()
        assert node_ids(a_volume_node.GetScene()) == before

    def test_what_a_person_draws_meanwhile_is_kept(self, a_segmentation_node, a_volume_node, some_labels):
        arguments = (some_labels, a_volume_node, CANONICAL, a_segmentation_node, True)
        pieces = segmentation_node_in_pieces(*arguments)
        next(pieces)
        scar = draw_by_hand(a_segmentation_node, some_labels == 0)
        finished(pieces)
        assert segment_ids(a_segmentation_node) == ["LV", "MYO", "RV", scar]

    def test_a_volume_that_is_removed_meanwhile_is_an_error(self, a_scene, a_volume_node, some_labels):
        pieces = segmentation_node_in_pieces(some_labels, a_volume_node, closed_surface=True)
        next(pieces)
        a_scene.RemoveNode(a_volume_node)
        before = node_ids(a_scene)
        with pytest.raises(CardiacSegError, match="volume 'a volume' is in the scene no more"):
            finished(pieces)
        assert node_ids(a_scene) == before

    def test_a_segmentation_that_is_removed_meanwhile_gives_way_to_a_new_one(
        self, a_scene, a_segmentation_node, a_volume_node, some_labels
    ):
        pieces = segmentation_node_in_pieces(some_labels, a_volume_node, CANONICAL, a_segmentation_node, True)
        next(pieces)
        a_scene.RemoveNode(a_segmentation_node)
        node = finished(pieces)
        assert node.GetScene() is a_scene
        np.testing.assert_array_equal(labels_from_segmentation_node(node, a_volume_node), some_labels)


def surface_points(node, segment_id: str) -> np.ndarray:
    """Corners of a segment's surface (N, 3), mm."""
    surface = node.GetSegmentation().GetSegment(segment_id).GetRepresentation("Closed surface")
    points = surface.GetPoints()
    return numpy_support.vtk_to_numpy(points.GetData()) if points and points.GetNumberOfPoints() else np.zeros((0, 3))
