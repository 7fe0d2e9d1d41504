"""What a person sees who goes on from a result to Segment Editor or Segment Statistics, and comes back."""

from __future__ import annotations

import pytest
import slicer
from other_modules import add_other_modules

from CardiacSegLib.mrml.browsers import proxy_of, sequence_of_proxy
from CardiacSegLib.mrml.segmentation_sequences import add_segmentation_sequence
from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.mrml.sequences import add_cine, show_frame, shown_frame
from CardiacSegLib.mrml.volumes import add_volume_node
from CardiacSegLib.phantom import PhantomOptions, make_phantom


@pytest.fixture(scope="module")
def heart():
    return make_phantom(PhantomOptions(frames=5, slices=6, spacing=(1.6, 1.6, 10.0), size=(96, 96)))


@pytest.fixture
def results(panel, heart, wait_until, monkeypatch):
    """The section with a result of end-diastole; the other modules are there."""
    add_other_modules(monkeypatch)
    volume = add_volume_node(slicer.mrmlScene, heart.image[..., 0], heart.affine, "heart")
    panel._parameterNode.segmentation = add_segmentation_node(heart.labels[..., 0], volume)
    wait_until(lambda: not panel.results.isMeasuring)
    return panel.results


@pytest.fixture
def cine(panel, heart, wait_until, monkeypatch):
    """A cine whose result the section shows."""
    add_other_modules(monkeypatch)
    sequence = add_cine(slicer.mrmlScene, heart.image, heart.affine, "heart")
    panel._parameterNode.segmentation = add_segmentation_sequence(heart.labels, sequence)[1]
    wait_until(lambda: not panel.results.isMeasuring)
    return sequence


def shown_table(section) -> list[list[str]]:
    """The table of the panel as a person reads it."""
    table = section.ui.resultsTable
    items = [[table.item(row, column) for column in range(table.columnCount)] for row in range(table.rowCount)]
    return [[item.text() if item else "" for item in row] for row in items]


class TestAVolume:
    def test_opens_in_segment_editor_with_its_image(self, results, click):
        click(results.ui.editButton)
        assert slicer.util.selectedModule() == "SegmentEditor"
        editor = slicer.modules.SegmentEditorWidget.editor
        assert editor.segmentationSelector.currentNode() is results.parameterNode.segmentation
        assert editor.sourceVolumeSelector.currentNode().GetName() == "heart"

    def test_opens_in_segment_editor_where_its_image_was_removed(self, results, click):
        slicer.mrmlScene.RemoveNode(slicer.util.getNode("heart"))
        click(results.ui.editButton)
        editor = slicer.modules.SegmentEditorWidget.editor
        assert editor.segmentationSelector.currentNode() is results.parameterNode.segmentation

    def test_opens_in_segment_statistics_with_its_image(self, results, click):
        click(results.ui.statisticsButton)
        assert slicer.util.selectedModule() == "SegmentStatistics"
        statistics = slicer.modules.SegmentStatisticsWidget
        assert statistics.segmentationSelector.currentNode() is results.parameterNode.segmentation
        assert statistics.scalarSelector.currentNode().GetName() == "heart"

    def test_is_measured_as_it_was_edited_there_when_the_person_comes_back(self, results, click, wait_until):
        before = shown_table(results)
        click(results.ui.editButton)
        assert slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(results.parameterNode.segmentation, "RV")
        slicer.util.selectModule("CardiacSeg")
        wait_until(lambda: shown_table(results) != before and not results.isMeasuring)
        assert len(shown_table(results)) < len(before)


class TestACine:
    def test_opens_in_segment_editor_at_the_phase_that_is_shown(self, panel, cine, click):
        show_frame(cine, 3)
        click(panel.results.ui.editButton)
        editor = slicer.modules.SegmentEditorWidget.editor
        assert editor.segmentationSelector.currentNode() is panel._parameterNode.segmentation
        assert editor.sourceVolumeSelector.currentNode() is proxy_of(cine)
        assert shown_frame(cine) == 3

    def test_has_a_table_that_follows_an_edit_of_any_phase(self, panel, cine, heart, wait_until):
        before, node = shown_table(panel.results), panel._parameterNode.segmentation
        show_frame(cine, heart.es_frame)
        assert slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, "RV")
        show_frame(cine, 0)  # who scrolls on at once does not outrun the table
        wait_until(lambda: shown_table(panel.results) != before)

    def test_has_a_table_that_stays_as_it_is_while_one_scrolls(self, panel, cine):
        before = shown_table(panel.results)
        for frame in (3, 1, 0):
            show_frame(cine, frame)
            slicer.app.processEvents()
        assert not panel.results.isMeasuring
        assert shown_table(panel.results) == before
        assert sequence_of_proxy(panel._parameterNode.segmentation).GetNumberOfDataNodes() == 5
