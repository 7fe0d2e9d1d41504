"""Each preset of the augmentation does what it says, to images and labels alike."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.training import augmentation, intensities
from CardiacSegLib.training.augmentation import Augmentation, build_augmentation
from CardiacSegLib.training.choices import AUGMENTATIONS
from CardiacSegLib.training.store import SliceStore

every_preset = pytest.mark.parametrize("name", AUGMENTATIONS)


def a_store(images: torch.Tensor, labels: torch.Tensor | None = None) -> SliceStore:
    """Slices (N, S, S) of one case, with the middle of the slice as that of the heart."""
    labels = torch.zeros_like(images) if labels is None else labels
    centers = torch.full((len(images), 2), (images.shape[-1] - 1) / 2)
    return SliceStore(images.half(), labels.to(torch.uint8), centers, torch.zeros(len(images), dtype=torch.int64))


def drawn(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def without_intensities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the geometric part of every preset alone."""
    for name in ("change_intensities", "change_echoes"):
        monkeypatch.setattr(augmentation, name, lambda images, generator: images)


def test_every_name_has_a_line_and_a_preset():
    assert list(AUGMENTATIONS) == list(augmentation.PRESETS)
    assert all(AUGMENTATIONS.values())


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(CardiacSegError, match=r"augmentation 'strong' is not known; choose one of cardiac-mr, none"):
        build_augmentation("strong", 0, 0, 4)


class TestEveryPreset:
    @every_preset
    def test_gives_crops_with_a_channel_for_each_neighbor(self, name):
        store = a_store(torch.randn(6, 80, 80, generator=drawn()), torch.randint(3, (6, 80, 80), generator=drawn()))
        images, labels = build_augmentation(name, 8, neighbors=2, classes=3)(store, torch.arange(4), 48, drawn())
        assert (images.shape, images.dtype) == ((4, 5, 48, 48), torch.float32)
        assert (labels.shape, labels.dtype) == ((4, 1, 48, 48), torch.int64)
        assert images.isfinite().all()

    @every_preset
    def test_moves_labels_with_the_image(self, name, without_intensities):
        """The image is its own label: wherever it goes, whatever bends it, the label has to be there."""
        rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
        blobs = (torch.sin(rows / 6) * torch.cos(columns / 9 + rows / 30) > 0.2).float()[None]
        images, labels = build_augmentation(name, 16, 0, 2)(a_store(blobs, blobs), torch.zeros(64).long(), 64, drawn())
        assert ((images > 0.5) != (labels == 1)).float().mean() < 2e-3
        assert 0.1 < labels.float().mean() < 0.9

    @every_preset
    def test_invents_no_label(self, name):
        """Between 1 and 3 lies 2, which the slice does not hold; beyond its edge lies background."""
        labels = torch.ones(1, 64, 64)
        labels[:, 20:40, 24:40] = 3
        _, found = build_augmentation(name, 24, 0, 4)(a_store(labels, labels), torch.zeros(64).long(), 64, drawn())
        assert found.unique().tolist() == [0, 1, 3]

    @every_preset
    def test_draws_everything_from_the_generator(self, name):
        store = a_store(torch.randn(4, 80, 80, generator=drawn()), torch.randint(4, (4, 80, 80), generator=drawn()))
        state = torch.get_rng_state()
        first, again, other = (
            build_augmentation(name, 8, 1, 4)(store, torch.arange(4), 48, drawn(seed)) for seed in (5, 5, 6)
        )
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1], again[1])
        assert not torch.equal(first[0], other[0])

    @every_preset
    def test_does_not_change_the_store(self, name):
        images, labels = torch.randn(3, 80, 80).half(), torch.randint(4, (3, 80, 80), dtype=torch.uint8)
        store = a_store(images, labels)
        kept = images.clone(), labels.clone()
        build_augmentation(name, 8, 1, 4)(store, torch.arange(3), 48, drawn())
        assert torch.equal(store.images, kept[0])
        assert torch.equal(store.labels, kept[1])


def sources(preset: Augmentation, count: int = 256, size: int = 128, crop: int = 32) -> torch.Tensor:
    """Row and column in the slice that each pixel of each crop comes from, (count, crop, crop, 2).

    The slices hold their own rows and columns as intensities.
    """
    number = torch.arange(float(size))
    store = a_store(torch.stack([number[:, None].expand(size, size), number.expand(size, size)]))
    draws = [preset(store, torch.full((count,), axis), crop, drawn())[0] for axis in (0, 1)]
    return torch.cat(draws, 1).permute(0, 2, 3, 1)


def slopes(positions: torch.Tensor) -> torch.Tensor:
    """How the source moves with the row and the column of the crop: (N, H - 1, W - 1, 2, 2)."""
    along_rows, along_columns = positions.diff(dim=1)[:, :, :-1], positions.diff(dim=2)[:, :-1]
    return torch.stack([along_rows, along_columns], -1)


@pytest.mark.usefixtures("without_intensities")
class TestGeometry:
    """Crops of 32 pixels in slices of 128, never far from the middle: no pixel comes from beyond the edge."""

    def preset(self, name: str, **changes: float) -> Augmentation:
        return replace(build_augmentation(name, 8, 0, 4), anywhere=0, **changes)

    @every_preset
    def test_lets_crops_begin_at_every_place_within_the_shift(self, name):
        middles = sources(self.preset(name, bend=0, distort=0)).mean((1, 2)) - 63.5
        assert middles.abs().max() <= 8.51  # by half a pixel more where pixels are whole
        assert (middles.amax(0) > 7).all()
        assert (middles.amin(0) < -7).all()
        assert middles.mean(0).abs().max() < 1.5

    def test_none_moves_crops_by_whole_pixels_and_does_nothing_else(self):
        found = sources(self.preset("none"))
        torch.testing.assert_close(found, found.round(), atol=1e-3, rtol=0)
        torch.testing.assert_close(slopes(found), torch.eye(2).expand(256, 31, 31, 2, 2), atol=1e-3, rtol=0)

    def test_flips_turns_keeps_distances_and_takes_every_angle_and_both_sides(self):
        found = slopes(sources(self.preset("flips-turns")))
        matrix = found[:, 0, 0]
        torch.testing.assert_close(found, matrix[:, None, None].expand_as(found), atol=1e-2, rtol=0)
        torch.testing.assert_close(matrix @ matrix.transpose(1, 2), torch.eye(2).expand(256, 2, 2), atol=2e-2, rtol=0)
        flipped = (matrix.det() < 0).float().mean()
        assert 0.4 < flipped < 0.6
        angles = torch.atan2(matrix[:, 0, 1], matrix[:, 1, 1])
        assert torch.histc(angles, 8, -math.pi, math.pi).min() > 256 / 8 / 2

    def test_elastic_grid_bends_without_a_fold_and_turns_nothing_over(self):
        found = slopes(sources(self.preset("elastic-grid", bend=5 / 4)))  # as 5 in a crop of 128
        assert found.det().min() > 0
        assert found.det().flatten(1).std(1).median() > 0.05
        angles = torch.atan2(found[..., 0, 1], found[..., 1, 1])
        assert angles.mean((1, 2)).abs().max() < 0.5

    def test_elastic_grid_keeps_the_lines_of_its_grid_straight(self):
        found = slopes(sources(self.preset("elastic-grid", bend=0)))
        assert found[..., 0, 1].abs().max() < 1e-2
        assert found[..., 1, 0].abs().max() < 1e-2
        spacing = found[:, :, 0, 0, 0]
        torch.testing.assert_close(found[..., 0, 0], spacing[:, :, None].expand(-1, -1, 31), atol=1e-2, rtol=0)
        assert 0.5 < spacing.min() < 0.8
        assert 1.2 < spacing.max() < 2
        torch.testing.assert_close(spacing.mean(1), torch.ones(256), atol=0.01, rtol=0)

    def test_cardiac_mr_turns_flips_and_zooms(self):
        matrix = slopes(sources(self.preset("cardiac-mr", bend=0)))[:, 0, 0]
        assert 0.4 < (matrix.det() < 0).float().mean() < 0.6
        zoom = matrix.det().abs().sqrt().log()
        assert -0.34 < zoom.min() < -0.2
        assert 0.2 < zoom.max() < 0.34
        quarters = torch.atan2(matrix[:, 0, 1], matrix[:, 1, 1]) / (math.pi / 2)
        assert torch.histc(quarters.round() % 4, 4, 0, 4).min() > 256 / 4 / 2
        assert 10 < 90 * (quarters - quarters.round()).std() < 25

    def test_ultrasound_never_turns_a_heart_over(self):
        found = slopes(sources(self.preset("ultrasound", bend=2 / 4)))  # as 2 in a crop of 128
        assert found.det().min() > 0
        angles = torch.rad2deg(torch.atan2(found[:, :, :, 0, 1].mean((1, 2)), found[:, :, :, 1, 1].mean((1, 2))))
        assert angles.abs().max() < 40
        assert 5 < angles.std() < 12

    def test_draws_the_same_as_the_plain_way(self):
        """Whole batches at once, one field after another by MONAI's and torch's own interpolation."""
        rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
        waves = torch.stack([torch.sin(rows / 5 + number) * torch.cos(columns / 7 - number) for number in range(5)])
        store, chosen = a_store(waves, (3 * waves.abs()).round()), torch.tensor([0, 2, 4, 1, 3, 3])
        preset = build_augmentation("cardiac-mr", 12, 1, 4)
        images, labels = preset(store, chosen, 48, drawn(4))
        plain_images, plain_labels = plainly(preset, store, chosen, 48, drawn(4))
        torch.testing.assert_close(images, plain_images, atol=1e-3, rtol=0)
        assert (labels != plain_labels).float().mean() < 1e-3


def plainly(
    preset: Augmentation, store: SliceStore, chosen: torch.Tensor, crop: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The geometry of the preset for cardiac MR, written down without a thought of time."""
    count, size = len(chosen), store.images.shape[-1]
    near = store.centers[chosen] + preset.shift * (2 * torch.rand(count, 2, generator=generator) - 1)
    far = size * (0.15 + 0.7 * torch.rand(count, 2, generator=generator))
    center = torch.where(torch.rand(count, 1, generator=generator) < preset.anywhere, far, near)
    angle = torch.randint(4, (count,), generator=generator) * (math.pi / 2)
    angle = angle + math.radians(preset.tilt) * torch.randn(count, generator=generator)
    zoom = preset.scale * (2 * torch.rand(count, 1, generator=generator) - 1)
    factor = (zoom + preset.stretch * (2 * torch.rand(count, 2, generator=generator) - 1)).exp()
    factor[:, 0] *= 1 - 2 * torch.randint(2, (count,), generator=generator)
    strength = preset.bend * torch.rand(count, 1, 1, 1, generator=generator)
    strength = strength * (torch.rand(count, 1, 1, 1, generator=generator) < 0.5)
    coarse = 2 * torch.rand(count, 2, 6, 6, generator=generator) - 1
    bending = strength * F.interpolate(coarse, (crop, crop), mode="bicubic", align_corners=True)
    axis = torch.arange(crop) - (crop - 1) / 2
    row, column = (
        (bending[:, number] + axis.view(shape)) * factor[:, number, None, None]
        for number, shape in enumerate([(-1, 1), (1, -1)])
    )
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    row, column = cosine * row - sine * column, sine * row + cosine * column
    places = torch.stack([column + center[:, 1, None, None], row + center[:, 0, None, None]], -1)
    direction = 1 - 2 * torch.randint(2, (count, 1), generator=generator)
    alone = torch.rand(count, 1, generator=generator) < preset.alone
    images = store.with_neighbors(chosen, torch.tensor([-1, 0, 1]) * direction)
    images = images * (~alone | torch.tensor([False, True, False]))[:, :, None, None]
    shares = F.one_hot(store.labels[chosen].long(), preset.classes).movedim(-1, 1).float()
    sampled = F.grid_sample(torch.cat([images, shares], 1), (2 * places + 1) / size - 1, align_corners=False)
    return sampled[:, :3], sampled[:, 3:].argmax(1, keepdim=True)


class TestNeighbors:
    #: Slices as bright as their number.
    STORE = a_store(torch.arange(1.0, 6)[:, None, None].expand(5, 32, 32))

    def seen(self, name: str) -> set[tuple[int, ...]]:
        preset = replace(build_augmentation(name, 0, 1, 4), anywhere=0)
        images, _ = preset(self.STORE, torch.full((100,), 2), 16, drawn())
        return {tuple(one.round().int().tolist()) for one in images[:, :, 8, 8]}

    def test_stay_as_they_are_without_augmentation(self):
        assert self.seen("none") == {(2, 3, 4)}

    @pytest.mark.usefixtures("without_intensities")
    @pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS) - {"none"}))
    def test_come_in_either_order_or_not_at_all_with_it(self, name):
        assert self.seen(name) == {(2, 3, 4), (4, 3, 2), (0, 3, 0)}


def a_bright_square() -> torch.Tensor:
    """Sixty-four samples of two channels: 3 in a square, 1 along its edge, 0 around it."""
    images = torch.zeros(64, 2, 48, 48)
    images[:, :, 14:34, 14:34] = 1.0
    images[:, :, 16:32, 16:32] = 3.0
    return images


def noise_of(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Deviation within the square and far from it, for each sample."""
    return images[:, :, 18:30, 18:30].std((1, 2, 3)), images[:, :, :12].std((1, 2, 3))


class TestIntensities:
    @pytest.mark.parametrize("name", ["none", "flips-turns", "elastic-grid"])
    def test_are_left_alone_by_the_geometric_presets(self, name):
        """A flat slice has no detail to lose to interpolation: it stays flat, at its own value."""
        store = a_store(torch.full((1, 96, 96), 2.5))
        images, _ = replace(build_augmentation(name, 4, 0, 4), anywhere=0)(store, torch.zeros(64).long(), 32, drawn())
        torch.testing.assert_close(images, torch.full_like(images, 2.5))

    @pytest.mark.parametrize("change", [intensities.change_intensities, intensities.change_echoes])
    def test_change_for_most_samples_and_not_for_all(self, change):
        images = torch.cat([a_bright_square()] * 4)
        changed = change(images, drawn())
        same = (changed == images).flatten(1).all(1).float().mean()
        assert 0.005 < same < 0.15
        assert torch.equal(images, torch.cat([a_bright_square()] * 4))

    @pytest.mark.parametrize("change", [intensities.change_intensities, intensities.change_echoes])
    @pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
    def test_of_a_flat_image_stay_finite(self, change, value):
        assert change(torch.full((64, 1, 32, 32), value), drawn()).isfinite().all()

    @pytest.mark.parametrize(
        "change",
        [
            "window",
            "gamma",
            "contrast_and_brightness",
            "bias_field",
            "gain",
            "speckle",
            "blur",
            "low_resolution",
            "noise",
        ],
    )
    def test_keep_what_is_bright_bright_and_change_every_sample(self, change):
        changed = getattr(intensities, change)(a_bright_square(), drawn())
        assert changed.shape == a_bright_square().shape
        inside, outside = changed[:, :, 20:28, 20:28].mean((1, 2, 3)), changed[:, :, :12].mean((1, 2, 3))
        assert (inside > outside + 1).all()
        assert (changed != a_bright_square()).flatten(1).any(1).all()

    @pytest.mark.parametrize("change", [intensities.bias_field, intensities.gain, intensities.speckle])
    def test_what_amplifies_counts_from_the_darkest_pixel(self, change):
        torch.testing.assert_close(change(a_bright_square() - 1, drawn()), change(a_bright_square(), drawn()) - 1)

    def test_gamma_bends_the_scale_and_keeps_its_ends(self):
        ramp = torch.linspace(-1, 4, 48).expand(64, 1, 48, 48)
        changed = intensities.gamma(ramp, drawn())
        torch.testing.assert_close(changed[..., [0, -1]], ramp[..., [0, -1]])
        assert (changed.diff(dim=-1) > 0).all()
        middle = changed[:, 0, 0, 24]
        assert middle.min() < 1.2 < 1.8 < middle.max()

    def test_a_window_cuts_off_both_ends_and_keeps_mean_and_deviation(self):
        ramp = torch.linspace(-2, 3, 48 * 48).reshape(1, 1, 48, 48).expand(64, 1, 48, 48)
        changed = intensities.window(ramp, drawn())
        for statistic in (torch.mean, torch.std):
            torch.testing.assert_close(statistic(changed, (1, 2, 3)), statistic(ramp, (1, 2, 3)), atol=1e-3, rtol=1e-3)
        steps = changed.flatten(1).diff(dim=1)
        assert (steps >= 0).all()
        assert (steps[:, 0] == 0).float().mean() > 0.6
        assert (steps[:, -1] == 0).float().mean() > 0.3
        assert (steps[:, 48 * 20] > 0).all()

    def test_gain_falls_along_one_direction_and_every_one_is_drawn(self):
        images = torch.ones(256, 1, 32, 32)
        images[:, :, 16, 16] = 0.0  # the darkest, from which a gain is counted
        changed = intensities.gain(images, drawn()).log()[:, 0]
        changed[:, 16, 16] = changed[:, 15, 15]
        down, right = changed.diff(dim=1)[:, :14], changed.diff(dim=2)[:, :14]
        torch.testing.assert_close(down, down[:, :1, :1].expand_as(down), atol=1e-4, rtol=0)
        torch.testing.assert_close(right, right[:, :1, :1].expand_as(right), atol=1e-4, rtol=0)
        angles = torch.atan2(down[:, 0, 0], right[:, 0, 0])
        assert torch.histc(angles, 8, -math.pi, math.pi).min() > 256 / 8 / 2

    def test_speckle_is_strong_where_the_image_is_bright_and_in_grains(self):
        changed = intensities.speckle(a_bright_square(), drawn())
        inside, outside = noise_of(changed)
        assert inside.median() > 0.1
        assert outside.max() < 1e-5
        detail = changed[:, :, 18:30, 18:30] - 3
        neighbors = (detail[..., 1:] * detail[..., :-1]).mean() / detail.square().mean()
        assert 0.3 < neighbors < 0.9

    def test_noise_is_as_strong_everywhere_and_in_single_pixels(self):
        changed = intensities.noise(a_bright_square(), drawn())
        inside, outside = noise_of(changed)
        torch.testing.assert_close(inside, outside, atol=0.05, rtol=0.1)
        assert 0.1 < outside.median() < 0.2
        detail = changed[:, :, :12]
        neighbors = (detail[..., 1:] * detail[..., :-1]).mean() / detail.square().mean()
        assert abs(neighbors) < 0.05

    @pytest.mark.parametrize(("change", "left"), [(intensities.low_resolution, 0.02), (intensities.blur, 0.8)])
    def test_fine_detail_is_lost_and_flat_parts_are_not(self, change, left):
        board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
        changed = change(board.expand(16, 1, 32, 32), drawn())
        assert changed[:, :, 4:-4, 4:-4].abs().amax((1, 2, 3)).max() < left
        torch.testing.assert_close(change(torch.ones(4, 1, 32, 32), drawn()), torch.ones(4, 1, 32, 32))

    def test_a_smooth_field_is_cubic_between_its_knots(self):
        field = intensities.smooth_field(3, 2, 40, 5, drawn())
        coarse = 2 * torch.rand(3, 2, 5, 5, generator=drawn()) - 1
        expected = F.interpolate(coarse, (40, 40), mode="bicubic", align_corners=True)
        torch.testing.assert_close(field, expected, atol=1e-5, rtol=1e-5)
