"""What a person sees of the measures: the table, what is known of the patient, and the phases."""

from __future__ import annotations

import csv

import pytest
import slicer
from shown_results import (
    cells,
    choose,
    clear,
    enter,
    measured,
    show_cine,
    show_volume,
    small_heart,
    table,
    unfold,
    value,
)

from CardiacSegLib.mrml.browsers import sequence_of_proxy
from CardiacSegLib.mrml.segmentations import add_segmentation_node, fill_segmentation_node
from CardiacSegLib.mrml.sequences import show_frame, shown_frame
from CardiacSegLib.mrml.volumes import add_volume_node


@pytest.fixture(scope="module")
def heart():
    return small_heart()


@pytest.fixture
def results(panel, heart):
    """The section, with the true labels of end-diastole."""
    frame = heart.ed_frame
    return show_volume(panel, heart.image[..., frame], heart.labels[..., frame], heart.affine, "heart ED")


@pytest.fixture
def results_of_cine(panel, heart):
    """The section, with the true labels of a whole beat."""
    return show_cine(panel, heart)


class TestTheTable:
    def test_of_nothing_says_so(self, panel):
        assert panel.results.ui.nothingLabel.isVisible()
        assert panel.results.ui.nothingLabel.text == "Nothing is segmented yet."
        assert not panel.results.ui.saveButton.enabled

    def test_of_a_volume_has_volumes_and_no_ejection_fraction(self, results, heart):
        assert list(table(results)) == [
            ("Left ventricle", "Volume"),
            ("Right ventricle", "Volume"),
            ("Left ventricular wall", "Volume"),
            ("Left ventricular wall", "Mass"),
        ]
        true = heart.volumes_ml["LV"][heart.ed_frame]
        assert value(results, "Left ventricle", "Volume") == pytest.approx(true, rel=0.02)

    def test_of_a_cine_has_the_function_of_both_ventricles_first(self, results_of_cine, heart):
        measures = ["EDV", "ESV", "SV", "EF", "Cardiac output"]
        ventricles = [(name, measure) for name in ("Left ventricle", "Right ventricle") for measure in measures]
        assert list(table(results_of_cine)) == [*ventricles, ("Left ventricular wall", "Mass at ED")]
        edv, esv = (heart.volumes_ml["LV"][frame] for frame in (heart.ed_frame, heart.es_frame))
        assert value(results_of_cine, "Left ventricle", "EF") == pytest.approx(100 * (edv - esv) / edv, abs=1)
        assert table(results_of_cine)["Left ventricle", "Cardiac output"][0].endswith(" L/min")

    def test_of_the_wall_and_the_rates_is_a_click_away(self, results_of_cine):
        further = results_of_cine.ui.furtherTable
        assert not further.isVisible()
        unfold(results_of_cine.ui.furtherGroupBox)
        assert further.isVisible()
        measures = {measure for _, measure in table(results_of_cine, "furtherTable")}
        assert {"Peak ejection rate", "Diameter at ED", "Wall thickness at ES, largest", "Thickening, mean"} <= measures

    def test_does_not_repeat_the_frames_that_stand_above_it(self, results_of_cine):
        shown = cells(results_of_cine.ui.resultsTable) + cells(results_of_cine.ui.furtherTable)
        assert not any("frame" in line[0] for line in shown)

    def test_says_what_a_value_rests_on_or_why_there_is_none(self, results_of_cine):
        further = results_of_cine.ui.furtherTable
        tips = {further.item(row, 0).text().strip(): further.item(row, 0).toolTip() for row in range(further.rowCount)}
        assert tips["Peak ejection rate"] == "smoothed to 5 harmonics"
        assert "frame" in tips["Largest volume"]

    def test_has_a_dash_and_no_zero_where_nothing_can_be_told(self, panel, heart):
        labels = heart.labels.copy()
        labels[..., heart.es_frame][labels[..., heart.es_frame] == 3] = 0
        shown = table(show_cine(panel, heart, labels))
        for measure in ("ESV", "EF", "Cardiac output"):
            assert shown["Right ventricle", measure][0] == "–"

    def test_needs_no_scroll_bars(self, results_of_cine):
        unfold(results_of_cine.ui.furtherGroupBox)
        for widget in (results_of_cine.ui.resultsTable, results_of_cine.ui.furtherTable):
            assert not widget.verticalScrollBar().isVisible()
            assert not widget.horizontalScrollBar().isVisible()

    def test_follows_an_edit(self, results, heart, wait_until):
        before = table(results)
        halved = heart.labels[..., heart.ed_frame].copy()
        halved[:, :, ::2] = 0
        volume = slicer.util.getNode("heart ED")
        fill_segmentation_node(results.parameterNode.segmentation, halved, volume)
        assert results.isMeasuring
        assert table(measured(results)) != before

    def test_follows_an_edit_of_any_phase_of_a_cine(self, results_of_cine, heart):
        segmentation = results_of_cine.parameterNode.segmentation
        show_frame(sequence_of_proxy(segmentation), heart.es_frame)
        clear(segmentation, "RV")
        show_frame(sequence_of_proxy(segmentation), 0)  # who scrolls on at once does not outrun the table
        assert table(measured(results_of_cine))["Right ventricle", "ESV"][0] == "–"

    def test_stays_as_it_is_while_one_scrolls(self, results_of_cine, application):
        before = table(results_of_cine)
        for frame in (3, 11, 0):
            show_frame(sequence_of_proxy(results_of_cine.parameterNode.segmentation), frame)
            application.processEvents()
        assert not results_of_cine.isMeasuring
        assert table(results_of_cine) == before

    def test_goes_with_the_scene(self, results):
        slicer.mrmlScene.Clear()
        assert results.ui.nothingLabel.isVisible()
        assert results.ui.resultsTable.rowCount == 0

    def test_is_gone_when_the_scene_is_closed_while_it_is_measured(self, results_of_cine):
        results_of_cine.measure()
        slicer.mrmlScene.Clear()
        assert not results_of_cine.isMeasuring
        assert measured(results_of_cine).ui.resultsTable.rowCount == 0

    def test_names_a_phase_that_cannot_be_measured(self, results_of_cine):
        segmentation = results_of_cine.parameterNode.segmentation
        sequence = sequence_of_proxy(segmentation)
        sequence.SetDataNodeAtValue(slicer.vtkMRMLScalarVolumeNode(), sequence.GetNthIndexValue(2))
        clear(segmentation, "RV")
        assert "frame 3: is no segmentation" in measured(results_of_cine).ui.nothingLabel.text
        assert results_of_cine.ui.nothingLabel.isVisible()
        assert results_of_cine.ui.resultsTable.rowCount == 0
        results_of_cine.parameterNode.segmentation = None
        assert results_of_cine.ui.nothingLabel.text == "Nothing is segmented yet."


class TestWarnings:
    def test_stand_below_the_table(self, panel, heart):
        results = show_volume(panel, heart.image[..., 2:6, 0], heart.labels[..., 2:6, 0], heart.affine)
        label = results.ui.resultsWarningLabel
        assert label.isVisible()
        assert "the stack may not reach the mitral valve" in label.text

    def test_are_not_there_where_there_is_nothing_to_look_at(self, results_of_cine):
        assert not results_of_cine.ui.resultsWarningLabel.isVisible()

    def test_tell_of_a_segment_that_is_not_measured_whole(self, results):
        node = results.parameterNode.segmentation
        image = slicer.vtkOrientedImageData()
        image.DeepCopy(node.GetSegmentation().GetSegment("LV").GetRepresentation("Binary labelmap"))
        image.GetPointData().GetScalars().Fill(1)
        node.GetSegmentation().RemoveSegment("RV")
        node.AddSegmentFromBinaryLabelmapRepresentation(image, "RV")
        assert "under another segment" in measured(results).ui.resultsWarningLabel.text


class TestThePatient:
    @pytest.fixture
    def patient(self, results_of_cine):
        """The fields, unfolded."""
        unfold(results_of_cine.ui.patientGroupBox)
        return results_of_cine.ui

    def test_is_unknown_at_first(self, results_of_cine):
        ui = results_of_cine.ui
        assert not ui.heightLineEdit.isVisible()
        assert {ui.heightLineEdit.text, ui.weightLineEdit.text, ui.ageLineEdit.text, ui.heartRateLineEdit.text} == {""}
        assert ui.sexComboBox.currentText == "Unknown"
        assert [len(line) for line in cells(ui.resultsTable)] == [2] * ui.resultsTable.rowCount
        assert not ui.rangesLabel.isVisible()

    def test_of_known_height_and_weight_has_values_over_the_body_surface(self, results_of_cine, patient):
        enter(patient.heightLineEdit, "180")
        enter(patient.weightLineEdit, "80")
        plain, indexed = table(measured(results_of_cine))["Left ventricle", "EDV"]
        assert indexed.endswith("mL/m²")
        assert float(indexed.split()[0]) == pytest.approx(float(plain.split()[0]) / 2.0, abs=0.1)
        assert patient.bsaLabel.text == "2.00 m²"
        enter(patient.weightLineEdit, "120,5")
        measured(results_of_cine)
        assert patient.bsaLabel.text == "2.45 m²"
        choose(patient.bsaComboBox, 1)
        measured(results_of_cine)
        assert patient.bsaLabel.text == "2.38 m²"

    def test_of_known_sex_has_normal_ranges_with_their_source(self, results_of_cine, patient):
        choose(patient.sexComboBox, 1)
        enter(patient.ageLineEdit, "50")
        assert any("–" in text for text in table(measured(results_of_cine))["Left ventricle", "EDV"][1:])
        assert patient.rangesLabel.isVisible()
        assert "Petersen 2017, women" in patient.rangesLabel.text
        assert "not a diagnosis" in patient.rangesLabel.text

    def test_has_the_heart_rate_of_the_frame_times_until_one_is_typed(self, results_of_cine, patient):
        assert patient.heartRateLineEdit.placeholderText.startswith("65")
        stroke = value(results_of_cine, "Left ventricle", "SV")
        enter(patient.heartRateLineEdit, "70")
        assert value(measured(results_of_cine), "Left ventricle", "Cardiac output") == pytest.approx(
            stroke * 0.07, abs=0.06
        )
        assert "peak rates take the frames" not in patient.resultsWarningLabel.text

    @pytest.mark.parametrize(
        ("field", "text", "problem"),
        [
            ("heightLineEdit", "1.8", "height 1.8 is not between 30 and 250 cm"),
            ("weightLineEdit", "eighty", "weight 'eighty' is not a number; give it in kg"),
            ("ageLineEdit", "-1", "age -1 is not between 0 and 120 years"),
            ("ageLineEdit", "nan", "age 'nan' is not a number"),
            ("heartRateLineEdit", "5", "heart rate 5 is not between 20 and 250"),
            ("heartRateLineEdit", "0", "heart rate 0 is not between 20 and 250"),
        ],
    )
    def test_with_a_wrong_value_is_told_which_and_measured_without_it(
        self, results_of_cine, patient, field, text, problem
    ):
        before = table(results_of_cine)
        enter(getattr(patient, field), text)
        assert table(measured(results_of_cine)) == before
        assert problem in patient.resultsWarningLabel.text
        getattr(patient, field).clear()
        measured(results_of_cine)
        assert not patient.resultsWarningLabel.isVisible()

    def test_is_saved_with_the_scene_as_it_was_typed(self, results_of_cine, patient):
        enter(patient.heightLineEdit, "180,5")
        choose(patient.sexComboBox, 2)
        node = results_of_cine.parameterNode.parameterNode
        parameters = {node.GetParameter(name) for name in node.GetParameterNamesAsCommaSeparatedList().split(",")}
        assert {"180,5", "male"} <= parameters


class TestThePhases:
    def test_of_a_cine_are_found(self, results_of_cine, heart):
        ui = results_of_cine.ui
        assert (ui.edComboBox.currentIndex, ui.esComboBox.currentIndex) == (heart.ed_frame, heart.es_frame)
        assert ui.edComboBox.itemText(1) == f"Frame 2 ({heart.frame_times[1]:.0f} ms)"

    def test_can_be_chosen_by_hand_and_are_then_shown(self, results_of_cine, heart):
        before = table(results_of_cine)
        choose(results_of_cine.ui.esComboBox, 2)
        assert table(measured(results_of_cine)) != before
        assert results_of_cine.parameterNode.esPhase == 2
        assert results_of_cine.ui.esComboBox.currentIndex == 2
        assert shown_frame(sequence_of_proxy(results_of_cine.parameterNode.segmentation)) == 2
        choose(results_of_cine.ui.esComboBox, heart.es_frame)
        assert table(measured(results_of_cine)) == before
        assert results_of_cine.parameterNode.esPhase == -1  # as found, and so it follows an edit again

    def test_of_two_volumes_are_taken_together_only_when_the_person_says_so(self, results, heart):
        volume = add_volume_node(slicer.mrmlScene, heart.image[..., heart.es_frame], heart.affine, "heart ES")
        add_segmentation_node(heart.labels[..., heart.es_frame], volume)
        results.measure()
        assert ("Left ventricle", "EF") not in table(measured(results))
        combo = results.ui.esComboBox
        assert [combo.itemText(index) for index in range(combo.count)] == ["none", "heart ED", "heart ES"]
        choose(combo, 2)
        edv, esv = (heart.volumes_ml["LV"][frame] for frame in (heart.ed_frame, heart.es_frame))
        assert value(measured(results), "Left ventricle", "EF") == pytest.approx(100 * (edv - esv) / edv, abs=1)
        assert not results.ui.curveButton.isVisible()


class TestTheTableGivenAway:
    def test_is_saved_as_csv_with_all_that_is_known(self, results_of_cine, slicer_host, tmp_path, click):
        slicer_host.chosen_path = str(tmp_path / "table.csv")
        click(results_of_cine.ui.saveButton)
        with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
        assert rows[0][:4] == ["Measure", "Structure", "Value", "Unit"]
        assert ["EF", "LV"] in [row[:2] for row in rows]
        assert rows[-1][:3] == ["ES frame", "", str(results_of_cine.ui.esComboBox.currentIndex + 1)]

    def test_is_copied_for_a_spreadsheet(self, results, click, application):
        click(results.ui.copyButton)
        lines = application.clipboard().text().splitlines()
        assert lines[1].startswith("Volume\tLV\t")
        assert {line.count("\t") for line in lines} == {7}
