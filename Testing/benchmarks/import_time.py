"""What importing the module costs Slicer at startup, without torch and MONAI, against an empty scripted module.

    python Testing/benchmarks/import_time.py

Each import is a fresh process that has the stand-in for Slicer (Testing/gui/stand_in) loaded, as Slicer itself
is loaded when it comes to its modules. The two take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What a scripted module is that does nothing: the four classes that Slicer looks for.
EMPTY = """
from slicer.ScriptedLoadableModule import *

class Empty(ScriptedLoadableModule):
    pass

class EmptyWidget(ScriptedLoadableModuleWidget):
    pass

class EmptyLogic(ScriptedLoadableModuleLogic):
    pass

class EmptyTest(ScriptedLoadableModuleTest):
    pass
"""
#: Imports the module named on the command line with neither torch nor MONAI to be found, and prints milliseconds.
SCRIPT = """
import importlib, sys, time
import numpy, qt, ctk, slicer, vtk, slicer.parameterNodeWrapper, slicer.ScriptedLoadableModule, slicer.i18n
from vtk.util import numpy_support
for name in ("torch", "monai"):
    sys.modules[name] = None
start = time.perf_counter()
importlib.import_module(sys.argv[1])
print(1000 * (time.perf_counter() - start))
"""


def milliseconds(module: str, folder: Path) -> float:
    """Of one import in a fresh process."""
    paths = (folder, ROOT / "CardiacSeg", ROOT / "Testing" / "gui")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "QT_QPA_PLATFORM": "offscreen",
    }
    command = [sys.executable, "-c", "import stand_in; stand_in.install()" + SCRIPT, module]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {"Empty": [], "CardiacSeg": []}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Empty.py").write_text(EMPTY, encoding="utf-8")
        for module in times:
            milliseconds(module, Path(folder))  # bytecode is written
        for _ in range(rounds):
            for module, taken in times.items():
                taken.append(milliseconds(module, Path(folder)))
    print("| module | import, median (range) |\n| --- | --- |")
    for module, taken in times.items():
        print(f"| {module} | {statistics.median(taken):.0f} ms ({min(taken):.0f} to {max(taken):.0f}) |")


if __name__ == "__main__":
    main()
