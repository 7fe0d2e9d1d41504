"""A picture, such as the bullseye, in the scene and in the layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
from PIL import Image
from vtk.util import numpy_support

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.pictures import (
    PICTURE_AND_PLOT_LAYOUT,
    PICTURE_LAYOUT,
    PICTURE_VIEW,
    fill_picture_node,
    is_picture_layout,
    picture_view,
    register_layouts,
    show_picture,
    show_picture_in_layout,
)
from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.mrml.volumes import add_volume_node

#: Of the view, pixels.
SIZE = (300, 150)


@pytest.fixture
def colors() -> np.ndarray:
    """Rows by columns by RGB: red above, blue below, and the left edge green."""
    colors = np.zeros((40, 100, 3), np.uint8)
    colors[:20], colors[20:], colors[:, :10] = (250, 10, 10), (10, 10, 250), (10, 250, 10)
    return colors


@pytest.fixture
def a_file(colors, tmp_path) -> Path:
    Image.fromarray(colors).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.fixture
def a_picture(a_scene, a_file) -> slicer.vtkMRMLVectorVolumeNode:
    node = a_scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "picture")
    fill_picture_node(node, a_file)
    return node


@pytest.fixture
def layouts(a_scene) -> slicer.vtkMRMLLayoutNode:
    """What makes views in a scene, as the application does."""
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(a_scene)
    a_scene.logics = (*a_scene.logics, logic)
    return logic.GetLayoutNode()


def open_view(scene) -> slicer.vtkMRMLSliceLogic:
    """The logic of the view for pictures, which the application has for each view."""
    nodes = [
        scene.GetNthNodeByClass(n, "vtkMRMLSliceNode") for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode"))
    ]
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(scene.logics[0])
    logic.SetMRMLScene(scene)
    (view,) = (node for node in nodes if node.GetLayoutName() == PICTURE_VIEW)
    logic.SetSliceNode(view)
    return logic


def seen(logic) -> np.ndarray:
    """What a view shows, fitted to it: rows by columns by RGB."""
    node = logic.GetSliceNode()
    node.SetDimensions(*SIZE, 1)
    logic.FitSliceToAll(*SIZE)
    connection = logic.GetImageDataConnection()
    connection.GetProducer().Update()
    image = connection.GetProducer().GetOutputDataObject(connection.GetIndex())
    pixels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return pixels.reshape(*SIZE[::-1], -1)[::-1, :, :3]


class TestAPicture:
    def test_has_the_pixels_of_its_file(self, a_picture, colors):
        image = a_picture.GetImageData()
        assert image.GetDimensions() == (100, 40, 1)
        pixels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(40, 100, 3)
        np.testing.assert_array_equal(pixels[::-1], colors)

    def test_is_replaced_in_place(self, a_picture, tmp_path):
        Image.new("RGBA", (7, 5), (1, 2, 3, 255)).save(tmp_path / "other.png")
        display = a_picture.GetDisplayNode()
        fill_picture_node(a_picture, tmp_path / "other.png")
        assert a_picture.GetImageData().GetDimensions() == (7, 5, 1)
        assert a_picture.GetImageData().GetNumberOfScalarComponents() == 3
        assert a_picture.GetDisplayNode() is display

    def test_stays_where_a_file_is_none(self, a_picture, tmp_path):
        (tmp_path / "text.png").write_text("no picture")
        for name in ("text.png", "missing.png"):
            with pytest.raises(CardiacSegError, match=f"{name}: is no PNG picture"):
                fill_picture_node(a_picture, tmp_path / name)
        assert a_picture.GetImageData().GetDimensions() == (100, 40, 1)

    def test_is_upright_and_has_its_colors_in_the_view(self, a_scene, a_picture, layouts):
        show_picture_in_layout(a_picture, with_plot=False)
        logic = open_view(a_scene)
        show_picture(a_picture)
        view = seen(logic)
        rows, columns = SIZE[1], SIZE[0]
        assert tuple(view[rows // 2 - 20, columns // 2]) == (250, 10, 10)
        assert tuple(view[rows // 2 + 20, columns // 2]) == (10, 10, 250)
        assert tuple(view[rows // 2, 20]) == (10, 250, 10)

    def test_is_far_from_any_segmentation(self, a_scene, a_picture):
        volume = add_volume_node(a_scene, np.zeros((9, 9, 9), np.int16), np.eye(4), "heart")
        node = add_segmentation_node(np.ones((9, 9, 9), np.uint8), volume)
        bounds, patient = [0.0] * 6, [0.0] * 6
        a_picture.GetRASBounds(bounds)
        node.GetRASBounds(patient)
        assert bounds[4] > patient[5] + 1000


class TestTheLayout:
    def test_has_a_view_for_the_picture_and_one_for_a_plot_only_where_there_is_one(self, a_scene, a_picture, layouts):
        show_picture_in_layout(a_picture, with_plot=False)
        assert layouts.GetViewArrangement() == PICTURE_LAYOUT
        assert a_scene.GetNumberOfNodesByClass("vtkMRMLPlotViewNode") == 0
        show_picture_in_layout(a_picture, with_plot=True)
        assert layouts.GetViewArrangement() == PICTURE_AND_PLOT_LAYOUT
        assert a_scene.GetNumberOfNodesByClass("vtkMRMLPlotViewNode") == 1
        assert is_picture_layout(a_scene)

    def test_keeps_the_picture_when_another_volume_is_chosen(self, a_scene, a_picture, layouts):
        show_picture_in_layout(a_picture, with_plot=False)
        logic = open_view(a_scene)
        show_picture(a_picture)
        volume = add_volume_node(a_scene, np.zeros((9, 9, 9), np.int16), np.eye(4), "heart")
        application = a_scene.logics[0]
        application.GetSelectionNode().SetActiveVolumeID(volume.GetID())
        application.PropagateVolumeSelection()
        assert logic.GetSliceCompositeNode().GetBackgroundVolumeID() == a_picture.GetID()

    def test_that_was_saved_with_a_scene_is_known_when_it_is_loaded(self, a_scene, layouts):
        register_layouts(a_scene)
        register_layouts(a_scene)
        assert layouts.IsLayoutDescription(PICTURE_LAYOUT)
        assert layouts.IsLayoutDescription(PICTURE_AND_PLOT_LAYOUT)

    def test_is_none_where_there_are_no_views(self, a_scene, a_picture):
        show_picture_in_layout(a_picture, with_plot=True)
        assert picture_view(a_scene) is None
        assert not is_picture_layout(a_scene)
