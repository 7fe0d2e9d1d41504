"""Answers what would otherwise wait for a person, and notes what was shown; for the time of a test."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import slicer

from .host import HOST
from .pythonqt import QtGui, QtWidgets

QMessageBox, QFileDialog = QtWidgets.QMessageBox, QtWidgets.QFileDialog
_LEVELS = {logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}
_YES = (QMessageBox.Yes, QMessageBox.Ok, QMessageBox.Retry, QMessageBox.Save)
_NO = (QMessageBox.No, QMessageBox.Cancel, QMessageBox.Close, QMessageBox.Discard)


def answer_dialogs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicer.util, "_messageDisplay", _message_display)
    monkeypatch.setattr(slicer.util, "messageBox", _message_box)
    for name in ("exec", "exec_"):
        monkeypatch.setattr(QMessageBox, name, lambda box: _message_box(box.text, standardButtons=box.standardButtons))
    for name in ("question", "information", "warning", "critical"):
        monkeypatch.setattr(QMessageBox, name, staticmethod(_static_box("question" if name == "question" else "box")))
    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        monkeypatch.setattr(QFileDialog, name, staticmethod(_choose_path))
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", staticmethod(_choose_paths))
    monkeypatch.setattr(QtWidgets.QInputDialog, "getText", staticmethod(_enter_text))
    monkeypatch.setattr(QtGui.QDesktopServices, "openUrl", staticmethod(_open_url))


def _message_display(level: int, text: str, testing_value: Any, **options: Any) -> Any:
    """slicer.util's displays and confirmations all come here; a confirmation has a value for tests."""
    is_question = testing_value is not None
    HOST.messages.append(("question" if is_question else _LEVELS[level], text))
    return _button(options.get("standardButtons")) if is_question else None


def _message_box(text: str, parent: Any = None, **options: Any) -> Any:
    if "autoCloseMsec" in options:  # slicer.util hands it to delayDisplay, which then has it twice
        raise TypeError("delayDisplay() got multiple values for keyword argument 'autoCloseMsec'")
    HOST.messages.append(("box", text))
    return _button(options.get("standardButtons"))


def _static_box(kind: str) -> Callable[..., Any]:
    def show(parent: Any, title: str, text: str, buttons: Any = QMessageBox.Ok, *more: Any) -> Any:
        HOST.messages.append((kind, text))
        return _button(
            QMessageBox.Yes | QMessageBox.No if kind == "question" and buttons == QMessageBox.Ok else buttons
        )

    return show


def _button(buttons: Any) -> Any:
    """The button that the person presses; a box with no choice can only be closed."""
    offered = [button for button in (_YES if HOST.confirm else _NO) if buttons and buttons & button]
    return offered[0] if offered else QMessageBox.Ok


def _choose_path(parent: Any = None, title: str = "", *more: Any, **named: Any) -> str:
    HOST.file_dialogs.append(title)
    return HOST.chosen_path


def _choose_paths(parent: Any = None, title: str = "", *more: Any, **named: Any) -> list[str]:
    path = _choose_path(parent, title)
    return [path] if path else []


def _enter_text(parent: Any, title: str, label: str, *more: Any) -> str:
    HOST.messages.append(("question", label))
    return HOST.chosen_text or ""


def _open_url(url: Any) -> bool:
    HOST.opened_urls.append(url.toString())
    return True
