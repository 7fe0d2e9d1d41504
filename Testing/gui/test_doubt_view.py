"""What a person sees of how sure the model is: the Dice to expect, where it is not sure, and slices to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from PySide6.QtTest import QTest
from shown_results import doubt_of_labels, measured, show_doubt_of_cine, show_doubt_of_volume, small_heart

from CardiacSegLib.mrml.browsers import proxy_of
from CardiacSegLib.mrml.doubt import doubt_node, set_doubt
from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.mrml.sequences import show_frame, shown_frame
from CardiacSegLib.mrml.storage import load_scene, save_scene
from CardiacSegLib.mrml.volumes import image_from_volume_node

DICE = "Expected Dice: LV 0.96, MYO 0.91, RV 0.90"


@pytest.fixture(scope="module")
def heart():
    return small_heart()


@pytest.fixture
def volume(panel, heart):
    """A volume in the views, with the doubt of its segmentation."""
    return show_doubt_of_volume(panel, heart, heart.ed_frame, "heart ED")


def view(name: str):
    """A slice view and what it shows."""
    logic = slicer.app.applicationLogic().GetSliceLogicByLayoutName(name)
    return logic.GetSliceNode(), logic.GetSliceCompositeNode()


def layer() -> slicer.vtkMRMLNode | None:
    """What lies over the image in the red view, with some opacity."""
    red = view("Red")[1]
    node = slicer.mrmlScene.GetNodeByID(red.GetForegroundVolumeID() or "")
    return node if red.GetForegroundOpacity() > 0 else None


def listed(panel) -> list[str]:
    places = panel.results.ui.placesList
    return [places.item(row).text() for row in range(places.count)] if places.isVisible() else []


def click_place(panel, row: int) -> None:
    """Click a line of the list."""
    slicer.app.processEvents()
    places = panel.results.ui.placesList
    where = places.visualItemRect(places.item(row)).center()
    assert places.viewport().rect.contains(where)
    QTest.mouseClick(places.viewport(), qt.Qt.LeftButton, qt.Qt.NoModifier, where)
    slicer.app.processEvents()


class TestOfAVolume:
    def test_says_what_dice_to_expect_and_which_slices_to_look_at(self, panel, volume):
        assert panel.results.ui.expectedDiceLabel.text == DICE
        assert listed(panel) == ["Slice 2 from the base: the edge of RV is uncertain"]
        assert not panel.results.ui.placesList.verticalScrollBar().isVisible()

    def test_lies_over_the_slices_only_when_it_is_asked_for(self, panel, volume, click):
        assert layer() is None
        click(panel.results.ui.showDoubtCheckBox)
        assert layer() is doubt_node(volume)
        click(panel.results.ui.showDoubtCheckBox)
        assert layer() is None

    def test_leads_the_slice_views_to_a_slice_that_is_clicked(self, panel, volume, heart):
        red = view("Red")[0]
        red.SetSliceOffset(-1000.0)
        click_place(panel, 0)
        assert red.GetSliceOffset() == pytest.approx((heart.affine @ [40, 50, heart.image.shape[2] - 2, 1])[2])
        red.SetSliceOffset(-1000.0)
        click_place(panel, 0)  # the same again
        assert red.GetSliceOffset() != -1000.0

    def test_is_not_there_where_nothing_is_segmented(self, panel):
        assert not panel.results.ui.doubtGroupBox.isVisible()

    def test_of_a_sure_model_says_that_no_slice_stands_out(self, panel, volume, wait_until):
        sure, fields = np.zeros(image_from_volume_node(volume)[0].shape), {"predicted_dice": {"LV": 0.97, "RV": None}}
        set_doubt(volume, sure, fields, panel._parameterNode.segmentation)
        wait_until(lambda: panel.results.ui.placesLabel.text == "No slice stands out.")
        assert panel.results.ui.expectedDiceLabel.text == "Expected Dice: LV 0.97, RV –"
        assert listed(panel) == []


class TestOfAnotherImage:
    def test_is_hidden_where_the_other_has_none_and_there_again_with_the_first(self, panel, volume, heart, click):
        first = panel._parameterNode.segmentation
        click(panel.results.ui.showDoubtCheckBox)
        show_doubt_of_volume(panel, heart, heart.es_frame, "heart ES", doubt=False)
        assert not panel.results.ui.doubtGroupBox.isVisible()
        assert layer() is None
        slicer.util.setSliceViewerLayers(background=volume)
        panel._parameterNode.segmentation = first
        measured(panel.results)
        assert panel.results.ui.expectedDiceLabel.isVisible()
        assert panel.results.ui.showDoubtCheckBox.checked
        assert layer() is doubt_node(volume)

    def test_takes_the_place_of_the_first_one_as_long_as_the_box_is_checked(self, panel, volume, heart, click):
        click(panel.results.ui.showDoubtCheckBox)
        other = show_doubt_of_volume(panel, heart, heart.es_frame, "heart ES")
        assert layer() is doubt_node(other)
        click(panel.results.ui.showDoubtCheckBox)
        assert layer() is None

    def test_is_not_that_of_labels_that_a_person_drew_on_the_same_image(self, panel, volume, heart, click):
        click(panel.results.ui.showDoubtCheckBox)
        panel._parameterNode.segmentation = add_segmentation_node(heart.labels[..., heart.ed_frame], volume)
        measured(panel.results)
        assert not panel.results.ui.doubtGroupBox.isVisible()
        assert layer() is None

    def test_is_gone_when_a_person_removes_it(self, panel, volume, wait_until):
        slicer.mrmlScene.RemoveNode(doubt_node(volume))
        wait_until(lambda: not panel.results.ui.doubtGroupBox.isVisible())


class TestOfACine:
    @pytest.fixture
    def cine(self, panel, heart):
        return show_doubt_of_cine(panel, heart)

    def test_follows_the_frame_that_is_shown(self, panel, cine, heart, wait_until, click):
        assert panel.results.ui.expectedDiceLabel.text == "Expected Dice in frame 1: LV 0.96, MYO 0.91, RV 0.90"
        click(panel.results.ui.showDoubtCheckBox)
        show_frame(cine, 9)
        wait_until(lambda: "frame 10" in panel.results.ui.expectedDiceLabel.text)
        assert "RV 0.91" in panel.results.ui.expectedDiceLabel.text
        assert layer() is doubt_node(proxy_of(cine))
        np.testing.assert_array_equal(image_from_volume_node(layer())[0], doubt_of_labels(heart.labels)[..., 9])

    def test_names_the_frame_that_is_least_sure_and_goes_there(self, panel, cine, wait_until):
        assert listed(panel)[-1] == "Frame 6 is the least sure"
        click_place(panel, 1)
        assert shown_frame(cine) == 5
        wait_until(lambda: "RV 0.70" in panel.results.ui.expectedDiceLabel.text)
        assert listed(panel) == ["Slice 2 from the base: the edge of RV is uncertain"]


class TestInASavedScene:
    @pytest.mark.parametrize("isShown", [False, True])
    def test_is_there_again_shown_or_hidden_as_it_was(self, panel, volume, click, wait_until, tmp_path, isShown):
        ui = panel.results.ui
        if isShown:
            click(ui.showDoubtCheckBox)
        again(tmp_path)
        wait_until(lambda: not panel.results.isMeasuring)
        assert ui.expectedDiceLabel.isVisible() and ui.expectedDiceLabel.text == DICE
        assert len(listed(panel)) == 1
        assert ui.showDoubtCheckBox.checked == isShown
        volume = slicer.util.getNode("heart ED")
        assert layer() is (doubt_node(volume) if isShown else None)
        if not isShown:
            click(ui.showDoubtCheckBox)
            assert layer() is doubt_node(volume)

    def test_of_a_cine_is_there_again_frame_by_frame(self, panel, heart, wait_until, tmp_path):
        show_doubt_of_cine(panel, heart)
        again(tmp_path)
        wait_until(lambda: not panel.results.isMeasuring)
        cine = slicer.util.getNode("heart sequence")
        for frame in (3, 8):
            show_frame(cine, frame)
            wait_until(lambda number=frame + 1: f"frame {number}:" in panel.results.ui.expectedDiceLabel.text)
            shown, _ = image_from_volume_node(doubt_node(proxy_of(cine)))
            np.testing.assert_allclose(shown, doubt_of_labels(heart.labels)[..., frame], atol=1e-6)


def again(folder: Path) -> None:
    """Save the scene, close it, and load it."""
    save_scene(slicer.mrmlScene, folder / "study.mrb")
    slicer.mrmlScene.Clear()
    load_scene(slicer.mrmlScene, folder / "study.mrb")
