"""Pictures with contours: of a result every slice, of a data set a few of its cases."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from CardiacSegLib.anatomy import CANONICAL, STRUCTURES, LabelConvention
from CardiacSegLib.charts import DARK, PALE, structure_color
from CardiacSegLib.clinical.volumes import structure_volume_ml
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing
from CardiacSegLib.geometry import SliceView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FAINT = "#9aa0a6"
_MARGIN_MM = 18.0
_TILES_ACROSS = 8
_TILE_INCHES = 1.9
_SAMPLES_ACROSS = 3
_SAMPLE_INCHES = 2.6
_DPI = 150


def contour_picture(
    image: np.ndarray,
    labels: np.ndarray,
    affine: np.ndarray,
    path: str | os.PathLike[str],
    *,
    frames: Sequence[tuple[str, int]] = (),
    title: str | None = None,
    convention: LabelConvention = CANONICAL,
) -> Path:
    """Write a PNG with every slice as a tile, cropped to the heart, and the contours of each structure on it.

    A cine gets one row of tiles for each of ``frames``; a long stack is folded, its rows still together. Pixels have
    their true shape. In-plane the picture is turned so that its right is the patient's left and its bottom posterior
    or inferior, as near as quarter turns and mirrors allow: the way up a reader expects, whatever the array's order.

    Args:
        image: intensities, (I, J, K) or (I, J, K, T).
        labels: integers on the same grid.
        affine: 4 x 4, index to RAS mm. Any axis may run through the slices.
        path: the file to write; it appears only once complete.
        frames: (name, frame counted from 0) of the rows; ignored without a time axis.
        title: a line above the picture.
        convention: which number is which structure in ``labels``.

    Returns:
        The path written.

    Raises:
        CardiacSegError: where the arrays do not fit together, a frame does not exist, or the file cannot be written.
    """
    phases = _phases(image, labels, frames)
    view = SliceView.of_stack(image.shape[:3], affine)
    tiles = [(phase, view.slices(phase.image), view.slices(phase.labels)) for phase in phases]
    window = _window(np.any([stack > 0 for _, _, stack in tiles], axis=(0, 1)), view.spacing)
    figure = _figure(tiles, view, window, affine, title, convention)
    return _save(figure, Path(path))


@dataclass(frozen=True)
class Sample:
    """One case of a data set: what is written on it, arrays (I, J, K), index to RAS mm, and the labels' convention."""

    name: str
    image: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    convention: LabelConvention


def sample_picture(samples: Sequence[Sample], path: str | os.PathLike[str], *, title: str | None = None) -> Path:
    """Write a PNG with one tile for each of a few cases: the middle one of its labeled slices, with the contours.

    Args:
        samples: at least one; they may differ in size, spacing and convention.
        path: the file to write; it appears only once complete.
        title: a line above the picture.

    Returns:
        The path written.

    Raises:
        CardiacSegError: where the file cannot be written.
    """
    from matplotlib.figure import Figure

    across = min(_SAMPLES_ACROSS, len(samples))
    down = math.ceil(len(samples) / across)
    gap, side, top, bottom = 0.08, 0.2, 0.2 + 0.35 * bool(title), 0.5
    step = _SAMPLE_INCHES + gap
    width, height = max(2 * side + across * step - gap, 6.0), top + bottom + down * step - gap
    indent = (width - across * step + gap) / 2
    figure = Figure((width, height), dpi=_DPI, facecolor=DARK)
    for number, sample in enumerate(samples):
        row, column = divmod(number, across)
        place = indent + column * step, height - top - row * step - _SAMPLE_INCHES, _SAMPLE_INCHES, _SAMPLE_INCHES
        axes = figure.add_axes(tuple(np.divide(place, (width, height, width, height))))
        _draw_sample(axes, sample)
    if title:
        figure.text(indent / width, 1 - 0.32 / height, title, color=PALE, fontsize=12, weight="bold")
    _write_legend(figure, [name for name in STRUCTURES if any(_holds(sample, name) for sample in samples)])
    return _save(figure, Path(path))


def _draw_sample(axes: Axes, sample: Sample) -> None:
    view = SliceView.of_stack(sample.image.shape, sample.affine)
    labels = view.slices(sample.labels)
    labeled = np.flatnonzero(labels.any(axis=(1, 2)))
    middle = labeled[len(labeled) // 2] if len(labeled) else len(labels) // 2
    window = _square(_window(labels[middle] > 0, view.spacing), labels.shape[1:], view.spacing)
    image = view.slices(sample.image)[middle][window]
    _draw_tile(axes, image, labels[middle][window], view, _gray_limits(image), sample.convention)
    axes.set_adjustable("datalim")  # the tiles stay as large as each other, though their pixels are not
    _write_in(axes, sample.name)


def _square(window: tuple[slice, slice], shape: Sequence[int], spacing: Sequence[float]) -> tuple[slice, slice]:
    """The window, its shorter side made as long in millimeters as its longer one, moved where the slice ends."""
    side = max((part.stop - part.start) * step for part, step in zip(window, spacing))
    return tuple(
        _stretched(part, min(round(side / step), size), size) for part, step, size in zip(window, spacing, shape)
    )


def _stretched(part: slice, length: int, size: int) -> slice:
    """A part of an axis of ``size``, made ``length`` long about its center, as near as the ends of the axis allow."""
    start = min(max((part.start + part.stop - length) // 2, 0), size - length)
    return slice(start, start + length)


def _holds(sample: Sample, name: str) -> bool:
    return name in sample.convention and bool((sample.labels == sample.convention[name]).any())


@dataclass(frozen=True)
class _Phase:
    """One row: its name ("" for a single volume), frame, and the arrays (I, J, K)."""

    name: str
    frame: int | None
    image: np.ndarray
    labels: np.ndarray


def _phases(image: np.ndarray, labels: np.ndarray, frames: Sequence[tuple[str, int]]) -> list[_Phase]:
    if image.shape != labels.shape or image.ndim not in (3, 4) or 0 in image.shape:
        raise CardiacSegError(
            f"a picture needs image and labels of one 3D or 4D shape, not {image.shape}, {labels.shape}"
        )
    if image.ndim == 3:
        return [_Phase("", None, image, labels)]
    for name, frame in frames:
        if not 0 <= frame < image.shape[3]:
            raise CardiacSegError(f"{name} is frame {frame}, but the image has {image.shape[3]} frames")
    if not frames:
        raise CardiacSegError("a picture of a cine needs the frames to show")
    return [_Phase(name, frame, image[..., frame], labels[..., frame]) for name, frame in frames]


def _window(heart: np.ndarray, spacing: Sequence[float]) -> tuple[slice, slice]:
    """Rows and columns around the mask ``heart`` (rows, columns) with a margin; everything where it is empty."""
    if not heart.any():
        return slice(0, heart.shape[0]), slice(0, heart.shape[1])
    return tuple(
        _padded(np.flatnonzero(heart.any(axis=1 - axis)), _MARGIN_MM / step, heart.shape[axis])
        for axis, step in enumerate(spacing)
    )


def _padded(indices: np.ndarray, margin: float, size: int) -> slice:
    return slice(max(math.floor(indices[0] - margin), 0), min(math.ceil(indices[-1] + margin) + 1, size))


def _figure(
    tiles: Sequence[tuple[_Phase, np.ndarray, np.ndarray]],
    view: SliceView,
    window: tuple[slice, slice],
    affine: np.ndarray,
    title: str | None,
    convention: LabelConvention,
) -> Figure:
    from matplotlib.figure import Figure

    across, bands = _layout(len(tiles[0][1]), len(tiles))
    height_mm = (window[0].stop - window[0].start) * view.spacing[0]
    width_mm = (window[1].stop - window[1].start) * view.spacing[1]
    tile_height = _TILE_INCHES * min(max(height_mm / width_mm, 0.4), 2.5)
    left, top, bottom, gap = 0.32, 0.26 + 0.36 * bool(title) + 0.22 * len(tiles), 0.5, 0.04
    band_gap = 0.14
    width = max(left + across * (_TILE_INCHES + gap) + 0.2, 6.0)
    height = top + bottom + bands * len(tiles) * (tile_height + gap) + (bands - 1) * band_gap
    figure = Figure((width, height), dpi=_DPI, facecolor=DARK)
    indent = (width - across * (_TILE_INCHES + gap) + gap + left - 0.2) / 2
    phases = [phase for phase, _, _ in tiles]
    for row, (phase, image, labels) in enumerate(tiles):
        limits = _gray_limits(image[(slice(None), *window)])
        for number in range(len(image)):
            band, column = divmod(number, across)
            line = band * len(tiles) + row
            x = indent + column * (_TILE_INCHES + gap)
            y = height - top - (line + 1) * (tile_height + gap) - band * band_gap
            axes = figure.add_axes((x / width, y / height, _TILE_INCHES / width, tile_height / height))
            _draw_tile(axes, image[number][window], labels[number][window], view, limits, convention)
            _write_in(axes, f"{len(image) - number if 0 in view.reversed_axes else number + 1}")
            if column == 0 and phase.name:
                center = (y + tile_height / 2) / height
                figure.text((x - 0.16) / width, center, phase.name, color=PALE, rotation=90, va="center", ha="center")
    _write_heading(figure, tiles, affine, title, convention)
    _write_legend(figure, [name for name in convention if any((p.labels == convention[name]).any() for p in phases)])
    return figure


def _layout(slices: int, phases: int) -> tuple[int, int]:
    """Tiles across, and bands down, each band with a row for every phase."""
    if phases == 1:
        across = min(math.ceil(math.sqrt(1.8 * slices)), slices, _TILES_ACROSS)
        return across, math.ceil(slices / across)
    bands = math.ceil(slices / _TILES_ACROSS)
    return math.ceil(slices / bands), bands


def _gray_limits(image: np.ndarray) -> tuple[float, float]:
    finite = image[np.isfinite(image)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, (0.5, 99.3))
    return float(low), float(high) if high > low else float(low) + 1.0


def _draw_tile(
    axes: Axes,
    image: np.ndarray,
    labels: np.ndarray,
    view: SliceView,
    limits: tuple[float, float],
    convention: LabelConvention,
) -> None:
    rows, columns = image.shape
    axes.set_axis_off()
    axes.imshow(
        image,
        cmap="gray",
        vmin=limits[0],
        vmax=limits[1],
        interpolation="bilinear",
        extent=(
            -0.5 * view.spacing[1],
            (columns - 0.5) * view.spacing[1],
            (rows - 0.5) * view.spacing[0],
            -0.5 * view.spacing[0],
        ),
    )
    # The ring of the myocardium comes first, so that the line it shares with the pool has the pool's color.
    for name in sorted(convention, key=lambda name: name != "MYO"):
        _draw_contour(axes, labels == convention[name], view, structure_color(name))


def _draw_contour(axes: Axes, mask: np.ndarray, view: SliceView, color: tuple[float, ...]) -> None:
    if not mask.any():
        return
    # A rim of nothing closes contours at the border. This little smoothing rounds the stairs and keeps single pixels.
    level = ndimage.gaussian_filter(np.pad(mask, 1).astype(np.float32), 0.5)
    x = (np.arange(level.shape[1]) - 1) * view.spacing[1]
    y = (np.arange(level.shape[0]) - 1) * view.spacing[0]
    axes.contour(x, y, level, levels=[0.5], colors=[color], linewidths=1.1)


def _write_in(axes: Axes, text: str) -> None:
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=2.0, foreground=DARK)]
    place = {"va": "top", "transform": axes.transAxes, "path_effects": outline}
    axes.text(0.035, 0.96, text, color=PALE, fontsize=7.5, **place)


def _write_heading(
    figure: Figure,
    tiles: Sequence[tuple[_Phase, np.ndarray, np.ndarray]],
    affine: np.ndarray,
    title: str | None,
    convention: LabelConvention,
) -> None:
    """The title, and for each phase its frame and the volumes found in it."""
    width, height = figure.get_size_inches()
    below = 0.3
    if title:
        figure.text(0.2 / width, 1 - below / height, title, color=PALE, fontsize=12, weight="bold")
        below += 0.28
    for phase, _, _ in tiles:
        name = f"{phase.name}: " if phase.name else ""
        parts = [] if phase.frame is None else [f"{name}frame {phase.frame + 1}"]
        for name, number in convention.items():
            volume = structure_volume_ml(phase.labels, number, affine)
            measure = "" if 1 in phase.labels.shape else f" {volume:.0f} mL"  # of a single slice it means nothing
            parts.append(f"{name}{measure}" if volume else f"{name} not found")
        figure.text(0.2 / width, 1 - below / height, "   ·   ".join(parts), color=_FAINT, fontsize=8.5)
        below += 0.22


def _write_legend(figure: Figure, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=structure_color(name), linewidth=2.0) for name in names]
    titles = [STRUCTURES[name].title for name in names]
    if lines:
        legend = figure.legend(lines, titles, loc="lower center", ncols=len(lines), frameon=False, fontsize=8.5)
        for text in legend.get_texts():
            text.set_color(PALE)


def _save(figure: Figure, path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with replacing(path) as temporary, temporary.open("wb") as file:
        FigureCanvasAgg(figure).print_png(file)
    return path
