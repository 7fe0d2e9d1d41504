"""What a network sees: slices at one in-plane spacing with normalized intensities. Training and inference share it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.geometry import SliceView, resample_in_plane, resampling_matrix

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@dataclass(frozen=True)
class ModelGrid:
    """The grid and the intensity scale that a network was trained on; stored in its bundle's metadata.

    Attributes:
        spacing: in-plane spacing in millimeters, the same along both axes.
        multiple: the network needs sizes divisible by this.
        percentiles: intensities are clipped to these percentiles of the volume before they are standardized.
        neighbors: how many slices on either side the network sees beside the one that it labels.
    """

    spacing: float = 1.5
    multiple: int = 32
    percentiles: tuple[float, float] = (1.0, 99.0)
    neighbors: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError or TypeError where this is no grid, as it may come from a file."""
        low, high = self.percentiles
        if not (0 < self.spacing < np.inf and self.multiple >= 1 and 0 <= low < high <= 100 and self.neighbors >= 0):
            raise ValueError(f"impossible grid: {self}")

    @property
    def channels(self) -> int:
        """Input channels of the network: a slice and its neighbors."""
        return 2 * self.neighbors + 1

    def with_neighbors(self, slices: np.ndarray) -> np.ndarray:
        """Slices (K, H, W) between their neighbors as channels (K, C, H, W); zero beyond the ends of the stack."""
        count = len(slices)
        padded = np.pad(slices, ((self.neighbors, self.neighbors), (0, 0), (0, 0)))
        return np.stack([padded[first : first + count] for first in range(self.channels)], axis=1)

    def size_for(self, size: Sequence[int], spacing: Sequence[float]) -> tuple[int, int]:
        """The smallest allowed (H, W) that covers a field of view of ``size`` pixels at ``spacing`` millimeters."""
        needed = (int(np.ceil(n * mm / self.spacing - 1e-6)) for n, mm in zip(size, spacing))
        height, width = (max(1, -(-n // self.multiple)) * self.multiple for n in needed)
        return height, width

    def normalize(self, volume: np.ndarray) -> np.ndarray:
        """Clip to the percentiles, then zero mean and unit deviation over the volume, as float32.

        Raises:
            CardiacSegError: where the image is constant, or a voxel is not a finite number.
        """
        if not np.isfinite(volume).all():
            raise CardiacSegError("voxels are NaN or infinite; replace them, for example by 0")
        volume = volume.view(np.uint8) if volume.dtype == bool else volume
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = np.percentile(volume, self.percentiles)
            if not high > low:
                low, high = float(volume.min()), float(volume.max())
            # Between the largest and the smallest number that a type holds lies more than it holds.
            too_far = volume.dtype.kind == "f" and not np.isfinite(np.subtract(high, low, dtype=volume.dtype))
        if too_far:
            return self.normalize(np.ldexp(volume.astype(np.float64), -2))
        if not high > low:
            raise CardiacSegError(f"the image is constant (every voxel is {low:g}); choose one that shows a heart")
        # From 0 to 1 before single precision: a large offset, or very large numbers, would not survive it.
        clipped = ((np.clip(volume, low, high) - low) / (high - low)).astype(np.float32, order="C")
        # In double precision the order of the voxels in memory does not show in the result.
        mean, deviation = clipped.mean(dtype=np.float64), clipped.std(dtype=np.float64)
        return (clipped - np.float32(mean)) / np.float32(deviation)


@dataclass(frozen=True)
class Stack:
    """A volume as slices (K, H, W), arranged in space and not by the order of its array."""

    slices: np.ndarray
    view: SliceView

    @classmethod
    def from_volume(cls, volume: np.ndarray, affine: np.ndarray) -> Stack:
        """See a volume (I, J, K) as slices; nothing is copied."""
        view = SliceView.of_stack(volume.shape, affine)
        return cls(view.slices(volume), view)

    def on_grid(self, grid: ModelGrid, size: Sequence[int] | None = None) -> np.ndarray:
        """Normalized slices on the model's grid, float32 (K, H', W'); zero outside the field of view."""
        size = size or grid.size_for(self.slices.shape[1:], self.view.spacing)
        normalized = grid.normalize(self.slices)
        with _one_thread():
            return resample_in_plane(normalized, self.view.spacing, size, (grid.spacing, grid.spacing))

    def labels_on_grid(self, labels: np.ndarray, grid: ModelGrid, classes: int, size: Sequence[int]) -> np.ndarray:
        """Labels of the same volume on the model's grid.

        They are resampled by the share of each class, never by nearest neighbor, which moves borders by half a pixel.

        Args:
            labels: (I, J, K), 0 for background.
            grid: of the model.
            classes: how many there are, background included.
            size: rows and columns on the grid.

        Returns:
            uint8 (K, H', W').
        """
        slices = self.view.slices(labels)
        one_hot = (slices[None] == np.arange(1, classes)[:, None, None, None]).astype(np.float32)
        with _one_thread():
            shares = resample_in_plane(one_hot, self.view.spacing, size, (grid.spacing, grid.spacing))
        background = 1 - shares.sum(axis=0, keepdims=True)
        return np.concatenate([background, shares]).argmax(axis=0).astype(np.uint8)

    def from_grid(self, stack: np.ndarray, grid: ModelGrid) -> np.ndarray:
        """Bring an array (..., H', W') on the model's grid back to this stack's own pixels (..., H, W)."""
        with _one_thread():
            return resample_in_plane(stack, (grid.spacing, grid.spacing), self.slices.shape[1:], self.view.spacing)

    def part_from_grid(
        self, stack: np.ndarray, wanted: np.ndarray, grid: ModelGrid
    ) -> tuple[tuple[slice, slice], np.ndarray]:
        """Bring back the part of an array that some of its samples reach.

        Args:
            stack: float32 (..., K, H', W') on the model's grid.
            wanted: boolean (K, H', W'), at least one of them True.

        Returns:
            Rows and columns of this stack's own pixels, and the array there: what :meth:`from_grid` has there, but for
            rounding. No other pixel is interpolated from a wanted sample.
        """
        (rows, old_rows, by_row), (columns, old_columns, by_column) = (
            _part(resampling_matrix(old, grid.spacing, new, spacing), wanted.any(axis=(0, other)))
            for old, new, spacing, other in zip(stack.shape[-2:], self.slices.shape[1:], self.view.spacing, (2, 1))
        )
        with _one_thread():
            return (rows, columns), np.matmul(np.matmul(by_row, stack[..., old_rows, old_columns]), by_column.T)


def phases_of(array: np.ndarray) -> np.ndarray:
    """The phases (T, I, J, K) of a volume (I, J, K) or a cine (I, J, K, T); nothing is copied.

    Raises:
        CardiacSegError: for an array of another shape.
    """
    if array.ndim not in (3, 4):
        raise CardiacSegError(f"the image has {array.ndim} dimensions; give a volume (3) or a cine (4)")
    return np.moveaxis(array[..., None] if array.ndim == 3 else array, 3, 0)


def _one_thread() -> AbstractContextManager[object]:
    """Matrix products of one thread: those of slices are so small that threads only wait for each other."""
    return _threads().limit(limits=1, user_api="blas")


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController  # not at the top: Slicer imports this before it is installed

    return ThreadpoolController()


def _part(matrix: np.ndarray, wanted: np.ndarray) -> tuple[slice, slice, np.ndarray]:
    """The new samples that wanted old ones reach, the old ones that these take, and the matrix between the two."""
    new = _range((matrix[:, wanted] > 0).any(axis=1))
    old = _range((matrix[new] > 0).any(axis=0))
    return new, old, matrix[new, old]


def _range(found: np.ndarray) -> slice:
    """From the first to the last True; empty where there is none."""
    (indices,) = np.nonzero(found)
    return slice(indices[0], indices[-1] + 1) if len(indices) else slice(0, 0)
