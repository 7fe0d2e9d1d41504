"""Damaged and odd contours: each gives the labels that were drawn, or one line that names the file and a remedy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from CardiacSegLib.cli import main
from CardiacSegLib.datasets import sunnybrook
from CardiacSegLib.datasets.cases import read_case
from CardiacSegLib.phantom import Phantom
from dicoms_made import a_scan, contour_name, write_cine, write_contours

FRAMES, SLICES = 5, 4
#: What makes a patient odd or damaged.
Spoil = Callable[[Path, Phantom], object]


@pytest.fixture(scope="module")
def the_phantom() -> Phantom:
    return a_scan(FRAMES, SLICES)


def content_of(path: str, content: bytes) -> Spoil:
    """One more file."""
    return lambda patient, phantom: (patient / path).write_bytes(content)


def without_pixels(patient: Path, phantom: Phantom) -> None:
    path = patient / "DICOM" / "02-00.dcm"
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    with pydicom.config.disable_value_validation():
        dataset.save_as(path)


def looped(patient: Path, phantom: Phantom) -> None:
    (patient / "up").symlink_to(patient.parent)
    (patient / "itself.dcm").symlink_to(patient / "itself.dcm")
    (patient / "nowhere.dcm").symlink_to(patient / "not there")


NAME = "SC-HF-NI-7"
ED_INNER = "i-contours/" + contour_name(2 * FRAMES + 1, "i")


@pytest.fixture(scope="module")
def a_sunnybrook_folder(the_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contoured") / "data"
    write_cine(folder / NAME / "DICOM", the_phantom)
    write_contours(folder / NAME / "i-contours", folder / NAME / "o-contours", the_phantom)
    return folder


@pytest.fixture
def a_patient(a_sunnybrook_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(a_sunnybrook_folder, tmp_path / "data")) / NAME


def rewritten(change: Callable[[list[str]], list[str]], end: str = "\n", encoding: str = "utf-8") -> Spoil:
    """The inner contour of a slice at ED, its lines changed."""

    def spoil(patient: Path, phantom: Phantom) -> None:
        lines = (patient / ED_INNER).read_text(encoding="utf-8-sig").split("\n")
        changed = [line.strip() for line in change([line for line in lines if line])]
        (patient / ED_INNER).write_bytes((end.join(changed) + end).encode(encoding))

    return spoil


def contour(*lines: str) -> Spoil:
    return rewritten(lambda _: list(lines))


def contour_bytes(content: bytes) -> Spoil:
    return lambda patient, phantom: (patient / ED_INNER).write_bytes(content)


def same_points(lines: list[str]) -> list[str]:
    return [each for line in lines for each in (line, line)]


def in_numbers(lines: list[str]) -> list[str]:
    return ["\t".join(f"{float(number):+.3e}" for number in line.split()) + " " for line in lines]


def papillary(patient: Path, phantom: Phantom) -> None:
    (patient / "i-contours" / contour_name(1, "p2")).write_text("no contour of the wall\n")
    (patient / "i-contours" / "readme.txt").write_text("drawn by an expert\n")


#: What is odd about contours; the labels are those that were drawn all the same.
SAME_LABELS: dict[str, Spoil] = {
    "the other way round": rewritten(lambda lines: lines[::-1]),
    "begun elsewhere": rewritten(lambda lines: lines[9:] + lines[:9]),
    "closed": rewritten(lambda lines: [*lines, lines[0]]),
    "every point twice": rewritten(same_points),
    "empty lines": rewritten(lambda lines: ["", *lines, "", ""]),
    "ends of lines of Windows": rewritten(lambda lines: lines, end="\r\n"),
    "ends of lines of old Macs": rewritten(lambda lines: lines, end="\r"),
    "a byte order mark": rewritten(lambda lines: lines, encoding="utf-8-sig"),
    "tabs, signs and exponents": rewritten(in_numbers),
    "files that are no contours of the wall": papillary,
    "links that lead back": looped,
    "shadows of macOS": lambda patient, phantom: (patient / "DICOM" / "._1.dcm").write_bytes(bytes(82)),
}


def labels_of(folder: Path) -> list[np.ndarray]:
    return [read_case(case, sunnybrook.SUNNYBROOK)[1] for case in sunnybrook.find_cases(folder)]


@pytest.mark.parametrize("case", SAME_LABELS)
def test_odd_contours_give_the_same_labels(case, a_sunnybrook_folder, a_patient, the_phantom):
    SAME_LABELS[case](a_patient, the_phantom)
    for found, expected in zip(labels_of(a_patient.parent), labels_of(a_sunnybrook_folder)):
        np.testing.assert_array_equal(found, expected)


def test_a_folder_of_all_that_is_odd_has_no_problems(a_patient, the_phantom, capsys):
    for spoil in SAME_LABELS.values():
        spoil(a_patient, the_phantom)
    assert main(["dataset", str(a_patient.parent)]) == 0
    assert capsys.readouterr().err == ""


def test_contours_that_cross_give_what_lies_within_them(a_patient, the_phantom):
    """The inner one beyond the outer one on a side, and crossing itself like an 8: its halves belong to the cavity."""
    contour("2 2", "12 12", "12 2", "2 12")(a_patient, the_phantom)
    labels = labels_of(a_patient.parent)[0][:, :, 2]
    cavity = labels[2:12, 2:12] == sunnybrook.SUNNYBROOK["LV"]
    assert 40 <= cavity.sum() <= 60
    assert cavity[1, 5] and cavity[8, 5] and not cavity[5, 1] and not cavity[5, 8]
    assert (labels == sunnybrook.SUNNYBROOK["MYO"]).any()


#: What is damaged, and a part of what is said.
NO_CONTOUR = "icontour-manual.txt: is no contour"
DAMAGED: dict[str, tuple[Spoil, str]] = {
    "letters": (contour("1.0 two", "3 4", "5 6"), NO_CONTOUR),
    "decimal commas": (contour("1,5 2,5", "3,5 4,5", "5,5 6"), NO_CONTOUR),
    "NaN": (contour("nan 2", "3 4", "5 9"), NO_CONTOUR),
    "infinity": (contour("inf 2", "3 4", "5 9"), NO_CONTOUR),
    "an odd number of values": (contour("1 2", "3", "5 6"), NO_CONTOUR),
    "three columns": (contour("1 2 3", "4 5 6", "7 8 8"), NO_CONTOUR),
    "two points": (contour("1 2", "3 4"), NO_CONTOUR),
    "nothing": (contour_bytes(b""), NO_CONTOUR),
    "blanks": (contour_bytes(b" \n\n\t\n"), NO_CONTOUR),
    "bytes that are no text": (contour_bytes(b"\xff\xfe\x00" * 20), NO_CONTOUR),
    "zeros": (contour_bytes(bytes(400)), NO_CONTOUR),
    "one point three times": (contour("5 5", "5 5", "5 5"), "is no contour (it encloses nothing)"),
    "a line": (contour("5 5", "5 9", "5 7"), "is no contour (it encloses nothing)"),
    "numbers of 300 digits": (contour("1 2", "9" * 300 + " 4", "5 6"), "is no contour (points beyond any image)"),
    "points outside the image": (contour("1 2", "90 2", "90 90"), "leaves its image of 64 x 64 pixels"),
    "points before the image": (contour("-3 2", "9 2", "9 9"), "leaves its image of 64 x 64 pixels"),
    "a number that no image has": (
        lambda patient, phantom: (patient / ED_INNER).rename(patient / "i-contours" / contour_name(999, "i")),
        "icontour-manual.txt: no image number 999 in a series with those of the other contours",
    ),
    "an image that lacks": (
        lambda patient, phantom: (patient / "DICOM" / "02-00.dcm").unlink(),
        "no image number 11 in a series",
    ),
    "an image without pixels": (without_pixels, "02-00.dcm: cannot be read as DICOM"),
    "a text called .dcm": (content_of("DICOM/readme.dcm", b"text"), "readme.dcm: cannot be read as DICOM"),
    "no images": (lambda patient, phantom: shutil.rmtree(patient / "DICOM"), "no DICOM files (.dcm) of SC-HF-NI-7"),
    "a table of other columns": (content_of("link.csv", b"from,to\na,b\n"), "link.csv: is no table of patients"),
    "a table with a row too long": (
        content_of("link.csv", b"patient_id,original_id\na,b,c,d\n"),
        "link.csv: is no table of patients",
    ),
    "a table that is no text": (content_of("link.csv", b"\xff\xfe" * 50), "link.csv: is no table of patients"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_contours_are_named_with_the_remedy(case, a_patient, the_phantom, tmp_path, capsys):
    spoil, expected = DAMAGED[case]
    spoil(a_patient, the_phantom)
    code = main(["dataset", str(a_patient.parent)])
    captured = capsys.readouterr()
    (line,) = (line for line in (captured.out + captured.err).splitlines() if expected in line)
    assert code == 1
    assert str(a_patient.parent) in line
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
