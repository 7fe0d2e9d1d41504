"""A cine from its images to a study on disk and back, without the application: as a person does it in Slicer."""

from __future__ import annotations

import time

import numpy as np
import pytest
import slicer
from vtk.util import numpy_support

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.studies import start_drawing
from CardiacSegLib.mrml.browsers import browser_of, proxy_of, sequence_of_proxy
from CardiacSegLib.mrml.pictures import fill_picture_node
from CardiacSegLib.mrml.plots import fill_curves
from CardiacSegLib.mrml.results import study_curve, table_rows
from CardiacSegLib.mrml.segmentation_sequences import add_segmentation_sequence, cine_of
from CardiacSegLib.mrml.sequences import add_cine, show_frame, shown_frame
from CardiacSegLib.mrml.storage import create_scene, load_scene, save_scene
from CardiacSegLib.mrml.studies import Measured, measure_sequence
from CardiacSegLib.mrml.tables import add_table_node
from CardiacSegLib.phantom import make_phantom

PATIENCE = 60


@pytest.fixture(scope="module")
def heart():
    return make_phantom()


@pytest.fixture(scope="module")
def study_scene(heart, tmp_path_factory):
    """A scene with the phantom's cine, its true segmentations, and the table, plot and bullseye of the study."""
    scene = create_scene()
    cine = add_cine(scene, heart.image, heart.affine, "heart", heart.frame_times)
    sequence = add_segmentation_sequence(heart.labels, cine)[0]
    measured = measure_sequence(sequence)
    add_table_node(scene, table_rows(measured), "heart measures")
    add_chart(scene, measured)
    picture = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "heart bullseye")
    file = tmp_path_factory.mktemp("bullseye") / "bullseye.png"
    with start_drawing(measured.study_input, bullseye=file) as command:
        end = time.monotonic() + PATIENCE
        while command.is_running and time.monotonic() < end:
            time.sleep(0.02)
        assert command.error is None, command.log
    fill_picture_node(picture, file)
    show_frame(cine, 4)
    yield scene
    scene.Clear(True)


def add_chart(scene, measured: Measured, chart=None):
    curve = study_curve(measured)
    return fill_curves(scene, curve.rows, curve.x, curve.columns, "Volumes of heart", curve.y_title, chart, curve.marks)


@pytest.fixture(scope="module")
def loaded(study_scene, tmp_path_factory):
    """The same scene, saved as one file and loaded into an empty one."""
    file = save_scene(study_scene, tmp_path_factory.mktemp("saved") / "heart.mrb")
    scene = create_scene()
    load_scene(scene, file)
    yield scene
    scene.Clear(True)


def only(scene, kind: str):
    """The one node of that class."""
    assert scene.GetNumberOfNodesByClass(kind) == 1
    return scene.GetFirstNodeByClass(kind)


def result_of(scene):
    """The sequence of segmentations that the segmentation in the scene shows a frame of."""
    return sequence_of_proxy(only(scene, "vtkMRMLSegmentationNode"))


def cells(scene, name: str) -> dict[str, list]:
    """The columns of a table."""
    table = scene.GetFirstNodeByName(name).GetTable()
    columns = {table.GetColumnName(number): table.GetColumn(number) for number in range(table.GetNumberOfColumns())}
    return {
        title: numpy_support.vtk_to_numpy(column).tolist()
        if column.IsNumeric()
        else [column.GetValue(row) for row in range(column.GetNumberOfValues())]
        for title, column in columns.items()
    }


def drawn(scene) -> dict[str, tuple[list[float], list[float]]]:
    """What the chart draws: of each series its name and its points."""
    chart = only(scene, "vtkMRMLPlotChartNode")
    found = {}
    for number in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(number)
        columns = cells(scene, series.GetTableNode().GetName())
        found[series.GetName()] = columns[series.GetXColumnName()], columns[series.GetYColumnName()]
    return found


def test_the_measures_are_those_of_the_shape_that_was_drawn(study_scene, heart):
    study = measure_sequence(result_of(study_scene)).study
    assert study.phases == {"ED": heart.ed_frame, "ES": heart.es_frame}
    for name in ("LV", "RV"):
        edv, esv = (heart.volumes_ml[name][frame] for frame in (heart.ed_frame, heart.es_frame))
        assert study.value("EDV", name) == pytest.approx(edv, rel=0.02)
        assert study.value("ESV", name) == pytest.approx(esv, rel=0.02)
        assert study.value("EF", name) == pytest.approx(100 * (edv - esv) / edv, abs=1)
    assert study.value("Mass at ED", "MYO") == pytest.approx(heart.options.lv_mass_g, rel=0.02)


class TestWhatWasSavedAndLoaded:
    def test_is_the_cine_with_its_segmentations_under_one_browser(self, loaded, heart):
        result = result_of(loaded)
        assert browser_of(result) is browser_of(cine_of(result))
        assert result.GetNumberOfDataNodes() == cine_of(result).GetNumberOfDataNodes() == 20
        assert shown_frame(result) == 4
        assert proxy_of(cine_of(result)).GetName() == "heart"

    def test_measures_the_same(self, study_scene, loaded):
        before, after = (measure_sequence(result_of(scene)).study.as_dict() for scene in (study_scene, loaded))
        assert after.pop("rows") == [{**row, "value": pytest.approx(row["value"])} for row in before.pop("rows")]
        assert after["phases_given"] == before["phases_given"]
        assert after["warnings"] == before["warnings"]
        assert after["segments"]["thickening_percent"] == pytest.approx(before["segments"]["thickening_percent"])

    def test_is_the_same_table_with_numbers_and_texts_in_their_columns(self, study_scene, loaded):
        before, after = (cells(scene, "heart measures") for scene in (study_scene, loaded))
        assert list(after) == list(before)
        for title, column in before.items():
            assert after[title] == (pytest.approx(column, nan_ok=True) if title.startswith("Value") else column), title
        ef = next(row for row in zip(*after.values()) if row[:2] == ("EF", "LV"))
        assert (ef[2], ef[3]) == (pytest.approx(60.2, abs=1), "%")

    def test_is_the_same_curve_with_its_phases(self, study_scene, loaded, heart):
        before, after = drawn(study_scene), drawn(loaded)
        assert list(after) == ["LV", "RV", "ED", "ES"]
        for name, (x, y) in before.items():
            # A table is written with six digits.
            assert after[name][0] == pytest.approx(x, rel=1e-5)
            assert after[name][1] == pytest.approx(y, rel=1e-5)
        for name, frame in (("ED", heart.ed_frame), ("ES", heart.es_frame)):
            assert after[name][0] == pytest.approx([heart.frame_times[frame]] * 2, rel=1e-5)

    def test_is_the_same_bullseye(self, study_scene, loaded):
        before, after = (
            numpy_support.vtk_to_numpy(
                only(scene, "vtkMRMLVectorVolumeNode").GetImageData().GetPointData().GetScalars()
            )
            for scene in (study_scene, loaded)
        )
        np.testing.assert_array_equal(after, before)

    def test_goes_on_from_there(self, loaded, heart):
        """An edit of the phase that is shown is measured, and the chart takes it up, in its place."""
        result = result_of(loaded)
        show_frame(result, heart.es_frame)
        assert slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(proxy_of(result), "RV")
        measured = measure_sequence(result)
        assert measured.study.value("EDV", "RV") == pytest.approx(150, rel=0.02)
        assert measured.study.value("ESV", "RV") is None
        nodes = loaded.GetNumberOfNodes()
        add_chart(loaded, measured, only(loaded, "vtkMRMLPlotChartNode"))
        assert loaded.GetNumberOfNodes() == nodes
        assert drawn(loaded)["RV"][1][heart.es_frame] == 0


class TestAFile:
    def test_of_a_scene_is_named_so(self, a_scene, tmp_path):
        with pytest.raises(CardiacSegError, match=r"scene\.mrml does not end in \.mrb"):
            save_scene(a_scene, tmp_path / "scene.mrml")

    def test_that_is_none_is_refused_by_name(self, a_scene, tmp_path):
        with pytest.raises(CardiacSegError, match=r"heart\.mrb does not exist"):
            load_scene(a_scene, tmp_path / "heart.mrb")
        (tmp_path / "heart.mrb").write_text("no archive")
        with pytest.raises(CardiacSegError, match=r"heart\.mrb cannot be read as a scene"):
            load_scene(a_scene, tmp_path / "heart.mrb")

    def test_is_replaced_whole(self, a_scene, tmp_path):
        (tmp_path / "scene.mrb").write_text("an earlier one")
        save_scene(a_scene, tmp_path / "scene.mrb")
        load_scene(create_scene(), tmp_path / "scene.mrb")
        assert [file.name for file in tmp_path.iterdir()] == ["scene.mrb"]

    def test_in_a_folder_that_is_not_there_is_an_error(self, a_scene, tmp_path):
        with pytest.raises(CardiacSegError, match="cannot be written"):
            save_scene(a_scene, tmp_path / "nowhere" / "scene.mrb")
