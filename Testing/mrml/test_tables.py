from __future__ import annotations

import numpy as np

from CardiacSegLib.mrml.tables import Row, add_table_node, fill_table_node


def test_results_become_rows_with_numbers(a_scene):
    node = add_table_node(a_scene, [Row("EDV", "LV", 135.5, "mL"), ("EF", "LV", np.float32(60), "%")], "results")
    table = node.GetTable()
    assert [table.GetColumnName(column) for column in range(4)] == ["Measure", "Structure", "Value", "Unit"]
    assert table.GetNumberOfRows() == 2
    assert table.GetValueByName(0, "Value").ToDouble() == 135.5
    assert table.GetValueByName(1, "Value").ToDouble() == 60
    assert table.GetValueByName(1, "Unit").ToString() == "%"


def test_new_results_replace_the_old_ones(a_scene):
    node = add_table_node(a_scene, [("EDV", "LV", 135.5, "mL")], "results")
    fill_table_node(node, [("ESV", "LV", 54.0, "mL")])
    assert node.GetTable().GetNumberOfRows() == 1
    assert node.GetTable().GetValueByName(0, "Measure").ToString() == "ESV"


def test_a_result_that_could_not_be_measured_is_no_number(a_scene):
    node = add_table_node(a_scene, [("EF", "LV", None, "%")], "results")
    assert np.isnan(node.GetTable().GetValueByName(0, "Value").ToDouble())


def test_a_value_has_the_two_decimals_that_its_file_has(a_scene):
    node = add_table_node(a_scene, [("EDV", "LV", 135.45678, "mL"), ("ED frame", "", 3, "")], "results")
    assert node.GetTable().GetValueByName(0, "Value").ToDouble() == 135.46
    assert node.GetTable().GetValueByName(1, "Value").ToDouble() == 3
