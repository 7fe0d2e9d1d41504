"""The widgets of Slicer that show what is in a node, thin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import slicer
import vtk

from .mrml_widgets import qMRMLWidget, watch
from .pythonqt import QtWidgets

__all__ = [
    "qMRMLPlotView",
    "qMRMLPlotWidget",
    "qMRMLSegmentEditorWidget",
    "qMRMLSegmentationShow3DButton",
    "qMRMLSegmentsTableView",
    "qMRMLSubjectHierarchyTreeView",
    "qMRMLTableView",
]


class _NodeTable(QtWidgets.QTableWidget):
    """A table that follows a node."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene = self._node = None
        self._tags = []

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def _follow(self, node: Any, events: Iterable[Any]) -> None:
        for tag in self._tags:
            self._node.RemoveObserver(tag)
        self._node = node
        self._tags = watch(self, node, events, self._fill) if node else []
        self._fill()

    def _set_rows(self, rows: list[list[str]], header: list[str]) -> None:
        self.setColumnCount(len(header))
        self.setRowCount(len(rows))
        self.setHorizontalHeaderLabels(header)
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                self.setItem(row, column, QtWidgets.QTableWidgetItem(text))


class qMRMLTableView(_NodeTable):
    """The cells of a table node."""

    def mrmlTableNode(self) -> Any:
        return self._node

    def setMRMLTableNode(self, node: Any) -> None:
        self._follow(node, [vtk.vtkCommand.ModifiedEvent])

    def _fill(self) -> None:
        table = self._node.GetTable() if self._node else vtk.vtkTable()
        columns = range(table.GetNumberOfColumns())
        rows = range(table.GetNumberOfRows())
        values = [[table.GetValue(row, column).ToString() for column in columns] for row in rows]
        self._set_rows(values, [table.GetColumnName(column) for column in columns])


class qMRMLSegmentsTableView(_NodeTable):
    """The segments of a segmentation node."""

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        names = ("SegmentAdded", "SegmentRemoved", "SegmentModified")
        self._follow(node, [getattr(slicer.vtkSegmentation, name) for name in names])

    def _fill(self) -> None:
        segmentation = self._node.GetSegmentation() if self._node else slicer.vtkSegmentation()
        segments = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
        self._set_rows([[segment.GetName()] for segment in segments], ["Name"])


class qMRMLSegmentationShow3DButton(QtWidgets.QPushButton):
    """Makes the surfaces of a segmentation and shows them."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__("Show 3D", parent)
        self._node = None
        self.setCheckable(True)
        self.toggled.connect(self._on_toggled)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node
        self.setEnabled(node is not None)

    def _on_toggled(self, checked: bool) -> None:
        if self._node and checked:
            self._node.CreateClosedSurfaceRepresentation()
        elif self._node:
            self._node.RemoveClosedSurfaceRepresentation()


class qMRMLPlotView(qMRMLWidget):
    """Where a plot would be."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node = None

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._node = node

    def fitToContent(self) -> None:
        pass


class qMRMLPlotWidget(qMRMLPlotView):
    """A plot view with its bar."""

    def plotView(self) -> qMRMLPlotView:
        return self


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Where Segment Editor would be."""


class qMRMLSubjectHierarchyTreeView(qMRMLWidget):
    """Where the tree of the data would be."""
