"""The rules of the design that import-linter cannot hold: what is loaded, as against what a function may load."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "CardiacSeg" / "CardiacSegLib"
HEAVY = {"ignite", "matplotlib", "monai", "torch"}
SLICER = {"PySide6", "ctk", "qt", "slicer", "slicer_core", "vtk", "vtkmodules"}


def _modules(*patterns: str) -> list[str]:
    """Names of the modules whose files match, those that are there."""
    files = sorted(file for pattern in patterns for file in LIBRARY.glob(pattern))
    parts = [file.relative_to(LIBRARY.parent).with_suffix("").parts for file in files]
    return [".".join(name[:-1] if name[-1] == "__init__" else name) for name in parts]


LIGHT = _modules(
    "__init__.py",
    "anatomy.py",
    "bundles.py",
    "cli.py",
    "errors.py",
    "files.py",
    "geometry.py",
    "images.py",
    "jobs/*.py",
    "resources.py",
    "terminology.py",
    "training/choices.py",
    "training/config.py",
    "training/recipes.py",
)
SHOWN_IN_SLICER = _modules("mrml/*.py")


def _loaded_by(module: str) -> set[str]:
    """Top-level packages in ``sys.modules`` of a fresh Python that imported one module and nothing else."""
    script = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    environment = os.environ | {"PYTHONPATH": str(LIBRARY.parent)}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_loads_neither_a_network_library_nor_slicer(module: str) -> None:
    assert not _loaded_by(module) & (HEAVY | SLICER)


@pytest.mark.skipif(importlib.util.find_spec("slicer") is None, reason="needs slicer-core")
@pytest.mark.parametrize("module", SHOWN_IN_SLICER)
def test_what_slicer_loads_brings_no_network_library(module: str) -> None:
    assert not _loaded_by(module) & HEAVY


def test_the_engine_is_loaded_without_slicer() -> None:
    assert not _loaded_by("CardiacSegLib.training.run") & SLICER
