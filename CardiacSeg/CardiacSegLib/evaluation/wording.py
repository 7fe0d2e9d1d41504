"""How pages and tables about an evaluation name, write and define what they show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from CardiacSegLib.anatomy import STRUCTURES

#: What stands where there is no number.
NOTHING = "–"
#: The entry beside the structures that is their mean.
MEAN = "mean"


class Metric(NamedTuple):
    """How a metric is named and written; ``better`` is 1 where more is better, -1 where less is."""

    title: str
    definition: str
    unit: str = ""
    digits: int = 3
    better: int = 1

    @property
    def heading(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title


def metrics_in(length_unit: str) -> dict[str, Metric]:
    """Every column of ``metrics.csv`` that is a score.

    Args:
        length_unit: "mm", or "pixels" where the images do not know their spacing.
    """
    return {
        "dice": Metric(
            "Dice", "2 TP / (2 TP + FP + FN), with TP, FP and FN the voxels that are right, too many, and missed."
        ),
        "jaccard": Metric("Jaccard", "TP / (TP + FP + FN), the intersection over the union (IoU)."),
        "precision": Metric("Precision", "TP / (TP + FP), the share of the prediction that is right."),
        "recall": Metric("Recall", "TP / (TP + FN), the share of the reference that was found."),
        "accuracy": Metric(
            "Accuracy",
            "The share of all voxels of the image that is rightly in or out of the structure. Close to 1 for anything "
            "small, because most of an image is not heart.",
            digits=4,
        ),
        "hd_mm": Metric(
            "HD",
            "Hausdorff distance: the largest distance of one surface to the other, either way.",
            length_unit,
            1,
            -1,
        ),
        "hd95_mm": Metric(
            "HD95",
            "The 95th percentile of the distances of one surface to the other, the larger of both ways.",
            length_unit,
            2,
            -1,
        ),
        "asd_mm": Metric(
            "ASD", "Average symmetric surface distance: the mean distance over both surfaces.", length_unit, 2, -1
        ),
    }


#: Measures of volume and function, in the order of their table.
MEASURES: Mapping[str, str] = {
    "LVEDV": "LV end-diastolic volume",
    "LVESV": "LV end-systolic volume",
    "LVSV": "LV stroke volume",
    "LVEF": "LV ejection fraction",
    "LVM": "LV mass",
    "RVEDV": "RV end-diastolic volume",
    "RVESV": "RV end-systolic volume",
    "RVSV": "RV stroke volume",
    "RVEF": "RV ejection fraction",
}

#: Those at the top of a page.
HEADLINES = ("LVEF", "RVEF", "LVEDV", "RVEDV")

PHASES: Mapping[str, str] = {"ED": "End-diastole", "ES": "End-systole"}

EMPTY = (
    "Where neither the prediction nor the reference holds a structure, overlap is 1; where only one of them does, it "
    "is 0. Distances are undefined in both cases and left out of the mean; n then says how many patients remain."
)
MEANS = (
    "Of a case, the mean over its structures. Of a patient with several phases, the mean over them. Tables give the "
    "mean over patients ± standard deviation · median."
)
AGREEMENT = (
    "Of the differences model − reference, one a patient: the mean of their sizes (mean absolute error), their mean, "
    "and their mean ± 1.96 standard deviations (Bland and Altman, Lancet 1986). r is Pearson's correlation. "
    "Differences of ejection fractions are percentage points."
)
GOALS = (
    "What CardiacSeg wants of a model of the ventricles on patients that it was not trained on. Where one is missed, "
    "the patients without whom the figure would be smallest are named, three at most."
)
VOXELS = (
    "Over all voxels of all cases, background included: the share that has the label of the reference, and the mean "
    "over the classes of intersection over union. Each row of the confusion matrix adds up to 100 %."
)
ROC = (
    "How well the network's probabilities, before any clean-up, tell a structure from all else around the heart as the "
    "threshold moves; and the area under that curve."
)
DIFFERENCE = (
    "Of each patient the value by the model minus that by the baseline, then the mean over patients. A patient with "
    "several phases counts once, with their mean. Less is better for distances and errors, more for overlap."
)
INTERVAL = (
    "By bootstrap over patients (BCa; Efron, J Am Stat Assoc 1987). Where it holds 0, these patients do not tell the "
    "two apart. Of many intervals some leave out 0 by chance."
)
PIXELS = "The images do not say how large a pixel is: distances count pixels."


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """A number with a true minus sign; :data:`NOTHING` where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return (text if float(text) else text.lstrip("+-")).replace("-", "−")


def interval(low: float | None, high: float | None, digits: int) -> str:
    """Two ends, each with its sign."""
    if low is None or high is None:
        return NOTHING
    return f"{number(low, digits, signed=True)} to {number(high, digits, signed=True)}"


def counted(count: int, what: str) -> str:
    """As "1 case" or "2 cases"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def titled(structure: str) -> str:
    """A structure by its title and name, within a sentence."""
    title = STRUCTURES[structure].title
    return f"{title[0].lower()}{title[1:]} ({structure})"


def with_mean(structures: list[str]) -> list[str]:
    """The structures and, where there are several, their mean: that of one would be itself."""
    return [*structures, MEAN] if len(structures) > 1 else structures


def named(names: Sequence[str], most: int) -> str:
    """The first of several names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
