"""The wall of the left ventricle in one short-axis slice: inner and outer border, thickness, and where the septum is.

Borders are radii from the center of the pool, one for each of ``RAYS`` directions. They are found on the masks after a
little blur, between the pixels: a border that followed the pixels' edges would be off by half a pixel on average over a
few rays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

#: Directions around the center of the pool. Ray r points to the angle ANGLES[r]: from the columns' direction (0) to the
#: rows' direction (a quarter turn).
RAYS = 180
ANGLES = 2.0 * np.pi * np.arange(RAYS) / RAYS

#: A slice shows the wall all around where this share of the rays crosses it.
_CLOSED = 0.9

_BLUR_PIXELS = 0.7
_STEP_PIXELS = 0.5
_SMOOTHING_RAYS = 2.0  # of radii, 4 degrees: what a pixel's corner does to one ray
_NORMAL_RAYS = 6.0  # of the line that the normals stand on: a corner must not turn them
_NORMAL_STEP_MM = 0.5

#: The right ventricle lies behind the wall where its pool begins within this distance.
_SEPTUM_MM = 4.0
_SEPTUM_GAP_RAYS = 10
_SEPTUM_DEGREES = (40.0, 230.0)


@dataclass(frozen=True)
class Ring:
    """The wall in one slice.

    Attributes:
        center: of the pool, (row, column), mm from the middle of the first pixel.
        inner, outer: radii of endocardium and epicardium, (RAYS,), mm; NaN where there is no wall.
        thickness: of the wall across its center line, (RAYS,), mm; NaN where there is no wall.
        septum: where the right ventricle lies behind the wall, as the indices of the first and the last ray, the last
            one perhaps beyond ``RAYS``; None where that cannot be told.
    """

    center: tuple[float, float]
    inner: np.ndarray
    outer: np.ndarray
    thickness: np.ndarray
    septum: tuple[int, int] | None

    def outer_point(self, ray: int) -> np.ndarray:
        """Where a ray meets the epicardium, (row, column), mm."""
        angle, radius = ANGLES[ray % RAYS], self.outer[ray % RAYS]
        return np.array(self.center) + radius * np.array((np.sin(angle), np.cos(angle)))


def find_ring(pool: np.ndarray, wall: np.ndarray, right: np.ndarray, spacing: Sequence[float]) -> Ring | None:
    """Measure the wall in one slice.

    Args:
        pool, wall, right: masks of the left ventricular pool, its wall and the right ventricular pool, (rows, columns).
        spacing: mm between rows and between columns.

    Returns:
        None where the slice shows no pool, or not the wall all around it.
    """
    pool = _largest(pool)
    if not pool.any():
        return None
    whole = ndimage.binary_fill_holes(_largest(pool | wall))
    spacing = np.asarray(spacing, float)
    center = np.array(ndimage.center_of_mass(pool)) * spacing
    inner, outer = (_radii(mask, center, spacing) for mask in (pool, whole))
    if inner is None or outer is None:
        return None
    present = outer - inner > 0.5 * spacing.min()
    if present.mean() < _CLOSED:
        return None
    inner, outer = (_smooth(_across_gaps(radii, present), _SMOOTHING_RAYS) for radii in (inner, outer))
    septum = _septum(right, center, outer, spacing)
    absent = ~present
    thickness = _thickness(inner, outer)
    for radii in (inner, outer, thickness):
        radii[absent] = np.nan
    return Ring((float(center[0]), float(center[1])), inner, outer, thickness, septum)


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest piece of a mask."""
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])


def _radii(mask: np.ndarray, center: np.ndarray, spacing: np.ndarray) -> np.ndarray | None:
    """Distance from the center to the border of a mask on every ray, (RAYS,), mm; None where it is not around it.

    The border is where a mask with a little blur falls to one half for the last time, found linearly between samples.
    """
    level = ndimage.gaussian_filter(np.pad(mask, 3).astype(np.float32), _BLUR_PIXELS)
    step = _STEP_PIXELS * spacing.min()
    farthest = np.linalg.norm(np.argwhere(mask) * spacing - center, axis=1).max()
    radii = np.arange(0.0, farthest + 3 * spacing.max(), step)
    places = _points(center, radii[None, :], ANGLES[:, None]) / spacing[:, None, None] + 3
    samples = ndimage.map_coordinates(level, places, order=1)
    inside = samples >= 0.5
    if not inside[:, 0].all():
        return None
    last = samples.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)
    before, after = (np.take_along_axis(samples, (last + more)[:, None], axis=1)[:, 0] for more in (0, 1))
    return radii[last] + step * (before - 0.5) / (before - after)


def _points(center: np.ndarray, radii: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Points (2, ...) as rows and columns in mm, at radii about a center."""
    return np.stack((center[0] + radii * np.sin(angles), center[1] + radii * np.cos(angles)))


def _across_gaps(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Values around the circle, those that are not present interpolated from their neighbors."""
    return np.interp(np.arange(RAYS), np.flatnonzero(present), values[present], period=RAYS)


def _smooth(values: np.ndarray, rays: float) -> np.ndarray:
    return ndimage.gaussian_filter1d(values, rays, mode="wrap")


def _thickness(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Thickness of the wall on every ray, (RAYS,), mm, by the center line method.

    Chords stand at right angles on the line midway between endocardium and epicardium. Along the rays themselves a
    wall that is not a circle about the center of the pool would be too thick. V. G. M. Buller et al., "Assessment of
    regional left ventricular wall parameters from short axis magnetic resonance imaging using a three-dimensional
    extension to the improved centerline method", Invest Radiol 32:529-539 (1997), after F. H. Sheehan et al.,
    Circulation 74:293-305 (1986).
    """
    middle = _smooth((inner + outer) / 2.0, _NORMAL_RAYS)
    line = _points(np.zeros(2), middle, ANGLES)
    along = (np.roll(line, -1, axis=1) - np.roll(line, 1, axis=1)) / 2.0
    outward = np.stack((-along[1], along[0])) / np.linalg.norm(along, axis=0)
    outward *= np.sign((outward * line).sum(axis=0))
    reach = np.arange(0.0, 2.0 * float((outer - inner).max()) + 2 * _NORMAL_STEP_MM, _NORMAL_STEP_MM)
    outside = _crossing(line, outward, reach, lambda radii, angles: radii - _at(outer, angles))
    inside = _crossing(line, -outward, reach, lambda radii, angles: _at(inner, angles) - radii)
    return outside + inside


def _at(border: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Radii of a border (RAYS,) at any angles."""
    return np.interp(angles, ANGLES, border, period=2.0 * np.pi)


def _crossing(
    line: np.ndarray,
    direction: np.ndarray,
    reach: np.ndarray,
    beyond_border: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """How far points (2, RAYS) lie from a border along directions (2, RAYS), (RAYS,), mm.

    Args:
        reach: distances to look at, from 0, mm; on the other side of the line as well, for what lies beyond already.
        beyond_border: of radii and angles how far beyond the border they lie, negative before it.

    Returns:
        NaN where no border is within reach.
    """
    reach = np.concatenate((-reach[:0:-1], reach))
    points = line[:, :, None] + direction[:, :, None] * reach
    beyond = beyond_border(np.hypot(points[0], points[1]), np.arctan2(points[0], points[1]))
    middle = len(reach) // 2
    rises = (beyond[:, :-1] < 0) & (beyond[:, 1:] >= 0)
    nearest = np.argmin(np.where(rises, np.abs(np.arange(len(reach) - 1) - middle), len(reach)), axis=1)
    low, high = (np.take_along_axis(beyond, (nearest + more)[:, None], axis=1)[:, 0] for more in (0, 1))
    distances = reach[nearest] + (reach[1] - reach[0]) * low / (low - high)
    return np.where(rises.any(axis=1), distances, np.nan)


def _septum(right: np.ndarray, center: np.ndarray, outer: np.ndarray, spacing: np.ndarray) -> tuple[int, int] | None:
    """First and last ray of the arc behind which the right ventricle lies; None where it is too short or too long."""
    depths = np.arange(0.0, _SEPTUM_MM, 0.5 * spacing.min())
    places = _points(center, outer[:, None] + depths, ANGLES[:, None]) / spacing[:, None, None]
    behind = ndimage.map_coordinates(right.astype(np.uint8), places, order=0).any(axis=1)
    twice = ndimage.binary_closing(np.tile(behind, 3), np.ones(_SEPTUM_GAP_RAYS))[RAYS : 2 * RAYS]
    run = _longest_run(twice)
    degrees = 360.0 / RAYS * (run[1] - run[0] + 1)
    return run if _SEPTUM_DEGREES[0] <= degrees <= _SEPTUM_DEGREES[1] else None


def _longest_run(flags: np.ndarray) -> tuple[int, int]:
    """First and last index of the longest run of true values around a circle; (0, -1) where there is none."""
    if flags.all():
        return 0, len(flags) - 1
    start = int(np.argmin(flags))  # a false one: no run crosses it
    pieces, count = ndimage.label(np.roll(flags, -start))
    if not count:
        return 0, -1
    found = ndimage.find_objects(pieces)
    longest = max((piece[0] for piece in found), key=lambda piece: piece.stop - piece.start)
    first = (longest.start + start) % len(flags)
    return first, first + longest.stop - longest.start - 1
