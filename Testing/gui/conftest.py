"""The real panel on a real scene, without the application: stand_in is what the panel takes for Slicer."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).parent))
import stand_in

stand_in.install()

import qt
import slicer
from PySide6.QtTest import QTest
from stand_in import application as stand_in_application
from stand_in.dialogs import answer_dialogs
from stand_in.host import HOST, SlicerHost

MODULE = Path(__file__).resolve().parents[2] / "CardiacSeg" / "CardiacSeg.py"


@pytest.fixture(scope="session")
def application() -> qt.QApplication:
    """``slicer.app``; there is one a process."""
    return slicer.app


@pytest.fixture
def slicer_host(application: qt.QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlicerHost]:
    """The person in front of the application: gives answers, sees messages. No slot may raise, unless expected."""
    HOST.reset()
    qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, str(tmp_path / "settings"))
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: HOST.exceptions.append(error))
    answer_dialogs(monkeypatch)
    monkeypatch.setattr(slicer.modules, "sampleDataSources", {})
    yield HOST
    assert not HOST.exceptions, f"raised in a slot: {HOST.exceptions!r}"


@pytest.fixture
def scene(slicer_host: SlicerHost) -> Iterator[slicer.vtkMRMLScene]:
    """``slicer.mrmlScene``, empty but for what Slicer itself puts there; as in Slicer, sequences are watched."""
    opened, sequences = stand_in_application.open_scene(), slicer.vtkSlicerSequencesLogic()
    sequences.SetMRMLScene(opened)
    opened.logics = (*opened.logics, sequences)
    yield opened
    stand_in_application.close_scene()


@pytest.fixture
def module(scene: slicer.vtkMRMLScene, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """CardiacSeg.py, freshly loaded as Slicer does at startup."""
    spec = importlib.util.spec_from_file_location("CardiacSeg", MODULE)
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "CardiacSeg", loaded)
    monkeypatch.syspath_prepend(MODULE.parent)
    spec.loader.exec_module(loaded)
    host = slicer.qSlicerScriptedLoadableModule("CardiacSeg", str(MODULE))
    monkeypatch.setattr(slicer.modules, "cardiacseg", host, raising=False)
    loaded.CardiacSeg(host)
    slicer.app.startupCompleted.emit()
    yield loaded
    slicer.app.startupCompleted.disconnect()


@pytest.fixture
def panel(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The panel as it is when the module has been chosen: 500 pixels wide, entered.

    Its worker starts at the first click only: most tests need none, and one that imports torch slows the others.
    """
    monkeypatch.setattr(slicer.modules, "CardiacSegWidget", None, raising=False)
    monkeypatch.setattr(module.CardiacSegLogic, "warmUp", lambda *arguments: None)
    window = slicer.modules.cardiacseg.widgetRepresentation()
    window.resize(500, 900)
    window.show()
    slicer.util.selectModule("CardiacSeg")
    slicer.app.processEvents()
    yield window.self()
    slicer.util.selectModule("")
    window.self().cleanup()
    window.close()
    window.deleteLater()
    slicer.app.processEvents()


@pytest.fixture
def wait_until(application: qt.QApplication) -> Callable[..., None]:
    """Let the application run until a condition holds; fails after some seconds."""

    def wait(condition: Callable[[], Any], seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not so after {seconds} s"
            slicer.app.processEvents(qt.QEventLoop.AllEvents, 20)
            time.sleep(0.005)

    return wait


@pytest.fixture
def click(application: qt.QApplication) -> Callable[[Any], None]:
    """Click a widget with the mouse, in its middle; a button that folds, in its header."""

    def press(widget: Any) -> None:
        slicer.app.processEvents()  # what has just been opened gets its place
        assert widget.isVisible(), f"{widget.objectName} cannot be clicked: it is not visible"
        assert widget.isEnabled(), f"{widget.objectName} cannot be clicked: it is disabled"
        place = widget.header() if hasattr(widget, "header") and hasattr(widget, "collapsed") else widget.rect
        where = qt.QPoint(9, place.center().y()) if isinstance(widget, qt.QCheckBox) else place.center()
        QTest.mouseClick(widget, qt.Qt.LeftButton, qt.Qt.NoModifier, where)
        slicer.app.processEvents()

    return press


@pytest.fixture
def screenshot(application: qt.QApplication, tmp_path: Path) -> Callable[[Any, str], Path]:
    """Write a picture of a widget; CARDIACSEG_SCREENSHOTS names a folder to keep them in."""
    folder = Path(os.environ.get("CARDIACSEG_SCREENSHOTS", tmp_path))

    def shoot(widget: Any, name: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.png"
        slicer.app.processEvents()
        assert widget.grab().save(str(file)), f"{file} cannot be written"
        return file

    return shoot
