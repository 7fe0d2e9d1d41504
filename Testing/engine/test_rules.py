"""The rules of the design that import-linter cannot hold: what is loaded, as against what a function may load."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
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
    "bundles/*.py",
    "cli.py",
    "errors.py",
    "files.py",
    "geometry.py",
    "images/*.py",
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


#: What makes objects, or runs text, out of what a file holds; and the way the project reads such files instead.
UNSAFE_MODULES = {"cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve", "yaml"}
UNSAFE_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "torch.jit.load",
    "torch.export.load",
    "torch.hub.load",
    "torch.package.PackageImporter",
    "torch.serialization.add_safe_globals",
    "monai.bundle.load",
    "monai.bundle.run",
    "pandas.read_pickle",
    "shutil.unpack_archive",
    "tarfile.open",
    "np.fromregex",
}
UNSAFE_METHODS = {
    *("extract", "extractall", "read_pickle", "unsafe_load"),
    *("all_gather_object", "broadcast_object_list", "gather_object", "scatter_object_list"),
}
#: Calls that are safe with these arguments alone, and the only file that may have them where one is named.
SAFE_WITH = {
    "torch.load": ({"weights_only": True}, "networks/weights.py"),
    "torch.hub.load_state_dict_from_url": ({"weights_only": True, "check_hash": True}, "networks/encoder_weights.py"),
    "np.load": ({"allow_pickle": False}, ""),
    "numpy.load": ({"allow_pickle": False}, ""),
}


def unsafe_reads(source: str, name: str) -> list[str]:
    """What in a file of Python could run what it reads, one line each."""
    return [f"{name}:{node.lineno}: {what}" for node in ast.walk(ast.parse(source)) for what in _unsafe(node, name)]


def _unsafe(node: ast.AST, name: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (one.name for one in node.names if one.name.partition(".")[0] in UNSAFE_MODULES)
    elif isinstance(node, ast.ImportFrom):
        if (node.module or "").partition(".")[0] in UNSAFE_MODULES:
            yield f"from {node.module}"
    elif isinstance(node, ast.keyword):
        # None means: whatever the caller said.
        if node.arg == "allow_pickle" and getattr(node.value, "value", None) is not False:
            yield "allow_pickle"
        if node.arg == "weights_only" and getattr(node.value, "value", None) is not True:
            yield "weights_only"
        if node.arg == "shell" and getattr(node.value, "value", None) is not False:
            yield "shell"
    elif isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called in UNSAFE_CALLS or called.rpartition(".")[2] in UNSAFE_METHODS:
            yield called
        if called in SAFE_WITH:
            needed, place = SAFE_WITH[called]
            given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            if needed.items() - given.items() or not name.endswith(place):
                yield called


def test_nothing_unpickles_or_evaluates_what_it_reads() -> None:
    files = [path for path in LIBRARY.parent.rglob("*.py") if "__pycache__" not in path.parts]
    assert len(files) > 100
    found = [
        line
        for path in files
        for line in unsafe_reads(path.read_text(encoding="utf-8"), path.relative_to(LIBRARY.parent).as_posix())
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib.memory",
        "from yaml import load",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",  # in another file than the one for it
        "f(weights_only=safe)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "eval('1')",
        "archive.extractall(folder)",
        "subprocess.run(command, shell=True)",
        "torch.hub.load_state_dict_from_url(address, weights_only=True)",
    ],
)
def test_what_would_is_found(source: str) -> None:
    assert unsafe_reads(source, "CardiacSegLib/somewhere.py") != []
