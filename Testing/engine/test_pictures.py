"""The picture with contours: looked at the way a person would, by its colors and its size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.phantom import Phantom, PhantomOptions, make_phantom
from CardiacSegLib.pictures import contour_picture


def _phantom(**changes: object) -> Phantom:
    return make_phantom(PhantomOptions(frames=3, slices=5, size=(80, 80), spacing=(3.0, 3.0, 18.0), **changes))


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return _phantom()


def _draw(phantom: Phantom, path: Path, **options: object) -> np.ndarray:
    frames = (("ED", phantom.ed_frame), ("ES", phantom.es_frame))
    return imread(contour_picture(phantom.image, phantom.labels, phantom.affine, path, **{"frames": frames, **options}))


def _pixels_of(picture: np.ndarray, name: str) -> np.ndarray:
    """Rows and columns of the pixels in a structure's color."""
    color = np.array(STRUCTURES[name].color) / 255
    return np.argwhere(np.abs(picture[..., :3] - color).max(axis=2) < 0.08)


@pytest.mark.parametrize("name", ["LV", "MYO", "RV"])
def test_each_structure_is_outlined_in_its_color(phantom: Phantom, tmp_path: Path, name: str) -> None:
    with_it = len(_pixels_of(_draw(phantom, tmp_path / "all.png"), name))
    labels = np.where(phantom.labels == list(STRUCTURES).index(name) + 1, 0, phantom.labels)
    path = contour_picture(phantom.image, labels, phantom.affine, tmp_path / "without.png", frames=(("ED", 0),))
    without_it = len(_pixels_of(imread(path), name))
    assert with_it > 300
    assert without_it < 30


def test_a_cine_has_a_row_for_each_phase(phantom: Phantom, tmp_path: Path) -> None:
    one = _draw(phantom, tmp_path / "one.png", frames=(("ED", 0),))
    two = _draw(phantom, tmp_path / "two.png")
    assert two.shape[0] > 1.2 * one.shape[0] or two.shape[1] > 1.2 * one.shape[1]
    assert len(_pixels_of(two, "RV")) > 1.3 * len(_pixels_of(one, "RV"))


@pytest.mark.parametrize("orientation", ["short-axis", "transposed", "slices-first", "ACDC"])
def test_in_any_orientation_the_right_ventricle_is_shown_on_the_left(tmp_path: Path, orientation: str) -> None:
    picture = _draw(_phantom(orientation=orientation), tmp_path / "picture.png", frames=(("ED", 0),))
    tiles = picture[: int(0.9 * len(picture))]  # not the legend
    assert _pixels_of(tiles, "RV")[:, 1].min() < _pixels_of(tiles, "LV")[:, 1].min() - 20


def test_pixels_keep_their_true_shape(tmp_path: Path) -> None:
    image = np.zeros((60, 30, 1))
    labels = np.zeros(image.shape, np.uint8)
    labels[20:40, 10:20] = 1  # 20 x 1 mm by 10 x 2 mm: a square
    path = contour_picture(image, labels, np.diag([-1.0, -2.0, 8.0, 1.0]), tmp_path / "square.png")
    picture = imread(path)
    height, width = np.ptp(_pixels_of(picture[: int(0.85 * len(picture))], "LV"), axis=0)
    assert height == pytest.approx(width, rel=0.06)


def test_a_single_volume_needs_no_frames(phantom: Phantom, tmp_path: Path) -> None:
    path = contour_picture(phantom.image[..., 0], phantom.labels[..., 0], phantom.affine, tmp_path / "one.png")
    assert len(_pixels_of(imread(path), "MYO")) > 300


def test_an_image_without_labels_is_shown_whole(phantom: Phantom, tmp_path: Path) -> None:
    nothing = np.zeros_like(phantom.labels)
    path = contour_picture(phantom.image, nothing, phantom.affine, tmp_path / "none.png", frames=(("ED", 0),))
    assert imread(path).shape[0] > 100


def test_a_frame_that_does_not_exist_is_named(phantom: Phantom, tmp_path: Path) -> None:
    with pytest.raises(CardiacSegError, match="ES is frame 7, but the image has 3 frames"):
        _draw(phantom, tmp_path / "picture.png", frames=(("ED", 0), ("ES", 7)))


def test_image_and_labels_must_share_a_grid(phantom: Phantom, tmp_path: Path) -> None:
    with pytest.raises(CardiacSegError, match="shape"):
        contour_picture(phantom.image, phantom.labels[..., 0], phantom.affine, tmp_path / "picture.png")


def test_where_it_cannot_be_written_the_error_names_the_file_and_nothing_is_left(
    phantom: Phantom, tmp_path: Path
) -> None:
    with pytest.raises(CardiacSegError, match=r"picture\.png"):
        _draw(phantom, tmp_path / "missing" / "picture.png")
    _draw(phantom, tmp_path / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
