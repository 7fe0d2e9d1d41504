"""The widgets of Slicer that know a scene, and those that choose nodes of it, thin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import shiboken6
import vtk

from .pythonqt import QtCore, QtWidgets

__all__ = ["qMRMLCheckableNodeComboBox", "qMRMLNodeComboBox", "qMRMLWidget"]

Property, Signal = QtCore.Property, QtCore.Signal


def watch(widget: QtCore.QObject, watched: vtk.vtkObject, events: Iterable[Any], call: Any) -> list[int]:
    """Call ``call()`` at these events while the widget lives; gives the tags to end it with."""

    def on_event(caller: vtk.vtkObject, event: str) -> None:
        if shiboken6.isValid(widget):
            call()

    return [watched.AddObserver(event, on_event) for event in events]


class qMRMLWidget(QtWidgets.QWidget):
    """A widget that knows the scene and passes it on."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


def _stored(kind: Any, name: str, changed: str = "") -> Property:
    """A property that is kept in the attribute of that name, after which a method may be called."""

    def put(self: Any, value: Any) -> None:
        setattr(self, name, list(value) if kind == "QStringList" else value)
        if changed:
            getattr(self, changed)()

    return Property(kind, lambda self: getattr(self, name), put)


class qMRMLNodeComboBox(qMRMLWidget):
    """The nodes of some classes in the scene, one of them or none chosen."""

    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)

    _types, _none, _none_text, _children, _hidden = (), False, "None", True, False
    _add, _remove, _edit, _rename, _base = True, True, False, False, ""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._current, self._listed, self._tags = None, [], []
        self._box = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self._box.setMinimumContentsLength(8)
        self._box.activated.connect(self._on_chosen)
        self.setEnabled(False)

    nodeTypes = _stored("QStringList", "_types", "_update")
    noneEnabled = _stored(bool, "_none", "_update")
    noneDisplay = _stored(str, "_none_text", "_update")
    showChildNodeTypes = _stored(bool, "_children", "_update")
    showHidden = _stored(bool, "_hidden", "_update")
    addEnabled, removeEnabled = _stored(bool, "_add"), _stored(bool, "_remove")
    editEnabled, renameEnabled = _stored(bool, "_edit"), _stored(bool, "_rename")
    baseName = _stored(str, "_base")
    selectNodeUponCreation = _stored(bool, "_select_new")
    _select_new = True

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._current, self._listed = scene, None, []
        names = ("NodeAddedEvent", "NodeRemovedEvent", "EndBatchProcessEvent", "EndCloseEvent", "EndImportEvent")
        events = [getattr(scene, name) for name in names] if scene else []
        self._tags = watch(self, scene, events, self._update)
        self.setEnabled(scene is not None)
        self._update()
        self.mrmlSceneChanged.emit(scene)

    def currentNode(self) -> Any:
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node) if self._scene else None
        self._choose(node if node in self._listed else None)

    def setCurrentNodeID(self, node_id: str) -> None:
        self.setCurrentNode(node_id)

    currentNodeID = Property(str, lambda self: self._current.GetID() if self._current else "", setCurrentNodeID)

    def nodeCount(self) -> int:
        return len(self._listed)

    def nodeFromIndex(self, index: int) -> Any:
        return self._listed[index] if 0 <= index < len(self._listed) else None

    def addNode(self, kind: str = "") -> Any:
        """What the item "Create new ..." of the list does."""
        node = self._scene.AddNewNodeByClass(kind or self._types[0], self._base)
        if self._select_new:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def comboBox(self) -> QtWidgets.QComboBox:
        """For tests; the application keeps it to itself."""
        return self._box

    def _on_chosen(self, row: int) -> None:
        self._choose(self.nodeFromIndex(row - self._none))

    def _fits(self, node: Any) -> bool:
        named = node.IsA if self._children else node.GetClassName().__eq__
        return any(named(kind) for kind in self._types) and (self._hidden or not node.GetHideFromEditors())

    def _update(self) -> None:
        """List what is in the scene now; the first node is chosen where the list was empty or the choice is gone."""
        if self._scene is not None and self._scene.IsBatchProcessing():
            return
        nodes = self._scene.GetNodes() if self._scene else None
        every = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())] if nodes else []
        before, self._listed = self._listed, [node for node in every if self._fits(node)]
        for node in self._listed:
            if node not in before:
                watch(self, node, [vtk.vtkCommand.ModifiedEvent], self._show)
        gone = self._current is not None and self._current not in self._listed
        if (gone or not before) and not self._none and self._listed and (gone or self._current is None):
            self._choose(self._listed[0])
        else:
            self._choose(None if gone else self._current)

    def _choose(self, node: Any) -> None:
        changed, self._current = node is not self._current, node
        self._show()
        if changed:
            self.currentNodeChanged.emit(node)
            self.currentNodeChanged[bool].emit(node is not None)
            self.currentNodeIDChanged.emit(self.currentNodeID)

    def _show(self) -> None:
        texts = [self._none_text] * self._none + [node.GetName() for node in self._listed]
        if texts != [self._box.itemText(row) for row in range(self._box.count)]:
            self._box.clear()
            self._box.addItems(texts)
        listed = self._current in self._listed
        self._box.setCurrentIndex(self._listed.index(self._current) + self._none if listed else self._none - 1)


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """A list of nodes that can be checked."""

    checkedNodesChanged = Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._checked = []

    def checkedNodes(self) -> list[Any]:
        return [node for node in self._listed if node in self._checked]

    def uncheckedNodes(self) -> list[Any]:
        return [node for node in self._listed if node not in self._checked]

    def setCheckState(self, node: Any, state: QtCore.Qt.CheckState) -> None:
        self._checked = [item for item in self._checked if item is not node]
        if state == QtCore.Qt.Checked:
            self._checked.append(node)
        self.checkedNodesChanged.emit()
