"""Which widgets can show which types of parameters, as in Slicer: the class has to be this very one."""

from __future__ import annotations

import enum
import pathlib
import typing
from collections.abc import Callable
from typing import Any

import slicer

from . import ctk
from .mrml_widgets import qMRMLNodeComboBox
from .parameter_types import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange
from .pythonqt import QtWidgets


class Connector:
    """Reads and writes a property of a widget.

    Attributes:
        widgets: classes that fit.
        types: of the parameters that fit.
        signal: says that the person has changed it.
        attribute: the property.
    """

    widgets: tuple[type, ...]
    types: tuple[type, ...]
    signal: str
    attribute: str

    @classmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        return type(widget) in cls.widgets and kind in cls.types

    def __init__(self, widget: Any, kind: Any, annotations: tuple[Any, ...]) -> None:
        self.widget, self.kind, self.annotations = widget, kind, annotations
        self._call: Callable[[], None] | None = None
        self.prepare()

    def prepare(self) -> None:
        """Set the widget up."""

    def find(self, kind: type) -> Any:
        return next((item for item in self.annotations if isinstance(item, kind)), None)

    def connect(self, call: Callable[[], None]) -> None:
        self._call = call
        getattr(self.widget, self.signal).connect(call)

    def disconnect(self) -> None:
        getattr(self.widget, self.signal).disconnect(self._call)

    def read(self) -> Any:
        return getattr(self.widget, self.attribute)

    def write(self, value: Any) -> None:
        setattr(self.widget, self.attribute, value)


class CheckBoxConnector(Connector):
    widgets, types, signal, attribute = (QtWidgets.QCheckBox,), (bool,), "toggled", "checked"


class PushButtonConnector(Connector):
    widgets, types, signal, attribute = (QtWidgets.QPushButton,), (bool,), "toggled", "checked"

    def prepare(self) -> None:
        self.widget.setCheckable(True)


class _NumberConnector(Connector):
    signal, attribute = "valueChanged", "value"
    lowest: float
    highest: float
    bounded: tuple[type, ...]

    def prepare(self) -> None:
        """The annotations decide the limits, whatever the .ui file says."""
        for annotation, name in ((Decimals, "decimals"), (SingleStep, "singleStep")):
            if self.find(annotation):
                setattr(self.widget, name, self.find(annotation).value)
        low = self.find(WithinRange) or self.find(Minimum)
        high = self.find(WithinRange) or self.find(Maximum)
        if type(self.widget) in self.bounded and not (low and high):
            raise RuntimeError("Cannot have a connection to a slider where the type is unbounded.")
        self.widget.minimum = low.minimum if low else self.lowest
        self.widget.maximum = high.maximum if high else self.highest


class IntConnector(_NumberConnector):
    widgets, types = (QtWidgets.QSlider, QtWidgets.QSpinBox), (int,)
    lowest, highest, bounded = -(2**31), 2**31 - 1, (QtWidgets.QSlider,)


class FloatConnector(_NumberConnector):
    widgets, types = (QtWidgets.QDoubleSpinBox, ctk.ctkSliderWidget), (float,)
    lowest, highest, bounded = float("-inf"), float("inf"), (ctk.ctkSliderWidget,)


class LineConnector(Connector):
    widgets, types, signal, attribute = (QtWidgets.QLineEdit,), (str,), "textChanged", "text"


class TextConnector(Connector):
    widgets, types, signal, attribute = (QtWidgets.QTextEdit,), (str,), "textChanged", "plainText"


class PathConnector(Connector):
    widgets, types = (ctk.ctkPathLineEdit,), (pathlib.Path, pathlib.PurePath)
    signal, attribute = "currentPathChanged", "currentPath"

    def read(self) -> pathlib.PurePath:
        return self.kind(self.widget.currentPath)

    def write(self, value: Any) -> None:
        self.widget.currentPath = str(value)


class _ListConnector(Connector):
    """The items of the .ui file go; those of the type come."""

    widgets, signal, attribute = (QtWidgets.QComboBox,), "currentIndexChanged", "currentIndex"

    def prepare(self) -> None:
        self.items = self.listed()
        self.widget.clear()
        for text, _ in self.items:
            self.widget.addItem(text)

    def read(self) -> Any:
        return self.items[self.widget.currentIndex][1]

    def write(self, value: Any) -> None:
        self.widget.currentIndex = [item for _, item in self.items].index(value)


class ChoiceConnector(_ListConnector):
    types = (bool, int, float, str)

    def listed(self) -> list[tuple[str, Any]]:
        if self.find(Choice) is None:
            raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
        return [(str(item), item) for item in self.find(Choice).choices]


class EnumConnector(_ListConnector):
    @classmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        return type(widget) in cls.widgets and isinstance(kind, type) and issubclass(kind, enum.Enum)

    def listed(self) -> list[tuple[str, Any]]:
        label = getattr(self.kind, "label", lambda item: item.name)
        return [(label(item), item) for item in self.kind]


class NodeConnector(Connector):
    signal = "currentNodeChanged"

    @staticmethod
    def classes(kind: Any) -> list[type]:
        return [part for part in typing.get_args(kind) or (kind,) if part is not type(None)]

    @classmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        are_nodes = all(isinstance(item, type) and issubclass(item, slicer.vtkMRMLNode) for item in cls.classes(kind))
        return type(widget) is qMRMLNodeComboBox and are_nodes

    def prepare(self) -> None:
        self.widget.nodeTypes = [item.__name__ for item in self.classes(self.kind)]

    def read(self) -> Any:
        return self.widget.currentNode()

    def write(self, value: Any) -> None:
        self.widget.setCurrentNode(value)


CONNECTORS = (
    CheckBoxConnector,
    PushButtonConnector,
    IntConnector,
    FloatConnector,
    LineConnector,
    TextConnector,
    PathConnector,
    ChoiceConnector,
    EnumConnector,
    NodeConnector,
)
