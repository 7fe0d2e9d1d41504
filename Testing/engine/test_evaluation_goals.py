"""Goals of an evaluation: the limit, what was found, and by whom it was missed."""

from __future__ import annotations

import pytest

from CardiacSegLib.evaluation.goals import GoalFound, goals_found
from CardiacSegLib.evaluation.tables import StructureRow, VolumeRow


def scores(distances: dict[str, float | None], structures: tuple[str, ...] = ("LV", "MYO", "RV")) -> list[StructureRow]:
    """A case at ED and one at ES for each patient, with this HD95 of every structure."""
    return [
        StructureRow(
            *(f"{patient}_{phase}", patient, phase, "HCM", "", structure),
            *[0.9] * 5,
            distance,
            distance,
            distance,
            1,
            1,
        )
        for patient, distance in distances.items()
        for phase in ("ED", "ES")
        for structure in structures
    ]


def volumes(differences: dict[str, float], measure: str = "LVEF") -> list[VolumeRow]:
    return [VolumeRow(patient, "HCM", "", measure, "%", 50 + error, 50.0) for patient, error in differences.items()]


def found(title: str, *tables) -> GoalFound:
    return next(goal for goal in goals_found(*tables) if goal.title == title)


@pytest.fixture
def four() -> list[StructureRow]:
    return scores({"p1": 3.0, "p2": 3.0, "p3": 3.0, "p4": 3.0})


def test_a_figure_at_its_limit_is_good_enough(four):
    goal = found("LVEF MAE", four, volumes({"p1": 2.5, "p2": -2.5, "p3": 2.5, "p4": -2.5}))
    assert (goal.value, goal.limit, goal.met, goal.why) == (2.5, 2.5, True, "")


def test_the_patient_that_costs_it_is_named_with_what_would_be_without(four):
    goal = found("LVEF MAE", four, volumes({"p1": 1.0, "p2": -1.0, "p3": -20.0, "p4": 1.0}))
    assert (goal.value, goal.met) == (5.75, False)
    assert goal.why == "most by p3 (HCM, −20.0 points); without it 1.00 points (met)"


def test_no_more_than_three_patients_are_named_and_an_error_of_many_is_called_that():
    patients = {f"p{number}": 10.0 + number for number in range(8)}
    goal = found("LVEF MAE", scores(dict.fromkeys(patients, 3.0)), volumes(patients))
    assert goal.why.startswith(
        "most by p7 (HCM, +17.0 points), p6 (HCM, +16.0 points), p5 (HCM, +15.0 points); without them 12.00 points"
    )
    assert goal.why.endswith("(still missed: the error is that of many)")


def test_errors_to_both_sides_leave_no_bias_and_a_bias_is_met_by_leaving_out_its_own_side(four):
    both = volumes({"p1": 8.0, "p2": -8.0, "p3": 8.0, "p4": -8.0})
    assert found("LVEF bias", four, both).value == 0
    low = found("LVEF bias", four, volumes({"p1": 2.0, "p2": -1.0, "p3": -12.0, "p4": 1.0}))
    assert (low.value, low.met) == (2.5, False)
    assert "p3 (HCM, −12.0 points); without it 0.67 points" in low.why


def test_distances_are_means_over_patients_and_undefined_ones_do_not_count():
    goal = found("Mean HD95", scores({"p1": 2.0, "p2": 6.0, "p3": None}), volumes({"p1": 0.0, "p2": 0.0}))
    assert (goal.value, goal.met) == (4.0, False)
    assert goal.why == "most by p2 (HCM, 6.0 mm); without it 2.00 mm (met)"


def test_a_single_patient_is_its_own_reason():
    goal = found("LVEF MAE", scores({"p1": 3.0}), volumes({"p1": 9.0}))
    assert (goal.met, goal.why) == (False, "of a single patient")


def test_what_an_evaluation_does_not_know_has_no_goal(four):
    titles = [goal.title for goal in goals_found(four, volumes({"p1": 0.0}))]
    assert titles == ["LVEF MAE", "LVEF bias", "Mean HD95"]


@pytest.mark.parametrize("structures", [("LV", "MYO"), ("LV", "MYO", "LA")])
def test_other_structures_have_no_goals(structures):
    assert goals_found(scores({"p1": 3.0}, structures), volumes({"p1": 0.0})) == []


def test_volumes_without_an_ejection_fraction_have_no_goals(four):
    assert goals_found(four, volumes({"p1": 0.0}, "LVEDV")) == []
