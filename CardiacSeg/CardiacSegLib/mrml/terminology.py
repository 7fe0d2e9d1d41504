"""SNOMED CT terminology of the structures, in the form that Slicer's segments carry."""

from __future__ import annotations

from pathlib import Path

import slicer

from CardiacSegLib.anatomy import Structure
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.resources import resource_folder

#: Name of the terminology context in the file that ships with the extension.
CONTEXT_NAME = "CardiacSeg"
CATEGORY = ("SCT", "123037004", "Anatomical Structure")

_NO_CODE = ("", "", "")
_REGION_CONTEXT_NAME = "Anatomic codes - DICOM master list"


def terminology_entry(structure: Structure) -> str:
    """The serialized terminology entry of a structure, as a segment's tag holds it."""
    codes = (CATEGORY, ("SCT", structure.snomed_code, structure.snomed_meaning), _NO_CODE)
    fields = [CONTEXT_NAME, *map("^".join, codes), _REGION_CONTEXT_NAME, *map("^".join, (_NO_CODE, _NO_CODE))]
    return "~".join(fields)


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
