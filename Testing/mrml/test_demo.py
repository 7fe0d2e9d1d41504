"""``make demo``: what a person who types one command finds."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from CardiacSegLib import demo
from CardiacSegLib.images import Image, read_image, write_image
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.mrml.storage import create_scene, load_segmentation
from CardiacSegLib.phantom import PhantomOptions, make_phantom


@pytest.fixture
def a_quick_phantom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four phases in a single pass: the demonstration of a person has twenty."""
    phantom = make_phantom(PhantomOptions(frames=4, slices=8, size=(128, 128)))
    monkeypatch.setattr(demo, "make_phantom", lambda: phantom)
    load = Segmenter.load
    monkeypatch.setattr(demo.Segmenter, "load", lambda model: load(model, turns=1))


def _measures(folder: Path) -> dict[tuple[str, str], float]:
    with (folder / "measures.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["value"]]
    return {(row["structure"], row["measure"]): float(row["value"]) for row in rows}


def test_the_phantom_gets_a_segmentation_a_table_and_a_picture(
    a_quick_phantom: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(["--output", str(tmp_path / "demo")]) == 0

    folder = tmp_path / "demo"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"phantom_ED.seg.nrrd", "phantom_ES.seg.nrrd", "phantom_labels.nii.gz", "contours.png"}
    measures = _measures(folder)
    assert 40 < measures["LV", "EF"] < 75
    assert measures["LV", "EDV"] - measures["LV", "ESV"] == pytest.approx(measures["LV", "SV"], abs=0.02)
    node = load_segmentation(create_scene(), folder / "phantom_ED.seg.nrrd")
    assert list(node.GetSegmentation().GetSegmentIDs()) == ["LV", "MYO", "RV"]
    said = capsys.readouterr().out
    assert "Dice against the phantom's own truth" in said
    assert "study.html first" in said


def test_a_person_s_own_volume_is_left_as_it_is_even_in_the_folder_of_the_results(
    a_quick_phantom: None, tmp_path: Path
) -> None:
    phantom = demo.make_phantom()
    heart = tmp_path / "heart.nii.gz"
    write_image(heart, Image(phantom.image[..., 0], phantom.affine))
    before = heart.read_bytes()

    assert demo.main(["--input", str(heart), "--output", str(tmp_path)]) == 0

    assert heart.read_bytes() == before
    assert {"heart.seg.nrrd", "heart_labels.nii.gz", "measures.csv", "contours.png"} < {
        p.name for p in tmp_path.iterdir()
    }
    assert read_image(tmp_path / "heart_labels.nii.gz").array.shape == phantom.image.shape[:3]


def test_a_missing_input_is_one_line_and_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--input", str(tmp_path / "none.nii.gz"), "--output", str(tmp_path / "demo")]) == 1
    assert capsys.readouterr().err == f"demo: {tmp_path / 'none.nii.gz'}: does not exist; check the path\n"
