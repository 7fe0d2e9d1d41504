"""``cardiacseg dicom``: what it lists, what it writes, and what it never tells."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from CardiacSegLib.cli import main
from CardiacSegLib.images import read_image
from CardiacSegLib.phantom import Phantom
from dicoms_made import CANARIES, a_scan, write_cine, write_localizer, write_long_axis, write_report


@pytest.fixture(scope="module")
def the_phantom() -> Phantom:
    return a_scan()


@pytest.fixture(scope="module")
def a_study(the_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short-axis cine with localizers, long axes, a report and a damaged file."""
    folder = tmp_path_factory.mktemp("study")
    write_localizer(folder, the_phantom)
    write_cine(folder / "cine", the_phantom, SeriesDescription="sa stack", SeriesNumber=2)
    write_long_axis(folder, the_phantom)
    write_report(folder / "SR1")
    (folder / "broken").write_bytes(bytes(128) + b"DICM" + b"\x08\x00\x05\x00CS\x0c\x00CANARY^NAME " + b"\x08")
    return folder


@pytest.fixture
def dicom(capsys: pytest.CaptureFixture[str]):
    """Run ``cardiacseg dicom``; return the exit code, what was printed and what said."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["dicom", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def event(printed: str) -> dict:
    (result,) = (line for line in map(json.loads, printed.splitlines()) if line["event"] == "result")
    return result


class TestTheList:
    def test_names_every_series_and_marks_the_cine(self, dicom, a_study):
        code, printed, said = dicom(a_study)
        assert (code, said) == (0, "")
        lines = printed.splitlines()
        rows = [" ".join(line.split()) for line in lines[:5]]
        assert rows == [
            "series kind slices phases in plane slices apart gap description",
            "1 localizer 9 1 3.00 x 3.00 mm",
            "* 2 short-axis cine 5 6 3.00 x 3.00 mm 10.0 mm 2.0 mm sa stack",
            "3 long-axis cine 1 6 3.00 x 3.00 mm 2ch",
            "4 long-axis cine 1 6 3.00 x 3.00 mm 4ch",
        ]
        assert "takes: 5 parallel slices, 6 phases, oblique, across the heart's usual axis" in printed
        assert re.search(r"^left out: 1 DICOM file damaged, such as broken \(.*\); copy again$", printed, re.MULTILINE)

    def test_is_one_event_for_programs(self, dicom, a_study):
        code, printed, _ = dicom(a_study, "--events")
        result = event(printed)
        assert (code, result["chosen"]) == (0, 2)
        assert [each["kind"] for each in result["series"]] == [
            *("localizer", "short-axis cine", "long-axis cine", "long-axis cine"),
        ]
        cine = result["series"][1]
        assert (cine["number"], cine["slices"], cine["phases"], cine["sources"]) == (2, 5, 6, 1)
        assert cine["spacing"] == pytest.approx([3, 3, 10], abs=1e-3)
        assert (cine["gap"], cine["description"]) == (pytest.approx(2, abs=1e-3), "sa stack")

    def test_of_a_folder_without_a_short_axis_says_so(self, dicom, the_phantom, tmp_path):
        write_long_axis(tmp_path, the_phantom)
        code, printed, _ = dicom(tmp_path)
        assert code == 0
        assert "no short-axis cine among 2 series (long-axis cine)" in printed
        assert "*" not in printed


class TestTheCine:
    def test_is_written_as_nifti(self, dicom, a_study, the_phantom, tmp_path):
        code, printed, _ = dicom(a_study, "--output", tmp_path / "cine.nii.gz")
        assert code == 0
        assert printed.splitlines()[:2] == [
            str(tmp_path / "cine.nii.gz"),
            "from short-axis cine: series 2 (5 slices x 6 phases)",
        ]
        assert "left out: localizer: series 1 (9 slices x 1 phase)" in printed
        found = read_image(tmp_path / "cine.nii.gz")
        np.testing.assert_array_equal(found.array, the_phantom.image)
        np.testing.assert_allclose(found.affine, the_phantom.affine, atol=1e-4)
        assert found.frame_times[1] - found.frame_times[0] == pytest.approx(122, abs=0.01)
        assert found.heart_rate == pytest.approx(82, abs=0.05)

    def test_is_told_to_programs(self, dicom, a_study, tmp_path):
        _, printed, _ = dicom(a_study, "--output", tmp_path / "cine.nii.gz", "--events")
        result = event(printed)
        assert (result["image"], result["shape"]) == (str(tmp_path / "cine.nii.gz"), [64, 64, 5, 6])
        assert (len(result["frame_times"]), result["heart_rate"]) == (6, pytest.approx(82, abs=0.05))
        assert result["series"]["number"] == 2

    def test_may_be_that_of_another_series(self, dicom, a_study, tmp_path):
        code, printed, _ = dicom(a_study, "--series", 4, "--output", tmp_path / "la.nii.gz")
        assert (code, "from long-axis cine: series 4 " in printed) == (0, True)
        assert read_image(tmp_path / "la.nii.gz").array.shape == (64, 64, 1, 6)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--series", 9, "--output", "a.nii.gz"), "--series 9: .* has 4; see them listed"),
            (("--series", 1, "--output", "a.nii.gz"), "series 1 .*: its slices are not parallel; choose another"),
            (("--output", "a.nrrd"), r"a\.nrrd: give a name that ends in \.nii\.gz"),
            (("--output", "a.nii.gz", "--series", 0), "--series 0: .* has 4"),
        ],
    )
    def test_that_cannot_be_written_leaves_nothing(self, dicom, a_study, tmp_path, monkeypatch, arguments, message):
        monkeypatch.chdir(tmp_path)
        code, printed, said = dicom(a_study, *arguments)
        assert (code, printed) == (1, "")
        assert re.search(message, said), said
        assert not list(tmp_path.iterdir())


def test_segment_labels_the_cine_of_a_folder(a_models_folder, a_segmenter, a_study, the_phantom, tmp_path, capsys):
    code = main(
        ["segment", str(a_study), "--model", "by-chance", "--device", "cpu", "-o", str(tmp_path / "labels.nii.gz")]
    )
    assert code == 0, capsys.readouterr().err
    labels = nibabel.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(labels.dataobj, a_segmenter.segment(the_phantom.image, read_image(a_study).affine))
    np.testing.assert_allclose(read_image(tmp_path / "labels.nii.gz").affine, the_phantom.affine, atol=1e-4)
    assert "left out: long-axis cine" in capsys.readouterr().err


class TestTheNameOfThePatient:
    """Every file of the folder has a name, numbers and dates of a patient who must not be told."""

    def all_of(self, folder: Path) -> bytes:
        return b"\n".join(str(path).encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file())

    @pytest.mark.parametrize("arguments", [(), ("--events",), ("--series", "3"), ("--series", "1")])
    def test_is_in_nothing_that_is_written_printed_or_said(self, dicom, a_study, tmp_path, caplog, recwarn, arguments):
        assert CANARIES["PatientName"].encode() in self.all_of(a_study)
        caplog.set_level(logging.DEBUG)
        told = "\n".join([*dicom(a_study, *arguments)[1:], *dicom(a_study, "-o", tmp_path / "a.nii", *arguments)[1:]])
        written = self.all_of(tmp_path)
        told += caplog.text + "".join(str(warning.message) for warning in recwarn)
        for value in CANARIES.values():
            assert value not in told
            assert value.encode() not in written

    def test_is_in_no_error(self, dicom, a_study, tmp_path):
        copy = Path(shutil.copytree(a_study, tmp_path / "copy"))
        path = copy / "cine" / "03-02.dcm"
        path.write_bytes(path.read_bytes()[:-700])
        code, _, said = dicom(copy, "-o", tmp_path / "a.nii")
        assert (code, "cannot be read as DICOM" in said) == (1, True)
        assert not any(value in said for value in CANARIES.values())
