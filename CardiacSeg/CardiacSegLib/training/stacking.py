"""The meta-learner of a stacked ensemble: which member to trust at which pixel, learned from out-of-fold predictions.

What a network says of a patient it was trained on is too good, and whoever learns from that learns to trust it too
much. So the predictions of a patient come only from members that never saw him, as the metadata of each says (Wolpert,
Neural Networks 5(2), 1992; van der Laan et al., Stat. Appl. Genet. Mol. Biol. 6(1), 2007).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.bundles import Bundle, training_facts
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.provenance import seen_patients
from CardiacSegLib.inference.combining import features, unsure
from CardiacSegLib.inference.model_grid import Stack
from CardiacSegLib.inference.provenance import name_of_model
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.trees import Trees
from CardiacSegLib.jobs.events import Listener


@dataclass(frozen=True)
class StackingConfig:
    """How a meta-learner is trained.

    Attributes:
        method: one of :data:`CardiacSegLib.inference.combining.LEARNED`.
        patch: see :class:`CardiacSegLib.inference.combining.Learned`.
        pixels: it learns from about so many, of all patients together.
        seed: the same seed, members and cases give the same trees.
        seen: whether members may predict patients that they were trained on, where no other can.
    """

    method: str
    patch: int = 3
    pixels: int = 60_000
    seed: int = 0
    seen: bool = False

    def __post_init__(self) -> None:
        if self.patch < 1 or self.patch % 2 == 0 or self.patch > 31:
            raise CardiacSegError(f"--patch {self.patch}: give an odd number of pixels from 1 to 31")
        if self.pixels < 1000:
            raise CardiacSegError(f"--pixels {self.pixels}: are too few to learn from; give 1000 or more")


#: What tells the folds of one recipe apart in the command that trained them.
_OF_A_FOLD = re.compile(r"--(fold|split) \S+")


def columns_of(members: Sequence[Bundle]) -> list[list[int]]:
    """The numbers of the members, those together that one recipe made on different folds.

    A meta-learner sees the mean over such a group: each of them held out other patients, so that together they say
    something out-of-fold about everyone. A member whose recipe is not known is a group of its own.
    """
    groups: dict[str, list[int]] = {}
    for number, member in enumerate(members):
        facts = training_facts(member)
        command = str(facts.get("command") or f"member {number}")
        recipe = f"{facts.get('network')} {' '.join(_OF_A_FOLD.sub('', command).split())}"
        groups.setdefault(recipe, []).append(number)
    return list(groups.values())


def learn(
    members: Sequence[Bundle],
    cases: Sequence[Case],
    config: StackingConfig,
    events: Listener,
    *,
    turns: int,
    device: str = "auto",
    together: Sequence[Sequence[str]] = (),
) -> tuple[Trees, list[list[int]], list[str]]:
    """Train a meta-learner.

    Args:
        members: models on one grid and with the same labels.
        cases: labeled, of any patients; those that cannot be predicted out-of-fold are left out.
        config: how.
        events: told of each case.
        turns: over how many turned copies each member is averaged, as the ensemble will be.
        device: see :meth:`CardiacSegLib.inference.devices.Device.choose`.
        together: sets of patients that show the same person.

    Returns:
        The trees, the columns of :func:`columns_of`, and the patients that were learned from.

    Raises:
        CardiacSegError: where no patient can be predicted out-of-fold, or there is too little to learn from.
    """
    columns, convention = columns_of(members), members[0].convention
    cases = [case for case in cases if set(convention) <= set(case.convention)]
    allowed = _allowed(members, columns, sorted({case.patient for case in cases}), together, config.seen)
    usable = [case for case in cases if case.patient in allowed]
    segmenters = [Segmenter.load(member, device, turns) for member in members]
    chance = np.random.default_rng(config.seed)
    rows, truth = [], []
    for number, case in enumerate(usable, 1):
        events.stage("stack", f"{case.name} out of fold ({number} of {len(usable)})")
        seen, labels = _pixels_of(case, [[segmenters[one] for one in part] for part in allowed[case.patient]], config)
        chosen = _sample(len(seen), -(-config.pixels // len(usable)), chance)
        rows.append(seen[chosen])
        truth.append(labels[chosen])
        events.progress(number / len(usable))
    events.stage("stack", f"learning from {sum(map(len, truth))} pixels of {len(allowed)} patients")
    trees = _fit(np.concatenate(rows), np.concatenate(truth), convention, config)
    return trees, columns, sorted(allowed)


def _allowed(
    members: Sequence[Bundle],
    columns: Sequence[Sequence[int]],
    patients: Sequence[str],
    together: Sequence[Sequence[str]],
    seen: bool,
) -> dict[str, list[list[int]]]:
    """The members of each column that may predict a patient, for every patient whom each column can predict."""
    saw = [_saw(member, patients, together) for member in members]
    allowed = {}
    for patient in patients:
        parts = [[one for one in column if patient not in saw[one]] for column in columns]
        if seen:
            parts = [part or list(column) for part, column in zip(parts, columns)]
        if all(parts):
            allowed[patient] = parts
    if allowed:
        return allowed
    column = max(columns, key=lambda column: len(set.intersection(*(saw[one] for one in column))))
    names = ", ".join(name_of_model(members[one]) for one in column)
    raise CardiacSegError(
        f"no patient can be predicted out of fold: {names} saw, or do not say that they did not see, all those that "
        "the others left out; give the models of all folds of each recipe, or allow it by --seen"
    )


def _saw(member: Bundle, patients: Sequence[str], together: Sequence[Sequence[str]]) -> set[str]:
    facts: Mapping[str, Any] = training_facts(member)
    if "patients_trained_on" not in facts:
        return set(patients)
    return set(seen_patients(facts, patients, together))


def _pixels_of(
    case: Case, parts: Sequence[Sequence[Segmenter]], config: StackingConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Features (pixels, F) and labels (pixels,) of the pixels of a case that its members are not sure of."""
    first = parts[0][0]
    image, reference = read_case(case, first.convention)
    stack = Stack.from_volume(image.array, image.affine)
    try:
        slices = stack.on_grid(first.grid)
        columns = np.stack([np.mean([one.probabilities(slices) for one in part], axis=0) for part in parts])
    except CardiacSegError as error:  # the segmenter knows the array, not the file
        raise CardiacSegError(f"{case.image}: {error}") from error
    asked = unsure(columns)
    labels = stack.labels_on_grid(reference, first.grid, columns.shape[1], slices.shape[1:])
    return features(columns, asked, config.patch), labels[asked]


def _sample(count: int, wanted: int, chance: np.random.Generator) -> np.ndarray:
    return np.sort(chance.choice(count, wanted, replace=False)) if count > wanted else np.arange(count)


def _fit(rows: np.ndarray, truth: np.ndarray, convention: LabelConvention, config: StackingConfig) -> Trees:
    missing = [name for name, number in {"background": 0, **convention}.items() if not (truth == number).any()]
    if missing:
        raise CardiacSegError(
            f"the {len(truth)} pixels that the members are not sure of hold no {', '.join(missing)}; give more cases"
        )
    return (_forest if config.method == "stacked-forest" else _boosting)(rows, truth, config.seed)


def _forest(rows: np.ndarray, truth: np.ndarray, seed: int) -> Trees:
    """A random forest whose leaves hold enough pixels to tell a probability."""
    from sklearn.ensemble import RandomForestClassifier

    # The result does not depend on how many processes make it.
    model = RandomForestClassifier(100, max_depth=12, min_samples_leaf=20, random_state=seed, n_jobs=-1)
    model.fit(rows, truth)
    parts = []
    for one in model.estimators_:
        value = one.tree_.value[:, 0]
        parts.append((one.tree_, value / value.sum(axis=1, keepdims=True)))
    return _as_arrays(parts, boosted=False)


def _boosting(rows: np.ndarray, truth: np.ndarray, seed: int) -> Trees:
    """Gradient boosting of small trees, each on half of the pixels (Friedman, Comp. Stat. & Data Analysis 38, 2002)."""
    from sklearn.ensemble import GradientBoostingClassifier

    # Without a start of its own the model is its trees and nothing else.
    model = GradientBoostingClassifier(
        init="zero", n_estimators=60, learning_rate=0.15, max_depth=4, subsample=0.5, random_state=seed
    )
    model.fit(rows, truth)
    classes, parts = len(model.classes_), []
    for stage in model.estimators_:
        for number, one in enumerate(stage):
            value = np.zeros((one.tree_.node_count, classes))
            # Of two classes scikit-learn learns the odds of the second alone.
            value[:, number if len(stage) > 1 else 1] = model.learning_rate * one.tree_.value[:, 0, 0]
            parts.append((one.tree_, value))
    return _as_arrays(parts, boosted=True)


def _as_arrays(parts: Sequence[tuple[Any, np.ndarray]], boosted: bool) -> Trees:
    """scikit-learn's trees, each with what its nodes say of each class, in one list of nodes."""
    sizes = [tree.node_count for tree, _ in parts]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    leaves = np.concatenate([tree.children_left < 0 for tree, _ in parts])
    itself = np.arange(len(leaves))
    left, right = (
        np.where(leaves, itself, np.concatenate([getattr(tree, side) + root for (tree, _), root in zip(parts, roots)]))
        for side in ("children_left", "children_right")
    )
    return Trees(
        roots=roots.astype(np.int32),
        features=np.where(leaves, 0, np.concatenate([tree.feature for tree, _ in parts])).astype(np.int32),
        thresholds=np.where(leaves, 0.0, np.concatenate([tree.threshold for tree, _ in parts])),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        values=np.concatenate([value for _, value in parts]).astype(np.float32),
        depth=max(tree.max_depth for tree, _ in parts),
        boosted=boosted,
    )
