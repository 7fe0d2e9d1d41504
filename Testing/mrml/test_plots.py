"""Curves that a person watches while a model trains, and the volumes over a heartbeat."""

from __future__ import annotations

import math

import numpy as np
import pytest

from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.mrml.nodes import node_ids
from CardiacSegLib.mrml.plots import fill_curves

ROWS = [
    {"step": 100.0, "loss": 0.9, "dice": 0.4, "dice_LV": 0.5, "dice_MYO": 0.3, "dice_RV": 0.4},
    {"step": 200.0, "loss": 0.6, "dice": 0.7, "dice_LV": 0.8, "dice_MYO": 0.6, "dice_RV": 0.7},
]


def series_of(chart) -> list:
    return [chart.GetNthPlotSeriesNode(number) for number in range(chart.GetNumberOfPlotSeriesNodes())]


def drawn(series) -> list[tuple[float, float]]:
    """The points of a line, as a plot view finds them."""
    table = series.GetTableNode().GetTable()
    return [
        tuple(
            table.GetValueByName(row, column).ToDouble()
            for column in (series.GetXColumnName(), series.GetYColumnName())
        )
        for row in range(table.GetNumberOfRows())
    ]


def volumes(scene, rows, chart=None, columns=("LV", "RV")):
    return fill_curves(scene, rows, "time (ms)", columns, "Volumes", "volume (mL)", chart)


@pytest.fixture
def a_chart(a_scene):
    return volumes(a_scene, [{"time (ms)": 0.0, "LV": 130.0, "RV": 150.0}, {"time (ms)": 40.0, "LV": 90.0, "RV": 99.5}])


class TestAChart:
    def test_has_a_line_for_each_column(self, a_chart):
        left, right = series_of(a_chart)
        assert (left.GetName(), right.GetName()) == ("LV", "RV")
        assert drawn(left) == [(0.0, 130.0), (40.0, 90.0)]
        assert drawn(right) == [(0.0, 150.0), (40.0, 99.5)]

    def test_says_what_it_shows(self, a_chart):
        assert a_chart.GetTitle() == a_chart.GetName() == "Volumes"
        assert (a_chart.GetXAxisTitle(), a_chart.GetYAxisTitle()) == ("time (ms)", "volume (mL)")
        assert a_chart.GetLegendVisibility()

    def test_has_the_colors_of_the_structures(self, a_chart):
        for series in series_of(a_chart):
            np.testing.assert_allclose(series.GetColor(), np.array(STRUCTURES[series.GetName()].color) / 255, atol=1e-6)

    def test_is_a_line_over_the_true_distances(self, a_chart):
        for series in series_of(a_chart):
            assert series.GetPlotType() == series.PlotTypeScatter
            assert series.GetLineStyle() == series.LineStyleSolid

    def test_grows_in_place(self, a_chart, a_scene):
        nodes, lines = node_ids(a_scene), series_of(a_chart)
        rows = [{"time (ms)": 40.0 * n, "LV": 130.0 - n, "RV": 150.0 - n} for n in range(5)]
        assert volumes(a_scene, rows, a_chart) is a_chart
        assert node_ids(a_scene) == nodes
        assert series_of(a_chart) == lines
        assert drawn(lines[0])[-1] == (160.0, 126.0)

    def test_keeps_what_a_person_changed_in_a_line(self, a_chart, a_scene):
        series_of(a_chart)[0].SetColor(0.1, 0.2, 0.3)
        volumes(a_scene, [{"time (ms)": 0.0, "LV": 1.0, "RV": 2.0}], a_chart)
        assert series_of(a_chart)[0].GetColor() == (0.1, 0.2, 0.3)

    def test_takes_other_columns(self, a_chart, a_scene):
        nodes = len(node_ids(a_scene))
        volumes(a_scene, [{"time (ms)": 0.0, "MYO": 90.0, "LV": 9.0}], a_chart, ("LV", "MYO"))
        assert [series.GetName() for series in series_of(a_chart)] == ["LV", "MYO"]
        assert len(node_ids(a_scene)) == nodes

    def test_leaves_a_gap_where_a_value_is_missing_and_skips_rows_of_other_things(self, a_scene):
        rows = [{"time (ms)": 0.0, "LV": 1.0}, {"time (ms)": 1.0, "heart rate": 60.0}, {"time (ms)": 2.0, "RV": 3.0}]
        left, right = series_of(volumes(a_scene, rows))
        assert [x for x, _ in drawn(left)] == [0.0, 2.0]
        assert math.isnan(drawn(left)[1][1])
        assert math.isnan(drawn(right)[0][1])

    def test_may_start_without_a_row(self, a_scene):
        chart = volumes(a_scene, [])
        assert [drawn(series) for series in series_of(chart)] == [[], []]
        volumes(a_scene, [{"time (ms)": 0.0, "LV": 1.0, "RV": 2.0}], chart)
        assert drawn(series_of(chart)[0]) == [(0.0, 1.0)]


class TestMarks:
    @pytest.fixture
    def a_marked_chart(self, a_scene):
        return marked(a_scene, {"ED": 0.0, "ES": 40.0})

    def test_are_series_of_their_own_from_zero_to_the_largest_value(self, a_marked_chart):
        _, right, ed, es = series_of(a_marked_chart)
        assert (ed.GetName(), es.GetName()) == ("ED", "ES")
        assert drawn(ed) == [(0.0, 0.0), (0.0, 150.0)]
        assert drawn(es) == [(40.0, 0.0), (40.0, 150.0)]
        assert drawn(right) == [(0.0, 150.0), (40.0, 99.5)]

    def test_are_told_apart_in_the_legend(self, a_marked_chart):
        ed, es = series_of(a_marked_chart)[2:]
        assert ed.GetLineStyle() != es.GetLineStyle()
        assert ed.GetLineStyle() != ed.LineStyleSolid
        assert ed.GetMarkerStyle() == ed.MarkerStyleNone

    def test_move_in_place(self, a_marked_chart, a_scene):
        nodes, before = node_ids(a_scene), series_of(a_marked_chart)
        assert marked(a_scene, {"ED": 40.0, "ES": 0.0}, a_marked_chart) is a_marked_chart
        assert node_ids(a_scene) == nodes
        assert series_of(a_marked_chart) == before
        assert drawn(before[2]) == [(40.0, 0.0), (40.0, 150.0)]

    def test_go_where_there_are_none_and_come_back(self, a_marked_chart, a_scene):
        nodes = len(node_ids(a_scene))
        marked(a_scene, {}, a_marked_chart)
        assert [series.GetName() for series in series_of(a_marked_chart)] == ["LV", "RV"]
        assert len(node_ids(a_scene)) == nodes - 3  # two series and their table
        marked(a_scene, {"ES": 40.0}, a_marked_chart)
        assert [series.GetName() for series in series_of(a_marked_chart)] == ["LV", "RV", "ES"]

    def test_have_their_names_in_every_chart_of_a_scene(self, a_marked_chart, a_scene):
        assert [series.GetName() for series in series_of(marked(a_scene, {"ED": 0.0}))] == ["LV", "RV", "ED"]


def marked(scene, marks, chart=None):
    rows = [{"time (ms)": 0.0, "LV": 130.0, "RV": 150.0}, {"time (ms)": 40.0, "LV": 90.0, "RV": 99.5}]
    return fill_curves(scene, rows, "time (ms)", ("LV", "RV"), "Volumes", "volume (mL)", chart, marks)
