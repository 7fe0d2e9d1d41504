"""What changes smoothly: a step, and noise."""

from __future__ import annotations

import numpy as np

from CardiacSegLib.phantom.grid import Grid


def smooth_step(value: np.ndarray) -> np.ndarray:
    """Rise from 0 at 0 to 1 at 1 without a kink; flat on either side."""
    value = np.clip(value, 0.0, 1.0)
    return value * value * (3.0 - 2.0 * value)


def smooth_noise(rng: np.random.Generator, grid: Grid, length: float) -> np.ndarray:
    """Float32 (K, I, J) noise of unit deviation that is alike over ``length`` mm."""
    widths = [max(length / grid.spacing[axis], 1.0) for axis in (2, 0, 1)]
    # Noise that is alike over many pixels is drawn on a coarse grid: as smooth and much cheaper.
    coarse = [int(count / width) + 4 for count, width in zip(grid.shape, widths)]
    field = rng.standard_normal(coarse, dtype=np.float32)
    for axis, (count, width) in enumerate(zip(grid.shape, widths)):
        position = np.arange(count) / width + 1.0
        lower = position.astype(int)
        blend = smooth_step(position - lower).astype(np.float32)
        blend = blend.reshape([-1 if a == axis else 1 for a in range(3)])
        field = field.take(lower, axis) * (1 - blend) + field.take(lower + 1, axis) * blend
    return field / field.std()
