"""The command ``cardiacseg``: what it writes, what it says, and its exit code."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from CardiacSegLib import __version__, cli
from CardiacSegLib.anatomy import ACDC, CANONICAL, relabel
from CardiacSegLib.bundles import write_bundle
from CardiacSegLib.cli import main
from CardiacSegLib.images import read_image, write_image
from CardiacSegLib.phantom import ORIENTATIONS, PhantomOptions, make_phantom
from results_read import rows_of

LIBRARY = Path(cli.__file__).resolve().parents[2]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def segment(a_models_folder, capsys):
    """Run ``cardiacseg segment`` with the model ``by-chance``; return the exit code, what was printed and what said."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["segment", "--model", "by-chance", "--device", "cpu", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def the_labels(a_segmenter, a_phantom_file) -> np.ndarray:
    """What the engine finds in the phantom's file."""
    image = read_image(a_phantom_file)
    return a_segmenter.segment(image.array, image.affine)


class TestSegment:
    @pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.seg.nrrd", "A.NII.GZ"])
    def test_writes_the_labels_in_the_format_of_the_name(self, segment, a_phantom_file, the_labels, tmp_path, name):
        code, printed, _ = segment(a_phantom_file, "-o", tmp_path / name)
        assert (code, printed.strip()) == (0, str(tmp_path / name))
        found = read_image(tmp_path / name)
        np.testing.assert_array_equal(found.array, the_labels)
        np.testing.assert_allclose(found.affine, read_image(a_phantom_file).affine, atol=1e-5)
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_writes_into_a_folder_and_makes_it(self, segment, a_phantom_file, the_labels, tmp_path):
        assert segment(a_phantom_file, "-o", tmp_path / "new" / "results")[0] == 0
        (found,) = (tmp_path / "new" / "results").iterdir()
        assert found.name == "heart_labels.nii.gz"
        np.testing.assert_array_equal(read_image(found).array, the_labels)

    def test_writes_several_images_with_their_pictures_and_one_table(
        self, segment, a_phantom_file, a_phantom_cine_file, tmp_path
    ):
        pictures, table = tmp_path / "pictures", tmp_path / "measures.csv"
        images = [a_phantom_file, a_phantom_cine_file]
        assert segment(*images, "-o", tmp_path / "out", "--picture", pictures, "--table", table)[0] == 0
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"heart_labels.nii.gz", "cine_labels.nii.gz"}
        assert {path.name for path in pictures.iterdir()} == {"heart.png", "cine.png"}
        assert {row["image"] for row in rows_of(table)} == {"heart.nii.gz", "cine.nii.gz"}

    def test_warns_of_a_single_slice(self, segment, a_phantom_image, tmp_path):
        one = replace(a_phantom_image, array=a_phantom_image.array[..., 2:3])
        write_image(tmp_path / "a.nii.gz", one)
        code, _, said = segment(tmp_path / "a.nii.gz", "-o", tmp_path / "b.nii.gz")
        assert code == 0
        assert "single slice: areas are told instead of volumes" in said

    def test_warns_of_a_picture_that_says_no_spacing(self, segment, tmp_path):
        PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save(
            tmp_path / "a.png"
        )
        code, _, said = segment(tmp_path / "a.png", "-o", tmp_path / "a.nii.gz")
        assert code == 0
        assert "a.png: says no spacing; 1 mm is assumed" in said

    def test_numbers_structures_as_acdc_does_when_asked(self, segment, a_phantom_file, the_labels, tmp_path):
        assert segment(a_phantom_file, "-o", tmp_path / "a.nii.gz", "--labels", "acdc")[0] == 0
        found = read_image(tmp_path / "a.nii.gz").array
        np.testing.assert_array_equal(found, relabel(the_labels, CANONICAL, ACDC))
        np.testing.assert_array_equal(found == 3, the_labels == 1)
        np.testing.assert_array_equal(found == 1, the_labels == 3)

    def test_says_the_volume_of_each_structure_of_a_volume(self, segment, a_phantom_file, the_labels, tmp_path):
        assert segment(a_phantom_file, "-o", tmp_path / "a.nii.gz", "--table", tmp_path / "a.csv")[0] == 0
        rows = {row["structure"]: row for row in rows_of(tmp_path / "a.csv") if row["measure"] == "Volume"}
        for name, number in CANONICAL.items():
            milliliters = np.count_nonzero(the_labels == number) * 3.0 * 3.0 * 10.0 / 1000
            assert rows[name]["unit"] == "mL"
            assert float(rows[name]["value"]) == pytest.approx(milliliters, abs=0.01)

    def test_says_the_function_of_a_cine(self, segment, a_phantom_cine_file, tmp_path):
        assert segment(a_phantom_cine_file, "-o", tmp_path / "a.nii.gz", "--table", tmp_path / "a.csv")[0] == 0
        labels = read_image(tmp_path / "a.nii.gz").array
        found = {(row["measure"], row["structure"]): row["value"] for row in rows_of(tmp_path / "a.csv")}
        curve = np.count_nonzero(labels == 1, axis=(0, 1, 2)) * 0.09
        assert float(found["EDV", "LV"]) == pytest.approx(curve.max(), abs=0.01)
        assert float(found["ESV", "LV"]) == pytest.approx(curve.min(), abs=0.01)
        assert float(found["EF", "LV"]) == pytest.approx(100 * (1 - curve.min() / curve.max()), abs=0.01)
        assert int(found["ED frame", ""]) == curve.argmax() + 1
        assert float(found["Mass at ED", "MYO"]) > float(found["Mass at ES", "MYO"]) * 0.8
        assert found["Cardiac output", "LV"] == ""

    def test_measures_what_is_known_of_the_person_and_the_heartbeat(self, segment, a_phantom_cine_file, tmp_path):
        person = ["--height", "180", "--weight", "80", "--heart-rate", "60", "--sex", "male"]
        labels, table = tmp_path / "a.nii.gz", tmp_path / "a.csv"
        assert segment(a_phantom_cine_file, "-o", labels, "--table", table, *person)[0] == 0
        found = {(row["measure"], row["structure"], row["indexed"]): row["value"] for row in rows_of(table)}
        stroke = float(found["SV", "LV", ""])
        assert float(found["Cardiac output", "LV", ""]) == pytest.approx(stroke * 60 / 1000, abs=0.01)
        assert float(found["SV", "LV", "yes"]) == pytest.approx(stroke / 2.0, abs=0.01)  # 2 m2, by Mosteller

    def test_takes_the_phases_that_a_person_chose(self, segment, a_phantom_cine_file, tmp_path):
        labels, table = tmp_path / "a.nii.gz", tmp_path / "a.csv"
        assert segment(a_phantom_cine_file, "-o", labels, "--table", table, "--frames", "2", "1")[0] == 0
        found = {(row["measure"], row["structure"]): row["value"] for row in rows_of(table)}
        assert (found["ED frame", ""], found["ES frame", ""]) == ("2", "1")

    def test_writes_a_page_and_json(self, segment, a_phantom_cine_file, tmp_path):
        files = {"--report": tmp_path / "a.html", "--json": tmp_path / "a.json"}
        given = [str(part) for pair in files.items() for part in pair]
        assert segment(a_phantom_cine_file, "-o", tmp_path / "a.nii.gz", *given)[0] == 0
        page = files["--report"].read_text(encoding="utf-8")
        assert "cine.nii.gz" in page and "Research use only. Not a medical device." in page
        assert page.count("data:image/png;base64,") >= 2
        measures = json.loads(files["--json"].read_text(encoding="utf-8"))
        assert measures["ed_frame"] == 0
        made = measures["provenance"]
        assert f"SHA-256 {made['sha256']}" in page
        assert f"{made['runtime']} on {made['threads']} thread" in page

    def test_records_what_made_the_labels(self, segment, a_bundle, a_phantom_file, tmp_path):
        """The hash is that of the file on disk from which this runtime reads the weights."""
        places = ("-o", tmp_path / "a.nii.gz", "--json", tmp_path / "a.json", "--turns", "1")
        _, printed, _ = segment(a_phantom_file, *places, "--events")
        made = json.loads(printed.splitlines()[-1])["provenance"]
        assert made == json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["provenance"]
        weights = a_bundle.folder / "models" / "model.pt"  # it has no ONNX
        assert made["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
        assert (made["version"], made["model"], made["turns"], made["cleanup"]) == (__version__, "by-chance", 1, True)
        assert made["runtime"] == f"torch {metadata.version('torch')}"
        assert (made["device"], made["threads"]) == ("cpu", torch.get_num_threads())
        assert made["precision"] in ("bfloat16", "float32")
        assert 0 < made["seconds"] < 600

    def test_refuses_what_cannot_be_before_anything_is_computed(self, segment, a_phantom_file, tmp_path):
        for given, reason in (
            (["--height", "1.8"], "height 1.8 is not between"),
            (["--report", str(tmp_path / "a.pdf")], "give a name that ends in .html"),
        ):
            code, _, said = segment(a_phantom_file, "-o", tmp_path / "a.nii.gz", *given)
            assert code == 1 and reason in said
        assert not (tmp_path / "a.nii.gz").exists()

    def test_draws_a_picture(self, segment, a_phantom_cine_file, tmp_path):
        assert segment(a_phantom_cine_file, "-o", tmp_path / "a.nii.gz", "--picture", tmp_path / "a.png")[0] == 0
        assert (tmp_path / "a.png").read_bytes().startswith(PNG_SIGNATURE)

    def test_tells_events_one_json_object_a_line(self, segment, a_phantom_cine_file, tmp_path):
        code, printed, said = segment(a_phantom_cine_file, "-o", tmp_path / "a.nii.gz", "--events")
        events = [json.loads(line) for line in printed.splitlines()]
        assert (code, said) == (0, "")
        assert [event["name"] for event in events if event["event"] == "stage"] == ["load", "segment"]
        fractions = [event["fraction"] for event in events if event["event"] == "progress"]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        (result,) = [event for event in events if event["event"] == "result"]
        assert events[-1] == result
        assert result["labels"] == str(tmp_path / "a.nii.gz")
        assert ("EF", "LV", "%") in [(m["measure"], m["structure"], m["unit"]) for m in result["measures"]]

    def test_tells_an_error_as_an_event_too(self, segment, tmp_path):
        code, printed, said = segment(tmp_path / "none.nii", "-o", tmp_path / "a.nii.gz", "--events")
        event = json.loads(printed.splitlines()[-1])
        assert code == 1
        assert event["event"] == "error"
        assert "does not exist" in event["message"]
        assert "does not exist" in said

    def test_replaces_the_result_of_an_earlier_run(self, segment, a_phantom_file, the_labels, tmp_path):
        (tmp_path / "a.nii.gz").write_bytes(b"old")
        assert segment(a_phantom_file, "-o", tmp_path / "a.nii.gz")[0] == 0
        np.testing.assert_array_equal(read_image(tmp_path / "a.nii.gz").array, the_labels)

    def test_warns_of_an_image_without_a_heart_and_still_writes_labels(
        self, segment, a_phantom_file, tmp_path, monkeypatch
    ):
        from CardiacSegLib.inference.segmenter import Segmenter

        monkeypatch.setattr(Segmenter, "segment", lambda self, array, affine, progress: np.zeros(array.shape, np.uint8))
        code, _, said = segment(a_phantom_file, "-o", tmp_path / "a.nii.gz", "--table", tmp_path / "a.csv")
        assert code == 0
        assert f"{a_phantom_file}: no heart was found in it" in said
        assert not read_image(tmp_path / "a.nii.gz").array.any()
        assert {row["value"] for row in rows_of(tmp_path / "a.csv")} <= {""}

    def test_runs_as_a_program(self, a_models_folder, a_phantom_file, tmp_path):
        arguments = ["segment", str(a_phantom_file), "-o", str(tmp_path / "a.nii.gz"), "--model", "by-chance"]
        command = [sys.executable, "-m", "CardiacSegLib.cli", *arguments]
        environment = os.environ | {"PYTHONPATH": str(LIBRARY)}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout) == (0, f"{tmp_path / 'a.nii.gz'}\n"), run.stderr
        failed = subprocess.run(
            [*command[:3], "segment", "none.nii", *command[5:]], env=environment, capture_output=True
        )
        assert failed.returncode == 1
        assert failed.stderr.decode().count("\n") == 1


class TestAWrongCombination:
    """Found before anything is computed."""

    @pytest.fixture(autouse=True)
    def nothing_is_computed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from CardiacSegLib.inference.segmenter import Segmenter

        def fail(*_: object) -> None:
            raise AssertionError("a model was loaded")

        monkeypatch.setattr(Segmenter, "load", fail)

    def test_of_several_images_and_one_file(self, segment, tmp_path):
        code, _, said = segment("a.nii", "b.nii", "-o", tmp_path / "labels.nii.gz")
        assert code == 1
        assert "labels.nii.gz: is one file for 2 images; give a folder" in said

    def test_of_images_with_the_same_name(self, segment, tmp_path):
        code, _, said = segment("one/a.nii", "two/a.nii.gz", "-o", tmp_path / "out")
        assert code == 1
        assert "two images are called a" in said

    @pytest.mark.parametrize("name", ["labels.png", "labels.mha", "labels.dcm"])
    def test_of_labels_and_a_format_that_holds_none(self, segment, tmp_path, name):
        code, _, said = segment("a.nii", "-o", tmp_path / name)
        assert code == 1
        assert f"{name}: not a format for labels; give one of .nii.gz" in said

    @pytest.mark.parametrize("name", ["heart.nii.gz", "./heart.nii.gz"])
    def test_of_an_image_and_its_own_name(self, segment, a_phantom_image, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        write_image(tmp_path / "heart.nii.gz", a_phantom_image)
        before = (tmp_path / "heart.nii.gz").read_bytes()
        code, _, said = segment("heart.nii.gz", "-o", name)
        assert code == 1
        assert "would replace the image itself; give another name" in said
        assert (tmp_path / "heart.nii.gz").read_bytes() == before

    def test_of_an_image_and_the_result_of_another(self, segment, a_phantom_image, tmp_path):
        images = [tmp_path / "heart.nii.gz", tmp_path / "heart_labels.nii.gz"]
        for image in images:
            write_image(image, a_phantom_image)
        code, _, said = segment(*images, "-o", tmp_path)
        assert code == 1
        assert "heart_labels.nii.gz: labels would replace the image itself" in said

    @pytest.mark.parametrize(
        "arguments",
        [
            ["segment"],
            ["segment", "a.nii"],
            ["segment", "a.nii", "-o", "b.nii", "--labels", "mnms"],
            ["beat"],
            [],
            ["phantom", "out", "--frames", "many"],
            ["train", "--epochs", "many"],
            ["train", "--turns", "3"],
        ],
    )
    def test_of_arguments_ends_with_the_usage_and_code_2(self, arguments, capsys):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert "usage: cardiacseg" in capsys.readouterr().err


class TestTraining:
    def test_lists_all_that_has_a_name_with_a_line(self, capsys):
        assert main(["train", "--list"]) == 0
        said = capsys.readouterr().out
        for line in ("--recipe", "--network", "--loss", "--optimizer", "--schedule", "--augmentation", "--layout"):
            assert f"{line}\n" in said
        for name in ("short-axis-cine", "segnet", "lovasz-softmax", "adagrad", "polynomial", "ultrasound", "camus"):
            assert re.search(rf"^  {name} +\S.{{20}}", said, re.MULTILINE)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "--output is missing"),
            (["--dataset", "d"], "--output is missing"),
            (["--resume", "r", "--output", "o"], "leave out --output"),
            (["--resume", "r", "--recipe", "quick"], "leave out --output and --recipe"),
            (["--resume", "no-run"], "no-run: no training run in it"),
        ],
    )
    def test_says_what_is_missing(self, arguments, message, capsys):
        assert main(["train", *arguments]) == 1
        assert message in capsys.readouterr().err


class TestModels:
    def test_are_listed_by_name_with_what_they_find(self, a_models_folder, capsys):
        assert main(["models"]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("by-chance ")]
        assert "LV, MYO, RV" in line

    def test_are_listed_as_events(self, a_models_folder, capsys):
        assert main(["models", "--events"]) == 0
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        (ours,) = [event for event in events if event["name"] == "by-chance"]
        assert ours["folder"] == str(a_models_folder / "by-chance")

    def test_that_are_not_there_are_an_error(self, monkeypatch, tmp_path, capsys):
        monkeypatch.setattr("CardiacSegLib.cli.models.list_models", list)
        assert main(["models"]) == 1
        assert "set CARDIACSEG_MODELS" in capsys.readouterr().err


class TestPhantom:
    def test_is_written_with_its_truth(self, tmp_path, capsys):
        arguments = ["--frames", "2", "--slices", "4", "--spacing", "2", "2.5", "9", "--seed", "3"]
        assert main(["phantom", str(tmp_path / "out"), *arguments]) == 0
        assert capsys.readouterr().out.split() == [
            str(tmp_path / "out" / name) for name in ("phantom.nii.gz", "phantom_labels.nii.gz")
        ]
        image, labels = (read_image(tmp_path / "out" / name) for name in ("phantom.nii.gz", "phantom_labels.nii.gz"))
        expected = make_phantom(PhantomOptions(frames=2, slices=4, spacing=(2.0, 2.5, 9.0), seed=3))
        np.testing.assert_array_equal(image.array, expected.image)
        np.testing.assert_array_equal(labels.array, expected.labels)
        np.testing.assert_allclose(image.affine, expected.affine, atol=1e-4)
        np.testing.assert_array_equal(labels.affine, image.affine)

    def test_lies_as_it_is_told(self, tmp_path):
        found = set()
        for orientation in ORIENTATIONS:
            arguments = ["--frames", "1", "--slices", "3", "--spacing", "6", "6", "9", "--orientation", orientation]
            assert main(["phantom", str(tmp_path / orientation), *arguments]) == 0
            found.add(read_image(tmp_path / orientation / "phantom.nii.gz").affine.round(3).tobytes())
        assert len(found) == len(ORIENTATIONS)

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--frames", "0"], "frames must be"),
            (["--spacing", "1.5", "0", "8"], "spacing must be"),
            (["--orientation", "upside-down"], "orientation 'upside-down' is not known; choose one of short-axis"),
            (["--seed", "-1"], "seed must be"),
        ],
    )
    def test_that_cannot_be_drawn_is_an_error_of_one_line(self, arguments, expected, tmp_path, capsys):
        assert main(["phantom", str(tmp_path / "out"), *arguments]) == 1
        said = capsys.readouterr().err
        assert expected in said
        assert said.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"cardiacseg {__version__}\n"


def test_a_cine_as_a_segmentation_file_is_refused_before_it_is_segmented(
    segment, a_phantom_cine_file, tmp_path, monkeypatch
):
    from CardiacSegLib.inference.segmenter import Segmenter

    def fail(*_: object) -> None:
        raise AssertionError("the cine was segmented")

    monkeypatch.setattr(Segmenter, "segment", fail)
    code, _, said = segment(a_phantom_cine_file, "-o", tmp_path / "a.seg.nrrd", "--picture", tmp_path / "a.png")
    assert code == 1
    assert "a cine cannot be written as .seg.nrrd" in said
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_nothing_half_written(segment, a_phantom_file, tmp_path, monkeypatch):
    from CardiacSegLib.inference.segmenter import Segmenter

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Segmenter, "segment", stop)
    code, _, said = segment(a_phantom_file, "-o", tmp_path / "a.nii.gz")
    assert code == 1
    assert "stopped" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("labels", "expected"), [("canonical", CANONICAL), ("acdc", ACDC)])
def test_numbers_on_disk_do_not_depend_on_those_of_the_model(
    a_bundle, a_phantom_file, the_labels, tmp_path, labels, expected
):
    """The same network, whose channels somebody numbered otherwise."""
    other = {"MYO": 1, "RV": 2, "LV": 3}
    network = a_bundle.load_network()
    with torch.no_grad():
        order = [0, CANONICAL["MYO"], CANONICAL["RV"], CANONICAL["LV"]]
        for weights in network.output_block.conv.conv.parameters():
            weights.copy_(weights[order])
    write_bundle(tmp_path / "other", "other", network, a_bundle.network, a_bundle.grid, other, {})
    output = ["-o", str(tmp_path / "a.nii.gz"), "--labels", labels]
    assert main(["segment", str(a_phantom_file), *output, "--model", str(tmp_path / "other")]) == 0
    found = read_image(tmp_path / "a.nii.gz").array
    assert np.mean(found != relabel(the_labels, CANONICAL, expected)) < 0.01


def test_a_structure_without_a_number_in_the_convention_is_not_dropped_in_silence(
    a_bundle, a_phantom_file, tmp_path, capsys
):
    camus = {"LV": 1, "MYO": 2, "LA": 3}
    write_bundle(tmp_path / "camus", "c", a_bundle.load_network(), a_bundle.network, a_bundle.grid, camus, {})
    arguments = ["segment", str(a_phantom_file), "--model", str(tmp_path / "camus"), "-o", str(tmp_path / "a.nii.gz")]
    assert main([*arguments, "--labels", "acdc"]) == 1
    assert "--labels acdc has no number for LA of this model; leave it out" in capsys.readouterr().err
    assert main(arguments) == 0
    assert 3 in read_image(tmp_path / "a.nii.gz").array
