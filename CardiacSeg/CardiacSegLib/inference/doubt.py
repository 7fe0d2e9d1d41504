"""How sure a segmentation is: where, how well each structure will have been found, and which slices to look at.

The network's probabilities, averaged over the members of an ensemble or over turned copies of the image, say where the
answers differ. Their entropy is the doubt of a voxel (Lakshminarayanan et al., NeurIPS 2017). How far the labels agree
with the averaged probabilities is the Dice to be expected; it falls where members or copies differ, as the mean Dice
between pairs of them does, which Zenk et al. (Medical Image Analysis 101, 2025) found to detect failures best among
simple methods. Networks are too sure of themselves, so that a model may bring a line that takes the expected Dice to
the true one, fitted on cases that it was not trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.clinical.wall import apex_is_last
from CardiacSegLib.geometry import SliceView
from CardiacSegLib.inference.combining import entropy
from CardiacSegLib.inference.model_grid import phases_of

#: A slice is named where its expected Dice is below this, and so many of them at most, the worst first.
_WORTH_A_LOOK = 0.85
_MOST_NAMED = 3
#: A structure that may take this much of a slice, in mm², counts; about as much decides nothing about its Dice.
_SMALL_MM2 = 50.0
#: A structure of which the network is no surer than this, over all of its pixels in a slice, may not be there.
_HARDLY = 0.65
#: Dice is a probability that this keeps from infinite odds.
_LEAST = 1e-3

#: For a structure, intercept and slope of the line from the odds of the expected Dice to those of the true one.
Calibration = Mapping[str, Sequence[float]]


class DoubtfulSlice(NamedTuple):
    """A slice to look at.

    Attributes:
        number: of the slice, counted from 1 at the base.
        index: along the array axis through the slices.
        structure: that is most in doubt.
        reason: in words.
        dice: to be expected in this slice, mean over the structures.
        center: RAS, mm, where in the slice the doubt is.
    """

    number: int
    index: int
    structure: str
    reason: str
    dice: float
    center: tuple[float, float, float]

    @property
    def text(self) -> str:
        """For a list: the slice and why."""
        return f"Slice {self.number} from the base: {self.reason}"


@dataclass(frozen=True)
class Doubt:
    """The doubt of one volume.

    Attributes:
        volume: float32 (I, J, K), 0 where the network is sure and 1 where all classes are alike to it.
        dice: to be expected of each structure; None where it was not found.
        slices: to look at, the worst first; none of an image of one slice.
    """

    volume: np.ndarray
    dice: Mapping[str, float | None]
    slices: Sequence[DoubtfulSlice]

    def fields(self) -> dict[str, Any]:
        """All but the volume, as JSON can hold it."""
        return {
            "predicted_dice": {name: None if dice is None else round(dice, 4) for name, dice in self.dice.items()},
            "slices": [{**one._asdict(), "dice": round(one.dice, 4), "text": one.text} for one in self.slices],
        }


class Predictor(Protocol):
    """A loaded model."""

    convention: LabelConvention

    def predict(self, volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`CardiacSegLib.inference.segmenter.Segmenter.predict`."""
        ...


def segment_with_doubt(
    segmenter: Predictor,
    array: np.ndarray,
    affine: np.ndarray,
    progress: Callable[[float], None] = lambda done: None,
    calibration: Calibration | None = None,
) -> tuple[np.ndarray, np.ndarray, list[Doubt]]:
    """Label a volume or a cine, with the doubt of each phase.

    Args:
        segmenter: the model.
        array: gray values (I, J, K) or (I, J, K, T).
        affine: 4 x 4, index to RAS millimeters.
        progress: called with the share of the work that is done, 0 to 1.
        calibration: of the model, see :func:`read_calibration`.

    Returns:
        uint8 labels and float32 doubt, both of the shape of ``array``, and the doubt of each phase.

    Raises:
        CardiacSegError: as :meth:`Segmenter.segment`.
    """
    array = np.asarray(array)
    labels, found = [], []
    phases = phases_of(array)
    for number, phase in enumerate(phases, 1):
        of_phase, probabilities = segmenter.predict(phase, affine)
        labels.append(of_phase)
        found.append(doubt_of(of_phase, probabilities, affine, segmenter.convention, calibration))
        progress(number / len(phases))
    volumes = [one.volume for one in found]
    if array.ndim == 3:
        return labels[0], volumes[0], found
    return np.stack(labels, axis=-1), np.stack(volumes, axis=-1), found


def doubt_of(
    labels: np.ndarray,
    probabilities: np.ndarray,
    affine: np.ndarray,
    convention: LabelConvention,
    calibration: Calibration | None = None,
) -> Doubt:
    """The doubt of a volume.

    Args:
        labels: uint8 (I, J, K).
        probabilities: float32 (C, I, J, K) of background and each structure by its number.
        affine: 4 x 4, index to RAS millimeters.
        convention: which number means which structure.
        calibration: of the model; the expected Dice as they are where None.
    """
    view = SliceView.of_stack(labels.shape, affine)
    volume = entropy(probabilities)
    overlap = overlap_of(view, labels, probabilities, convention)
    dice = _structure_dice(overlap, calibration or {})
    named = _slices(view, labels, volume, overlap, affine, convention) if labels.shape[view.axes[0]] > 1 else ()
    return Doubt(volume, dice, named)


class Overlap(NamedTuple):
    """Of each structure in each slice, (S, K), in mm²: area by labels, by probabilities, and by both at once."""

    names: Sequence[str]
    labeled: np.ndarray
    expected: np.ndarray
    shared: np.ndarray

    def structure_dice(self) -> np.ndarray:
        """The Dice to be expected of each structure in each slice, (S, K); 1 where there is nothing of it at all.

        A small area is added to both sides, so that a few pixels at the end of a structure do not make a bad slice.
        """
        return (2 * self.shared + _SMALL_MM2) / (self.labeled + self.expected + _SMALL_MM2)

    def slice_dice(self) -> np.ndarray:
        """The mean over the structures, (K,)."""
        return self.structure_dice().mean(axis=0)


def overlap_of(view: SliceView, labels: np.ndarray, probabilities: np.ndarray, convention: LabelConvention) -> Overlap:
    """What labels (I, J, K) and class probabilities (C, I, J, K) share, slice by slice as ``view`` orders them."""
    area = float(np.prod(view.spacing))
    names = sorted(convention, key=convention.__getitem__)
    slices = view.slices(labels)
    sums = []
    for name in names:
        of_class, mask = view.slices(probabilities[convention[name]]), slices == convention[name]
        parts = (mask.sum(axis=(1, 2)), of_class.sum(axis=(1, 2)), (of_class * mask).sum(axis=(1, 2)))
        sums.append([area * part.astype(float) for part in parts])
    return Overlap(names, *np.array(sums).swapaxes(0, 1))


def _structure_dice(overlap: Overlap, calibration: Calibration) -> dict[str, float | None]:
    dice: dict[str, float | None] = {}
    for name, labeled, expected, shared in zip(*overlap):
        found = labeled.sum() > 0
        dice[name] = None if not found else calibrated(expected_dice(labeled, expected, shared), calibration.get(name))
    return dice


def expected_dice(labeled: np.ndarray, expected: np.ndarray, shared: np.ndarray) -> float:
    """2 E|A and B| / (|A| + E|B|): the Dice of labels A where the reference B is drawn by the probabilities."""
    return float(2 * shared.sum() / (labeled.sum() + expected.sum()))


def calibrated(dice: float, line: Sequence[float] | None) -> float:
    """The Dice that a line of :func:`calibrate` tells for an expected one; that itself where there is no line."""
    if line is None:
        return dice
    intercept, slope = line
    return float(1 / (1 + np.exp(-(intercept + slope * _odds(dice)))))


def _odds(dice: float | np.ndarray) -> Any:
    """The logarithm of the odds."""
    clipped = np.clip(dice, _LEAST, 1 - _LEAST)
    return np.log(clipped / (1 - clipped))


def calibrate(expected: Mapping[str, Sequence[float]], true: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """The line for each structure from the odds of the expected Dice to those of the true one.

    Two numbers are all that a few dozen cases can tell (Platt, 1999, for classifiers). The slope is not negative: where
    expectation says nothing, the mean is said of every case.

    Args:
        expected, true: Dice by structure, of the same cases, which the model was not trained on.
    """
    lines = {}
    for name, values in expected.items():
        x, y = _odds(np.asarray(values, float)), _odds(np.asarray(true[name], float))
        slope = float(np.cov(x, y)[0, 1] / np.var(x, ddof=1)) if len(x) > 2 and np.ptp(x) > 0 else 0.0
        slope = max(slope, 0.0)
        lines[name] = [round(float(y.mean() - slope * x.mean()), 4), round(slope, 4)]
    return lines


def read_calibration(metadata: Mapping[str, Any]) -> dict[str, list[float]]:
    """The lines of :func:`calibrate` in a bundle's metadata, ``cardiacseg.doubt``; {} where there are none."""
    said = metadata.get("cardiacseg", {}).get("doubt")
    try:
        lines = {str(name): [float(number) for number in line] for name, line in dict(said or {}).items()}
    except (TypeError, ValueError):
        return {}
    return {name: line for name, line in lines.items() if len(line) == 2 and np.isfinite(line).all()}


def _slices(
    view: SliceView,
    labels: np.ndarray,
    volume: np.ndarray,
    overlap: Overlap,
    affine: np.ndarray,
    convention: LabelConvention,
) -> list[DoubtfulSlice]:
    """The slices worth a look, the worst first."""
    dice = overlap.slice_dice()
    worst = [int(number) for number in np.argsort(dice, kind="stable")[:_MOST_NAMED] if dice[number] < _WORTH_A_LOOK]
    count, backward = len(dice), 0 in view.reversed_axes
    from_base = range(1, count + 1) if apex_is_last(labels, affine, convention=convention) else range(count, 0, -1)
    return [
        DoubtfulSlice(
            number=from_base[one],
            index=count - 1 - one if backward else one,
            **dict(zip(("structure", "reason"), _reason(overlap, one))),
            dice=float(dice[one]),
            center=_center(view, volume, count - 1 - one if backward else one, affine),
        )
        for one in worst
    ]


def _reason(overlap: Overlap, number: int) -> tuple[str, str]:
    """The structure that is most in doubt in a slice, and what is in doubt about it."""
    worst = int(overlap.structure_dice()[:, number].argmin())
    name = overlap.names[worst]
    if overlap.labeled[worst, number] == 0:
        return name, f"{name} may be missing"
    if overlap.shared[worst, number] < _HARDLY * overlap.labeled[worst, number]:
        return name, f"{name} may not be there"
    return name, f"the edge of {name} is uncertain"


def _center(view: SliceView, volume: np.ndarray, index: int, affine: np.ndarray) -> tuple[float, float, float]:
    """Where in a slice the doubt is, RAS, mm."""
    plane = np.take(volume, index, axis=view.axes[0])
    in_plane = [axis for axis in range(3) if axis != view.axes[0]]
    total = float(plane.sum())
    place = np.zeros(4)
    place[3], place[view.axes[0]] = 1.0, index
    for number, axis in enumerate(in_plane):
        along = plane.sum(axis=1 - number)
        middle = (len(along) - 1) / 2
        place[axis] = float(along @ np.arange(len(along))) / total if total > 0 else middle
    return tuple(float(value) for value in (np.asarray(affine, float) @ place)[:3])
