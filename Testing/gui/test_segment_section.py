"""What a person sees who segments: from choosing a volume to the heart in the scene."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
import qt
import slicer

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.jobs.client import WorkerClient
from CardiacSegLib.mrml.browsers import proxy_of, sequence_of_proxy
from CardiacSegLib.mrml.doubt import doubt_node, is_doubt_shown
from CardiacSegLib.mrml.nodes import node_ids
from CardiacSegLib.mrml.segmentation_sequences import segmentation_sequence_of
from CardiacSegLib.mrml.segmentations import labels_from_segmentation_node
from CardiacSegLib.mrml.sequences import add_cine, show_frame
from CardiacSegLib.mrml.volumes import add_volume_node
from CardiacSegLib.phantom import PhantomOptions, make_phantom
from waiting import has_loaded

#: A cold start imports torch and MONAI on a busy machine.
PATIENCE = 120


def volume(array: np.ndarray, spacing=(1.4, 1.4, 10.0), name: str = "image"):
    return add_volume_node(slicer.mrmlScene, array, np.diag([*spacing, 1.0]), name)


def segment(panel, click, wait_until) -> None:
    """Press Segment and wait for the end."""
    panel.segment.ui.turnsComboBox.setCurrentIndex(1)  # a single pass: these tests look at the panel
    click(panel.segment.ui.segmentButton)
    wait_until(lambda: not panel.logic.isBusy and not panel.results.isMeasuring, PATIENCE)


@pytest.fixture
def phantom_nodes(panel, module):
    """The phantom at ED and ES, loaded while the panel is open."""
    nodes = module.loadPhantom()
    panel.initializeParameterNode()
    return nodes


class TestBeforeTheClick:
    def test_segment_is_disabled_without_a_volume_and_says_why(self, panel):
        assert not panel.segment.ui.segmentButton.enabled
        assert "Choose a volume" in panel.segment.ui.segmentButton.toolTip

    def test_the_first_volume_is_chosen_by_itself(self, panel, phantom_nodes):
        assert panel.segment.ui.volumeSelector.currentNode() is phantom_nodes[0]
        assert panel.segment.ui.segmentButton.enabled

    def test_nothing_is_said_about_a_short_axis_stack(self, panel, phantom_nodes):
        panel.segment.describeVolume()
        assert not panel.segment.ui.volumeWarningLabel.isVisible()

    def test_a_volume_that_is_plainly_no_short_axis_stack_gets_a_gentle_warning(self, panel, wait_until):
        panel._parameterNode.inputVolume = volume(np.random.rand(200, 200, 200), (1.0, 1.0, 1.0))
        wait_until(panel.segment.ui.volumeWarningLabel.isVisible)
        assert "short-axis" in panel.segment.ui.volumeWarningLabel.text
        assert panel.segment.ui.segmentButton.enabled

    def test_the_card_of_the_model_is_one_click_away(self, panel, click, application):
        click(panel.segment.ui.cardButton)
        dialog = next(widget for widget in application.topLevelWidgets() if "short-axis-cine" in widget.windowTitle)
        text = dialog.findChild(qt.QTextBrowser, "cardBrowser").toPlainText()
        dialog.close()
        assert "ACDC" in text and "Dice" in text and "CC BY-NC-SA" in text

    def test_choices_stay_with_the_scene(self, panel, module):
        panel.segment.ui.cleanUpCheckBox.setChecked(False)
        panel.segment.ui.turnsComboBox.setCurrentIndex(2)
        again = module.CardiacSegLogic().getParameterNode()
        assert (again.cleanUp, again.turns) == (False, 2)


class TestSegmenting:
    def test_a_click_gives_three_segments_and_a_filled_table(self, panel, phantom_nodes, click, wait_until):
        segment(panel, click, wait_until)
        node = panel._parameterNode.segmentation
        assert list(node.GetSegmentation().GetSegmentIDs()) == list(CANONICAL)
        phantom = make_phantom()
        labels = labels_from_segmentation_node(node, phantom_nodes[0])
        assert min(dice_scores(labels, phantom.labels[..., phantom.ed_frame], CANONICAL).values()) > 0.8
        assert panel.results.ui.resultsTable.rowCount >= 3
        assert panel.segment.ui.statusLabel.text.startswith("Done in")
        assert panel._parameterNode.resultsTable.GetNumberOfRows() >= 3
        assert node.GetSegmentation().ContainsRepresentation("Closed surface")

    def test_a_second_click_uses_the_same_worker(self, panel, phantom_nodes, click, wait_until):
        segment(panel, click, wait_until)
        first = panel.logic._client.process_id
        segment(panel, click, wait_until)
        assert panel.logic._client.process_id == first
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1

    def test_the_worker_is_warm_before_the_first_click(self, module, slicer_host, click, wait_until):
        window = slicer.modules.cardiacseg.widgetRepresentation()
        window.show()
        slicer.util.selectModule("CardiacSeg")
        panel = window.self()
        wait_until(lambda: has_loaded(panel.logic._client), PATIENCE)
        warm = panel.logic._client.process_id
        panel._parameterNode.inputVolume = module.loadPhantom()[0]
        segment(panel, click, wait_until)
        assert panel.logic._client.process_id == warm
        panel.cleanup()
        window.close()

    def test_a_cine_is_segmented_whole_and_its_ejection_fraction_shown(self, panel, module, click, wait_until):
        shown = module.loadPhantomCine()
        panel._parameterNode.inputVolume = shown
        wait_until(panel.segment.ui.wholeCineCheckBox.isVisible)
        assert "20 phases" in panel.segment.ui.wholeCineCheckBox.text
        segment(panel, click, wait_until)
        sequence = segmentation_sequence_of(sequence_of_proxy(shown))
        assert sequence.GetNumberOfDataNodes() == 20
        measures = {(row.measure, row.structure): row.value for row in panel.results._rows}
        phantom = make_phantom()
        edv, esv = (phantom.volumes_ml["LV"][frame] for frame in (phantom.ed_frame, phantom.es_frame))
        assert abs(measures["EF", "LV"] - 100 * (edv - esv) / edv) < 8
        assert panel.results.ui.edComboBox.count == 20

    def test_the_panel_stays_usable_meanwhile(self, panel, phantom_nodes, click, wait_until):
        click(panel.segment.ui.segmentButton)
        assert panel.segment.ui.cancelButton.enabled and not panel.segment.ui.segmentButton.enabled
        assert panel.segment.ui.progressBar.isVisible()
        wait_until(lambda: not panel.logic.isBusy, PATIENCE)
        assert panel.segment.ui.segmentButton.enabled and not panel.segment.ui.progressBar.isVisible()

    def test_an_image_without_contrast_is_an_error_in_red_and_nothing_is_added(self, panel, click, wait_until):
        panel._parameterNode.inputVolume = volume(np.ones((64, 64, 5)))
        segment(panel, click, wait_until)
        assert "constant" in panel.segment.ui.statusLabel.text
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


class TestInterruptions:
    def test_cancel_ends_it_at_once_and_leaves_the_scene_as_it_was(self, panel, phantom_nodes, click, wait_until):
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        click(panel.segment.ui.segmentButton)
        wait_until(lambda: panel.logic._client.process_id is not None, PATIENCE)
        started = time.perf_counter()
        click(panel.segment.ui.cancelButton)
        assert time.perf_counter() - started < 0.3
        assert panel.segment.ui.statusLabel.text == "Canceled"
        assert slicer.mrmlScene.GetNumberOfNodes() == nodes
        assert panel.segment.ui.segmentButton.enabled

    def test_a_killed_worker_is_an_error_and_the_next_click_starts_a_new_one(
        self, panel, phantom_nodes, click, wait_until
    ):
        click(panel.segment.ui.segmentButton)
        os.kill(panel.logic._client.process_id, signal.SIGKILL)
        wait_until(lambda: not panel.logic.isBusy, PATIENCE)
        assert "exit code -9" in panel.segment.ui.statusLabel.text
        segment(panel, click, wait_until)
        assert panel.segment.ui.statusLabel.text.startswith("Done in")

    def test_the_scene_may_be_closed_in_the_middle(self, panel, phantom_nodes, click, wait_until):
        click(panel.segment.ui.segmentButton)
        slicer.mrmlScene.Clear()
        assert not panel.logic.isBusy
        assert not panel.segment.ui.segmentButton.enabled
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0

    def test_a_volume_that_is_removed_in_the_middle_is_an_error(self, panel, phantom_nodes, click, wait_until):
        click(panel.segment.ui.segmentButton)
        slicer.mrmlScene.RemoveNode(phantom_nodes[0])
        wait_until(lambda: not panel.logic.isBusy, PATIENCE)
        assert "removed" in panel.segment.ui.statusLabel.text


@pytest.fixture(scope="module")
def a_warm_client():
    """For tests that do not end its worker."""
    with WorkerClient() as client:
        yield client


class TestHowSureTheModelIs:
    """Asked for by a box that is checked before the click."""

    HEART = PhantomOptions(frames=2, slices=6, spacing=(1.6, 1.6, 10.0), size=(96, 96))

    @pytest.fixture
    def ask(self, panel, a_warm_client, click, wait_until):
        """Check the box or not, press Segment and wait for the end."""
        panel.logic._client, own = a_warm_client, panel.logic._client
        ui = panel.segment.ui

        def run(image) -> None:
            panel._parameterNode.inputVolume = image
            click(ui.segmentButton)
            wait_until(lambda: not panel.logic.isBusy and not panel.results.isMeasuring, PATIENCE)
            assert ui.statusLabel.text.startswith("Done in"), ui.statusLabel.text

        yield run
        panel.logic._client = own

    @pytest.fixture
    def an_image(self, panel):
        phantom = make_phantom(self.HEART)
        return add_volume_node(slicer.mrmlScene, phantom.image[..., 0], phantom.affine, "heart")

    def test_is_told_with_the_result_and_gone_with_one_that_has_none(self, panel, ask, an_image, click):
        results = panel.results.ui
        click(panel.segment.ui.doubtCheckBox)
        ask(an_image)
        assert results.expectedDiceLabel.isVisible()
        dice = dict(part.split() for part in results.expectedDiceLabel.text.partition(": ")[2].split(", "))
        assert set(dice) == set(CANONICAL) and all(0.5 < float(value) <= 1 for value in dice.values())
        click(results.showDoubtCheckBox)
        assert is_doubt_shown(an_image)
        click(panel.segment.ui.doubtCheckBox)
        panel.segment.ui.turnsComboBox.setCurrentIndex(1)
        ask(an_image)
        assert not results.doubtGroupBox.isVisible()
        assert doubt_node(an_image) is None
        assert "doubt" not in " ".join(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode"))

    @pytest.mark.long
    def test_is_told_of_each_phase_of_a_cine(self, panel, ask, click, wait_until):
        phantom = make_phantom(self.HEART)
        cine = add_cine(slicer.mrmlScene, phantom.image, phantom.affine, "heart")
        click(panel.segment.ui.doubtCheckBox)
        ask(proxy_of(cine))
        label = panel.results.ui.expectedDiceLabel
        assert label.text.startswith("Expected Dice in frame 1: ")
        show_frame(cine, 1)
        wait_until(lambda: label.text.startswith("Expected Dice in frame 2: "))

    def test_cannot_be_told_of_a_single_pass_and_the_panel_says_so(self, panel, an_image, click):
        ui = panel.segment.ui
        click(ui.doubtCheckBox)
        assert not ui.doubtNoteLabel.isVisible()
        ui.turnsComboBox.setCurrentIndex(1)
        assert ui.doubtNoteLabel.isVisible()
        assert "turned copies" in ui.doubtNoteLabel.text
        ui.turnsComboBox.setCurrentIndex(2)
        assert not ui.doubtNoteLabel.isVisible()
        ui.turnsComboBox.setCurrentIndex(1)
        click(ui.doubtCheckBox)
        assert not ui.doubtNoteLabel.isVisible()


class TestTheResultOfACineOnItsWay:
    """Phase by phase it is made ready while the application lives on; then all of it is in the scene at once."""

    @pytest.fixture
    def cine(self, panel, a_warm_client):
        """Eight phases, small enough to be segmented in a moment; chosen in the panel."""
        panel.logic._client, own = a_warm_client, panel.logic._client
        phantom = make_phantom(PhantomOptions(frames=8, slices=6, spacing=(1.6, 1.6, 10.0), size=(96, 96)))
        sequence = add_cine(slicer.mrmlScene, phantom.image, phantom.affine, "heart")
        panel._parameterNode.inputVolume = proxy_of(sequence)
        panel.segment.ui.turnsComboBox.setCurrentIndex(1)
        yield sequence
        panel.logic._client = own

    @pytest.fixture
    def until_half_way(self, panel, click, wait_until):
        """Press Segment, and wait until some of the phases are ready."""

        def run() -> None:
            click(panel.segment.ui.segmentButton)
            wait_until(lambda: panel.logic.importShare > 0.2 or not panel.logic.isBusy, PATIENCE)
            assert panel.logic.isImporting, panel.segment.ui.statusLabel.text

        return run

    def test_is_shown_by_the_bar_and_not_yet_in_the_scene(self, panel, cine, until_half_way, wait_until):
        nodes = node_ids(slicer.mrmlScene)
        until_half_way()
        ui = panel.segment.ui
        assert node_ids(slicer.mrmlScene) == nodes
        assert ui.progressBar.isVisible() and 80 < ui.progressBar.value < 100
        assert "result" in ui.statusLabel.text
        assert ui.cancelButton.enabled and not ui.segmentButton.enabled
        with pytest.raises(CardiacSegError, match="A segmentation is running"):
            panel.logic.start(cine)
        wait_until(lambda: not panel.logic.isBusy)
        assert ui.statusLabel.text.startswith("Done in")
        assert segmentation_sequence_of(cine).GetNumberOfDataNodes() == 8

    def test_stays_away_after_cancel_and_the_worker_stays_warm(self, panel, cine, until_half_way, click, wait_until):
        nodes = node_ids(slicer.mrmlScene)
        until_half_way()
        worker = panel.logic._client.process_id
        click(panel.segment.ui.cancelButton)
        assert panel.segment.ui.statusLabel.text == "Canceled"
        assert not panel.segment.ui.progressBar.isVisible()
        assert node_ids(slicer.mrmlScene) == nodes
        assert segmentation_sequence_of(cine) is None
        segment(panel, click, wait_until)
        assert panel.logic._client.process_id == worker
        assert segmentation_sequence_of(cine) is not None

    def test_leaves_an_earlier_result_as_it_was_after_cancel(self, panel, cine, until_half_way, click, wait_until):
        segment(panel, click, wait_until)
        node = panel._parameterNode.segmentation
        assert slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, "RV")
        wait_until(lambda: not panel.results.isMeasuring)
        nodes = node_ids(slicer.mrmlScene)
        until_half_way()
        click(panel.segment.ui.cancelButton)
        assert node_ids(slicer.mrmlScene) == nodes
        labels = labels_from_segmentation_node(node, panel._parameterNode.inputVolume)
        assert set(np.unique(labels)) == {0, CANONICAL["LV"], CANONICAL["MYO"]}
        show_frame(cine, 4)
        labels = labels_from_segmentation_node(node, panel._parameterNode.inputVolume)
        assert set(np.unique(labels)) == {0, *CANONICAL.values()}

    def test_stays_away_where_the_scene_is_closed(self, panel, cine, until_half_way):
        until_half_way()
        slicer.mrmlScene.Clear()
        assert not panel.logic.isBusy
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0

    def test_is_an_error_where_the_cine_is_removed(self, panel, cine, until_half_way, wait_until):
        until_half_way()
        slicer.mrmlScene.RemoveNode(cine)
        wait_until(lambda: not panel.logic.isBusy)
        assert "scene no more" in panel.segment.ui.statusLabel.text
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
        assert not panel.segment.ui.progressBar.isVisible()

    def test_has_surfaces_as_smooth_as_was_chosen(self, panel, cine, click, wait_until):
        panel.segment.ui.smoothingSliderWidget.setValue(0.2)
        segment(panel, click, wait_until)
        result = segmentation_sequence_of(cine)
        for frame in range(8):
            segmentation = result.GetNthDataNode(frame).GetSegmentation()
            assert segmentation.GetConversionParameter("Smoothing factor") == "0.2"
            assert segmentation.ContainsRepresentation("Closed surface")

    def test_comes_in_a_script_without_the_panel_too(self, panel, cine):
        node = panel.logic.segment(cine, turns=1, show3D=True, smoothing=0.0)
        assert proxy_of(segmentation_sequence_of(cine)) is node
        assert node.GetSegmentation().GetConversionParameter("Smoothing factor") == "0.0"
