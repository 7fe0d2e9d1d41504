"""Results as table nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import slicer
import vtk

#: What the columns of a table of results are called.
HEADER = ("Measure", "Structure", "Value", "Unit")


class Row(NamedTuple):
    """One result: what was measured, of which structure, its value and unit."""

    measure: str
    structure: str
    value: float | None
    unit: str


def fill_table_node(table_node: slicer.vtkMRMLTableNode, rows: Sequence[tuple[str, str, float | None, str]]) -> None:
    """Put results into a table node; what it held before is replaced.

    Args:
        table_node: gets the columns Measure, Structure, Value (numbers) and Unit.
        rows: measure, structure, value, unit (:class:`Row` or plain tuples); a value that is None becomes NaN, others
            are rounded to two decimals, as in the files of the command line.
    """
    values = vtk.vtkDoubleArray()
    table = vtk.vtkTable()
    for name in HEADER:
        column = values if name == "Value" else vtk.vtkStringArray()
        column.SetName(name)
        table.AddColumn(column)
    for row in map(Row._make, rows):
        for index, text in ((0, row.measure), (1, row.structure), (3, row.unit)):
            table.GetColumn(index).InsertNextValue(text)
        # VTK takes no NumPy float32.
        values.InsertNextValue(math.nan if row.value is None else round(float(row.value), 2))
    table_node.SetAndObserveTable(table)
    table_node.SetUseColumnTitleAsColumnHeader(True)


def add_table_node(
    scene: slicer.vtkMRMLScene, rows: Sequence[tuple[str, str, float | None, str]], name: str
) -> slicer.vtkMRMLTableNode:
    """Add a table node with results to a scene."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    fill_table_node(node, rows)
    return node
