"""The widgets of CTK that panels use, thin: what a person sees and clicks, and what code reads and writes."""

from __future__ import annotations

import enum
from typing import Any

from .collapsing import ctkCollapsibleButton, ctkCollapsibleGroupBox
from .pythonqt import QtCore, QtGui, QtWidgets

__all__ = [
    "ctkCheckableComboBox",
    "ctkCollapsibleButton",
    "ctkCollapsibleGroupBox",
    "ctkComboBox",
    "ctkFittedTextBrowser",
    "ctkMenuButton",
    "ctkMessageBox",
    "ctkPathLineEdit",
    "ctkRangeWidget",
    "ctkSearchBox",
    "ctkSliderWidget",
]

Property, Signal = QtCore.Property, QtCore.Signal


class _PathFilter(enum.IntFlag):
    """What a path may be; numbers of QDir."""

    Dirs = 0x1
    Files = 0x2
    Drives = 0x4
    NoSymLinks = 0x8
    AllEntries = 0x7
    Readable = 0x10
    Writable = 0x20
    Executable = 0x40
    Hidden = 0x100
    NoDot = 0x2000
    NoDotDot = 0x4000
    NoDotAndDotDot = 0x6000


class ctkPathLineEdit(QtWidgets.QWidget):
    """A line for a path, with a button that opens the file dialog that fits the filters."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._filters, self._name_filters, self._setting, self._label = int(_PathFilter.AllEntries), [], "", ""
        self._line, self._button = QtWidgets.QComboBox(self), QtWidgets.QToolButton(self)
        self._line.setEditable(True)
        self._line.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self._line.setMinimumContentsLength(7)
        self._button.setText("...")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._line)
        layout.addWidget(self._button)
        self._line.editTextChanged.connect(self.currentPathChanged)
        self._button.clicked.connect(self.browse)

    def browse(self, checked: bool = False) -> None:
        title, folder = self._label or "Select a file to save ", self.currentPath
        dialog, names = QtWidgets.QFileDialog, ";;".join(self._name_filters)
        if not self._filters & _PathFilter.Files:
            path = dialog.getExistingDirectory(self, self._label or "Select a directory...", folder)
        elif self._filters & _PathFilter.Writable:
            path = dialog.getSaveFileName(self, title, folder, names)
        else:
            path = dialog.getOpenFileName(self, self._label or "Open a file", folder, names)
        if path:
            self.setCurrentPath(path)

    def _path(self) -> str:
        return self._line.currentText

    def setCurrentPath(self, path: str) -> None:
        self._line.setEditText(path)

    def addCurrentPathToHistory(self) -> None:
        if self._path() and self._line.findText(self._path()) < 0:
            path = self._path()
            self._line.insertItem(0, path)
            self._line.setEditText(path)

    def lineEdit(self) -> QtWidgets.QLineEdit:
        return self._line.lineEdit()

    def browseButton(self) -> QtWidgets.QToolButton:
        """For tests; CTK keeps it to itself."""
        return self._button

    def setShowBrowseButton(self, shown: bool) -> None:
        self._button.setVisible(shown)

    currentPath = Property(str, _path, setCurrentPath, notify=currentPathChanged)
    filters = Property(int, lambda self: self._filters, lambda self, value: setattr(self, "_filters", int(value)))
    nameFilters = Property(
        "QStringList", lambda self: self._name_filters, lambda self, value: setattr(self, "_name_filters", list(value))
    )
    settingKey = Property(str, lambda self: self._setting, lambda self, value: setattr(self, "_setting", value))
    label = Property(str, lambda self: self._label, lambda self, value: setattr(self, "_label", value))
    showBrowseButton = Property(bool, lambda self: not self._button.isHidden(), setShowBrowseButton)


for _name, _value in _PathFilter.__members__.items():
    setattr(ctkPathLineEdit, _name, _value)


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that hold the same number."""

    valueChanged = Signal(float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider, self._spin = QtWidgets.QSlider(QtCore.Qt.Horizontal, self), QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spin)
        self._spin.setRange(0, 99)
        self._scale()
        self._spin.valueChanged.connect(self._on_spin)
        self._slider.valueChanged.connect(self._on_slider)

    def _scale(self) -> None:
        """The slider counts steps from the minimum."""
        blocker = QtCore.QSignalBlocker(self._slider)
        step = self._spin.singleStep or 1
        self._slider.setRange(0, round((self._spin.maximum - self._spin.minimum) / step))
        self._slider.setValue(round((self._spin.value - self._spin.minimum) / step))
        blocker.unblock()

    def _on_spin(self, value: float) -> None:
        self._scale()
        self.valueChanged.emit(value)

    def _on_slider(self, steps: int) -> None:
        self._spin.setValue(self._spin.minimum + steps * self._spin.singleStep)

    def _of_spin(kind: type, name: str) -> Property:
        def put(self: ctkSliderWidget, value: Any) -> None:
            setattr(self._spin, name, value)
            self._scale()

        return Property(kind, lambda self: getattr(self._spin, name), put)

    minimum, maximum = _of_spin(float, "minimum"), _of_spin(float, "maximum")
    singleStep, decimals = _of_spin(float, "singleStep"), _of_spin(int, "decimals")
    value = Property(
        float, lambda self: self._spin.value, lambda self, value: self._spin.setValue(value), notify=valueChanged
    )
    suffix, prefix = _of_spin(str, "suffix"), _of_spin(str, "prefix")
    del _of_spin

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def setRange(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum


class ctkRangeWidget(QtWidgets.QWidget):
    """Two spin boxes, the lower and the upper end of a range."""

    valuesChanged = Signal(float, float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        self._spins = [QtWidgets.QDoubleSpinBox(self), QtWidgets.QDoubleSpinBox(self)]
        for spin in self._spins:
            layout.addWidget(spin)
            spin.valueChanged.connect(lambda: self.valuesChanged.emit(self.minimumValue, self.maximumValue))

    def _of_spin(index: int) -> Property:
        return Property(
            float, lambda self: self._spins[index].value, lambda self, value: self._spins[index].setValue(value)
        )

    minimumValue, maximumValue = _of_spin(0), _of_spin(1)
    del _of_spin


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for when nothing is chosen."""

    def setDefaultText(self, text: str) -> None:
        self.setPlaceholderText(text)

    defaultText = Property(str, lambda self: self.placeholderText, setDefaultText)


class ctkCheckableComboBox(QtWidgets.QComboBox):
    """A combo box whose items have check marks."""

    checkedIndexesChanged = Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.model().itemChanged.connect(lambda item: self.checkedIndexesChanged.emit())
        self.model().rowsInserted.connect(self._make_checkable)

    def _make_checkable(self, parent: QtCore.QModelIndex, first: int, last: int) -> None:
        blocker = QtCore.QSignalBlocker(self.model())
        for row in range(first, last + 1):
            item = self.model().item(row)
            item.setCheckable(True)
            item.setCheckState(QtCore.Qt.Unchecked)
        blocker.unblock()

    def checkedIndexes(self) -> list[QtCore.QModelIndex]:
        rows = (self.model().item(row) for row in range(self.count))
        return [item.index() for item in rows if item.checkState() == QtCore.Qt.Checked]

    def checkState(self, index: QtCore.QModelIndex) -> QtCore.Qt.CheckState:
        return self.model().itemFromIndex(index).checkState()

    def setCheckState(self, index: QtCore.QModelIndex, state: QtCore.Qt.CheckState) -> None:
        self.model().itemFromIndex(index).setCheckState(state)

    allChecked = Property(bool, lambda self: len(self.checkedIndexes()) == self.count)
    noneChecked = Property(bool, lambda self: not self.checkedIndexes())


class ctkMenuButton(QtWidgets.QPushButton):
    """A button with a menu at its side."""


class ctkSearchBox(QtWidgets.QLineEdit):
    """A line to search in."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setClearButtonEnabled(True)
        self.setPlaceholderText("Search...")


class ctkMessageBox(QtWidgets.QMessageBox):
    """A message with a check box for people who have seen it."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._key = ""

    dontShowAgainSettingsKey = Property(str, lambda self: self._key, lambda self, value: setattr(self, "_key", value))


class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    """Text that is as high as it needs to be."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._collapsed, self._collapsible = True, True
        self.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self.textChanged.connect(self._fit)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.document().setTextWidth(self.viewport().width)
        self.setFixedHeight(int(self.document().size().height()) + 2 * self.frameWidth)

    collapsed = Property(bool, lambda self: self._collapsed, lambda self, value: setattr(self, "_collapsed", value))
    collapsible = Property(
        bool, lambda self: self._collapsible, lambda self, value: setattr(self, "_collapsible", value)
    )
