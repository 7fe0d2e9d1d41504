"""The doubt of a segmentation in a scene: over the image when it is asked for, and slices to jump to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.doubt import (
    OPACITY,
    doubt_node,
    expected_dice,
    is_doubt_shown,
    jump_to,
    remove_doubt,
    set_doubt,
    show_doubt,
    slices_to_check,
)
from CardiacSegLib.mrml.pictures import PICTURE_VIEW
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
    show_doubt(a_volume_node, True)
    remove_doubt(a_volume_node)
    assert doubt_node(a_volume_node) is None
    assert expected_dice(a_volume_node) == {}
    assert view.GetForegroundVolumeID() is None
    remove_doubt(a_volume_node)


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
