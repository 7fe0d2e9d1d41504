"""SNOMED CT terminology of the structures, in the form that Slicer's segments and their files carry."""

from __future__ import annotations

from CardiacSegLib.anatomy import Structure

#: Name of the terminology context in the file that ships with the extension.
CONTEXT_NAME = "CardiacSeg"
CATEGORY = ("SCT", "123037004", "Anatomical Structure")
#: The tag under which a segment keeps its entry.
TAG_NAME = "TerminologyEntry"

_NO_CODE = ("", "", "")
_REGION_CONTEXT_NAME = "Anatomic codes - DICOM master list"


def terminology_entry(structure: Structure) -> str:
    """The serialized terminology entry of a structure, as a segment's tag holds it."""
    codes = (CATEGORY, ("SCT", structure.snomed_code, structure.snomed_meaning), _NO_CODE)
    fields = [CONTEXT_NAME, *map("^".join, codes), _REGION_CONTEXT_NAME, *map("^".join, (_NO_CODE, _NO_CODE))]
    return "~".join(fields)
