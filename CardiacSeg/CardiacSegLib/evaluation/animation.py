"""A case in motion: image, reference and prediction side by side, through the slices or the phases."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.evaluation.results import EvaluatedCase
from CardiacSegLib.evaluation.tiles import CaseTiles
from CardiacSegLib.files import replacing

ANIMATION = "animation.gif"

_PANES = ("Image", "Reference", "Prediction")
#: Pixels across a pane.
_WIDEST, _NARROWEST = 260, 48
_LARGEST = 1_000_000
_COLORS = 96
_GAP, _BAR = 4, 22
_PAPER, _INK, _FAINT = (16, 18, 22), (232, 234, 237), (154, 160, 166)
_SLICE_MS, _HEARTBEAT_MS, _SHORTEST_MS = 450, 1400, 40


def write_animation(path: Path, case: EvaluatedCase) -> Path:
    """Write a GIF that never ends, under 1 MB: a frame for each slice of a volume or each phase of a cine.

    Of a cine the slice in the middle of the heart is shown.

    Raises:
        CardiacSegError: where the file cannot be written.
    """
    cine = case.image.ndim == 4
    count = case.image.shape[3] if cine else 0
    width = _WIDEST
    with replacing(path) as temporary:
        while True:
            frames = list(_phases(case, width) if cine else _slices(case, width))
            _save(temporary, frames, max(_HEARTBEAT_MS // count, _SHORTEST_MS) if cine else _SLICE_MS)
            size = temporary.stat().st_size
            if size < _LARGEST or width == _NARROWEST:
                break
            # The file grows with the area, a little less than in proportion.
            width = max(_NARROWEST, int(0.95 * width * math.sqrt(_LARGEST / size)))
    return Path(path)


def _slices(case: EvaluatedCase, width: int) -> Iterator[Pillow.Image]:
    tiles = CaseTiles(case, width)
    for index in range(len(tiles)):
        yield _frame(tiles, index, case, f"slice {tiles.number(index)} of {len(tiles)}")


def _phases(case: EvaluatedCase, width: int) -> Iterator[Pillow.Image]:
    """The slice in the middle of the heart, cropped alike in all frames."""
    count = case.image.shape[3]
    still = replace(
        case, image=case.image.mean(axis=3), reference=_ever(case.reference), prediction=_ever(case.prediction)
    )
    tiles = CaseTiles(still, width)
    index = tiles.middle_slice()
    for phase in range(count):
        arrays = {name: getattr(case, name)[..., phase] for name in ("image", "reference", "prediction")}
        text = f"slice {tiles.number(index)}, phase {phase + 1} of {count}"
        yield _frame(tiles.of(replace(case, **arrays)), index, case, text)


def _ever(labels: np.ndarray) -> np.ndarray:
    """Labels (I, J, K) that hold what any phase of (I, J, K, T) does."""
    return labels.max(axis=3)


def _frame(tiles: CaseTiles, index: int, case: EvaluatedCase, text: str) -> Pillow.Image:
    height, width = tiles.size
    picture = Pillow.new("RGB", (3 * width + 2 * _GAP, height + 2 * _BAR), _PAPER)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(12 if width > 100 else 9)
    for column, (title, draw) in enumerate(zip(_PANES, (tiles.image, tiles.reference, tiles.prediction))):
        x = column * (width + _GAP)
        picture.paste(Pillow.fromarray(draw(index)), (x, _BAR))
        pen.text((x + 4, _BAR // 2), title, fill=_INK, font=font, anchor="lm")
    foot = _BAR + height + _BAR // 2
    pen.text((4, foot), f"{case.name}   {text}", fill=_FAINT, font=font, anchor="lm")
    x = picture.width - 4
    for name in reversed(list(case.convention)):
        pen.text((x, foot), name, fill=STRUCTURES[name].color, font=font, anchor="rm")
        x -= pen.textlength(name, font=font) + 10
    return picture


def _with_exact(palette: Pillow.Image) -> Pillow.Image:
    """The palette and the very colors of the structures, which averaging over an image would turn gray."""
    colors = [channel for structure in STRUCTURES.values() for channel in structure.color]
    palette.putpalette([*palette.getpalette()[: 3 * _COLORS], *colors])
    return palette


def _save(path: Path, frames: list[Pillow.Image], milliseconds: int) -> None:
    """All frames share one palette, so that grays do not flicker; without dithering the file stays small."""
    sheet = Pillow.new("RGB", (frames[0].width, frames[0].height * len(frames)))
    for number, frame in enumerate(frames):
        sheet.paste(frame, (0, number * frame.height))
    palette = _with_exact(sheet.quantize(_COLORS, Pillow.Quantize.MEDIANCUT))
    drawn = [frame.quantize(palette=palette, dither=Pillow.Dither.NONE) for frame in frames]
    drawn[0].save(path, "GIF", save_all=True, append_images=drawn[1:], duration=milliseconds, loop=0)
