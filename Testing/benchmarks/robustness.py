"""What other contrast, noise and coil sensitivity cost a model, in Dice on the patients that it was validated on.

    python Testing/benchmarks/robustness.py --dataset ACDC/training

Each image is changed by itself before it is labeled; the same seed gives the same images. Levels are relative to the
range of an image from its 1st to its 99th percentile.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from monai.transforms import AdjustContrast, RandBiasField
from validated import mean_dice_of, parser_of, spread_out, validation_cases  # beside this file

from CardiacSegLib.bundles import find_bundle
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.turning import TURNS

#: From an image (I, J, K) with values about 0 to 1 to another one.
Change = Callable[[np.ndarray, np.random.RandomState], np.ndarray]

#: Standard deviation of the noise, as a share of the range of the image.
_NOISE = (0.05, 0.1)
#: Coefficients of the polynomial of third degree whose exponential the bias field is.
_BIAS = (0.15, 0.3)


def contrast(factor: float) -> Change:
    """Around the mean; what leaves the range is lost, as it is where a window is set too narrow."""
    return lambda image, random: np.clip(image.mean() + factor * (image - image.mean()), 0, 1)


def gamma(power: float) -> Change:
    return lambda image, random: np.asarray(AdjustContrast(power)(image))


def noise(deviation: float) -> Change:
    return lambda image, random: image + random.normal(0, deviation, image.shape)


def bias_field(coefficient: float) -> Change:
    def change(image: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        field = RandBiasField(prob=1, degree=3, coeff_range=(-coefficient, coefficient))
        field.set_random_state(state=random)
        return np.asarray(field(image[None])[0])

    return change


CHANGES: dict[str, Change] = {
    "none": lambda image, random: image,
    "contrast halved": contrast(0.5),
    "contrast doubled, clipped": contrast(2.0),
    "gamma 0.7": gamma(0.7),
    "gamma 1.5": gamma(1.5),
    **{f"noise of {level:.0%} of the range": noise(level) for level in _NOISE},
    **{f"bias field, coefficients to {level:g}": bias_field(level) for level in _BIAS},
}


def changed(array: np.ndarray, change: Change, seed: int) -> np.ndarray:
    """An image (I, J, K) changed, in its own units; constant images stay as they are."""
    low, high = np.percentile(array, (1, 99))
    if not high > low:
        return array
    image = (array.astype(np.float32) - low) / (high - low)
    return change(image, np.random.RandomState(seed)) * (high - low) + low


def score(segmenter: Segmenter, cases: list[Case]) -> dict[str, list[float]]:
    """Mean Dice over the structures of each case, by change."""
    scores: dict[str, list[float]] = {name: [] for name in CHANGES}
    for number, case in enumerate(cases):
        image, truth = read_case(case, segmenter.convention)
        for name, change in CHANGES.items():
            labels = segmenter.segment(changed(image.array, change, seed=number), image.affine)
            scores[name].append(mean_dice_of(labels, truth, segmenter.convention))
    return scores


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--cases", type=int, default=0, metavar="N", help="only N of them, evenly chosen")
    parser.add_argument("--turns", type=int, choices=TURNS, help="copies that the model averages, if not its default")
    options = parser.parse_args()
    bundle = find_bundle(options.model)
    cases = spread_out(validation_cases(options.dataset, bundle), options.cases)
    segmenter = Segmenter.load(bundle, turns=options.turns)
    means = {name: float(np.mean(values)) for name, values in score(segmenter, cases).items()}
    print(f"{len(cases)} images, mean Dice of {bundle.name}, {segmenter.turns} turn(s)\n")
    print("| change of the image | mean Dice | difference |\n| --- | --- | --- |")
    for name, mean in means.items():
        print(f"| {name} | {mean:.4f} | {mean - means['none']:+.4f} |")


if __name__ == "__main__":
    main()
