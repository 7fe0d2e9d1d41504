"""The doubt of a segmentation in a scene: over the image when it is asked for, and slices to jump to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.browsers import proxy_of
from CardiacSegLib.mrml.doubt import (
    OPACITY,
    doubt_node,
    expected_dice,
    has_doubt,
    is_doubt_shown,
    jump_to,
    least_sure_frame,
    remove_doubt,
    set_doubt,
    show_doubt,
    slices_to_check,
)
from CardiacSegLib.mrml.doubt_sequences import doubt_frames_in_pieces, set_cine_doubt
from CardiacSegLib.mrml.outcomes import outcome_in_pieces
from CardiacSegLib.mrml.pictures import PICTURE_VIEW
from CardiacSegLib.mrml.pieces import Work, finished
from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.mrml.sequences import add_cine, show_frame
from CardiacSegLib.mrml.storage import create_scene, load_scene, save_scene
from CardiacSegLib.mrml.volumes import add_volume_node, affine_of_volume_node, image_from_volume_node

FIELDS = {
    "predicted_dice": {"LV": 0.95, "MYO": 0.9, "RV": None},
    "slices": [{"text": "Slice 1 from the base: RV may be missing", "center": [3.0, 4.0, 50.0]}],
}


@pytest.fixture
def some_doubt(a_volume_node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    shape = a_volume_node.GetImageData().GetDimensions()
    return np.random.default_rng(3).random(shape).astype(np.float32)


def a_view(scene: slicer.vtkMRMLScene, name: str, background: str | None) -> slicer.vtkMRMLSliceCompositeNode:
    node = slicer.vtkMRMLSliceCompositeNode()
    node.SetLayoutName(name)
    node = scene.AddNode(node)
    node.SetBackgroundVolumeID(background)
    return node


def a_slice_node(scene: slicer.vtkMRMLScene, name: str) -> slicer.vtkMRMLSliceNode:
    node = slicer.vtkMRMLSliceNode()
    node.SetLayoutName(name)
    node = scene.AddNode(node)
    node.SetOrientationToAxial()
    return node


def test_it_lies_on_the_voxels_of_its_image(a_volume_node, some_doubt):
    node = set_doubt(a_volume_node, some_doubt, FIELDS)
    array, affine = image_from_volume_node(node)
    np.testing.assert_array_equal(array, some_doubt)
    np.testing.assert_allclose(affine, affine_of_volume_node(a_volume_node))
    assert doubt_node(a_volume_node) is node


def test_it_moves_with_its_image(a_scene, a_volume_node, some_doubt):
    transform = a_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    a_volume_node.SetAndObserveTransformNodeID(transform.GetID())
    assert set_doubt(a_volume_node, some_doubt, FIELDS).GetTransformNodeID() == transform.GetID()


def test_it_is_clear_where_the_model_is_sure_and_bright_where_it_is_not(a_volume_node, some_doubt):
    some_doubt[:] = 0.0
    some_doubt[6:] = 1.0
    display = set_doubt(a_volume_node, some_doubt, FIELDS).GetDisplayNode()
    display.UpdateImageDataPipeline()
    connection = display.GetImageDataConnection()
    connection.GetProducer().Update()
    colors = connection.GetProducer().GetOutputDataObject(0)
    sure, unsure = (
        [colors.GetScalarComponentAsDouble(*place, channel) for channel in range(4)]
        for place in ((1, 1, 1), (10, 1, 1))
    )
    assert sure[3] == 0
    assert unsure[3] == 255
    assert unsure[0] > 200 > unsure[2]


def test_it_is_hidden_until_it_is_asked_for(a_scene, a_volume_node, some_doubt):
    other = add_volume_node(a_scene, np.zeros((2, 2, 2), np.int16), np.eye(4), "another")
    red, yellow = (a_view(a_scene, name, a_volume_node.GetID()) for name in ("Red", "Yellow"))
    elsewhere = a_view(a_scene, "Green", other.GetID())
    picture = a_view(a_scene, PICTURE_VIEW, a_volume_node.GetID())
    node = set_doubt(a_volume_node, some_doubt, FIELDS)
    assert not is_doubt_shown(a_volume_node)

    show_doubt(a_volume_node, True)
    assert is_doubt_shown(a_volume_node)
    assert [view.GetForegroundVolumeID() for view in (red, yellow)] == [node.GetID()] * 2
    assert red.GetForegroundOpacity() == pytest.approx(OPACITY)
    assert [view.GetForegroundVolumeID() for view in (elsewhere, picture)] == [None, None]

    show_doubt(a_volume_node, False)
    assert not is_doubt_shown(a_volume_node)
    assert red.GetForegroundVolumeID() is None


def test_hiding_it_leaves_what_else_lies_over_the_image(a_scene, a_volume_node, some_doubt):
    view = a_view(a_scene, "Red", a_volume_node.GetID())
    view.SetForegroundVolumeID(a_volume_node.GetID())
    view.SetForegroundOpacity(0.3)
    set_doubt(a_volume_node, some_doubt, FIELDS)
    show_doubt(a_volume_node, False)
    assert view.GetForegroundVolumeID() == a_volume_node.GetID()
    assert view.GetForegroundOpacity() == pytest.approx(0.3)


def test_a_new_one_takes_the_place_of_the_old_one(a_scene, a_volume_node, some_doubt):
    a_view(a_scene, "Red", a_volume_node.GetID())
    first = set_doubt(a_volume_node, some_doubt, FIELDS)
    show_doubt(a_volume_node, True)
    second = set_doubt(a_volume_node, 1 - some_doubt, {"predicted_dice": {"LV": 0.5}})
    assert first is second
    np.testing.assert_array_equal(image_from_volume_node(second)[0], 1 - some_doubt)
    assert expected_dice(a_volume_node) == {"LV": 0.5}
    assert slices_to_check(a_volume_node) == []
    assert is_doubt_shown(a_volume_node)
    assert a_scene.GetNodesByName("CardiacSeg doubt").GetNumberOfItems() == 1


def test_removing_it_leaves_nothing_behind(a_scene, a_volume_node, some_doubt):
    view = a_view(a_scene, "Red", a_volume_node.GetID())
    set_doubt(a_volume_node, some_doubt, FIELDS)
    remove_doubt(a_volume_node)
    before = a_scene.GetNumberOfNodes()  # with the table of colors
    set_doubt(a_volume_node, some_doubt, FIELDS)
    show_doubt(a_volume_node, True)
    remove_doubt(a_volume_node)
    assert doubt_node(a_volume_node) is None
    assert expected_dice(a_volume_node) == {}
    assert view.GetForegroundVolumeID() is None
    assert a_scene.GetNumberOfNodes() == before
    remove_doubt(a_volume_node)


def test_it_does_not_stay_over_another_image(a_scene, a_volume_node, some_doubt):
    other = add_volume_node(a_scene, np.zeros((2, 2, 2), np.int16), np.eye(4), "another")
    view = a_view(a_scene, "Red", a_volume_node.GetID())
    set_doubt(a_volume_node, some_doubt, FIELDS)
    show_doubt(a_volume_node, True)
    view.SetBackgroundVolumeID(other.GetID())
    show_doubt(other, True)
    assert view.GetForegroundVolumeID() is None


def test_it_belongs_to_the_segmentation_that_it_came_with(a_volume_node, a_segmentation_node, some_labels, some_doubt):
    set_doubt(a_volume_node, some_doubt, FIELDS, a_segmentation_node)
    assert has_doubt(a_volume_node, a_segmentation_node)
    assert not has_doubt(a_volume_node, add_segmentation_node(some_labels, a_volume_node))
    remove_doubt(a_volume_node)
    assert not has_doubt(a_volume_node, a_segmentation_node)


def test_one_of_another_grid_is_refused(a_volume_node):
    with pytest.raises(CardiacSegError, match="'a volume': has the shape"):
        set_doubt(a_volume_node, np.zeros((2, 3, 4), np.float32), {})
    assert doubt_node(a_volume_node) is None


def test_what_is_known_is_there_again_with_the_scene(a_scene, a_volume_node, some_doubt, tmp_path: Path):
    set_doubt(a_volume_node, some_doubt, FIELDS)
    save_scene(a_scene, tmp_path / "scene.mrb")
    again = create_scene()
    try:
        load_scene(again, tmp_path / "scene.mrb")
        volume = again.GetFirstNodeByName("a volume")
        assert expected_dice(volume) == FIELDS["predicted_dice"]
        assert [one.text for one in slices_to_check(volume)] == ["Slice 1 from the base: RV may be missing"]
        np.testing.assert_allclose(image_from_volume_node(doubt_node(volume))[0], some_doubt, atol=1e-6)
    finally:
        again.Clear(True)


@pytest.mark.parametrize("written", ["no JSON", "[1, 2]", '{"slices": [{"text": 1}], "predicted_dice": 3}'])
def test_what_something_else_wrote_there_is_passed_over(a_volume_node, some_doubt, written):
    set_doubt(a_volume_node, some_doubt, FIELDS).SetAttribute("CardiacSeg.Doubt", written)
    assert slices_to_check(a_volume_node) == []
    assert expected_dice(a_volume_node) == {}


def test_a_click_takes_the_views_to_the_slice(a_scene, a_volume_node, some_doubt):
    view, picture = a_slice_node(a_scene, "Red"), a_slice_node(a_scene, PICTURE_VIEW)
    before = picture.GetSliceOffset()
    set_doubt(a_volume_node, some_doubt, FIELDS)
    (place,) = slices_to_check(a_volume_node)
    jump_to(a_volume_node, place)
    assert view.GetSliceOffset() == pytest.approx(50.0)
    assert picture.GetSliceOffset() == before

    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 3, -30.0)
    transform = a_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix)
    a_volume_node.SetAndObserveTransformNodeID(transform.GetID())
    jump_to(a_volume_node, place)
    assert view.GetSliceOffset() == pytest.approx(20.0)


class TestOfACine:
    """It is a sequence of its own under the browser of the cine."""

    FRAMES = tuple({"predicted_dice": {"LV": dice, "RV": 0.9}} for dice in (0.9, 0.8, None, 0.7))

    @pytest.fixture
    def a_cine(self, a_scene) -> slicer.vtkMRMLSequenceNode:
        return add_cine(a_scene, np.random.default_rng(4).random((6, 5, 3, 4), np.float32), np.eye(4), "a heart")

    @pytest.fixture
    def its_doubt(self) -> np.ndarray:
        return np.random.default_rng(5).random((6, 5, 3, 4), np.float32)

    @pytest.fixture
    def doubted(self, a_cine, its_doubt) -> slicer.vtkMRMLSequenceNode:
        set_cine_doubt(a_cine, finished(doubt_frames_in_pieces(its_doubt, a_cine)), self.FRAMES)
        return a_cine

    def test_shows_the_frame_that_the_image_shows(self, doubted, its_doubt):
        volume = proxy_of(doubted)
        for frame in (2, 0, 3):
            show_frame(doubted, frame)
            np.testing.assert_array_equal(image_from_volume_node(doubt_node(volume))[0], its_doubt[..., frame])
            assert expected_dice(volume) == self.FRAMES[frame]["predicted_dice"]

    def test_tells_the_frame_that_is_least_sure(self, doubted, a_volume_node, some_doubt):
        assert least_sure_frame(proxy_of(doubted)) == 2
        set_doubt(a_volume_node, some_doubt, FIELDS)
        assert least_sure_frame(a_volume_node) is None

    def test_stays_over_the_image_while_one_scrolls_and_when_it_is_made_anew(self, a_scene, doubted, its_doubt):
        volume = proxy_of(doubted)
        view = a_view(a_scene, "Red", volume.GetID())
        show_doubt(volume, True)
        show_frame(doubted, 1)
        assert is_doubt_shown(volume)
        set_cine_doubt(doubted, finished(doubt_frames_in_pieces(1 - its_doubt, doubted)), self.FRAMES)
        assert view.GetForegroundVolumeID() == doubt_node(volume).GetID()
        np.testing.assert_array_equal(image_from_volume_node(doubt_node(volume))[0], 1 - its_doubt[..., 1])

    def test_leaves_nothing_behind(self, a_scene, doubted):
        volume = proxy_of(doubted)
        remove_doubt(volume)
        names = [a_scene.GetNthNode(number).GetName() for number in range(a_scene.GetNumberOfNodes())]
        assert [name for name in names if "heart" in name and "doubt" in name] == []
        show_frame(doubted, 2)
        assert doubt_node(volume) is None

    def test_gives_way_to_that_of_a_single_frame(self, doubted, its_doubt):
        volume = proxy_of(doubted)
        set_doubt(volume, its_doubt[..., 0], FIELDS)
        show_frame(doubted, 3)
        assert expected_dice(volume) == FIELDS["predicted_dice"]
        np.testing.assert_array_equal(image_from_volume_node(doubt_node(volume))[0], its_doubt[..., 0])

    def test_of_other_frames_is_refused(self, a_cine, its_doubt):
        frames = finished(doubt_frames_in_pieces(its_doubt[..., :2], a_cine))
        with pytest.raises(CardiacSegError, match="has 4 frames, its doubt 2"):
            set_cine_doubt(a_cine, frames, self.FRAMES[:2])


class TestWithItsLabels:
    """What a job found comes into the scene in pieces, the doubt with the labels."""

    @pytest.fixture
    def some_outcome(self, some_labels, some_doubt):
        return (some_doubt, [FIELDS]), some_labels, CANONICAL

    def test_it_comes_into_the_scene(self, a_volume_node, some_outcome):
        segmentation = finished(outcome_in_pieces(a_volume_node, *some_outcome))
        assert has_doubt(a_volume_node, segmentation)
        assert expected_dice(a_volume_node) == FIELDS["predicted_dice"]

    def test_it_goes_where_the_next_labels_have_none(self, a_volume_node, some_outcome):
        segmentation = finished(outcome_in_pieces(a_volume_node, *some_outcome))
        finished(outcome_in_pieces(a_volume_node, None, *some_outcome[1:], segmentation))
        assert doubt_node(a_volume_node) is None

    @pytest.mark.parametrize("again", [False, True])
    def test_that_of_a_cine_comes_with_the_last_piece(self, a_scene, again):
        labels = np.random.default_rng(2).integers(0, 4, (6, 5, 3, 4)).astype(np.uint8)
        cine = add_cine(a_scene, labels.astype(np.int16), np.eye(4), "a heart")
        outcome = (labels / np.float32(4), [FIELDS] * 4), labels, CANONICAL
        work = Work(outcome_in_pieces(cine, *outcome))
        before = a_scene.GetNumberOfNodes()
        while not work.is_done and work.share < 1:
            assert a_scene.GetNumberOfNodes() == before
            work.go_on(0.0)
        segmentation = work.finish()
        assert has_doubt(proxy_of(cine), segmentation)
        finished(outcome_in_pieces(cine, outcome[0] if again else None, *outcome[1:]))
        assert has_doubt(proxy_of(cine), segmentation) == again
