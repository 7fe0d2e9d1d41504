from __future__ import annotations

import json

import pytest
import slicer
import vtk

from CardiacSegLib.anatomy import CANONICAL, STRUCTURES
from CardiacSegLib.mrml.storage import load_segmentation, save_segmentation
from CardiacSegLib.mrml.terminology import load_terminology, terminology_file
from CardiacSegLib.terminology import CONTEXT_NAME, terminology_entry


@pytest.fixture(scope="module")
def a_terminology_logic():
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    load_terminology(logic)
    return logic


def tag_of(segment) -> str:
    tag = vtk.reference("")
    assert segment.GetTag(segment.GetTerminologyEntryTagName(), tag)
    return str(tag)


def test_the_file_that_ships_loads(a_terminology_logic):
    names = vtk.vtkStringArray()
    a_terminology_logic.GetLoadedTerminologyNames(names)
    assert CONTEXT_NAME in [names.GetValue(index) for index in range(names.GetNumberOfValues())]


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_entry_of_a_structure_is_understood_and_found(a_terminology_logic, name):
    structure = STRUCTURES[name]
    entry = slicer.vtkSlicerTerminologyEntry()
    assert a_terminology_logic.DeserializeTerminologyEntry(terminology_entry(structure), entry)
    assert a_terminology_logic.SerializeTerminologyEntry(entry) == terminology_entry(structure)
    category, kind = entry.GetCategoryObject(), entry.GetTypeObject()
    assert category.GetCodeMeaning() == "Anatomical Structure"
    assert (kind.GetCodeValue(), kind.GetCodeMeaning()) == (structure.snomed_code, structure.snomed_meaning)
    found = a_terminology_logic.FindTerminologyNames(
        "SCT", category.GetCodeValue(), "SCT", kind.GetCodeValue(), "", "", [CONTEXT_NAME]
    )
    assert CONTEXT_NAME in found


def test_the_file_agrees_with_the_anatomy():
    content = json.loads(terminology_file().read_text(encoding="utf-8"))
    (category,) = content["SegmentationCodes"]["Category"]
    found = {kind["3dSlicerLabel"]: kind for kind in category["Type"]}
    assert set(found) == set(STRUCTURES)
    for name, structure in STRUCTURES.items():
        assert found[name]["CodeValue"] == structure.snomed_code
        assert found[name]["CodeMeaning"] == structure.snomed_meaning
        assert tuple(found[name]["recommendedDisplayRGBValue"]) == structure.color


def test_segments_carry_their_entry_also_through_a_file(a_segmentation_node, tmp_path):
    file = save_segmentation(a_segmentation_node, tmp_path / "heart.seg.nrrd")
    loaded = load_segmentation(a_segmentation_node.GetScene(), file)
    for node in (a_segmentation_node, loaded):
        for name in CANONICAL:
            assert tag_of(node.GetSegmentation().GetSegment(name)) == terminology_entry(STRUCTURES[name])
