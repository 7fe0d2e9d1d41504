"""Wall thickness, segments and diameters from labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from CardiacSegLib.clinical.rings import find_ring
from CardiacSegLib.clinical.wall import SEGMENTS, apex_is_last, measure_wall, thickening_percent
from CardiacSegLib.phantom import ORIENTATIONS, Phantom, PhantomOptions, make_phantom
from CardiacSegLib.phantom.grid import Grid
from CardiacSegLib.phantom.ventricles import Ventricles

OPTIONS = {"frames": 2, "slices": 12, "spacing": (1.5, 1.5, 8.0), "noise_level": 0.0, "seed": 3}

#: An array along the axes of RAS: the first index rises to the right, the second to the front, slices to the head.
UPRIGHT = np.diag([1.5, 1.5, 8.0, 1.0])


@pytest.fixture(scope="module")
def a_heart() -> Phantom:
    """End-diastole and end-systole in 8 mm slices."""
    return make_phantom(PhantomOptions(**OPTIONS))


def _true_levels(phantom: Phantom, frame: int) -> np.ndarray:
    """Mean of the phantom's analytic wall over the slices of the basal, middle and apical third, mm."""
    ventricles = Ventricles.from_options(phantom.options)
    planes = Grid.from_options(phantom.options, np.random.default_rng(0)).z
    inner = np.array([ventricles.endo(z)[frame] for z in planes])
    outer = np.array([ventricles.epi(z)[frame] for z in planes])
    thickness = (outer - inner)[inner > 0]
    level = (3.0 * (np.arange(len(thickness)) + 0.5) / len(thickness)).astype(int)
    return np.array([thickness[level == number].mean() for number in range(3)])


#: Where a side of a heart that lies along UPRIGHT is, degrees from the right, where the septum is, to the front.
SIDES = {"right": 0.0, "front": 90.0, "left": 180.0, "back": -90.0}


def _short_axis_heart(thick_side: str | None = None, twist: float = 0.0, thick_slices: int = 9) -> np.ndarray:
    """Labels (80, 80, 9) along UPRIGHT: a pool of 20 mm, a wall of 8 mm, and the right ventricle on the right.

    It covers 120 degrees of the wall, so that the insertions lie where the septal segments begin and end. The pool
    tapers a little from foot to head, so that the first slice is the base. One side may be thicker (:func:`_bump`),
    and each slice may be turned against the one before by ``twist`` degrees.
    """
    i, j = (np.mgrid[:80, :80] - 40) * 1.5
    radius, angle = np.hypot(i, j), np.degrees(np.arctan2(j, i))
    labels = np.zeros((80, 80, 9), np.uint8)
    for k in range(9):
        turned = (angle - twist * (k - 4) + 180) % 360 - 180
        pool = 20.0 - 0.4 * k
        wall = 8.0 + (_bump(turned, thick_side) if thick_side and k < thick_slices else 0.0)
        labels[..., k][(np.abs(turned) < 60) & (radius < pool + wall + 12)] = 3
        labels[..., k][radius < pool + wall] = 2
        labels[..., k][radius < pool] = 1
    return labels


def _bump(degrees: np.ndarray, side: str) -> np.ndarray:
    """How much thicker a wall is that is thick on one side, by direction, mm: 8 at most."""
    return 8.0 * np.exp(-((((degrees - SIDES[side] + 180) % 360 - 180) / 30.0) ** 2))


def _true_segments(side: str) -> np.ndarray:
    """Mean thickness of the 16 segments of such a wall, mm. The anterior insertion lies at 60 degrees."""
    middles = np.array([90, 30, -30, -90, -150, 150] * 2 + [90, 0, -90, 180])
    widths = np.array([60] * 12 + [90] * 4)
    around = np.linspace(-0.5, 0.5, 181)
    return np.array([8.0 + _bump(middle + width * around, side).mean() for middle, width in zip(middles, widths)])


@pytest.mark.parametrize("phase", [0, 1])
def test_the_walls_thickness_is_the_phantoms_own(a_heart: Phantom, phase: int) -> None:
    wall = measure_wall(a_heart.labels[..., phase], a_heart.affine)
    levels = [wall.segments_mm[:6].mean(), wall.segments_mm[6:12].mean(), wall.segments_mm[12:].mean()]
    assert levels == pytest.approx(_true_levels(a_heart, phase), abs=0.2)
    # Around the outline, which is no circle, the phantom's wall varies by 5 %.
    assert np.repeat(_true_levels(a_heart, phase), (6, 6, 4)) == pytest.approx(wall.segments_mm, abs=0.6)


def test_the_thickening_is_the_phantoms_own(a_heart: Phantom) -> None:
    ed, es = (measure_wall(a_heart.labels[..., phase], a_heart.affine) for phase in (0, 1))
    true_ed, true_es = (_true_levels(a_heart, phase) for phase in (0, 1))
    true = np.repeat(100 * (true_es - true_ed) / true_ed, (6, 6, 4))
    assert thickening_percent(ed, es) == pytest.approx(true, abs=8)


def test_the_diameter_is_that_of_the_pool_at_the_end_of_the_basal_third(a_heart: Phantom) -> None:
    ventricles = Ventricles.from_options(a_heart.options)
    for phase in (0, 1):
        planes = Grid.from_options(a_heart.options, np.random.default_rng(0)).z
        held = [z for z in planes if ventricles.endo(z)[phase] > 0]
        true = 2 * ventricles.endo(held[(len(held) + 1) // 3 - 1])[phase]
        measured = measure_wall(a_heart.labels[..., phase], a_heart.affine).diameter_mm
        assert measured == pytest.approx(true, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(
    pool=st.floats(8.0, 35.0),
    wall=st.floats(4.0, 20.0),
    rows=st.floats(0.8, 1.8),
    columns=st.floats(0.8, 1.8),
    shift=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
)
def test_a_ring_is_as_thick_as_it_was_drawn_whatever_the_pixels(
    pool: float, wall: float, rows: float, columns: float, shift: tuple[float, float]
) -> None:
    size = int(130 / min(rows, columns))
    y, x = np.mgrid[:size, :size]
    radius = np.hypot((y - size / 2 + shift[0]) * rows, (x - size / 2 + shift[1]) * columns)
    inside = radius < pool
    ring = find_ring(inside, (radius < pool + wall) & ~inside, np.zeros_like(inside), (rows, columns))
    third_of_a_pixel = max(0.35, 0.33 * max(rows, columns))
    assert ring.thickness.mean() == pytest.approx(wall, abs=third_of_a_pixel)
    assert np.mean(ring.inner) == pytest.approx(pool, abs=third_of_a_pixel)


def test_a_wall_that_is_no_circle_is_measured_across_and_not_along_rays() -> None:
    y, x = (np.mgrid[:160, :160] - 80) * 0.75
    inside = (y / 16) ** 2 + (x / 28) ** 2 < 1
    border = np.array([(16 * np.sin(t), 28 * np.cos(t)) for t in np.linspace(0, 2 * np.pi, 720)])
    distance = np.sqrt(((np.stack((y, x), -1)[:, :, None] - border) ** 2).sum(-1).min(-1))
    wall = ~inside & (distance < 8)
    ring = find_ring(inside, wall, np.zeros_like(inside), (0.75, 0.75))
    assert ring.thickness == pytest.approx(np.full(180, 8.0), abs=0.6)
    assert ring.thickness.mean() == pytest.approx(8.0, abs=0.1)
    assert (ring.outer - ring.inner).max() > 8.7  # what rays from the center would say


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_segments_do_not_depend_on_how_the_array_lies(orientation: str, a_heart: Phantom) -> None:
    other = make_phantom(PhantomOptions(**OPTIONS, orientation=orientation))
    expected = measure_wall(a_heart.labels[..., 0], a_heart.affine)
    found = measure_wall(other.labels[..., 0], other.affine)
    assert found.segments_mm == pytest.approx(expected.segments_mm, abs=1e-6)
    assert found.diameter_mm == pytest.approx(expected.diameter_mm)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(), (0,), (2,), (0, 1), (0, 1, 2)])
def test_a_turned_or_flipped_copy_has_the_same_segments(axes: Sequence[int], flips: Sequence[int]) -> None:
    labels = _short_axis_heart("front")
    expected = measure_wall(labels, UPRIGHT)
    affine = UPRIGHT.copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (labels.shape[axis] - 1)
        affine[:3, axis] *= -1
    turned = np.flip(labels, flips).transpose(axes)
    affine[:3, :3] = affine[:3, list(axes)]
    assert measure_wall(turned, affine).segments_mm == pytest.approx(expected.segments_mm, abs=1e-6)


@pytest.mark.parametrize("side", SIDES)
def test_a_thick_side_is_found_in_the_segments_of_that_side(side: str) -> None:
    """The septum is on the patient's right, where the right ventricle is; the anterior wall in front."""
    thickness = measure_wall(_short_axis_heart(side), UPRIGHT).segments_mm
    assert thickness == pytest.approx(_true_segments(side), abs=0.8)
    named = {"right": "septal", "front": "anterior", "left": "lateral", "back": "inferior"}[side]
    apical = np.roll(thickness[12:], -int(np.argmax(thickness[12:])))
    assert SEGMENTS[12 + int(np.argmax(thickness[12:]))] == f"apical {named}"
    assert apical[1] == pytest.approx(apical[3], abs=0.4)  # its neighbors on either side are alike


def test_segments_follow_the_right_ventricle_from_slice_to_slice() -> None:
    straight, twisted = (measure_wall(_short_axis_heart("front", twist), UPRIGHT) for twist in (0.0, 8.0))
    assert twisted.segments_mm == pytest.approx(straight.segments_mm, abs=0.4)


def test_the_base_is_found_whichever_end_of_the_stack_it_is_at() -> None:
    labels = _short_axis_heart()
    first, last = (apex_is_last(stack, UPRIGHT) for stack in (labels, labels[..., ::-1]))
    assert first != last
    thick_base = _short_axis_heart("front", thick_slices=3)
    for stack in (thick_base, thick_base[..., ::-1]):
        assert int(np.argmax(measure_wall(stack, UPRIGHT).segments_mm)) == 0


def test_slices_without_a_right_ventricle_take_the_septum_from_their_neighbors(a_heart: Phantom) -> None:
    labels = a_heart.labels[..., 0].copy()
    expected = measure_wall(labels, a_heart.affine)
    through = labels.shape.index(12)
    held = np.flatnonzero((labels == 3).any(axis=tuple(axis for axis in range(3) if axis != through)))
    for number in held[::2]:
        piece = labels[(slice(None),) * through + (number,)]
        piece[piece == 3] = 0
    assert measure_wall(labels, a_heart.affine).segments_mm == pytest.approx(expected.segments_mm, abs=0.25)


def test_without_any_right_ventricle_there_are_no_segments_and_a_reason() -> None:
    labels = _short_axis_heart()
    labels[labels == 3] = 0
    wall = measure_wall(labels, UPRIGHT)
    assert np.isnan(wall.segments_mm).all()
    assert wall.diameter_mm is None
    assert "right ventricle" in wall.reason
    assert wall.slices == 9


def test_a_slice_with_an_open_wall_does_not_count() -> None:
    labels = _short_axis_heart()
    labels[45:, 34:46, 0][labels[45:, 34:46, 0] == 2] = 0  # a sixth of it, as at the outflow tract
    assert measure_wall(labels, UPRIGHT).slices == 8


def test_labels_without_a_wall_give_a_reason() -> None:
    labels = _short_axis_heart()
    labels[labels == 2] = 0
    assert "all around" in measure_wall(labels, UPRIGHT).reason
    assert "no myocardium" in measure_wall(labels, UPRIGHT, convention={"LV": 1, "RV": 3}).reason


def test_one_ring_alone_is_no_basal_slice_and_fills_one_level() -> None:
    labels = _short_axis_heart()
    labels[..., 1:] = 0
    wall = measure_wall(labels, UPRIGHT)
    assert np.isfinite(wall.segments_mm).sum() == 6
    assert np.isfinite(wall.segments_mm[6:12]).all()
    assert "10 segments" in wall.reason
