"""What a person sees of the measures: the table, the phases, and what the buttons give away."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import slicer

from CardiacSegLib.mrml.segmentations import add_segmentation_node, fill_segmentation_node
from CardiacSegLib.mrml.sequences import add_segmentation_sequence, sequence_of_proxy
from CardiacSegLib.phantom import make_phantom


@pytest.fixture
def phantom():
    return make_phantom()


@pytest.fixture
def a_volume(module):
    return module.loadPhantom()[0]


@pytest.fixture
def results(panel, phantom, a_volume):
    """The section, with the true labels of end-diastole."""
    node = add_segmentation_node(phantom.labels[..., phantom.ed_frame], a_volume)
    panel._parameterNode.segmentation = node
    return panel.results


@pytest.fixture
def results_of_cine(panel, module, phantom):
    """The section, with the true labels of a whole beat."""
    sequence = sequence_of_proxy(module.loadPhantomCine())
    panel._parameterNode.segmentation = add_segmentation_sequence(phantom.labels, sequence)[1]
    return panel.results


def table(section) -> dict[tuple[str, str], str]:
    widget = section.ui.resultsTable
    text = [[widget.item(row, column).text() for column in range(4)] for row in range(widget.rowCount)]
    return {(measure, structure): f"{value} {unit}" for measure, structure, value, unit in text}


def test_before_anything_is_segmented_it_says_so(panel):
    assert panel.results.ui.nothingLabel.isVisible()
    assert not panel.results.ui.saveButton.enabled


def test_a_volume_shows_volumes_and_no_ejection_fraction(results, phantom):
    shown = table(results)
    assert set(shown) == {("Volume", "LV"), ("Volume", "MYO"), ("Volume", "RV")}
    value, unit = shown["Volume", "LV"].split()
    assert unit == "mL"
    assert float(value) == pytest.approx(phantom.volumes_ml["LV"][phantom.ed_frame], rel=0.02)


def test_an_edit_changes_the_table(results, phantom, a_volume, wait_until):
    before = table(results)
    halved = phantom.labels[..., phantom.ed_frame].copy()
    halved[:, :, ::2] = 0
    fill_segmentation_node(results.parameterNode.segmentation, halved, a_volume)
    wait_until(lambda: table(results) != before, 5)


def test_a_cine_shows_function_with_ed_and_es_found(results_of_cine, phantom):
    shown = table(results_of_cine)
    assert results_of_cine.ui.edComboBox.currentIndex == phantom.ed_frame
    assert results_of_cine.ui.esComboBox.currentIndex == phantom.es_frame
    edv, esv = (phantom.volumes_ml["LV"][frame] for frame in (phantom.ed_frame, phantom.es_frame))
    assert float(shown["EF", "LV"].split()[0]) == pytest.approx(100 * (edv - esv) / edv, abs=2)
    assert shown["Mass at ED", "MYO"].endswith(" g")


def test_the_volumes_over_the_beat_are_shown_as_a_plot(results_of_cine, click):
    click(results_of_cine.ui.curveButton)
    chart = results_of_cine._chart
    names = {chart.GetNthPlotSeriesNode(index).GetName() for index in range(chart.GetNumberOfPlotSeriesNodes())}
    assert names == {"LV", "MYO", "RV"}
    assert chart.GetNthPlotSeriesNode(0).GetTableNode().GetNumberOfRows() == 20


def test_a_single_volume_has_no_curve(results):
    assert not results.ui.curveButton.isVisible()


def test_es_can_be_changed_by_hand(results_of_cine, phantom):
    before = table(results_of_cine)["EF", "LV"]
    combo = results_of_cine.ui.esComboBox
    combo.setCurrentIndex(phantom.ed_frame + 1)
    combo.activated.emit(combo.currentIndex)
    assert table(results_of_cine)["EF", "LV"] != before
    assert results_of_cine.parameterNode.esPhase == phantom.ed_frame + 1


def test_two_volumes_are_taken_together_only_when_the_person_says_so(results, phantom, module):
    es_volume = slicer.mrmlScene.GetNodesByClass("vtkMRMLScalarVolumeNode").GetItemAsObject(1)
    add_segmentation_node(phantom.labels[..., phantom.es_frame], es_volume)
    results._measure()
    assert ("EF", "LV") not in table(results)
    combo = results.ui.esComboBox
    combo.setCurrentIndex(combo.count - 1)
    combo.activated.emit(combo.currentIndex)
    assert ("EF", "LV") in table(results)


def test_the_table_is_saved_as_csv(results_of_cine, slicer_host, tmp_path, click):
    slicer_host.chosen_path = str(tmp_path / "table.csv")
    click(results_of_cine.ui.saveButton)
    with (tmp_path / "table.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert ["EF", "LV"] in [row[:2] for row in rows]


def test_the_table_is_copied_for_a_spreadsheet(results, click, application):
    click(results.ui.copyButton)
    lines = application.clipboard().text().splitlines()
    assert len(lines) == 4 and all(line.count("\t") == 3 for line in lines)


def test_closing_the_scene_empties_the_table(results):
    slicer.mrmlScene.Clear()
    assert results.ui.nothingLabel.isVisible()
    assert results.ui.resultsTable.rowCount == 0


def test_a_structure_that_is_not_there_has_a_dash_and_no_zero(panel, phantom, module):
    labels = phantom.labels.copy()
    labels[labels == 3] = 0
    labels[..., phantom.es_frame] = np.where(labels[..., phantom.es_frame] == 1, 0, labels[..., phantom.es_frame])
    sequence = sequence_of_proxy(module.loadPhantomCine())
    panel._parameterNode.segmentation = add_segmentation_sequence(labels, sequence)[1]
    assert ("EDV", "RV") not in table(panel.results)
