"""Where the pixels lie in the anatomy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from CardiacSegLib.phantom.options import PhantomOptions

_USUAL_PLACE = (8.0, 8.0)  # mm in x and y from the left ventricle's axis to the middle of the picture


@dataclass(frozen=True)
class Grid:
    """Where the pixels are in the anatomy: x (K, I), y (K, J) and z (K,), all in mm, base first."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    spacing: tuple[float, float, float]

    @classmethod
    def from_options(cls, options: PhantomOptions, rng: np.random.Generator) -> Grid:
        """Place the picture near the heart, and each slice where its own breath-hold left it."""
        middle = rng.normal(_USUAL_PLACE, options.position_jitter_mm)
        shift = rng.normal(0.0, options.slice_shift_mm, (2, options.slices))
        x, y = (
            (np.arange(count) - (count - 1) / 2) * step + middle[axis] - shift[axis][:, None]
            for axis, (count, step) in enumerate(zip(options.size, options.spacing))
        )
        thickness = options.spacing[2]
        spare_slices = (options.slices * thickness - options.epicardial_length_mm) / thickness
        above_base = max(round(0.6 * spare_slices), 0)
        z = (np.arange(options.slices) + 0.5 - above_base) * thickness
        return cls(x.astype(np.float32), y.astype(np.float32), z, options.spacing)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, pixels along a row, pixels along a column: (K, I, J)."""
        return len(self.z), self.x.shape[1], self.y.shape[1]

    @property
    def pixel(self) -> float:
        """Width of a pixel, mm."""
        return math.sqrt(self.spacing[0] * self.spacing[1])

    def window(self, k: int, left: float, right: float, up: float, down: float) -> tuple[slice, slice]:
        """Pixels of slice ``k`` within a rectangle given in mm."""
        columns = np.searchsorted(self.x[k], (left, right))
        rows = np.searchsorted(self.y[k], (up, down))
        return slice(*columns), slice(*rows)
