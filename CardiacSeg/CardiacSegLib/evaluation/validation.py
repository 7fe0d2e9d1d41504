"""How well a model labels cases that it was not trained on, on their own grids and after clean-up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.evaluation.wording import markdown


class Segmenter(Protocol):
    """What labels images: a loaded model, or a test's stand-in."""

    convention: LabelConvention

    def segment(self, array: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Labels, uint8 of the shape of ``array``, numbered by ``convention``."""
        ...


@dataclass(frozen=True)
class CaseScore:
    """Dice of each structure of one case."""

    case: Case
    dice: Mapping[str, float]

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.dice.values())))


def score_cases(
    segmenter: Segmenter, cases: Sequence[Case], progress: Callable[[float], None] = lambda done: None
) -> list[CaseScore]:
    """Segment cases and compare them with their reference labels.

    Args:
        progress: called with the share of the cases that is done, 0 to 1.

    Raises:
        CardiacSegError: naming the case that cannot be read.
    """
    scores = []
    for number, case in enumerate(cases, 1):
        image, truth = read_case(case, segmenter.convention)
        try:
            labels = segmenter.segment(image.array, image.affine)
        except CardiacSegError as error:  # the segmenter knows the array, not the file
            raise CardiacSegError(f"{case.image}: {error}") from error
        scores.append(CaseScore(case, dice_scores(labels, truth, segmenter.convention)))
        progress(number / len(cases))
    return scores


def mean_dice(scores: Iterable[CaseScore]) -> dict[str, dict[str, float]]:
    """Mean Dice by phase and structure, with the mean over structures as ``mean``.

    The row ``all`` is the mean of the phases, so that each structure and phase weighs the same; where no case says its
    phase, it is the only row.
    """
    scores = list(scores)
    table = {}
    for phase in sorted({score.case.phase for score in scores}):
        of_phase = [score.dice for score in scores if score.case.phase == phase]
        table[phase] = {name: float(np.mean([dice[name] for dice in of_phase])) for name in of_phase[0]}
    total = {name: float(np.mean([row[name] for row in table.values()])) for name in scores[0].dice}
    table = {phase or "no phase": row for phase, row in table.items()} if set(table) != {""} else {}
    table["all"] = total
    for row in table.values():
        row["mean"] = float(np.mean(list(row.values())))
    return table


def dice_table(table: Mapping[str, Mapping[str, float]]) -> str:
    """A table of :func:`mean_dice` in Markdown."""
    names = list(next(iter(table.values())))
    rows = [[phase, *(f"{row[name]:.4f}" for name in names)] for phase, row in table.items()]
    return markdown(["phase", *names], rows)
