"""What a person sees of a study beside its table: the table node, the curve, the bullseye and the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
from event_loop import BLOCKED, Heartbeat, best_of, run_until
from shown_results import PATIENCE, choose, clear, measured, nodes, show_cine, show_volume, small_heart

from CardiacSegLib.mrml.browsers import sequence_of_proxy
from CardiacSegLib.mrml.grids import LabelStore
from CardiacSegLib.mrml.pictures import PICTURE_AND_PLOT_LAYOUT, PICTURE_LAYOUT
from CardiacSegLib.mrml.segmentation_sequences import add_segmentation_sequence
from CardiacSegLib.mrml.sequences import show_frame
from CardiacSegLib.phantom import make_phantom


@pytest.fixture(scope="module")
def heart():
    return small_heart()


@pytest.fixture
def results(panel, heart):
    """The section, with the true labels of end-diastole."""
    return show_volume(panel, heart.image[..., 0], heart.labels[..., 0], heart.affine)


@pytest.fixture
def results_of_cine(panel, heart):
    """The section, with the true labels of a whole beat."""
    return show_cine(panel, heart)


class TestTheTableNode:
    def test_comes_with_a_result_and_follows_it(self, results_of_cine):
        node = results_of_cine.parameterNode.resultsTable
        assert node.GetName() == "heart segmentation measures"
        rows = node.GetNumberOfRows()
        clear(results_of_cine.parameterNode.segmentation, "LV")  # of end-diastole
        measured(results_of_cine)
        assert node.GetNumberOfRows() == rows
        assert nodes("vtkMRMLTableNode") == [node]

    def test_has_all_measures_and_the_frames(self, results_of_cine, heart):
        found = results_of_cine.parameterNode.resultsTable.GetTable()
        measures = [found.GetValueByName(row, "Measure").ToString() for row in range(found.GetNumberOfRows())]
        assert {"EF", "Mass at ES", "Peak filling rate", "Wall thickness at ED, segment 16"} <= set(measures)
        assert found.GetValueByName(measures.index("ED frame"), "Value").ToDouble() == heart.ed_frame + 1

    def test_is_not_made_by_looking_at_a_segmentation(self, results):
        assert not results.parameterNode.resultsTable


class TestTheCurve:
    def test_shows_both_ventricles_with_end_diastole_and_end_systole(self, results_of_cine, heart, click):
        click(results_of_cine.ui.curveButton)
        chart = results_of_cine.parameterNode.volumeChart
        series = {series.GetName(): series for series in series_of(chart)}
        assert list(series) == ["LV", "RV", "ED", "ES"]
        assert series["LV"].GetTableNode().GetNumberOfRows() == 12
        assert place_of(series["ES"]) == pytest.approx(heart.frame_times[heart.es_frame])

    def test_follows_an_edit_and_another_phase_in_its_place(self, results_of_cine, heart, click):
        click(results_of_cine.ui.curveButton)
        chart, before = results_of_cine.parameterNode.volumeChart, len(nodes("vtkMRMLNode"))
        clear(results_of_cine.parameterNode.segmentation, "RV")
        choose(results_of_cine.ui.esComboBox, 3)
        measured(results_of_cine)
        series = {series.GetName(): series for series in series_of(chart)}
        assert series["RV"].GetTableNode().GetTable().GetValueByName(0, "RV").ToDouble() == 0
        assert place_of(series["ES"]) == pytest.approx(heart.frame_times[3])
        click(results_of_cine.ui.curveButton)
        assert results_of_cine.parameterNode.volumeChart is chart
        assert len(nodes("vtkMRMLNode")) == before

    def test_is_not_offered_for_a_single_volume(self, results):
        assert not results.ui.curveButton.isVisible()


def series_of(chart) -> list:
    return [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]


def place_of(mark) -> float:
    return mark.GetTableNode().GetTable().GetValueByName(0, mark.GetXColumnName()).ToDouble()


class TestTheBullseye:
    @pytest.fixture
    def layouts(self, scene):
        """The layouts of the application."""
        logic = slicer.vtkMRMLLayoutLogic()
        logic.SetMRMLScene(scene)
        yield logic.GetLayoutNode()
        logic.SetMRMLScene(None)

    @pytest.fixture
    def drawn(self, layouts, results_of_cine, click, wait_until):
        """The section after a click on Bullseye, and the picture."""
        click(results_of_cine.ui.bullseyeButton)
        assert results_of_cine.ui.resultsStatusLabel.text == "Drawing the bullseye"
        wait_until(lambda: results_of_cine.parameterNode.bullseye, PATIENCE)
        return results_of_cine, results_of_cine.parameterNode.bullseye

    def test_is_a_picture_in_the_layout_beside_the_curve_and_drawn_once(self, drawn, layouts, click):
        results, picture = drawn
        assert picture.GetName() == "Bullseye of heart segmentation"
        assert picture.GetImageData().GetNumberOfScalarComponents() == 3
        assert layouts.GetViewArrangement() == PICTURE_AND_PLOT_LAYOUT
        chart = results.parameterNode.volumeChart
        assert slicer.app.applicationLogic().GetSelectionNode().GetActivePlotChartID() == chart.GetID()
        assert not results.ui.resultsStatusLabel.isVisible()
        click(results.ui.bullseyeButton)
        assert not results._views.isBusy  # the values are the same: nothing is drawn again
        assert nodes("vtkMRMLVectorVolumeNode") == [picture]

    def test_of_a_volume_stands_without_a_curve(self, results, layouts, click, wait_until):
        click(results.ui.bullseyeButton)
        wait_until(lambda: results.parameterNode.bullseye, PATIENCE)
        assert layouts.GetViewArrangement() == PICTURE_LAYOUT

    def test_follows_the_study_in_its_place_and_goes_where_there_is_none(self, drawn, heart, wait_until):
        results, picture = drawn
        before = slicer.util.arrayFromVolume(picture).copy()
        choose(results.ui.esComboBox, 2)
        measured(results)
        wait_until(lambda: not np.array_equal(slicer.util.arrayFromVolume(picture), before), PATIENCE)
        assert nodes("vtkMRMLVectorVolumeNode") == [picture]
        segmentation = results.parameterNode.segmentation
        for frame in (heart.ed_frame, 2):
            show_frame(sequence_of_proxy(segmentation), frame)
            clear(segmentation, "MYO")
        measured(results)
        assert not nodes("vtkMRMLVectorVolumeNode")
        assert not results.parameterNode.bullseye

    def test_that_cannot_be_drawn_is_said_why(self, panel, heart, click):
        labels = np.where(heart.labels[..., 0] == 2, 0, heart.labels[..., 0])
        click(show_volume(panel, heart.image[..., 0], labels, heart.affine).ui.bullseyeButton)
        assert "there is no bullseye: no slice shows the myocardium" in panel.results.ui.resultsStatusLabel.text

    def test_is_not_taken_for_an_image_of_a_heart(self, panel):
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "bullseye")
        panel.initializeParameterNode()
        assert not panel._parameterNode.inputVolume


class TestTheApplication:
    def test_lives_on_while_a_cine_is_measured_and_its_bullseye_drawn(self, panel, module, click):
        """The phantom's 20 phases; first all of them, then after an edit of one."""
        cine = sequence_of_proxy(module.loadPhantomCine())
        segmentation = add_segmentation_sequence(make_phantom().labels, cine)[1]
        panel.results.ui.resultsCollapsibleButton.collapsed = False

        def blocked_by(act) -> float:
            with Heartbeat().listening() as heartbeat:
                act()
                run_until(lambda: not panel.results.isMeasuring and not panel.results._views.isBusy)
            return heartbeat.longest

        def show() -> None:
            panel.results._store = LabelStore()  # as if they had never been looked at
            panel._parameterNode.segmentation = segmentation
            panel.results.show(segmentation)

        longest = {
            "measuring": best_of(lambda: blocked_by(show), BLOCKED),
            "an edit": best_of(lambda: blocked_by(lambda: clear(segmentation, "RV")), BLOCKED),
            "the bullseye": best_of(lambda: blocked_by(panel.results.ui.bullseyeButton.click), BLOCKED),
        }
        print(
            "\nlongest block: " + ", ".join(f"{1000 * seconds:.0f} ms by {name}" for name, seconds in longest.items())
        )
        assert max(longest.values()) <= BLOCKED


class TestThePage:
    def test_is_written_where_the_person_wants_it_and_opened(
        self, results_of_cine, slicer_host, tmp_path, click, wait_until
    ):
        page = tmp_path / "study of a heart.html"
        slicer_host.chosen_path = str(page)
        click(results_of_cine.ui.pageButton)
        wait_until(lambda: slicer_host.opened_urls, PATIENCE)
        assert [Path(url.partition("://")[2]).name for url in slicer_host.opened_urls] == [page.name]
        text = page.read_text(encoding="utf-8")
        for expected in ("Contours at ED and ES", "Ejection fraction", "heart segmentation", "3D Slicer", "Bullseye"):
            assert expected in text, expected

    def test_is_not_written_where_no_file_is_chosen(self, results_of_cine, slicer_host, click):
        click(results_of_cine.ui.pageButton)
        assert not results_of_cine._views.isBusy
        assert slicer_host.file_dialogs == ["Save page"]

    def test_that_cannot_be_written_is_an_error_in_red(self, results_of_cine, slicer_host, click, wait_until):
        slicer_host.chosen_path = "/nowhere/study.html"
        click(results_of_cine.ui.pageButton)
        wait_until(lambda: not results_of_cine._views.isBusy, PATIENCE)
        label = results_of_cine.ui.resultsStatusLabel
        assert "/nowhere/study.html: cannot be written" in label.text
        assert "color" in label.styleSheet
        assert not slicer_host.opened_urls
