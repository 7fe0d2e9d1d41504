"""The turned and flipped copies of slices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Quarter turns, and whether the turned copy is then flipped; the first copy is the image itself.
_COPIES = [(quarters, flipped) for flipped in (False, True) for quarters in range(4)]
#: How many copies may be averaged: the image itself, with a quarter turn of it, all quarter turns, those flipped too.
TURNS = (1, 2, 4, 8)

#: From slices (N, channels, H, W) to class probabilities (N, C, H, W).
Look = Callable[[np.ndarray], np.ndarray]


def mean_over_copies(look: Look, slices: np.ndarray, count: int) -> np.ndarray:
    """Class probabilities (N, C, H, W) of slices (N, channels, H, W), the mean over their first copies.

    The copies are whole: looking again only around what the first look found of the heart took half the time, but the
    walls and the distances between surfaces became worse.

    Args:
        look: the network.
        slices: float32.
        count: of the copies, one of :data:`TURNS`.
    """
    total = look(slices)
    for copy in _COPIES[1:count]:
        total += _turned_back(look(np.ascontiguousarray(_turned(slices, *copy))), *copy)
    return total / np.float32(count)


def _turned(batch: np.ndarray, quarters: int, flipped: bool) -> np.ndarray:
    turned = np.rot90(batch, quarters, (2, 3))
    return turned[..., ::-1] if flipped else turned


def _turned_back(batch: np.ndarray, quarters: int, flipped: bool) -> np.ndarray:
    return np.rot90(batch[..., ::-1] if flipped else batch, -quarters, (2, 3))
