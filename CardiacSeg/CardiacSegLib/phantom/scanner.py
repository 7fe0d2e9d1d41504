"""What a scanner makes of the signal."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CardiacSegLib.phantom.grid import Grid
from CardiacSegLib.phantom.options import PhantomOptions

_BLOOD_LEVEL = 300.0  # the image's number for the signal of blood
_POINT_SPREAD = 0.75  # mm, standard deviation


def scan(options: PhantomOptions, grid: Grid, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blurred magnitude under an uneven coil with Rician noise: int16 (K, T, I, J), as the signal."""
    widths = (0.0, 0.0, _POINT_SPREAD / grid.spacing[0], _POINT_SPREAD / grid.spacing[1])
    magnitude = np.abs(ndimage.gaussian_filter(signal, widths, truncate=3.0))
    magnitude *= _coil_sensitivity(options, grid, rng)[:, None]
    if options.noise_level:
        magnitude += options.noise_level * rng.standard_normal(signal.shape, dtype=np.float32)
        np.square(magnitude, out=magnitude)
        magnitude += np.square(options.noise_level * rng.standard_normal(signal.shape, dtype=np.float32))
        np.sqrt(magnitude, out=magnitude)
    magnitude *= _BLOOD_LEVEL
    return np.clip(np.rint(magnitude), 0, 32767).astype(np.int16)


def _coil_sensitivity(options: PhantomOptions, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Float32 (K, I, J), about 1 at the heart, higher towards the coil on the chest."""
    x, y = grid.x[:, :, None] / 100.0, grid.y[:, None, :] / 100.0
    tilt = rng.normal(0.0, 0.35, 3)
    exponent = -(0.9 + tilt[0]) * x - (0.3 + tilt[1]) * y + 0.25 * (x * x + y * y) + 0.3 * tilt[2] * x * y
    return np.exp(options.bias_strength * np.clip(exponent, -3.0, 3.0)).astype(np.float32)
