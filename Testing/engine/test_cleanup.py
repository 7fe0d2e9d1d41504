"""What anatomy says about labels: one piece of each structure, and no holes."""

from __future__ import annotations

import numpy as np
import pytest

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.inference.cleanup import clean_up

LV, MYO, RV = (CANONICAL[name] for name in ("LV", "MYO", "RV"))


@pytest.fixture
def a_heart() -> np.ndarray:
    """Five slices (K, H, W): a pool in a wall, and a right ventricle beside it."""
    labels = np.zeros((5, 40, 50), np.uint8)
    labels[:, 10:30, 20:40] = MYO
    labels[:, 14:26, 24:36] = LV
    labels[:, 12:28, 8:20] = RV
    return labels


def cleaned(labels: np.ndarray, likeliest: int | np.ndarray = MYO) -> np.ndarray:
    return clean_up(labels, np.broadcast_to(np.uint8(likeliest), labels.shape), CANONICAL)


def test_a_whole_heart_stays_as_it_is(a_heart):
    np.testing.assert_array_equal(cleaned(a_heart), a_heart)


def test_the_input_is_not_changed(a_heart):
    a_heart[2, 2:5, 2:5] = LV
    a_heart[2, 18, 28] = 0
    copy = a_heart.copy()
    result = cleaned(a_heart)
    np.testing.assert_array_equal(a_heart, copy)
    assert result is not a_heart
    assert not np.shares_memory(result, a_heart)
    assert result.dtype == np.uint8


def test_labels_without_a_heart_stay_empty():
    empty = np.zeros((3, 8, 8), np.uint8)
    result = cleaned(empty)
    assert not result.any()
    assert result is not empty


@pytest.mark.parametrize("number", [LV, MYO, RV])
def test_a_piece_far_from_the_heart_goes(a_heart, number):
    expected = a_heart.copy()
    a_heart[1:3, 2:6, 42:48] = number
    np.testing.assert_array_equal(cleaned(a_heart), expected)


@pytest.mark.parametrize("number", [LV, RV])
def test_a_piece_that_hangs_on_the_heart_but_not_on_its_structure_goes(a_heart, number):
    expected = a_heart.copy()
    a_heart[2, 12:16, 40:43] = number
    np.testing.assert_array_equal(cleaned(a_heart), expected)


@pytest.mark.parametrize(("number", "around"), [(RV, LV), (MYO, LV), (LV, MYO), (RV, MYO)])
def test_a_piece_within_another_structure_becomes_that_one(a_heart, number, around):
    """Whatever the network holds for likeliest there: that is how the piece came about."""
    expected = a_heart.copy()
    place = (2, slice(18, 21), slice(28, 31)) if around == LV else (4, slice(11, 13), slice(30, 33))
    if number == LV:  # on its own, with no pool beside it or above it
        a_heart[3:][a_heart[3:] == LV] = MYO
        expected = a_heart.copy()
        place = (4, slice(18, 21), slice(28, 31))
    assert (a_heart[place] == around).all()
    a_heart[place] = number
    np.testing.assert_array_equal(cleaned(a_heart, a_heart), expected)


def test_a_slice_that_is_cut_off_from_the_others_goes(a_heart):
    a_heart[3] = 0
    result = cleaned(a_heart)
    assert not result[3:].any()
    np.testing.assert_array_equal(result[:3], a_heart[:3])


def test_a_thin_wall_that_touches_at_corners_stays():
    labels = np.zeros((1, 12, 12), np.uint8)
    labels[0, range(2, 10), range(2, 10)] = MYO
    np.testing.assert_array_equal(cleaned(labels), labels)


@pytest.mark.parametrize("likeliest", [LV, MYO])
def test_a_hole_gets_the_likeliest_structure(a_heart, likeliest):
    """Between pool and wall, where it may belong to either."""
    a_heart[2, 13:15, 28:30] = 0
    expected = a_heart.copy()
    expected[2, 13:15, 28:30] = likeliest
    np.testing.assert_array_equal(cleaned(a_heart, likeliest), expected)


def test_a_hole_at_the_edge_of_the_image_is_no_hole(a_heart):
    """The right ventricle cut by the edge of the image and open there."""
    labels = a_heart[:, 10:30]
    labels[2, 0, 25:30] = 0
    np.testing.assert_array_equal(cleaned(labels), labels)


def test_a_hole_is_closed_within_its_slice_even_where_its_neighbors_are_open(a_heart):
    a_heart[2, 18:20, 28:30] = 0
    a_heart[[1, 3], 10:30, 28:30] = 0
    result = cleaned(a_heart, LV)
    assert (result[2, 18:20, 28:30] == LV).all()
    assert not result[1, 10:30, 28:30].any()


def test_background_between_slices_is_no_hole(a_heart):
    """A ring above and below an empty middle encloses nothing within a slice."""
    labels = np.zeros((3, 12, 12), np.uint8)
    labels[:, 2:10, 2:10] = MYO
    labels[1, 2:10, 4:8] = 0
    np.testing.assert_array_equal(cleaned(labels), labels)


def test_of_two_pieces_the_larger_stays_wherever_it_lies():
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[0, 2:5, 2:5] = LV
    labels[2:, 10:16, 10:16] = LV
    result = cleaned(labels, LV)
    assert not result[0].any()
    assert (result[2:, 10:16, 10:16] == LV).all()
