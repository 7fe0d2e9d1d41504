"""Volumes and ventricular function from labels."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from CardiacSegLib.anatomy import ACDC
from CardiacSegLib.clinical.volumes import (
    find_phases,
    structure_volume_ml,
    ventricular_function,
    volume_curve_ml,
)
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.phantom import PhantomOptions, make_phantom

#: 2 x 2 x 10 mm, turned by 30 degrees and mirrored: 0.04 mL a voxel.
COS, SIN = np.cos(np.pi / 6), np.sin(np.pi / 6)
AFFINE = np.eye(4)
AFFINE[:3, :3] = np.array([[COS, SIN, 0], [SIN, -COS, 0], [0, 0, 1]]) * (2.0, 2.0, 10.0)
AFFINE[:3, 3] = (30.0, -40.0, 50.0)


def _phases_of(volumes_ml: np.ndarray) -> tuple[int, int]:
    """ED and ES of a ventricle in a single slice, from its volume in each frame."""
    return find_phases(volumes_ml[np.newaxis])


def _cine(**voxels: list[int]) -> np.ndarray:
    """Labels (10, 10, 5, T) with so many voxels of each structure in each frame."""
    numbers = {"LV": 1, "MYO": 2, "RV": 3}
    frames = len(next(iter(voxels.values())))
    flat = np.zeros((500, frames), np.uint8)
    for frame in range(frames):
        start = 0
        for name, counts in voxels.items():
            flat[start : start + counts[frame], frame] = numbers[name]
            start += counts[frame]
    return flat.reshape(10, 10, 5, frames)


def test_a_volume_is_the_voxels_times_their_size_however_the_image_lies() -> None:
    labels = _cine(LV=[100])[..., 0]
    assert structure_volume_ml(labels, 1, AFFINE) == pytest.approx(4.0)
    assert structure_volume_ml(labels, 2, AFFINE) == 0.0


def test_a_cine_gives_a_volume_for_each_frame() -> None:
    assert volume_curve_ml(_cine(LV=[100, 50, 75]), 1, AFFINE) == pytest.approx([4.0, 2.0, 3.0])


def test_function_follows_from_the_volumes() -> None:
    function = ventricular_function(_cine(LV=[60, 100, 40], MYO=[80, 75, 85], RV=[90, 120, 60]), AFFINE)
    assert (function.ed_frame, function.es_frame) == (1, 2)
    assert (function.lv.edv_ml, function.lv.esv_ml) == pytest.approx((4.0, 1.6))
    assert (function.lv.stroke_volume_ml, function.lv.ejection_fraction) == pytest.approx((2.4, 60.0))
    assert (function.rv.stroke_volume_ml, function.rv.ejection_fraction) == pytest.approx((2.4, 50.0))
    assert function.volumes_ml["MYO"][1] == pytest.approx(3.0)


def test_what_was_not_found_is_empty_and_never_zero() -> None:
    function = ventricular_function(_cine(LV=[100, 40], RV=[0, 60]), AFFINE)
    assert "MYO" not in function.volumes_ml
    assert function.rv.edv_ml is None
    assert function.rv.esv_ml == pytest.approx(2.4)
    assert function.rv.stroke_volume_ml is None
    assert function.rv.ejection_fraction is None
    assert function.lv.ejection_fraction == pytest.approx(60.0)


def test_a_single_volume_gives_volumes_and_no_function() -> None:
    function = ventricular_function(_cine(LV=[100], MYO=[75])[..., 0], AFFINE)
    assert {name: curve.tolist() for name, curve in function.volumes_ml.items()} == {
        "LV": [pytest.approx(4.0)],
        "MYO": [pytest.approx(3.0)],
    }
    assert function.ed_frame is None
    assert function.lv.ejection_fraction is None


def test_one_bad_frame_is_not_taken_for_end_systole() -> None:
    curve = 100 + 40 * np.cos(2 * np.pi * np.arange(20) / 20)
    curve[3] = 75.0  # its neighbors say about 125; the minimum, 60, lies at frame 10
    curve[17] = 160.0
    assert _phases_of(curve)[1] == 10
    curve[3] = 55.0
    assert _phases_of(curve)[1] == 10


def test_smoothing_goes_round_the_cycle() -> None:
    curve = 100 + 40 * np.cos(2 * np.pi * np.arange(20) / 20)
    assert _phases_of(curve) == (0, 10)
    assert _phases_of(np.roll(curve, 7)) == (7, 17)


def _beating_stack(frames: int = 20) -> np.ndarray:
    """Labels (10, 10, 6, T): five slices of 60 pixels that shrink to 20 in mid-cycle, and an empty one."""
    pixels = np.round(40 + 20 * np.cos(2 * np.pi * np.arange(frames) / frames)).astype(int)
    labels = np.zeros((100, 6, frames), np.uint8)
    for frame, count in enumerate(pixels):
        labels[:count, :5, frame] = 1
    return labels.reshape(10, 10, 6, frames)


def test_a_slice_that_flickers_at_the_base_does_not_decide() -> None:
    labels = _beating_stack()
    labels[:, :, 5, 9:11] = 1  # 100 pixels: in these two frames the volume is larger than in their neighbors
    labels[:, :, 5, 16:18] = 1
    total = volume_curve_ml(labels, 1, AFFINE)
    assert total.argmax() != 0 and total.argmin() != 10  # the volumes alone would mislead
    function = ventricular_function(labels, AFFINE)
    assert (function.ed_frame, function.es_frame) == (0, 10)
    assert function.lv.esv_ml == pytest.approx(total[10])


def test_a_slice_missed_in_one_frame_still_counts() -> None:
    labels = _beating_stack()
    labels[:, :, :4, 3] = 0
    function = ventricular_function(labels, AFFINE)
    assert (function.ed_frame, function.es_frame) == (0, 10)


def test_a_frame_that_was_missed_for_the_most_part_is_no_phase() -> None:
    labels = _beating_stack()
    labels[:, :, :4, [0, 10]] = 0
    function = ventricular_function(labels, AFFINE)
    assert (function.ed_frame, function.es_frame) in {(ed, es) for ed in (1, 19) for es in (9, 11)}


@pytest.mark.parametrize(("frames", "expected"), [((1, 0), (0, 1)), ((2, 1, 3), (2, 1))])
def test_two_or_three_phases_are_told_apart(frames: tuple[int, ...], expected: tuple[int, int]) -> None:
    labels = _cine(LV=[100 + 50 * frame for frame in frames])
    function = ventricular_function(labels, AFFINE)
    assert (function.ed_frame, function.es_frame) == expected


def test_a_frame_in_which_no_ventricle_was_found_is_not_end_systole() -> None:
    assert _phases_of(np.array([100.0, 0.0, 40.0, 80.0])) == (0, 2)


def test_frames_that_are_known_are_used() -> None:
    labels = _cine(LV=[60, 100, 40])
    assert ventricular_function(labels, AFFINE, frames=(0, 2)).lv.edv_ml == pytest.approx(2.4)
    with pytest.raises(CardiacSegError, match="3 frames"):
        ventricular_function(labels, AFFINE, frames=(0, 3))


def test_another_label_convention_is_another_order() -> None:
    function = ventricular_function(_cine(LV=[100, 40], RV=[30, 30]), AFFINE, convention=ACDC)
    assert function.rv.edv_ml is not None
    assert function.volumes_ml["RV"] == pytest.approx([4.0, 1.6])
    assert function.volumes_ml["LV"] == pytest.approx([1.2, 1.2])


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan)])
def test_an_affine_without_volume_is_refused(affine: np.ndarray) -> None:
    with pytest.raises(CardiacSegError, match="affine"):
        structure_volume_ml(np.ones((2, 2, 2), int), 1, affine)


@pytest.mark.parametrize("shape", [(4, 4), (2, 2, 2, 2, 2)])
def test_labels_of_other_dimensions_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CardiacSegError, match="dimensions"):
        ventricular_function(np.ones(shape, int), AFFINE)


@pytest.mark.parametrize("orientation", ["short-axis", "slices-first", "ACDC"])
def test_the_phantoms_function_is_measured_right(orientation: str) -> None:
    phantom = make_phantom(PhantomOptions(frames=12, orientation=orientation))
    function = ventricular_function(phantom.labels, phantom.affine)
    assert (function.ed_frame, function.es_frame) == (phantom.ed_frame, phantom.es_frame)
    assert function.lv.ejection_fraction == pytest.approx(60.0, abs=1.0)
    assert 1.05 * function.volumes_ml["MYO"][function.ed_frame] == pytest.approx(105.0, rel=0.012)


def test_acdc_patients_have_hearts_of_human_size(acdc_training: Path) -> None:
    path = acdc_training / "patient065" / "patient065_frame01_gt.nii.gz"
    labels = nibabel.load(path)
    affine = np.diag([*labels.header.get_zooms()[:3], 1.0])  # the header's affine says 1 mm
    function = ventricular_function(np.asanyarray(labels.dataobj), affine, convention=ACDC)
    values = {structure: float(curve[0]) for structure, curve in function.volumes_ml.items()}
    assert values == pytest.approx({"LV": 145.7, "MYO": 88.7, "RV": 177.9}, abs=0.1)
