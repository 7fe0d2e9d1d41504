"""Segment Editor and Segment Statistics, as far as the panel sends a person there: what is chosen in them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import qt
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget


def _selector(kind: str, layout: Any) -> Any:
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = [kind]
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    layout.addWidget(selector)
    return selector


class Editor(qt.QWidget):
    """What Slicer's qMRMLSegmentEditorWidget shows; as there, nothing can be chosen before its module was entered."""

    def __init__(self) -> None:
        super().__init__()
        layout = qt.QVBoxLayout(self)
        self.segmentationSelector = _selector("vtkMRMLSegmentationNode", layout)
        self.sourceVolumeSelector = _selector("vtkMRMLScalarVolumeNode", layout)
        self.hasParameterSet = False

    def setSegmentationNode(self, node: Any) -> None:
        if self.hasParameterSet:
            self.segmentationSelector.setCurrentNode(node)

    def setSourceVolumeNode(self, node: Any) -> None:
        if self.hasParameterSet:
            self.sourceVolumeSelector.setCurrentNode(node)


class SegmentEditorWidget(ScriptedLoadableModuleWidget):
    def setup(self) -> None:
        super().setup()
        self.editor = Editor()
        self.layout.addWidget(self.editor)

    def enter(self) -> None:
        self.editor.hasParameterSet = True


class SegmentStatisticsWidget(ScriptedLoadableModuleWidget):
    def setup(self) -> None:
        super().setup()
        self.segmentationSelector = _selector("vtkMRMLSegmentationNode", self.layout)
        self.scalarSelector = _selector("vtkMRMLScalarVolumeNode", self.layout)


def add_other_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the application know both, for the time of a test."""
    for kind in (SegmentEditorWidget, SegmentStatisticsWidget):
        name = kind.__name__.removesuffix("Widget")
        module = ModuleType(name)
        setattr(module, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(slicer.modules, kind.__name__, None, raising=False)
        host = slicer.qSlicerScriptedLoadableModule(name, "")
        monkeypatch.setattr(slicer.modules, name.lower(), host, raising=False)
