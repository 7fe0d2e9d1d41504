"""Two models on the same cases: paired differences, how sure they are, and what a model has seen before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from CardiacSegLib.anatomy import CANONICAL, relabel
from CardiacSegLib.bundles import Bundle, add_training_facts
from CardiacSegLib.cli import main
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.layouts import find_cases
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.comparison import bootstrap_interval, compare, comparison_text
from CardiacSegLib.evaluation.provenance import held_out_cases, seen_patients, seen_warnings
from CardiacSegLib.evaluation.sources import LabeledCase
from CardiacSegLib.evaluation.study import evaluate_cases
from CardiacSegLib.evaluation.tables import read_metrics, read_volumes
from CardiacSegLib.images import Image
from listening import Listener
from results_read import rows_of


class _Moved:
    """The reference labels, moved by some voxels that depend on the case."""

    convention = CANONICAL

    def __init__(self, name: str, shift: Callable[[Case], int]) -> None:
        self.name, self._shift = name, shift

    def label(self, case: Case, image: Image) -> LabeledCase:
        return LabeledCase(np.roll(relabel(case.read()[1], case.convention, CANONICAL), self._shift(case), axis=0))

    def check(self, cases: list[Case]) -> None:
        pass

    def warnings(self) -> list[str]:
        return [f"{self.name} is made by code"]


def number_of(case: Case) -> int:
    return int(case.patient[-2:])


@pytest.fixture(scope="module")
def cases(an_acdc_folder: Path) -> list[Case]:
    """Of ten patients."""
    return find_cases(an_acdc_folder)


@pytest.fixture(scope="module")
def folder(cases: list[Case], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three evaluations: ``plain`` is off by one voxel, ``worse`` by two or three, ``other`` by one or so."""
    output = tmp_path_factory.mktemp("comparison")
    shifts = {"plain": lambda case: 1, "worse": lambda case: 2 + number_of(case) % 2}
    shifts["other"] = lambda case: number_of(case) % 3
    for name, shift in shifts.items():
        kept = cases[:-2] if name == "other" else cases
        evaluate_cases(_Moved(name, shift), kept, output / name, Listener())
    return output


def differences(comparison: dict) -> dict[tuple[str, str, str, str], dict]:
    return {(row["model"], row["phase"], row["structure"], row["metric"]): row for row in comparison["differences"]}


class TestAComparison:
    def test_pairs_the_patients(self, folder):
        found = differences(compare(folder, ["plain", "worse"]))["worse", "all", "LV", "dice"]
        tables = [read_metrics(folder / name / "metrics.csv") for name in ("plain", "worse")]
        patients = sorted({row.patient for row in tables[0]})
        ours, theirs = (
            [np.mean([r.dice for r in rows if r.patient == p and r.structure == "LV"]) for p in patients]
            for rows in tables
        )
        assert (found["baseline"], found["patients"]) == ("plain", 10)
        assert found["baseline_mean"] == pytest.approx(np.mean(ours))
        assert found["model_mean"] == pytest.approx(np.mean(theirs))
        assert found["difference"] == pytest.approx(np.mean(theirs) - np.mean(ours))
        assert found["low"] < found["difference"] < found["high"] < 0
        assert found["better"] == "baseline"

    def test_knows_that_less_distance_is_better(self, folder):
        found = differences(compare(folder, ["worse", "plain"]))
        assert found["plain", "ED", "RV", "hd95_mm"]["difference"] < 0
        assert found["plain", "ED", "RV", "hd95_mm"]["better"] == "model"
        assert found["plain", "ED", "mean", "dice"]["better"] == "model"

    def test_does_not_call_chance_a_difference(self, folder):
        found = differences(compare(folder, ["plain", "other"]))["other", "all", "mean", "hd_mm"]
        assert found["low"] < 0 < found["high"]
        assert found["better"] == ""

    def test_is_of_the_cases_that_both_have_and_says_so(self, folder):
        comparison = compare(folder, ["plain", "other"])
        assert (comparison["cases"], comparison["patients"]) == (18, 9)
        assert comparison["warnings"] == [
            *("plain is made by code", "other is made by code"),
            "2 cases were not evaluated by all of them and are left out of the comparison",
        ]

    def test_of_volumes_is_of_how_far_they_are_off(self, folder, cases):
        class Smaller(_Moved):
            def label(self, case: Case, image: Image) -> LabeledCase:
                labels = relabel(case.read()[1], case.convention, CANONICAL)
                return LabeledCase(np.where((labels == 1) & (np.arange(4) == 1), 0, labels))

        evaluate_cases(Smaller("smaller", number_of), cases, folder / "smaller", Listener())
        found = differences(compare(folder, ["plain", "smaller"]))["smaller", "", "LVEDV", "absolute_error"]
        rows = [row for row in read_volumes(folder / "smaller" / "volumes.csv") if row.measure == "LVEDV"]
        assert found["difference"] == pytest.approx(np.mean([row.reference - row.value for row in rows]))
        assert found["difference"] > 0
        assert found["better"] == "baseline"

    def test_is_the_same_each_time_and_in_both_files(self, folder):
        first = compare(folder, ["plain", "worse", "other"])
        written = (folder / "comparison.json").read_bytes()
        assert json.loads(written) == json.loads(json.dumps(first))
        compare(folder, ["plain", "worse", "other"])
        assert (folder / "comparison.json").read_bytes() == written
        lines = rows_of(folder / "comparison.csv")
        assert len(lines) == len(first["differences"])
        assert float(lines[5]["low"]) == pytest.approx(first["differences"][5]["low"], abs=1e-6)
        assert {row["model"] for row in lines} == {"worse", "other"}
        assert "| worse - plain | mean dice | 9 |" in comparison_text(first)

    def test_needs_evaluations_of_the_same_cases(self, folder, cases):
        evaluate_cases(_Moved("apart", number_of), cases[-2:], folder / "apart", Listener())
        with pytest.raises(CardiacSegError, match="no case in common"):
            compare(folder, ["other", "apart"])
        with pytest.raises(CardiacSegError, match=r"nothing.summary\.json: no summary"):
            compare(folder, ["plain", "nothing"])


class TestAnInterval:
    def test_is_that_of_scipy_on_the_pairs(self):
        chance = np.random.default_rng(3)
        baseline = chance.normal(0.9, 0.03, 40)
        model = baseline + chance.normal(0.01, 0.02, 40)
        low, high = bootstrap_interval(model - baseline)
        paired = stats.bootstrap(
            (model, baseline),
            lambda ours, theirs, axis=-1: np.mean(ours - theirs, axis=axis),
            paired=True,
            rng=np.random.default_rng(0),
        ).confidence_interval
        assert (low, high) == pytest.approx((paired.low, paired.high), abs=5e-4)

    def test_holds_the_truth_about_as_often_as_it_says(self):
        chance = np.random.default_rng(5)
        intervals = [bootstrap_interval(chance.normal(1.0, 2.0, 30)) for _ in range(60)]
        assert 52 <= sum(low < 1.0 < high for low, high in intervals) <= 60

    def test_of_values_that_do_not_vary_is_that_value(self):
        assert bootstrap_interval(np.full(8, 0.25)) == (0.25, 0.25)
        assert bootstrap_interval(np.array([0.25])) is None
        low, high = bootstrap_interval(np.array([0.0] * 9 + [1.0]))
        assert 0 <= low <= 0.1 <= high <= 1


class TestTheCommand:
    def test_gives_each_model_a_folder_and_a_comparison(self, an_acdc_folder, a_bundle, tmp_path, capsys):
        shutil.copytree(an_acdc_folder / "patient001", tmp_path / "data" / "patient001")
        shutil.copytree(an_acdc_folder / "patient002", tmp_path / "data" / "patient002")
        for run in ("first", "second"):
            shutil.copytree(a_bundle.folder, tmp_path / run / "bundle")
        models = ["--model", str(tmp_path / "first" / "bundle"), str(tmp_path / "second" / "bundle")]
        output = tmp_path / "out"
        assert main(["evaluate", "--dataset", str(tmp_path / "data"), *models, "--output", str(output)]) == 0
        comparison = json.loads((output / "comparison.json").read_text(encoding="utf-8"))
        assert comparison["models"] == ["by-chance", "by-chance-2"]
        assert {row["difference"] for row in comparison["differences"]} == {0.0}
        for name in comparison["models"]:
            assert (output / name / "report.html").is_file()
        page = capsys.readouterr().out.splitlines()[-1]
        assert Path(page).parent == output
        assert "by-chance-2" in Path(page).read_text(encoding="utf-8")


FACTS = {
    "patients_trained_on": ["patient001"],
    "patients_validated_on": ["patient004", "patient005"],
    "keep": "last",
    "started_from": {"patients_trained_on": ["patient002"], "started_from": None},
}
PATIENTS = {f"patient00{number}" for number in range(1, 7)}


class TestWhatAModelHasSeen:
    def test_is_what_it_and_its_start_were_trained_on(self):
        assert seen_patients(FACTS, PATIENTS) == ["patient001", "patient002"]
        assert seen_patients(FACTS, {"patient003"}) == []

    def test_is_also_who_is_the_same_person(self):
        assert seen_patients(FACTS, PATIENTS, [("patient002", "patient006")]) == [
            *("patient001", "patient002", "patient006")
        ]

    def test_is_said_with_the_names(self):
        (line,) = seen_warnings("mine", FACTS, PATIENTS)
        assert line.startswith("mine WAS TRAINED ON 2 of these 6 patients (by name: patient001, patient002)")
        assert seen_warnings("mine", FACTS, {"patient004"}) == []

    def test_includes_whom_its_weights_were_chosen_by(self):
        (line,) = seen_warnings("mine", {**FACTS, "keep": "best"}, {"patient004"})
        assert "chosen by its scores on 1 of these 1 patients (patient004)" in line

    @pytest.fixture
    def bundles(self, a_bundle, tmp_path) -> Callable[..., Bundle]:
        def make(name: str, **facts: object) -> Bundle:
            shutil.copytree(a_bundle.folder, tmp_path / name)
            bundle = Bundle.read(tmp_path / name)
            add_training_facts(bundle, facts)
            return bundle

        return make

    def test_leaves_what_all_models_held_out(self, bundles, cases):
        one = bundles("one", **FACTS)
        two = bundles("two", patients_trained_on=["patient004"], patients_validated_on=["patient001", "patient005"])
        assert {case.patient for case in held_out_cases([one], cases)} == {"patient004", "patient005"}
        assert {case.patient for case in held_out_cases([one, two], cases)} == {"patient005"}
        three = bundles("three", patients_trained_on=["patient005"], patients_validated_on=["patient004"])
        with pytest.raises(CardiacSegError, match="held out from the training of one and two and three"):
            held_out_cases([one, two, three], cases)

    def test_has_to_be_said_by_the_model(self, a_bundle, cases):
        with pytest.raises(CardiacSegError, match="does not say which patients it was validated on"):
            held_out_cases([a_bundle], cases)
