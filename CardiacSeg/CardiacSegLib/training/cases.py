"""The cases of a run: found on disk, with the structures to learn, and divided by patient."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from CardiacSegLib.anatomy import STRUCTURES, LabelConvention, parse_labels
from CardiacSegLib.datasets import layouts
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.splits import (
    cases_of_parts,
    layout_parts,
    make_folds,
    make_parts,
    read_folds,
    read_part_lists,
    split_cases,
)
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import write_json
from CardiacSegLib.training.config import TrainingConfig

_SPLIT_FILE = "split.json"


@dataclass(frozen=True)
class RunCases:
    """What a run trains on and what it validates on.

    Attributes:
        layout: of the data set.
        convention: which number the model gives to which structure.
        training, validation: cases; no patient is on both sides.
        left_out: how many cases lack one of the structures.
    """

    layout: str
    convention: LabelConvention
    training: Sequence[Case]
    validation: Sequence[Case]
    left_out: int = 0


def find_run_cases(config: TrainingConfig, run: Path) -> RunCases:
    """Find the cases of a run and divide them; a run that goes on keeps the division that it began with.

    Raises:
        CardiacSegError: where there are no cases, none has all the structures, or they cannot be divided.
    """
    layout, convention, complete, left_out = find_complete_cases(config)
    if (run / _SPLIT_FILE).is_file():
        training, validation = _read_division(run / _SPLIT_FILE, complete)
    else:
        training, validation = _divide(config, complete, layout)
    return RunCases(layout, convention, training, validation, left_out)


def find_complete_cases(config: TrainingConfig) -> tuple[str, LabelConvention, list[Case], int]:
    """The layout of a data set, what a model learns from it, the cases with all of that, and how many lack some of it.

    Raises:
        CardiacSegError: where there are no cases, or none has all the structures.
    """
    dataset = Path(config.dataset)
    layout = config.layout or layouts.recognize(dataset)
    cases = layouts.find_cases(dataset, layout, parse_labels(config.labels) if config.labels else None)
    convention = model_convention(config.structures or {name for case in cases for name in case.convention})
    complete = [case for case in cases if set(convention) <= set(case.convention)]
    if not complete:
        raise CardiacSegError(
            f"{config.dataset}: no case has labels for {', '.join(convention)}; choose other --structures"
        )
    return layout, convention, complete, len(cases) - len(complete)


def model_convention(structures: Iterable[str]) -> LabelConvention:
    """Structures numbered from 1 in the order in which the project names them."""
    wanted = set(structures)
    return {name: number for number, name in enumerate((name for name in STRUCTURES if name in wanted), 1)}


def _divide(config: TrainingConfig, cases: Sequence[Case], layout: str) -> tuple[Sequence[Case], Sequence[Case]]:
    together = layouts.same_images(layout)
    if Path(config.split).is_file():
        return split_cases(cases, read_folds(Path(config.split)), config.fold, together=together)
    parts = _parts(config, cases, together)
    if parts:
        sides = cases_of_parts(cases, parts, together=together)
        return sides["train"], sides["val"]
    # What the layout keeps for a test is no part of a division made here.
    free = [case for case in cases if case.part != "test"]
    folds = _own_folds(config, free, layout) or make_folds(free, config.folds, together=together, seed=config.seed)
    return split_cases(free, folds, config.fold, together=together)


def _own_folds(config: TrainingConfig, cases: Sequence[Case], layout: str) -> list[list[str]]:
    """The folds that the data set brings, with one more for the patients whom none of them holds out."""
    folds = layouts.own_folds(Path(config.dataset), layout)
    held_out = {patient for fold in folds for patient in fold}
    never = sorted({case.patient for case in cases} - held_out)
    return [*folds, never] if folds and never else folds


def _parts(
    config: TrainingConfig, cases: Sequence[Case], together: Iterable[Sequence[str]]
) -> Mapping[str, Sequence[str]]:
    """Patients to train on and to validate on, where something else than folds says so."""
    if config.split:
        parts = read_part_lists(Path(config.split))
        if not parts:
            raise CardiacSegError(f"{config.split}: no split; give a JSON file with folds, or a folder with train.txt")
        return parts
    if config.fractions:
        return make_parts(cases, config.fractions, config.seed, together=together)
    parts = layout_parts(cases)
    return parts if parts.get("train") and parts.get("val") else {}


def write_division(run: Path, cases: RunCases) -> None:
    """Keep which patient is on which side in the folder of the run."""
    sides = {"train": cases.training, "val": cases.validation}
    content = {name: sorted({case.patient for case in side}) for name, side in sides.items()}
    write_json(run / _SPLIT_FILE, content)


def _read_division(path: Path, cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    try:
        sides = {name: set(patients) for name, patients in json.loads(path.read_text(encoding="utf-8")).items()}
        training, validation = ([case for case in cases if case.patient in sides[name]] for name in ("train", "val"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CardiacSegError(f"{path}: cannot be read ({error}); start the run again") from error
    missing = (sides["train"] | sides["val"]) - {case.patient for case in cases}
    if missing:
        raise CardiacSegError(f"{path}: patient {min(missing)} is not in the data set any more; put it back")
    return training, validation
