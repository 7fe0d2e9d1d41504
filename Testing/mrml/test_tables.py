from __future__ import annotations

import numpy as np
import vtk

from CardiacSegLib.mrml.tables import HEADER, Row, add_table_node, fill_table_node


def test_results_become_rows_with_numbers(a_scene):
    node = add_table_node(a_scene, [Row("EDV", "LV", 135.5, "mL"), ("EF", "LV", np.float32(60), "%")], "results")
    table = node.GetTable()
    assert tuple(table.GetColumnName(column) for column in range(table.GetNumberOfColumns())) == HEADER
    assert table.GetNumberOfRows() == 2
    assert table.GetValueByName(0, "Value").ToDouble() == 135.5
    assert table.GetValueByName(1, "Value").ToDouble() == 60
    assert table.GetValueByName(1, "Unit").ToString() == "%"


def test_a_result_comes_with_itself_over_the_body_surface_its_normal_range_and_what_it_rests_on(a_scene):
    row = Row("EDV", "LV", 135.5, "mL", 71.316, "109–218 mL; 60–110 mL/m²", "men 45–74 years, a paper", "a note")
    table = add_table_node(a_scene, [row], "results").GetTable()
    assert table.GetValueByName(0, "Value per m²").ToDouble() == 71.32
    assert table.GetValueByName(0, "Normal range").ToString() == "109–218 mL; 60–110 mL/m²"
    assert table.GetValueByName(0, "Source of range").ToString() == "men 45–74 years, a paper"
    assert table.GetValueByName(0, "Note").ToString() == "a note"


def test_columns_hold_numbers_or_texts_whatever_is_in_them(a_scene):
    for rows in ([], [("EF", "LV", None, "%")], [("EF", "1", 2.0, "3")]):
        node = add_table_node(a_scene, rows, "results")
        types = {name: node.GetColumnType(name) for name in HEADER}
        assert {name for name, kind in types.items() if kind == vtk.VTK_DOUBLE} == {"Value", "Value per m²"}
        assert {name for name, kind in types.items() if kind == vtk.VTK_STRING} == set(HEADER) - {
            "Value",
            "Value per m²",
        }


def test_new_results_replace_the_old_ones(a_scene):
    node = add_table_node(a_scene, [("EDV", "LV", 135.5, "mL")], "results")
    fill_table_node(node, [("ESV", "LV", 54.0, "mL")])
    assert node.GetTable().GetNumberOfRows() == 1
    assert node.GetTable().GetValueByName(0, "Measure").ToString() == "ESV"


def test_a_result_that_could_not_be_measured_is_no_number(a_scene):
    node = add_table_node(a_scene, [("EF", "LV", None, "%")], "results")
    assert np.isnan(node.GetTable().GetValueByName(0, "Value").ToDouble())
    assert np.isnan(node.GetTable().GetValueByName(0, "Value per m²").ToDouble())


def test_a_value_has_the_two_decimals_that_its_file_has(a_scene):
    node = add_table_node(a_scene, [("EDV", "LV", 135.45678, "mL"), ("ED frame", "", 3, "")], "results")
    assert node.GetTable().GetValueByName(0, "Value").ToDouble() == 135.46
    assert node.GetTable().GetValueByName(1, "Value").ToDouble() == 3
