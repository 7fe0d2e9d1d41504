"""Dice of a model on the patients that it was validated on, and what turning the images costs.

    python Testing/benchmarks/accuracy.py --dataset ACDC/training
    python Testing/benchmarks/accuracy.py --dataset ACDC/training --copies 10

Which patients these are stands in the model's own metadata; none of them was trained on. The second form segments the
eight turned and flipped copies of that many volumes: the array alone is turned first, then the array with its affine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from validated import mean_dice_of, parser_of, spread_out, validation_cases  # beside this file

from CardiacSegLib.bundles import find_bundle
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.evaluation.validation import dice_table, mean_dice, score_cases
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.turning import TURNS


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
                dice = mean_dice_of(segmenter.segment(array, used), labels, segmenter.convention)
                scores.setdefault((kind, name), []).append(dice)
    return scores


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--copies", type=int, default=0, metavar="N", help="segment the copies of N volumes")
    parser.add_argument("--turns", type=int, choices=TURNS, help="copies that the model averages, if not its default")
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
    scores = score_turns(segmenter, spread_out(cases, options.copies))
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    upright = means["array alone", "0 degrees"]
    for (kind, name), mean in means.items():
        print(f"{kind:17} {name:22} {mean:.4f} {mean - upright:+.4f}")
    print(f"\nlargest change of the mean Dice: {max(abs(mean - upright) for mean in means.values()):.4f}")


if __name__ == "__main__":
    main()
