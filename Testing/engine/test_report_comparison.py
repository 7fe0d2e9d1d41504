"""The page that compares models: every figure is that of the comparison, and it says who is better and who is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.comparison import compare
from CardiacSegLib.evaluation.report import write_comparison
from CardiacSegLib.evaluation.study import About
from evaluations_made import SlippedLabels, make_evaluation, make_patients
from results_read import Page, as_written


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose labels lie two pixels beside the reference, against one that is six pixels off."""
    patients = make_patients(tmp_path_factory.mktemp("patients"), 4)
    folder = tmp_path_factory.mktemp("compared")
    about = About("phantoms", "cardiacseg evaluate --model far near", warnings=("far WAS TRAINED ON all of them",))
    for name, slip in (("far", 5), ("near", 0)):
        make_evaluation(patients, folder / name, SlippedLabels(name, slip, known=False), about=about)
    shutil.copytree(folder / "near", folder / "twin")
    compare(folder, ["far", "near"])
    write_comparison(folder)
    return folder


@pytest.fixture(scope="module")
def page(compared: Path) -> Page:
    return Page(compared / "comparison.html")


@pytest.fixture(scope="module")
def differences(compared: Path) -> dict[tuple[str, str, str], dict]:
    found = json.loads((compared / "comparison.json").read_text(encoding="utf-8"))["differences"]
    return {(row["metric"], row["structure"], row["phase"]): row for row in found}


def _cells(row: dict, digits: int) -> list[str]:
    means = [as_written(row[name], digits) for name in ("baseline_mean", "model_mean")]
    interval = " to ".join(as_written(row[name], digits, "+") for name in ("low", "high"))
    better = {"model": row["model"], "baseline": row["baseline"], "": "–"}[row["better"]]
    return [str(row["patients"]), *means, as_written(row["difference"], digits, "+"), interval, better]


def test_every_difference_is_that_of_the_comparison(page: Page, differences: dict) -> None:
    rows = {row[0]: row[1:] for row in page.tables["differences-1"][1:]}
    for metric, heading, digits in (("dice", "Dice", 4), ("hd95_mm", "HD95 (mm)", 3), ("asd_mm", "ASD (mm)", 3)):
        for structure in ("LV", "MYO", "RV", "mean"):
            for phase, at in (("all", ""), ("ED", " at ED"), ("ES", " at ES")):
                expected = _cells(differences[metric, structure, phase], digits)
                assert rows.pop(f"{heading}, {structure}{at}") == expected
    assert set(rows) == {
        *(f"{name} error (mL)" for name in ("LVEDV", "LVESV", "LVSV", "RVEDV", "RVESV", "RVSV")),
        *("LVEF error (%)", "RVEF error (%)", "LVM error (g)"),
    }


def test_the_headlines_come_first_and_name_the_better_one(page: Page) -> None:
    header, *rows = page.tables["headlines-1"]
    assert header == ["", "Patients", "far", "near", "Difference", "95 % interval", "Better"]
    assert [row[0] for row in rows[:3]] == ["Dice, mean", "HD95 (mm), mean", "ASD (mm), mean"]
    assert [row[-1] for row in rows[:3]] == ["near"] * 3


def test_it_says_what_is_compared_and_warns(page: Page) -> None:
    assert page.headings[0] == "far and near on phantoms"
    assert "8 cases of 4 patients that all were evaluated on" in page.text
    assert "Baseline: far." in page.text
    assert page.text.index("far WAS TRAINED ON all of them") < page.text.index("Patient by patient")
    assert "Research use only. Not a medical device." in page.text


def test_it_is_one_file_with_its_figures(page: Page) -> None:
    assert page.needs_nothing()
    descriptions = [description for description, _ in page.pictures]
    assert [description.partition(" ")[0] for description in descriptions] == ["Dice", "Differences", "Differences"]
    assert all(picture.width > 1000 for _, picture in page.pictures)


def test_of_three_models_each_has_a_part_against_the_first(compared: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(compared, tmp_path / "three"))
    compare(folder, ["near", "far", "twin"])
    page = Page(write_comparison(folder))
    assert {"far against near", "twin against near"} < set(page.headings)
    assert [row[-1] for row in page.tables["headlines-1"][1:4]] == ["near"] * 3
    assert {row[-1] for row in page.tables["headlines-2"][1:]} == {"–"}  # a twin is no better


def test_without_a_comparison_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CardiacSegError, match=r"comparison\.json"):
        write_comparison(tmp_path)
