"""What is wrong with a model or an output is said in one line, with the remedy, and nothing half written stays.

Images and data sets are in ``test_hostile_files.py``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from CardiacSegLib.bundles import METADATA, WEIGHTS, Bundle
from CardiacSegLib.cli import main
from CardiacSegLib.images import Image, read_image, write_image
from hostile_files import cut, with_text, written
from sent_models import change_json


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert captured.out == ""
    assert lines[0].startswith("cardiacseg: ")
    assert len(lines[0]) < 600
    return lines[0]


@pytest.fixture
def an_output_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def test_a_bad_image_among_good_ones_does_not_stop_them(a_bundle, a_phantom_file, an_output_folder, tmp_path, capsys):
    bad = written(tmp_path / "bad.nii.gz", b"")
    arguments = [str(bad), str(a_phantom_file), "-o", str(an_output_folder), "--model", str(a_bundle.folder)]
    assert main(["segment", *arguments]) == 1
    assert [path.name for path in an_output_folder.iterdir()] == ["heart_labels.nii.gz"]
    assert str(bad) in capsys.readouterr().err


#: Images that look wrong and are not: the array, and the spacing.
ODD_IMAGES = {
    "single slice": ((48, 40, 1), (1.5, 1.5, 8.0)),
    "single slice along the first axis": ((1, 48, 40), (8.0, 1.5, 1.5)),
    "20 pixels": ((20, 20, 5), (1.5, 1.5, 8.0)),
    "one pixel across": ((20, 1, 5), (1.5, 1.5, 8.0)),
    "2000 pixels": ((2000, 2000, 1), (0.2, 0.2, 8.0)),
    "more slices than pixels": ((20, 20, 60), (1.5, 1.5, 8.0)),
    "thin": ((40, 30, 6), (0.01, 0.01, 8.0)),
}


@pytest.mark.parametrize("case", ODD_IMAGES)
def test_an_odd_image_gets_labels_on_its_grid(case, a_bundle, an_output_folder, tmp_path):
    shape, spacing = ODD_IMAGES[case]
    image = Image(np.random.default_rng(0).integers(0, 400, shape).astype(np.int16), np.diag([*spacing, 1.0]))
    write_image(tmp_path / "odd.nii.gz", image)
    output = an_output_folder / "labels.nii.gz"
    assert main(["segment", str(tmp_path / "odd.nii.gz"), "-o", str(output), "--model", str(a_bundle.folder)]) == 0
    found = read_image(output)
    assert found.array.shape == shape
    np.testing.assert_array_equal(found.affine, read_image(tmp_path / "odd.nii.gz").affine)


def bad_bundle(source: Bundle, folder: Path, change: Callable[[Path], None]) -> Path:
    shutil.copytree(source.folder, folder)
    change(folder)
    return folder


def our(change: Callable[[dict], None]) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / METADATA, lambda metadata: change(metadata["cardiacseg"]))


def network(change: Callable[[dict], None]) -> Callable[[Path], None]:
    return lambda folder: change_json(
        folder / "configs" / "inference.json", lambda config: change(config["network_def"])
    )


def other_weights(content: object) -> Callable[[Path], None]:
    """Weights that somebody replaced, the hash with them."""

    def change(folder: Path) -> None:
        from CardiacSegLib.bundles import sha256

        torch.save(content, folder / WEIGHTS)
        our(lambda ours: ours.update(sha256=sha256(folder / WEIGHTS)))(folder)

    return change


BAD_MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty folder": (
        lambda d: (shutil.rmtree(d), d.mkdir()),
        "not a MONAI bundle, configs/metadata.json is missing",
    ),
    "metadata that is no JSON": (
        lambda d: (d / METADATA).write_text("{"),
        "configs/metadata.json is missing or damaged",
    ),
    "metadata that is a list": (lambda d: (d / METADATA).write_text("[]"), "not a MONAI configuration"),
    "metadata of another program": (
        lambda d: change_json(d / METADATA, lambda m: m.pop("cardiacseg")),
        "lacks what CardiacSeg needs (KeyError('cardiacseg')); use a bundle",
    ),
    "no inference configuration": (
        lambda d: (d / "configs/inference.json").unlink(),
        "configs/inference.json is missing",
    ),
    "no network": (lambda d: change_json(d / "configs/inference.json", lambda c: c.pop("network_def")), "lacks what"),
    "a network that is a word": (
        lambda d: change_json(d / "configs/inference.json", lambda c: c.update(network_def="DynUNet")),
        "lacks what CardiacSeg needs",
    ),
    "an unknown field of the grid": (our(lambda o: o["grid"].update(color=1)), "lacks what CardiacSeg needs"),
    "spacing zero": (our(lambda o: o["grid"].update(spacing=0)), "impossible grid"),
    "spacing that is a word": (our(lambda o: o["grid"].update(spacing="1.5")), "lacks what CardiacSeg needs"),
    "percentiles that are one": (our(lambda o: o["grid"].update(percentiles=[1])), "lacks what"),
    "percentiles the wrong way round": (our(lambda o: o["grid"].update(percentiles=[99, 1])), "impossible grid"),
    "an unknown structure": (our(lambda o: o["labels"].update(SPLEEN=4)), "are not structures numbered from 1"),
    "numbers with a gap": (our(lambda o: o["labels"].update(RV=7)), "are not structures numbered from 1"),
    "no structure": (our(lambda o: o.update(labels={})), "are not structures numbered from 1"),
    "fewer structures than classes": (our(lambda o: o["labels"].pop("RV")), "4 classes"),
    "no weights": (lambda d: (d / WEIGHTS).unlink(), "the weights are missing; copy or download the model again"),
    "weights cut off": (lambda d: cut(d / WEIGHTS), "SHA-256 is not the one in configs/metadata.json"),
    "a byte changed in the weights": (
        lambda d: with_text(d / WEIGHTS, (d / WEIGHTS).read_bytes()[-9:], b"x" * 9),
        "SHA-256 is not the one in configs/metadata.json; the file is damaged or changed, copy the model again",
    ),
    "weights of another network": (other_weights({"a": torch.zeros(3)}), "many more weights than the file holds"),
    "weights that are none": (other_weights([1, 2]), "many more weights than the file holds"),
    "weights with code in them": (other_weights({"a": Path("x")}), "no weights of this network"),
    "an unknown network": (network(lambda n: n.update(_target_="os.system")), "network 'os.system' is not known"),
    "an argument that no network has": (network(lambda n: n.update(color=1)), "network 'DynUNet' cannot be built"),
    "an argument that does not fit": (
        network(lambda n: n.update(filters=[8, 16])),
        "network 'DynUNet' cannot be built",
    ),
    "an expression": (network(lambda n: n.update(in_channels="$exit(7)")), "has an expression as argument: $exit(7)"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_a_bad_model_is_named_with_the_remedy_and_leaves_nothing(
    case, a_bundle, a_phantom_file, an_output_folder, tmp_path, capsys
):
    change, expected = BAD_MODELS[case]
    folder = bad_bundle(a_bundle, tmp_path / "a-model", change)
    assert main(["segment", str(a_phantom_file), "-o", str(an_output_folder / "a.nii"), "--model", str(folder)]) == 1
    line = said(capsys)
    assert expected in line
    assert "a-model" in line
    assert not list(an_output_folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "no-such-model"], "no model is called 'no-such-model' (there are: "),
        (
            ["--model", "folder/that/is/missing"],
            "folder/that/is/missing: no such model folder; 'cardiacseg models' lists",
        ),
        (["--device", "tpu"], "device 'tpu' is not known; choose one of auto, cuda, mps, cpu"),
        (["--device", "cpu:first"], "device 'cpu:first' is not known; choose one of"),
        pytest.param(
            ["--device", "cuda"],
            "device 'cuda': this torch sees no CUDA device; use --device cpu",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
        pytest.param(
            ["--device", "mps"],
            "device 'mps': this torch sees no Apple GPU; use --device cpu",
            marks=pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an Apple GPU"),
        ),
    ],
)
def test_a_model_or_device_that_is_not_there_is_named(
    arguments, expected, a_models_folder, a_phantom_file, an_output_folder, capsys
):
    output = ["-o", str(an_output_folder / "labels.nii.gz")]
    assert main(["segment", str(a_phantom_file), *output, "--model", "by-chance", *arguments]) == 1
    assert expected in said(capsys)
    assert not list(an_output_folder.iterdir())


@pytest.mark.parametrize("output", ["a_file/labels.nii.gz", "a_file/folder", "missing/labels.nii.gz"])
def test_an_output_that_cannot_be_written_is_named(output, a_bundle, a_phantom_file, tmp_path, capsys):
    (tmp_path / "a_file").touch()
    place = tmp_path / output
    assert main(["segment", str(a_phantom_file), "-o", str(place), "--model", str(a_bundle.folder)]) == 1
    line = said(capsys)
    assert str(place) in line
    assert "choose another folder" in line
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]
