"""Whether a volume looks like the short-axis stack that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from CardiacSegLib.geometry import slice_axis, voxel_spacing

# What short-axis cines are like (ACDC, M&Ms, Sunnybrook): 6 to 21 slices, 5 to 10 mm apart, pixels of 0.7 to 1.9 mm,
# fields of view of 240 to 410 mm. The bounds are wider than that: a warning is for what is plainly something else.
_THINNEST_SLICES = 4.0
_MOST_SLICES = 40
_FEWEST_SLICES = 3
_PIXELS = (0.5, 3.0)
_SMALLEST_VIEW = 120.0
_LARGEST_VIEW = 700.0

#: Slices closer together than this, in pixels, make a volume that is as fine in every direction.
_ISOTROPIC = 1.5

#: Degrees between the slices' normal and a body axis, below which a fine volume was not planned along the heart.
_ALIGNED = 5.0

_PLANES = ("sagittal", "coronal", "axial")


def short_axis_warning(shape: Sequence[int], affine: np.ndarray) -> str:
    """One line where a volume is plainly no short-axis stack; empty where nothing is to be said.

    It is for models of short-axis stacks; a model of single images (ultrasound) needs no such question. A stack of
    thick slices along a body axis passes: the headers of ACDC say nothing about orientation.

    Args:
        shape: the first three are (I, J, K).
        affine: (4, 4), voxel indices to RAS millimeters.
    """
    shape = tuple(int(count) for count in shape[:3])
    affine = np.asarray(affine, float)
    spacing = voxel_spacing(affine)
    through = slice_axis(shape, affine)
    in_plane = [axis for axis in range(3) if axis != through]
    checks = (
        _unknown_spacing(spacing),
        _slice_count(shape[through]),
        _fine_volume(shape[through], spacing, through, affine),
        _pixel_size(spacing[in_plane]),
        _field_of_view(spacing[in_plane] * np.array(shape)[in_plane]),
    )
    found = next(filter(None, checks), "")
    return f"This may be no short-axis stack: {found}. The model may fail on it; check the result." if found else ""


def _unknown_spacing(spacing: np.ndarray) -> str:
    if np.allclose(spacing, 1.0, atol=1e-6):
        return "its voxels are 1 x 1 x 1 mm, as where a file does not say its spacing"
    return ""


def _slice_count(slices: int) -> str:
    if slices >= _FEWEST_SLICES:
        return ""
    return "it is a single slice" if slices == 1 else f"it has only {slices} slices"


def _fine_volume(slices: int, spacing: np.ndarray, through: int, affine: np.ndarray) -> str:
    """CT and whole-heart MR: as fine through the slices as within them, or many thin slices."""
    thickness = spacing[through]
    if thickness >= _THINNEST_SLICES:
        return ""
    pixel = float(np.delete(spacing, through).max())
    plane = _plane_of(affine[:3, through] / thickness)
    if slices > _MOST_SLICES:
        return f"it has {slices} {plane}slices of only {thickness:.3g} mm, like CT or whole-heart MR"
    if thickness < _ISOTROPIC * pixel:
        return f"its {plane}slices are only {thickness:.3g} mm apart, almost as close as its pixels"
    return f"its slices are {plane.strip()}, {thickness:.3g} mm apart" if plane else ""


def _plane_of(normal: np.ndarray) -> str:
    """The name of the plane that the slices lie in to within a few degrees, and a space; "" where they are oblique."""
    along = np.abs(normal)
    return f"{_PLANES[int(along.argmax())]} " if along.max() > np.cos(np.radians(_ALIGNED)) else ""


def _pixel_size(pixels: np.ndarray) -> str:
    smallest, largest = _PIXELS
    odd = next((pixel for pixel in pixels if not smallest <= pixel <= largest), None)
    return "" if odd is None else f"its pixels are {odd:.3g} mm, not {smallest:g} to {largest:g} mm"


def _field_of_view(view: np.ndarray) -> str:
    if view.min() < _SMALLEST_VIEW:
        return f"it shows only {view.min():.0f} mm of the body"
    return f"it is {view.max():.0f} mm wide" if view.max() > _LARGEST_VIEW else ""
