"""What all sections of the panel have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer

#: How often a section that waits for a process looks at what it has written, in milliseconds.
POLL_INTERVAL_MS = 50
_ROW_MARGIN = 8
_ERROR_STYLE = "color: #d03030"
_WARNING_STYLE = "color: #a06000"


class Section:
    """One part of the panel: the widgets of a .ui file and what happens when they are used.

    Attributes:
        widget: root of the .ui file.
        ui: its named widgets, as attributes.
        parameterNode: what the person has chosen in this scene; None while there is no scene.
    """

    def __init__(self, uiFile: str) -> None:
        self.widget = slicer.util.loadUI(uiFile)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.parameterNode: Any = None
        self._guiTag: int | None = None

    def setParameterNode(self, parameterNode: Any) -> None:
        """Show another scene's choices, or none.

        Widgets name their parameter in the .ui file, by the dynamic property SlicerParameterName.
        """
        if self.parameterNode is not None and self._guiTag is not None:
            self.parameterNode.disconnectGui(self._guiTag)
        self.parameterNode = parameterNode
        self._guiTag = parameterNode.connectGui(self.ui) if parameterNode is not None else None

    def update(self) -> None:
        """Bring what is shown and what can be clicked up to date with the scene."""

    def close(self) -> None:
        """End what runs for this section alone."""


def connectButtons(*pairs: tuple[Any, Callable[[], None]]) -> None:
    """Connect buttons, each given with what a click on it calls."""
    for button, slot in pairs:
        button.connect("clicked(bool)", slot)


def makeTimer(milliseconds: int, slot: Callable[[], None], isSingleShot: bool = False) -> qt.QTimer:
    """A timer, not yet started, that calls a slot each time so long has passed, or the first time alone."""
    timer = qt.QTimer()
    timer.setInterval(milliseconds)
    timer.setSingleShot(isSingleShot)
    timer.connect("timeout()", slot)
    return timer


def openInDesktop(path: Path) -> None:
    """Show a folder in the file manager, or a file in the program that the person has chosen for such files."""
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))


def markAsWarning(label: Any) -> None:
    """Give a label the color of warnings."""
    label.setStyleSheet(_WARNING_STYLE)


def showStatus(label: Any, text: str, isError: bool = False) -> None:
    """Show a line below the buttons of a section, in red where it is an error."""
    label.textFormat = qt.Qt.PlainText  # an error may quote a stranger's file
    label.text = text
    label.setStyleSheet(_ERROR_STYLE if isError else "")


def fillComboBox(comboBox: Any, items: list[tuple[str, Any]], current: Any = None) -> None:
    """Replace the items of a combo box, each a text with its data, and select the one with that data.

    No signal tells of it.
    """
    wasBlocked = comboBox.blockSignals(True)
    comboBox.clear()
    for text, data in items:
        comboBox.addItem(text, data)
    index = next((index for index, (_, data) in enumerate(items) if data == current), 0 if items else -1)
    comboBox.setCurrentIndex(index)
    comboBox.blockSignals(wasBlocked)


def currentData(comboBox: Any) -> Any:
    """The data of the selected item; None where nothing is selected."""
    return comboBox.itemData(comboBox.currentIndex)


def prepareTable(table: Any) -> None:
    """Give a table widget rows as low as its text, without numbers before them."""
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(table.fontMetrics().height() + _ROW_MARGIN)


def fillTableRow(table: Any, row: int, texts: Sequence[str], numbers: Sequence[int] = ()) -> None:
    """Put texts into a row of a table widget; those in the columns ``numbers`` stand to the right."""
    for column, text in enumerate(texts):
        item = qt.QTableWidgetItem(text)
        if column in numbers:
            item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        table.setItem(row, column, item)


def timeText(seconds: float) -> str:
    """A duration as people say it: "40 s", "12 min", "1 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
