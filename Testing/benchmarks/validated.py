"""What programs share that score a model on the patients it was validated on, none of whom it was trained on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.bundles import DEFAULT_MODEL, Bundle, training_facts
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.layouts import find_cases
from CardiacSegLib.evaluation.overlap import dice_scores


def parser_of(documentation: str) -> argparse.ArgumentParser:
    """A parser for the options that all of them have, described by the first line of a program's documentation."""
    parser = argparse.ArgumentParser(description=documentation.partition("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True, help="the data set that the model was trained on")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name, or folder of a bundle (default: %(default)s)")
    return parser


def validation_cases(dataset: Path, bundle: Bundle) -> list[Case]:
    """The cases of the patients that a model was validated on, with labels for all that it knows."""
    facts = training_facts(bundle)
    held_out = set(facts["patients_validated_on"])
    cases = [case for case in find_cases(dataset) if case.patient in held_out]
    found = {case.patient for case in cases}
    if found != held_out or found & set(facts["patients_trained_on"]):
        raise SystemExit(
            f"{dataset}: is not what {bundle.name} was validated on ({len(found)} of {len(held_out)} patients)"
        )
    return [case for case in cases if set(bundle.convention) <= set(case.convention)]


def spread_out(cases: Sequence[Case], count: int) -> list[Case]:
    """So many cases, evenly chosen; all of them where ``count`` is 0."""
    return list(cases[:: max(1, len(cases) // count)][:count] if count else cases)


def mean_dice_of(labels: np.ndarray, truth: np.ndarray, convention: LabelConvention) -> float:
    """Of one image, the mean over the structures."""
    return float(np.mean(list(dice_scores(labels, truth, convention).values())))
