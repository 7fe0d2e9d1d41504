"""What is wrong with a file or a model is said in one line, with the remedy, and nothing half written stays."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from CardiacSegLib.bundles import METADATA, WEIGHTS, Bundle
from CardiacSegLib.cli import main
from CardiacSegLib.images import Image, read_image, write_image

AFFINE = np.diag([-1.5, -1.5, 8.0, 1.0])
VOXELS = np.random.default_rng(0).integers(0, 400, (24, 20, 4)).astype(np.int16)


def nifti(path: Path, array: np.ndarray = VOXELS, affine: np.ndarray = AFFINE, **fields: object) -> Path:
    """A NIfTI file whose header fields then say something else."""
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    with path.open("r+b") as stream:
        header = nibabel.Nifti1Header.from_fileobj(stream, check=False)
        for name, value in fields.items():
            header[name] = value
        stream.seek(0)
        stream.write(header.binaryblock)
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def zipped(path: Path) -> Path:
    write_image(path, Image(np.random.default_rng(0).integers(0, 30000, VOXELS.shape).astype(np.int16), AFFINE))
    return path


def damaged(path: Path) -> Path:
    """A file so large that its header is far from the damage."""
    voxels = np.random.default_rng(0).integers(0, 3000, (128, 128, 10)).astype(np.int16)
    write_image(path, Image(voxels, AFFINE))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    return path


def nrrd_file(path: Path, array: np.ndarray = VOXELS, **fields: object) -> Path:
    header = {"space": "left-posterior-superior", "space directions": AFFINE[:3, :3], "space origin": [0, 0, 0]}
    nrrd.write(str(path), array, header | {name.replace("_", " "): value for name, value in fields.items()})
    return path


def with_text(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


def mha(path: Path, array: np.ndarray = VOXELS, vector: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array.T, isVector=vector), str(path))
    return path


def png() -> bytes:
    """A gray picture of one pixel."""
    chunks = ((b"IHDR", struct.pack(">2I5B", 1, 1, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def spoiled(value: float) -> np.ndarray:
    array = VOXELS.astype(np.float32)
    array[3, 4, 1] = value
    return array


RGB = np.zeros((24, 20, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
SHEARED = AFFINE + np.outer([1, 0, 0, 0], [0, 0.5, 0, 0])

#: How each bad image is made in a folder, and a part of what is said about it.
BAD_IMAGES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda d: d / "heart.nii.gz", "does not exist; check the path"),
    "a folder": (lambda d: d, "is a folder; name an image in it"),
    "empty file": (lambda d: written(d / "heart.nii.gz", b""), "is empty (0 bytes); export or copy it again"),
    "unknown extension": (lambda d: written(d / "heart.dcm2", b"x" * 99), "not a known image format; give one of .nii"),
    "no extension": (lambda d: written(d / "heart", b"x" * 99), "not a known image format; give one of .nii"),
    "truncated nii": (lambda d: cut(nifti(d / "heart.nii")), "truncated, damaged or no such image"),
    "truncated in the header": (lambda d: cut(nifti(d / "heart.nii"), 0.05), "truncated, damaged or no such image"),
    "truncated nii.gz": (lambda d: cut(zipped(d / "heart.nii.gz")), "truncated, damaged or no such image"),
    "one byte short": (lambda d: cut(nifti(d / "heart.nii"), 0.9999), "truncated, damaged or no such image"),
    "damaged nii.gz": (lambda d: damaged(d / "heart.nii.gz"), "truncated, damaged or no such image"),
    "truncated nrrd": (lambda d: cut(nrrd_file(d / "heart.nrrd")), "truncated, damaged or no such image"),
    "truncated raw nrrd": (lambda d: cut(nrrd_file(d / "heart.nrrd", encoding="raw")), "truncated, damaged"),
    "truncated in the nrrd header": (lambda d: cut(nrrd_file(d / "heart.nrrd"), 0.02), "truncated, damaged"),
    "truncated mha": (lambda d: cut(mha(d / "heart.mha")), "truncated, damaged or no such image"),
    "text as nii.gz": (lambda d: written(d / "heart.nii.gz", b"not an image\n" * 99), "truncated, damaged or no such"),
    "gzipped text": (lambda d: written(d / "heart.nii.gz", gzip.compress(b"not an image\n" * 99)), "no NIfTI header"),
    "text as nrrd": (
        lambda d: written(d / "heart.nrrd", b"not an image\n" * 99),
        "truncated, damaged or no such image",
    ),
    "bytes as nrrd": (lambda d: written(d / "heart.nrrd", bytes(range(128, 256)) * 9), "truncated, damaged or no such"),
    "text as mha": (lambda d: written(d / "heart.mha", b"not an image\n" * 99), "truncated, damaged or no such image"),
    "png as nii": (lambda d: written(d / "heart.nii", png() * 9), "no NIfTI header"),
    "a short png as nii": (lambda d: written(d / "heart.nii", png()), "truncated, damaged or no such image"),
    "10^12 voxels": (lambda d: nifti(d / "heart.nii", dim=[3, 10000, 10000, 10000, 1, 1, 1, 1]), "claims 1e+12 voxels"),
    "10^12 voxels in nrrd": (
        lambda d: with_text(nrrd_file(d / "heart.nrrd"), b"sizes: 24 20 4", b"sizes: 10000 10000 10000"),
        "claims 1e+12 voxels",
    ),
    "10^12 voxels in mha": (
        lambda d: with_text(mha(d / "heart.mha"), b"DimSize = 24 20 4", b"DimSize = 10000 10000 10000"),
        "claims 1e+12 voxels",
    ),
    "zero spacing": (lambda d: nifti(d / "heart.nii", pixdim=[1, 1.5, 0, 8, 1, 1, 1, 1]), "spacing is 1.5 x 0 x 8 mm"),
    "negative spacing": (lambda d: nifti(d / "heart.nii", pixdim=[1, 1.5, -2, 8, 1, 1, 1, 1]), "1.5 x -2 x 8 mm"),
    "NaN spacing": (lambda d: nifti(d / "heart.nii", pixdim=[1, np.nan, 2, 8, 1, 1, 1, 1]), "nan x 2 x 8 mm"),
    "zero spacing in nrrd": (
        lambda d: nrrd_file(d / "heart.nrrd", space_directions=np.diag([1.5, 0, 8])),
        "is zero or not a number; set the true spacing",
    ),
    "NaN direction in nrrd": (
        lambda d: nrrd_file(d / "heart.nrrd", space_directions=np.array([[1.5, 0, 0], [0, np.nan, 0], [0, 0, 8]])),
        "is zero or not a number; set the true spacing",
    ),
    "zero spacing in mha": (
        lambda d: with_text(mha(d / "heart.mha"), b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 0 1"),
        "spacing is not positive; set the true spacing",
    ),
    "negative spacing in mha": (
        lambda d: with_text(mha(d / "heart.mha"), b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 -2 1"),
        "spacing is not positive; set the true spacing",
    ),
    "damaged nrrd": (lambda d: damaged(d / "heart.nrrd"), "truncated, damaged or no such image"),
    "5D": (
        lambda d: nifti(d / "heart.nii", np.zeros((4, 4, 3, 2, 2), np.int16)),
        "has 5 dimensions; give a volume (3)",
    ),
    "5D mha": (lambda d: mha(d / "heart.mha", np.zeros((4, 4, 3, 2, 2), np.int16)), "5 dimensions"),
    "1D": (lambda d: nifti(d / "heart.nii", dim=[1, 24, 1, 1, 1, 1, 1, 1]), "has 1 dimensions; give a volume (3)"),
    "no dimension": (lambda d: nifti(d / "heart.nii", dim=[0, 24, 1, 1, 1, 1, 1, 1]), "no NIfTI header"),
    "4D nrrd": (
        lambda d: nrrd_file(d / "heart.nrrd", np.zeros((4, 4, 3, 2), np.int16), space_directions=np.eye(4, 3)),
        "not a volume with three directions in space",
    ),
    "zero-size dimension": (lambda d: nifti(d / "heart.nii", dim=[3, 24, 0, 4, 1, 1, 1, 1]), "holds no voxel"),
    "RGB": (lambda d: nifti(d / "heart.nii", RGB), "not gray values"),
    "RGB mha": (lambda d: mha(d / "heart.mha", np.zeros((3, 9, 8, 7), np.uint8), vector=True), "several components"),
    "complex": (lambda d: nifti(d / "heart.nii", VOXELS.astype(np.complex64)), "not gray values (complex64)"),
    "NaN voxel": (lambda d: nifti(d / "heart.nii", spoiled(np.nan)), "1 voxels are NaN or infinite; replace them"),
    "infinite voxel": (lambda d: nrrd_file(d / "heart.nrrd", spoiled(np.inf)), "1 voxels are NaN or infinite"),
    "constant": (lambda d: nifti(d / "heart.nii", np.full_like(VOXELS, 7)), "constant (every voxel is 7); choose one"),
    "sheared": (lambda d: nifti(d / "heart.nii", affine=SHEARED, qform_code=0), "not at right angles; resample it"),
    "sheared nrrd": (lambda d: nrrd_file(d / "heart.nrrd", space_directions=SHEARED[:3, :3].T), "not at right angles"),
    "unknown space": (lambda d: nrrd_file(d / "heart.nrrd", space="scanner-xyz"), "space 'scanner-xyz' is not known"),
    "kilometers": (lambda d: nifti(d / "heart.nii", affine=np.diag([900.0, 900.0, 8.0, 1.0])), "set the true spacing"),
}


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


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_a_bad_image_is_named_with_the_remedy_and_leaves_nothing(case, a_bundle, an_output_folder, tmp_path, capsys):
    make, expected = BAD_IMAGES[case]
    (tmp_path / "input").mkdir()
    image = make(tmp_path / "input")
    code = main(
        ["segment", str(image), "-o", str(an_output_folder), "--model", str(a_bundle.folder), "--device", "cpu"]
    )
    line = said(capsys)
    assert expected in line
    assert str(image) in line
    assert code == 1
    assert not list(an_output_folder.iterdir())


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


def change_json(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


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
    "weights of another network": (other_weights({"a": torch.zeros(3)}), "no weights of this network"),
    "weights that are none": (other_weights([1, 2]), "no weights of this network"),
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
