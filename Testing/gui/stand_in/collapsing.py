"""The two widgets of CTK that fold their contents away."""

from __future__ import annotations

from typing import Any

from .pythonqt import QtCore, QtGui, QtWidgets

Property, Signal, Qt = QtCore.Property, QtCore.Signal, QtCore.Qt
QStyle = QtWidgets.QStyle
_HEIGHT_LIMIT = 16777215  # QWIDGETSIZE_MAX


class _Folding:
    """Hides the direct children while collapsed. What code shows or hides meanwhile is done at the end."""

    def _start_folding(self) -> None:
        self._collapsed, self._wished, self._forcing = False, {}, False

    def _fold(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        if collapsed:
            self._hide_contents()
        else:
            self._show_contents()
        self.setMaximumHeight(self._header_height() + 10 if collapsed else _HEIGHT_LIMIT)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    def _hide_contents(self) -> None:
        if not self._collapsed:
            return
        self._forcing = True
        for child in self.findChildren(QtWidgets.QWidget, options=Qt.FindDirectChildrenOnly):
            if child not in self._wished and not child.isWindow():
                self._wished[child] = not (child.isHidden() and child.testAttribute(Qt.WA_WState_ExplicitShowHide))
                child.hide()
                child.installEventFilter(self)
        self._forcing = False

    def _show_contents(self) -> None:
        wished, self._wished = self._wished, {}
        for child, shown in wished.items():
            child.removeEventFilter(self)
            child.setVisible(shown)

    def eventFilter(self, child: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if child in self._wished and not self._forcing:
            if event.type() == QtCore.QEvent.ShowToParent:
                self._forcing = True
                child.hide()
                self._forcing = False
                self._wished[child] = True
            elif event.type() == QtCore.QEvent.HideToParent:
                self._wished[child] = False
        return False

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        super().showEvent(event)
        self._hide_contents()


class ctkCollapsibleButton(_Folding, QtWidgets.QAbstractButton):
    """A header that folds what is below it; checked means open."""

    contentsCollapsed = Signal(bool)

    def __init__(self, text: Any = "", parent: Any = None) -> None:
        super().__init__(parent if isinstance(text, str) else text)
        self._start_folding()
        self.setText(text if isinstance(text, str) else "")
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self._header_height(), 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Minimum, QtWidgets.QSizePolicy.Preferred)
        self.toggled.connect(self._on_toggled)

    def _on_toggled(self, checked: bool) -> None:
        self._fold(not checked)

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, lambda self: self._collapsed, setCollapsed)

    def _header_height(self) -> int:
        return self.fontMetrics().height() + 10

    def header(self) -> QtCore.QRect:
        """Where a click folds; for tests."""
        return QtCore.QRect(0, 0, self.width, self._header_height())

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return self.header().contains(position)

    def sizeHint(self) -> QtCore.QSize:
        return self._with_header(super().sizeHint, 10)

    def minimumSizeHint(self) -> QtCore.QSize:
        return self._with_header(super().minimumSizeHint, 0)

    def _with_header(self, contents: QtCore.QSize, below: int) -> QtCore.QSize:
        width = self.fontMetrics().horizontalAdvance(self.text) + 30
        header = QtCore.QSize(width, self._header_height() + (10 if self._collapsed else below))
        return header if self._collapsed else contents.expandedTo(header)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter, option = QtGui.QPainter(self), QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = self.header()
        option.state |= QStyle.State_Raised
        self.style().drawControl(QStyle.CE_PushButtonBevel, option, painter, self)
        arrow, side = QtWidgets.QStyleOption(), option.rect.height() - 14
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(7, 7, side, side)
        shape = QStyle.PE_IndicatorArrowRight if self._collapsed else QStyle.PE_IndicatorArrowDown
        self.style().drawPrimitive(shape, arrow, painter, self)
        flags = Qt.AlignLeft | Qt.AlignVCenter | Qt.TextShowMnemonic
        painter.drawText(option.rect.adjusted(14 + side, 0, 0, 0), flags, self.text)
        painter.end()


class ctkCollapsibleGroupBox(_Folding, QtWidgets.QGroupBox):
    """A group box whose check mark folds it."""

    contentsCollapsed = Signal(bool)

    def __init__(self, title: Any = "", parent: Any = None) -> None:
        super().__init__(parent if isinstance(title, str) else title)
        self._start_folding()
        self.setTitle(title if isinstance(title, str) else "")
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(self._on_toggled)

    def _on_toggled(self, checked: bool) -> None:
        self._fold(not checked)

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, lambda self: self._collapsed, setCollapsed)

    def _header_height(self) -> int:
        return self.fontMetrics().height() + 4
