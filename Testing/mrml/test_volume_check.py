"""A person who picks the wrong volume is told so; one who picks a short-axis stack is left in peace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from CardiacSegLib.datasets.layouts import find_cases
from CardiacSegLib.images import read_image
from CardiacSegLib.mrml.volume_check import short_axis_warning
from CardiacSegLib.mrml.volumes import affine_of_volume_node, image_from_volume_node
from CardiacSegLib.phantom import PhantomOptions, make_phantom
from CardiacSegLib.phantom.orientation import ORIENTATIONS


def an_affine(spacing: tuple[float, float, float], tilt: float = 0.0, order: tuple[int, int, int] = (0, 1, 2)):
    """Voxels of that spacing, their last axis tilted by degrees from the body's; and the axes in another order."""
    turn = np.radians(tilt)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    affine = np.eye(4)
    affine[:3, :3] = (rotation * spacing)[:, order]
    return affine


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((216, 256, 10), np.diag([-1.5625, -1.5625, 10.0, 1.0])),  # ACDC: nothing is known of its orientation
        ((256, 256, 12), an_affine((1.3, 1.3, 8.0), 45.0)),
        ((12, 256, 256), an_affine((1.3, 1.3, 8.0), 45.0, (2, 0, 1))),
        ((128, 128, 21), an_affine((1.9, 1.9, 5.0), 30.0)),
        ((512, 512, 6), an_affine((0.7, 0.7, 10.0), 60.0)),
        ((288, 288, 30), an_affine((1.0, 1.0, 4.0), 50.0)),
        ((256, 208, 3), an_affine((1.4, 1.4, 10.0), 20.0)),
    ],
)
def test_a_short_axis_stack_is_left_in_peace(shape, affine):
    assert short_axis_warning(shape, affine) == ""


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_so_is_the_phantom(orientation):
    phantom = make_phantom(PhantomOptions(frames=1, orientation=orientation))
    assert short_axis_warning(phantom.image.shape, phantom.affine) == ""


@pytest.mark.parametrize(
    ("what", "shape", "affine", "said"),
    [
        ("CT", (512, 512, 300), an_affine((0.7, 0.7, 0.6)), "300 axial slices of only 0.6 mm"),
        ("oblique CT", (512, 512, 200), an_affine((0.4, 0.4, 0.5), 30.0), "200 slices of only 0.5 mm"),
        ("CT of thick slices", (512, 512, 39), an_affine((0.7, 0.7, 3.0)), "slices are axial, 3 mm apart"),
        ("whole heart MR", (160, 256, 256), an_affine((1.5, 1.3, 1.3)), "160 sagittal slices"),
        ("a small isotropic volume", (96, 96, 36), an_affine((2.0, 2.0, 2.0), 40.0), "almost as close as its pixels"),
        ("a single slice", (256, 256, 1), an_affine((1.4, 1.4, 8.0), 40.0), "a single slice"),
        ("two slices", (256, 256, 2), an_affine((1.4, 1.4, 8.0), 40.0), "only 2 slices"),
        ("no spacing", (256, 256, 10), np.eye(4), "1 x 1 x 1 mm"),
        ("no spacing, flipped", (256, 256, 10), np.diag([-1.0, -1.0, 1.0, 1.0]), "1 x 1 x 1 mm"),
        ("coarse pixels", (64, 64, 10), an_affine((4.0, 4.0, 10.0), 40.0), "pixels are 4 mm, not 0.5 to 3 mm"),
        ("a microscope", (512, 512, 10), an_affine((0.3, 0.3, 8.0), 40.0), "pixels are 0.3 mm"),
        ("a cut-out", (64, 64, 10), an_affine((1.5, 1.5, 8.0), 40.0), "only 96 mm of the body"),
        ("a whole body", (512, 512, 20), an_affine((2.0, 2.0, 8.0), 40.0), "1024 mm wide"),
    ],
)
def test_what_is_plainly_something_else_gets_one_gentle_line(what, shape, affine, said):
    warning = short_axis_warning(shape, affine)
    assert said in warning, what
    assert warning.startswith("This may be no short-axis stack: ")
    assert warning.endswith("check the result.")
    assert "\n" not in warning


def test_a_volume_node_is_asked_as_it_is(a_volume_node):
    array, _ = image_from_volume_node(a_volume_node)  # 12 x 10 pixels
    assert "mm of the body" in short_axis_warning(array.shape, affine_of_volume_node(a_volume_node))


@pytest.mark.data
def test_every_stack_of_acdc_passes(acdc_training: Path):
    files = [path for path in sorted(acdc_training.glob("patient*/*_frame*.nii.gz")) if "_gt" not in path.name][::4]
    assert len(files) > 20
    for path in files:
        image = read_image(path)
        assert short_axis_warning(image.array.shape, image.affine) == "", path.name


@pytest.mark.data
@pytest.mark.parametrize("dataset", ["mnms", "sunnybrook"])
def test_every_stack_of_other_data_sets_passes(real_data: Path, dataset: str):
    if not (real_data / dataset).is_dir():
        pytest.skip(f"no {dataset} among the real cases")
    for case in find_cases(real_data / dataset):
        image, _ = case.read()
        assert short_axis_warning(image.array.shape, image.affine) == "", case.name


@pytest.mark.data
def test_an_ultrasound_image_does_not(real_data: Path):
    path = next(iter(sorted((real_data / "camus_2ch").glob("patient*/*_ED.nii.gz"))), None)
    if path is None:
        pytest.skip("no CAMUS among the real cases")
    image = read_image(path)
    assert short_axis_warning(image.array.shape, image.affine)
