"""The look that all charts and pictures share; matplotlib is imported by who draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from CardiacSegLib.anatomy import STRUCTURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, SOFT, LINE, TINT = "#1d2433", "#5b6577", "#dfe3ea", "#f5f7fa"
#: Around gray pictures, and what is written there.
DARK, PALE = "#101216", "#e8eaed"


def structure_color(name: str) -> tuple[float, ...]:
    """The color of a structure, each channel from 0 to 1; that of text for what is none."""
    if name not in STRUCTURES:
        return tuple(int(INK[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return tuple(channel / 255 for channel in STRUCTURES[name].color)


def style_axes(axes: Axes, title: str = "", x: str = "", y: str = "", grid: str = "y") -> None:
    """The look of all charts: quiet grid, no frame, what is shown in the heading.

    Args:
        grid: "x", "y", "both" or "" for none.
    """
    axes.set_title(title, fontsize=9.5, color=INK, loc="left", weight="bold")
    axes.set_xlabel(x, fontsize=8.5, color=SOFT)
    axes.set_ylabel(y, fontsize=8.5, color=SOFT)
    axes.tick_params(colors=SOFT, labelsize=8, length=0)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=LINE, linewidth=0.8)
    for spine in axes.spines.values():
        spine.set_visible(False)
