"""Changes the classes of PySide6, in this process, to what PythonQt makes of the same classes.

The classes themselves are changed, not subclasses of them: so objects that Qt makes by itself (a viewport, a layout
that is asked for, the widgets of a .ui file) behave alike.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

LIBRARIES = (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools)

#: Classes of these modules take no attributes but their own, like all classes that come from C++.
_CLOSED = ("PySide6.", "stand_in.")

#: Overloads of Qt 5 that have a name of their own in Qt 6.
_RENAMED = {
    "activated(QString)": "textActivated(QString)",
    "currentIndexChanged(QString)": "currentTextChanged(QString)",
    "highlighted(QString)": "textHighlighted(QString)",
    "valueChanged(QString)": "textChanged(QString)",
    "buttonClicked(int)": "idClicked(int)",
}


def dress() -> None:
    """Change all classes; once a process."""
    for kind in _object_classes():
        _add_properties(kind)
        _close(kind)
        if "__getattribute__" in vars(kind):
            _connect_by_text(kind)
    base = QtCore.QObject
    base.name = vars(base)["objectName"]
    base.className = lambda self: self.metaObject().className()
    base.delete = shiboken6.delete
    QtCore.QProcess.finished = property(_ExitCodeSignal)
    for kind in (QtWidgets.QDialog, QtWidgets.QMenu):
        kind.exec_ = kind.exec
    for name in ("getOpenFileName", "getSaveFileName", "getOpenFileNames"):
        setattr(QtWidgets.QFileDialog, name, staticmethod(_without_filter(getattr(QtWidgets.QFileDialog, name))))


def _object_classes() -> Iterator[type]:
    for library in LIBRARIES:
        for name in dir(library):
            kind = getattr(library, name)
            if isinstance(kind, type) and issubclass(kind, QtCore.QObject):
                yield kind


def _add_properties(kind: type) -> None:
    """Qt's properties become attributes, also those that a subclass reads by a method of its own (sizeHint)."""
    meta = kind.staticMetaObject
    properties = [meta.property(index) for index in range(meta.propertyCount())]
    own = {item.name() for item in properties[meta.propertyOffset() :]}
    found = {
        item.name(): _attribute(kind, item) for item in properties if item.name() in own or item.name() in vars(kind)
    }
    for name, attribute in found.items():
        setattr(kind, name, attribute)


class _Attribute(property):
    """A property of objects. The class itself keeps the method of that name: QTimer.singleShot(20, f) is not
    timer.singleShot.
    """

    def __get__(self, target: Any, owner: type | None = None) -> Any:
        return self.method if target is None else super().__get__(target, owner)


def _attribute(kind: type, item: QtCore.QMetaProperty) -> _Attribute:
    name = item.name()
    capital = name[0].upper() + name[1:]
    readers = (_method(kind, text) for text in (name, f"is{capital}", f"has{capital}"))
    get = next(filter(None, readers), None) or (lambda self: _property(self, name))
    put = _method(kind, f"set{capital}") or (lambda self, value: _set_property(self, name, value))
    attribute = _Attribute(
        lambda self: get(self), (lambda self, value: put(self, value) and None) if item.isWritable() else None
    )
    attribute.method = getattr(kind, name, None)
    return attribute


_property, _set_property = QtCore.QObject.property, QtCore.QObject.setProperty


def _method(kind: type, name: str) -> Callable | None:
    """A method of objects; not one of the class."""
    found = getattr(kind, name, None)
    return found if inspect.ismethoddescriptor(found) else None


def _close(kind: type) -> None:
    """An attribute that the class does not have is an AttributeError, except on classes that Python code derives."""

    def put_known(self: Any, name: str, value: Any) -> None:
        if isinstance(value, QtCore.QObject) and value.objectName == name:
            return  # PySide's loader makes attributes of all children, PythonQt's does not
        cls = type(self)
        found = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
        if isinstance(found, QtCore.Property):
            found.fset(self, value)
            return
        known = name.startswith("_") or hasattr(found, "__set__") or isinstance(value, QtCore.SignalInstance)
        if not known and cls.__module__.startswith(_CLOSED):
            raise AttributeError(f"'{cls.__name__}' object has no attribute '{name}'")
        shiboken6.Object.__setattr__(self, name, value)

    kind.__setattr__ = put_known


def _connect_by_text(kind: type) -> None:
    """Every object looks ``connect`` up in C++, past what its class has: so the look-up itself is changed."""
    get, ours = vars(kind)["__getattribute__"], {"connect": _connect, "disconnect": _disconnect}

    def get_ours(self: Any, name: str) -> Any:
        return MethodType(ours[name], self) if name in ours else get(self, name)

    kind.__getattribute__ = get_ours


_connect_signal, _disconnect_signal = QtCore.QObject.connect, QtCore.QObject.disconnect


def _connect(self: QtCore.QObject, signal: Any, *receiver: Any) -> Any:
    if isinstance(signal, QtCore.QObject):  # PySide's own code, which names the sender first
        return _connect_signal(signal, *receiver)
    text, slot = _signal_text(self, signal), _slot(receiver)
    if text is None:
        return False
    self._kept = [*getattr(self, "_kept", ()), slot]  # PySide lets the object of a bound method go
    return bool(_connect_signal(self, text, slot))


def _disconnect(self: QtCore.QObject, signal: Any, *receiver: Any) -> Any:
    if isinstance(signal, QtCore.QObject):
        return _disconnect_signal(signal, *receiver)
    text = _signal_text(self, signal)
    return text is not None and bool(_disconnect_signal(self, text, _slot(receiver)))


def _slot(receiver: tuple[Any, ...]) -> Callable:
    """A callable, or an object and the text of one of its slots."""
    if len(receiver) == 1:
        return receiver[0]
    target, text = receiver
    return getattr(target, text.partition("(")[0])


def _signal_text(sender: QtCore.QObject, signal: str) -> str | None:
    """The signal as Qt 6 and PySide know it; None where there is none."""
    wanted = bytes(QtCore.QMetaObject.normalizedSignature(signal)).decode()
    wanted = re.sub(r"\bvtk\w+\*", "PyObject", wanted)
    for text in (wanted, _RENAMED.get(wanted)):
        if text and sender.metaObject().indexOfSignal(text) >= 0:
            return QtCore.SIGNAL(text)
    return None


class _ExitCodeSignal:
    """``process.finished``: as an attribute it gives the exit code alone."""

    def __init__(self, process: QtCore.QProcess) -> None:
        self._process = process

    def connect(self, slot: Callable) -> bool:
        return self._process.connect("finished(int)", slot)

    def disconnect(self, slot: Callable) -> bool:
        return self._process.disconnect("finished(int)", slot)


def _without_filter(ask: Callable) -> Callable:
    """PySide answers with the path and the filter, PythonQt with the path."""
    return lambda *arguments, **named: ask(*arguments, **named)[0]


dress()
