"""The bullseye and the page of a study, drawn in a process of their own."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.jobs.studies import Contours, StudyInput, no_bullseye_text, start_drawing
from CardiacSegLib.phantom import PhantomOptions, make_phantom

PATIENCE = 60


@pytest.fixture(scope="module")
def heart():
    return make_phantom(PhantomOptions(frames=4, slices=6, spacing=(1.8, 1.8, 10.0), size=(96, 96)))


@pytest.fixture
def study(heart) -> StudyInput:
    return StudyInput(
        labels=heart.labels,
        affine=heart.affine,
        frames=(0, 1),
        frame_times=heart.frame_times,
        heart_rate=70.0,
        subject=Subject(height_cm=170, weight_kg=70, sex="female", age_years=40),
        warnings=["a remark of the panel"],
    )


def drawn(study: StudyInput, **wishes: object):
    """The command, ended."""
    command = start_drawing(study, **wishes)
    end = time.monotonic() + PATIENCE
    while command.is_running:
        assert time.monotonic() < end
        time.sleep(0.02)
    return command


def test_an_input_is_the_same_on_the_other_side(study, tmp_path):
    study.write(tmp_path)
    read = StudyInput.read(tmp_path)
    assert read.measure().as_dict() == study.measure().as_dict()


def test_the_bullseye_is_a_picture_and_the_folder_goes(study, tmp_path):
    with drawn(study, bullseye=tmp_path / "bullseye.png") as command:
        assert command.error is None, command.log
        folder = command.folder
    with Image.open(tmp_path / "bullseye.png") as picture:
        assert picture.width > 2 * picture.height  # two phases and what they differ by, side by side
    assert not folder.exists()


def test_the_page_says_what_the_panel_says_and_shows_the_contours(study, heart, tmp_path):
    contours = Contours(heart.image[..., :2], heart.labels[..., :2], heart.affine, {"ED": 0, "ES": 1})
    page = tmp_path / "study.html"
    with drawn(study, page=page, title="heart <1>", contours=contours, facts={"Made by": "a person"}) as command:
        assert command.error is None, command.log
    text = page.read_text(encoding="utf-8")
    for expected in ("heart &lt;1&gt;", "a remark of the panel", "Contours at ED and ES", "a person", "70 per minute"):
        assert expected in text, expected


def test_a_page_without_images_has_no_contours(study, tmp_path):
    with drawn(study, page=tmp_path / "study.html", title="heart") as command:
        assert command.error is None, command.log
    assert "Contours at" not in (tmp_path / "study.html").read_text(encoding="utf-8")


def test_where_no_wall_was_measured_it_is_said_why(heart, tmp_path):
    labels = np.where(heart.labels == 2, 0, heart.labels)
    study = StudyInput(labels, heart.affine)
    with drawn(study, bullseye=tmp_path / "bullseye.png") as command:
        assert command.error == no_bullseye_text(study.measure())
    assert "no slice shows the myocardium" in no_bullseye_text(study.measure())
    assert not (tmp_path / "bullseye.png").exists()


def test_a_place_that_cannot_be_written_to_is_said(study):
    with drawn(study, page=Path("/nowhere/study.html"), title="heart") as command:
        assert "/nowhere/study.html" in command.error
