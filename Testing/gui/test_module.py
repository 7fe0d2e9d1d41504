"""The module's own code: what importing it loads, and that it agrees with its .ui files."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "CardiacSeg"
MODULE = FOLDER / "CardiacSeg.py"
SECTIONS = ("Segment", "Results", "Train", "Evaluate", "Models")
UI = {name: FOLDER / "Resources" / "UI" / f"{name}.ui" for name in SECTIONS}
GUI = FOLDER / "CardiacSegLib" / "gui"
#: What uses the widgets of a .ui file.
CODE = {
    "Segment": ("segment",),
    "Results": ("results", "patient", "doubt_view"),
    "Train": ("train", "run_view"),
    "Evaluate": ("evaluate",),
    "Models": ("models",),
}
HEAVY = {"torch", "monai", "nibabel", "SimpleITK", "matplotlib", "sklearn", "scipy", "pydicom", "psutil"}
#: Chosen in code: which models there are is known at run time only, and the rest has no widget of its kind.
NOT_BOUND = {"model", "turns", "edPhase", "esPhase", "resultsTable", "volumeChart", "bullseye", "sex", "bsaFormula"}


def run(script: str) -> str:
    """What a fresh Python prints that has the stand-in for the application."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(MODULE.parent), str(Path(__file__).parent)]),
        "QT_QPA_PLATFORM": "offscreen",
    }
    script = "import sys, stand_in\nstand_in.install()\nbefore = set(sys.modules)\n" + script
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def root(section: str) -> ElementTree.Element:
    return ElementTree.parse(UI[section]).getroot()


def widgets(section: str) -> list[ElementTree.Element]:
    return list(root(section).iter("widget"))


def bound_parameters() -> set[str]:
    """The parameters that widgets name, of all sections."""
    properties = (root(section).iterfind(".//property[@name='SlicerParameterName']") for section in SECTIONS)
    return {item.findtext("string") for found in properties for item in found}


@pytest.fixture(scope="module")
def source() -> str:
    return MODULE.read_text(encoding="utf-8")


def test_importing_the_module_loads_nothing_heavy():
    loaded = run("import CardiacSeg; print(*{name.partition('.')[0] for name in set(sys.modules) - before})").split()
    assert "CardiacSegLib" in loaded
    assert not HEAVY & set(loaded)


def test_the_module_has_the_four_classes_that_slicer_looks_for():
    names = run("import CardiacSeg; print(*vars(CardiacSeg))").split()
    assert {"CardiacSeg", "CardiacSegWidget", "CardiacSegLogic", "CardiacSegTest"} <= set(names)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_widget_that_the_code_uses_is_in_the_ui_file(section):
    known = {widget.get("name") for widget in widgets(section)}
    for name in CODE[section]:
        used = set(re.findall(r"\b_?ui\.(\w+)", (GUI / f"{name}.py").read_text(encoding="utf-8")))
        assert used
        assert used <= known


def test_widget_names_are_unique_in_the_whole_panel():
    names = [widget.get("name") for section in SECTIONS for widget in widgets(section)]
    assert len(names) == len(set(names))


def test_every_parameter_that_a_widget_shows_exists():
    (parameters,) = (
        node
        for node in ast.parse((GUI / "parameter_node.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == "CardiacSegParameterNode"
    )
    fields = {item.target.id for item in parameters.body if isinstance(item, ast.AnnAssign)}
    assert bound_parameters() == fields - NOT_BOUND


@pytest.mark.parametrize("section", SECTIONS)
def test_every_node_selector_gets_the_scene(section):
    selectors = {widget.get("name") for widget in widgets(section) if widget.get("class") == "qMRMLNodeComboBox"}
    connected = {
        connection.findtext("receiver")
        for connection in root(section).iter("connection")
        if connection.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
    }
    assert selectors == connected


@pytest.mark.parametrize("section", SECTIONS)
def test_every_slicer_widget_is_declared(section):
    declared = {item.findtext("class") for item in root(section).iter("customwidget")}
    used = {widget.get("class") for widget in widgets(section)}
    assert {name for name in used if not name.startswith("Q")} == declared


@pytest.mark.parametrize("path", [MODULE, *sorted(GUI.glob("*.py"))], ids=lambda path: path.stem)
def test_every_text_to_be_translated_stands_where_slicer_looks_for_texts(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    texts = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "_"]
    assert [ast.unparse(text) for text in texts if not isinstance(text, ast.Constant)] == []


def test_files_stay_small(source):
    for text in (source, *(path.read_text(encoding="utf-8") for path in GUI.glob("*.py"))):
        assert len(text.splitlines()) <= 400


@pytest.mark.parametrize("path", sorted((FOLDER / "CardiacSegLib").rglob("*.py")), ids=lambda path: path.stem)
def test_python_3_9_can_read_it(path):
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_python_3_9_can_read_the_module(source):
    ast.parse(source, feature_version=(3, 9))
