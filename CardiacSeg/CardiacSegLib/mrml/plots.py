"""Curves as plot nodes that grow while a run trains, or that show the volumes over a heartbeat."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import slicer
import vtk

from CardiacSegLib.anatomy import STRUCTURES

#: Colors of curves that are of no structure, in turn; RGB, 0 to 255.
_OTHER_COLORS = ((70, 70, 80), (146, 94, 190), (40, 150, 160), (190, 120, 60))
#: The attribute of a series that is a mark and no curve.
_MARK = "CardiacSeg.mark"
#: Styles of marks, in turn, so that the legend tells them apart.
_MARK_STYLES = (
    slicer.vtkMRMLPlotSeriesNode.LineStyleDash,
    slicer.vtkMRMLPlotSeriesNode.LineStyleDot,
    slicer.vtkMRMLPlotSeriesNode.LineStyleDashDot,
)


def fill_curves(
    scene: slicer.vtkMRMLScene,
    rows: Sequence[Mapping[str, float]],
    x: str,
    columns: Sequence[str],
    title: str,
    y_title: str,
    chart_node: slicer.vtkMRMLPlotChartNode | None = None,
    marks: Mapping[str, float] | None = None,
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
        chart_node: one that this function returned before: it, its tables and its series are then filled anew, so that
            a view that shows it follows. A new chart where None.
        marks: places on the horizontal axis by their names: each a broken line up to the largest value, a series of
            its own.

    Returns:
        The chart node.
    """
    chart = chart_node or scene.AddNewNodeByClass("vtkMRMLPlotChartNode", title)
    table_node = _table_node(_curves(chart)) or scene.AddNewNodeByClass("vtkMRMLTableNode", f"{title} table")
    shown = [row for row in rows if _is_shown(row, x, columns)]
    modifying = chart.StartModify()
    _remove_series(chart, _curves(chart), but=columns)  # first: no series may look for a column that is gone
    table_node.SetAndObserveTable(_table(shown, [x, *columns]))
    if chart.GetName() == chart.GetTitle():  # a person may have named it otherwise
        chart.SetName(title)
    _set_titles(chart, title, x, y_title)
    _fit_series(chart, table_node, x, columns)
    _fit_marks(chart, marks or {}, _highest(shown, columns))
    chart.EndModify(modifying)
    return chart


def _is_shown(row: Mapping[str, float], x: str, columns: Iterable[str]) -> bool:
    """Whether a row has a place on the horizontal axis and something to show there."""
    return math.isfinite(_value(row, x)) and any(math.isfinite(_value(row, column)) for column in columns)


def _highest(rows: Iterable[Mapping[str, float]], columns: Sequence[str]) -> float:
    values = [_value(row, column) for row in rows for column in columns]
    return max(filter(math.isfinite, values), default=0.0)


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


def _series(chart: slicer.vtkMRMLPlotChartNode) -> list[slicer.vtkMRMLPlotSeriesNode]:
    nodes = [chart.GetNthPlotSeriesNode(number) for number in range(chart.GetNumberOfPlotSeriesNodes())]
    return [node for node in nodes if node is not None]


def _curves(chart: slicer.vtkMRMLPlotChartNode) -> list[slicer.vtkMRMLPlotSeriesNode]:
    return [series for series in _series(chart) if not series.GetAttribute(_MARK)]


def _marks(chart: slicer.vtkMRMLPlotChartNode) -> list[slicer.vtkMRMLPlotSeriesNode]:
    return [series for series in _series(chart) if series.GetAttribute(_MARK)]


def _table_node(series: Iterable[slicer.vtkMRMLPlotSeriesNode]) -> slicer.vtkMRMLTableNode | None:
    return next((each.GetTableNode() for each in series if each.GetTableNode() is not None), None)


def _remove_series(
    chart: slicer.vtkMRMLPlotChartNode, among: Iterable[slicer.vtkMRMLPlotSeriesNode], but: Collection[str]
) -> None:
    for series in among:
        if series.GetYColumnName() not in but:
            chart.RemovePlotSeriesNodeID(series.GetID())
            chart.GetScene().RemoveNode(series)


def _fit_series(
    chart: slicer.vtkMRMLPlotChartNode, table_node: slicer.vtkMRMLTableNode, x: str, columns: Sequence[str]
) -> None:
    """A series for each of the columns; those that are there stay."""
    there = {series.GetYColumnName(): series for series in _curves(chart)}
    for number, column in enumerate(columns):
        _connect(chart, there.get(column) or _add_curve(chart.GetScene(), column, number), table_node, x, column)


def _connect(
    chart: slicer.vtkMRMLPlotChartNode,
    series: slicer.vtkMRMLPlotSeriesNode,
    table_node: slicer.vtkMRMLTableNode,
    x: str,
    y: str,
) -> None:
    series.SetAndObserveTableNodeID(table_node.GetID())
    series.SetXColumnName(x)
    series.SetYColumnName(y)
    if not chart.HasPlotSeriesNodeID(series.GetID()):
        chart.AddAndObservePlotSeriesNodeID(series.GetID())


def _fit_marks(chart: slicer.vtkMRMLPlotChartNode, marks: Mapping[str, float], highest: float) -> None:
    """A broken line for each mark, from zero up; those that are there stay, others go with their table."""
    scene, there = chart.GetScene(), {series.GetYColumnName(): series for series in _marks(chart)}
    table_node = _table_node(there.values())
    _remove_series(chart, there.values(), but=marks)
    if not marks:
        scene.RemoveNode(table_node)
        return
    table_node = table_node or scene.AddNewNodeByClass("vtkMRMLTableNode", f"{chart.GetTitle()} marks")
    ends = [{**{_place(name): at for name, at in marks.items()}, **dict.fromkeys(marks, y)} for y in (0.0, highest)]
    table_node.SetAndObserveTable(_table(ends, [column for name in marks for column in (_place(name), name)]))
    for number, name in enumerate(marks):
        _connect(chart, there.get(name) or _add_mark(scene, name, number), table_node, _place(name), name)


def _place(mark: str) -> str:
    """The column with the place of a mark on the horizontal axis."""
    return f"{mark} at"


def _add_mark(scene: slicer.vtkMRMLScene, name: str, number: int) -> slicer.vtkMRMLPlotSeriesNode:
    series = _add_series(scene, name, _OTHER_COLORS[0])
    series.SetAttribute(_MARK, "1")
    series.SetLineStyle(_MARK_STYLES[number % len(_MARK_STYLES)])
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    return series


def _add_curve(scene: slicer.vtkMRMLScene, column: str, number: int) -> slicer.vtkMRMLPlotSeriesNode:
    structure = STRUCTURES.get(column.rpartition("_")[2])
    color = structure.color if structure else _OTHER_COLORS[number % len(_OTHER_COLORS)]
    series = _add_series(scene, structure.name if structure else column, color)
    series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
    # A point for each value: a run that was validated once has no line yet.
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
    series.SetMarkerSize(5)
    return series


def _add_series(scene: slicer.vtkMRMLScene, name: str, color: Sequence[int]) -> slicer.vtkMRMLPlotSeriesNode:
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
    series.SetName(name)  # what the legend says; the scene would number those of several charts
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetLineWidth(2)
    series.SetColor(*(value / 255 for value in color))
    return series
