"""What the worker needs beside the packages of Slicer itself: what is missing, and how it is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence

import slicer

from CardiacSegLib.errors import CardiacSegError

try:
    from slicer.i18n import tr as _
except ImportError:  # hosts that are not translated
    _ = str

#: What pip is asked for, by the name under which it is imported.
REQUIREMENTS = {"torch": "torch>=2.10", "monai": "monai>=1.5.2", "scipy": "scipy"}
PYTHON_VERSION = (3, 10)


def missingPackages() -> list[str]:
    """What is not installed, by import name; nothing is imported to find out."""
    return [name for name in REQUIREMENTS if importlib.util.find_spec(name) is None]


def ensurePackages() -> None:
    """Ask for what is missing and install it.

    Raises:
        CardiacSegError: where the person declines, the installation fails or this Slicer is too old.
    """
    missing = missingPackages()
    if not missing:
        return
    if sys.version_info < PYTHON_VERSION:
        raise CardiacSegError(_("CardiacSeg needs Python 3.10 or later; install a newer Slicer"))
    try:
        if "torch" in missing and importlib.util.find_spec("PyTorchUtils"):
            _installTorch()
            missing.remove("torch")
        _install([REQUIREMENTS[name] for name in missing])
    except (RuntimeError, subprocess.CalledProcessError) as error:
        raise CardiacSegError(_("Installation failed: {error}; try again").format(error=error)) from error


def _installTorch() -> None:
    """Let the PyTorch extension choose the build that fits this computer."""
    import PyTorchUtils

    version = REQUIREMENTS["torch"].replace("torch", "")
    if PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=version) is None:
        raise CardiacSegError(_("PyTorch was not installed; press Apply again to install it"))


def _install(requirements: Sequence[str]) -> None:
    """Install after asking, by Slicer's own dialog where it has one (5.11 and later)."""
    if not requirements:
        return
    try:
        from slicer.packaging import pip_ensure
    except ImportError:
        _installWithQuestion(requirements)
    else:
        from packaging.requirements import Requirement

        pip_ensure([Requirement(text) for text in requirements], requester="CardiacSeg")


def _installWithQuestion(requirements: Sequence[str]) -> None:
    question = _("CardiacSeg needs to install {packages}. Continue?").format(packages=", ".join(requirements))
    if not slicer.util.confirmOkCancelDisplay(question, _("Install Python packages")):
        raise CardiacSegError(_("The packages were not installed; press Apply again to install them"))
    slicer.util.pip_install(" ".join(f'"{text}"' for text in requirements))
