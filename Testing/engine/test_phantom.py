"""The phantom: its volumes are what was asked for, its voxels agree with them, its geometry is sound."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.phantom import ORIENTATIONS, Phantom, PhantomOptions, make_phantom


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom()


def _small(**changes: Any) -> PhantomOptions:
    return PhantomOptions(**{"frames": 3, "size": (72, 64), "spacing": (3.0, 3.2, 10.0), **changes})


def _labeled_ml(phantom: Phantom, name: str) -> np.ndarray:
    voxel = abs(np.linalg.det(phantom.affine[:3, :3])) / 1000
    return (phantom.labels == CANONICAL[name]).sum(axis=(0, 1, 2)) * voxel


def _position(phantom: Phantom, number: int, frame: int = 0) -> np.ndarray:
    """Where a structure's middle lies in the patient, RAS mm."""
    index = np.argwhere(phantom.labels[..., frame] == number).mean(axis=0)
    return phantom.affine[:3, :3] @ index + phantom.affine[:3, 3]


def test_the_default_cine_has_the_promised_arrays(phantom: Phantom) -> None:
    assert phantom.image.shape == phantom.labels.shape == (192, 192, 10, 20)
    assert (phantom.image.dtype, phantom.labels.dtype) == (np.int16, np.uint8)
    assert set(np.unique(phantom.labels)) == {0, *CANONICAL.values()}
    assert phantom.affine.shape == (4, 4)


def test_the_true_volumes_are_those_asked_for() -> None:
    options = _small(lv_edv_ml=180.0, lv_esv_ml=90.0, rv_edv_ml=170.0, rv_esv_ml=80.0, lv_mass_g=126.0)
    phantom = make_phantom(options)
    volumes = phantom.volumes_ml
    assert volumes["LV"][[phantom.ed_frame, phantom.es_frame]] == pytest.approx([180.0, 90.0])
    assert volumes["RV"][[phantom.ed_frame, phantom.es_frame]] == pytest.approx([170.0, 80.0])
    assert volumes["MYO"] == pytest.approx(126.0 / 1.05)


@pytest.mark.parametrize("name", CANONICAL)
def test_default_labels_hold_the_true_volumes_at_ed_and_es(phantom: Phantom, name: str) -> None:
    phases = [phantom.ed_frame, phantom.es_frame]
    assert _labeled_ml(phantom, name)[phases] == pytest.approx(phantom.volumes_ml[name][phases], rel=0.012)


def test_fine_voxels_hold_the_true_volumes_at_ed_and_es_more_closely() -> None:
    options = PhantomOptions(frames=2, size=(150, 150), spacing=(1.2, 1.2, 2.5), slices=36, seed=3)
    phantom = make_phantom(options)
    for name in CANONICAL:
        assert _labeled_ml(phantom, name) == pytest.approx(phantom.volumes_ml[name], rel=0.005)


def test_thin_slices_hold_the_true_volumes_in_every_frame() -> None:
    options = PhantomOptions(frames=4, size=(84, 84), spacing=(2.2, 2.2, 0.5), slices=170)
    phantom = make_phantom(options)
    for name in CANONICAL:
        assert _labeled_ml(phantom, name) == pytest.approx(phantom.volumes_ml[name], rel=0.012)


def test_the_heart_beats_as_a_heart_does(phantom: Phantom) -> None:
    curve = phantom.volumes_ml["LV"]
    assert phantom.ed_frame == int(np.argmax(curve)) == 0
    assert phantom.es_frame == int(np.argmin(curve))
    assert 0.33 <= phantom.es_frame / len(curve) <= 0.4
    assert (np.diff(curve[: phantom.es_frame + 1]) < 0).all()
    assert (np.diff(curve[phantom.es_frame :]) >= -1e-9).all()
    assert curve[-1] < curve[0] < 1.05 * curve[-1], "the last frame leads into the first"


def test_the_right_ventricle_wraps_the_septum_and_the_pool_lies_within_the_muscle(phantom: Phantom) -> None:
    labels = phantom.labels[:, :, 5, 0]
    pool = np.argwhere(labels == CANONICAL["LV"])
    neighbors = {int(labels[i + di, j + dj]) for i, j in pool for di, dj in ((0, 1), (1, 0), (0, -1), (-1, 0))}
    assert neighbors == {CANONICAL["LV"], CANONICAL["MYO"]}
    assert np.argwhere(labels == CANONICAL["RV"])[:, 0].mean() < pool[:, 0].mean()


def test_the_first_and_the_last_slice_hold_no_heart(phantom: Phantom) -> None:
    assert not phantom.labels[:, :, [0, -1]].any()


def test_blood_is_bright_and_muscle_dark_and_the_lung_darker(phantom: Phantom) -> None:
    image, labels = phantom.image[:, :, 5, 0], phantom.labels[:, :, 5, 0]
    blood, muscle = (image[labels == CANONICAL[name]].mean() for name in ("LV", "MYO"))
    assert 0.25 * blood < muscle < 0.55 * blood
    assert np.percentile(image, 20) < 0.4 * muscle


def test_without_contrast_blood_and_muscle_look_alike() -> None:
    phantom = make_phantom(_small(contrast=0.0, noise_level=0.0, bias_strength=0.0))
    image, labels = phantom.image[..., 5, 0], phantom.labels[..., 5, 0]
    assert image[labels == CANONICAL["LV"]].mean() == pytest.approx(image[labels == CANONICAL["MYO"]].mean(), rel=0.15)


def test_the_same_options_give_the_same_phantom_and_another_seed_another() -> None:
    first, again, other = (make_phantom(_small(seed=seed)) for seed in (4, 4, 5))
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("orientation", ["base-first", "flipped", "transposed", "slices-first"])
def test_in_every_clinical_orientation_the_heart_lies_at_one_place_in_the_patient(orientation: str) -> None:
    expected, turned = make_phantom(_small()), make_phantom(_small(orientation=orientation))
    assert not np.array_equal(turned.affine, expected.affine)
    for number in CANONICAL.values():
        assert _position(turned, number) == pytest.approx(_position(expected, number), abs=1e-6)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_has_the_spacing_asked_for(orientation: str) -> None:
    phantom = make_phantom(_small(orientation=orientation))
    spacing = np.linalg.norm(phantom.affine[:3, :3], axis=0)
    extent = spacing * phantom.image.shape[:3]
    assert sorted(spacing) == pytest.approx([3.0, 3.2, 10.0])
    assert sorted(extent) == pytest.approx(sorted([72 * 3.0, 64 * 3.2, 10 * 10.0]))


def test_in_the_patient_the_left_ventricle_is_left_of_and_behind_the_right(phantom: Phantom) -> None:
    right, anterior, _ = _position(phantom, CANONICAL["LV"]) - _position(phantom, CANONICAL["RV"])
    assert right < -10
    assert anterior < -10
    assert np.linalg.det(phantom.affine[:3, :3]) > 0


def test_the_acdc_orientation_has_the_header_that_slicer_reads() -> None:
    phantom = make_phantom(_small(orientation="ACDC"))
    assert np.array_equal(phantom.affine[:3, :3], np.diag([-3.0, -3.2, 10.0]))


def test_directions_can_be_given_as_a_matrix() -> None:
    turn = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    phantom = make_phantom(_small(orientation=turn.tolist()))
    assert phantom.affine[:3, :3] == pytest.approx(turn * (3.0, 3.2, 10.0))


def test_breath_hold_shifts_move_the_labels_of_each_slice() -> None:
    still, shifted = (make_phantom(_small(slice_shift_mm=shift, spacing=(1.5, 1.5, 10.0))) for shift in (0.0, 6.0))

    def steps(phantom: Phantom) -> np.ndarray:
        middles = [np.argwhere(phantom.labels[:, :, k, 0] == CANONICAL["LV"]).mean(axis=0) for k in range(2, 9)]
        return np.linalg.norm(np.diff(middles, axis=0), axis=1) * 1.5

    assert steps(still).max() < 1.5
    assert steps(shifted).max() > 3.0


def test_the_diaphragm_moves_below_the_heart_and_not_above() -> None:
    def change(motion: float) -> tuple[float, float]:
        options = _small(diaphragm_motion_mm=motion, noise_level=0.0, orientation="ACDC", frames=2)
        image = make_phantom(options).image[:, :, -1].astype(float)
        moved = np.abs(image[..., 1] - image[..., 0])
        return float(moved[:, 36:].mean()), float(moved[:, :24].mean())

    assert change(0.0)[0] < 0.5
    below, above = change(4.0)
    assert below > 3.0
    assert above < 0.5


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": 1},
        {"slices": 1},
        {"size": (20, 24)},
        {"size": (1, 1)},
        {"slices": 30, "spacing": (3.0, 3.0, 3.0)},
        {"spacing": (6.0, 2.0, 25.0)},
    ],
)
def test_unusual_grids_are_drawn(changes: dict[str, Any]) -> None:
    options = _small(**changes)
    phantom = make_phantom(options)
    assert phantom.image.shape == (*options.size, options.slices, options.frames)
    assert all(np.isfinite(curve).all() and len(curve) == options.frames for curve in phantom.volumes_ml.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": 0},
        {"slices": 2.5},
        {"size": (0, 10)},
        {"size": (10, 10, 10)},
        {"spacing": (1.0, -1.0, 8.0)},
        {"spacing": (1.0, 1.0, float("nan"))},
        {"lv_esv_ml": 0.0},
        {"rv_esv_ml": 500.0},
        {"lv_mass_g": -1.0},
        {"base_descent_mm": 80.0},
        {"noise_level": -0.1},
        {"contrast": 9.0},
        {"seed": -1},
        {"orientation": "sideways"},
        {"orientation": [[1, 0, 0], [0, 2, 0], [0, 0, 1]]},
        {"orientation": [[1, 0], [0, 1]]},
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line_that_names_the_field(changes: dict[str, Any]) -> None:
    with pytest.raises(CardiacSegError, match=next(iter(changes))) as error:
        _small(**changes)
    assert "\n" not in str(error.value)


def test_the_default_cine_takes_seconds() -> None:
    start = time.process_time()
    make_phantom()
    assert time.process_time() - start < 6.0


def test_the_frames_divide_a_heartbeat():
    phantom = make_phantom(PhantomOptions(frames=20, slices=3, heart_rate=60.0))
    np.testing.assert_allclose(phantom.frame_times, np.arange(20) * 50.0)
