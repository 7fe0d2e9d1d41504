"""The module ``qt``: all of Qt in one place, enums flat."""

from __future__ import annotations

from typing import Any

from .pythonqt import LIBRARIES
from .ui_loader import QUiLoader

__all__ = ["QUiLoader"]


def __getattr__(name: str) -> Any:
    for library in LIBRARIES:
        if hasattr(library, name):
            return getattr(library, name)
    raise AttributeError(f"module 'qt' has no attribute '{name}'")
