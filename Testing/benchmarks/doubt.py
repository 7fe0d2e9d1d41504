"""Whether doubt finds error: the Dice to be expected against the true one, and the slices to look at against the worst.

    python Testing/benchmarks/doubt.py --dataset ACDC/training
    python Testing/benchmarks/doubt.py --dataset ACDC/training --write

The cases are those that the model was validated on; none of their patients was trained on. The doubt is that of the
mean over the turned copies, or over the members of an ensemble. The line that takes the expected Dice to the
true one is fitted on all patients but the one whose Dice it tells, in turn; with ``--write`` the line over all of them
goes into the model's metadata, where ``cardiacseg segment --doubt`` finds it.

A slice's true Dice is the mean over the structures: 1 where neither labels nor reference hold one, 0 where only one of
them does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from validated import mean_dice_of, parser_of, spread_out, validation_cases  # beside this file

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.bundles import METADATA, find_bundle, read_metadata
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.files import write_json
from CardiacSegLib.geometry import SliceView
from CardiacSegLib.inference.doubt import calibrate, calibrated, doubt_of, overlap_of
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.turning import TURNS

#: The share of the slices that is looked at, and of those that should be found.
SHARE = 0.1


@dataclass(frozen=True)
class Doubted:
    """A case: by structure the expected and the true Dice, and of each slice the expected and the true one."""

    case: Case
    expected: Mapping[str, float]
    true: Mapping[str, float]
    expected_slices: np.ndarray
    true_slices: np.ndarray


def doubted(segmenter: Segmenter, cases: Sequence[Case]) -> list[Doubted]:
    found = []
    for number, case in enumerate(cases, 1):
        image, truth = read_case(case, segmenter.convention)
        labels, probabilities = segmenter.predict(image.array, image.affine)
        expected = doubt_of(labels, probabilities, image.affine, segmenter.convention).dice
        view = SliceView.of_stack(labels.shape, image.affine)
        overlap = overlap_of(view, labels, probabilities, segmenter.convention)
        found.append(
            Doubted(
                case,
                {name: 0.0 if dice is None else dice for name, dice in expected.items()},
                dice_scores(labels, truth, segmenter.convention),
                overlap.slice_dice(),
                slice_dice(view.slices(labels), view.slices(truth), segmenter.convention),
            )
        )
        print(f"{number} of {len(cases)} {case.name}", flush=True)
    return found


def slice_dice(labels: np.ndarray, truth: np.ndarray, convention: LabelConvention) -> np.ndarray:
    """The true Dice of each slice, mean over the structures, (K,)."""
    return np.array([mean_dice_of(one, other, convention) for one, other in zip(labels, truth)])


def out_of_patient(found: Sequence[Doubted], name: str) -> np.ndarray:
    """The calibrated Dice of each case, by the line that all other patients give."""
    told = []
    for one in found:
        others = [other for other in found if other.case.patient != one.case.patient]
        line = calibrate(*({name: [getattr(other, side)[name] for other in others]} for side in ("expected", "true")))
        told.append(calibrated(one.expected[name], line[name]))
    return np.array(told)


def rows(found: Sequence[Doubted], names: Iterable[str]) -> list[str]:
    lines = [
        "| structure | rank correlation | mean true | mean expected | mean error | calibrated: mean error |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        expected, true = (np.array([getattr(one, kind)[name] for one in found]) for kind in ("expected", "true"))
        told = out_of_patient(found, name)
        errors = [np.abs(values - true).mean() for values in (expected, told)]
        means = f"{true.mean():.3f} | {expected.mean():.3f} | {errors[0]:.3f} | {errors[1]:.3f}"
        lines.append(f"| {name} | {spearmanr(expected, true).statistic:.3f} | {means} |")
    means = [[np.mean(list(getattr(one, kind).values())) for one in found] for kind in ("expected", "true")]
    lines.append(
        f"| mean | {spearmanr(*means).statistic:.3f} | {np.mean(means[1]):.3f} | {np.mean(means[0]):.3f} | | |"
    )
    return lines


def worst_found(found: Sequence[Doubted]) -> tuple[float, int, float]:
    """The share of the worst slices among the most doubtful ones, how many those are, and the rank correlation."""
    expected, true = (
        np.concatenate([getattr(one, kind) for one in found]) for kind in ("expected_slices", "true_slices")
    )
    count = max(1, round(SHARE * len(true)))
    worst, doubtful = (set(np.argsort(values, kind="stable")[:count]) for values in (true, expected))
    return len(worst & doubtful) / count, count, float(spearmanr(expected, true).statistic)


def write_line(folder: Path, found: Sequence[Doubted], names: Sequence[str]) -> None:
    """Put the line over all patients into a model's metadata."""
    metadata = read_metadata(folder)
    sides = ({name: [getattr(one, kind)[name] for one in found] for name in names} for kind in ("expected", "true"))
    metadata["cardiacseg"]["doubt"] = calibrate(*sides)
    write_json(folder / METADATA, metadata)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--turns", type=int, choices=TURNS, help="copies whose mean is doubted, if not the model's")
    parser.add_argument("--cases", type=int, default=0, metavar="N", help="only so many cases, spread over all")
    parser.add_argument("--write", action="store_true", help="put the line of all patients into the model's metadata")
    options = parser.parse_args()
    bundle = find_bundle(options.model)
    cases = spread_out(validation_cases(options.dataset, bundle), options.cases)
    segmenter = Segmenter.load(bundle, options.device, options.turns)
    found = doubted(segmenter, cases)
    print(f"\n{len(found)} images, {bundle.name}, {segmenter.how}\n\n" + "\n".join(rows(found, bundle.convention)))
    share, count, correlation = worst_found(found)
    total = sum(len(one.true_slices) for one in found)
    print(
        f"\nOf the {count} worst of {total} slices {share:.0%} are among the {count} most doubtful, by chance "
        f"{SHARE:.0%}; rank correlation of expected and true Dice over all slices {correlation:.3f}"
    )
    if options.write:
        write_line(bundle.folder, found, list(bundle.convention))


if __name__ == "__main__":
    main()
