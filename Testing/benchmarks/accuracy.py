"""Dice of a model on the patients that it was validated on, and what turning the images costs.

    python Testing/benchmarks/accuracy.py --dataset ACDC/training
    python Testing/benchmarks/accuracy.py --dataset ACDC/training --copies 10

Which patients these are stands in the model's own metadata; none of them was trained on. The second form segments the
eight turned and flipped copies of that many volumes: the array alone is turned first, then the array with its affine.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from CardiacSegLib.bundles import DEFAULT_MODEL, Bundle, find_bundle, read_training_facts
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.datasets.layouts import find_cases
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.evaluation.validation import dice_table, mean_dice, score_cases
from CardiacSegLib.inference.segmenter import Segmenter


def turns(array: np.ndarray, affine: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The eight turned and flipped copies in plane of an array (I, J, K), each with the affine that keeps its place."""
    for quarter in range(4):
        for flipped in (False, True):
            turned, moved = array, affine
            for _ in range(quarter):  # a quarter turn: exchange the axes, then reverse the first
                turned, moved = _reverse(*_exchange(turned, moved))
            if flipped:
                turned, moved = _reverse(turned, moved)
            yield f"{90 * quarter} degrees{', flipped' if flipped else ''}", turned, moved


def _exchange(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return array.swapaxes(0, 1), affine[:, [1, 0, 2, 3]]


def _reverse(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    moved = affine.copy()
    moved[:, 3] += (array.shape[0] - 1) * affine[:, 0]
    moved[:, 0] *= -1
    return array[::-1], moved


def score_turns(segmenter: Segmenter, cases: list[Case]) -> dict[tuple[str, str], list[float]]:
    """Mean Dice of each case for each copy, by (with or without affine, name of the copy)."""
    scores: dict[tuple[str, str], list[float]] = {}
    for case in cases:
        image, truth = read_case(case, segmenter.convention)
        copies = zip(turns(image.array, image.affine), turns(truth, image.affine))
        for (name, array, affine), (_, labels, _) in copies:
            for kind, used in (("array alone", image.affine), ("array and affine", affine)):
                dice = dice_scores(segmenter.segment(array, used), labels, segmenter.convention)
                scores.setdefault((kind, name), []).append(float(np.mean(list(dice.values()))))
    return scores


def validation_cases(dataset: Path, bundle: Bundle) -> list[Case]:
    """The cases of the patients that a model was validated on, with labels for all that it knows."""
    facts = read_training_facts(bundle.folder)
    held_out = set(facts["patients_validated_on"])
    cases = [case for case in find_cases(dataset) if case.patient in held_out]
    found = {case.patient for case in cases}
    if found != held_out or found & set(facts["patients_trained_on"]):
        raise SystemExit(
            f"{dataset}: is not what {bundle.name} was validated on ({len(found)} of {len(held_out)} patients)"
        )
    return [case for case in cases if set(bundle.convention) <= set(case.convention)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True, help="the data set that the model was trained on")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--copies", type=int, default=0, metavar="N", help="segment the copies of N volumes")
    parser.add_argument("--turns", type=int, choices=(1, 8), help="copies that the model averages, if not its default")
    parser.add_argument("--spacing", type=float, metavar="MM", help="at which it labels, if not its own")
    options = parser.parse_args()
    bundle = find_bundle(options.model)
    cases = validation_cases(options.dataset, bundle)
    if options.spacing:
        bundle = replace(bundle, grid=replace(bundle.grid, spacing=options.spacing))
    segmenter = Segmenter.load(bundle, turns=options.turns)
    if not options.copies:
        print(f"{len(cases)} images, Dice of {bundle.name}, {segmenter.turns} turn(s), {bundle.grid.spacing:g} mm\n")
        print(dice_table(mean_dice(score_cases(segmenter, cases))))
        return
    step = max(1, len(cases) // options.copies)
    scores = score_turns(segmenter, cases[::step][: options.copies])
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    upright = means["array alone", "0 degrees"]
    for (kind, name), mean in means.items():
        print(f"{kind:17} {name:22} {mean:.4f} {mean - upright:+.4f}")
    print(f"\nlargest change of the mean Dice: {max(abs(mean - upright) for mean in means.values()):.4f}")


if __name__ == "__main__":
    main()
