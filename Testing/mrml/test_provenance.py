"""What made a segmentation goes with it, and onto the page of its study."""

from __future__ import annotations

from CardiacSegLib.inference.provenance import Provenance
from CardiacSegLib.mrml.provenance import note_provenance, noted_provenance
from CardiacSegLib.mrml.studies import measure_segmentations

MADE = Provenance(model="short-axis-cine", sha256="ab" * 32, runtime="OpenVINO 2026.4.1", device="cpu", threads=2)


def test_a_segmentation_remembers_what_made_it(a_volume_node, a_segmentation_node):
    assert noted_provenance(a_segmentation_node) == {}
    note_provenance(a_volume_node, a_segmentation_node, MADE.fields())
    assert Provenance.of_fields(noted_provenance(a_segmentation_node)) == MADE
    assert measure_segmentations([a_segmentation_node]).study_input.provenance == MADE.fields()


def test_what_is_no_record_is_left_out(a_segmentation_node):
    for text in ("{", "[]", ""):
        a_segmentation_node.SetAttribute("CardiacSeg.Provenance", text)
        assert noted_provenance(a_segmentation_node) == {}
