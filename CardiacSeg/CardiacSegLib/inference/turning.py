"""The turned and flipped copies of slices, and the part of a slice that is worth looking at eight times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

#: Quarter turns, and whether the turned copy is then flipped; the first copy is the image itself.
_COPIES = [(quarters, flipped) for flipped in (False, True) for quarters in range(4)]
#: Where background is likelier than this in a first look, no other copy finds a heart.
_SURELY_NONE = 0.95
#: How far around the heart its copies reach, in pixels on the model's grid. A network needs to see what is around: with
#: 8 pixels of them the copies did more harm than good.
_MARGIN = 32

#: From slices (N, channels, H, W) to class probabilities (N, C, H, W).
Look = Callable[[np.ndarray], np.ndarray]


def mean_over_copies(look: Look, slices: np.ndarray, multiple: int, margin: int = _MARGIN) -> np.ndarray:
    """Class probabilities (N, C, H, W) of slices (N, channels, H, W), the mean over their eight copies.

    The image itself is looked at as a whole, its copies around what was found of the heart: elsewhere all is
    background, and most of an image is elsewhere.

    Args:
        look: the network.
        slices: float32.
        multiple: that the network needs of sizes.
        margin: how far around the heart its copies reach, in pixels on the model's grid.
    """
    found = look(slices)
    for windows in _windows(found[:, 0] < _SURELY_NONE, multiple, margin).values():
        total = np.stack([found[window.part] for window in windows])
        around = np.stack([slices[window.part] for window in windows])
        for copy in _COPIES[1:]:
            total += _turned_back(look(np.ascontiguousarray(_turned(around, *copy))), *copy)
        for window, mean in zip(windows, total / np.float32(len(_COPIES))):
            found[window.part] = mean
    return found


class _Window(NamedTuple):
    """A part of a slice."""

    number: int
    rows: slice
    columns: slice

    @property
    def part(self) -> tuple[int, slice, slice, slice]:
        """Of an array (N, C, H, W)."""
        return self.number, slice(None), self.rows, self.columns


def _windows(heart: np.ndarray, multiple: int, margin: int) -> Mapping[tuple[int, int], Sequence[_Window]]:
    """Around the heart of each slice that has one, by height and width; what a slice gets depends on no other.

    Args:
        heart: boolean (N, H, W).
        multiple: sizes are multiples of it, or those of the whole slice.
        margin: pixels around the heart.
    """
    windows = defaultdict(list)
    for number in np.flatnonzero(heart.any(axis=(1, 2))):
        extents = [np.flatnonzero(heart[number].any(axis=axis))[[0, -1]] for axis in (1, 0)]
        # As high as wide, so that the copies that lie on their side have the same size.
        needed = max(last - first + 1 for first, last in extents) + 2 * margin
        size = -(-needed // multiple) * multiple
        rows, columns = (_around(*extent, size, whole) for extent, whole in zip(extents, heart.shape[1:]))
        windows[rows.stop - rows.start, columns.stop - columns.start].append(_Window(int(number), rows, columns))
    return windows


def _around(first: int, last: int, size: int, whole: int) -> slice:
    """``size`` pixels, or the whole, with the middle of first and last as near to their middle as the image allows."""
    size = min(size, whole)
    start = min(max(0, (int(first) + int(last) + 1 - size) // 2), whole - size)
    return slice(start, start + size)


def _turned(batch: np.ndarray, quarters: int, flipped: bool) -> np.ndarray:
    turned = np.rot90(batch, quarters, (2, 3))
    return turned[..., ::-1] if flipped else turned


def _turned_back(batch: np.ndarray, quarters: int, flipped: bool) -> np.ndarray:
    return np.rot90(batch[..., ::-1] if flipped else batch, -quarters, (2, 3))
