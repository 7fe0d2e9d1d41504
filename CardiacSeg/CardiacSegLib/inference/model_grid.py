"""What a network sees: slices at one in-plane spacing with normalized intensities. Training and inference share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.geometry import SliceView, resample_in_plane


@dataclass(frozen=True)
class ModelGrid:
    """The grid and the intensity scale that a network was trained on; stored in its bundle's metadata.

    Attributes:
        spacing: in-plane spacing in millimeters, the same along both axes.
        multiple: the network needs sizes divisible by this.
        percentiles: intensities are clipped to these percentiles of the volume before they are standardized.
    """

    spacing: float = 1.5
    multiple: int = 32
    percentiles: tuple[float, float] = (1.0, 99.0)

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
        low, high = np.percentile(volume, self.percentiles)
        if not high > low:
            low, high = float(volume.min()), float(volume.max())
        if not high > low:
            raise CardiacSegError(f"the image is constant (every voxel is {low:g}); choose one that shows a heart")
        # From 0 to 1 before single precision: a large offset, or very large numbers, would not survive it.
        clipped = ((np.clip(volume, low, high) - low) / (high - low)).astype(np.float32)
        return (clipped - clipped.mean()) / clipped.std()


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
        return resample_in_plane(grid.normalize(self.slices), self.view.spacing, size, (grid.spacing, grid.spacing))

    def from_grid(self, stack: np.ndarray, grid: ModelGrid) -> np.ndarray:
        """Bring an array (..., H', W') on the model's grid back to this stack's own pixels (..., H, W)."""
        return resample_in_plane(stack, (grid.spacing, grid.spacing), self.slices.shape[1:], self.view.spacing)
