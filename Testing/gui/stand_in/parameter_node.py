"""``slicer.parameterNodeWrapper``: a class with typed attributes that live in a vtkMRMLScriptedModuleNode."""

from __future__ import annotations

import enum
import json
import pathlib
import typing
from collections.abc import Callable, Iterator, MutableSequence
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

from .parameter_gui import CONNECTORS, Connector
from .parameter_types import Choice, Decimals, Default, Exclude, Maximum, Minimum, SingleStep, Validator, WithinRange

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "Maximum",
    "Minimum",
    "SingleStep",
    "WithinRange",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]
PROPERTY = "SlicerParameterName"


def parameterNodeWrapper(kind: type | None = None) -> Any:
    """Class decorator; the annotations of the class are the parameters."""
    if kind is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(kind, include_extras=True)
    kind.allParameters = {name: Parameter.of(name, hint, getattr(kind, name, None)) for name, hint in hints.items()}
    for name, parameter in kind.allParameters.items():
        setattr(kind, name, _attribute(parameter))
    return type(kind.__name__, (_Wrapper, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})


def isParameterNodeWrapper(item: Any) -> bool:
    return issubclass(item if isinstance(item, type) else type(item), _Wrapper)


def _attribute(parameter: Parameter) -> property:
    return property(
        lambda self: parameter.read(self.parameterNode), lambda self, value: parameter.write(self.parameterNode, value)
    )


@dataclass
class Parameter:
    """One parameter: how it is checked, written into the node and read from it."""

    name: str
    kind: Any
    annotations: tuple[Any, ...]
    default: Any

    @classmethod
    def of(cls, name: str, hint: Any, default: Any) -> Parameter:
        kind, *annotations = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
        given = next((item.value for item in annotations if isinstance(item, Default)), _default_of(kind))
        return cls(name, kind, tuple(annotations), given if default is None else default)

    def check(self, value: Any) -> None:
        accepted = _accepted(self.kind)
        if value is None and type(None) not in accepted and not _is_node(self.kind):
            raise ValueError("Value must not be None")
        if value is not None and not isinstance(value, accepted):
            raise TypeError(f"Value must be of type '{accepted}', is type '{type(value)}' value '{value}'")
        for item in self.annotations:
            if isinstance(item, Validator):
                item.validate(value)

    def write(self, node: Any, value: Any) -> None:
        self.check(value)
        with slicer.util.NodeModify(node):
            if _is_node(self.kind):
                node.SetParameter(self.name, "")
                node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            elif _is_nodes(self.kind):
                node.SetParameter(self.name, "")
                node.RemoveNodeReferenceIDs(self.name)
                for item in value:
                    node.AddNodeReferenceID(self.name, item.GetID())
            else:
                node.SetParameter(self.name, _to_text(self.kind, value))

    def read(self, node: Any) -> Any:
        if not node.HasParameter(self.name):
            self.write(node, self.default)
        if _is_node(self.kind):
            return node.GetNodeReference(self.name)
        if _is_nodes(self.kind):
            count = node.GetNumberOfNodeReferences(self.name)
            value = [node.GetNthNodeReference(self.name, index) for index in range(count)]
        else:
            value = _from_text(self.kind, node.GetParameter(self.name))
        return ObservedList(value, lambda items: self.write(node, items)) if isinstance(value, list) else value


class ObservedList(MutableSequence):
    """A list that writes itself into the node when it changes."""

    def __init__(self, items: list[Any], save: Callable[[list[Any]], None]) -> None:
        self._items, self._save = items, save

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return self._items == list(other)

    __hash__ = None

    def __setitem__(self, index: Any, item: Any) -> None:
        self._items[index] = item
        self._save(self._items)

    def __delitem__(self, index: Any) -> None:
        del self._items[index]
        self._save(self._items)

    def insert(self, index: int, item: Any) -> None:
        self._items.insert(index, item)
        self._save(self._items)


def _parts(kind: Any) -> tuple[Any, ...]:
    """The types of a Union or Optional; the type alone for all else."""
    return typing.get_args(kind) if typing.get_origin(kind) is typing.Union else (kind,)


def _is_node(kind: Any) -> bool:
    parts = [part for part in _parts(kind) if part is not type(None)]
    return all(isinstance(part, type) and issubclass(part, slicer.vtkMRMLNode) for part in parts)


def _is_nodes(kind: Any) -> bool:
    return typing.get_origin(kind) is list and _is_node(typing.get_args(kind)[0])


def _accepted(kind: Any) -> tuple[type, ...]:
    """What isinstance accepts for a type."""
    found = [typing.get_origin(part) or part for part in _parts(kind)]
    return tuple(found + [int] * (float in found) + [ObservedList] * (list in found))


def _default_of(kind: Any) -> Any:
    if _is_node(kind) or type(None) in _parts(kind):
        return None
    first = _parts(kind)[0]
    if isinstance(first, type) and issubclass(first, enum.Enum):
        return next(iter(first))
    return (typing.get_origin(first) or first)()


def _to_text(kind: Any, value: Any) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    if kind in (bool, int, float, str) or isinstance(value, pathlib.PurePath):
        return str(value)
    return json.dumps(list(value) if isinstance(value, ObservedList) else value, default=_json_of)


def _json_of(value: Any) -> Any:
    return (
        value.name if isinstance(value, enum.Enum) else list(value) if isinstance(value, ObservedList) else str(value)
    )


def _from_text(kind: Any, text: str) -> Any:
    if kind is bool:
        return text == "True"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind[text]
    if kind in (int, float, str) or (isinstance(kind, type) and issubclass(kind, pathlib.PurePath)):
        return kind(text)
    return _from_json(kind, text)


def _from_json(kind: Any, text: str) -> Any:
    parts = [part for part in _parts(kind) if part is not type(None)]
    if len(parts) == 1 and text != "null" and (parts[0] is pathlib.Path or isinstance(parts[0], enum.EnumMeta)):
        return _from_text(parts[0], text.strip('"'))
    value = json.loads(text)
    return tuple(value) if typing.get_origin(kind) is tuple else value


class _Wrapper:
    """What the decorator adds to a class."""

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._guis: dict[int, dict[str, Connector]] = {}
        self._next_tag, self._is_updating = 0, False
        for name in self.allParameters:
            getattr(self, name)  # writes the default

    def getValue(self, name: str) -> Any:
        return getattr(self, self._known(name).name)

    def setValue(self, name: str, value: Any) -> None:
        setattr(self, self._known(name).name, value)

    def dataType(self, name: str) -> Any:
        return self._known(name).kind

    def default(self, name: str) -> Any:
        return Default(self._known(name).default)

    def _known(self, name: str) -> Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return self.allParameters[name]

    def connectGui(self, gui: Any) -> int:
        """Bind the widgets that name a parameter: those of an object's attributes, or below a widget."""
        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(slicer.qMRMLWidget.__base__) if is_widget else vars(gui).values()
        return self.connectParametersToGui(dict(_naming(widgets)))

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in mapping:
            self._known(name)
        connectors = {name: _connector(widget, self._known(name)) for name, widget in mapping.items()}
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.connect(self._reader(name, connector))
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_modified)
        return tag

    def disconnectGui(self, tag: int | None) -> None:
        for connector in self._guis.pop(tag, {}).values():
            connector.disconnect()

    def _reader(self, name: str, connector: Connector) -> Callable[[], None]:
        def on_changed() -> None:
            with slicer.util.NodeModify(self):
                if not self._is_updating:
                    self.setValue(name, connector.read())

        return on_changed

    def _on_modified(self, caller: Any, event: str) -> None:
        if self._is_updating:
            return
        self._is_updating = True
        try:
            for connectors in list(self._guis.values()):
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._is_updating = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was_modifying: int) -> None:
        self.parameterNode.EndModify(was_modifying)

    def AddObserver(self, event: Any, call: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, call, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _naming(widgets: Any) -> Iterator[tuple[str, Any]]:
    return ((widget.property(PROPERTY), widget) for widget in widgets if widget.property(PROPERTY))


def _connector(widget: Any, parameter: Parameter) -> Connector:
    for kind in CONNECTORS:
        if kind.fits(widget, parameter.kind):
            return kind(widget, parameter.kind, parameter.annotations)
    raise RuntimeError(
        f"Unable to create GUI connector from datatype '{parameter.kind}' to widget type '{type(widget)}'"
    )
