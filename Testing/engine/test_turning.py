"""The mean over turned copies: around the heart that of all eight, elsewhere the image itself."""

from __future__ import annotations

import numpy as np
import pytest

from CardiacSegLib.inference import turning


def mean_over_copies(look: Look, slices: np.ndarray, multiple: int) -> np.ndarray:
    return turning.mean_over_copies(look, slices, multiple, margin=16)


class Look:
    """A network that sees a heart where slices are bright, and is the surer the further to the right it is.

    Attributes:
        sizes: of all that it was shown, (N, H, W).
    """

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int, int]] = []

    def __call__(self, slices: np.ndarray) -> np.ndarray:
        self.sizes.append((len(slices), *slices.shape[2:]))
        assert slices.flags.c_contiguous
        slope = np.linspace(0.2, 0.8, slices.shape[3], dtype=np.float32)
        heart = np.where(slices[:, 0] > 0.5, slope, np.float32(0.0))
        return np.stack([1 - heart, heart], axis=1)


def slices_with_hearts(*boxes: tuple[int, int, int, int] | None, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A slice for each (top, bottom, left, right) of a bright box; a dark one for None."""
    slices = np.zeros((len(boxes), 1, *size), np.float32)
    for one, box in zip(slices, boxes):
        if box:
            one[0, box[0] : box[1], box[2] : box[3]] = 1
    return slices


def test_around_the_heart_it_is_the_mean_over_all_eight():
    found = mean_over_copies(Look(), slices_with_hearts((30, 50, 40, 60)), 8)
    # The image itself is seen as a whole; of the copies, which are 56 pixels wide from column 22 on, one has the slope
    # that way, two the other way, and those on their side up and down, which adds up to 1 for each pair.
    whole, part = np.linspace(0.2, 0.8, 128)[40:60], np.linspace(0.2, 0.8, 56)[40 - 22 : 60 - 22]
    expected = (whole + part + 2 * (1 - part) + 2) / 8
    np.testing.assert_allclose(found[0, 1, 30:50, 40:60], np.broadcast_to(expected, (20, 20)), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_most_of_the_image_is_looked_at_once():
    look = Look()
    mean_over_copies(look, slices_with_hearts((30, 50, 40, 60)), 8)
    assert look.sizes == [(1, 96, 128), *[(1, 56, 56)] * 7]


def test_slices_without_a_heart_are_looked_at_once_and_hearts_of_one_size_together():
    look = Look()
    mean_over_copies(look, slices_with_hearts(None, (30, 50, 40, 60), None, (10, 30, 80, 100), (40, 80, 20, 60)), 8)
    assert look.sizes == [(5, 96, 128), *[(2, 56, 56)] * 7, *[(1, 72, 72)] * 7]


@pytest.mark.parametrize("multiple", [8, 32])
def test_sizes_are_what_the_network_needs_or_those_of_the_image(multiple):
    look = Look()
    mean_over_copies(look, slices_with_hearts((5, 90, 0, 100), size=(96, 160)), multiple)
    assert all(number % multiple == 0 for _, *sides in look.sizes for number in sides)
    # As the copies on their side are seen, too.
    assert set(look.sizes[1:]) == {(1, 96, 136), (1, 136, 96)} if multiple == 8 else {(1, 96, 160), (1, 160, 96)}


@pytest.mark.parametrize("box", [(0, 20, 0, 20), (76, 96, 108, 128)])
def test_a_heart_at_the_edge_is_seen_whole(box):
    look = Look()
    found = mean_over_copies(look, slices_with_hearts(box), 8)
    assert look.sizes[1:] == [(1, 56, 56)] * 7
    heart = slices_with_hearts(box)[0, 0] > 0
    assert (found[0, 1][heart] > 0.2).all()
    assert (found[0, 1][~heart] == 0).all()


def test_what_a_slice_gets_depends_on_no_other():
    boxes = [(30, 50, 40, 60), None, (10, 90, 20, 80), (40, 60, 30, 50)]
    together = mean_over_copies(Look(), slices_with_hearts(*boxes), 8)
    for number, box in enumerate(boxes):
        alone = mean_over_copies(Look(), slices_with_hearts(box), 8)
        np.testing.assert_array_equal(alone[0], together[number])


def test_an_empty_image_stays_background():
    found = mean_over_copies(Look(), slices_with_hearts(None, None), 8)
    np.testing.assert_array_equal(found[:, 0], 1)
