"""What a person reads in the results of one phase, of ED and ES, and of a cine."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import slicer

from CardiacSegLib.anatomy import CAMUS, CANONICAL
from CardiacSegLib.clinical.volumes import ventricular_function
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.results import (
    Measured,
    choose_phases,
    csv_text,
    measure,
    measure_phases,
    measure_sequence,
    rows,
    tab_text,
    volume_curve,
)
from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.mrml.sequences import add_cine, add_segmentation_sequence, show_frame
from CardiacSegLib.mrml.tables import add_table_node
from CardiacSegLib.mrml.volumes import add_volume_node

#: Oblique, 1.5 x 1.5 x 8 mm.
AFFINE = np.eye(4)
AFFINE[:3, :3] = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0] * (1.5, 1.5, 8.0)
VOXEL_ML = 1.5 * 1.5 * 8.0 / 1000


def a_heart(lv: int, myo: int = 300, rv: int = 250, shape: tuple[int, ...] = (20, 20, 6)) -> np.ndarray:
    """Labels with so many voxels of each structure."""
    labels = np.zeros(np.prod(shape), np.uint8)
    labels[: lv + myo + rv] = np.repeat(list(CANONICAL.values()), [lv, myo, rv])
    return labels.reshape(shape)


def volume(scene, name: str, shape: tuple[int, ...] = (20, 20, 6)) -> slicer.vtkMRMLScalarVolumeNode:
    return add_volume_node(scene, np.zeros(shape, np.int16), AFFINE, name)


def values(found) -> dict[tuple[str, str], float | None]:
    return {(row.measure, row.structure): row.value for row in found}


@pytest.fixture
def ed_and_es(a_scene) -> list[Measured]:
    pairs = []
    for name, labels in (("patient_ES", a_heart(200, 300, 150)), ("patient_ED", a_heart(500, 320, 250))):
        image = volume(a_scene, name)
        pairs.append((add_segmentation_node(labels, image), image))
    return measure_phases(pairs)


@pytest.fixture
def a_beating_cine() -> np.ndarray:
    """Labels of 14 frames, one of them segmented far too small."""
    lv = [500, 480, 420, 340, 270, 230, 215, 230, 280, 350, 20, 460, 485, 498]
    return np.stack([a_heart(count, 300, count // 2) for count in lv], axis=-1)


@pytest.fixture
def a_segmented_cine(a_scene, a_beating_cine) -> slicer.vtkMRMLSequenceNode:
    cine = add_cine(a_scene, np.zeros(a_beating_cine.shape, np.int16), AFFINE, "cine", np.arange(14) * 50.0)
    return add_segmentation_sequence(a_beating_cine, cine)[0]


class TestOnePhase:
    def test_is_known_by_its_volume_and_has_milliliters(self, a_scene):
        image = volume(a_scene, "patient_ED")
        found = measure(add_segmentation_node(a_heart(500, 300, 250), image), image)
        assert found.label == "patient_ED"
        assert found.volumes_ml == pytest.approx({"LV": 500 * VOXEL_ML, "MYO": 300 * VOXEL_ML, "RV": 250 * VOXEL_ML})

    def test_shows_volumes_and_nothing_of_function(self, a_scene):
        found = measure(add_segmentation_node(a_heart(500), volume(a_scene, "v")))
        shown = rows([found], *choose_phases([found]))
        assert [(row.measure, row.structure, row.unit) for row in shown] == [
            ("Volume", name, "mL") for name in ("LV", "MYO", "RV")
        ]

    def test_does_not_report_a_structure_that_was_not_found(self, a_scene):
        found = measure(add_segmentation_node(a_heart(500, 300, 0), volume(a_scene, "v")))
        assert set(found.volumes_ml) == {"LV", "MYO"}

    def test_follows_what_a_person_edits(self, a_scene):
        node = add_segmentation_node(a_heart(500), volume(a_scene, "v"))
        assert "LV" in measure(node).volumes_ml
        assert slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, "LV")
        assert set(measure(node).volumes_ml) == {"MYO", "RV"}

    def test_counts_a_segment_that_was_drawn_on_a_finer_grid(self, a_scene):
        node = add_segmentation_node(a_heart(500), volume(a_scene, "v"))
        segmentation = node.GetSegmentation()
        fine = slicer.vtkOrientedImageData()
        fine.SetDimensions(10, 10, 10)
        fine.SetSpacing(0.5, 0.5, 0.5)
        fine.AllocateScalars(3, 1)  # unsigned char
        fine.GetPointData().GetScalars().Fill(1)
        segmentation.RemoveSegment("LV")
        node.AddSegmentFromBinaryLabelmapRepresentation(fine, "LV")
        assert measure(node).volumes_ml["LV"] == pytest.approx(1000 * 0.125 / 1000)
        assert measure(node).volumes_ml["MYO"] == pytest.approx(300 * VOXEL_ML)

    def test_of_surfaces_alone_is_measured_and_left_as_it_is(self, a_scene):
        labels = np.zeros((40, 40, 12), np.uint8)
        labels[8:32, 8:32, 2:10] = CANONICAL["LV"]
        node = add_segmentation_node(labels, volume(a_scene, "v", labels.shape), closed_surface=True, smoothing=0.0)
        node.GetSegmentation().SetSourceRepresentationName("Closed surface")
        node.GetSegmentation().RemoveRepresentation("Binary labelmap")
        assert measure(node).volumes_ml["LV"] == pytest.approx(np.count_nonzero(labels) * VOXEL_ML, rel=0.15)
        assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")

    def test_of_an_empty_segmentation_shows_nothing(self, a_scene):
        node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
        assert rows([measure(node)], None, None) == []
        assert rows([], None, None) == []


class TestEndDiastoleAndEndSystole:
    def test_are_the_largest_and_the_smallest_ventricle(self, ed_and_es):
        assert choose_phases(ed_and_es) == (1, 0)

    def test_are_what_the_person_chose(self, ed_and_es):
        assert choose_phases(ed_and_es, ed=0) == (0, 0)
        assert choose_phases(ed_and_es, ed=0, es=1) == (0, 1)

    def test_are_not_told_of_phases_without_a_left_ventricle(self, ed_and_es):
        assert choose_phases([ed_and_es[0], Measured("a hand", {"RV": 3.0})]) == (None, None)
        assert choose_phases([]) == (None, None)

    def test_give_volumes_ejection_fractions_and_the_mass_at_ed(self, ed_and_es):
        shown = values(rows(ed_and_es, *choose_phases(ed_and_es)))
        assert shown == pytest.approx(
            {
                ("EDV", "LV"): 500 * VOXEL_ML,
                ("ESV", "LV"): 200 * VOXEL_ML,
                ("SV", "LV"): 300 * VOXEL_ML,
                ("EF", "LV"): 60.0,
                ("EDV", "RV"): 250 * VOXEL_ML,
                ("ESV", "RV"): 150 * VOXEL_ML,
                ("SV", "RV"): 100 * VOXEL_ML,
                ("EF", "RV"): 40.0,
                ("Mass at ED", "MYO"): 1.05 * 320 * VOXEL_ML,
            }
        )

    def test_leave_empty_what_cannot_be_computed(self):
        phases = [Measured("ED", {"LV": 100.0, "RV": 90.0}), Measured("ES", {"LV": 40.0, "MYO": 80.0})]
        shown = values(rows(phases, 0, 1))
        assert (shown["EF", "LV"], shown["EDV", "RV"]) == (60.0, 90.0)
        assert shown["ESV", "RV"] is shown["EF", "RV"] is shown["Mass at ED", "MYO"] is None

    def test_do_not_speak_of_a_ventricle_that_is_nowhere(self):
        phases = [Measured("ED", {"LV": 100.0}), Measured("ES", {"LV": 40.0})]
        assert {row.structure for row in rows(phases, 0, 1)} == {"LV"}


class TestACine:
    def test_is_measured_as_by_the_command_line(self, a_segmented_cine, a_beating_cine):
        measured = measure_sequence(a_segmented_cine)
        ed, es = choose_phases(measured)
        engine = ventricular_function(a_beating_cine, AFFINE)
        assert (ed, es) == (engine.ed_frame, engine.es_frame)
        shown = values(rows(measured, ed, es))
        renamed = {"Mass": "Mass at ED"}
        for measure_name, structure, value, _ in engine.rows():
            key = renamed.get(measure_name, measure_name), "" if "frame" in measure_name else structure
            assert shown[key] == pytest.approx(value), key

    def test_names_its_frames_as_a_viewer_does(self, a_segmented_cine):
        measured = measure_sequence(a_segmented_cine)
        assert [phase.label for phase in measured[:2]] == ["Frame 1 (0 ms)", "Frame 2 (50 ms)"]
        shown = values(rows(measured, 0, 6))
        assert (shown["ED frame", ""], shown["ES frame", ""]) == (1, 7)

    def test_follows_an_edit_of_the_frame_that_is_shown(self, a_segmented_cine):
        show_frame(a_segmented_cine, 6)
        scene = a_segmented_cine.GetScene()
        node = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        assert slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, "RV")
        measured = measure_sequence(a_segmented_cine)
        assert "RV" not in measured[6].volumes_ml
        assert all("RV" in measured[frame].volumes_ml for frame in (5, 7))

    def test_has_a_curve_over_time(self, a_segmented_cine):
        curve = volume_curve(measure_sequence(a_segmented_cine))
        assert (curve.x, curve.y_title, curve.columns) == ("time (ms)", "volume (mL)", ["LV", "MYO", "RV"])
        assert [row["time (ms)"] for row in curve.rows] == [50.0 * frame for frame in range(14)]
        assert curve.rows[6]["LV"] == pytest.approx(215 * VOXEL_ML)

    def test_without_times_has_a_curve_over_frames(self):
        curve = volume_curve([Measured("Frame 1", {"LV": 9.0}, 0), Measured("Frame 2", {"LV": 5.0}, 1)])
        assert curve.rows == [{"frame": 1.0, "LV": 9.0}, {"frame": 2.0, "LV": 5.0}]

    def test_of_images_is_refused_by_name(self, a_scene):
        cine = add_cine(a_scene, np.zeros((4, 4, 2, 3), np.int16), AFFINE, "heart")
        with pytest.raises(CardiacSegError, match="sequence 'heart sequence', frame 1: is no segmentation"):
            measure_sequence(cine)


class TestAnUltrasoundImage:
    @pytest.fixture
    def a_slice(self, a_scene) -> slicer.vtkMRMLScalarVolumeNode:
        return volume(a_scene, "2CH", (40, 40, 1))

    def test_has_areas_since_one_slice_has_no_volume(self, a_slice):
        labels = np.zeros((40, 40, 1), np.uint8)
        labels[:10, :20], labels[20:25, :8] = CAMUS["LV"], CAMUS["LA"]
        found = measure(add_segmentation_node(labels, a_slice, CAMUS))
        shown = rows([found], None, None)
        assert [(row.measure, row.structure, row.unit) for row in shown] == [
            ("Area", "LV", "cm²"),
            ("Area", "LA", "cm²"),
        ]
        assert shown[0].value == pytest.approx(200 * 1.5 * 1.5 / 100)

    def test_has_areas_at_both_phases(self, a_slice):
        large, small = (add_segmentation_node(a_heart(n, 0, 0, (40, 40, 1)), a_slice) for n in (400, 100))
        measured = measure_phases([(large, None), (small, None)])
        shown = values(rows(measured, *choose_phases(measured)))
        assert shown == pytest.approx({("Area at ED", "LV"): 9.0, ("Area at ES", "LV"): 2.25})
        assert volume_curve(measured).y_title == "area (cm²)"


class TestText:
    def test_of_a_file_is_read_by_any_spreadsheet(self, ed_and_es):
        shown = rows([*ed_and_es, Measured("odd", {})], 1, 2)
        lines = list(csv.reader(io.StringIO(csv_text(shown))))
        assert lines[0] == ["Measure", "Structure", "Value", "Unit"]
        assert lines[1] == ["EDV", "LV", "9.00", "mL"]
        assert lines[2] == ["ESV", "LV", "", "mL"]

    def test_for_the_clipboard_has_a_cell_between_tabs(self, ed_and_es):
        lines = tab_text(rows(ed_and_es, 1, 0)).splitlines()
        assert lines[0].split("\t") == ["Measure", "Structure", "Value", "Unit"]
        assert lines[4].split("\t") == ["EF", "LV", "60.00", "%"]

    def test_says_the_same_as_the_table(self, a_scene, a_segmented_cine):
        measured = measure_sequence(a_segmented_cine)
        shown = rows(measured, *choose_phases(measured))
        table = add_table_node(a_scene, shown, "results").GetTable()
        texts = [line.split("\t")[2] for line in tab_text(shown).splitlines()[1:]]
        assert [table.GetValueByName(n, "Value").ToDouble() for n in range(len(texts))] == list(map(float, texts))
