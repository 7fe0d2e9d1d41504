"""What a person sees who saves a scene with a result, and loads it again another day."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import slicer

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.mrml.browsers import browser_of, proxy_of, sequence_of_proxy
from CardiacSegLib.mrml.segmentation_sequences import add_segmentation_sequence, cine_of, segmentation_sequence_of
from CardiacSegLib.mrml.segmentations import add_segmentation_node, labels_from_segmentation_node
from CardiacSegLib.mrml.sequences import add_cine, show_frame, shown_frame
from CardiacSegLib.mrml.volumes import add_volume_node
from CardiacSegLib.phantom import PhantomOptions, make_phantom

PATIENCE = 120


@pytest.fixture(scope="module")
def heart():
    """Five phases of six slices, small enough to be segmented in a moment."""
    return make_phantom(PhantomOptions(frames=5, slices=6, spacing=(1.6, 1.6, 10.0), size=(96, 96)))


@pytest.fixture(params=["mrb", "mrml"])
def again(request, panel, scene, wait_until, tmp_path: Path) -> Callable[[], None]:
    """Save the scene, close it, and load it: as one file, or as a folder of files."""
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    (tmp_path / "cache").mkdir()
    cache.SetRemoteCacheDirectory(str(tmp_path / "cache"))
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)

    def through_a_bundle() -> None:
        assert scene.WriteToMRB(str(tmp_path / "study.mrb"))
        scene.Clear()
        assert scene.ReadFromMRB(str(tmp_path / "study.mrb"))

    def through_a_folder() -> None:
        (tmp_path / "study").mkdir()
        assert slicer.app.applicationLogic().SaveSceneToSlicerDataBundleDirectory(str(tmp_path / "study"))
        scene.Clear()
        scene.SetURL(str(next((tmp_path / "study").glob("*.mrml"))))
        assert scene.Import()

    def save_and_load() -> None:
        through_a_bundle() if request.param == "mrb" else through_a_folder()
        wait_until(lambda: not panel.results.isMeasuring)

    yield save_and_load
    scene.SetDataIOManager(None)
    scene.SetCacheManager(None)


def show(panel, volume, segmentation, wait_until) -> None:
    """Leave the panel as it is when Segment, with a single pass and without clean-up, has brought a result."""
    panel.segment.ui.turnsComboBox.setCurrentIndex(1)
    panel.segment.ui.cleanUpCheckBox.setChecked(False)
    panel._parameterNode.inputVolume, panel._parameterNode.segmentation = volume, segmentation
    panel.results.show(segmentation)
    wait_until(lambda: not panel.results.isMeasuring)


def segment(panel, click, wait_until) -> None:
    """Press Segment and wait for the end."""
    click(panel.segment.ui.segmentButton)
    wait_until(lambda: not panel.logic.isBusy and not panel.results.isMeasuring, PATIENCE)
    assert panel.segment.ui.statusLabel.text.startswith("Done"), panel.segment.ui.statusLabel.text


def shown_table(panel) -> list[list[str]]:
    """The table of the panel as a person reads it."""
    table = panel.results.ui.resultsTable
    return [[table.item(row, column).text() for column in range(4)] for row in range(table.rowCount)]


def count(kind: str) -> int:
    return slicer.mrmlScene.GetNumberOfNodesByClass(kind)


def choose_es(panel, phase: int) -> None:
    combo = panel.results.ui.esComboBox
    combo.setCurrentIndex(phase)
    combo.activated.emit(phase)


class TestAVolume:
    @pytest.fixture
    def loaded(self, panel, again, heart, wait_until):
        """The panel after a result was saved and loaded, with the table that was saved."""
        volume = add_volume_node(slicer.mrmlScene, heart.image[..., 0], heart.affine, "heart")
        show(panel, volume, add_segmentation_node(heart.labels[..., 0], volume), wait_until)
        saved = shown_table(panel)
        again()
        return panel, saved

    def test_is_there_again_with_its_result_and_its_table(self, loaded, heart):
        panel, table = loaded
        chosen = panel._parameterNode
        assert (chosen.inputVolume.GetName(), chosen.segmentation.GetName()) == ("heart", "heart segmentation")
        labels = labels_from_segmentation_node(chosen.segmentation, chosen.inputVolume)
        np.testing.assert_array_equal(labels, heart.labels[..., 0])
        assert shown_table(panel) == table
        assert chosen.resultsTable.GetNumberOfRows() >= len(table) >= 3

    def test_finds_the_choices_of_the_panel_as_they_were(self, loaded):
        ui = loaded[0].segment.ui
        assert ui.volumeSelector.currentNode().GetName() == "heart"
        assert ui.segmentationSelector.currentNode().GetName() == "heart segmentation"
        assert ui.turnsComboBox.currentIndex == 1
        assert not ui.cleanUpCheckBox.checked

    def test_has_a_table_that_follows_an_edit(self, loaded, wait_until):
        panel, table = loaded
        assert slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(panel._parameterNode.segmentation, "LV")
        wait_until(lambda: shown_table(panel) != table)

    @pytest.mark.parametrize("again", ["mrml"], indirect=True)
    def test_can_be_segmented_again(self, loaded, click, wait_until):
        panel, table = loaded
        node = panel._parameterNode.segmentation
        segment(panel, click, wait_until)
        assert panel._parameterNode.segmentation is node
        assert [row[0] for row in shown_table(panel)] == [row[0] for row in table]
        assert (count("vtkMRMLSegmentationNode"), count("vtkMRMLTableNode")) == (1, 1)


class TestACine:
    @pytest.fixture
    def loaded(self, panel, again, heart, wait_until):
        """The panel after a cine's result, with another ES than the one found, was saved and loaded."""
        cine = add_cine(slicer.mrmlScene, heart.image, heart.affine, "heart", 40.0 * np.arange(5))
        show(panel, proxy_of(cine), add_segmentation_sequence(heart.labels, cine)[1], wait_until)
        choose_es(panel, 1)
        wait_until(lambda: not panel.results.isMeasuring)
        assert shown_frame(cine) == 1
        saved = shown_table(panel)
        again()
        return panel, saved

    def test_is_there_again_phase_by_phase_under_its_browser(self, loaded, heart):
        panel, _ = loaded
        chosen = panel._parameterNode
        cine = sequence_of_proxy(chosen.inputVolume)
        result = segmentation_sequence_of(cine)
        assert (cine_of(result), proxy_of(result), browser_of(result)) == (cine, chosen.segmentation, browser_of(cine))
        assert shown_frame(cine) == 1
        np.testing.assert_array_equal(phases_of(panel), heart.labels)

    def test_shows_its_table_and_the_phases_that_the_person_chose(self, loaded):
        panel, table = loaded
        assert shown_table(panel) == table
        assert panel.results.ui.esComboBox.currentIndex == panel._parameterNode.esPhase == 1
        assert panel.results.ui.curveButton.isVisible()
        assert panel.segment.ui.wholeCineCheckBox.checked

    def test_keeps_an_edit_of_the_phase_that_is_shown(self, loaded, wait_until):
        panel, table = loaded
        volume, node = panel._parameterNode.inputVolume, panel._parameterNode.segmentation
        assert slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, "LV")
        wait_until(lambda: shown_table(panel) != table)
        for frame in (3, 1):
            show_frame(sequence_of_proxy(volume), frame)
        assert not (labels_from_segmentation_node(node, volume) == CANONICAL["LV"]).any()

    @pytest.mark.parametrize("again", ["mrb"], indirect=True)
    def test_can_be_segmented_again(self, loaded, click, wait_until):
        panel, table = loaded
        node = panel._parameterNode.segmentation
        segment(panel, click, wait_until)
        assert panel._parameterNode.segmentation is node
        assert [row[0] for row in shown_table(panel)] == [row[0] for row in table]
        assert (count("vtkMRMLSegmentationNode"), count("vtkMRMLSequenceNode"), count("vtkMRMLTableNode")) == (1, 2, 1)


def phases_of(panel) -> np.ndarray:
    """The labels of all phases (I, J, K, T), as a person sees them who scrolls; the phase that is shown stays."""
    volume, node = panel._parameterNode.inputVolume, panel._parameterNode.segmentation
    cine = sequence_of_proxy(volume)
    shown, found = shown_frame(cine), []
    for frame in range(cine.GetNumberOfDataNodes()):
        show_frame(cine, frame)
        found.append(labels_from_segmentation_node(node, volume))
    show_frame(cine, shown)
    return np.stack(found, axis=-1)
