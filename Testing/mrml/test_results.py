"""What a person reads of a study in the scene: the rows of its table, its curve, and both as text."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from CardiacSegLib.anatomy import CAMUS
from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.mrml.results import csv_text, study_curve, tab_text, table_rows
from CardiacSegLib.mrml.segmentation_sequences import add_segmentation_sequence
from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.mrml.sequences import add_cine
from CardiacSegLib.mrml.studies import Measured, Person, measure_segmentations, measure_sequence
from CardiacSegLib.mrml.tables import HEADER, Row, add_table_node
from CardiacSegLib.mrml.volumes import add_volume_node
from CardiacSegLib.phantom import PhantomOptions, make_phantom


@pytest.fixture(scope="module")
def heart():
    """Twelve phases of ten slices."""
    return make_phantom(PhantomOptions(frames=12, spacing=(1.8, 1.8, 10.0), size=(96, 96)))


def of_cine(scene, heart, times=None, person=None) -> Measured:
    cine = add_cine(scene, heart.image, heart.affine, "heart", times)
    return measure_sequence(add_segmentation_sequence(heart.labels, cine)[0], person)


@pytest.fixture
def a_study(a_scene, heart) -> Measured:
    """Of a man whose body is known."""
    person = Person(Subject(height_cm=180, weight_kg=80, sex="male", age_years=50))
    return of_cine(a_scene, heart, heart.frame_times, person)


def found(rows: list[Row], measure: str, structure: str) -> Row:
    (row,) = (row for row in rows if (row.measure, row.structure) == (measure, structure))
    return row


class TestTheRows:
    def test_have_a_measure_and_itself_over_the_body_surface_side_by_side(self, a_study):
        row = found(table_rows(a_study), "EDV", "LV")
        assert row.value == a_study.study.value("EDV", "LV")
        assert row.value_per_m2 == pytest.approx(row.value / 2.0)
        assert row.unit == "mL"

    def test_have_normal_ranges_with_units_and_their_source(self, a_study):
        row = found(table_rows(a_study), "EDV", "LV")
        assert row.normal_range.count("–") == 2
        assert row.normal_range.endswith(" mL/m²")
        assert row.range_source.startswith("men 45–74 years, Petersen 2017")
        ef = found(table_rows(a_study), "EF", "LV")
        assert (ef.value_per_m2, ef.normal_range.endswith(" %")) == (None, True)

    def test_hold_the_segments_of_the_wall_and_the_frames_at_the_end(self, a_study, heart):
        rows = table_rows(a_study)
        assert found(rows, "Wall thickness at ED, segment 1", "MYO").note == "basal anterior"
        assert [(row.measure, row.value) for row in rows[-2:]] == [
            ("ED frame", heart.ed_frame + 1),
            ("ES frame", heart.es_frame + 1),
        ]

    def test_of_a_single_phase_have_no_frame(self, a_scene, heart):
        volume = add_volume_node(a_scene, heart.image[..., 0], heart.affine, "heart")
        rows = table_rows(measure_segmentations([add_segmentation_node(heart.labels[..., 0], volume)]))
        assert found(rows, "Volume", "LV").value > 100
        assert not any("frame" in row.measure for row in rows)

    def test_leave_empty_what_cannot_be_known_and_say_why(self, a_scene, heart):
        row = found(table_rows(of_cine(a_scene, heart)), "Cardiac output", "LV")
        assert row.value is None
        assert row.note == "no heart rate, and no frame times that tell it"


class TestTheCurve:
    def test_is_that_of_the_ventricles_over_time_with_both_phases(self, a_study, heart):
        curve = study_curve(a_study)
        assert (curve.x, curve.y_title, curve.columns) == ("time (ms)", "volume (mL)", ["LV", "RV"])
        assert [row["time (ms)"] for row in curve.rows] == pytest.approx(heart.frame_times)
        assert [row["RV"] for row in curve.rows] == pytest.approx(a_study.study.function.volumes_ml["RV"])
        assert curve.marks == pytest.approx({"ED": 0.0, "ES": heart.frame_times[heart.es_frame]})

    def test_counts_frames_as_a_viewer_does_where_there_are_no_times(self, a_scene, heart):
        curve = study_curve(of_cine(a_scene, heart))
        assert [row["frame"] for row in curve.rows] == list(range(1, 13))
        assert curve.marks == {"ED": heart.ed_frame + 1, "ES": heart.es_frame + 1}

    def test_of_an_ultrasound_cine_is_one_of_areas(self, a_scene):
        labels = np.zeros((40, 40, 1, 3), np.uint8)
        for frame, rows in enumerate((20, 10, 15)):
            labels[:rows, :20, :, frame] = CAMUS["LV"]
            labels[30:35, :10, :, frame] = CAMUS["LA"]
        cine = add_cine(a_scene, labels.astype(np.int16), np.diag([1.5, 1.5, 8, 1]), "2CH")
        curve = study_curve(measure_sequence(add_segmentation_sequence(labels, cine, CAMUS)[0]))
        assert (curve.y_title, curve.columns) == ("area (cm²)", ["LV", "LA"])
        assert [row["LV"] for row in curve.rows] == pytest.approx([9.0, 4.5, 6.75])
        assert curve.marks == {"ED": 1, "ES": 2}


class TestText:
    def test_of_a_file_is_read_by_any_spreadsheet(self):
        rows = [
            Row("EDV", "LV", 9.0, "mL", 4.5, "1–2 mL", "men, a paper", "a note, of parts"),
            Row("ESV", "LV", None, "mL"),
        ]
        lines = list(csv.reader(io.StringIO(csv_text([*rows, Row("ED frame", "", 3, "")]))))
        assert tuple(lines[0]) == HEADER
        assert lines[1] == ["EDV", "LV", "9.00", "mL", "4.50", "1–2 mL", "men, a paper", "a note, of parts"]
        assert lines[2][:4] == ["ESV", "LV", "", "mL"]
        assert lines[3][:3] == ["ED frame", "", "3"]

    def test_for_the_clipboard_has_a_cell_between_tabs(self):
        lines = tab_text([Row("EF", "LV", 60.0, "%")]).splitlines()
        assert [line.split("\t")[:4] for line in lines] == [[*HEADER[:4]], ["EF", "LV", "60.00", "%"]]

    def test_says_the_same_as_the_table(self, a_scene, a_study):
        rows = table_rows(a_study)
        table = add_table_node(a_scene, rows, "results").GetTable()
        texts = [line.split("\t")[2] for line in tab_text(rows).splitlines()[1:]]
        assert [table.GetValueByName(n, "Value").ToDouble() for n in range(len(texts))] == list(map(float, texts))
