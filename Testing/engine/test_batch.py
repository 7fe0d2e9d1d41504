"""``cardiacseg batch`` on one machine: whatever lies in a folder, and whatever fails, gets one table."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from CardiacSegLib import __version__
from CardiacSegLib.cli import main
from CardiacSegLib.images import read_image, write_image
from cohort_made import BROKEN, MIXED, a_cine, bytes_of, results_of, write_alike, write_mixed_cohort
from dicoms_made import CANARIES, write_cine
from layouts_made import a_beat
from results_read import rows_of
from waiting import wait_until


class Said(NamedTuple):
    code: int
    printed: str
    said: str


Batch = Callable[..., Said]


@pytest.fixture
def batch(a_models_folder, capsys) -> Batch:
    """Run ``cardiacseg batch`` with the model ``by-chance``."""

    def run(*arguments: object) -> Said:
        code = main(["batch", "--model", "by-chance", "--device", "cpu:torch", *map(str, arguments)])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def a_mixed_cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "studies of a hospital"
    write_mixed_cohort(folder)
    return folder


@pytest.fixture(scope="module")
def the_results(a_mixed_cohort, a_bundle, tmp_path_factory) -> Iterator[tuple[int, Path]]:
    """The exit code and the folder of a batch over the mixed cohort."""
    output = tmp_path_factory.mktemp("results") / "out"
    arguments = ["batch", str(a_mixed_cohort), "-o", str(output), "--model", str(a_bundle.folder)]
    yield main([*arguments, "--device", "cpu:torch"]), output


@pytest.fixture
def a_small_cohort(tmp_path) -> Path:
    """Two sound volumes and one that is cut off."""
    folder, cine = tmp_path / "small", a_cine(frames=1, slices=3)
    write_alike(folder, 3, cine)
    (folder / "study001.nii.gz").write_bytes((folder / "study000.nii.gz").read_bytes()[:500])
    return folder


class TestAMixedCohort:
    def test_has_a_row_for_every_study_that_is_sound(self, the_results):
        assert tuple(row["id"] for row in rows_of(the_results[1] / "measures.csv")) == MIXED

    def test_names_what_failed_and_why_and_does_not_exit_with_0(self, the_results):
        code, output = the_results
        failed = {row["id"]: row["reason"] for row in rows_of(output / "failed.csv")}
        assert code == 1
        assert tuple(failed) == BROKEN
        assert failed["acdc/patient003"].startswith("acdc/patient003/patient003_frame02.nii.gz: missing")
        assert failed["files/broken"].startswith("files/broken.nii.gz: cannot be read")

    def test_gets_the_labels_that_segment_gives(self, the_results, a_mixed_cohort, a_segmenter):
        images = {"files/P1/sa": "files/P1/sa.nii.gz", "files/heart": "files/heart.nrrd", "dicom/first": "dicom/first"}
        for study, source in images.items():
            image = read_image(a_mixed_cohort / source)
            found = read_image(the_results[1] / "studies" / study / "labels.nii.gz")
            np.testing.assert_array_equal(found.array, a_segmenter.segment(image.array, image.affine))
            np.testing.assert_allclose(found.affine, image.affine, atol=1e-4)

    def test_takes_ed_and_es_in_two_files_as_one_study(self, the_results, a_mixed_cohort):
        rows = {row["id"]: row for row in rows_of(the_results[1] / "measures.csv")}
        for study in ("acdc/patient001", "files/P2"):
            folder, row = the_results[1] / "studies" / study, rows[study]
            voxels = [
                np.count_nonzero(read_image(folder / f"labels_{phase}.nii.gz").array == 1) for phase in ("ED", "ES")
            ]
            assert [float(row[f"LV {name} [mL]"]) for name in ("EDV", "ESV")] == pytest.approx(
                [count * 3 * 3 * 10 / 1000 for count in voxels], abs=0.01
            )
            assert (row["ED frame"], row["ES frame"]) == ("1", "2")

    def test_takes_the_frames_of_a_cine_from_its_data_set(self, the_results):
        (row,) = (row for row in rows_of(the_results[1] / "measures.csv") if row["id"] == "mnms/A0S9V9")
        content = json.loads((the_results[1] / "studies" / row["id"] / "measures.json").read_text())
        assert row["frames"] == "4"
        assert content["phases_given"] is True

    def test_says_by_what_each_result_was_made(self, the_results):
        for file in results_of(the_results[1]):
            made = json.loads(file.read_text())["provenance"]
            assert (made["version"], made["model"], made["precision"]) == (__version__, "by-chance", made["precision"])
            assert len(made["sha256"]) == 64
            assert made["device"] == "cpu"
            assert made["seconds"] > 0

    def test_leaves_nothing_half_written_and_nobody_at_work(self, the_results):
        left = {path.name for path in the_results[1].rglob("*") if path.is_file()}
        assert left == {
            *("batch.json", "measures.csv", "failed.csv", "measures.json", "failed.json"),
            *("labels.nii.gz", "labels_ED.nii.gz", "labels_ES.nii.gz"),
        }

    def test_says_nothing_of_the_patient_or_of_this_machine(self, the_results, a_mixed_cohort):
        secrets = [*CANARIES.values(), str(a_mixed_cohort), str(Path.home())]
        for path in the_results[1].rglob("*"):
            if path.suffix in (".json", ".csv"):
                text = path.read_text("utf-8")
                assert not [secret for secret in secrets if secret in text], path


class TestAList:
    def test_may_say_who_the_persons_are(self, batch, tmp_path):
        write_alike(tmp_path / "images", 3, a_cine(frames=1, slices=3))
        lines = ["ID;Path;Height (cm);Weight [kg];Sex;heart rate", "Ann;images/study000.nii.gz;170;65,5;F;60"]
        lines += ["Bob;images/study001.nii.gz;;;;", "Cid;images/study002.nii.gz;1.80;80;M;"]
        (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
        code, _, said = batch(tmp_path / "list.csv", "-o", tmp_path / "out")
        ann, bob = rows_of(tmp_path / "out" / "measures.csv")
        assert (ann["id"], bob["id"], ann["heart rate [1/min]"]) == ("Ann", "Bob", "60.00")
        assert float(ann["MYO Mass [g/m²]"]) > 0
        assert bob["MYO Mass [g/m²]"] == ""
        assert code == 1
        assert "Cid: height 1.8 is not between 30 and 250 cm" in said

    def test_may_be_lines_of_text(self, batch, tmp_path):
        write_alike(tmp_path / "a", 1, a_cine(frames=1, slices=3))
        (tmp_path / "list.txt").write_text("# the first hospital\n\na/study000.nii.gz\nb/gone.nii.gz\n")
        assert batch(tmp_path / "list.txt", "-o", tmp_path / "out").code == 1
        assert [row["id"] for row in rows_of(tmp_path / "out" / "measures.csv")] == ["a/study000"]
        (failed,) = rows_of(tmp_path / "out" / "failed.csv")
        assert (failed["id"], failed["reason"][:42]) == ("b/gone", "b/gone.nii.gz: does not exist; check the p")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("id,height\n1,2\n", "list.csv: has no column path; give its first line the names"),
            ("path,id\na.nii,x\nb.nii,x\n", "list.csv: 2 studies are called x"),
            ("path,id\na.nii,../x\n", "list.csv: id '../x' cannot name a folder"),
            ("path\n", "list.csv: names no study"),
        ],
    )
    def test_is_refused_where_it_cannot_be_meant(self, batch, tmp_path, text, reason):
        (tmp_path / "list.csv").write_text(text)
        code, _, said = batch(tmp_path / "list.csv", "-o", tmp_path / "out")
        assert (code, said.count("\n")) == (1, 1)
        assert reason in said


class TestGoingOn:
    def test_does_nothing_twice(self, batch, a_small_cohort, tmp_path):
        batch(a_small_cohort, "-o", tmp_path / "out")
        before, times = bytes_of(tmp_path / "out"), [path.stat().st_mtime_ns for path in results_of(tmp_path / "out")]
        assert batch(a_small_cohort, "-o", tmp_path / "out").code == 1
        assert bytes_of(tmp_path / "out") == before
        assert [path.stat().st_mtime_ns for path in results_of(tmp_path / "out")] == times

    def test_tries_what_failed_again_when_asked(self, batch, a_small_cohort, tmp_path):
        batch(a_small_cohort, "-o", tmp_path / "out")
        shutil.copy(a_small_cohort / "study000.nii.gz", a_small_cohort / "study001.nii.gz")
        assert batch(a_small_cohort, "-o", tmp_path / "out").code == 1
        assert batch(a_small_cohort, "-o", tmp_path / "out", "--retry-failed").code == 0
        assert len(rows_of(tmp_path / "out" / "measures.csv")) == 3
        assert rows_of(tmp_path / "out" / "failed.csv") == []

    def test_takes_no_results_for_studies_where_they_lie_among_them(self, batch, a_small_cohort):
        for _ in range(2):
            batch(a_small_cohort, "-o", a_small_cohort / "results")
            rows = rows_of(a_small_cohort / "results" / "measures.csv")
            assert [row["id"] for row in rows] == ["study000", "study002"]

    def test_takes_in_what_has_come_to_the_cohort(self, batch, a_small_cohort, tmp_path):
        batch(a_small_cohort, "-o", tmp_path / "out")
        shutil.copy(a_small_cohort / "study000.nii.gz", a_small_cohort / "a.nii.gz")
        batch(a_small_cohort, "-o", tmp_path / "out")
        assert [row["id"] for row in rows_of(tmp_path / "out" / "measures.csv")] == ["a", "study000", "study002"]

    def test_measures_a_person_again_of_whom_other_things_are_said(self, batch, tmp_path):
        write_alike(tmp_path / "images", 1, a_cine(frames=1, slices=3))
        masses = []
        for height in (150, 190):
            (tmp_path / "list.csv").write_text(f"path,height,weight\nimages/study000.nii.gz,{height},70\n")
            batch(tmp_path / "list.csv", "-o", tmp_path / "out")
            masses += [float(row["MYO Mass [g/m²]"]) for row in rows_of(tmp_path / "out" / "measures.csv")]
        assert len(masses) == 2
        assert masses[0] > masses[1]

    @pytest.mark.parametrize("option", [("--turns", "8"), ("--bsa", "dubois"), ("--reports",)])
    def test_is_refused_with_other_options_in_one_line(self, batch, a_small_cohort, tmp_path, option):
        batch(a_small_cohort, "-o", tmp_path / "out")
        code, _, said = batch(a_small_cohort, "-o", tmp_path / "out", *option)
        assert (code, said.count("\n")) == (1, 1)
        assert f"holds results of {option[0][2:]}" in said
        assert "give the same, or another folder" in said


def test_what_cannot_be_read_at_all_is_said_in_one_line(batch, tmp_path):
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "nowhere"):
        code, printed, said = batch(source, "-o", tmp_path / "out")
        assert (code, printed, said.count("\n")) == (1, "", 1)


def test_nothing_is_said_of_identifiers_that_the_standard_does_not_allow(batch, tmp_path, recwarn):
    write_cine(tmp_path / "study", a_beat(), StudyInstanceUID="1.2.08.4711")
    code, printed, said = batch(tmp_path / "study", "-o", tmp_path / "out")
    assert code == 0
    assert "4711" not in printed + said
    assert not [warning for warning in recwarn if "4711" in str(warning.message)]


def test_a_batch_that_was_killed_in_the_middle_goes_on_to_the_same_table(batch, a_models_folder, tmp_path):
    count = 16
    write_alike(tmp_path / "cohort", count, a_cine(frames=1, slices=3))
    (tmp_path / "cohort" / "broken.nii.gz").write_bytes(b"no image")
    assert batch(tmp_path / "cohort", "-o", tmp_path / "unbroken").code == 1
    killed = tmp_path / "killed"
    arguments = ["batch", tmp_path / "cohort", "-o", killed, "--model", "by-chance", "--device", "cpu:torch"]
    process = subprocess.Popen(
        [sys.executable, "-m", "CardiacSegLib.cli", *map(str, arguments)],
        env={**os.environ, "CARDIACSEG_MODELS": str(a_models_folder)},
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: len(results_of(killed)) >= 2 or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = results_of(killed)
    assert 2 <= len(done) < count
    assert all(json.loads(path.read_text())["id"] == path.parent.name for path in done)
    times = {path: path.stat().st_mtime_ns for path in done}
    assert batch(tmp_path / "cohort", "-o", killed).code == 1
    assert bytes_of(killed) == bytes_of(tmp_path / "unbroken")
    assert {path: path.stat().st_mtime_ns for path in done} == times
    assert not list(killed.rglob(".partial-*"))


def test_a_single_image_is_a_cohort_too_and_gets_a_page_when_asked(batch, tmp_path):
    write_image(tmp_path / "heart.nii.gz", a_cine(frames=1, slices=3))
    output = tmp_path / "new" / "out"
    assert batch(tmp_path / "heart.nii.gz", "-o", output, "--reports").code == 0
    assert [row["id"] for row in rows_of(output / "measures.csv")] == ["heart"]
    page = (output / "studies" / "heart" / "report.html").read_text("utf-8")
    assert "by-chance" in page
    assert str(tmp_path) not in page
