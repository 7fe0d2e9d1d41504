"""What a person sees who compares a model with reference labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import slicer

from phantoms import write_acdc_patient

PATIENCE = 60


@pytest.fixture
def evaluate(panel, tmp_path: Path):
    """The section, with two patients to be evaluated."""
    for number in (1, 2):
        write_acdc_patient(tmp_path / "cases" / f"patient{number:03d}", seed=number)
    section = panel.evaluate
    section.ui.evaluateCollapsibleButton.collapsed = False
    section.ui.casesPathLineEdit.currentPath = str(tmp_path / "cases")
    section.ui.evaluationPathLineEdit.currentPath = str(tmp_path / "evaluation")
    models = section.ui.evaluatedModelComboBox
    models.setCurrentIndex(models.findText("short-axis-cine"))
    return section


def test_evaluate_is_disabled_without_cases_and_says_why(panel):
    assert not panel.evaluate.ui.evaluateButton.enabled
    assert "folder" in panel.evaluate.ui.evaluateButton.toolTip


def test_the_worst_case_stands_first_and_a_click_shows_it(evaluate, click, wait_until):
    click(evaluate.ui.evaluateButton)
    wait_until(lambda: not evaluate.isBusy, PATIENCE)
    table = evaluate.ui.casesTable
    assert table.rowCount == 4, evaluate.ui.evaluationStatusLabel.text
    means = [float(table.item(row, 4).text()) for row in range(4)]
    assert means == sorted(means)
    assert "4 cases, mean Dice" in evaluate.ui.evaluationStatusLabel.text
    table.cellClicked.emit(0, 0)
    names = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")}
    worst = table.item(0, 0).text()
    assert names == {f"{worst} reference", f"{worst} prediction"}
    table.cellClicked.emit(1, 0)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 2


def test_what_the_model_has_seen_in_training_is_said_before_its_scores_in_red(evaluate, click, wait_until):
    """The cases bear the names of patients that the model was trained on."""
    click(evaluate.ui.evaluateButton)
    wait_until(lambda: not evaluate.isBusy, PATIENCE)
    label = evaluate.ui.evaluationStatusLabel
    warning, *_, scores = label.text.splitlines()
    assert warning.startswith("short-axis-cine WAS TRAINED ON 2 of these 2 patients (by name: patient001, patient002)")
    assert "mean Dice" in scores
    assert "color" in label.styleSheet


def test_the_report_is_opened_once_there_is_one(evaluate, tmp_path, slicer_host, click, wait_until):
    assert not evaluate.ui.reportButton.isVisible()
    click(evaluate.ui.evaluateButton)
    assert not evaluate.ui.reportButton.isVisible()
    wait_until(lambda: not evaluate.isBusy, PATIENCE)
    click(evaluate.ui.reportButton)
    report = tmp_path / "evaluation" / "report.html"
    assert report.is_file()
    assert slicer_host.opened_urls == [f"file://{report}"]
    evaluate.ui.evaluationPathLineEdit.currentPath = str(tmp_path / "another")
    assert not evaluate.ui.reportButton.isVisible()
    evaluate.ui.evaluationPathLineEdit.currentPath = str(report.parent)  # of an earlier day
    assert evaluate.ui.reportButton.isVisible()


def test_a_folder_without_cases_is_an_error(evaluate, tmp_path, click, wait_until):
    (tmp_path / "empty").mkdir()
    evaluate.ui.casesPathLineEdit.currentPath = str(tmp_path / "empty")
    click(evaluate.ui.evaluateButton)
    wait_until(lambda: not evaluate.isBusy, PATIENCE)
    assert "empty" in evaluate.ui.evaluationStatusLabel.text
    assert not evaluate.ui.casesTable.isVisible()


def test_cancel_ends_it(evaluate, click):
    click(evaluate.ui.evaluateButton)
    click(evaluate.ui.cancelEvaluationButton)
    assert not evaluate.isBusy
    assert evaluate.ui.evaluateButton.enabled
