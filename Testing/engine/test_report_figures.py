"""The charts of a report: where their points, lines and words are, against the numbers they were drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from CardiacSegLib.evaluation import figures
from CardiacSegLib.evaluation.tables import StructureRow, VolumeRow
from CardiacSegLib.evaluation.wording import metrics_in

METRICS = metrics_in("mm")
STRUCTURES = ("LV", "MYO", "RV")


def _row(case: int, structure: str, dice: float, hd95: float | None = 2.0, phase: str = "ED") -> StructureRow:
    group = "DCM" if case % 2 else "NOR"
    facts = (f"case{case}", f"patient{case}", phase, group, "", structure)
    return StructureRow(*facts, dice, *(0.9,) * 4, 5.0, hd95, 1.0, None, None)


@pytest.fixture
def rows() -> list[StructureRow]:
    """Ten cases; the RV of one is far worse than all others, the LV of one has no distance."""
    chance = np.random.default_rng(1)
    found = [_row(case, name, chance.uniform(0.9, 0.98)) for case in range(10) for name in STRUCTURES]
    return [*found, _row(10, "RV", 0.1, 80.0), _row(11, "LV", 0.0, None)]


def _points(axes: Axes) -> np.ndarray:
    return np.concatenate([np.asarray(collection.get_offsets()) for collection in axes.collections])


def _all_visible(axes: Axes) -> bool:
    (left, right), (low, high) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    x, y = _points(axes).T
    return bool(((left <= x) & (x <= right) & (low <= y) & (y <= high)).all())


def _words(figure: Figure) -> str:
    figure.draw_without_rendering()
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_every_case_is_a_point_that_can_be_seen(rows: list[StructureRow]) -> None:
    shown = {name: METRICS[name] for name in ("dice", "hd95_mm")}
    dice, distance = figures.distribution_figure(rows, STRUCTURES, ["ED"], shown).axes
    assert sorted(_points(dice)[:, 1]) == pytest.approx(sorted(row.dice for row in rows))
    assert len(_points(distance)) == len(rows) - 1  # one is undefined
    assert _all_visible(dice)
    assert _all_visible(distance)


def test_the_worst_case_of_one_group_is_seen_beside_good_ones(rows: list[StructureRow]) -> None:
    panels = figures.group_figure(rows, STRUCTURES, ["DCM", "NOR"], "group", ("dice", METRICS["dice"])).axes
    assert [axes.get_title(loc="left") for axes in panels] == list(STRUCTURES)
    assert all(_all_visible(axes) for axes in panels)


def test_a_group_without_a_case_says_none(rows: list[StructureRow]) -> None:
    groups = ["DCM", "NOR", "HCM"]
    assert "none" in _words(figures.group_figure(rows, STRUCTURES, groups, "group", ("dice", METRICS["dice"])))


def test_bland_altman_has_points_bias_and_limits_where_they_belong() -> None:
    values, references = np.array([100.0, 150.0, 240.0]), np.array([110.0, 140.0, 200.0])
    rows = [VolumeRow("", "", "", "LVEDV", "mL", *pair) for pair in zip(values, references)]
    facts = {"mae": 20.0, "bias": 13.3, "limits": (-36.7, 63.4), "r": 0.97}
    figure = figures.agreement_figure(rows, "LVEDV", facts)
    left, right = figure.axes
    assert _points(left) == pytest.approx(np.column_stack([references, values]))
    assert _points(right) == pytest.approx(np.column_stack([(values + references) / 2, values - references]))
    assert {line.get_ydata()[0] for line in right.lines} == {0, 13.3, -36.7, 63.4}
    assert _all_visible(left)
    assert _all_visible(right)
    words = _words(figure)
    assert all(text in words for text in ("MAE 20.0 mL", "r 0.970", "bias +13.3", "−36.7", "+63.4"))


def test_rows_of_the_confusion_matrix_are_shares_of_the_reference() -> None:
    words = _words(figures.confusion_figure(["background", "LV"], [[999_999, 1], [25, 75]]))
    assert all(text in words for text in ("25.0 %", "75.0 %", "< 0.001 %", "> 99.999 %"))
    assert "reference" in words
    assert "prediction" in words


def test_a_roc_curve_is_named_with_its_area() -> None:
    curve = {"auc": 0.98765, "fpr": [0.0, 0.1, 1.0], "tpr": [0.0, 0.95, 1.0]}
    figure = figures.roc_figure({"LV": curve})
    assert "LV  AUC 0.9877" in figure.axes[0].get_legend().get_texts()[0].get_text()


def _difference(structure: str, low: float | None, high: float | None, better: str = "") -> dict:
    middle = 0.0 if low is None or high is None else (low + high) / 2
    return {"structure": structure, "phase": "all", "difference": middle, "low": low, "high": high, "better": better}


def test_the_right_side_of_a_forest_is_that_of_the_better_model() -> None:
    overlap = [_difference("LV", 0.01, 0.03, "model"), _difference("RV", -0.02, 0.01)]
    distance = [_difference("LV", -3.0, -1.0, "model"), _difference("RV", None, None)]
    panels = [(METRICS["dice"], overlap), (METRICS["hd95_mm"], distance)]
    dice, hd95 = figures.forest_figure(panels, "new", "old").axes
    assert dice.get_xlim()[0] < dice.get_xlim()[1]
    assert hd95.get_xlim()[0] > hd95.get_xlim()[1]  # less is better
    assert dice.get_xlabel() == hd95.get_xlabel() == "← old   better   new →"
    marks = [line for line in dice.lines if line.get_marker() not in ("None", None)]
    filled = [line.get_markerfacecolor() != "white" for line in marks]
    assert filled == [True, False]  # hollow where the interval holds 0


def test_every_interval_of_a_forest_can_be_seen() -> None:
    rows = [_difference("LV", -0.5, 0.01), _difference("MYO", 0.0, 0.0), _difference("mean", 0.01, 0.02, "model")]
    axes = figures.forest_figure([(METRICS["dice"], rows)], "new", "old").axes[0]
    left, right = axes.get_xlim()
    low, high = sorted(axes.get_ylim())
    assert left < -0.5
    assert right > 0.02
    assert low < 0 < 2 < high


def test_a_patient_who_gets_worse_is_a_dashed_line() -> None:
    values = {"LV": {"old": {"a": 0.9, "b": 0.8, "c": 0.7}, "new": {"a": 0.8, "b": 0.9, "d": 0.5}}}
    axes = figures.paired_figure(values, METRICS["dice"]).axes[0]
    *patients, mean = axes.lines
    assert [(list(line.get_ydata()), line.get_linestyle()) for line in patients] == [
        ([0.9, 0.8], "--"),
        ([0.8, 0.9], "-"),
    ]
    assert mean.get_ydata() == pytest.approx([0.85, 0.85])
