"""The pictures of a case: looked at by their colors, where they have to be."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from CardiacSegLib.anatomy import CANONICAL, STRUCTURES
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.animation import write_animation
from CardiacSegLib.evaluation.case_pictures import case_picture
from CardiacSegLib.evaluation.results import EvaluatedCase
from CardiacSegLib.phantom import Phantom, PhantomOptions, make_phantom

_GREEN, _YELLOW, _RED = (60, 140, 100), (235, 210, 55), (215, 45, 55)


def _phantom(**options: object) -> Phantom:
    return make_phantom(PhantomOptions(frames=3, slices=6, size=(96, 96), spacing=(2.5, 2.5, 10.0), **options))


def _case(phantom: Phantom, frame: int | slice = 0, shift: int = 0) -> EvaluatedCase:
    image, labels = phantom.image[..., frame], phantom.labels[..., frame]
    prediction = np.roll(labels, shift, axis=0)
    return EvaluatedCase("heart", image, labels, prediction, phantom.affine, CANONICAL)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return _phantom()


@pytest.fixture
def squares() -> EvaluatedCase:
    """One slice of 40 mm squares, LV in both: the prediction lies 20 mm further along the first axis."""
    shape = (100, 100, 1)
    reference, prediction = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    reference[20:60, 30:70] = 1
    prediction[40:80, 30:70] = 1
    image = np.random.default_rng(1).normal(100, 5, shape).astype(np.float32)
    return EvaluatedCase("squares", image, reference, prediction, np.diag([-1.0, -1.0, 8.0, 1.0]), {"LV": 1})


def _drawn(case: EvaluatedCase) -> np.ndarray:
    return np.asarray(Pillow.open(io.BytesIO(case_picture(case)[0])).convert("RGB"))


def _columns(picture: np.ndarray) -> list[np.ndarray]:
    """Image, reference, prediction and difference."""
    return np.array_split(picture[40:, 40:], 4, axis=1)


def _share(picture: np.ndarray, color: tuple[int, int, int], tolerance: int = 40) -> float:
    """How much of a picture has about that color."""
    return float((np.abs(picture.astype(int) - color).max(axis=2) < tolerance).mean())


def test_right_is_green_too_much_yellow_and_missed_red(squares: EvaluatedCase) -> None:
    left, middle, right = np.array_split(_columns(_drawn(squares))[3], 3, axis=1)
    assert _share(left, _RED) > 0.1 > 100 * _share(left, _YELLOW)
    assert _share(middle, _GREEN) > 0.2
    assert _share(right, _YELLOW) > 0.1 > 100 * _share(right, _RED)


def test_the_same_labels_are_green_alone(squares: EvaluatedCase) -> None:
    difference = _columns(_drawn(replace(squares, prediction=squares.reference)))[3]
    assert _share(difference, _GREEN) > 0.2
    assert _share(difference, _RED) == _share(difference, _YELLOW) == 0


def test_heart_of_another_structure_is_both_too_much_and_missed(squares: EvaluatedCase) -> None:
    other = replace(squares, prediction=2 * squares.reference, convention={"LV": 1, "MYO": 2})
    difference = _columns(_drawn(other))[3]
    assert _share(difference, _YELLOW) > 0.05
    assert _share(difference, _RED) > 0.05
    assert _share(difference, _GREEN) < 0.01


def test_stripes_tell_too_much_from_missed_without_colors(squares: EvaluatedCase) -> None:
    """Along a rising diagonal a rising stripe keeps its brightness, and a falling one crosses it."""
    gray = np.asarray(Pillow.fromarray(_columns(_drawn(squares))[3]).convert("L")).astype(int)
    missed, too_much = np.array_split(gray, 3, axis=1)[0], np.array_split(gray, 3, axis=1)[2]
    for part, sign in ((missed, 1), (too_much, -1)):
        middle = part[len(part) // 2 - 15 : len(part) // 2 + 15, part.shape[1] // 2 - 15 : part.shape[1] // 2 + 15]
        along = np.abs(middle[1:, 1:] - middle[:-1, :-1]).mean()
        across = np.abs(middle[1:, :-1] - middle[:-1, 1:]).mean()
        assert sign * along < sign * across


@pytest.mark.parametrize("name", ["LV", "MYO", "RV"])
def test_each_structure_has_its_color_in_reference_and_prediction(phantom: Phantom, name: str) -> None:
    image, reference, prediction, _ = _columns(_drawn(_case(phantom)))
    color = STRUCTURES[name].color
    assert _share(image, color) == 0
    assert _share(reference, color) > 0.005
    assert _share(prediction, color) == pytest.approx(_share(reference, color), rel=0.05)


@pytest.mark.parametrize("orientation", ["transposed", "slices-first", "flipped"])
def test_a_heart_is_shown_alike_in_any_orientation(phantom: Phantom, orientation: str) -> None:
    picture, turned = (_drawn(_case(heart)) for heart in (phantom, _phantom(orientation=orientation)))
    assert picture.shape == turned.shape
    assert np.abs(_columns(picture)[0].astype(int) - _columns(turned)[0]).mean() < 12


def test_the_heart_fills_the_picture_however_large_the_image_is(phantom: Phantom) -> None:
    case = _case(phantom)
    rim = ((60, 60), (60, 60), (0, 0))
    wide = replace(case, **{name: np.pad(getattr(case, name), rim) for name in ("image", "reference", "prediction")})
    assert _share(_columns(_drawn(wide))[3], _GREEN, 60) == pytest.approx(
        _share(_columns(_drawn(case))[3], _GREEN, 60), rel=0.1
    )


def test_the_slices_with_most_wrong_pixels_are_shown(phantom: Phantom) -> None:
    case = _case(phantom)
    prediction = case.prediction.copy()
    labeled = np.flatnonzero(case.reference.any(axis=(0, 1)))
    prediction[..., labeled[0]] = 0
    prediction[..., labeled[-1]] = 0
    _, slices = case_picture(replace(case, prediction=prediction))
    assert {labeled[0] + 1, labeled[-1] + 1} < set(slices)


def test_where_nothing_is_wrong_the_middle_of_each_part_is_shown(squares: EvaluatedCase) -> None:
    stack = {name: np.repeat(getattr(squares, name), 9, axis=2) for name in ("image", "reference")}
    _, slices = case_picture(replace(squares, **stack, prediction=stack["reference"]))
    assert sorted(slices) == [2, 5, 8]


def test_an_image_without_a_heart_is_shown_whole(squares: EvaluatedCase) -> None:
    nothing = np.zeros_like(squares.reference)
    content, slices = case_picture(replace(squares, reference=nothing, prediction=nothing))
    assert slices == [1]
    assert Pillow.open(io.BytesIO(content)).height > 200


def test_an_animation_has_a_frame_for_each_slice_and_never_ends(phantom: Phantom, tmp_path: Path) -> None:
    animation = Pillow.open(write_animation(tmp_path / "a.gif", _case(phantom, shift=2)))
    assert animation.n_frames == 6
    assert animation.info["loop"] == 0


def test_an_animation_of_a_cine_has_a_frame_for_each_phase(phantom: Phantom, tmp_path: Path) -> None:
    animation = Pillow.open(write_animation(tmp_path / "a.gif", _case(phantom, slice(None))))
    frames = []
    for number in range(animation.n_frames):
        animation.seek(number)
        frames.append(_pool(_panes(animation)[1]))
    assert len(frames) == 3
    assert frames[phantom.ed_frame] > 1.2 * frames[phantom.es_frame]  # it beats


def test_its_panes_are_image_reference_and_prediction(phantom: Phantom, tmp_path: Path) -> None:
    case = _case(phantom)
    lost = replace(case, prediction=np.zeros_like(case.prediction))
    animation = Pillow.open(write_animation(tmp_path / "a.gif", lost))
    animation.seek(2)
    image, reference, prediction = _panes(animation)
    colors = [structure.color for structure in (STRUCTURES[name] for name in CANONICAL)]
    assert all(_share(reference, color, 4) > 0.002 for color in colors)
    assert not any(_share(pane, color, 4) for color in colors for pane in (image, prediction))


def _panes(animation: Pillow.Image) -> list[np.ndarray]:
    """Without the bars above and below, which hold text."""
    return np.array_split(np.asarray(animation.convert("RGB"))[24:-24], 3, axis=1)


def _pool(pane: np.ndarray) -> float:
    """Height of the outline of the LV."""
    outline = np.abs(pane.astype(int) - STRUCTURES["LV"].color).max(axis=2) < 8
    return float(np.ptp(np.argwhere(outline)[:, 0]))


def test_an_animation_stays_small_whatever_the_image(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(100, 30, (256, 256, 20)).astype(np.float32)
    labels = np.zeros(noise.shape, np.uint8)
    labels[20:230, 20:230] = 1
    path = write_animation(tmp_path / "a.gif", EvaluatedCase("noise", noise, labels, labels, np.eye(4), {"LV": 1}))
    assert path.stat().st_size < 1_000_000
    assert Pillow.open(path).n_frames == 20


def test_where_it_cannot_be_written_the_file_is_named(phantom: Phantom, tmp_path: Path) -> None:
    with pytest.raises(CardiacSegError, match=r"a\.gif"):
        write_animation(tmp_path / "missing" / "a.gif", _case(phantom))
