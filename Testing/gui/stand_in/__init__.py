"""Slicer's application, as far as the panel needs it: PySide6 shown as PythonQt shows Qt, on slicer-core's MRML.

What it has to behave like is written down, a fact a test, in ``test_stand_in.py``. Only ``slicer.mrmlScene`` comes and
goes with a test; all else is there from the first ``install()`` on.
"""

from __future__ import annotations

import importlib
import sys

import slicer
import slicer.util

#: What code for Slicer imports, and where it is here.
MODULES = {
    "qt": "qt",
    "ctk": "ctk",
    "SampleData": "sample_data",
    "slicer.ScriptedLoadableModule": "scripted_module",
    "slicer.i18n": "i18n",
    "slicer.packaging": "packaging",
    "slicer.parameterNodeWrapper": "parameter_node",
}


def install() -> None:
    """Make ``import qt``, ``import ctk`` and the parts of ``slicer`` that need Qt work in this process."""
    if "qt" in sys.modules:
        return
    for name, here in MODULES.items():
        module = importlib.import_module(f"{__name__}.{here}")
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    from . import application, mrml_views, mrml_widgets, scripted_module

    slicer.app = application.qSlicerApplication.instance() or application.qSlicerApplication()
    slicer.modules = application.Modules()
    for module in (mrml_widgets, mrml_views):
        for name in module.__all__:
            setattr(slicer, name, getattr(module, name))
    slicer.qSlicerScriptedLoadableModule = scripted_module.qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = scripted_module.qSlicerScriptedLoadableModuleWidget
