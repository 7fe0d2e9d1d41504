"""The page of a study: one file that holds everything, claims nothing, and leaves out what there is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.clinical.figures import bullseye_figure, study_bullseyes, volume_figure, write_png
from CardiacSegLib.clinical.page import write_study_page
from CardiacSegLib.clinical.study import StudyMeasures, measure_study
from CardiacSegLib.inference.provenance import Provenance
from CardiacSegLib.jobs.studies import StudyInput, start_drawing
from CardiacSegLib.phantom import Phantom, PhantomOptions, make_phantom
from CardiacSegLib.pictures import contour_picture
from phantoms import COARSE
from results_read import Page


@pytest.fixture(scope="module")
def a_heart() -> Phantom:
    return make_phantom(PhantomOptions(frames=12, **COARSE))


@pytest.fixture(scope="module")
def a_study(a_heart: Phantom) -> StudyMeasures:
    subject = Subject(height_cm=178, weight_kg=75, sex="male", age_years=50)
    return measure_study(a_heart.labels, a_heart.affine, frame_times=75.0 * np.arange(12), subject=subject)


@pytest.fixture(scope="module")
def a_page(a_heart: Phantom, a_study: StudyMeasures, tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("page")
    contours = contour_picture(
        a_heart.image,
        a_heart.labels,
        a_heart.affine,
        folder / "contours.png",
        frames=tuple(a_study.phases.items()),
    )
    facts = {"Model": "short-axis-cine 1.0", "Segmented in": "6.2 s", "Device": "cpu"}
    path = folder / "study.html"
    pictures = {"End-diastole and end-systole": contours, "The same as bytes": contours.read_bytes()}
    assert write_study_page(a_study, path, title="heart <1>", pictures=pictures, facts=facts) == path
    return Page(path)


def test_the_page_needs_no_other_file_and_leads_nowhere(a_page: Page) -> None:
    assert a_page.references
    assert a_page.needs_nothing()


def test_the_page_says_what_it_is_not_for_and_grades_nothing(a_page: Page) -> None:
    assert "Research use only. Not a medical device." in a_page.text
    words = a_page.text.lower()
    assert not [word for word in ("clinical use", "excellent", "severe", "mildly", "impaired") if word in words]


def test_the_page_has_the_figures_and_their_ranges(a_page: Page, a_study: StudyMeasures) -> None:
    row = a_page.row("End-diastolic volume")
    edv, indexed = a_study.value("EDV", "LV"), a_study.value("EDV", "LV", indexed=True)
    assert row[1:5] == [f"{edv:.0f} mL", "93–232", f"{indexed:.0f} mL/m²", "52–117"]
    assert a_page.row("Ejection fraction")[1] == f"{a_study.value('EF', 'LV'):.0f} %"
    assert "Petersen 2017, men 45–74 years" in a_page.text
    assert "J Cardiovasc Magn Reson 19:18" in a_page.text
    assert "not a diagnosis" in a_page.text


def test_every_row_of_the_study_is_on_the_page(a_page: Page, a_study: StudyMeasures) -> None:
    lines = [row for row in a_page.rows if len(row) == 6][1:]
    assert len(lines) == sum(not row.indexed for row in a_study.rows)


def test_the_page_shows_curve_bullseyes_and_contours(a_page: Page) -> None:
    assert len(a_page.pictures) == 4
    assert (
        len({picture.tobytes() for _, picture in a_page.pictures}) == 3
    )  # the contours stand there twice, as a file and as bytes
    assert "Volumes over the heartbeat" in a_page.text


def test_the_page_says_how_it_was_made(a_page: Page) -> None:
    for words in ("short-axis-cine 1.0", "6.2 s", "papillary muscles", "1.93 m² (Mosteller)", "ED in frame 1"):
        assert words in a_page.text


def test_a_title_is_text_and_never_markup(a_page: Page) -> None:
    assert "heart <1>" in a_page.text
    assert "heart <1>" not in a_page.markup


def test_warnings_stand_on_the_page(a_heart: Phantom, tmp_path: Path) -> None:
    held = np.flatnonzero((a_heart.labels[..., 0] == 1).any(axis=(0, 1)))
    study = measure_study(a_heart.labels[:, :, : held[-1]], a_heart.affine)
    page = Page(write_study_page(study, tmp_path / "study.html", title="cut"))
    assert study.warnings
    assert all(warning in page.text for warning in study.warnings)


def test_a_single_phase_has_no_curve_and_an_unknown_sex_no_ranges(a_heart: Phantom, tmp_path: Path) -> None:
    study = measure_study(a_heart.labels[..., 0], a_heart.affine)
    page = Page(write_study_page(study, tmp_path / "study.html", title="one phase"))
    assert "Volumes over the heartbeat" not in page.text
    assert "Normal range" not in [cell for row in page.rows for cell in row]
    assert "where the sex is known" in page.text
    assert len(page.pictures) == 1


def test_labels_without_a_heart_still_make_a_page(tmp_path: Path) -> None:
    study = measure_study(np.zeros((20, 20, 8, 3), np.uint8), np.diag([1.5, 1.5, 8.0, 1.0]))
    page = Page(write_study_page(study, tmp_path / "study.html", title="empty"))
    assert "No left ventricle was found" in page.text
    assert not page.pictures


def test_the_bullseye_writes_every_segment_and_a_dash_where_there_is_none(a_study: StudyMeasures) -> None:
    bullseyes = study_bullseyes(a_study)
    assert [bullseye.title for bullseye in bullseyes] == [
        "Wall thickness at ED",
        "Wall thickness at ES",
        "Thickening, ED to ES",
    ]
    bullseyes[0].values[3] = np.nan
    bullseyes[0].values[4] = -0.01
    disc = bullseye_figure(bullseyes[:1]).axes[0]
    written = [text.get_text() for text in disc.texts]
    assert {str(number) for number in range(1, 17)} <= set(written)
    assert written.count("–") == 1
    assert f"{bullseyes[0].values[0]:.1f}" in written
    assert "0.0" in written
    assert "-0.0" not in written


def test_anterior_is_on_top_of_the_bullseye_and_the_septum_on_the_left(a_study: StudyMeasures) -> None:
    disc = bullseye_figure(study_bullseyes(a_study)[:1]).axes[0]
    places = {text.get_text(): text.xy for text in disc.texts if hasattr(text, "xy")}
    assert places["1"][1] > 0.7 and abs(places["1"][0]) < 0.1
    assert places["4"][1] < -0.7 and places["15"][1] < 0
    assert all(places[number][0] < -0.2 for number in ("2", "3", "8", "9", "14"))
    assert all(places[number][0] > 0.2 for number in ("5", "6", "11", "12", "16"))


def test_the_curve_marks_ed_and_es_in_the_structures_colors(a_study: StudyMeasures, tmp_path: Path) -> None:
    figure = volume_figure(a_study)
    (axes,) = figure.axes
    marks = {text.get_text(): text.xy[0] for text in axes.texts}
    times = a_study.frame_times_ms
    assert marks == {"ED": times[a_study.phases["ED"]], "ES": times[a_study.phases["ES"]]}
    curves = {line.get_label(): line for line in axes.lines if len(line.get_xdata()) == 12}
    assert curves["Left ventricular blood pool"].get_ydata() == pytest.approx(a_study.function.volumes_ml["LV"])
    assert write_png(figure, tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_few_frames_without_times_are_counted_in_whole_frames(a_heart: Phantom) -> None:
    study = measure_study(a_heart.labels[..., [0, 2, 4, 7]], a_heart.affine)
    (axes,) = volume_figure(study).axes
    assert axes.get_xlabel() == "Frame"
    ticks = axes.get_xticks()
    assert ticks.tolist() == ticks.round().tolist()


def test_a_page_that_a_panel_asks_for_says_what_made_the_labels(a_heart: Phantom, tmp_path: Path) -> None:
    """By what the worker told of its result, which travels as JSON."""
    made = Provenance(
        **{"model": "short-axis-cine", "sha256": "ab" * 32, "runtime": "OpenVINO 2026.4.1", "device": "cpu"},
        **{"precision": "bfloat16", "threads": 2, "turns": 8, "cleanup": True, "seconds": 1.234},
    )
    study = StudyInput(a_heart.labels[..., 0], a_heart.affine, provenance={**made.fields(), "of a later version": 1})
    with start_drawing(
        study, page=Path("page.html"), title="A heart", facts={"Measured in": "3D Slicer 5.8"}
    ) as command:
        while command.is_running:
            command.poll()
        assert command.error is None
        text = Page(command.folder / "page.html").text
    assert f"SHA-256 {'ab' * 32}" in text
    assert "OpenVINO 2026.4.1 on 2 threads of a CPU in bfloat16, the mean over 8 turned copies" in text
    assert "Segmented in 1.2 s" in text
    assert "what was edited by hand is measured as it is, and not recorded" in text
    assert "Measured in 3D Slicer 5.8" in text
