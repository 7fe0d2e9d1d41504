"""Loads .ui files with the widgets of ctk and MRML in them, and the connections by which these pass a scene on."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from . import ctk, mrml_views, mrml_widgets
from .pythonqt import QtCore, QtUiTools, QtWidgets


def widget_class(name: str) -> type | None:
    """The class of a widget that is not Qt's own; None where there is none of this name."""
    return next((vars(module)[name] for module in (ctk, mrml_widgets, mrml_views) if name in module.__all__), None)


class QUiLoader(QtUiTools.QUiLoader):
    """Slicer's loader: it knows all widgets of the application."""

    def createWidget(self, className: str, parent: Any = None, name: str = "") -> QtWidgets.QWidget:
        kind = widget_class(className)
        if kind is None:
            return super().createWidget(className, parent, name)
        widget = kind(parent)
        widget.setObjectName(name)
        return widget

    def load(self, device: QtCore.QIODevice, parent: Any = None) -> QtWidgets.QWidget:
        ui = ElementTree.fromstring(bytes(device.readAll()))
        unknown = [item.text for item in ui.iterfind("customwidgets/customwidget/class") if not widget_class(item.text)]
        if unknown:
            raise RuntimeError(f"the stand-in has no {', '.join(unknown)}; add the class to ctk.py or mrml_views.py")
        _number_flags(ui)
        connections = _take_vtk_connections(ui)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(ui))
        buffer.open(QtCore.QIODevice.ReadOnly)
        root = super().load(buffer, parent)
        for sender, signal, receiver, slot in connections:
            _named(root, sender).connect(signal, _named(root, receiver), slot)
        for widget in root.findChildren(QtWidgets.QWidget):
            if hasattr(widget, "_hide_contents"):  # they came after the property that collapses
                widget._hide_contents()
        return root


def _number_flags(ui: ElementTree.Element) -> None:
    """Flags of our own classes (ctkPathLineEdit::Dirs) become numbers: Qt cannot look them up."""
    for widget in ui.iter("widget"):
        kind = widget_class(widget.get("class"))
        for item in widget.findall("property") if kind else ():
            flags = item.find("set")
            names = [text.rpartition("::")[2] for text in flags.text.split("|")] if flags is not None else []
            if names and all(hasattr(kind, name) for name in names):
                item.remove(flags)
                ElementTree.SubElement(item, "number").text = str(sum({int(getattr(kind, name)) for name in names}))


def _take_vtk_connections(ui: ElementTree.Element) -> list[tuple[str, ...]]:
    """Remove the connections that carry objects of VTK, and return them."""
    parent, found = ui.find("connections"), []
    for item in list(parent if parent is not None else ()):
        if "vtk" in item.findtext("signal"):
            parent.remove(item)
            found.append(tuple(item.findtext(name) for name in ("sender", "signal", "receiver", "slot")))
    return found


def _named(root: QtWidgets.QWidget, name: str) -> QtWidgets.QWidget:
    return root if root.objectName == name else root.findChild(QtWidgets.QWidget, name)
