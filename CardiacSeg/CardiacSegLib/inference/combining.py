"""One answer out of several: rules that follow the members of an ensemble whose network returns all their answers.

The plain and the weighted mean need none of them: the network takes it itself (:mod:`CardiacSegLib.networks.ensemble`).
A rule works on the model's grid and knows neither torch nor the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy import ndimage

from CardiacSegLib.bundles import read_checked
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.trees import Trees

#: In a bundle, beside its weights: what a stacked meta-learner has learned.
TREES = "combiner.npz"
#: A pixel that all members together are as sure of as this is not asked about again.
_SURE = 0.99
_MARGIN = 2


class Rule(Protocol):
    """Makes one answer out of those of several members."""

    members: int

    def __call__(self, answers: np.ndarray) -> np.ndarray:
        """Class probabilities (C, K, H, W) of the slices of one volume from those of the members (M, C, K, H, W)."""
        ...


class Vote:
    """Each member votes for its likeliest class (Kittler et al., IEEE TPAMI 20(3), 1998, section 3.5).

    The probabilities are shares of the votes; the members' mean probability counts as one vote more, which breaks ties.

    Attributes:
        members: how many.
    """

    def __init__(self, members: int) -> None:
        self.members = members

    def __call__(self, answers: np.ndarray) -> np.ndarray:
        """See :class:`Rule`."""
        choices = answers.argmax(axis=1)
        shares = answers.mean(axis=0, dtype=np.float32)
        for number in range(answers.shape[1]):
            shares[number] += (choices == number).sum(axis=0)
        return shares / (self.members + 1)


class Staple:
    """The members' likeliest classes, each weighed by how well it agrees with what all of them hide.

    Simultaneous truth and performance level estimation (Warfield, Zou, Wells, IEEE TMI 23(7), 2004), class against rest
    as SimpleITK does it, over the volume in a box around the heart; the posteriors of the classes are then scaled to
    the sum 1. They are close to 0 or 1, so that they say little about doubt.

    Attributes:
        members: how many.
    """

    def __init__(self, members: int) -> None:
        self.members = members

    def __call__(self, answers: np.ndarray) -> np.ndarray:
        """See :class:`Rule`."""
        result = answers.mean(axis=0, dtype=np.float32)
        choices = answers.argmax(axis=1).astype(np.uint8)
        found = ndimage.find_objects((choices > 0).any(axis=0).astype(np.uint8))
        if not found:
            return result
        box = tuple(slice(max(0, part.start - _MARGIN), part.stop + _MARGIN) for part in found[0])
        inside = choices[(slice(None), *box)]
        posteriors = np.stack([_staple(inside == number) for number in range(answers.shape[1])])
        total = posteriors.sum(axis=0)
        claimed = total > 0  # by some class
        heart = result[(slice(None), *box)]
        heart[:, claimed] = posteriors[:, claimed] / total[claimed]
        return result


def _staple(masks: np.ndarray) -> np.ndarray:
    """Posterior (K, H, W) of one class, from the masks of all members (M, K, H, W)."""
    if (masks == masks[0]).all():  # nothing to estimate
        return masks[0].astype(np.float64)
    import SimpleITK as sitk

    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    return np.nan_to_num(sitk.GetArrayFromImage(sitk.STAPLE(images, 1.0)))


class Learned:
    """A meta-learner that has learned from out-of-fold predictions whom to trust where.

    Stacked generalization (Wolpert, Neural Networks 5(2), 1992). It is asked about the pixels that the members together
    are not sure of; elsewhere their mean counts.

    Args:
        trees: what it has learned.
        columns: the members whose mean is one column of what it sees; models of the folds of one recipe make one.
        patch: width, in pixels, of the square whose mean probabilities it sees as well; 1 for the pixel alone.

    Attributes:
        members: how many.
    """

    def __init__(self, trees: Trees, columns: Sequence[Sequence[int]], patch: int) -> None:
        self.members = sum(len(column) for column in columns)
        self._trees, self._columns, self._patch = trees, columns, patch

    def __call__(self, answers: np.ndarray) -> np.ndarray:
        """See :class:`Rule`."""
        columns = np.stack([answers[list(column)].mean(axis=0, dtype=np.float32) for column in self._columns])
        result = columns.mean(axis=0)
        asked = unsure(columns)
        if asked.any():
            result[:, asked] = self._trees.probabilities(features(columns, asked, self._patch)).T
        return result


def unsure(columns: np.ndarray) -> np.ndarray:
    """Where the mean of columns (J, C, K, H, W) is sure of no class, boolean (K, H, W): the edges of the heart."""
    return columns.mean(axis=0).max(axis=0) < _SURE


def features(columns: np.ndarray, asked: np.ndarray, patch: int) -> np.ndarray:
    """What a meta-learner sees of pixels.

    Args:
        columns: class probabilities (J, C, K, H, W).
        asked: which pixels, boolean (K, H, W).
        patch: see :class:`Learned`.

    Returns:
        float32 (pixels, J x F): of each column the probabilities, their entropy from 0 to 1, the confidence, which is
        the largest of them, and with a patch the mean probabilities there.
    """
    found = []
    for column in columns:
        values = column[:, asked]
        found += [values, entropy(values)[None], values.max(axis=0)[None]]
        if patch > 1:
            around = ndimage.uniform_filter(column, (0, 0, patch, patch), mode="nearest")
            found.append(around[:, asked])
    return np.ascontiguousarray(np.concatenate(found).T, np.float32)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Shannon entropy of probabilities (C, ...), over the logarithm of C: 0 where sure, 1 where all are alike."""
    logarithms = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    summed = np.abs(np.einsum("c...,c...->...", probabilities, logarithms))
    return np.minimum(summed / float(np.log(len(probabilities))), 1)


class _Spec(NamedTuple):
    """What a bundle says under ``combine``."""

    method: str
    members: int
    columns: Sequence[Sequence[int]]
    patch: int
    sha256: str


def load_rule(spec: Mapping[str, Any] | None, models: Path, classes: int) -> Rule | None:
    """The rule that a bundle names; None where its network answers alone.

    Args:
        spec: ``combine`` in the bundle's metadata: method and members, and of what was learned ``columns``, ``patch``
            and ``sha256``.
        models: the bundle's folder of weights.
        classes: that the members tell apart, background included.

    Raises:
        CardiacSegError: for a rule that is not known, or where what it has learned is missing, changed or no trees.
    """
    if not spec:
        return None
    try:
        said = _Spec(
            method=str(spec["method"]),
            members=int(spec["members"]),
            columns=[[int(member) for member in column] for column in spec.get("columns", ())],
            patch=int(spec.get("patch", 1)),
            sha256=str(spec.get("sha256", "")),
        )
        if said.members < 1 or said.patch < 1:
            raise ValueError(f"{said.members} members, a patch of {said.patch}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CardiacSegError(
            f"{models.parent}: says no rule to combine by ({error!r}); copy the model again"
        ) from error
    if said.method in _PLAIN:
        return _PLAIN[said.method](said.members)
    if said.method not in LEARNED:
        known = ", ".join((*_PLAIN, *LEARNED))
        raise CardiacSegError(f"{models.parent}: rule '{said.method}' is not known; update CardiacSeg (it has {known})")
    return _learned(said, models / TREES, classes)


_PLAIN = {"vote": Vote, "staple": Staple}
#: Rules that have learned something.
LEARNED = ("stacked-forest", "stacked-boosting")


def _learned(said: _Spec, path: Path, classes: int) -> Learned:
    trees = Trees.read(path, read_checked(path, said.sha256, "what its rule has learned is"))
    seen = len(said.columns) * (classes + 2 + (classes if said.patch > 1 else 0))
    members = sorted(member for column in said.columns for member in column)
    if members != list(range(said.members)) or trees.classes != classes or trees.features.max() >= seen:
        raise CardiacSegError(f"{path}: was not learned from these members; copy the model again")
    return Learned(trees, said.columns, said.patch)
