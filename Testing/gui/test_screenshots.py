"""Pictures of every section with real results: ``make screenshots OUTPUT=FOLDER``.

They are for people to look at; what can be said by rule is asserted: nothing is wider than the panel, no text is cut.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from PIL import Image
from shown_results import choose, measured, show_doubt_of_cine, small_heart

from CardiacSegLib.gui.section import showStatus
from CardiacSegLib.jobs.runs import find_runs
from CardiacSegLib.mrml.browsers import sequence_of_proxy
from CardiacSegLib.mrml.segmentation_sequences import add_segmentation_sequence
from CardiacSegLib.mrml.volumes import add_volume_node
from CardiacSegLib.phantom import make_phantom
from phantoms import write_acdc_patient

PATIENCE = 120
SECTIONS = ("segment", "results", "train", "evaluate", "models")


def unfold(panel, *names: str) -> None:
    """Unfold these sections and fold the others."""
    for name in SECTIONS:
        ui = getattr(panel, name).ui
        getattr(ui, f"{name}CollapsibleButton").collapsed = name not in names


def cut_off(panel) -> list[str]:
    """Buttons and labels of one line that are narrower than their text."""
    found = []
    for widget in panel.parent.findChildren(qt.QWidget):
        is_line = isinstance(widget, qt.QAbstractButton) or (isinstance(widget, qt.QLabel) and not widget.wordWrap)
        if is_line and widget.isVisible() and widget.text and widget.text != "…":
            needed = widget.fontMetrics().horizontalAdvance(widget.text.split("\n")[0])
            if widget.width < needed:
                found.append(f"{widget.objectName}: '{widget.text}' needs {needed} of {widget.width} pixels")
    return found


def look(panel, screenshot, name: str) -> None:
    """Write the picture of the panel, all of it, as one sees it by scrolling, and check what can be checked."""
    for _ in range(3):  # what has just been unfolded gets its place in several rounds
        slicer.app.processEvents()
        panel.parent.resize(500, max(300, panel.layout.sizeHint().height()))
    file = screenshot(panel.parent, name)
    with Image.open(file) as picture:
        assert picture.width == 500
    assert not cut_off(panel)


def test_the_panel_as_it_opens(panel, screenshot):
    look(panel, screenshot, "panel-empty")


@pytest.mark.long
def test_segmenting(panel, module, screenshot, click, wait_until):
    panel._parameterNode.inputVolume = module.loadPhantomCine()
    unfold(panel, "segment", "results")
    panel.segment.ui.turnsComboBox.setCurrentIndex(1)
    wait_until(panel.segment.ui.wholeCineCheckBox.isVisible)
    look(panel, screenshot, "segment-before")
    click(panel.segment.ui.segmentButton)
    wait_until(lambda: panel.segment.ui.progressBar.value > 50 or not panel.logic.isBusy, PATIENCE)
    look(panel, screenshot, "segment-during")
    wait_until(lambda: "Done" in panel.segment.ui.statusLabel.text and not panel.results.isMeasuring, PATIENCE)
    panel.segment.ui.advancedGroupBox.collapsed = False
    look(panel, screenshot, "segment-after")


def test_results(panel, module, screenshot):
    phantom, cine = make_phantom(), sequence_of_proxy(module.loadPhantomCine())
    panel._parameterNode.segmentation = add_segmentation_sequence(phantom.labels, cine)[1]
    unfold(panel, "results")
    measured(panel.results)
    look(panel, screenshot, "results")
    ui = panel.results.ui
    ui.patientGroupBox.collapsed = ui.furtherGroupBox.collapsed = False
    for field, text in ((ui.heightLineEdit, "181"), (ui.weightLineEdit, "78,5"), (ui.ageLineEdit, "52")):
        field.setText(text)
    choose(ui.sexComboBox, 2)
    measured(panel.results)
    look(panel, screenshot, "results-patient")
    ui.furtherGroupBox.collapsed = True
    ui.weightLineEdit.setText("a lot")
    ui.heartRateLineEdit.setText("7")
    choose(ui.edComboBox, 4)
    measured(panel.results)
    look(panel, screenshot, "results-warnings")


@pytest.fixture
def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of cases, by a name as a person would give it."""
    monkeypatch.chdir(tmp_path)
    for number in range(1, 6):
        folder = tmp_path / "hearts" / f"patient{number:03d}"
        write_acdc_patient(folder, seed=number, slices=8, spacing=(1.6, 1.6, 10.0), size=(128, 128))
    return "hearts"


@pytest.mark.long
def test_training(panel, cases, tmp_path, screenshot, click, wait_until):
    unfold(panel, "train")
    ui = panel.train.ui
    ui.runsPathLineEdit.currentPath = "runs"
    ui.datasetPathLineEdit.currentPath = cases
    ui.nameLineEdit.setText("my-hearts")
    ui.minutesSpinBox.setValue(1)
    wait_until(ui.datasetReport.isVisible, PATIENCE)
    look(panel, screenshot, "train-before")
    click(ui.trainButton)
    try:
        wait_until(ui.curvesButton.isEnabled, PATIENCE)
        wait_until(lambda: panel.train.runs.run.fraction and panel.train.runs.run.fraction > 0.25, PATIENCE)
        ui.trainAdvancedGroupBox.collapsed = False
        look(panel, screenshot, "train-during")
    finally:
        for run in find_runs(tmp_path / "runs"):
            run.kill()


@pytest.mark.long
def test_evaluating(panel, cases, tmp_path, screenshot, click, wait_until):
    for number in (4, 5):  # three are enough to look at
        shutil.rmtree(f"{cases}/patient{number:03d}")
    unfold(panel, "evaluate")
    ui = panel.evaluate.ui
    ui.casesPathLineEdit.currentPath = cases
    ui.evaluationPathLineEdit.currentPath = "evaluation"
    ui.evaluatedModelComboBox.setCurrentIndex(ui.evaluatedModelComboBox.findText("short-axis-cine"))
    click(ui.evaluateButton)
    wait_until(lambda: not panel.evaluate.isBusy, PATIENCE)
    look(panel, screenshot, "evaluate")


@pytest.mark.long
def test_the_doubt_of_a_volume(panel, scene, screenshot, click, wait_until):
    phantom = make_phantom()
    panel._parameterNode.inputVolume = add_volume_node(scene, phantom.image[..., 0], phantom.affine, "heart")
    unfold(panel, "segment", "results")
    click(panel.segment.ui.doubtCheckBox)
    panel.segment.ui.turnsComboBox.setCurrentIndex(1)
    look(panel, screenshot, "doubt-note")
    panel.segment.ui.turnsComboBox.setCurrentIndex(0)
    click(panel.segment.ui.segmentButton)
    wait_until(lambda: "Done" in panel.segment.ui.statusLabel.text and not panel.results.isMeasuring, PATIENCE)
    look(panel, screenshot, "doubt-volume")


def test_the_doubt_of_a_cine(panel, screenshot, click):
    unfold(panel, "results")
    show_doubt_of_cine(panel, small_heart())
    click(panel.results.ui.showDoubtCheckBox)
    look(panel, screenshot, "doubt-cine")


def test_models(panel, screenshot):
    unfold(panel, "models")
    look(panel, screenshot, "models")


def test_a_warning_and_an_error(panel, screenshot, scene):
    panel._parameterNode.inputVolume = add_volume_node(scene, np.ones((200, 200, 200)), np.eye(4), "CT of a chest")
    panel.segment.describeVolume()
    showStatus(panel.segment.ui.statusLabel, "the worker ended with exit code -9; close other programs", isError=True)
    look(panel, screenshot, "segment-warning")
