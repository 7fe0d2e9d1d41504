"""What a person sees who trains on cases of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import qt
import slicer
from PySide6.QtTest import QTest

from CardiacSegLib.bundles import list_models
from CardiacSegLib.datasets.datalist import find_cases
from CardiacSegLib.gui.train import TrainSection
from CardiacSegLib.jobs.runs import find_runs
from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.phantom import make_phantom
from phantoms import write_acdc_patient

PATIENCE = 60


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Five patients in the layout of ACDC."""
    folder = tmp_path / "cases"
    for number in range(1, 6):
        write_acdc_patient(folder / f"patient{number:03d}", seed=number)
    return folder


@pytest.fixture
def train(panel, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The section, with the cases chosen and runs and models in a temporary folder."""
    monkeypatch.setenv("CARDIACSEG_MODELS", str(tmp_path / "models"))
    section = panel.train
    section.ui.trainCollapsibleButton.collapsed = False
    section.ui.runsPathLineEdit.currentPath = str(tmp_path / "runs")
    section.ui.datasetPathLineEdit.currentPath = str(cases)
    section.ui.nameLineEdit.setText("mine")
    section.ui.minutesSpinBox.setValue(0)
    section.ui.epochsSpinBox.setValue(2)
    yield section
    for run in find_runs(tmp_path / "runs"):
        run.kill()


def start(section, click, wait_until) -> None:
    """Press Train and wait until it trains."""
    click(section.ui.trainButton)
    wait_until(lambda: "training on" in section.ui.runStatusLabel.text, PATIENCE)


def points_of(section) -> int:
    """How many points the curves have."""
    return section.runs.chart.GetNthPlotSeriesNode(0).GetTableNode().GetNumberOfRows()


class TestBeforeTheClick:
    def test_what_is_recognized_in_the_folder_is_shown(self, train, wait_until):
        wait_until(train.ui.datasetReport.isVisible, PATIENCE)
        assert train.ui.datasetSummaryLabel.text == "5 patients, 10 cases with RV, MYO, LV"
        assert "ACDC" in train.ui.datasetReport.toPlainText()
        assert train.ui.trainButton.enabled

    def test_a_folder_without_cases_is_an_obstacle_that_is_named(self, train, tmp_path, wait_until):
        (tmp_path / "empty").mkdir()
        train.ui.datasetPathLineEdit.currentPath = str(tmp_path / "empty")
        wait_until(lambda: "layout" in train.ui.datasetSummaryLabel.text, PATIENCE)
        assert not train.ui.trainButton.enabled
        assert "layout" in train.ui.trainButton.toolTip

    @pytest.mark.parametrize(
        ("name", "reason"), [("", "name"), ("a b/c", "name"), ("mine", "")], ids=["no name", "odd name", "a good name"]
    )
    def test_train_says_why_it_is_disabled(self, train, name, reason):
        train.ui.nameLineEdit.setText(name)
        assert train.ui.trainButton.enabled is (not reason)
        assert reason in train.ui.trainButton.toolTip

    def test_every_choice_comes_from_the_registries_of_the_engine(self, train):
        names = [train.ui.networkComboBox.itemText(index) for index in range(train.ui.networkComboBox.count)]
        assert {"dynunet", "unet", "segnet"} <= set(names)
        assert train.ui.recipeComboBox.currentText == "short-axis-cine"

    def test_what_was_chosen_is_what_the_command_line_gets(self, train):
        train.ui.lossComboBox.setCurrentIndex(train.ui.lossComboBox.findText("focal"))
        arguments = train.arguments()
        assert arguments[arguments.index("--loss") + 1] == "focal"
        assert arguments[arguments.index("--epochs") + 1] == "2"
        assert "--minutes" in arguments and "--network" not in arguments


class TestRuns:
    def test_two_epochs_show_a_growing_curve_and_end_in_a_model(self, train, panel, click, wait_until):
        start(train, click, wait_until)
        wait_until(train.ui.curvesButton.isEnabled, PATIENCE)
        click(train.ui.curvesButton)
        first = points_of(train)
        wait_until(train.ui.useModelButton.isEnabled, PATIENCE)
        assert points_of(train) > first > 0
        assert train.ui.runProgressBar.value == 100
        assert train.ui.runStatusLabel.text.startswith("finished · Dice LV")
        click(train.ui.useModelButton)
        assert "mine" in [model.name for model in list_models()]
        assert panel.segment.ui.modelComboBox.findText("mine") >= 0

    def test_a_run_outlives_the_panel_and_is_found_again(self, train, panel, click, wait_until):
        train.ui.epochsSpinBox.setValue(400)
        start(train, click, wait_until)
        slicer.util.selectModule("")
        slicer.util.selectModule("CardiacSeg")
        again = TrainSection(panel.resourcePath("UI/Train.ui"), lambda name: None)
        again.enter()
        assert again.ui.runComboBox.currentText == "mine"
        assert again.ui.stopButton.enabled
        again.runs.run.kill()
        wait_until(lambda: again.ui.resumeButton.enabled, PATIENCE)
        assert "gone" in again.ui.runStatusLabel.text or "ended" in again.ui.runStatusLabel.text
        again.close()

    @pytest.mark.long
    def test_stop_saves_and_resume_goes_on(self, train, click, wait_until):
        train.ui.epochsSpinBox.setValue(400)
        start(train, click, wait_until)
        click(train.ui.stopButton)
        wait_until(train.ui.resumeButton.isEnabled, PATIENCE)
        assert train.ui.runStatusLabel.text.startswith("stopped")
        click(train.ui.resumeButton)
        wait_until(lambda: "training on" in train.ui.runStatusLabel.text, PATIENCE)
        assert not train.ui.resumeButton.enabled

    def test_a_run_that_cannot_begin_says_why(self, train, cases, click, wait_until):
        shutil.rmtree(cases)
        click(train.ui.trainButton)
        wait_until(lambda: str(cases) in train.ui.runStatusLabel.text, PATIENCE)
        assert train.ui.resumeButton.enabled


class TestTheScene:
    @pytest.fixture
    def pairs(self, train, module, click):
        """The section after a click on From scene, where end-diastole and end-systole have a segmentation."""
        phantom = make_phantom()
        for node, frame in zip(module.loadPhantom(), (phantom.ed_frame, phantom.es_frame)):
            add_segmentation_node(phantom.labels[..., frame], node)
        click(train.ui.sceneButton)
        return train

    def test_its_pairs_are_listed_and_all_are_checked(self, pairs):
        table = pairs.ui.pairsTable
        assert table.isVisible()
        assert [[table.item(row, column).text() for column in (0, 1)] for row in range(table.rowCount)] == [
            ["CardiacSegPhantom ED", "CardiacSegPhantom ED segmentation"],
            ["CardiacSegPhantom ES", "CardiacSegPhantom ES segmentation"],
        ]
        assert checked(pairs) == [True, True]

    def test_they_become_cases(self, pairs, slicer_host, tmp_path, click):
        slicer_host.chosen_path = str(tmp_path / "exported")
        click(pairs.ui.usePairsButton)
        assert pairs.ui.datasetPathLineEdit.currentPath == str(tmp_path / "exported" / "dataset.json")
        assert names_of_cases(tmp_path / "exported") == ["CardiacSegPhantom ED", "CardiacSegPhantom ES"]
        assert not pairs.ui.pairsTable.isVisible()

    def test_one_that_is_unchecked_is_left_out(self, pairs, slicer_host, tmp_path, click):
        slicer_host.chosen_path = str(tmp_path / "exported")
        click_box(pairs, 0)
        assert checked(pairs) == [False, True]
        assert "1 of the pairs" in pairs.ui.usePairsButton.toolTip
        click(pairs.ui.usePairsButton)
        assert names_of_cases(tmp_path / "exported") == ["CardiacSegPhantom ES"]

    def test_what_was_left_out_stays_so_when_the_list_is_opened_again(self, pairs, click):
        click_box(pairs, 1)
        click(pairs.ui.sceneButton)
        assert not pairs.ui.pairsTable.isVisible()
        click(pairs.ui.sceneButton)
        assert checked(pairs) == [True, False]
        click_box(pairs, 1)
        assert checked(pairs) == [True, True]

    def test_nothing_can_be_written_where_none_is_checked(self, pairs):
        click_box(pairs, 0)
        click_box(pairs, 1)
        assert not pairs.ui.usePairsButton.enabled
        assert "check a pair" in pairs.ui.usePairsButton.toolTip

    def test_nothing_can_be_written_where_no_volume_has_a_segmentation(self, train, module, click):
        module.loadPhantom()
        click(train.ui.sceneButton)
        assert train.ui.pairsTable.rowCount == 0
        assert not train.ui.usePairsButton.enabled

    def test_one_that_was_removed_is_left_out(self, pairs, slicer_host, tmp_path, click):
        slicer_host.chosen_path = str(tmp_path / "exported")
        slicer.mrmlScene.RemoveNode(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0])
        click(pairs.ui.usePairsButton)
        assert names_of_cases(tmp_path / "exported") == ["CardiacSegPhantom ES"]

    def test_closing_the_scene_closes_the_list(self, pairs):
        slicer.mrmlScene.Clear()
        assert not pairs.ui.pairsTable.isVisible()
        assert pairs.ui.pairsTable.rowCount == 0


def checked(section) -> list[bool]:
    """Which boxes of the pairs are checked."""
    table = section.ui.pairsTable
    return [table.item(row, 0).checkState() == qt.Qt.Checked for row in range(table.rowCount)]


def click_box(section, row: int) -> None:
    """Click the box of a pair with the mouse."""
    table = section.ui.pairsTable
    slicer.app.processEvents()
    option = qt.QStyleOptionViewItem()
    option.rect = table.visualItemRect(table.item(row, 0))
    option.features = qt.QStyleOptionViewItem.HasCheckIndicator
    box = table.style().subElementRect(qt.QStyle.SE_ItemViewItemCheckIndicator, option, table)
    QTest.mouseClick(table.viewport(), qt.Qt.LeftButton, qt.Qt.NoModifier, box.center())


def names_of_cases(folder: Path) -> list[str]:
    """The patients of an export."""
    return sorted(case.patient for case in find_cases(folder / "dataset.json"))
