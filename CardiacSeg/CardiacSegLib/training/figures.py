"""Pictures of a run: its curves, and validation cases as they improve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.charts import DARK, INK, PALE, structure_color, style_axes
from CardiacSegLib.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from CardiacSegLib.training.store import SliceStore

_CASES, _SLICES = 4, 3
_DPI = 120
#: Pixels from the middle to an edge where no heart tells.
_REACH = 56


def draw_curves(rows: Sequence[Mapping[str, float]], structures: Sequence[str], path: Path, title: str) -> None:
    """Write a PNG with the loss, and the Dice and the IoU of each structure, over the steps of a run."""
    from matplotlib.figure import Figure

    figure = Figure((12, 3.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    steps = [row["step"] for row in rows]
    left.plot(steps, [row["loss"] for row in rows], color=INK, linewidth=1.6, marker=".")
    _label(left, "Training loss", steps)
    left.set_ylim(bottom=0)
    for axes, measure, name in ((middle, "dice", "Dice"), (right, "iou", "IoU")):
        for structure in structures:
            values = [row[f"{measure}_{structure}"] for row in rows]
            color = structure_color(structure)
            axes.plot(steps, values, color=color, linewidth=1.8, marker=".", label=f"{structure} {values[-1]:.3f}")
        _label(axes, f"{name}, held-out cases", steps)
        axes.set_ylim(0, 1)
        axes.legend(loc="lower right", frameon=False, fontsize=9)
    figure.suptitle(title, color=INK, fontsize=11, x=0.01, ha="left")
    _save(figure, path)


def _label(axes: Axes, title: str, steps: Sequence[float]) -> None:
    style_axes(axes, title, x="step", grid="both")
    axes.set_xlim(0, 1.02 * max(steps))


def draw_cases(store: SliceStore, labels: Any, convention: LabelConvention, path: Path, title: str) -> None:
    """Write a PNG of slices of a few cases, the found contours in color over the reference in white.

    Args:
        labels: uint8 (N, S, S), found in the slices of ``store``.
    """
    from matplotlib.figure import Figure

    chosen = _slices_to_show(store.cases.numpy(), store.labels.numpy())
    rows, columns = chosen.shape
    figure = Figure((columns * 1.9, rows * 1.9 + 0.4), facecolor=DARK)
    figure.suptitle(title, color=PALE, fontsize=9, x=0.01, y=0.99, ha="left")
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.36 / (rows * 1.9 + 0.4), 0.02, 0.02)
    reach = _reach(store.labels.numpy()[chosen.ravel()])
    for axes, number in zip(grid.flat, chosen.flat):
        window = _around(store.centers[number].numpy(), store.images.shape[-1], reach)
        image = store.images[number].float().numpy()[window]
        axes.imshow(image, cmap="gray", vmin=np.percentile(image, 1), vmax=np.percentile(image, 99.5))
        _contours(axes, store.labels[number].numpy()[window], convention, "white", 0.8)
        _contours(axes, np.asarray(labels[number])[window], convention, None, 1.3)
        axes.set_axis_off()
    _save(figure, path)


def _contours(axes: Axes, labels: np.ndarray, convention: LabelConvention, color: str | None, width: float) -> None:
    for name, number in reversed(list(convention.items())):  # LV last, or the wall's inner border would hide it
        mask = labels == number
        if mask.any() and not mask.all():
            axes.contour(mask, [0.5], colors=[color or structure_color(name)], linewidths=width)


def _slices_to_show(cases: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Numbers of slices: for a few cases, spread over all, one toward each end of the heart and one in its middle."""
    names = np.unique(cases)
    shown = names[np.linspace(0, len(names) - 1, min(_CASES * 2, len(names))).round().astype(int)]
    rows = []
    for case in shown:
        slices = np.flatnonzero(cases == case)
        heart = [number for number in slices if labels[number].any()] or list(slices)
        rows.append([heart[round(share * (len(heart) - 1))] for share in np.linspace(0.12, 0.88, _SLICES)])
    single = all(len(set(row)) == 1 for row in rows)  # images of one slice need not be shown three times
    flat = np.array([row[:1] if single else row for row in rows]).ravel()
    columns = min(len(flat), 8 if single else 2 * _SLICES)
    return flat[: len(flat) // columns * columns].reshape(-1, columns)


def _reach(labels: np.ndarray) -> int:
    """Pixels from the middle to an edge of a view in which the largest of some hearts, (N, S, S), has room."""
    extents = [np.ptp(np.flatnonzero(line)) for axis in (1, 2) for line in labels.any(axis) if line.any()]
    return round(0.6 * max(extents, default=0)) or _REACH


def _around(center: np.ndarray, size: int, reach: int) -> tuple[slice, slice]:
    """Rows and columns around the middle of a heart."""
    starts = np.clip(np.round(center).astype(int) - reach, 0, max(0, size - 2 * reach))
    return tuple(slice(start, min(size, start + 2 * reach)) for start in starts)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, facecolor=figure.get_facecolor())
