"""The running application: ``slicer.app``, ``slicer.modules``, the main window, and the scene of a test."""

from __future__ import annotations

import tempfile
from types import SimpleNamespace
from typing import Any

import slicer
import vtk

from CardiacSegLib.mrml.storage import create_scene

from .host import HOST
from .pythonqt import QtCore, QtWidgets

Property, Signal = QtCore.Property, QtCore.Signal
VERSION = (5, 13, 0)
SLICE_VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}


class qSlicerModuleManager(QtCore.QObject):
    """Knows the scripted modules that a test has loaded."""

    moduleAboutToBeUnloaded = Signal(str)
    moduleLoaded = Signal(str)

    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)

    def factoryManager(self) -> qSlicerModuleManager:
        return self

    def loadedModuleNames(self) -> list[str]:
        return [module.name for module in vars(slicer.modules).values() if hasattr(module, "widgetRepresentation")]

    def isLoaded(self, name: str) -> bool:
        return name in self.loadedModuleNames()


class qSlicerModuleSelector(QtCore.QObject):
    """The list of modules in the tool bar: the chosen one is entered, the one before is left."""

    moduleSelected = Signal(str)

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self._selected = ""

    selectedModule = Property(str, lambda self: self._selected)

    def selectModule(self, name: str) -> None:
        for module, act in ((self._selected, "exit"), (name, "enter")):
            known = slicer.app.moduleManager().module(module)
            if hasattr(known, "widgetRepresentation"):
                getattr(known.widgetRepresentation(), act)()
        self._selected = name
        self.moduleSelected.emit(name)


class qSlicerMainWindow(QtWidgets.QMainWindow):
    """Never shown: dialogs get it as their parent, modules are chosen in it."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = qSlicerModuleSelector(self)

    def moduleSelector(self) -> qSlicerModuleSelector:
        return self._selector


class LayoutManager:
    """Slice views are nodes and logics of the scene; what is asked of the others is noted in HOST.requests."""

    def sliceViewNames(self) -> list[str]:
        return list(SLICE_VIEWS)

    def mrmlSliceLogics(self) -> Any:
        return slicer.app.applicationLogic().GetSliceLogics()

    def sliceWidget(self, name: str) -> Any:
        logic = slicer.app.applicationLogic().GetSliceLogicByLayoutName(name)
        return SimpleNamespace(
            sliceLogic=lambda: logic,
            mrmlSliceNode=logic.GetSliceNode,
            mrmlSliceCompositeNode=logic.GetSliceCompositeNode,
        )

    def __getattr__(self, name: str) -> Any:
        def ask(*arguments: Any) -> LayoutManager:
            HOST.requests.append((name, arguments))
            return self

        return ask


class qSlicerApplication(QtWidgets.QApplication):
    """The application in testing mode."""

    startupCompleted = Signal()

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("Stand-in")
        self.setApplicationVersion(".".join(map(str, VERSION)))
        self.setQuitOnLastWindowClosed(False)
        self._folder = tempfile.TemporaryDirectory(prefix="stand_in")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        self._layout, self._modules, self._window = LayoutManager(), qSlicerModuleManager(self), qSlicerMainWindow()

    majorVersion = Property(int, lambda self: VERSION[0])
    minorVersion = Property(int, lambda self: VERSION[1])
    temporaryPath = Property(str, lambda self: self._folder.name)
    slicerHome = Property(str, lambda self: self._folder.name)
    mainApplicationName = Property(str, lambda self: "Slicer")
    slicerUserSettingsFilePath = Property(str, lambda self: self.userSettings().fileName())

    def testingEnabled(self) -> bool:
        return True

    def layoutManager(self) -> LayoutManager:
        return self._layout

    def moduleManager(self) -> qSlicerModuleManager:
        return self._modules

    def mainWindow(self) -> qSlicerMainWindow:
        return self._window

    def applicationLogic(self) -> Any:
        return slicer.mrmlScene.logics[0]

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def settings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def userSettings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        return QtCore.QProcessEnvironment.systemEnvironment()


class Modules:
    """``slicer.modules``: those of Slicer itself that are asked for their logic, and what a test loads."""

    def __init__(self) -> None:
        self.sampleDataSources: dict[str, list[Any]] = {}
        self.segmentations = SimpleNamespace(logic=lambda: slicer.mrmlScene.logics[1])
        self.terminologies = SimpleNamespace(logic=lambda: slicer.mrmlScene.logics[2])
        self.plots = SimpleNamespace(logic=lambda: slicer.mrmlScene.logics[3])


def open_scene() -> slicer.vtkMRMLScene:
    """A new scene with the slice views and the logics that Slicer's own scene has; it becomes slicer.mrmlScene."""
    scene = create_scene()
    terminologies = slicer.vtkSlicerTerminologiesModuleLogic()
    plots = slicer.vtkSlicerPlotsLogic()
    plots.SetMRMLScene(scene)
    scene.logics = (*scene.logics, terminologies, plots, _add_slice_views(scene, scene.logics[0]))
    slicer.mrmlScene = scene
    return scene


def _add_slice_views(scene: slicer.vtkMRMLScene, application: Any) -> list[Any]:
    collection, logics = vtk.vtkCollection(), []
    for name, orientation in SLICE_VIEWS.items():
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
        logic.AddSliceNode(name).SetOrientation(orientation)
        collection.AddItem(logic)
        logics.append(logic)
    application.SetSliceLogics(collection)
    return [collection, *logics]


def close_scene() -> None:
    """End the scene of a test."""
    slicer.mrmlScene.Clear(True)
    del slicer.mrmlScene
