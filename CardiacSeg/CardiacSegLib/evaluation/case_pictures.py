"""A few slices of a case in one picture: image, reference, prediction and their difference."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from CardiacSegLib.evaluation.results import EvaluatedCase
from CardiacSegLib.evaluation.tiles import CaseTiles, paint_differences

_TILE, _GAP, _HEAD, _SIDE, _FONT = 230, 3, 36, 38, 25
_TEXT = "#5b6577"
_SWATCH = (18, 34)

#: What the colors of a difference mean: (reference, prediction) of an example.
DIFFERENCES = {"right": (1, 1), "too much": (0, 1), "missed": (1, 0), "another structure": (1, 2)}


def case_picture(case: EvaluatedCase, slices: int = 3) -> tuple[bytes, list[int]]:
    """The slices that tell most of a case, a row each.

    Args:
        case: of three dimensions.
        slices: how many rows, as far as the heart has so many.

    Returns:
        A JPEG, and the numbers of the slices from top to bottom, counted from 1.
    """
    tiles = CaseTiles(case, _TILE)
    chosen = tiles.telling_slices(slices)
    height, width = tiles.size
    columns = {"Image": tiles.image, "Reference": tiles.reference, "Prediction": tiles.prediction}
    columns["Difference"] = tiles.difference
    size = _SIDE + len(columns) * (width + _GAP) - _GAP, _HEAD + len(chosen) * (height + _GAP) - _GAP
    picture = Pillow.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT)
    for column, (title, draw) in enumerate(columns.items()):
        x = _SIDE + column * (width + _GAP)
        pen.text((x, _HEAD // 2), title, fill=_TEXT, font=font, anchor="lm")
        for row, index in enumerate(chosen):
            picture.paste(Pillow.fromarray(draw(index)), (x, _HEAD + row * (height + _GAP)))
    numbers = [tiles.number(index) for index in chosen]
    for row, number in enumerate(numbers if len(tiles) > 1 else ()):
        middle = _HEAD + row * (height + _GAP) + height // 2
        pen.text((_SIDE // 2 - 2, middle), str(number), fill=_TEXT, font=font, anchor="mm")
    buffer = io.BytesIO()
    # The colors of thin lines count, so they are kept at full resolution.
    picture.save(buffer, "JPEG", quality=88, subsampling=0, optimize=True)
    return buffer.getvalue(), numbers


def legend_picture(kind: str) -> bytes:
    """A swatch of a difference, a key of :data:`DIFFERENCES`, as a PNG."""
    picture = np.full((*_SWATCH, 3), 120, np.uint8)
    paint_differences(picture, *(np.full(_SWATCH, number) for number in DIFFERENCES[kind]))
    buffer = io.BytesIO()
    Pillow.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
