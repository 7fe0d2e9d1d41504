"""Drawing: tissues are laid over each other, each as deep as a pixel lies inside its shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Signals of a balanced steady-state sequence, relative to blood. Fat is out of phase with water at this echo time,
# hence negative: the magnitude taken at the end draws the dark rim between fat and water that real images have.
BLOOD = 1.0
MUSCLE = 0.24
FAT = -0.85


@dataclass(frozen=True)
class Canvas:
    """A plane to draw on.

    Attributes:
        signal: float32 (..., I, J), signed, relative to blood; painting changes it.
        x, y: where its pixels lie, mm; they broadcast against the signal.
        pixel: width of a pixel, and so of an edge, mm.
    """

    signal: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pixel: float

    def paint(self, depth: np.ndarray, value: np.ndarray | float) -> None:
        """Lay a tissue of that signal over a shape, given how deep below its edge each pixel lies, mm."""
        self.blend(cover(depth, self.pixel), value)

    def blend(self, share: np.ndarray, value: np.ndarray | float) -> None:
        """Lay a tissue of that signal over a share of each pixel."""
        signal = self.signal
        signal += share * (value - signal)

    def ellipse(self, center: tuple[float, float], radii: tuple[float, float], turn: float = 0.0) -> np.ndarray:
        """Depth below an ellipse's edge, mm, exact to first order at the edge. ``turn`` is in radians."""
        cos, sin = math.cos(turn), math.sin(turn)
        x, y = self.x - center[0], self.y - center[1]
        u = (x * cos + y * sin) / radii[0]
        v = (y * cos - x * sin) / radii[1]
        level = np.sqrt(u * u + v * v) + 1e-6
        slope = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2) / level + 1e-6
        return (1.0 - level) / slope


def cover(depth: np.ndarray, width: float) -> np.ndarray:
    """Share of a pixel inside a shape, from the depth of its middle below the edge and the edge's width, mm."""
    return np.clip(depth / width + 0.5, 0.0, 1.0)
