"""Splits by patient, never by case: stratified folds and parts, and the files that keep them."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.descriptions import read_json
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing

PARTS = ("train", "val", "test")

#: Says of each patient what a split balances.
Strata = Callable[[Sequence[Case]], Mapping[str, str]]


def groups_or_structures(cases: Sequence[Case]) -> dict[str, str]:
    """The group of each patient; where no group is known at all, its dominant structure, which reads every label."""
    groups = {case.patient: case.group for case in cases}
    return groups if any(groups.values()) else dominant_structures(cases)


def dominant_structures(cases: Sequence[Case]) -> dict[str, str]:
    """The structure that most of the labeled voxels of each patient belong to; "" where none is labeled.

    Raises:
        CardiacSegError: naming the file that cannot be read.
    """
    voxels: dict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        _, labels = case.read()
        voxels[case.patient].update(
            {name: np.count_nonzero(labels == number) for name, number in case.convention.items()}
        )
    return {
        patient: max(sorted(counts), key=counts.__getitem__) if any(counts.values()) else ""
        for patient, counts in voxels.items()
    }


def make_folds(
    cases: Sequence[Case],
    count: int = 5,
    *,
    together: Iterable[Sequence[str]] = (),
    seed: int = 0,
    strata: Strata = groups_or_structures,
) -> list[list[str]]:
    """Divide the patients of ``cases`` into folds, stratified.

    Args:
        cases: any number for each patient.
        count: number of folds.
        together: sets of patients that must share a fold because they show the same person.
        seed: of the shuffle.
        strata: what to balance.

    Returns:
        ``count`` sorted lists of patient identifiers; each patient stands in exactly one.

    Raises:
        CardiacSegError: where there are fewer persons than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    patients = sorted({case.patient for case in cases})
    person_of = _persons(together)
    persons = [person_of.get(patient, patient) for patient in patients]
    if len(set(persons)) < count:
        raise CardiacSegError(
            f"{len(set(persons))} patients do not make {count} folds; give a split file or more cases"
        )
    stratum_of = strata(cases)
    groups = _large_groups([stratum_of[patient] for patient in patients], count)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    parts = splitter.split(patients, groups, persons)
    return [sorted(patients[index] for index in held_out) for _, held_out in parts]


def _large_groups(groups: Sequence[str], count: int) -> list[str]:
    """The groups with those that cannot stand in every fold taken together, as there is nothing to balance in them."""
    return [group if groups.count(group) >= count else "" for group in groups]


def _persons(together: Iterable[Sequence[str]]) -> dict[str, str]:
    """One name for all patients who are the same person."""
    return {patient: same[0] for same in together for patient in same}


def make_parts(
    cases: Sequence[Case],
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    *,
    together: Iterable[Sequence[str]] = (),
    strata: Strata = groups_or_structures,
) -> dict[str, list[str]]:
    """Divide the patients of ``cases`` into a training, a validation and a test part, stratified.

    scikit-learn's stratified split refuses a group of one patient and a part smaller than the number of groups, both
    common here. Instead the persons are walked through group by group, shuffled in each, and every one goes to the
    part that lags furthest behind its fraction.

    Args:
        cases: any number for each patient.
        fractions: of the persons in each of :data:`PARTS`, with the sum 1; a part of 0 stays empty.
        seed: of the shuffle.
        together: sets of patients that must share a part because they show the same person.
        strata: what to balance.

    Returns:
        Sorted patients of each part; each patient stands in exactly one.

    Raises:
        CardiacSegError: where the fractions are none, or a part that should hold patients would be empty.
    """
    if len(fractions) != len(PARTS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise CardiacSegError(f"fractions {tuple(fractions)} are not three shares of 1; give for example 0.7 0.15 0.15")
    patients_of = _patients_of_persons(cases, together)
    persons = _shuffled_by_stratum(patients_of, strata(cases), seed)
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for person, part in zip(persons, _dealt(len(persons), fractions)):
        parts[part] += patients_of[person]
    for part, fraction in zip(PARTS, fractions):
        if fraction and not parts[part]:
            raise CardiacSegError(f"{len(persons)} patients leave the {part} part empty; give it more, or more cases")
    return {part: sorted(patients) for part, patients in parts.items()}


def _patients_of_persons(cases: Sequence[Case], together: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    person_of = _persons(together)
    patients_of = defaultdict(list)
    for patient in sorted({case.patient for case in cases}):
        patients_of[person_of.get(patient, patient)].append(patient)
    return patients_of


def _shuffled_by_stratum(
    patients_of: Mapping[str, Sequence[str]], stratum_of: Mapping[str, str], seed: int
) -> list[str]:
    """The persons, stratum after stratum, by chance within each."""
    persons = sorted(patients_of)
    random.Random(seed).shuffle(persons)
    return sorted(persons, key=lambda person: stratum_of[patients_of[person][0]])


def _dealt(count: int, fractions: Sequence[float]) -> list[str]:
    """A part for each of ``count`` persons, so that after every one the parts are as near their fractions as can be."""
    dealt = np.zeros(len(fractions))
    order = []
    for number in range(1, count + 1):
        chosen = int(np.argmax(np.asarray(fractions) * number - dealt))
        dealt[chosen] += 1
        order.append(PARTS[chosen])
    return order


def layout_parts(cases: Sequence[Case]) -> dict[str, list[str]]:
    """The parts that the layout itself makes, or {} where it makes none; a case without a part is in none.

    Raises:
        CardiacSegError: where a patient stands in two parts.
    """
    parts = {part: sorted({case.patient for case in cases if case.part == part}) for part in PARTS}
    _check_apart(parts.values(), "the data set itself")
    return parts if any(parts.values()) else {}


def read_part_lists(folder: Path, names: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """The patients that ``train.txt``, ``val.txt`` and ``test.txt`` in a folder list, one a line; {} without any list.

    Args:
        folder: where the lists lie.
        names: how the list of each of :data:`PARTS` is called, where it is not called as its part.

    Raises:
        CardiacSegError: where a list cannot be read, or a patient stands in two.
    """
    paths = {part: Path(folder) / f"{(names or {}).get(part, part)}.txt" for part in PARTS}
    parts = {part: _read_list(path) if path.is_file() else [] for part, path in paths.items()}
    _check_apart(parts.values(), str(folder))
    return parts if any(parts.values()) else {}


def _read_list(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CardiacSegError(f"{path}: not a list of patients ({error}); it holds one a line") from error
    return [line.strip() for line in lines if line.strip()]


def _check_apart(sides: Iterable[Sequence[str]], source: str, together: Iterable[Sequence[str]] = ()) -> None:
    """Refuse a split that shows one person on two sides."""
    person_of = _persons(together)
    seen: dict[str, tuple[int, str]] = {}
    for number, side in enumerate(sides):
        for patient in side:
            before, other = seen.setdefault(person_of.get(patient, patient), (number, patient))
            if before != number and other == patient:
                raise CardiacSegError(f"{source}: patient {patient} stands on two sides of the split; keep it on one")
            if before != number:
                raise CardiacSegError(f"{source}: {other} and {patient} are the same images; put both on one side")


def cases_of_parts(
    cases: Sequence[Case], parts: Mapping[str, Sequence[str]], *, together: Iterable[Sequence[str]] = ()
) -> dict[str, list[Case]]:
    """The cases of each part; a patient in no part is left out.

    Raises:
        CardiacSegError: where a person stands in two parts, or no case is there to train or to validate on.
    """
    _check_apart(parts.values(), "the split", together)
    part_of = {patient: part for part, patients in parts.items() for patient in patients}
    found = {part: [case for case in cases if part_of.get(case.patient) == part] for part in PARTS}
    for part, verb in (("train", "train"), ("val", "validate")):
        if not found[part]:
            raise CardiacSegError(f"the split leaves no case to {verb} on; name patients of this data for '{part}'")
    return found


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
        folds = read_json(Path(path))["folds"]
        if not (isinstance(folds, list) and folds):
            raise TypeError("there are no folds in it")
        if not all(isinstance(fold, list) and all(isinstance(patient, str) for patient in fold) for fold in folds):
            raise TypeError("folds are not lists of names")
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CardiacSegError(
            f'{path}: not a split file ({reason}); it holds {{"folds": [[patients], ...]}}'
        ) from error
    patients = [patient for fold in folds for patient in fold]
    twice = next((patient for patient in patients if patients.count(patient) > 1), None)
    if twice is not None:
        raise CardiacSegError(f"{path}: a patient stands in two folds ({twice}); each may stand in one only")
    return folds


def split_cases(
    cases: Sequence[Case], folds: Sequence[Sequence[str]], fold: int, *, together: Iterable[Sequence[str]] = ()
) -> tuple[list[Case], list[Case]]:
    """Cases to train on and cases of the held-out fold.

    Raises:
        CardiacSegError: where the fold does not exist, a patient is in no fold, a person stands in two, or a side is
            empty.
    """
    _check_apart(folds, "the split", together)
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
