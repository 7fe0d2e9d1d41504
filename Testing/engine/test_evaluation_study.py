"""Models, and labels of somebody else, against those of a data set: the command, its tables and the files it leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from CardiacSegLib.anatomy import ACDC, CANONICAL, relabel
from CardiacSegLib.bundles import Bundle, add_training_facts
from CardiacSegLib.cli import main
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.layouts import find_cases
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.evaluation.selection import select_cases
from CardiacSegLib.evaluation.sources import FolderSource, LabeledCase
from CardiacSegLib.evaluation.study import evaluate_cases
from CardiacSegLib.evaluation.tables import FOLDERS, StructureRow, read_cases, read_metrics, read_volumes
from CardiacSegLib.images import Image, read_image, write_image, write_labels
from CardiacSegLib.jobs.events import read_events
from layouts_made import write_picture_pair
from listening import Listener
from phantoms import write_acdc_patient
from results_read import rows_of

COLUMNS = (
    "case,patient,phase,group,vendor,structure,dice,jaccard,precision,recall,accuracy,"
    "hd_mm,hd95_mm,asd_mm,volume_ml,reference_ml"
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients of two groups."""
    folder = tmp_path_factory.mktemp("cases")
    for seed, group in ((1, "NOR"), (2, "DCM"), (3, "NOR")):
        write_acdc_patient(folder / f"patient{seed:03d}", seed=seed, group=group)
    return folder


@pytest.fixture(scope="module")
def a_trained_bundle(a_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model that says that it was trained on patient001, and validated on the two others."""
    folder = tmp_path_factory.mktemp("trained") / "honest"
    shutil.copytree(a_bundle.folder, folder)
    bundle = Bundle.read(folder)
    seen = {"patients_trained_on": ["patient001"], "patients_validated_on": ["patient002", "patient003"]}
    add_training_facts(bundle, {**seen, "keep": "last"})
    return bundle


def run(dataset: Path, output: Path, *options: object) -> int:
    return main(["evaluate", "--dataset", str(dataset), "--output", str(output), *map(str, options)])


@pytest.fixture(scope="module")
def evaluation(dataset: Path, a_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command leaves of six cases, by a model whose weights are drawn by chance."""
    folder = tmp_path_factory.mktemp("evaluation")
    assert run(dataset, folder, "--model", a_bundle.folder) == 0
    return folder


@pytest.fixture(scope="module")
def summary(evaluation: Path) -> dict[str, Any]:
    return json.loads((evaluation / "summary.json").read_text(encoding="utf-8"))


def write_predictions(folder: Path, cases: list[Case], shift: int = 1, convention: dict[str, int] = ACDC) -> Path:
    """The reference labels moved by some voxels, as somebody else may have drawn them."""
    folder.mkdir(exist_ok=True)
    for case in cases:
        image, labels = case.read()
        moved = np.roll(relabel(labels, case.convention, convention), shift, axis=0)
        write_labels(folder / f"{case.name}.nii.gz", moved, image, convention)
    return folder


class TestTheTable:
    def test_has_a_row_for_each_case_and_structure(self, evaluation):
        lines = (evaluation / "metrics.csv").read_text(encoding="utf-8").splitlines()
        assert lines[0] == COLUMNS
        rows = read_metrics(evaluation / "metrics.csv")
        wanted = [(f"patient{n:03d}_{phase}", name) for n in (1, 2, 3) for phase in ("ED", "ES") for name in CANONICAL]
        assert [(row.case, row.structure) for row in rows] == wanted
        assert {(row.patient, row.group) for row in rows} == {
            *(("patient001", "NOR"), ("patient002", "DCM"), ("patient003", "NOR"))
        }

    def test_shows_people_each_case_the_worst_first(self, evaluation):
        rows = read_cases(evaluation / "metrics.csv")
        assert len(rows) == 6
        assert [row.mean for row in rows] == sorted(row.mean for row in rows)

    def test_says_what_the_files_beside_it_hold(self, evaluation, a_bundle):
        for row in read_cases(evaluation / "metrics.csv"):
            image, reference, labels = (read_image(evaluation / name / f"{row.case}.nii.gz") for name in FOLDERS)
            assert image.array.shape == reference.array.shape == labels.array.shape
            np.testing.assert_allclose(reference.affine, image.affine, atol=1e-4)
            assert row.dice == pytest.approx(dice_scores(labels.array, reference.array, a_bundle.convention), abs=1e-6)

    def test_has_the_volumes_in_milliliters(self, evaluation):
        voxel = 3.0 * 3.0 * 10.0 / 1000
        for row in read_metrics(evaluation / "metrics.csv"):
            labels, reference = (
                read_image(evaluation / name / f"{row.case}.nii.gz").array == CANONICAL[row.structure]
                for name in ("predictions", "references")
            )
            assert row.volume_ml == pytest.approx(labels.sum() * voxel, abs=1e-3)
            assert row.reference_ml == pytest.approx(reference.sum() * voxel, abs=1e-3)

    def test_of_volumes_has_what_follows_from_both_phases(self, evaluation):
        ml = {(row.patient, row.phase, row.structure): row for row in read_metrics(evaluation / "metrics.csv")}
        rows = {(row.patient, row.measure): row for row in read_volumes(evaluation / "volumes.csv")}
        assert len(rows) == 3 * 9
        edv, esv = (ml["patient002", phase, "RV"].reference_ml for phase in ("ED", "ES"))
        assert rows["patient002", "RVEDV"].reference == pytest.approx(edv, abs=1e-3)
        assert rows["patient002", "RVSV"].reference == pytest.approx(edv - esv, abs=1e-3)
        assert rows["patient002", "RVEF"].reference == pytest.approx(100 * (edv - esv) / edv, abs=1e-3)
        mass = rows["patient002", "LVM"]
        assert (mass.unit, mass.group) == ("g", "DCM")
        assert mass.value == pytest.approx(1.05 * ml["patient002", "ED", "MYO"].volume_ml, abs=1e-3)


class TestTheSummary:
    def test_counts_a_patient_once(self, summary, evaluation):
        rows = [row for row in read_metrics(evaluation / "metrics.csv") if row.structure == "LV"]
        of_patient = [np.mean([row.dice for row in rows if row.patient == f"patient00{n}"]) for n in (1, 2, 3)]
        found = summary["scores"]["all"]["LV"]["dice"]
        assert found["count"] == summary["patients"] == 3
        assert summary["cases"] == 6
        assert found["mean"] == pytest.approx(np.mean(of_patient), abs=1e-6)
        assert found["sd"] == pytest.approx(np.std(of_patient, ddof=1), abs=1e-6)
        assert found["median"] == pytest.approx(np.median(of_patient), abs=1e-6)

    def test_tells_phases_and_groups_apart(self, summary, evaluation):
        rows = read_metrics(evaluation / "metrics.csv")
        es = [row.hd95_mm for row in rows if row.phase == "ES" and row.structure == "RV"]
        assert summary["scores"]["ES"]["RV"]["hd95_mm"]["mean"] == pytest.approx(np.mean(es), abs=1e-3)
        dcm = [row.recall for row in rows if row.group == "DCM" and row.structure == "MYO"]
        assert summary["groups"]["DCM"]["MYO"]["recall"]["mean"] == pytest.approx(np.mean(dcm), abs=1e-5)
        assert set(summary["groups"]) == set(summary["agreement_by_group"]) == {"DCM", "NOR"}
        assert summary["vendors"] == {}

    def test_has_the_voxels_of_every_class(self, summary, evaluation):
        counts = np.array(summary["confusion"]["counts"])
        references = [read_image(path).array for path in (evaluation / "references").iterdir()]
        assert summary["confusion"]["labels"] == ["background", "LV", "MYO", "RV"]
        wanted = [sum(np.count_nonzero(labels == k) for labels in references) for k in range(4)]
        assert counts.sum(axis=1).tolist() == wanted
        iou = [counts[k, k] / (counts[k].sum() + counts[:, k].sum() - counts[k, k]) for k in range(4)]
        assert summary["mean_iou"] == pytest.approx(np.mean(iou))

    def test_has_a_curve_of_each_structure(self, summary):
        assert set(summary["roc"]) == {"LV", "MYO", "RV"}
        for curve in summary["roc"].values():
            assert 0 < curve["auc"] < 1
            assert len(curve["fpr"]) == len(curve["tpr"]) <= 200

    def test_names_the_best_and_the_worst_cases(self, summary, evaluation):
        names = [row.case for row in read_cases(evaluation / "metrics.csv")]
        assert summary["worst"] == names[:5]
        assert summary["best"] == names[::-1][:5]

    def test_agrees_with_itself_on_agreement(self, summary, evaluation):
        pairs = [r for r in read_volumes(evaluation / "volumes.csv") if r.measure == "LVEDV"]
        differences = np.array([row.value - row.reference for row in pairs])
        found = summary["agreement"]["LVEDV"]
        assert (found["unit"], found["n"], found["missing"]) == ("mL", 3, 0)
        assert found["mae"] == pytest.approx(np.abs(differences).mean(), abs=1e-3)
        assert found["bias"] == pytest.approx(differences.mean(), abs=1e-3)
        half = 1.96 * differences.std(ddof=1)
        assert found["limits"] == pytest.approx([differences.mean() - half, differences.mean() + half], abs=1e-3)

    def test_says_that_nothing_is_known_of_the_training(self, summary):
        assert any("does not say which patients it was trained on" in line for line in summary["warnings"])

    def test_can_be_made_again_by_its_command_and_names_no_place(self, summary, dataset):
        assert summary["command"] == f"cardiacseg evaluate --dataset {dataset.name} --model by-chance --output OUT"
        assert str(dataset.parent) not in json.dumps(summary)

    def test_records_what_made_the_labels(self, summary, a_bundle):
        made = summary["provenance"]
        assert (made["model"], made["sha256"], made["version"]) == ("by-chance", a_bundle.hash, summary["version"])
        assert made["runtime"].startswith("torch ") and made["threads"] >= 1
        assert made["seconds"] > 0


class TestTheCommand:
    def test_reports_the_means_and_where_the_report_is(self, dataset, summary, a_bundle, tmp_path, capsys):
        run(dataset, tmp_path, "--model", a_bundle.folder, "--events")
        (tmp_path / "events.jsonl").write_text(capsys.readouterr().out)
        events, _ = read_events(tmp_path / "events.jsonl")
        fractions = [event["fraction"] for event in events if event["event"] == "progress"]
        assert fractions == pytest.approx([k / 6 for k in range(1, 7)])
        result = events[-1]
        assert (result["event"], result["cases"]) == ("result", 6)
        wanted = {name: summary["scores"]["ED"][name]["dice"]["mean"] for name in ("LV", "MYO", "RV", "mean")}
        assert result["dice"]["ED"] == pytest.approx(wanted)
        assert Path(result["report"]).stat().st_size > 10_000
        assert result["warnings"] == summary["warnings"]

    def test_refuses_a_model_of_other_structures_and_says_what_can_be_scored(self, dataset, tmp_path, capsys):
        assert run(dataset, tmp_path / "out", "--model", "echo-2ch") == 1
        assert "LA; score what is labeled by --structures (LV, MYO, RV is)" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_warns_of_patients_that_the_model_has_seen(self, dataset, a_trained_bundle, tmp_path, capsys):
        run(dataset, tmp_path, "--model", a_trained_bundle.folder)
        warning = "honest WAS TRAINED ON 1 of these 3 patients (by name: patient001)"
        printed = capsys.readouterr()
        assert warning in printed.err
        assert "| all | " in printed.out
        assert printed.out.splitlines()[-1] == str(tmp_path / "report.html")
        summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
        assert summary["trained_on"] == ["patient001"]
        assert warning in summary["warnings"][0]
        assert "WAS TRAINED ON" in (tmp_path / "report.html").read_text(encoding="utf-8")

    def test_leaves_them_out_when_asked(self, dataset, a_trained_bundle, tmp_path, capsys):
        assert run(dataset, tmp_path, "--model", a_trained_bundle.folder, "--held-out") == 0
        assert {row.patient for row in read_metrics(tmp_path / "metrics.csv")} == {"patient002", "patient003"}
        assert "WARNING" not in capsys.readouterr().err

    def test_scores_some_structures_alone(self, dataset, a_bundle, tmp_path):
        assert run(dataset, tmp_path, "--model", a_bundle.folder, "--structures", "RV", "--part", "val", *FOLD) == 0
        assert {row.structure for row in read_metrics(tmp_path / "metrics.csv")} == {"RV"}
        for name in ("references", "predictions"):
            for path in (tmp_path / name).iterdir():
                assert set(np.unique(read_image(path).array)) <= {0, 3}


FOLD = ("--split", "acdc", "--fold", "4")  # holds out patient001 and patient002


class TestWhichCases:
    @pytest.fixture
    def patients(self, dataset):
        """The patients that some options choose."""

        def of(**options: Any) -> list[str]:
            return sorted({case.patient for case in select_cases(find_cases(dataset), dataset, "acdc", **options)})

        return of

    def test_are_those_of_a_fold_that_ships(self, patients):
        assert patients(split="acdc", fold=4) == ["patient001", "patient002"]
        assert patients(split="acdc", fold=4, part="train") == ["patient003"]
        assert patients() == ["patient001", "patient002", "patient003"]

    def test_are_those_of_a_list_or_of_a_run(self, patients, tmp_path):
        (tmp_path / "train.txt").write_text("patient001\npatient003\n")
        (tmp_path / "test.txt").write_text("patient002\n")
        assert patients(split=str(tmp_path), part="test") == ["patient002"]
        (tmp_path / "split.json").write_text(json.dumps({"train": ["patient002"], "val": ["patient003"]}))
        assert patients(split=str(tmp_path / "split.json"), part="val") == ["patient003"]

    def test_are_those_of_a_part_that_the_data_set_makes(self, tmp_path):
        for number, part in enumerate(("train", "train", "test")):
            (tmp_path / part).mkdir(exist_ok=True)
            names = tmp_path / part / f"cmr{number}.png", tmp_path / part / f"cmr{number}_mask.png"
            write_picture_pair(*names, seed=number)
        cases = find_cases(tmp_path, labels=CANONICAL)
        assert [case.name for case in select_cases(cases, tmp_path, "pairs", part="test")] == ["cmr2"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--split", "acdc"), "say which is held out by --fold"),
            (("--split", "acdc", "--fold", "5"), "choose 0 to 4"),
            (("--split", "acdc", "--fold", "0"), "no case of"),
            (("--split", "nowhere"), "no split that ships (acdc)"),
            (("--part", "test"), "makes no parts of its own"),
            (("--fold", "0"), "brings no folds of its own"),
            (("--held-out", "--predictions", "."), "--held-out asks the metadata of a model"),
        ],
    )
    def test_that_are_not_there_are_said(self, dataset, tmp_path, capsys, options, message):
        assert run(dataset, tmp_path / "out", *options) == 1
        assert message in capsys.readouterr().err


class TestLabelsOfSomebodyElse:
    @pytest.fixture
    def compare(self, dataset, tmp_path):
        """The rows of labels in a folder, and what is said of them; without the report, which takes longer."""

        def of(folder: Path, convention: dict[str, int] | None = None) -> tuple[list[StructureRow], list[str]]:
            cases = find_cases(dataset)
            summary = evaluate_cases(FolderSource(folder, cases, convention), cases, tmp_path / "out", Listener())
            return read_metrics(tmp_path / "out" / "metrics.csv"), summary["warnings"]

        return of

    def test_are_compared_without_torch(self, dataset, tmp_path):
        predictions = write_predictions(tmp_path / "theirs", find_cases(dataset))
        script = "import sys; sys.modules['torch'] = None; from CardiacSegLib.cli import main; sys.exit(main())"
        command = ["evaluate", "--dataset", str(dataset), "--predictions", str(predictions)]
        result = subprocess.run(
            [sys.executable, "-c", script, *command, "--output", str(tmp_path / "out")],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert result.returncode == 0, result.stderr
        summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
        assert (summary["model"], summary["roc"], summary["warnings"]) == ("theirs", {}, [])
        assert summary["scores"]["all"]["mean"]["hd_mm"]["mean"] == 3.0
        assert summary["agreement"]["RVEF"]["mae"] == 0

    def test_may_have_other_numbers_names_and_folders(self, dataset, compare, tmp_path):
        cases, numbers = find_cases(dataset), {"MYO": 5, "LV": 9, "RV": 2}
        flat = write_predictions(tmp_path / "flat", cases, shift=0, convention=numbers)
        nested = tmp_path / "nested"
        for case in cases:
            image = case.image.name[: -len(".nii.gz")]
            (nested / case.patient).mkdir(parents=True, exist_ok=True)
            shutil.copy(flat / f"{case.name}.nii.gz", nested / case.patient / f"{image}_labels.nii.gz")
        rows, _ = compare(nested, numbers)
        assert {row.dice for row in rows} == {1.0}

    def test_that_are_missing_are_named(self, dataset, tmp_path, capsys):
        predictions = write_predictions(tmp_path / "theirs", find_cases(dataset)[:4])
        assert run(dataset, tmp_path / "out", "--predictions", predictions) == 1
        error = capsys.readouterr().err
        assert "no labels for 2 of 6 cases (patient003_ED, patient003_ES)" in error
        assert "patient003_ED.nii.gz or patient003_frame01.nii.gz" in error

    def test_that_do_not_fit_are_named(self, dataset, tmp_path, capsys):
        cases = find_cases(dataset)
        predictions = write_predictions(tmp_path / "theirs", cases)
        wrong = ("--prediction-labels", "1=LV,2=MYO")
        assert run(dataset, tmp_path / "out", "--predictions", predictions, *wrong) == 1
        assert "no case has labels" not in (error := capsys.readouterr().err)
        assert "patient001_ED.nii.gz: label values [3]" in error and "--prediction-labels" in error
        image, labels = cases[1].read()
        write_labels(predictions / "patient001_ES.nii.gz", labels[:-1], Image(image.array[:-1], image.affine), ACDC)
        assert run(dataset, tmp_path / "out", "--predictions", predictions) == 1
        assert "patient001_ES.nii.gz: its shape (63, 64, 4)" in capsys.readouterr().err
        shutil.copy(predictions / "patient002_ED.nii.gz", predictions / "patient002_ED_seg.nii.gz")
        assert run(dataset, tmp_path / "out", "--predictions", predictions) == 1
        assert "is of patient002_ED, too" in capsys.readouterr().err

    def test_that_lie_elsewhere_are_compared_with_a_warning(self, dataset, compare, tmp_path):
        cases = find_cases(dataset)
        predictions = write_predictions(tmp_path / "theirs", cases, shift=0)
        for case in cases:
            _, labels = case.read()
            write_image(predictions / f"{case.name}.nii.gz", Image(labels, np.eye(4)))
        rows, warnings = compare(predictions)
        assert warnings[0].startswith("6 files of labels lie elsewhere in space")
        assert {row.dice for row in rows} == {1.0}

    def test_of_a_cine_are_taken_frame_by_frame(self, dataset, tmp_path):
        """One file for both phases, as M&Ms has its reference."""
        ed, es = (case.read() for case in find_cases(dataset)[:2])
        cine = Image(np.stack([ed[0].array, es[0].array], axis=-1), ed[0].affine)
        labels = np.stack([ed[1], es[1]], axis=-1)
        write_image(tmp_path / "P1_sa.nii.gz", cine)
        write_labels(tmp_path / "P1_sa_gt.nii.gz", labels, cine, ACDC)
        (tmp_path / "theirs").mkdir()
        write_labels(tmp_path / "theirs" / "P1_sa.nii.gz", np.roll(labels, 1, 0), cine, ACDC)
        files = tmp_path / "P1_sa.nii.gz", tmp_path / "P1_sa_gt.nii.gz"
        cases = [Case("P1", phase, *files, ACDC, frame=frame) for frame, phase in enumerate(("ED", "ES"))]
        summary = evaluate_cases(FolderSource(tmp_path / "theirs", cases), cases, tmp_path / "out", Listener())
        assert summary["scores"]["all"]["mean"]["hd_mm"]["mean"] == 3.0

    def test_cannot_be_named_without_their_folder(self, dataset, tmp_path, capsys):
        assert run(dataset, tmp_path / "out", "--prediction-labels", "1=LV") == 1
        assert "name that folder" in capsys.readouterr().err


class _Fixed:
    """A source that gives each case what it is told."""

    name = "fixed"
    convention = CANONICAL

    def __init__(self, change: Any) -> None:
        self._change = change

    def label(self, case: Case, image: Image) -> LabeledCase:
        labels = relabel(case.read()[1], case.convention, CANONICAL)
        return LabeledCase(self._change(case, labels))

    def check(self, cases: list[Case]) -> None:
        pass

    def warnings(self) -> list[str]:
        return []


class TestWhatIsEmpty:
    @pytest.fixture
    def without_rv(self, dataset, tmp_path) -> tuple[dict[str, Any], Path]:
        """No right ventricle was found in one case."""

        def change(case: Case, labels: np.ndarray) -> np.ndarray:
            return np.where(labels == 3, 0, labels) if case.name == "patient002_ES" else labels

        return evaluate_cases(_Fixed(change), find_cases(dataset), tmp_path, Listener()), tmp_path

    def test_scores_zero_and_has_no_distance(self, without_rv):
        summary, folder = without_rv
        lines = [line for line in rows_of(folder / "metrics.csv") if line["structure"] == "RV"]
        missed = next(line for line in lines if line["case"] == "patient002_ES")
        assert [missed[name] for name in ("dice", "hd_mm", "hd95_mm", "asd_mm", "volume_ml")] == [
            *("0.000000", "", "", "", "0.0000")
        ]
        scores = summary["scores"]["ES"]["RV"]
        assert scores["dice"]["count"] == 3
        assert scores["hd_mm"] == {"mean": 0.0, "sd": 0.0, "median": 0.0, "count": 2}

    def test_is_no_volume(self, without_rv):
        summary, folder = without_rv
        rows = {row.measure: row for row in read_volumes(folder / "volumes.csv") if row.patient == "patient002"}
        assert rows["RVEDV"].value == rows["RVEDV"].reference
        for measure in ("RVESV", "RVSV", "RVEF"):
            assert rows[measure].value is None
            assert rows[measure].reference > 0
        found = summary["agreement"]["RVEF"]
        assert (found["n"], found["missing"], found["mae"]) == (2, 1, 0.0)

    def test_is_named(self, without_rv):
        summary, _ = without_rv
        assert summary["empty"] == {"RV": {"absent": [], "missed": ["patient002_ES"], "invented": []}}
        assert summary["warnings"][0].startswith("RV was not found at all in 1 cases (patient002_ES)")


class TestImagesOfOneSlice:
    def test_have_outlines_and_no_volumes(self, tmp_path):
        for number in range(3):
            write_picture_pair(tmp_path / f"cmr{number}.png", tmp_path / f"cmr{number}_mask.png", seed=number)
        cases = find_cases(tmp_path, labels=CANONICAL)
        source = _Fixed(lambda case, labels: np.roll(labels, 2, axis=0))
        summary = evaluate_cases(source, cases, tmp_path / "out", Listener())
        assert summary["length_unit"] == "pixels"
        assert "3 images say no spacing (cmr0 first): their distances count pixels" in summary["warnings"][0]
        assert summary["scores"]["all"]["LV"]["hd_mm"]["mean"] == 2.0
        assert (summary["agreement"], read_volumes(tmp_path / "out" / "volumes.csv")) == ({}, [])
        assert {row.volume_ml for row in read_metrics(tmp_path / "out" / "metrics.csv")} == {None}


def test_a_patient_with_one_phase_has_the_volumes_of_that(dataset, tmp_path):
    cases = [case for case in find_cases(dataset) if case.name in ("patient001_ED", "patient002_ES")]
    evaluate_cases(_Fixed(lambda case, labels: labels), cases, tmp_path, Listener())
    rows = read_volumes(tmp_path / "volumes.csv")
    assert [(row.patient, row.measure) for row in rows] == [
        *(("patient001", "LVEDV"), ("patient001", "LVM"), ("patient001", "RVEDV")),
        *(("patient002", "LVESV"), ("patient002", "RVESV")),
    ]


def test_an_evaluation_that_fails_leaves_no_tables_of_an_earlier_one(dataset, tmp_path):
    cases = find_cases(dataset)
    evaluate_cases(_Fixed(lambda case, labels: labels), cases, tmp_path, Listener())

    def fail(case: Case, labels: np.ndarray) -> np.ndarray:
        raise CardiacSegError("it was killed")

    with pytest.raises(CardiacSegError, match="killed"):
        evaluate_cases(_Fixed(fail), cases, tmp_path, Listener())
    assert not list(tmp_path.glob("*.csv")) + list(tmp_path.glob("*.json"))


def test_another_table_is_refused(tmp_path):
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CardiacSegError, match="evaluate again"):
        read_cases(tmp_path / "metrics.csv")
