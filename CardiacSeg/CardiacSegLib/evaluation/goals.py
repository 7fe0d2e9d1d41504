"""What CardiacSeg wants of a model of the ventricles, and which patients are the reason where it is missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from CardiacSegLib.evaluation.summary import patient_values
from CardiacSegLib.evaluation.tables import StructureRow, VolumeRow
from CardiacSegLib.evaluation.wording import MEAN

#: Most patients that are named as the reason of a missed goal.
_NAMED = 3


class Goal(NamedTuple):
    """A figure that should be no larger than a limit.

    Attributes:
        title: of the figure.
        unit: of the figure and of the limit.
        limit: the largest value that is good enough.
        values: of each patient, {} where the evaluation knows none; the figure is their ``combine``.
        combine: the figure of an array of values.
        signed: whether the values are differences, too much or too little.
    """

    title: str
    unit: str
    limit: float
    values: Callable[[Sequence[StructureRow], Sequence[VolumeRow]], dict[str, float]]
    combine: Callable[[np.ndarray], float]
    signed: bool = True


class GoalFound(NamedTuple):
    """How an evaluation stands to a goal.

    Attributes:
        title, unit, limit: as of :class:`Goal`.
        value: the figure of the evaluation.
        met: whether it is no larger than the limit.
        why: of a missed goal, the patients that cost most of it, in words; "" where it is met.
    """

    title: str
    unit: str
    limit: float
    value: float
    met: bool
    why: str


def _differences(measure: str) -> Callable[[Sequence[StructureRow], Sequence[VolumeRow]], dict[str, float]]:
    def values(scores: Sequence[StructureRow], volumes: Sequence[VolumeRow]) -> dict[str, float]:
        known = [row for row in volumes if row.measure == measure and None not in (row.value, row.reference)]
        return {row.patient: row.value - row.reference for row in known}

    return values


def _distances(scores: Sequence[StructureRow], volumes: Sequence[VolumeRow]) -> dict[str, float]:
    """Mean HD95 of each patient: over the structures of a case, then over its cases, as everywhere."""
    return patient_values(scores)[MEAN]["hd95_mm"]


def _mean_size(values: np.ndarray) -> float:
    return float(np.abs(values).mean())


def _size_of_mean(values: np.ndarray) -> float:
    return float(abs(values.mean()))


_GOALS = (
    Goal("LVEF MAE", "points", 2.5, _differences("LVEF"), _mean_size),
    Goal("LVEF bias", "points", 1.0, _differences("LVEF"), _size_of_mean),
    Goal("RVEF MAE", "points", 5.0, _differences("RVEF"), _mean_size),
    Goal("LVEDV MAE", "mL", 5.0, _differences("LVEDV"), _mean_size),
    Goal("Mean HD95", "mm", 3.5, _distances, _mean_size, signed=False),
)
#: The goals are for hearts with these structures at ED and ES, on images that know their spacing.
_STRUCTURES = {"LV", "MYO", "RV"}


def goals_found(scores: Sequence[StructureRow], volumes: Sequence[VolumeRow]) -> list[GoalFound]:
    """How an evaluation stands to each goal; empty where it is not of ventricles at ED and ES."""
    if {row.structure for row in scores} != _STRUCTURES or not _differences("LVEF")(scores, volumes):
        return []
    return [found for found in (_found(goal, scores, volumes) for goal in _GOALS) if found is not None]


def _found(goal: Goal, scores: Sequence[StructureRow], volumes: Sequence[VolumeRow]) -> GoalFound | None:
    of_patient = goal.values(scores, volumes)
    if not of_patient:
        return None
    value = goal.combine(np.array(list(of_patient.values())))
    met = value <= goal.limit
    group_of = {row.patient: row.group for row in scores}
    return GoalFound(goal.title, goal.unit, goal.limit, value, met, "" if met else _why(goal, of_patient, group_of))


def _why(goal: Goal, of_patient: dict[str, float], group_of: dict[str, str]) -> str:
    """The patients without whom the figure is smallest, and what it would be without them."""
    kept, left_out = dict(of_patient), []
    while len(left_out) < min(_NAMED, len(of_patient) - 1):
        without = {name: goal.combine(np.array([v for n, v in kept.items() if n != name])) for name in kept}
        left_out.append(min(without, key=lambda name: (without[name], name)))
        del kept[left_out[-1]]
        if without[left_out[-1]] <= goal.limit:
            break
    named = ", ".join(_named(name, group_of.get(name, ""), of_patient[name], goal) for name in left_out)
    if not kept or not named:
        return "of a single patient"
    rest = goal.combine(np.array(list(kept.values())))
    verdict = "met" if rest <= goal.limit else "still missed: the error is that of many"
    return f"most by {named}; without {'it' if len(left_out) == 1 else 'them'} {rest:.2f} {goal.unit} ({verdict})"


def _named(patient: str, group: str, value: float, goal: Goal) -> str:
    written = f"{value:+.1f}".replace("-", "\N{MINUS SIGN}") if goal.signed else f"{value:.1f}"
    return f"{patient} ({', '.join(filter(None, (group, f'{written} {goal.unit}')))})"
