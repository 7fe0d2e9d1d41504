"""The pairs of volume and segmentation in the scene, of which a person chooses those to train on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer

from CardiacSegLib.gui.section import fillTableRow, prepareTable
from CardiacSegLib.mrml.cases import Pair, find_pairs

#: More rows than these are scrolled to.
_ROWS_SHOWN = 6


class ScenePairs:
    """A table with a pair a row, its volume checked where it is to be taken; all are until a person says otherwise.

    Args:
        table: of two columns, for the names of volume and segmentation.
        onChanged: called when a pair was checked or unchecked.
    """

    def __init__(self, table: Any, onChanged: Callable[[], None]) -> None:
        self._table, self._onChanged = table, onChanged
        self._listed: list[Pair] = []
        self._leftOut: set[str] = set()
        prepareTable(table)
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        table.connect("itemChanged(QTableWidgetItem*)", self._onItemChanged)

    def listPairs(self) -> None:
        """List the pairs that are in the scene now; those that were left out before stay so."""
        self._listed = find_pairs(slicer.mrmlScene)
        table = self._table
        wasBlocked = table.blockSignals(True)
        table.setRowCount(len(self._listed))
        for row, pair in enumerate(self._listed):
            names = pair.volume.GetName(), pair.segmentation.GetName()
            fillTableRow(table, row, names)
            for column, name in enumerate(names):
                table.item(row, column).setToolTip(name)
            isTaken = pair.segmentation.GetID() not in self._leftOut
            table.item(row, 0).setCheckState(qt.Qt.Checked if isTaken else qt.Qt.Unchecked)
        table.blockSignals(wasBlocked)
        rows = min(max(len(self._listed), 1), _ROWS_SHOWN)
        table.setFixedHeight(table.horizontalHeader().height + table.verticalHeader().defaultSectionSize * rows + 4)

    def forget(self) -> None:
        """The scene was closed."""
        self._leftOut.clear()
        self.listPairs()

    def chosen(self) -> list[Pair]:
        """The pairs that are checked and still in the scene."""
        return [
            pair
            for pair in self._listed
            if pair.segmentation.GetID() not in self._leftOut
            and None not in (pair.volume.GetScene(), pair.segmentation.GetScene())
        ]

    def _onItemChanged(self, item: Any) -> None:
        isLeftOut = self._table.item(item.row(), 0).checkState() == qt.Qt.Unchecked
        change = self._leftOut.add if isLeftOut else self._leftOut.discard
        change(self._listed[item.row()].segmentation.GetID())
        self._onChanged()
