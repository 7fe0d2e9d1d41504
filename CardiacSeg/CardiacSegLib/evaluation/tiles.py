"""Slices of a case as small color pictures: the image, labels over it, and how two labelings differ.

In a picture of differences green is right, yellow is too much, red was missed, and yellow and red in turns is heart of
another structure than in the reference. Stripes tell them apart without colors, too: dark rising ones mean too much,
light falling ones missed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow

from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.evaluation.results import EvaluatedCase
from CardiacSegLib.geometry import SliceView

RIGHT, TOO_MUCH, MISSED = (0, 158, 96), (250, 220, 50), (240, 44, 50)
_MARGIN_MM = 14.0
_FILL, _RIGHT, _WRONG = 0.28, 0.45, 0.92
_DARK, _LIGHT, _TONE = (0, 0, 0), (255, 255, 255), 0.4
#: Pixels from stripe to stripe, and across one.
_STRIPE, _LINE = 8, 2
#: A very long or very flat crop would leave no room for its neighbors.
_FLATTEST, _TALLEST = 0.5, 1.6


class CaseTiles:
    """Draws the slices of one case, cropped to the heart, as arrays (height, width, 3), uint8, of one size.

    Args:
        case: of three dimensions.
        width: pixels of a tile; its height follows from the crop, so that millimeters are as long either way.
    """

    def __init__(self, case: EvaluatedCase, width: int) -> None:
        self._view = SliceView.of_stack(case.image.shape, case.affine)
        self._convention = case.convention
        self._take(case)
        numbers = list(case.convention.values())
        self._heart = np.isin(self._reference, numbers) | np.isin(self._prediction, numbers)
        self._window = crop_window(self._heart.any(axis=0), self._view.spacing)
        rows, columns = (part.stop - part.start for part in self._window)
        shape = rows * self._view.spacing[0] / (columns * self._view.spacing[1])
        self.size = round(width * min(max(shape, _FLATTEST), _TALLEST)), width
        self._gray = _gray_limits(self._image[(slice(None), *self._window)])

    def __len__(self) -> int:
        """Number of slices."""
        return len(self._image)

    def number(self, index: int) -> int:
        """The slice as a viewer counts it, from 1 in the order of the array."""
        return len(self) - index if 0 in self._view.reversed_axes else index + 1

    def telling_slices(self, count: int) -> list[int]:
        """Of each of ``count`` parts of the heart the slice with most wrong pixels; its middle one where none is."""
        heart = np.flatnonzero(self._heart.any(axis=(1, 2)))
        if not len(heart):
            return [len(self) // 2]
        wrong = np.count_nonzero(self._reference != self._prediction, axis=(1, 2))
        parts = np.array_split(heart, min(count, len(heart)))
        return [int(part[np.argmax(wrong[part] * 1000 - abs(part - part.mean()))]) for part in parts]

    def middle_slice(self) -> int:
        """The slice in the middle of the heart."""
        heart = np.flatnonzero(self._heart.any(axis=(1, 2)))
        return int(heart[len(heart) // 2]) if len(heart) else len(self) // 2

    def of(self, case: EvaluatedCase) -> CaseTiles:
        """The same crop of another case on the same grid: the next phase of a cine."""
        tiles = copy.copy(self)
        tiles._take(case)
        return tiles

    def _take(self, case: EvaluatedCase) -> None:
        arrays = (case.image, case.reference, case.prediction)
        self._image, self._reference, self._prediction = (self._view.slices(array) for array in arrays)

    def image(self, index: int) -> np.ndarray:
        """The image alone."""
        gray = _resized(self._image[index][self._window].astype(np.float32), self.size, Pillow.Resampling.BICUBIC)
        low, high = self._gray
        shown = np.clip((gray - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
        return np.repeat(shown[..., None], 3, axis=2)

    def reference(self, index: int) -> np.ndarray:
        """The image with the reference over it."""
        return self._labeled(index, self._enlarged(self._reference, index))

    def prediction(self, index: int) -> np.ndarray:
        """The image with the prediction over it."""
        return self._labeled(index, self._enlarged(self._prediction, index))

    def difference(self, index: int) -> np.ndarray:
        """The image with what is right, too much and missed."""
        picture = self.image(index)
        paint_differences(picture, *(self._enlarged(labels, index) for labels in (self._reference, self._prediction)))
        return picture

    def _labeled(self, index: int, labels: np.ndarray) -> np.ndarray:
        picture = self.image(index)
        for number, name in enumerate(self._convention, 1):
            mask = labels == number
            _blend(picture, mask, STRUCTURES[name].color, _FILL)
            _blend(picture, mask & ~_eroded(mask, 2), STRUCTURES[name].color, 1.0)
        return picture

    def _enlarged(self, labels: np.ndarray, index: int) -> np.ndarray:
        """Labels of a slice at the size of a tile, numbered as the convention lists them, with rounded stairs."""
        small = labels[index][self._window]
        shares = [small == number for number in self._convention.values()]
        shares = np.stack([~np.any(shares, axis=0), *shares]).astype(np.float32)
        return np.argmax([_resized(share, self.size, Pillow.Resampling.BILINEAR) for share in shares], axis=0)


def paint_differences(picture: np.ndarray, reference: np.ndarray, prediction: np.ndarray) -> None:
    """Color a picture (rows, columns, 3) in place where it is right, too much, missed or another structure.

    Args:
        reference, prediction: integers (rows, columns), 0 for background.
    """
    rows, columns = np.indices(reference.shape)
    rising, falling = (rows + columns) % _STRIPE, (rows - columns) % _STRIPE
    too_much, missed = (prediction > 0) & (reference == 0), (reference > 0) & (prediction == 0)
    other = (reference > 0) & (prediction > 0) & (reference != prediction)
    _blend(picture, (reference > 0) & (reference == prediction), RIGHT, _RIGHT)
    for mask, color, stripes, tone in ((too_much, TOO_MUCH, rising, _DARK), (missed, MISSED, falling, _LIGHT)):
        _blend(picture, mask, color, _WRONG)
        _blend(picture, mask & (stripes < _LINE), tone, _TONE)
    _blend(picture, other, MISSED, _WRONG)
    _blend(picture, other & (rising < _STRIPE // 2), TOO_MUCH, _WRONG)


def crop_window(heart: np.ndarray, spacing: Sequence[float]) -> tuple[slice, slice]:
    """Rows and columns of a square around a mask (rows, columns) with a margin; everything where it is empty."""
    if not heart.any():
        return slice(0, heart.shape[0]), slice(0, heart.shape[1])
    lines = [np.flatnonzero(heart.any(axis=1 - axis)) for axis in (0, 1)]
    side = max((line[-1] - line[0] + 1) * step for line, step in zip(lines, spacing)) + 2 * _MARGIN_MM
    return tuple(
        _centered((line[0] + line[-1] + 1) / 2, math.ceil(side / step), size)
        for line, step, size in zip(lines, spacing, heart.shape)
    )


def _centered(center: float, length: int, size: int) -> slice:
    """A part of an axis of ``size``, about its center, moved where the axis ends."""
    length = min(length, size)
    start = min(max(round(center - length / 2), 0), size - length)
    return slice(start, start + length)


def _gray_limits(image: np.ndarray) -> tuple[float, float]:
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, (0.5, 99.3)) if finite.size else (0.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1.0


def _resized(array: np.ndarray, size: tuple[int, int], resampling: Pillow.Resampling) -> np.ndarray:
    return np.asarray(Pillow.fromarray(array).resize(size[::-1], resampling))


def _blend(picture: np.ndarray, mask: np.ndarray, color: Sequence[int], share: float) -> None:
    picture[mask] = np.round((1 - share) * picture[mask] + share * np.asarray(color)).astype(np.uint8)


def _eroded(mask: np.ndarray, times: int) -> np.ndarray:
    from scipy import ndimage

    return ndimage.binary_erosion(mask, iterations=times)
