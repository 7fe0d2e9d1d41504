"""Charts of an evaluation: distributions, volume agreement, confusion, ROC, and the comparison of models.

All have one style, see :mod:`CardiacSegLib.charts`. A structure has its color everywhere, and a marker and a dash of
its own for eyes that do not tell the colors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from CardiacSegLib.charts import INK, SOFT, TINT, structure_color, style_axes
from CardiacSegLib.evaluation.tables import StructureRow, VolumeRow
from CardiacSegLib.evaluation.wording import MEAN, Metric, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = {"LV": "o", "MYO": "s", "RV": "^", "LA": "D"}
_DASHES: Mapping[str, Any] = {"LV": "-", "MYO": (0, (5, 1.5)), "RV": (0, (2, 1.2)), "LA": (0, (4, 1.5, 1, 1.5))}
#: The width of a page, in inches as matplotlib counts them, and half of it.
_WIDTH, _HALF = 9.2, 4.5
#: More letters than this, and the names of groups are written aslant.
_CROWDED = 70
#: From this share on, text on the blue of a confusion matrix is white.
_DARK = 0.55
#: Where the upper left corner of a ROC plot begins, as false and true positive rate.
_CORNER = (0.1, 0.9)


def distribution_figure(
    rows: Sequence[StructureRow], structures: Sequence[str], phases: Sequence[str], metrics: Mapping[str, Metric]
) -> Figure:
    """Boxes with the single cases as points: a panel for each metric, a box for each structure and phase."""
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH, 3.1), layout="constrained")
    for axes, (name, metric) in zip(figure.subplots(1, len(metrics), squeeze=False).flat, metrics.items()):
        style_axes(axes, metric.heading)
        places = {}
        for column, (structure, phase) in enumerate((s, p) for s in structures for p in phases or [""]):
            place = column + 0.5 * (column // max(len(phases), 1))
            mine = [row for row in rows if (row.structure, row.phase) == (structure, phase)]
            _draw_box(axes, place, _values(mine, name), structure, hollow=phase == "ES")
            places[place] = f"{structure}\n{phase}" if phase else structure
        axes.set_xticks(list(places), list(places.values()), color=INK)
        _end_at_best(axes, metric)
    return figure


def group_figure(
    rows: Sequence[StructureRow],
    structures: Sequence[str],
    groups: Sequence[str],
    field: str,
    metric: tuple[str, Metric],
) -> Figure:
    """Boxes with the single cases as points: a panel for each structure, a box for each group.

    Args:
        field: of the rows, "group" or "vendor".
        metric: its column, and how it is written.
    """
    from matplotlib.figure import Figure

    column, named = metric
    figure = Figure((_WIDTH, 2.6), layout="constrained")
    panels = figure.subplots(1, len(structures), sharey=True, squeeze=False).flat
    slant = {"rotation": 35, "ha": "right"} if sum(map(len, groups)) * len(structures) > _CROWDED else {}
    for axes, structure in zip(panels, structures):
        style_axes(axes, structure, y=named.heading if structure == structures[0] else "")
        for place, group in enumerate(groups):
            mine = [row for row in rows if row.structure == structure and getattr(row, field) == group]
            _draw_box(axes, place, _values(mine, column), structure)
        axes.set_xticks(range(len(groups)), groups, color=INK, **slant)
    _end_at_best(axes, named)  # of one, after all are drawn: the panels share their limits
    return figure


def _values(rows: Sequence[StructureRow], metric: str) -> list[float]:
    values = (getattr(row, metric) for row in rows)
    return [value for value in values if value is not None]


def _draw_box(axes: Axes, place: float, values: Sequence[float], structure: str, *, hollow: bool = False) -> None:
    """One box, its points spread sideways."""
    if not values:
        axes.text(place, 0.02, "none", color=SOFT, fontsize=7, ha="center", transform=axes.get_xaxis_transform())
        return
    color = structure_color(structure)
    line = {"color": color, "linewidth": 1.1}
    axes.boxplot(
        [values],
        positions=[place],
        widths=0.62,
        patch_artist=True,
        showfliers=False,
        whis=(0, 100),
        boxprops={"facecolor": "none" if hollow else (*color, 0.18), "edgecolor": color, "linewidth": 1.1},
        whiskerprops=line,
        capprops={"linewidth": 0},
        medianprops={"color": INK, "linewidth": 1.6},
        manage_ticks=False,
    )
    sideways = np.arange(len(values)) * 0.618 % 1 - 0.5  # the golden ratio spreads evenly, and the same way each time
    marker = {"s": 11, "marker": _MARKERS[structure], "linewidths": 0.8, "zorder": 3, "alpha": 0.85}
    colors = {"facecolors": "white" if hollow else [color], "edgecolors": [color]}
    axes.scatter(place + 0.42 * sideways, values, **marker, **colors)


def _end_at_best(axes: Axes, metric: Metric) -> None:
    low, high = axes.get_ylim()
    if metric.better > 0:
        axes.set_ylim(max(-0.03, low), 1 + 0.03 * (1 - low))
    else:
        axes.set_ylim(-0.02 * high, high)


def agreement_figure(rows: Sequence[VolumeRow], title: str, facts: Mapping[str, Any]) -> Figure:
    """One measure of all patients: model over reference, and the Bland-Altman plot with bias and limits of agreement.

    Bland and Altman, "Statistical methods for assessing agreement between two methods of clinical measurement",
    Lancet 327 (1986): the difference over the mean of both, and its mean ± 1.96 standard deviations.

    Args:
        rows: of one measure, each with value and reference.
        facts: its entry in the summary.
    """
    from matplotlib.figure import Figure

    unit, structure = rows[0].unit, _structure_of(rows[0].measure)
    model, reference = (np.array(values) for values in zip(*((row.value, row.reference) for row in rows)))
    figure = Figure((_HALF, 2.1))
    figure.text(0.01, 0.935, title, fontsize=9.5, color=INK, weight="bold")
    summary = f"MAE {number(facts['mae'], 1)} {unit}" + (f"   r {facts['r']:.3f}" if facts.get("r") is not None else "")
    figure.text(0.99, 0.935, summary, fontsize=7.5, color=SOFT, ha="right")
    left, right = figure.add_axes((0.115, 0.2, 0.295, 0.63)), figure.add_axes((0.555, 0.2, 0.295, 0.63))
    marker = {
        "s": 15,
        "marker": _MARKERS[structure],
        "color": structure_color(structure),
        "alpha": 0.8,
        "linewidths": 0,
    }
    style_axes(left, "", f"reference ({unit})", f"model ({unit})", "both")
    _draw_identity(left, reference, model, marker)
    style_axes(right, "", f"mean of both ({unit})", f"difference ({unit})")
    right.scatter((model + reference) / 2, model - reference, **marker)
    _draw_limits(right, facts)
    return figure


def _structure_of(measure: str) -> str:
    """The structure that a measure is of: LVM is the mass of the myocardium."""
    return "MYO" if measure == "LVM" else measure[:2]


def _draw_identity(axes: Axes, x: np.ndarray, y: np.ndarray, marker: Mapping[str, Any]) -> None:
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    pad = 0.06 * (high - low) or 1.0
    ends = (low - pad, high + pad)
    axes.plot(ends, ends, color=SOFT, linewidth=0.9, zorder=1)
    axes.scatter(x, y, **marker, zorder=2)
    axes.set(xlim=ends, ylim=ends)


def _draw_limits(axes: Axes, facts: Mapping[str, Any]) -> None:
    """Lines for bias and limits, their values beside them at the right."""
    low, high = facts.get("limits") or (None, None)
    axes.axhline(0, color=SOFT, linewidth=0.8, linestyle=":", zorder=0)
    for name, value, dash in (("bias ", facts.get("bias"), "-"), ("", low, "--"), ("", high, "--")):
        if value is not None:
            axes.axhline(value, color=INK, linewidth=1.0, linestyle=dash, zorder=1)
            place = {"xycoords": ("axes fraction", "data"), "va": "center", "annotation_clip": False}
            axes.annotate(f"{name}{number(value, 1, signed=True)}", (1.02, value), fontsize=7, color=INK, **place)
    values = [value for value in (low, high, *axes.get_ylim()) if value is not None]
    pad = 0.06 * (max(values) - min(values))
    axes.set_ylim(min(values) - pad, max(values) + pad)


def confusion_figure(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Figure:
    """What the voxels of each class of the reference were labeled as, each row adding up to 100 %."""
    from matplotlib.figure import Figure

    counts = np.asarray(counts, float)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    figure = Figure((_HALF, 3.7), layout="constrained")
    axes = figure.subplots()
    style_axes(axes, "", "prediction", "reference", "")
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        place = {"ha": "center", "color": "white" if share > _DARK else INK}
        axes.text(column, row, _percent(share), va="bottom", fontsize=9.5, **place)
        axes.text(column, row + 0.05, _brief(counts[row, column]), va="top", fontsize=7, alpha=0.85, **place)
    axes.set_xticks(range(len(labels)), labels, color=INK)
    axes.set_yticks(range(len(labels)), labels, color=INK)
    axes.xaxis.set(ticks_position="top", label_position="top")
    return figure


def _percent(share: float) -> str:
    """A share, with more digits where the first ones would say 0 or 100."""
    if 0 < share < 1e-5:
        return "< 0.001 %"
    if 0 < 1 - share < 1e-5:
        return "> 99.999 %"
    digits = 1 if 0.001 <= share <= 0.999 or share in (0, 1) else 3
    return f"{100 * share:.{digits}f} %"


def _brief(count: float) -> str:
    """A count to three digits."""
    for size, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{suffix}"
    return f"{count:.0f}"


def roc_figure(curves: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The ROC curve of each structure, with its corner enlarged: that is where curves of a useful model differ."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure((_HALF, 3.7), layout="constrained")
    axes = figure.subplots()
    style_axes(axes, "", "false positive rate", "true positive rate", "both")
    axes.plot((0, 1), (0, 1), color=SOFT, linewidth=0.8, linestyle=":")
    axes.add_patch(Rectangle((0.31, 0.27), 0.69, 0.58, transform=axes.transAxes, color="white", zorder=2))
    corner = axes.inset_axes((0.4, 0.34, 0.58, 0.44))
    style_axes(corner, "", "", "", "both")
    corner.set_facecolor(TINT)
    corner.set_title("upper left corner", fontsize=7.5, color=SOFT, loc="left")
    for name, curve in curves.items():
        line = {"color": structure_color(name), "linewidth": 1.8, "linestyle": _DASHES[name]}
        axes.plot(curve["fpr"], curve["tpr"], **line, label=f"{name}  AUC {curve['auc']:.4f}")
        corner.plot(curve["fpr"], curve["tpr"], **line)
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01))
    corner.set(xlim=(-0.001, _CORNER[0]), ylim=(_CORNER[1], 1.001))
    corner.tick_params(labelsize=7)
    axes.legend(loc="lower right", fontsize=8, frameon=False, labelcolor=INK)
    return figure


def forest_figure(panels: Sequence[tuple[Metric, Sequence[Mapping[str, Any]]]], model: str, baseline: str) -> Figure:
    """Paired differences with their intervals: a panel for each metric, whose right side is that of the better model.

    Args:
        panels: metrics and their differences, as in ``comparison.json``, from top to bottom.
        model, baseline: names, for the two sides.
    """
    from matplotlib.figure import Figure

    most = max(len(rows) for _, rows in panels)
    figure = Figure((_WIDTH, 1.0 + 0.23 * most), layout="constrained")
    for axes, (metric, rows) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels):
        style_axes(axes, metric.heading, "", "", "x")
        axes.axvline(0, color=INK, linewidth=1.0)
        for place, row in enumerate(rows):
            _draw_difference(axes, place, row)
        axes.set_yticks(range(len(rows)), [_row_name(row) for row in rows], color=INK)
        axes.set_ylim(most - 0.4, -0.6)  # rows are as far apart in all panels
        reach = 1.08 * max(
            (abs(v) for row in rows for v in (row["low"], row["high"], row["difference"]) if v), default=1
        )
        axes.set_xlim(-metric.better * reach, metric.better * reach)
        axes.set_xlabel(f"← {_short(baseline)}   better   {_short(model)} →", fontsize=8, color=SOFT)
        axes.locator_params(axis="x", nbins=5)
    return figure


def _draw_difference(axes: Axes, place: float, row: Mapping[str, Any]) -> None:
    """A point and its interval; hollow where the interval holds 0."""
    structure = row["structure"] if row["structure"] in _MARKERS else _structure_of(row["structure"])
    color = structure_color(structure)
    if row["low"] is not None:
        axes.plot((row["low"], row["high"]), (place, place), color=color, linewidth=1.8, solid_capstyle="butt")
    fill = color if row["better"] else "white"
    marker = _MARKERS.get(structure, "D")
    axes.plot(row["difference"], place, marker, color=color, markerfacecolor=fill, markersize=5.5)


def _row_name(row: Mapping[str, Any]) -> str:
    return f"{row['structure']} {row['phase']}" if row["phase"] in ("ED", "ES") else row["structure"]


def _short(name: str, longest: int = 18) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def paired_figure(values: Mapping[str, Mapping[str, Mapping[str, float]]], metric: Metric) -> Figure:
    """Each patient as a line from model to model, dashed where it falls; a panel for each structure.

    Args:
        values: by structure, model and patient.
    """
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH, 3.0), layout="constrained")
    panels = figure.subplots(1, len(values), sharey=True, squeeze=False).flat
    for axes, (structure, of_model) in zip(panels, values.items()):
        style_axes(axes, "Mean of structures" if structure == MEAN else structure)
        color, models = structure_color(structure), list(of_model)
        patients = [patient for patient in of_model[models[0]] if all(patient in of_model[m] for m in models)]
        lines = np.array([[of_model[model][patient] for model in models] for patient in patients])
        for line in lines.reshape(-1, len(models)):
            falls = metric.better * (line[-1] - line[0]) < 0
            axes.plot(line, color=color, alpha=0.55, linewidth=0.9, linestyle="--" if falls else "-", marker=".")
        if len(lines):
            axes.plot(lines.mean(axis=0), color=INK, linewidth=2.2, marker="o", markersize=5, zorder=3)
        axes.set_xlim(-0.25, len(models) - 0.75)
        axes.set_xticks(range(len(models)), [_short(model) for model in models], color=INK)
        axes.set_ylabel(metric.heading if structure == next(iter(values)) else "", fontsize=8.5, color=SOFT)
    return figure
