"""What the module writes of a scene holds nothing of the headers and folders that its volumes came from.

Names of nodes are what a person sees and changes in Slicer: cases and segmentations are called by them. A scene itself
is written by Slicer, which keeps what its own readers took from a file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer

from canaries import HOME, WORD, canaries_in, canaries_in_text, plant_in_nifti, plant_in_nrrd
from CardiacSegLib.images import Image, write_image
from CardiacSegLib.jobs.studies import start_drawing
from CardiacSegLib.mrml.cases import export_cases
from CardiacSegLib.mrml.results import csv_text, table_rows
from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.mrml.storage import load_volume, save_segmentation
from CardiacSegLib.mrml.studies import measure_segmentations
from CardiacSegLib.phantom import PhantomOptions, make_phantom

HEART = make_phantom(PhantomOptions(frames=2, slices=5, spacing=(3.0, 3.0, 10.0), size=(64, 64)))


@pytest.fixture
def a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / HOME / "anna"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture(params=["heart.nii.gz", "heart.nrrd"])
def a_loaded_volume(request, a_home: Path, a_scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume from a file in the home folder with canaries in its header; and on its node, as readers leave them."""
    path = a_home / request.param
    write_image(path, Image(HEART.image[..., 0], HEART.affine))
    (plant_in_nifti if path.name.endswith(".gz") else plant_in_nrrd)(path)
    node = load_volume(a_scene, path)
    node.SetAttribute("DICOM.PatientName", f"{WORD}^ANNA")
    node.SetDescription(f"of {WORD}")
    return node


@pytest.fixture
def a_segmented_heart(a_loaded_volume) -> slicer.vtkMRMLSegmentationNode:
    return add_segmentation_node(HEART.labels[..., 0].astype(np.uint8), a_loaded_volume)


def test_a_segmentation_file_holds_nothing_of_its_image(a_segmented_heart, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    save_segmentation(a_segmented_heart, out / "heart.seg.nrrd")
    assert canaries_in(out) == []


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
def test_cases_hold_nothing_of_the_headers_that_their_images_had(a_scene, a_segmented_heart, tmp_path, extension):
    out = tmp_path / "out"
    export_cases(a_scene, None, out, extension=extension)
    assert sorted(path.name for path in out.rglob("*.*")) == ["dataset.json", *[f"heart{extension}"] * 2]
    assert canaries_in(out) == []


@pytest.mark.parametrize("a_loaded_volume", ["heart.nii.gz"], indirect=True)
def test_measures_page_and_events_hold_nothing_of_them(a_segmented_heart):
    measured = measure_segmentations([a_segmented_heart])
    assert canaries_in_text(csv_text(table_rows(measured))) == []
    asked = {"page": Path("page.html"), "bullseye": Path("bullseye.png"), "title": a_segmented_heart.GetName()}
    with start_drawing(measured.study_input, contours=measured.contours(), **asked) as command:
        while command.is_running:
            command.poll()
        assert (command.error, (command.folder / "page.html").is_file()) == (None, True)
        assert canaries_in(command.folder) == []
