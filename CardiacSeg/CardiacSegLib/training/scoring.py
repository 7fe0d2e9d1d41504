"""The score of a finished model on the cases that were held out, as its metadata and its card say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from CardiacSegLib.bundles import Bundle, add_training_facts
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.evaluation.validation import mean_dice, score_cases
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.jobs.events import Listener


def score_held_out(bundle: Bundle, segmenter: Segmenter, cases: Sequence[Case], events: Listener) -> dict[str, Any]:
    """Note a model's mean Dice on cases, to four digits, among the facts about its training.

    Args:
        bundle: of the model.
        segmenter: the same model, loaded.
        cases: of patients that it was not trained on.
        events: told of what takes time.

    Returns:
        The metadata of the bundle, as it is then.
    """
    events.stage("score", f"scoring {len(cases)} held-out cases on their own grids")
    table = mean_dice(score_cases(segmenter, cases, events.progress))
    rounded = {phase: {name: round(value, 4) for name, value in row.items()} for phase, row in table.items()}
    return add_training_facts(bundle, {"validation_dice": rounded})
