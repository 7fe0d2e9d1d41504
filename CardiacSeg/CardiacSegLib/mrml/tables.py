"""Results as table nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import slicer
import vtk

#: What the columns of a table of results are called; those of numbers hold numbers.
HEADER = ("Measure", "Structure", "Value", "Unit", "Value per m²", "Normal range", "Source of range", "Note")
NUMBERS = ("Value", "Value per m²")


class Row(NamedTuple):
    """One result.

    Attributes:
        measure: what was measured.
        structure: of which structure; "" where it is of none.
        value: None where it could not be measured.
        unit: of the value.
        value_per_m2: the value over the body surface area, in that unit per m²; None where it is not known.
        normal_range: as published, with its unit; "" where none applies.
        range_source: of whom the range is and where it was published.
        note: what the value rests on, or why there is none.
    """

    measure: str
    structure: str
    value: float | None
    unit: str
    value_per_m2: float | None = None
    normal_range: str = ""
    range_source: str = ""
    note: str = ""


def fill_table_node(table_node: slicer.vtkMRMLTableNode, rows: Sequence[tuple]) -> None:
    """Put results into a table node; what it held before is replaced.

    Args:
        table_node: gets a column for each of ``HEADER``.
        rows: :class:`Row` or plain tuples, of which the first four may be all; a value that is None becomes NaN, others
            are rounded to two decimals, as in the files of the command line.
    """
    table = vtk.vtkTable()
    for number, name in enumerate(HEADER):
        column = vtk.vtkDoubleArray() if name in NUMBERS else vtk.vtkStringArray()
        column.SetName(name)
        for row in rows:
            value = Row(*row)[number]
            column.InsertNextValue(_number(value) if name in NUMBERS else value)
        table.AddColumn(column)
    modifying = table_node.StartModify()
    table_node.SetAndObserveTable(table)
    table_node.SetUseColumnTitleAsColumnHeader(True)
    for name in HEADER:
        # Written beside the values: a column that happens to hold no text, or only numbers, comes back as it was.
        table_node.SetColumnType(name, vtk.VTK_DOUBLE if name in NUMBERS else vtk.VTK_STRING)
    table_node.EndModify(modifying)


def _number(value: float | None) -> float:
    # VTK takes no NumPy float32.
    return math.nan if value is None else round(float(value), 2)


def add_table_node(scene: slicer.vtkMRMLScene, rows: Sequence[tuple], name: str) -> slicer.vtkMRMLTableNode:
    """Add a table node with results to a scene."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    fill_table_node(node, rows)
    return node
