"""Installing what the engine needs: one question, pip through Slicer, and what to do where it fails.

What is missing and how it is worded stands in :mod:`CardiacSegLib.gui.requirements`. Nothing is installed, and nothing
of Slicer imported, before somebody calls :func:`ensurePackages`.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Optional

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui.requirements import (
    REQUIREMENTS,
    SEGMENT,
    isTorchExtensionInstalled,
    lastLines,
    missingPackages,
    pipArguments,
    questionText,
    whatToTry,
)
from CardiacSegLib.jobs.owned_folders import owned_folder

try:
    from slicer.i18n import tr as _
except ImportError:  # hosts that are not translated
    _ = str

PYTHON_VERSION = (3, 10)


class Answer(NamedTuple):
    """What a person said to the question.

    Attributes:
        install: whether to go on.
        folder: of wheels to install from; None for the internet.
    """

    install: bool
    folder: Optional[Path] = None


class InstallationError(CardiacSegError):
    """pip failed.

    Attributes:
        lines: the last that pip said.
    """

    def __init__(self, message: str, lines: Sequence[str]) -> None:
        super().__init__(message)
        self.lines = list(lines)


def ensurePackages(purpose: str = SEGMENT, ask: Optional[Callable[[str], Answer]] = None) -> None:
    """Ask for what is missing, once for all of it, and install it.

    Args:
        purpose: one of :mod:`CardiacSegLib.gui.requirements`; see there also :func:`purposeOfSegmenting`.
        ask: shows a question; Slicer's dialog where None.

    Raises:
        InstallationError: where pip fails.
        CardiacSegError: where the person declines, this Slicer is too old, or an installation is going on.
    """
    missing = missingPackages(purpose)
    if not missing:
        return
    if sys.version_info < PYTHON_VERSION:
        raise CardiacSegError(_("CardiacSeg needs Python 3.10 or later; install a newer Slicer"))
    _checkIdle()
    answer = (ask or askInDialog)(questionText(missing))
    if not answer.install:
        raise CardiacSegError(_("The packages were not installed; try again and confirm to install them"))
    installPackages(missing, answer.folder)
    left = missingPackages(purpose)
    if left:
        raise CardiacSegError(
            _("{names} cannot be found after the installation; restart Slicer and try again").format(
                names=", ".join(left)
            )
        )


def installPackages(names: Sequence[str], folder: Optional[Path] = None) -> None:
    """Install packages without asking, through Slicer, which shows how it goes.

    Args:
        names: by which they are imported.
        folder: of wheels; None for the internet.

    Raises:
        InstallationError: where pip fails; pip's last lines are shown as well.
    """
    names = list(names)
    with _pipLog() as log:
        try:
            if folder:
                _pipInstall(pipArguments(names, folder))
            else:
                _installFromInternet(names)
        except (ImportError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
            lines = lastLines(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else []
            failure = _failure(lines, folder, error)
            _tell(failure)
            raise failure from error
    importlib.invalidate_caches()


def askInDialog(text: str) -> Answer:
    """Show the question with three answers: install, take a folder of wheels, cancel. A test declines at once."""
    import qt
    import slicer

    if slicer.app.testingEnabled():
        return Answer(False)
    box = qt.QMessageBox(slicer.util.mainWindow())
    box.setWindowTitle(_("CardiacSeg: install Python packages"))
    box.setText(text)
    box.setStandardButtons(qt.QMessageBox.Ok | qt.QMessageBox.Open | qt.QMessageBox.Cancel)
    box.button(qt.QMessageBox.Ok).setText(_("Install"))
    box.button(qt.QMessageBox.Open).setText(_("From a folder..."))
    pressed = box.exec_()
    if pressed != qt.QMessageBox.Open:
        return Answer(pressed == qt.QMessageBox.Ok)
    folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder with wheels (*.whl)"))
    return Answer(bool(folder), Path(folder) if folder else None)


def _checkIdle() -> None:
    """Two installations at a time could leave Slicer's Python broken; Slicer 5.11 and later knows of a running one."""
    try:
        from slicer.packaging import isPipInstallInProgress
    except ImportError:
        return
    if isPipInstallInProgress():
        raise CardiacSegError(_("Another installation is going on; try again when it has ended"))


def _installFromInternet(names: list[str]) -> None:
    if "torch" in names and isTorchExtensionInstalled():
        _installTorch()
        names = [name for name in names if name != "torch"]
    if not names:
        return
    try:
        from slicer.packaging import pip_ensure
    except ImportError:
        _pipInstall(pipArguments(names))
    else:
        from packaging.requirements import Requirement

        # The question has been asked. Slicer still shows how it goes, and offers a restart where one is needed.
        requirements = [Requirement(text) for text in pipArguments(names)]
        pip_ensure(requirements, prompt_install=False, requester="CardiacSeg")


def _installTorch() -> None:
    """Let the PyTorch extension choose the build that fits this computer."""
    import PyTorchUtils

    version = REQUIREMENTS["torch"].requirement.replace("torch", "")
    if PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=version) is None:
        raise RuntimeError("Slicer's extension PyTorch did not install torch")


def _pipInstall(arguments: Sequence[str]) -> None:
    import slicer

    # A list, so that a folder may have spaces in its name.
    slicer.util.pip_install(list(arguments))


@contextmanager
def _pipLog() -> Iterator[Path]:
    """A file to which every pip writes that starts meanwhile: the exceptions of Slicer do not hold what it said."""
    before = os.environ.get("PIP_LOG")
    with owned_folder() as folder:
        os.environ["PIP_LOG"] = str(folder / "pip.log")
        try:
            yield folder / "pip.log"
        finally:
            if before is None:
                del os.environ["PIP_LOG"]
            else:
                os.environ["PIP_LOG"] = before


def _tell(failure: InstallationError) -> None:
    import slicer

    details = "\n".join(failure.lines)
    with suppress(ImportError):  # PythonSlicer has no windows; whoever called says it
        slicer.util.errorDisplay(str(failure), windowTitle=_("CardiacSeg: installation failed"), detailedText=details)


def _failure(lines: Sequence[str], folder: Optional[Path], error: Exception) -> InstallationError:
    """One line for the panel: the last of pip's, and what to try."""
    said = lines[-1].strip() if lines else " ".join(str(error).split()) or type(error).__name__
    message = _("The packages could not be installed ({said}); {advice}")
    return InstallationError(message.format(said=said, advice=whatToTry(lines or [said], folder)), lines)
