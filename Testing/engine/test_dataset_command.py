"""The command ``cardiacseg dataset``: what it says of a data set and of what is wrong with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import layouts_made as made
from CardiacSegLib.anatomy import ACDC, STRUCTURES
from CardiacSegLib.cli import main
from CardiacSegLib.datasets import report as report_module
from CardiacSegLib.datasets.report import choose_samples, examine_dataset
from CardiacSegLib.images import Image, read_image, write_image


@pytest.fixture
def dataset(capsys) -> Callable[..., tuple[int, str, str]]:
    """Run ``cardiacseg dataset``; return the exit code, what was printed and what said."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["dataset", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def four_patients(an_acdc_folder, tmp_path) -> Path:
    """A data set that a test may spoil."""
    for number in range(1, 5):
        shutil.copytree(an_acdc_folder / f"patient{number:03d}", tmp_path / "acdc" / f"patient{number:03d}")
    return tmp_path / "acdc"


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Three slices with masks, two to train on and one to validate on."""
    for number, part in enumerate(("train", "train", "val")):
        folder = tmp_path / "png" / part
        made.write_picture_pair(folder / "image" / f"a{number}.png", folder / "mask" / f"a{number}.png", number)
    return tmp_path / "png"


def row(text: str, name: str) -> list[str]:
    """The cells of a line of the report by its first."""
    (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{name}  ")]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def change(path: Path, how: Callable[[np.ndarray], np.ndarray], affine: np.ndarray | None = None) -> None:
    image = read_image(path)
    write_image(path, Image(how(image.array), image.affine if affine is None else affine))


def ed(folder: Path, patient: str, suffix: str = "") -> Path:
    return folder / patient / f"{patient}_frame01{suffix}.nii.gz"


class TestTheReport:
    def test_says_what_is_there(self, dataset, an_acdc_folder):
        code, printed, said = dataset(an_acdc_folder)
        assert (code, said) == (0, "")
        assert "ACDC: patientNNN/Info.cfg" in printed
        assert row(printed, "group") == ["group", "patients", "ED", "ES"]
        assert row(printed, "NOR") == ["NOR", "5", "5", "5"]
        assert row(printed, "all") == ["all", "10", "10", "10"]
        assert "labels 1=RV,2=MYO,3=LV" in printed
        assert row(printed, "LV")[1] == "20 of 20"
        assert [row(printed, name)[-1] for name in ("rows", "slices", "mm in plane", "mm between slices")] == [
            *("64", "4", "3", "10")
        ]
        assert printed.endswith("every case can be used\n")

    def test_says_amounts_in_milliliters_by_phase(self, an_acdc_folder):
        report = examine_dataset(an_acdc_folder)
        volumes = [
            np.count_nonzero(read_image(case.labels).array == ACDC["LV"]) * 0.09
            for case in report.cases
            if case.phase == "ES"
        ]
        amounts = report.amounts("LV", phase="ES")
        assert report.unit == "mL"
        np.testing.assert_allclose((amounts.low, amounts.high), (min(volumes), max(volumes)), rtol=1e-5)
        assert amounts.median == pytest.approx(np.median(volumes), rel=1e-5)
        assert report.amounts("LV", phase="ED").median > 1.3 * amounts.median

    def test_says_the_share_of_each_structure_in_all_voxels(self, an_acdc_folder):
        report = examine_dataset(an_acdc_folder)
        labels = np.stack([read_image(case.labels).array for case in report.cases])
        for name, number in ACDC.items():
            assert report.share(name) == pytest.approx(np.mean(labels == number))

    def test_of_pictures_counts_pixels_and_says_that_spacing_is_unknown(self, dataset, pictures):
        code, printed, _ = dataset(pictures, "--labels", "canonical")
        assert code == 0
        assert "pixels: median (range)" in printed
        assert "unknown: pictures have none, 1 is assumed" in printed
        assert row(printed, "train") == ["train", "2", "2"]
        assert "mm between slices" not in printed

    def test_of_single_slices_counts_area_and_tells_views_apart(self, dataset, tmp_path):
        made.write_camus_patient(tmp_path, "patient0001")
        code, printed, _ = dataset(tmp_path)
        assert code == 0
        assert "ED cm2: median (range)" in printed
        assert row(printed, "4CH") == ["4CH", "1", "2"]
        report = examine_dataset(tmp_path)
        pixels = np.count_nonzero(report.cases[0].read()[1] == 1)
        assert report.facts[0].amount("LV", report.unit) == pytest.approx(pixels * 0.3 * 0.2 / 100)

    def test_is_told_as_events_too(self, dataset, an_acdc_folder):
        code, printed, said = dataset(an_acdc_folder, "--events")
        events = [json.loads(line) for line in printed.splitlines()]
        assert (code, said) == (0, "")
        assert [event["fraction"] for event in events if event["event"] == "progress"][-1] == 1
        result = events[-1]
        assert (result["event"], result["layout"], result["patients"], result["cases"]) == ("result", "acdc", 10, 20)
        assert result["phases"] == {"ED": 10, "ES": 10}
        assert result["groups"] == {"DCM": 10, "NOR": 10}
        assert result["structures"]["RV"]["cases"] == 20
        assert result["findings"] == []


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda d: ed(d, "patient002").write_bytes(b"x" * 400), r"patient002_frame01.nii.gz: cannot be read"),
            (lambda d: change(ed(d, "patient002", "_gt"), lambda a: a * 2), "_gt.nii.gz: label values [4, 6] are not"),
            (lambda d: change(ed(d, "patient002", "_gt"), lambda a: a[1:]), "_gt.nii.gz: its shape (63, 64, 4) is not"),
            (
                lambda d: change(ed(d, "patient002", "_gt"), lambda a: a, np.eye(4)),
                "_gt.nii.gz: lies elsewhere in space",
            ),
            (lambda d: change(ed(d, "patient002"), lambda a: a * 0 + 7), "frame01.nii.gz: every voxel is 7; export"),
        ],
    )
    def test_keeps_a_case_from_being_used(self, dataset, four_patients, spoil, message):
        spoil(four_patients)
        code, printed, _ = dataset(four_patients)
        assert code == 1
        assert "1 of 8 cases cannot be used" in printed
        (line,) = [line for line in printed.splitlines() if message in line]
        assert "patient002" in line
        assert row(printed, "LV")[1] == "7 of 7"

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (
                lambda d: change(ed(d, "patient002", "_gt"), lambda a: np.where(a == ACDC["RV"], 0, a)),
                "patient002_frame01_gt.nii.gz: no RV in it",
            ),
            (
                lambda d: change(ed(d, "patient002", "_gt"), lambda a: np.where(a == ACDC["MYO"], a, 0)),
                "patient002_frame01_gt.nii.gz: no RV, no LV in it",
            ),
            (lambda d: change(ed(d, "patient002", "_gt"), lambda a: a * 0), "frame01_gt.nii.gz: no structure in it"),
            (
                lambda d: [change(ed(d, "patient002", s), np.copy, np.diag([30.0, 30, 10, 1])) for s in ("", "_gt")],
                "patient002_frame01.nii.gz: a spacing of 30 x 30 x 10 mm is hardly true",
            ),
        ],
    )
    def test_or_is_worth_a_look_and_no_more(self, dataset, four_patients, spoil, message):
        spoil(four_patients)
        code, printed, _ = dataset(four_patients)
        assert code == 0
        assert printed.count("worth a look") == 1
        assert [line for line in printed.splitlines() if line.endswith(message) or f"{message};" in line]

    def test_names_both_of_two_images_that_are_the_same_whatever_holds_their_voxels(self, dataset, four_patients):
        voxels = read_image(ed(four_patients, "patient001")).array
        change(ed(four_patients, "patient003"), lambda a: voxels.astype(np.float64))
        code, printed, _ = dataset(four_patients)
        assert code == 0
        (line,) = [line for line in printed.splitlines() if "the same image as" in line]
        assert line.index("patient003_frame01.nii.gz") < line.index("patient001_frame01.nii.gz")
        assert "keep both patients on one side of a split" in line

    def test_says_of_a_patient_in_two_parts(self, dataset, pictures):
        for folder, name in (("image", "a0.png"), ("mask", "a0.png")):
            shutil.copy(pictures / "train" / folder / name, pictures / "val" / folder / name)
        code, printed, _ = dataset(pictures, "--labels", "canonical")
        assert code == 0
        assert "a0.png: patient a0 stands in train and in val; keep each on one side" in printed

    def test_says_that_one_millimeter_everywhere_is_suspicious(self, dataset, tmp_path):
        beat = made.a_beat()
        for number in range(2):
            frame = beat.image[..., number], beat.labels[..., number]
            made.write_volume(tmp_path / f"a{number}.nii.gz", *frame, np.eye(4))
        code, printed, _ = dataset(tmp_path, "--labels", "canonical")
        assert code == 0
        assert "every header says 1 x 1 x 1 mm" in printed

    def test_says_that_labels_are_crumbled_as_interpolation_leaves_them(self, dataset, four_patients):
        crumbs = np.zeros((64, 64, 4), np.uint8)
        crumbs[2:40:4, 2:10:4] = ACDC["LV"]
        change(ed(four_patients, "patient002", "_gt"), lambda a: np.where(a > 0, a, crumbs))
        code, printed, _ = dataset(four_patients)
        assert code == 0
        assert "patient002_frame01_gt.nii.gz: LV lies in 21 pieces on one slice, and 0 other cases" in printed

    def test_with_the_whole_is_one_line_and_exit_code_one(self, dataset, four_patients, tmp_path):
        (four_patients / "patient003" / "Info.cfg").write_text("ED: 1\n", encoding="utf-8")
        for arguments, message in (
            ([four_patients], "Info.cfg: no frame number for ES"),
            ([tmp_path / "none"], "none: does not exist"),
            ([four_patients, "--labels", "1=LV"], "--labels 1=LV: the labels of ACDC are 1=RV,2=MYO,3=LV"),
            ([four_patients, "--layout", "cmr"], "layout 'cmr' is not known"),
            ([four_patients, "--labels", "1=HEART"], "structure 'HEART' is not known"),
        ):
            code, printed, said = dataset(*arguments)
            assert (code, printed, said.count("\n")) == (1, "", 1)
            assert message in said


class TestThePicture:
    def pixels_of(self, picture: np.ndarray, name: str) -> int:
        return np.count_nonzero(np.abs(picture[..., :3] - np.array(STRUCTURES[name].color) / 255).max(axis=2) < 0.08)

    def test_shows_cases_with_their_contours_in_the_colors_of_the_structures(self, dataset, four_patients, tmp_path):
        code, printed, _ = dataset(four_patients, "--picture", tmp_path / "a.png", "--events")
        assert code == 0
        assert json.loads(printed.splitlines()[-1])["picture"] == str(tmp_path / "a.png")
        picture = imread(tmp_path / "a.png")
        assert all(self.pixels_of(picture, name) > 500 for name in ACDC)
        for path in four_patients.glob("*/*_gt.nii.gz"):
            change(path, lambda a: np.where(a == ACDC["RV"], 0, a))
        dataset(four_patients, "--picture", tmp_path / "b.png")
        assert self.pixels_of(imread(tmp_path / "b.png"), "RV") < 30

    def test_is_drawn_of_pictures_and_of_fewer_cases_than_it_has_room_for(self, dataset, pictures, tmp_path):
        assert dataset(pictures, "--labels", "canonical", "--picture", tmp_path / "a.png")[0] == 0
        assert self.pixels_of(imread(tmp_path / "a.png"), "MYO") > 500

    def test_takes_end_diastole_from_every_group_and_no_case_that_cannot_be_used(self, an_acdc_folder):
        report = examine_dataset(an_acdc_folder)
        chosen = choose_samples(report, 6)
        assert [(case.phase, case.group) for case in chosen] == [("ED", "DCM")] * 3 + [("ED", "NOR")] * 3
        assert len({case.patient for case in chosen}) == 6
        assert len(choose_samples(report, 50)) == 10

    def test_is_not_drawn_where_nothing_can_be_used(self, dataset, an_acdc_folder, tmp_path, monkeypatch):
        def fail(case: object) -> None:
            raise report_module.CardiacSegError("f.nii: spoiled")

        monkeypatch.setattr(report_module, "examine_case", fail)
        code, printed, _ = dataset(an_acdc_folder, "--picture", tmp_path / "a.png")
        assert code == 1
        assert "20 of 20 cases cannot be used" in printed
        assert not (tmp_path / "a.png").exists()


@pytest.mark.data
class TestRealData:
    @pytest.mark.long
    def test_of_acdc_is_usable_and_its_two_identical_patients_are_found(self, acdc_training):
        report = examine_dataset(acdc_training)
        assert (report.patients(), len(report.facts), report.unusable()) == (99, 198, [])
        same = [finding.text for finding in report.findings if "the same image as" in finding.text]
        assert len(same) == 2
        assert all("patient076" in text.partition(":")[0] and "patient074" in text for text in same)
        assert 100 < report.amounts("LV", phase="ED").median < 200

    def test_of_camus_has_no_spacing_to_trust(self, real_data):
        if not (real_data / "camus_2ch").is_dir():
            pytest.skip("no CAMUS among the real cases")
        report = examine_dataset(real_data / "camus_2ch")
        assert (report.patients(), len(report.facts), report.unit) == (350, 700, "cm2")
        assert any("every header says 1 x 1 x 1 mm" in finding.text for finding in report.findings)
