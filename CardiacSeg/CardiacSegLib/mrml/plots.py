"""Curves as plot nodes that grow while a run trains, or that show the volumes over a heartbeat."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import slicer
import vtk

from CardiacSegLib.anatomy import STRUCTURES

#: Colors of curves that are of no structure, in turn; RGB, 0 to 255.
_OTHER_COLORS = ((70, 70, 80), (146, 94, 190), (40, 150, 160), (190, 120, 60))


def fill_curves(
    scene: slicer.vtkMRMLScene,
    rows: Sequence[Mapping[str, float]],
    x: str,
    columns: Sequence[str],
    title: str,
    y_title: str,
    chart_node: slicer.vtkMRMLPlotChartNode | None = None,
) -> slicer.vtkMRMLPlotChartNode:
    """Plot columns of rows, each as a line.

    A column that names a structure ("LV", "dice_LV") has its color and, in the legend, its name alone. Rows that hold
    none of the columns are left out; a single value that is missing leaves a gap.

    Args:
        scene: where the nodes are: one table for the chart and one series for each column.
        rows: named values, in the order of the line.
        x: the column along the horizontal axis, which is its title too.
        columns: what to plot.
        title: of the chart, above it and in lists of nodes.
        y_title: of the vertical axis.
        chart_node: one that this function returned before: it, its table and its series are then filled anew, so that
            a view that shows it follows. A new chart where None.

    Returns:
        The chart node.
    """
    chart = chart_node or scene.AddNewNodeByClass("vtkMRMLPlotChartNode", title)
    table_node = _table_node(chart) or scene.AddNewNodeByClass("vtkMRMLTableNode", f"{title} table")
    modifying = chart.StartModify()
    _remove_series(chart, but=columns)  # first: no series may look for a column that is gone
    table_node.SetAndObserveTable(_table([row for row in rows if _is_shown(row, x, columns)], [x, *columns]))
    _set_titles(chart, title, x, y_title)
    _fit_series(chart, table_node, x, columns)
    chart.EndModify(modifying)
    return chart


def _is_shown(row: Mapping[str, float], x: str, columns: Iterable[str]) -> bool:
    """Whether a row has a place on the horizontal axis and something to show there."""
    return math.isfinite(_value(row, x)) and any(math.isfinite(_value(row, column)) for column in columns)


def _value(row: Mapping[str, float], column: str) -> float:
    value = row.get(column)
    return math.nan if value is None or value == "" else float(value)


def _table(rows: Sequence[Mapping[str, float]], columns: Sequence[str]) -> vtk.vtkTable:
    table = vtk.vtkTable()
    for name in columns:
        values = vtk.vtkDoubleArray()
        values.SetName(name)
        for row in rows:
            values.InsertNextValue(_value(row, name))
        table.AddColumn(values)
    return table


def _set_titles(chart: slicer.vtkMRMLPlotChartNode, title: str, x: str, y_title: str) -> None:
    chart.SetTitle(title)
    chart.SetXAxisTitle(x)
    chart.SetYAxisTitle(y_title)
    chart.SetLegendVisibility(True)


def _series(chart: slicer.vtkMRMLPlotChartNode) -> Iterator[slicer.vtkMRMLPlotSeriesNode]:
    nodes = (chart.GetNthPlotSeriesNode(number) for number in range(chart.GetNumberOfPlotSeriesNodes()))
    return (node for node in nodes if node is not None)


def _table_node(chart: slicer.vtkMRMLPlotChartNode) -> slicer.vtkMRMLTableNode | None:
    return next((series.GetTableNode() for series in _series(chart) if series.GetTableNode() is not None), None)


def _remove_series(chart: slicer.vtkMRMLPlotChartNode, but: Sequence[str]) -> None:
    for series in list(_series(chart)):
        if series.GetYColumnName() not in but:
            chart.RemovePlotSeriesNodeID(series.GetID())
            chart.GetScene().RemoveNode(series)


def _fit_series(
    chart: slicer.vtkMRMLPlotChartNode, table_node: slicer.vtkMRMLTableNode, x: str, columns: Sequence[str]
) -> None:
    """A series for each of the columns; those that are there stay."""
    scene = chart.GetScene()
    there = {series.GetYColumnName(): series for series in _series(chart)}
    for number, column in enumerate(columns):
        series = there.get(column) or _add_series(scene, column, number)
        series.SetAndObserveTableNodeID(table_node.GetID())
        series.SetXColumnName(x)
        series.SetYColumnName(column)
        if not chart.HasPlotSeriesNodeID(series.GetID()):
            chart.AddAndObservePlotSeriesNodeID(series.GetID())


def _add_series(scene: slicer.vtkMRMLScene, column: str, number: int) -> slicer.vtkMRMLPlotSeriesNode:
    structure = STRUCTURES.get(column.rpartition("_")[2])
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", structure.name if structure else column)
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
    # A point for each value: a run that was validated once has no line yet.
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
    series.SetMarkerSize(5)
    series.SetLineWidth(2)
    color = structure.color if structure else _OTHER_COLORS[number % len(_OTHER_COLORS)]
    series.SetColor(*(value / 255 for value in color))
    return series
