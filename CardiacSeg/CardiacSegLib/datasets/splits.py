"""Splits by patient: stratified folds, and the file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing


def make_folds(
    cases: Sequence[Case], count: int = 5, *, together: Iterable[Sequence[str]] = (), seed: int = 0
) -> list[list[str]]:
    """Divide the patients of ``cases`` into folds, stratified by group.

    Args:
        cases: any number for each patient.
        count: number of folds.
        together: sets of patients that must share a fold because they show the same person.
        seed: of the shuffle.

    Returns:
        ``count`` sorted lists of patient identifiers; each patient stands in exactly one.

    Raises:
        CardiacSegError: where there are fewer persons than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    group_of = {case.patient: case.group for case in cases}
    patients = sorted(group_of)
    person_of = {patient: same[0] for same in together for patient in same}
    persons = [person_of.get(patient, patient) for patient in patients]
    if len(set(persons)) < count:
        raise CardiacSegError(
            f"{len(set(persons))} patients do not make {count} folds; give a split file or more cases"
        )
    groups = _large_groups([group_of[patient] for patient in patients], count)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    parts = splitter.split(patients, groups, persons)
    return [sorted(patients[index] for index in held_out) for _, held_out in parts]


def _large_groups(groups: Sequence[str], count: int) -> list[str]:
    """The groups with those that cannot stand in every fold taken together, as there is nothing to balance in them."""
    return [group if groups.count(group) >= count else "" for group in groups]


def write_folds(path: Path, folds: Sequence[Sequence[str]]) -> None:
    """Write folds as JSON, one list of patients for each fold."""
    rows = ",\n  ".join(json.dumps(list(fold)) for fold in folds)
    with replacing(path) as temporary:
        temporary.write_text(f'{{"folds": [\n  {rows}\n]}}\n', encoding="utf-8")


def read_folds(path: Path) -> list[list[str]]:
    """Read what :func:`write_folds` wrote.

    Raises:
        CardiacSegError: where the file is not such a file, or a patient stands in two folds.
    """
    try:
        folds = json.loads(Path(path).read_text(encoding="utf-8"))["folds"]
        if not all(isinstance(fold, list) and all(isinstance(patient, str) for patient in fold) for fold in folds):
            raise TypeError("folds are not lists of names")
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CardiacSegError(
            f'{path}: not a split file ({reason}); it holds {{"folds": [[patients], ...]}}'
        ) from error
    patients = [patient for fold in folds for patient in fold]
    if len(patients) != len(set(patients)):
        raise CardiacSegError(f"{path}: a patient stands in two folds; each may stand in one only")
    return folds


def split_cases(cases: Sequence[Case], folds: Sequence[Sequence[str]], fold: int) -> tuple[list[Case], list[Case]]:
    """Cases to train on and cases of the held-out fold.

    Raises:
        CardiacSegError: where the fold does not exist, a patient is in no fold, or a side is empty.
    """
    if not 0 <= fold < len(folds):
        raise CardiacSegError(f"fold {fold} does not exist; choose 0 to {len(folds) - 1}")
    fold_of = {patient: number for number, patients in enumerate(folds) for patient in patients}
    unknown = sorted({case.patient for case in cases} - set(fold_of))
    if unknown:
        raise CardiacSegError(f"patient {unknown[0]} is in no fold of the split; give a split file made for this data")
    training = [case for case in cases if fold_of[case.patient] != fold]
    validation = [case for case in cases if fold_of[case.patient] == fold]
    if not training or not validation:
        raise CardiacSegError(f"fold {fold} leaves no case to {'validate' if training else 'train'} on")
    return training, validation
