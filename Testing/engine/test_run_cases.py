"""Which cases a run trains on and which it validates on, and what it has reached."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.datasets import layouts
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.training.cases import find_run_cases, model_convention, write_division
from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.crossvalidation import cross_validate
from CardiacSegLib.training.history import History
from CardiacSegLib.training.validation import Validation
from listening import Listener


def some_cases(count: int, structures: str = "LV MYO RV", part: str = "", first: int = 1) -> list[Case]:
    convention = {name: number for number, name in enumerate(structures.split(), 1)}
    return [
        Case(f"p{number:02d}", phase, Path("i.nii"), Path("l.nii"), convention, "NOR", part=part)
        for number in range(first, first + count)
        for phase in ("ED", "ES")
    ]


@pytest.fixture
def a_data_set(monkeypatch: pytest.MonkeyPatch):
    """Makes the data set hold the cases that a test gives it."""

    def hold(cases: list[Case]) -> None:
        monkeypatch.setattr(layouts, "recognize", lambda folder: "acdc")
        monkeypatch.setattr(layouts, "find_cases", lambda folder, layout, labels: cases)

    return hold


def patients(cases: list[Case]) -> set[str]:
    return {case.patient for case in cases}


class TestTheStructuresOfARun:
    def test_are_all_that_the_cases_have_in_the_projects_order(self, a_data_set, tmp_path):
        a_data_set(some_cases(10, "RV MYO LV"))
        cases = find_run_cases(TrainingConfig("data"), tmp_path)
        assert dict(cases.convention) == CANONICAL
        assert cases.left_out == 0

    def test_leave_out_the_cases_that_lack_one(self, a_data_set, tmp_path):
        a_data_set(some_cases(10, "LV MYO") + some_cases(10, "LV", first=11))
        cases = find_run_cases(TrainingConfig("data"), tmp_path)
        assert dict(cases.convention) == {"LV": 1, "MYO": 2}
        assert cases.left_out == 20
        assert patients(cases.training) | patients(cases.validation) == {f"p{number:02d}" for number in range(1, 11)}

    def test_may_be_chosen(self, a_data_set, tmp_path):
        a_data_set(some_cases(10, "LV MYO") + some_cases(10, "LV", first=11))
        cases = find_run_cases(TrainingConfig("data", structures=("LV",)), tmp_path)
        assert dict(cases.convention) == {"LV": 1}
        assert cases.left_out == 0

    def test_that_no_case_has_are_named(self, a_data_set, tmp_path):
        a_data_set(some_cases(10, "LV MYO"))
        with pytest.raises(CardiacSegError, match="no case has labels for LV, LA; choose other --structures"):
            find_run_cases(TrainingConfig("data", structures=("LA", "LV")), tmp_path)

    def test_are_numbered_from_one(self):
        assert model_convention({"LA", "LV", "MYO"}) == {"LV": 1, "MYO": 2, "LA": 3}


def test_a_cross_validation_says_where_all_cases_are_kept_for_a_test(a_data_set, tmp_path):
    a_data_set(some_cases(5, part="test"))
    with pytest.raises(CardiacSegError, match="data: keeps all of its cases for a test; name other cases"):
        cross_validate(TrainingConfig("data"), tmp_path / "out", Listener())
    assert not (tmp_path / "out").exists()


class TestTheSidesOfARun:
    def test_are_folds_by_patient(self, a_data_set, tmp_path):
        a_data_set(some_cases(10))
        held_out = []
        for fold in range(5):
            cases = find_run_cases(TrainingConfig("data", fold=fold), tmp_path)
            assert not patients(cases.training) & patients(cases.validation)
            held_out += sorted(patients(cases.validation))
        assert sorted(held_out) == [f"p{number:02d}" for number in range(1, 11)]

    def test_are_the_parts_of_the_layout_where_it_has_them(self, a_data_set, tmp_path):
        parts = {"train": some_cases(6, part="train"), "val": some_cases(2, part="val", first=7)}
        a_data_set([*parts["train"], *parts["val"], *some_cases(2, part="test", first=9)])
        cases = find_run_cases(TrainingConfig("data"), tmp_path)
        assert (cases.training, cases.validation) == (parts["train"], parts["val"])

    def test_never_touch_what_the_layout_keeps_for_a_test(self, a_data_set, tmp_path):
        a_data_set([*some_cases(8), *some_cases(4, part="test", first=9)])
        cases = find_run_cases(TrainingConfig("data", folds=4), tmp_path)
        assert patients(cases.training) | patients(cases.validation) == {f"p{number:02d}" for number in range(1, 9)}

    def test_are_the_folds_of_the_layout_where_it_has_them(self, a_data_set, tmp_path, monkeypatch):
        a_data_set(some_cases(6))
        monkeypatch.setattr(layouts, "own_folds", lambda folder, layout: [["p03"], ["p05", "p06"]])
        held_out = [patients(find_run_cases(TrainingConfig("data", fold=fold), tmp_path).validation) for fold in (0, 1)]
        assert held_out == [{"p03"}, {"p05", "p06"}]

    def test_may_be_shares_of_the_patients(self, a_data_set, tmp_path):
        a_data_set(some_cases(20))
        cases = find_run_cases(TrainingConfig("data", fractions=(0.5, 0.25, 0.25)), tmp_path)
        assert (len(patients(cases.training)), len(patients(cases.validation))) == (10, 5)
        assert not patients(cases.training) & patients(cases.validation)

    def test_may_be_lists_of_patients(self, a_data_set, tmp_path):
        a_data_set(some_cases(5))
        (tmp_path / "train.txt").write_text("p01\np02\n", encoding="utf-8")
        (tmp_path / "val.txt").write_text("p05\n", encoding="utf-8")
        cases = find_run_cases(TrainingConfig("data", split=str(tmp_path)), tmp_path / "run")
        assert (patients(cases.training), patients(cases.validation)) == ({"p01", "p02"}, {"p05"})

    def test_are_kept_with_the_run(self, a_data_set, tmp_path):
        a_data_set(some_cases(10))
        cases = find_run_cases(TrainingConfig("data"), tmp_path)
        write_division(tmp_path, cases)
        again = find_run_cases(TrainingConfig("data", seed=9, fold=3), tmp_path)
        assert (patients(again.training), patients(again.validation)) == (
            patients(cases.training),
            patients(cases.validation),
        )

    def test_name_a_patient_who_is_gone(self, a_data_set, tmp_path):
        a_data_set(some_cases(10))
        write_division(tmp_path, find_run_cases(TrainingConfig("data"), tmp_path))
        a_data_set(some_cases(9))
        with pytest.raises(CardiacSegError, match="patient p10 is not in the data set any more"):
            find_run_cases(TrainingConfig("data"), tmp_path)

    @pytest.mark.parametrize("content", ["{", "[]", '{"train": []}', '{"train": 3, "val": []}'])
    def test_that_are_damaged_on_disk_say_so(self, a_data_set, tmp_path, content):
        a_data_set(some_cases(10))
        (tmp_path / "split.json").write_text(content, encoding="utf-8")
        with pytest.raises(CardiacSegError, match=r"split\.json: cannot be read"):
            find_run_cases(TrainingConfig("data"), tmp_path)


def a_validation(dice: float, labels: int = 1) -> Validation:
    values = dict.fromkeys(CANONICAL, dice)
    return Validation(values, values, torch.full((2, 4, 4), labels, dtype=torch.uint8))


MEASURES = {"step": 1, "epoch": 1.0, "seconds": 1.0, "learning_rate": 0.1, "loss": 0.5}


class TestTheHistory:
    def test_knows_the_best_and_how_long_ago_it_was(self):
        history = History()
        found = [history.add(dict(MEASURES), a_validation(dice)) for dice in (0.5, 0.7, 0.6, 0.7)]
        assert found == [True, True, False, False]
        assert (history.best, history.without_gain) == (pytest.approx(0.7), 2)

    def test_goes_on_from_what_a_checkpoint_kept(self):
        history = History()
        for dice in (0.5, 0.4):
            history.add(dict(MEASURES), a_validation(dice))
        assert History.from_state(json.loads(json.dumps(history.state()))) == history

    def test_recognizes_a_network_that_finds_nothing(self):
        history = History()
        for _ in range(2):
            history.add(dict(MEASURES), a_validation(0.0, labels=0))
        with pytest.raises(CardiacSegError, match="all-background collapse: 3 validations"):
            history.add(dict(MEASURES), a_validation(0.0, labels=0))

    def test_lets_a_network_go_on_that_has_found_something(self):
        history = History()
        for labels in (0, 1, 0, 0, 0, 0):
            history.add(dict(MEASURES), a_validation(0.0, labels=labels))
        assert history.empty == 1


def test_a_configuration_that_names_another_fold_than_there_is_says_so(a_data_set, tmp_path):
    a_data_set(some_cases(10))
    with pytest.raises(CardiacSegError, match="fold 7 does not exist"):
        find_run_cases(replace(TrainingConfig("data"), fold=7), tmp_path)
