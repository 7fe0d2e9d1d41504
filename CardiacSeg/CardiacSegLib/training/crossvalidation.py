"""Cross-validation: every patient is labeled once, by a model that was not trained on it.

The folder of a cross-validation holds ``config.json`` and ``places.json`` as a run has them, ``folds.json`` (the
patients that each fold holds out), a run folder for each fold (``fold0``, ``fold1``, ...) and, once all of them are
trained, the files of an evaluation over the patients of all folds (:mod:`CardiacSegLib.evaluation.tables`). Whatever
was killed goes on when it is started again: what is trained stays as it is, and a run goes on from its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.bundles import CARD, RUN_BUNDLE, Bundle, training_facts
from CardiacSegLib.datasets import layouts
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.splits import make_folds, read_folds, split_cases, write_folds
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.provenance import card_facts, seen_warnings
from CardiacSegLib.evaluation.sources import LabeledCase, ModelSource
from CardiacSegLib.evaluation.study import About, evaluate_cases
from CardiacSegLib.files import make_folder
from CardiacSegLib.images import Image
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.jobs.events import Listener
from CardiacSegLib.jobs.run_folder import EVENTS
from CardiacSegLib.training.cases import RunCases, find_complete_cases, write_division
from CardiacSegLib.training.config import PLACES, TrainingConfig
from CardiacSegLib.training.run import resume, train

_CONFIG, _FOLDS = "config.json", "folds.json"
#: What a cross-validation that goes on may be told anew: where things are now.
MOVABLE = ("dataset", "device")
#: The evaluation takes this share of the time of a fold, roughly.
_EVALUATION_SHARE = 0.2


def has_begun(output: Path) -> bool:
    """Whether a folder holds a cross-validation."""
    return (output / _CONFIG).is_file()


def going_on(output: Path, wanted: TrainingConfig | None, changes: Mapping[str, Any]) -> TrainingConfig:
    """The configuration of a cross-validation that goes on.

    Args:
        output: its folder.
        wanted: the configuration that was asked for; None where none was.
        changes: the fields that the person gave; those of :data:`MOVABLE` count.

    Raises:
        CardiacSegError: where it began with another configuration.
    """
    begun = TrainingConfig.read(output)
    if wanted is not None:
        ours, theirs = _values(wanted), _values(begun)
        other = sorted(name for name in ours if name not in MOVABLE and ours[name] != theirs[name])
        if other:
            raise CardiacSegError(
                f"{output}: holds a cross-validation with another --{other[0].replace('_', '-')}; name another folder, "
                "or go on with this one by --output alone"
            )
    return replace(begun, **{name: changes[name] for name in MOVABLE if name in changes})


def _values(config: TrainingConfig) -> dict[str, Any]:
    """The fields as they can be compared: places written in full."""
    values = asdict(config)
    return {name: str(Path(value).resolve()) if name in PLACES and value else value for name, value in values.items()}


def cross_validate(
    config: TrainingConfig, output: Path, events: Listener, only_fold: int | None = None
) -> tuple[dict[str, Any], Path] | None:
    """Train what is not trained yet, and evaluate it on the patients that were held out.

    Args:
        config: of every fold; its ``fold`` is not looked at.
        output: folder of the cross-validation; one that was begun goes on.
        events: told of every fold and case.
        only_fold: train and evaluate this fold alone, into its own folder; counted from 0.

    Returns:
        The summary of the evaluation and the folder that it lies in; None where a run was asked to stop and did.

    Raises:
        CardiacSegError: where the configuration, the data set or the division does not allow it.
    """
    config.check()
    plan = _plan(config, output)
    if only_fold is not None and not 0 <= only_fold < len(plan.folds):
        raise CardiacSegError(f"--only-fold {only_fold}: does not exist; choose 0 to {len(plan.folds) - 1}")
    make_folder(output)
    config.write(output)
    write_folds(output / _FOLDS, plan.folds)
    chosen = range(len(plan.folds)) if only_fold is None else [only_fold]
    total = len(chosen) + _EVALUATION_SHARE
    bundles = {}
    for done, fold in enumerate(chosen):
        part = _Part(events, done / total, 1 / total, f"fold {fold} of 0 to {len(plan.folds) - 1}: ")
        bundle = _trained(plan, fold, output, part)
        if bundle is None:
            return None
        bundles[fold] = bundle
    folder = output if only_fold is None else output / f"fold{only_fold}" / "evaluation"
    part = _Part(events, len(chosen) / total, _EVALUATION_SHARE / total)
    return _evaluate(plan, bundles, folder, part), folder


@dataclass(frozen=True)
class _Plan:
    """What is trained on what.

    Attributes:
        cases: of all folds.
        folds: the patients that each holds out.
        together: patients who show the same person.
    """

    config: TrainingConfig
    name: str
    layout: str
    convention: LabelConvention
    cases: Sequence[Case]
    folds: Sequence[Sequence[str]]
    together: Sequence[Sequence[str]]

    def run_cases(self, fold: int) -> RunCases:
        sides = split_cases(self.cases, self.folds, fold, together=self.together)
        return RunCases(self.layout, self.convention, *sides)

    def fold_of(self) -> dict[str, int]:
        return {patient: fold for fold, patients in enumerate(self.folds) for patient in patients}


def _plan(config: TrainingConfig, output: Path) -> _Plan:
    layout, convention, found, _ = find_complete_cases(config)
    # What the layout keeps for a test is no part of a division made here.
    cases = [case for case in found if case.part != "test"]
    if not cases:
        raise CardiacSegError(f"{config.dataset}: keeps all of its cases for a test; name other cases")
    together = layouts.same_images(layout)
    folds = _folds(config, output, cases, layout, together)
    held_out = {patient for fold in folds for patient in fold}
    cases = [case for case in cases if case.patient in held_out]
    return _Plan(config, config.name or output.resolve().name, layout, convention, cases, folds, together)


def _folds(
    config: TrainingConfig, output: Path, cases: Sequence[Case], layout: str, together: Sequence[Sequence[str]]
) -> list[list[str]]:
    """The patients that each fold holds out: those with which it began, those of a file, or those made here."""
    if (output / _FOLDS).is_file():
        return read_folds(output / _FOLDS)
    if config.fractions or (config.split and not Path(config.split).is_file()):
        raise CardiacSegError(
            "a cross-validation divides by folds; leave out --fractions, and give a JSON file with folds as --split"
        )
    if config.split:
        return read_folds(Path(config.split))
    own = layouts.own_folds(Path(config.dataset), layout)
    return own or make_folds(cases, config.folds, together=together, seed=config.seed)


def _trained(plan: _Plan, fold: int, output: Path, events: Listener) -> Bundle | None:
    """The model of a fold; None where its run was asked to stop."""
    run, config = output / f"fold{fold}", plan.config
    if (run / RUN_BUNDLE / CARD).is_file():  # the card is written last
        return Bundle.read(run / RUN_BUNDLE)
    if (run / EVENTS).exists():
        return resume(run, events, {"dataset": config.dataset, "device": config.device})
    make_folder(run)
    # The division is given, so that it stays the same whatever happens to the data set meanwhile.
    write_division(run, plan.run_cases(fold))
    return train(replace(config, fold=fold, name=f"{plan.name}-fold{fold}"), run, events)


def _evaluate(plan: _Plan, bundles: Mapping[int, Bundle], folder: Path, events: Listener) -> dict[str, Any]:
    """Label every patient by the model of the fold that held it out."""
    fold_of = plan.fold_of()
    cases = [case for case in plan.cases if fold_of[case.patient] in bundles]
    source = _FoldSource(plan.name, bundles, fold_of, plan.config.device)
    warnings = [
        line
        for fold, bundle in bundles.items()
        for line in seen_warnings(bundle.name, training_facts(bundle), set(plan.folds[fold]), plan.together)
    ]
    about = About(
        dataset=Path(plan.config.dataset).resolve().name,
        command=_command(plan.config),
        card=_card(plan, bundles),
        warnings=warnings,
        fold_of=fold_of if len(bundles) > 1 else {},
    )
    return evaluate_cases(source, cases, folder, events, about=about)


def _command(config: TrainingConfig) -> str:
    """The command by which this can be done again, without the places of this machine."""
    names = {field: Path(getattr(config, field)).name for field in PLACES if getattr(config, field)}
    return f"cardiacseg crossvalidate {config.command(TrainingConfig(), **names)} --output OUT"


def _card(plan: _Plan, bundles: Mapping[int, Bundle]) -> dict[str, Any]:
    """What all folds have in common."""
    facts = [card_facts(bundle) for bundle in bundles.values()]
    alike = {name: value for name, value in facts[0].items() if all(other.get(name) == value for other in facts)}
    return alike | {"name": plan.name, "folds": len(plan.folds), "minutes": sum(one.get("minutes", 0) for one in facts)}


class _FoldSource:
    """Labels each patient by the model of its fold; each is loaded when the first of its patients comes."""

    def __init__(self, name: str, bundles: Mapping[int, Bundle], fold_of: Mapping[str, int], device: str) -> None:
        self.name = name
        self.convention = next(iter(bundles.values())).convention
        self._bundles, self._fold_of, self._device = bundles, fold_of, device
        self._loaded: dict[int, ModelSource] = {}

    def label(self, case: Case, image: Image) -> LabeledCase:
        fold = self._fold_of[case.patient]
        if fold not in self._loaded:
            bundle = self._bundles[fold]
            self._loaded[fold] = ModelSource(Segmenter.load(bundle, self._device), bundle.name)
        return self._loaded[fold].label(case, image)

    def check(self, cases: Sequence[Case]) -> None:
        """A model labels any case."""

    def warnings(self) -> list[str]:
        return []


class _Part:
    """Passes on what a part of a long work says, as a part of the whole; progress never goes back."""

    def __init__(self, events: Listener, begin: float, share: float, prefix: str = "") -> None:
        self._events, self._begin, self._share, self._prefix = events, begin, share, prefix
        self._furthest = 0.0

    def stage(self, name: str, text: str) -> None:
        self._events.stage(name, self._prefix + text)

    def progress(self, fraction: float, seconds_left: float | None = None, **fields: Any) -> None:
        # A run scores its model when it is trained, and counts from 0 again.
        self._furthest = max(self._furthest, fraction)
        self._events.progress(min(1.0, self._begin + self._share * self._furthest), None, **fields)
