"""The terminology file of the structures, for Slicer's terminology selector."""

from __future__ import annotations

from pathlib import Path

import slicer

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.resources import resource_folder


def terminology_file() -> Path:
    """The terminology file that ships with the extension.

    Raises:
        CardiacSegError: where it is missing from the installation.
    """
    file = resource_folder() / "Terminologies" / "CardiacSeg.term.json"
    if not file.is_file():
        raise CardiacSegError(f"{file} is missing: install CardiacSeg again")
    return file


def load_terminology(logic: slicer.vtkSlicerTerminologiesModuleLogic) -> None:
    """Make the terminology of the structures known to Slicer's terminology selector.

    Args:
        logic: ``slicer.modules.terminologies.logic()`` in Slicer, an object of the class elsewhere.

    Raises:
        CardiacSegError: where the file is missing or does not load.
    """
    file = terminology_file()
    if not logic.LoadContextFromFile(str(file)):
        raise CardiacSegError(f"Slicer cannot read {file}; install CardiacSeg again")
