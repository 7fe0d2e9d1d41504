"""The module's own code, without the application: what importing it loads, and that it agrees with its .ui file."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

MODULE = Path(__file__).resolve().parents[2] / "CardiacSeg" / "CardiacSeg.py"
UI = MODULE.parent / "Resources" / "UI" / "CardiacSeg.ui"
HEAVY = {"torch", "monai", "nibabel", "SimpleITK", "matplotlib"}

#: The least that the top of CardiacSeg.py asks of the application, on slicer-core.
STAND_INS = """
import sys, types
import slicer

def stand_in(name, **content):
    module = types.ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)

stand_in("qt")
stand_in("slicer.i18n", tr=lambda text: text, translate=lambda context, text: text)
stand_in("slicer.parameterNodeWrapper", Choice=list, parameterNodeWrapper=lambda kind: kind)
kinds = ("", "Widget", "Logic", "Test")
stand_in("slicer.ScriptedLoadableModule", **{f"ScriptedLoadableModule{kind}": type(kind, (), {}) for kind in kinds})
"""


def run(script: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(MODULE.parent)}
    done = subprocess.run(
        [sys.executable, "-c", STAND_INS + script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ui_root() -> ElementTree.Element:
    return ElementTree.parse(UI).getroot()


def widget_names() -> set[str]:
    return {widget.get("name") for widget in ui_root().iter("widget")}


def parameter_names_in_ui() -> list[str]:
    properties = ui_root().iterfind(".//property[@name='SlicerParameterName']")
    return [item.findtext("string") for item in properties]


@pytest.fixture(scope="module")
def source() -> str:
    return MODULE.read_text(encoding="utf-8")


def test_importing_the_module_loads_nothing_heavy():
    loaded = run("import CardiacSeg; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert "CardiacSegLib" in loaded
    assert not HEAVY & set(loaded)


def test_the_module_has_the_four_classes_that_slicer_looks_for():
    names = run("import CardiacSeg; print(*vars(CardiacSeg))").split()
    assert {"CardiacSeg", "CardiacSegWidget", "CardiacSegLogic", "CardiacSegTest"} <= set(names)


def test_every_widget_that_the_code_uses_is_in_the_ui_file(source):
    used = set(re.findall(r"\.ui\.(\w+)", source))
    assert used
    assert used <= widget_names()


def test_widget_names_are_unique():
    names = [widget.get("name") for widget in ui_root().iter("widget")]
    assert len(names) == len(set(names))


def test_every_parameter_that_a_widget_shows_exists(source):
    (parameters,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == "CardiacSegParameterNode"
    )
    fields = {item.target.id for item in parameters.body if isinstance(item, ast.AnnAssign)}
    shown = parameter_names_in_ui()
    assert shown
    assert set(shown) <= fields
    # The model cannot be bound: which there are is known at run time only.
    assert fields - set(shown) == {"model"}


def test_every_node_selector_gets_the_scene():
    selectors = {
        widget.get("name") for widget in ui_root().iter("widget") if widget.get("class") == "qMRMLNodeComboBox"
    }
    connected = {
        connection.findtext("receiver")
        for connection in ui_root().iter("connection")
        if connection.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
    }
    assert selectors == connected


def test_every_slicer_widget_is_declared():
    declared = {item.findtext("class") for item in ui_root().iter("customwidget")}
    used = {widget.get("class") for widget in ui_root().iter("widget")}
    assert {name for name in used if not name.startswith("Q")} == declared


def test_the_module_stays_small(source):
    assert len(source.splitlines()) <= 400


def test_python_3_9_can_read_it(source):
    ast.parse(source, feature_version=(3, 9))


#: The packages of the worker are missing; what is asked and installed is printed.
WITHOUT_PACKAGES = """
import importlib.util
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui import packages

find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {"torch", "monai", "PyTorchUtils"} else find_spec(name)

def ensure():
    try:
        packages.ensurePackages()
    except CardiacSegError as error:
        print("error:", error)
"""


def test_missing_packages_are_asked_for_through_slicer():
    script = """
def pip_ensure(requirements, requester):
    print(requester, *map(str, requirements))

stand_in("slicer.packaging", pip_ensure=pip_ensure)
ensure()
"""
    assert run(WITHOUT_PACKAGES + script) == "CardiacSeg torch>=2.10 monai>=1.5.2\n"


@pytest.mark.parametrize("answer", [True, False])
def test_an_older_slicer_asks_first(answer):
    script = f"""
slicer.util.confirmOkCancelDisplay = lambda text, title: {answer}
slicer.util.pip_install = print
ensure()
"""
    said = run(WITHOUT_PACKAGES + script)
    assert said.startswith('"torch>=2.10" "monai>=1.5.2"' if answer else "error: The packages were not installed")


def test_an_installation_that_fails_says_so():
    script = """
def pip_ensure(requirements, requester):
    raise RuntimeError("no network")

stand_in("slicer.packaging", pip_ensure=pip_ensure)
ensure()
"""
    assert run(WITHOUT_PACKAGES + script) == "error: Installation failed: no network; try again\n"
