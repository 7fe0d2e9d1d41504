"""Slices, their arrangement in space, and resampling in the plane of acquisition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.geometry import SliceView, resample_in_plane, resampling_matrix, slice_axis, voxel_spacing
from CardiacSegLib.inference.model_grid import ModelGrid, Stack


def an_affine(spacing: tuple[float, float, float], turned: bool = True) -> np.ndarray:
    directions = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0] if turned else np.eye(3)
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = (-20.0, 31.5, 7.25)
    return affine


def turned_copies(volume: np.ndarray, affine: np.ndarray):
    """The same voxels at the same places in every order and direction of the axes: 48 of them."""
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            turned, matrix = volume.transpose(order), affine[:, [*order, 3]].copy()
            for axis in np.flatnonzero(flips):
                turned = np.flip(turned, axis)
                matrix[:, 3] += matrix[:, axis] * (turned.shape[axis] - 1)
                matrix[:, axis] *= -1
            yield turned, matrix


class TestTheSliceAxis:
    def test_is_the_one_with_the_largest_spacing(self):
        for axis in range(3):
            spacing = np.roll((8.0, 1.4, 1.5), axis)
            assert slice_axis((30, 30, 30), an_affine(tuple(spacing))) == axis

    def test_is_that_of_a_single_slice_whatever_its_spacing(self):
        assert slice_axis((200, 1, 180), an_affine((1.5, 1.0, 8.0))) == 1

    def test_is_the_shortest_where_spacing_does_not_tell(self):
        assert slice_axis((12, 180, 200), an_affine((1.5, 1.5, 1.5))) == 0

    def test_is_the_last_where_nothing_tells(self):
        assert slice_axis((64, 64, 64), np.eye(4)) == 2

    def test_is_not_misled_by_pixels_that_are_not_square(self):
        assert slice_axis((200, 180, 10), an_affine((1.2, 1.9, 8.0))) == 2


def test_spacing_is_the_length_of_a_step_along_each_axis_however_oblique():
    np.testing.assert_allclose(voxel_spacing(an_affine((1.25, 1.75, 9.6))), (1.25, 1.75, 9.6), rtol=1e-12)


class TestTheViewOfAStack:
    def test_is_the_same_for_every_turned_and_flipped_copy(self):
        volume = np.random.default_rng(0).normal(size=(7, 9, 4))
        affine = an_affine((1.3, 1.7, 8.0))
        expected = SliceView.of_stack(volume.shape, affine)
        for turned, matrix in turned_copies(volume, affine):
            view = SliceView.of_stack(turned.shape, matrix)
            assert view.spacing == expected.spacing
            np.testing.assert_array_equal(view.slices(turned), expected.slices(volume))

    def test_puts_slices_back_where_they_came_from(self):
        volume = np.random.default_rng(0).normal(size=(7, 9, 4))
        for turned, matrix in turned_copies(volume, an_affine((1.3, 1.7, 8.0))):
            view = SliceView.of_stack(turned.shape, matrix)
            back = view.volume(view.slices(turned))
            np.testing.assert_array_equal(back, turned)
            assert back.flags.c_contiguous

    def test_has_left_on_the_right_and_back_at_the_bottom_of_an_axial_slice(self):
        volume = np.zeros((8, 8, 3))
        volume[0, :, :] = 1  # index 0 of R to L reversed: in RAS the lowest index is the patient's left
        volume[:, 0, :] += 2  # and, along A, the back
        seen = SliceView.of_stack(volume.shape, an_affine((1, 1, 8), turned=False)).slices(volume)
        assert (seen[:, :-1, -1] == 1).all()
        assert (seen[:, -1, :-1] == 2).all()


class TestResampling:
    @pytest.mark.parametrize("size", [1, 2, 7, 216])
    @pytest.mark.parametrize("spacing", [0.7, 1.0, 1.3671875])
    def test_to_the_same_grid_changes_nothing_to_the_last_bit(self, size, spacing):
        np.testing.assert_array_equal(resampling_matrix(size, spacing, size, spacing), np.eye(size, dtype=np.float32))

    @settings(max_examples=30, deadline=None)
    @given(
        size=st.integers(1, 40),
        new_size=st.integers(1, 40),
        spacing=st.floats(0.5, 3.0),
        new_spacing=st.floats(0.5, 3.0),
    )
    def test_keeps_a_constant_and_does_the_same_to_a_flipped_image(self, size, new_size, spacing, new_spacing):
        matrix = resampling_matrix(size, spacing, new_size, new_spacing)
        inside = matrix.any(axis=1)
        np.testing.assert_allclose(matrix[inside].sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(matrix[::-1, ::-1], matrix, atol=1e-5)
        assert (matrix >= 0).all()

    @pytest.mark.parametrize(("spacing", "new_spacing"), [(1.5, 1.0), (1.0, 1.5), (1.4, 1.5), (0.7, 1.5), (1.9, 1.5)])
    def test_keeps_a_ramp_where_it_is(self, spacing, new_spacing):
        """Half a pixel would be 0.5 mm or more; single samples move by a tenth of a millimeter at most, all by none."""
        size, new_size = 120, int(100 * spacing / new_spacing)
        old = (np.arange(size) - (size - 1) / 2) * spacing
        new = (np.arange(new_size) - (new_size - 1) / 2) * new_spacing
        found = resampling_matrix(size, spacing, new_size, new_spacing) @ old
        np.testing.assert_allclose(found, new, atol=0.1)
        assert abs(np.mean(found - new)) < 1e-6

    def test_is_exact_on_a_ramp_when_the_grid_gets_finer(self):
        old = np.arange(50) - 24.5
        found = resampling_matrix(50, 1.0, 160, 0.3) @ old
        np.testing.assert_allclose(found, (np.arange(160) - 79.5) * 0.3, atol=1e-5)

    def test_does_not_alias_when_the_grid_gets_coarser(self):
        """A pattern finer than the new grid turns gray rather than into a coarse pattern."""
        stripes = np.cos(np.pi * np.arange(201))
        found = resampling_matrix(201, 0.75, 101, 1.5) @ stripes
        assert np.abs(found[2:-2]).max() < 0.01

    def test_leaves_zero_outside_the_field_of_view_and_repeats_the_edge_within_it(self):
        found = resampling_matrix(4, 1.0, 12, 0.5) @ np.array([5.0, 6, 7, 8])
        np.testing.assert_allclose(found, [0, 0, 5, 5.25, 5.75, 6.25, 6.75, 7.25, 7.75, 8, 0, 0])

    def test_treats_rows_and_columns_by_their_own_spacing(self):
        rows, columns = np.meshgrid(np.arange(40) - 19.5, np.arange(30) - 14.5, indexing="ij")
        image = (rows * 1.0 + 100 * columns * 2.0).astype(np.float32)[None]
        found = resample_in_plane(image, (1.0, 2.0), (60, 90), (0.5, 0.5))
        rows, columns = np.meshgrid((np.arange(60) - 29.5) / 2, (np.arange(90) - 44.5) / 2, indexing="ij")
        np.testing.assert_allclose(found[0], rows + 100 * columns, atol=1e-2)
        assert found.dtype == np.float32


class TestTheModelGrid:
    def test_covers_the_field_of_view_with_a_size_that_the_network_takes(self):
        grid = ModelGrid(spacing=1.5, multiple=32)
        assert grid.size_for((256, 216), (1.5, 1.5)) == (256, 224)
        assert grid.size_for((256, 257), (1.5, 1.5)) == (256, 288)
        assert grid.size_for((20, 20), (0.7, 0.7)) == (32, 32)

    def test_does_not_add_a_row_for_an_error_of_rounding(self):
        assert ModelGrid(1.4, 1).size_for((10, 30), (0.7 * 1.0000000001, 0.7)) == (5, 15)

    def test_brings_any_scale_and_offset_of_intensities_to_the_same(self):
        image = np.random.default_rng(5).gamma(2.0, 100.0, (4, 30, 30))
        expected = ModelGrid().normalize(image)
        assert expected.dtype == np.float32
        assert abs(expected.mean()) < 1e-5
        assert abs(expected.std() - 1) < 1e-5
        for scaled in (image * 0.01, image * 1e30, image + 1e9):
            np.testing.assert_allclose(ModelGrid().normalize(scaled), expected, atol=1e-5)

    def test_is_not_moved_by_a_few_bright_voxels(self):
        image = np.random.default_rng(5).gamma(2.0, 100.0, (4, 50, 50))
        spoiled = image.copy()
        spoiled[0, 0, :8] = 1e6
        np.testing.assert_allclose(ModelGrid().normalize(spoiled)[1:], ModelGrid().normalize(image)[1:], atol=0.05)

    def test_takes_an_image_in_which_nearly_all_voxels_are_the_same(self):
        image = np.zeros((1, 100, 100))
        image[0, 50, 50] = 3.0
        found = ModelGrid().normalize(image)
        assert np.isfinite(found).all()
        assert found.argmax() == 50 * 100 + 50

    @pytest.mark.parametrize(
        ("value", "message"), [(7, "constant"), (0, "constant"), (np.nan, "NaN"), (np.inf, "infinite")]
    )
    def test_refuses_what_cannot_be_normalized(self, value, message):
        image = np.full((2, 8, 8), 7.0)
        image[0, 0, 0] = value if np.isnan(value) or np.isinf(value) else 7.0
        with pytest.raises(CardiacSegError, match=message):
            ModelGrid().normalize(image)


class TestAStack:
    def test_comes_back_from_the_grid_of_the_model_where_it_was(self):
        """A smooth blob off the center, there and back: its middle moves by less than a hundredth of a pixel."""
        rows, columns = np.meshgrid(np.arange(90), np.arange(70), indexing="ij")
        blob = np.exp(-((rows - 30.3) ** 2 + (columns - 41.8) ** 2) / 50)
        volume = np.repeat(blob[:, :, None], 3, axis=2)
        grid = ModelGrid(1.5, 16)
        for turned, matrix in turned_copies(volume, an_affine((1.1, 1.3, 8.0))):
            stack = Stack.from_volume(turned, matrix)
            seen = stack.on_grid(grid)
            assert seen.shape[0] == 3
            assert seen.shape[1] % 16 == 0
            assert seen.shape[2] % 16 == 0
            back = stack.from_grid(seen - seen.min(), grid)
            assert back.shape == stack.slices.shape
            weights = back[0] ** 2
            expected = stack.slices[0] ** 2
            for axis in (0, 1):
                position = np.arange(weights.shape[axis])
                middles = [np.average(position, weights=part.sum(axis=1 - axis)) for part in (weights, expected)]
                assert abs(middles[0] - middles[1]) < 0.01

    def test_never_mixes_slices(self):
        volume = np.random.default_rng(0).normal(size=(20, 20, 5))
        stack = Stack.from_volume(volume, an_affine((1.5, 1.5, 8.0)))
        slices = ModelGrid(1.5, 4).normalize(stack.slices)
        np.testing.assert_allclose(stack.on_grid(ModelGrid(1.5, 4)), slices, atol=1e-6)
