"""Pictures of a study: the volume curve, and the bullseye of its segments.

matplotlib is imported where it draws: who only reads these functions' names does not wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.charts import INK, SOFT, structure_color, style_axes
from CardiacSegLib.clinical.rows import at
from CardiacSegLib.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from CardiacSegLib.clinical.measures import StudyMeasures

_ABSENT = "#eceff3"

_CURVES = ("LV", "RV", "LA")

#: Radii at which a level begins, and the outermost end: the tip of the apex, apical, middle, basal.
_RADII = (0.19, 0.46, 0.73, 1.0)

#: Where a level's segments begin, degrees counterclockwise from the right, and which way they go on from there.
_STARTS = (60.0, 60.0, 45.0)
_COUNTS = (6, 6, 4)

_DPI = 150
_PANEL_INCHES = 2.9


def volume_figure(study: StudyMeasures) -> Figure:
    """The volumes over the heartbeat with ED and ES marked.

    Args:
        study: of a cine; with a single phase the figure has points and no curve.
    """
    from matplotlib.figure import Figure

    figure = Figure((8.0, 3.4), dpi=_DPI, facecolor="white", layout="constrained")
    axes = figure.subplots()
    times = study.frame_times_ms
    curves = {name: curve for name, curve in study.function.volumes_ml.items() if name in _CURVES}
    for name, curve in curves.items():
        x = np.arange(1, len(curve) + 1) if times is None else times
        color = structure_color(name)
        axes.plot(x, curve, color=color, marker="o", markersize=3.5, linewidth=1.8, label=STRUCTURES[name].title)
    style_axes(axes, x="Frame" if times is None else "Time (ms)", y="Volume (mL)")
    axes.locator_params(axis="x", integer=True)  # there is no half frame
    axes.set_ylim(0, 1.12 * max((curve.max() for curve in curves.values()), default=1.0))
    for phase, frame in study.phases.items():
        if phase:
            _mark(axes, phase, float(frame + 1 if times is None else times[frame]))
    if curves:
        axes.legend(frameon=False, fontsize=8.5, ncols=len(curves), loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


def _mark(axes: Axes, phase: str, x: float) -> None:
    axes.axvline(x, color=SOFT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0)
    axes.annotate(
        phase,
        (x, 0.04),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=9,
        weight="bold",
        color=INK,
    )


@dataclass(frozen=True)
class Bullseye:
    """One bullseye: its title, the values of the segments 1 to 16 (NaN where there is none), and how to color them.

    ``limits`` are the values of the lightest and the darkest color; ``decimals`` how many are written.
    """

    title: str
    values: np.ndarray
    unit: str
    limits: tuple[float, float]
    colors: str = "YlGnBu"
    decimals: int = 1


def study_bullseyes(study: StudyMeasures) -> list[Bullseye]:
    """The bullseyes of a study: wall thickness at each phase on one scale, and thickening; none without a segment."""
    thickest = max((np.nanmax(wall.segments_mm, initial=0.0) for wall in study.walls.values()), default=0.0)
    if not thickest:
        return []
    limits = (0.0, max(5.0 * np.ceil(thickest / 5.0), 15.0))
    found = [
        Bullseye(f"Wall thickness{at(phase)}", wall.segments_mm, "mm", limits) for phase, wall in study.walls.items()
    ]
    if study.thickening_percent is not None and np.isfinite(study.thickening_percent).any():
        # Below zero the wall gets thinner; so that zero is no white, on which nothing would be seen.
        low = min(25.0 * np.floor(np.nanmin(study.thickening_percent) / 25.0), -25.0)
        high = max(25.0 * np.ceil(np.nanmax(study.thickening_percent) / 25.0), 100.0)
        found.append(Bullseye("Thickening, ED to ES", study.thickening_percent, "%", (low, high), "Purples", 0))
    return found


def bullseye_figure(bullseyes: Sequence[Bullseye]) -> Figure:
    """Bullseyes side by side: base outside and apex inside, the anterior wall on top, the septum on the left.

    The layout of M. D. Cerqueira et al., Circulation 105:539-542 (2002), with the values and the segments' numbers.
    """
    from matplotlib.figure import Figure

    figure = Figure((_PANEL_INCHES * len(bullseyes), 1.22 * _PANEL_INCHES), dpi=_DPI, facecolor="white")
    for number, bullseye in enumerate(bullseyes):
        left, width = (number + 0.02) / len(bullseyes), 0.96 / len(bullseyes)
        disc = figure.add_axes((left, 0.17, width, 0.96 / 1.22))
        bar = figure.add_axes((left + 0.2 * width, 0.115, 0.6 * width, 0.022))
        _draw_bullseye(disc, bar, bullseye)
    return figure


def _draw_bullseye(disc: Axes, bar: Axes, bullseye: Bullseye) -> None:
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Wedge

    mapping = ScalarMappable(Normalize(*bullseye.limits), matplotlib.colormaps[bullseye.colors])
    disc.set_axis_off()
    disc.set_aspect("equal")
    disc.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2))
    disc.add_patch(Wedge((0, 0), _RADII[0], 0, 360, facecolor=_ABSENT, edgecolor="none"))
    for number, value in enumerate(bullseye.values):
        begin, width, low, high = _place(number)
        color = mapping.to_rgba(value) if np.isfinite(value) else _ABSENT
        wedge = Wedge((0, 0), high, begin, begin + width, width=high - low)
        wedge.set(facecolor=color, edgecolor="white", linewidth=1.6)
        disc.add_patch(wedge)
        rounded = np.round(value, bullseye.decimals) + 0.0  # no minus before a zero
        _write_value(disc, number, f"{rounded:.{bullseye.decimals}f}" if np.isfinite(value) else "–", color)
    for angle, name in ((90, "anterior"), (180, "septal"), (270, "inferior"), (0, "lateral")):
        x, y = 1.09 * np.cos(np.radians(angle)), 1.09 * np.sin(np.radians(angle))
        turned = {180: 90, 0: 270}.get(angle, 0)
        disc.text(x, y, name, ha="center", va="center", rotation=turned, fontsize=7.5, color=SOFT)
    disc.set_title(bullseye.title, fontsize=9.5, weight="bold", color=INK, y=0.965)
    colorbar = bar.figure.colorbar(mapping, cax=bar, orientation="horizontal")
    colorbar.outline.set_visible(False)
    bar.tick_params(colors=SOFT, labelsize=7.5, length=2, pad=2)
    colorbar.set_label(bullseye.unit, fontsize=7.5, color=SOFT, labelpad=1)


def _write_value(disc: Axes, number: int, text: str, color: str | tuple[float, ...]) -> None:
    """A segment's value, and below it small the segment's number, in what can be read on its color."""
    begin, width, low, high = _place(number)
    angle, radius = np.radians(begin + width / 2), (low + high) / 2
    place = radius * np.cos(angle), radius * np.sin(angle)
    dark = not isinstance(color, str) and np.dot(color[:3], (0.299, 0.587, 0.114)) < 0.5
    style = {"ha": "center", "va": "center", "color": "white" if dark else INK, "textcoords": "offset points"}
    disc.annotate(text, place, xytext=(0, 2.5), fontsize=7.5, weight="bold", **style)
    disc.annotate(str(number + 1), place, xytext=(0, -5.5), fontsize=5.5, **style)


def _place(number: int) -> tuple[float, float, float, float]:
    """Angle at which a segment (counted from 0) begins and its width, degrees, and its inner and outer radius."""
    level = 0 if number < 6 else 1 if number < 12 else 2
    width = 360.0 / _COUNTS[level]
    begin = _STARTS[level] + (number - 6 * level) * width
    return begin, width, _RADII[2 - level], _RADII[3 - level]


def write_png(figure: Figure, path: Path | str) -> Path:
    """Write a figure of this module as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with replacing(path) as temporary, temporary.open("wb") as file:
        FigureCanvasAgg(figure).print_png(file)
    return Path(path)
