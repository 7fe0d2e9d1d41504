"""The page about an evaluation, read as its reader does: every figure is that of the files, every picture shows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.report import write_report
from CardiacSegLib.evaluation.study import About
from CardiacSegLib.images import Image, read_image, write_image
from evaluations_made import SlippedLabels, make_evaluation, make_patients
from results_read import Page, as_written, rows_of

WARNING = "slipped WAS TRAINED ON 1 of these 4 patients"
_DIGITS = {"dice": 3, "jaccard": 3, "precision": 3, "recall": 3, "accuracy": 4, "hd_mm": 1, "hd95_mm": 2, "asd_mm": 2}


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_patients(tmp_path_factory.mktemp("patients"), 4)


@pytest.fixture(scope="module")
def evaluated(patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight cases of four patients; in one of them no RV was found."""
    about = About("phantoms", "cardiacseg evaluate --dataset phantoms --output OUT", warnings=(WARNING,))
    source = SlippedLabels(lost=("patient002_ES", "RV"))
    folder = make_evaluation(patients, tmp_path_factory.mktemp("evaluated"), source, about=about)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(evaluated: Path) -> Page:
    return Page(evaluated / "report.html")


@pytest.fixture(scope="module")
def summary(evaluated: Path) -> dict:
    return json.loads((evaluated / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture
def a_copy(evaluated: Path, tmp_path: Path) -> Path:
    """The evaluation, to take something from it."""
    return Path(shutil.copytree(evaluated, tmp_path / "copy"))


@pytest.fixture
def the_scores_alone(a_copy: Path) -> Path:
    """An evaluation of labels without probabilities, volumes and groups, that keeps no images."""
    for name in ("images", "references", "predictions"):
        shutil.rmtree(a_copy / name)
    (a_copy / "volumes.csv").unlink()
    _change(a_copy, roc={}, agreement={}, groups={}, agreement_by_group={})
    return a_copy


def _change(folder: Path, **changes: object) -> None:
    path = folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_the_scores_of_every_structure_and_phase_are_those_of_the_summary(page: Page, summary: dict) -> None:
    header, *rows = page.tables["scores"]
    assert [title.split()[0] for title in header[1:]] == [
        *("Dice", "Jaccard", "Precision", "Recall", "Accuracy", "HD", "HD95", "ASD")
    ]
    titles = {"ED": "End-diastole 4 patients", "ES": "End-systole 4 patients", "all": "All phases 4 patients"}
    expected = []
    for phase, title in titles.items():
        expected.append([title])
        for structure in ("LV", "MYO", "RV", "mean"):
            entries = summary["scores"][phase][structure]
            expected.append([structure, *(_cell(entries[name], digits) for name, digits in _DIGITS.items())])
    assert rows == expected


def _cell(entry: dict, digits: int) -> str:
    mean, sd, median = (as_written(entry[name], digits) for name in ("mean", "sd", "median"))
    return f"{mean} ± {sd} · {median}" + (f" n = {entry['count']}" if entry["count"] < 4 else "")


def test_a_structure_that_was_not_found_lowers_the_number_of_its_distances(page: Page) -> None:
    rows = page.tables["scores"]
    right_ventricle = rows[rows.index(["End-systole 4 patients"]) + 3]
    assert right_ventricle[0] == "RV"
    assert [cell.endswith("n = 3") for cell in right_ventricle[1:]] == [False] * 5 + [True] * 3


def test_the_agreement_of_volumes_is_that_of_the_summary(page: Page, summary: dict) -> None:
    rows = {row[0]: row[2:] for row in page.tables["agreement"][1:]}
    assert list(rows) == list(summary["agreement"])
    assert rows["LVEDV"][3] != "0.0"
    for name, entry in summary["agreement"].items():
        missing = " (1 not found)" if entry["missing"] else ""
        limits = " to ".join(_signed(limit) for limit in entry["limits"])
        assert rows[name] == [
            *(entry["unit"], f"{entry['n']}{missing}", as_written(entry["mae"], 1)),
            _signed(entry["bias"]),
            *(as_written(entry["sd"], 1), limits, as_written(entry["r"], 3)),
        ]


def _signed(value: float) -> str:
    return as_written(value, 1, "+") if round(value, 1) else "0.0"


def test_a_measure_of_which_a_patient_has_none_says_so(page: Page) -> None:
    patients = {row[0]: row[3] for row in page.tables["agreement"]}
    assert patients["RVESV"] == "3 (1 not found)"
    assert patients["LVESV"] == "4"


def test_each_goal_says_whether_it_is_met_and_who_is_the_reason_if_not(page: Page, summary: dict) -> None:
    rows = {row[0]: row[1:] for row in page.tables["goals"][1:]}
    goals = {goal["title"]: goal for goal in summary["goals"]}
    assert list(rows) == list(goals)
    assert {True, False} == {goal["met"] for goal in goals.values()}
    for title, (limit, found, verdict) in rows.items():
        goal = goals[title]
        assert (limit, found) == (f"{goal['limit']:.1f} {goal['unit']}", f"{goal['value']:.2f} {goal['unit']}")
        assert verdict == ("met" if goal["met"] else f"missed , {goal['why']}")
        assert goal["met"] or "patient00" in verdict


def test_groups_have_the_figures_of_the_summary(page: Page, summary: dict) -> None:
    rows = {row[0]: row[1:] for row in page.tables["by-patient-group"][1:]}
    assert list(rows) == ["DCM", "NOR"]
    for group, scores in summary["groups"].items():
        dice = [as_written(scores[name]["dice"]["mean"], 3) for name in ("LV", "MYO", "RV", "mean")]
        distances = [as_written(scores["mean"][name]["mean"], 2) for name in ("hd95_mm", "asd_mm")]
        assert rows[group] == ["2", *dice, *distances]
    errors = {row[0]: row[1:] for row in page.tables["agreement-by-patient-group"][1:]}
    for group, measures in summary["agreement_by_group"].items():
        found = [measures[name] for name in ("LVEF", "RVEF", "LVEDV", "RVEDV")]
        assert errors[group] == ["2", *(f"{as_written(e['mae'], 1)} ({_signed(e['bias'])})" for e in found)]


def test_every_case_is_listed_with_its_dice_the_worst_first(page: Page, evaluated: Path) -> None:
    dice: dict[str, dict[str, float]] = {}
    for row in rows_of(evaluated / "metrics.csv"):
        dice.setdefault(row["case"], {})[row["structure"]] = float(row["dice"])
    means = {case: sum(values.values()) / 3 for case, values in dice.items()}
    expected = [
        [case, *(f"{dice[case][name]:.3f}" for name in ("LV", "MYO", "RV")), f"{means[case]:.3f}"]
        for case in sorted(means, key=lambda case: (means[case], case))
    ]
    assert [[row[0], *row[2:6]] for row in page.tables["cases"][1:]] == expected


def test_the_headline_figures_are_those_of_the_summary(page: Page, summary: dict) -> None:
    mean = summary["scores"]["all"]["mean"]
    fraction = summary["agreement"]["LVEF"]
    assert f"Mean Dice {mean['dice']['mean']:.3f} median {mean['dice']['median']:.3f}" in page.text
    assert f"Mean HD95 {mean['hd95_mm']['mean']:.2f} mm median {mean['hd95_mm']['median']:.2f}" in page.text
    assert f"LVEF MAE {fraction['mae']:.1f} % bias {_signed(fraction['bias'])} %" in page.text


def test_a_warning_stands_before_all_figures(page: Page) -> None:
    assert page.text.index(WARNING) < page.text.index("Mean Dice")


def test_it_says_what_was_evaluated_how_and_that_it_is_no_medical_device(page: Page) -> None:
    assert page.headings[0] == "slipped on phantoms"
    assert "8 cases of 4 patients · ED and ES" in page.text
    assert "cardiacseg evaluate --dataset phantoms --output OUT" in page.text
    assert "Research use only. Not a medical device." in page.text


def test_it_is_one_file_that_loads_nothing(page: Page) -> None:
    assert page.needs_nothing()


def test_every_picture_opens_and_shows_something(page: Page) -> None:
    assert len(page.pictures) > 20
    for description, picture in (entry for entry in page.pictures if entry[0]):  # not the swatches of the legend
        colors = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        assert np.ptp(colors, axis=0).max() > 40, description


def test_the_worst_and_the_best_cases_are_shown_in_their_order(page: Page, summary: dict) -> None:
    shown = [description.partition(":")[0] for description, _ in page.pictures if "difference in slice" in description]
    assert shown == [*summary["worst"], *(name for name in summary["best"] if name not in summary["worst"])]
    assert {"Worst cases", "Best cases"} <= set(page.headings)


def test_a_case_is_shown_moving_through_its_slices(page: Page, evaluated: Path) -> None:
    assert page.picture("through the slices").n_frames == 5
    assert (evaluated / "animation.gif").stat().st_size < 1_000_000


def test_the_case_in_motion_is_neither_the_best_nor_the_worst(page: Page) -> None:
    description = next(description for description, _ in page.pictures if "through the slices" in description)
    cases = [row[0] for row in page.tables["cases"][1:]]
    assert 2 <= cases.index(description.partition(":")[0]) <= 5


def test_measures_with_enough_patients_are_plotted(page: Page) -> None:
    plots = [description for description, _ in page.pictures if "Bland-Altman" in description]
    assert [plot.partition(":")[0] for plot in plots] == [
        *("LV end-diastolic volume", "RV end-diastolic volume", "LV end-systolic volume", "RV end-systolic volume"),
        *("LV ejection fraction", "RV ejection fraction", "LV mass"),
    ]


def test_the_roc_is_described_by_its_areas(page: Page, summary: dict) -> None:
    areas = ", ".join(f"{name} {curve['auc']:.4f}" for name, curve in summary["roc"].items())
    assert f"Area under the curve: {areas}." in page.text


def test_every_metric_that_is_shown_is_defined(page: Page) -> None:
    meanings = page.text.partition("What the words mean")[2]
    for term in ("Dice 2 TP", "Jaccard", "Precision", "Recall", "Accuracy", "HD (mm)", "HD95 (mm)", "ASD (mm)", "MAE"):
        assert term in meanings


def test_what_was_not_evaluated_is_left_out(page: Page, the_scores_alone: Path) -> None:
    left = Page(write_report(the_scores_alone))
    gone = {"Volumes and function", "By patient group", "Worst cases", "Best cases", "A case in motion"}
    assert set(page.headings) - set(left.headings) == gone
    for words in ("ROC", "bias", "Bland", "another structure"):
        assert words in page.text
        assert words not in left.text
    assert set(left.tables) == {"scores", "cases"}
    assert left.tables["scores"] == page.tables["scores"]


def test_without_its_images_no_animation_of_an_earlier_evaluation_is_left(the_scores_alone: Path) -> None:
    assert (the_scores_alone / "animation.gif").exists()
    write_report(the_scores_alone)
    assert not (the_scores_alone / "animation.gif").exists()


@pytest.fixture(scope="module")
def a_single_case(patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single")
    return make_evaluation(patients, folder, SlippedLabels(known=False), cases=1, structures=["LV"])


def test_a_single_case_of_a_single_structure_makes_a_page_without_torch(a_single_case: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from CardiacSegLib.evaluation.report import write_report; "
        "write_report(Path(sys.argv[1])); sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    )
    library = Path(__file__).resolve().parents[2] / "CardiacSeg"
    environment = os.environ | {"PYTHONPATH": str(library)}
    subprocess.run([sys.executable, "-c", script, str(a_single_case)], env=environment, check=True)
    page = Page(a_single_case / "report.html")
    assert [row[0] for row in page.tables["scores"]] == ["", "End-diastole 1 patient", "LV"]
    assert "±" not in " ".join(page.tables["scores"][2])
    assert {"Cases, the worst first", "A case in motion"} <= set(page.headings)
    assert "another structure" not in page.text


def test_distances_of_images_without_a_spacing_are_in_pixels(the_scores_alone: Path) -> None:
    _change(the_scores_alone, length_unit="pixels")
    page = Page(write_report(the_scores_alone))
    assert page.tables["scores"][0][-3:] == ["HD pixels", "HD95 pixels", "ASD pixels"]
    assert "mm" not in page.text.split()
    assert "(mm)" not in page.text


def test_names_are_text_and_no_markup(the_scores_alone: Path) -> None:
    _change(the_scores_alone, model="<i>net</i> & co")
    page = Page(write_report(the_scores_alone))
    assert page.headings[0] == "<i>net</i> & co on phantoms"
    assert "<i>" not in page.markup


@pytest.mark.parametrize("name", ["summary.json", "metrics.csv"])
def test_a_file_that_is_missing_is_named(a_copy: Path, name: str) -> None:
    (a_copy / name).unlink()
    with pytest.raises(CardiacSegError, match=name):
        write_report(a_copy)


def test_what_a_summary_of_another_version_lacks_is_named(the_scores_alone: Path) -> None:
    path = the_scores_alone / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    del summary["length_unit"]
    path.write_text(json.dumps(summary), encoding="utf-8")
    with pytest.raises(CardiacSegError, match=r"summary\.json: says nothing of length_unit; evaluate again"):
        write_report(the_scores_alone)


def test_labels_of_another_shape_than_their_image_are_named(a_single_case: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(a_single_case, tmp_path / "copy"))
    path = next((folder / "predictions").iterdir())
    labels = read_image(path)
    write_image(path, Image(labels.array[..., 1:], labels.affine))
    with pytest.raises(CardiacSegError, match=rf"predictions/{path.name}.*shape"):
        write_report(folder)
