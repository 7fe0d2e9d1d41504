"""Grids: voxel spacing, the slice axis of a stack, and resampling in the acquisition plane.

Arrays are indexed (I, J, K) as NIfTI does; an affine is 4 x 4 and maps an index to RAS millimeters.
The direction through the slices is never resampled anywhere in this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: The slices of a short-axis stack lie further apart than its pixels; below this ratio spacing does not tell the axis.
_ANISOTROPY = 1.2


def voxel_spacing(affine: np.ndarray) -> np.ndarray:
    """Distance between neighboring voxels along each array axis, in millimeters, shape (3,)."""
    return np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)


def slice_axis(shape: Sequence[int], affine: np.ndarray) -> int:
    """The array axis that runs through the slices of a stack.

    A single slice is thin along the one axis of length one, whatever the header claims as its spacing. Otherwise the
    axis with clearly the largest spacing; where none stands out, the one with the fewest samples (the last on a tie).

    Args:
        shape: the first three are (I, J, K).
        affine: index to RAS millimeters, 4 x 4.
    """
    shape = np.asarray(shape[:3])
    if np.count_nonzero(shape == 1) == 1:
        return int(np.flatnonzero(shape == 1)[0])
    spacing = voxel_spacing(affine)
    order = np.argsort(spacing)
    if spacing[order[2]] > _ANISOTROPY * spacing[order[1]]:
        return int(order[2])
    return int(2 - np.argmin(shape[::-1]))


#: Where the stack, and the right and the bottom edge of a slice should point, in RAS: to the apex (left, front, feet),
#: to the patient's left, to back and feet. The small components decide where the large ones leave a choice.
_THROUGH = (-1.0, 1.01, -1.02)
_RIGHT = (-1.0, 0.02, 0.01)
_DOWN = (0.0, -1.0, -1.01)


@dataclass(frozen=True)
class SliceView:
    """How the axes of an array become slices, rows and columns, as a radiologist looks at them.

    The arrangement follows from where the axes point in space: a volume whose array is turned or flipped, its affine
    with it, is seen the same way.

    Attributes:
        axes: the array axis that runs through the slices, along the rows and along the columns.
        reversed_axes: which of (slices, rows, columns), numbered from 0, run backward.
        spacing: millimeters between rows and between columns, to the nanometer: readers of one file differ beyond.
    """

    axes: tuple[int, int, int]
    reversed_axes: tuple[int, ...]
    spacing: tuple[float, float]

    @classmethod
    def of_stack(cls, shape: Sequence[int], affine: np.ndarray) -> SliceView:
        """The view of a volume of that shape; ``affine`` is index to RAS millimeters, 4 x 4."""
        through = slice_axis(shape, affine)
        spacing = voxel_spacing(affine)
        directions = np.asarray(affine, float)[:3, :3] / np.where(spacing > 0, spacing, 1.0)
        apex, right, down = (np.round(directions.T @ edge, 6) for edge in (_THROUGH, _RIGHT, _DOWN))
        first, second = (axis for axis in range(3) if axis != through)
        pairs = ((second, first), (first, second))
        row, column = max(pairs, key=lambda pair: round(abs(down[pair[0]]) + abs(right[pair[1]]), 6))
        ends = (apex[through], down[row], right[column])
        backward = tuple(number for number, toward in enumerate(ends) if toward < 0)
        return cls((through, row, column), backward, (round(float(spacing[row]), 6), round(float(spacing[column]), 6)))

    def slices(self, volume: np.ndarray) -> np.ndarray:
        """View an array (I, J, K) as (slices, rows, columns); nothing is copied."""
        return np.flip(volume.transpose(self.axes), self.reversed_axes)

    def volume(self, slices: np.ndarray) -> np.ndarray:
        """Put an array (slices, rows, columns) back in the order of the volume, contiguous in memory."""
        return np.ascontiguousarray(np.flip(slices, self.reversed_axes).transpose(np.argsort(self.axes)))


def resampling_matrix(size: int, spacing: float, new_size: int, new_spacing: float) -> np.ndarray:
    """Linear resampling of one axis as a matrix; both grids share their center.

    Upsampling interpolates linearly. Downsampling widens the triangle to the new spacing, which keeps it from aliasing.
    A new sample outside the old field of view is zero. Two such matrices resample a whole stack in two products, in
    compiled code, the same way in training and inference.

    Args:
        size, new_size: samples on the old and the new axis.
        spacing, new_spacing: millimeters.

    Returns:
        float32 array (new_size, size).
    """
    # In samples of the old axis, so that equal grids give the identity to the last bit.
    ratio = new_spacing / spacing
    old = np.arange(size) - (size - 1) / 2
    new = (np.arange(new_size) - (new_size - 1) / 2) * ratio
    # Within the outermost half sample the edge value counts: interpolate at the last center instead.
    inside = np.clip(new, old[0], old[-1])
    weights = np.maximum(0, 1 - np.abs(inside[:, None] - old[None, :]) / max(1.0, ratio))
    weights /= weights.sum(axis=1, keepdims=True)
    weights[np.abs(new) > size / 2] = 0
    return weights.astype(np.float32)


def resample_in_plane(
    stack: np.ndarray, spacing: Sequence[float], new_size: Sequence[int], new_spacing: Sequence[float]
) -> np.ndarray:
    """Resample the last two axes of an array linearly, about the shared center.

    Args:
        stack: float32 array (..., H, W).
        spacing, new_spacing: millimeters along H and W.
        new_size: samples along H and W.

    Returns:
        float32 array (..., new_size[0], new_size[1]).
    """
    height, width = stack.shape[-2:]
    rows = resampling_matrix(height, spacing[0], new_size[0], new_spacing[0])
    columns = resampling_matrix(width, spacing[1], new_size[1], new_spacing[1])
    return np.matmul(np.matmul(rows, stack), columns.T)
