"""Damaged and odd DICOM files: each gives the right result, or one line that names the file and a remedy.

Whatever comes in, the exit code tells whether it worked, and nothing half written stays.
"""

from __future__ import annotations

import os
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from CardiacSegLib.cli import main
from CardiacSegLib.images import read_image
from CardiacSegLib.phantom import Phantom
from dicoms_made import (
    a_scan,
    write_cine,
    write_enhanced,
    write_image_file,
    write_localizer,
    write_report,
)

FRAMES, SLICES = 5, 4
#: One phase of a slice within the stack.
ONE = "02-03.dcm"
#: What makes a folder odd or damaged.
Spoil = Callable[[Path, Phantom], object]
MARK = bytes(128) + b"DICM"


@pytest.fixture(scope="module")
def the_phantom() -> Phantom:
    return a_scan(FRAMES, SLICES)


@pytest.fixture(scope="module")
def a_cine(the_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "cine"
    write_cine(folder, the_phantom)
    return folder


@pytest.fixture
def a_folder(a_cine: Path, tmp_path: Path) -> Path:
    """The cine and nothing else, for a test to spoil."""
    return Path(shutil.copytree(a_cine, tmp_path / "study"))


def edit(path: Path, **fields: Any) -> None:
    """Set elements of a file to what may be no valid value; None takes one away."""
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        for name, value in fields.items():
            place = dataset.file_meta if name == "TransferSyntaxUID" else dataset
            if value is None:
                delattr(place, name)
            else:
                setattr(place, name, value)
        dataset.save_as(path)


def one(**fields: Any) -> Spoil:
    return lambda folder, phantom: edit(folder / ONE, **fields)


def every(**fields: Any) -> Spoil:
    return lambda folder, phantom: [edit(path, **fields) for path in folder.iterdir()]


def replace(path: Path, old: bytes, new: bytes) -> None:
    """Write other bytes, as many, for some that stand in a file."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new.ljust(len(old)), 1))


def text_for(old: bytes, new: bytes) -> Spoil:
    return lambda folder, phantom: [replace(path, old, new) for path in folder.iterdir()]


def spacing_of(text: bytes) -> Spoil:
    return text_for(b"3.000000\\3.000000", text + b"\\3.000000")


def content_of(path: str, content: bytes) -> Spoil:
    """One more file."""
    return lambda folder, phantom: (folder / path).write_bytes(content)


def emptied(folder: Path, phantom: Phantom) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"")


def as_text(folder: Path, phantom: Phantom) -> None:
    for path in folder.iterdir():
        path.write_text("no DICOM at all\n" * 40)


def cut(length: int) -> Spoil:
    return lambda folder, phantom: (folder / ONE).write_bytes((folder / ONE).read_bytes()[:length])


def without_preamble(folder: Path, phantom: Phantom) -> None:
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        dataset.preamble = None
        with pydicom.config.disable_value_validation():
            dataset.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)


def shifted(columns: float, rows: float) -> Spoil:
    """Each slice further to a side than the one before, in millimeters."""

    def spoil(folder: Path, phantom: Phantom) -> None:
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            row, column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
            moved = np.array(dataset.ImagePositionPatient, float) + int(path.name[:2]) * (columns * row + rows * column)
            edit(path, ImagePositionPatient=[f"{value:.5f}" for value in moved])

    return spoil


def without_slice(folder: Path, phantom: Phantom) -> None:
    for path in folder.glob("02-*"):
        path.unlink()


def other_size(folder: Path, phantom: Phantom) -> None:
    """The last slice with half of the columns."""
    for path in folder.glob("03-*"):
        edit(path, Columns=32, PixelData=bytes(32 * 64 * 2))


def renamed(name: str) -> Spoil:
    """All files deep in folders of that name."""

    def spoil(folder: Path, phantom: Phantom) -> None:
        files = list(folder.iterdir())
        (folder / name).mkdir(parents=True)
        for path in files:
            path.rename(folder / name / path.name)

    return spoil


def looped(folder: Path, phantom: Phantom) -> None:
    (folder / "up").symlink_to(folder.parent)
    (folder / "itself.dcm").symlink_to(folder / "itself.dcm")
    (folder / "nowhere.dcm").symlink_to(folder / "not there")


def copied(folder: Path, phantom: Phantom) -> None:
    for number in range(2):
        shutil.copy(folder / ONE, folder / f"copy {number}.dcm")


def numbered(**fields: Any) -> Spoil:
    """Trigger times that tell nothing, so that numbers have to."""
    return every(**{"TriggerTime": None, **fields})


def without_order(folder: Path, phantom: Phantom) -> None:
    every(TriggerTime=None, InstanceNumber=None)(folder, phantom)


def other_identifiers(folder: Path, phantom: Phantom) -> None:
    for number, path in enumerate(sorted(folder.iterdir())):
        edit(path, SeriesInstanceUID="1.02.003", SOPInstanceUID=f"1.02.0{number}", StudyInstanceUID="01")


def turned(folder: Path, phantom: Phantom) -> None:
    for path in folder.glob("01-*"):
        directions = list(map(float, pydicom.dcmread(path).ImageOrientationPatient))
        edit(path, ImageOrientationPatient=[f"{value + 2e-5:.5f}" for value in directions])


def captured(folder: Path, phantom: Phantom) -> None:
    """A screen capture, a report, and an image of colors."""
    image = phantom.image[..., 0, 0]
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}
    write_report(folder / "SR0001")
    write_image_file(folder / "SC0001", image, phantom.affine, number=1, **nowhere)
    write_image_file(folder / "US0001", image, phantom.affine, number=1, PhotometricInterpretation="PALETTE COLOR")


def with_localizer(folder: Path, phantom: Phantom) -> None:
    write_localizer(folder / "loc", phantom)


def localizer_alone(folder: Path, phantom: Phantom) -> None:
    emptied_folder(folder)
    write_localizer(folder, phantom)


def emptied_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def enhanced(**fields: Any) -> Spoil:
    def spoil(folder: Path, phantom: Phantom) -> None:
        emptied_folder(folder)
        write_enhanced(folder / "MR", phantom, **fields)

    return spoil


def enhanced_short(folder: Path, phantom: Phantom) -> None:
    """Fewer pixels than it describes images."""
    enhanced()(folder, phantom)
    dataset = pydicom.dcmread(folder / "MR")
    edit(folder / "MR", PixelData=dataset.PixelData[: len(dataset.PixelData) // 2], NumberOfFrames=10)


def compressed(syntax: str) -> Spoil:
    """Pixels that are said to be compressed, and are not."""

    def spoil(folder: Path, phantom: Phantom) -> None:
        dataset = pydicom.dcmread(folder / ONE)
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.PixelData = encapsulate([b"these are no compressed pixels"])
        dataset["PixelData"].is_undefined_length = True
        with pydicom.config.disable_value_validation():
            dataset.save_as(folder / ONE)

    return spoil


def element(group: int, number: int, kind: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element as its bytes, whose length may lie."""
    count = len(value) if length is None else length
    long = kind in (b"OB", b"OW", b"UN", b"SQ")
    size = struct.pack("<HI", 0, count) if long else struct.pack("<H", count)
    return struct.pack("<HH", group, number) + kind + size + value


def inflating() -> bytes:
    """A file of a megabyte that was deflated from one of 300."""
    meta = element(2, 0x10, b"UI", DeflatedExplicitVRLittleEndian.encode())
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    megabyte = deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return MARK + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta + 300 * megabyte + deflate.flush()


def nested() -> bytes:
    """A file of sequences in sequences, more than any reader can follow."""
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    return MARK + (element(0x5200, 0x9229, b"SQ", b"", 0xFFFFFFFF) + item) * 5000


#: What is odd, and a part of what is said of it; the cine is found all the same, voxel for voxel.
RIGHT: dict[str, tuple[Spoil, str]] = {
    "nothing odd": (lambda folder, phantom: None, "short-axis cine"),
    "no preamble": (without_preamble, "short-axis cine"),
    "duplicate instances": (copied, "left out: 2 DICOM files copied a second time"),
    "no trigger times": (numbered(), "short-axis cine"),
    "equal trigger times": (every(TriggerTime="40"), "short-axis cine"),
    "trigger times without end": (every(TriggerTime="9E307"), "short-axis cine"),
    "neither times nor numbers": (without_order, "in 4 of 4 slices there are images without times and numbers"),
    "numbers of 400 digits": (every(SeriesNumber="9" * 400), "short-axis cine"),
    "identifiers with leading zeros": (other_identifiers, "short-axis cine"),
    "no identifiers of the images": (every(SOPInstanceUID=None), "short-axis cine"),
    "directions that differ in the last digit": (turned, "short-axis cine"),
    "a rescale slope of 0": (every(RescaleSlope="0", RescaleIntercept="0"), "short-axis cine"),
    "a rescale slope that is no number": (every(RescaleSlope="NaN"), "short-axis cine"),
    "heartbeats of no length": (every(NominalInterval="0", HeartRate="0", CardiacNumberOfImages="-5"), "short-axis"),
    "thickness of no slice": (every(SliceThickness="-8"), "short-axis cine"),
    "reports, screen captures and colors": (captured, "left out: 3 DICOM files without an image that has a place"),
    "localizers among it": (with_localizer, "left out: localizer: series 1 (9 slices x 1 phase)"),
    "a name of the patient in two scripts": (
        every(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎"),
        "short-axis cine",
    ),
    "a character set that is none": (every(SpecificCharacterSet="KLINGON"), "short-axis cine"),
    "a folder named in another script": (renamed("Пациент 心臓 é"), "short-axis cine"),
    "a folder whose name is no text": (renamed(os.fsdecode(b"caf\xe9 \xff")), "short-axis cine"),
    "very long paths": (renamed("/".join(["x" * 200] * 10)), "short-axis cine"),
    "links that lead back": (looped, "short-axis cine"),
    "one empty file more": (content_of("99.dcm", b""), "left out: 1 DICOM file damaged, such as 99.dcm (it holds no"),
    "a text called .dcm": (content_of("readme.dcm", b"about this CD"), "1 DICOM file damaged, such as readme.dcm"),
    "the mark and nothing more": (content_of("X1", MARK), "1 DICOM file damaged, such as X1 (it holds no DICOM"),
    "a length of four gigabytes": (
        content_of("X1", MARK + element(8, 0x18, b"UN", b"1.2.3", 0xFFFFFFF0)),
        "left out: 1 DICOM file ",
    ),
    "a number of three bytes": (
        content_of("X1", MARK + element(8, 0x18, b"UI", b"1.2.34") + element(0x28, 0x10, b"US", b"\1\0\1")),
        "left out: 1 DICOM file damaged, such as X1 (its elements are damaged)",
    ),
    "sequences without end": (content_of("X1", nested()), "left out: 1 DICOM file damaged, such as X1"),
    "a deflated file that fills the memory": (content_of("X1", inflating()), "X1 (it inflates to more than 256 MB)"),
    "a damaged index": (content_of("DICOMDIR", MARK + b"rubbish"), "short-axis cine"),
    "shadows of macOS": (content_of(f"._{ONE}", bytes(82)), "short-axis cine"),
    "padding behind the pixels": (
        lambda folder, phantom: edit(folder / ONE, PixelData=pydicom.dcmread(folder / ONE).PixelData + bytes(2)),
        "short-axis cine",
    ),
    "all in one file": (enhanced(), "short-axis cine"),
    "all in one file without times": (enhanced(triggered=False), "short-axis cine"),
}


def run_dicom(folder: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Write the cine of a folder; the exit code, what was printed and what said."""
    code = main(["dicom", str(folder), "-o", str(output)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", RIGHT)
def test_an_odd_folder_gives_the_very_cine(case, a_folder, the_phantom, tmp_path, capsys):
    spoil, expected = RIGHT[case]
    spoil(a_folder, the_phantom)
    code, printed, said = run_dicom(a_folder, tmp_path / "cine.nii.gz", capsys)
    assert (code, said) == (0, "")
    assert expected in printed
    found = read_image(tmp_path / "cine.nii.gz")
    np.testing.assert_array_equal(found.array, the_phantom.image)
    np.testing.assert_allclose(found.affine, the_phantom.affine, atol=2e-3)


def missing_phase(image: np.ndarray) -> np.ndarray:
    """The phase of :data:`ONE` lacks, and its slice shows the one before."""
    image = image.copy()
    image[:, :, 2, 3] = image[:, :, 2, 2]
    return image


LACKS = "slice 3 of 4 has 4 of 5 phases: each phase shows its nearest in time"
#: What is damaged, how the phantom's cine then is, and a part of what is said.
OTHERWISE: dict[str, tuple[Spoil, Callable[[np.ndarray], np.ndarray], str]] = {
    "one phase of a slice lacks": (lambda folder, phantom: (folder / ONE).unlink(), missing_phase, LACKS),
    "one file is empty": (cut(0), missing_phase, "damaged, such as 02-03.dcm (it holds no DICOM elements); copy again"),
    "one file ends in its header": (cut(500), missing_phase, LACKS),
    "one position lacks": (one(ImagePositionPatient=None), missing_phase, "1 DICOM file without an image that has a"),
    "one spacing is 0": (one(PixelSpacing=["0", "3"]), missing_phase, "such as 02-03.dcm (its spacing is 0 x 3 mm)"),
    "one slice has another size": (other_size, lambda image: image[:, :, :3], "left out: short-axis cine: series 2"),
    "low is white": (every(PhotometricInterpretation="MONOCHROME1"), np.invert, "short-axis cine"),
    "low is white, 12 bits": (
        every(PhotometricInterpretation="MONOCHROME1", PixelRepresentation=0, BitsStored=12, HighBit=11),
        lambda image: 4095 - image,
        "short-axis cine",
    ),
    "values are scaled": (
        every(RescaleSlope="0.5", RescaleIntercept="-3"),
        lambda image: image / 2 - 3,
        "short-axis cine",
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", OTHERWISE)
def test_what_a_folder_lacks_is_said(case, a_folder, the_phantom, tmp_path, capsys):
    spoil, change, expected = OTHERWISE[case]
    spoil(a_folder, the_phantom)
    code, printed, said = run_dicom(a_folder, tmp_path / "cine.nii.gz", capsys)
    assert (code, said) == (0, "")
    assert expected in printed
    np.testing.assert_array_equal(read_image(tmp_path / "cine.nii.gz").array, change(the_phantom.image))


NO_PLACE = "20 DICOM files without an image that has a place in space); choose another folder"
#: What is damaged, and a part of the line that is said.
REFUSED: dict[str, tuple[Spoil, str]] = {
    "pixels are truncated": (cut(-700), f"{ONE}: cannot be read as DICOM (the number of bytes of pixel data is less"),
    "all files are empty": (emptied, "20 DICOM files damaged, such as 00-00.dcm (it holds no DICOM elements); copy"),
    "all files are text": (as_text, "20 DICOM files damaged, such as 00-00.dcm"),
    "no positions": (every(ImagePositionPatient=None), NO_PLACE),
    "no directions": (every(ImageOrientationPatient=None), NO_PLACE),
    "no spacing": (every(PixelSpacing=None), NO_PLACE),
    "empty positions": (every(ImagePositionPatient=""), NO_PLACE),
    "spacing of zero": (spacing_of(b"0.000000"), "such as 00-00.dcm (its spacing is 0 x 3 mm); copy again"),
    "negative spacing": (spacing_of(b"-3.00000"), "(its spacing is -3 x 3 mm)"),
    "NaN as spacing": (spacing_of(b"NaN"), "(its spacing is nan x 3 mm)"),
    "a kilometer of spacing": (spacing_of(b"1e6"), "(its spacing is 1e+06 x 3 mm)"),
    "letters as spacing": (spacing_of(b"CANARY"), "(could not convert string to float: ...)"),
    "one spacing of two": (every(PixelSpacing="3"), "20 DICOM files damaged"),
    "directions of no length": (
        every(ImageOrientationPatient=["0"] * 6),
        "(its rows and columns have no directions at right angles); copy again",
    ),
    "equal directions": (every(ImageOrientationPatient=["1", "0", "0"] * 2), "no directions at right angles"),
    "two numbers of directions": (every(ImageOrientationPatient=["1", "0"]), "20 DICOM files damaged"),
    "positions beyond the moon": (
        every(ImagePositionPatient=["1e30", "0", "0"]),
        "(its position is no place near the patient); copy again",
    ),
    "10^12 pixels": (every(Rows=65535, Columns=65535, NumberOfFrames="1000"), "(its header claims 65535 x 65535"),
    "a slice lacks": (without_slice, "make no even stack (5.0 mm off); copy the missing slices, or take away what"),
    "a sheared stack": (shifted(3.0, 0.0), "make no even stack"),
    "a tilted gantry": (shifted(0.0, 3.6), "make no even stack"),
    "8 bits allocated for 16": (one(BitsAllocated=8, BitsStored=8, HighBit=7), f"{ONE}: cannot be read as DICOM (its "),
    "1 bit allocated": (one(BitsAllocated=1, BitsStored=1, HighBit=0), f"{ONE}: cannot be read as DICOM (its pixels"),
    "32 bits allocated for 16": (one(BitsAllocated=32), f"{ONE}: cannot be read as DICOM (the number of bytes"),
    "12 bits allocated": (one(BitsAllocated=12), f"{ONE}: cannot be read as DICOM"),
    "more bits stored than allocated": (one(BitsStored=24), f"{ONE}: cannot be read as DICOM"),
    "no bits": (one(BitsAllocated=None), f"{ONE}: cannot be read as DICOM"),
    "no pixels": (one(PixelData=None), f"{ONE}: cannot be read as DICOM"),
    "a film for pixels": (compressed("1.2.840.10008.1.2.4.102"), f"{ONE}: is compressed (MPEG-4 AVC"),
    "no JPEG 2000 in it": (compressed("1.2.840.10008.1.2.4.90"), f"{ONE}: cannot be read as DICOM"),
    "no run lengths in it": (compressed("1.2.840.10008.1.2.5"), f"{ONE}: cannot be read as DICOM"),
    "a syntax that is none": (compressed("1.2.3"), f"{ONE}: cannot be read as DICOM"),
    "scaled beyond numbers": (every(RescaleSlope="1e300"), "its pixels are no finite numbers"),
    "localizers alone": (localizer_alone, "no short-axis cine among 1 series (localizer); list them by"),
    "one file with half of its pixels": (enhanced_short, "MR: cannot be read as DICOM"),
}


def the_line(said: str) -> str:
    """The one line that was said."""
    (line,) = said.splitlines()
    assert line.startswith("cardiacseg: ")
    assert len(line) < 700
    return line


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", REFUSED)
def test_a_damaged_folder_is_refused_in_one_line(case, a_folder, the_phantom, tmp_path, capsys):
    spoil, expected = REFUSED[case]
    spoil(a_folder, the_phantom)
    code, printed, said = run_dicom(a_folder, tmp_path / "cine.nii.gz", capsys)
    line = the_line(said)
    assert (code, printed) == (1, "")
    assert str(a_folder) in line
    assert expected.lower() in line.lower()
    assert "CANARY" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


#: Places that cannot be looked at, and a part of what is said.
PLACES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "that is not there": (lambda folder: folder / "none", "does not exist; check the path"),
    "of a name too long": (lambda folder: folder / ("x" * 300), "cannot be read (File name too long); check the path"),
    "that is a link to itself": (lambda folder: loop(folder / "loop"), "cannot be read (Too many levels of symbolic"),
    "that is a text": (lambda folder: text(folder / "a.txt"), "a.txt: cannot be read as DICOM (it holds no DICOM"),
    "that is empty": (lambda folder: made(folder / "empty"), "(no DICOM files); choose another folder"),
}


def loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def text(path: Path) -> Path:
    path.write_text("text")
    return path


def made(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("case", PLACES)
def test_a_place_that_holds_no_dicom_is_named(case, tmp_path, capsys):
    make, expected = PLACES[case]
    code, printed, said = run_dicom(make(tmp_path), tmp_path / "cine.nii.gz", capsys)
    assert (code, printed) == (1, "")
    assert expected in the_line(said)
    assert not (tmp_path / "cine.nii.gz").exists()


def test_folders_so_deep_that_files_have_no_path_are_refused(tmp_path, capsys, monkeypatch):
    deep = made(tmp_path / "deep")
    monkeypatch.chdir(deep)
    for _ in range(25):
        Path("y" * 200).mkdir()
        os.chdir("y" * 200)
    monkeypatch.undo()
    code, _, said = run_dicom(deep, tmp_path / "cine.nii.gz", capsys)
    shutil.rmtree(deep)
    assert code == 1
    assert "cannot be listed (File name too long); give a folder of shorter paths" in the_line(said)


@pytest.mark.parametrize("case", ["pixels are truncated", "spacing of zero", "a sheared stack", "a film for pixels"])
def test_segment_refuses_it_too_and_leaves_nothing(case, a_bundle, a_folder, the_phantom, tmp_path, capsys):
    spoil, expected = REFUSED[case]
    spoil(a_folder, the_phantom)
    output = made(tmp_path / "results")
    code = main(["segment", str(a_folder), "-o", str(output), "--model", str(a_bundle.folder), "--device", "cpu"])
    captured = capsys.readouterr()
    assert (code, captured.out) == (1, "")
    assert expected.lower() in the_line(captured.err).lower()
    assert not list(output.iterdir())


def test_a_description_cannot_write_to_the_terminal(a_folder, the_phantom, capsys):
    every(SeriesDescription="sa\x1b[2J\x07")(a_folder, the_phantom)
    assert main(["dicom", str(a_folder)]) == 0
    assert "\x1b" not in capsys.readouterr().out
