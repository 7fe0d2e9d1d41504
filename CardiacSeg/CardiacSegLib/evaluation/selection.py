"""Which cases of a data set are evaluated: those of a part, or of a fold; always whole patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.descriptions import read_json
from CardiacSegLib.datasets.layouts import own_folds
from CardiacSegLib.datasets.splits import PARTS, layout_parts, read_folds, read_part_lists
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.resources import resource_folder


def select_cases(
    cases: Sequence[Case], dataset: Path, layout: str, *, part: str = "", split: str = "", fold: int | None = None
) -> list[Case]:
    """The cases of one side of a split; all of them where nothing is said.

    Args:
        cases: of the data set.
        dataset, layout: where they are from; the layout may bring parts or folds of its own.
        part: "train", "val" or "test"; of folds, "val" is the fold itself and "train" all others.
        split: a JSON file with folds, or with the parts of a run; a folder with ``train.txt`` and such; or the name of
            a split that ships with CardiacSeg, such as "acdc". The data set's own where empty.
        fold: which fold is meant.

    Raises:
        CardiacSegError: where there is no such split, fold or part, or no case is in it.
    """
    if not (part or split or fold is not None):
        return list(cases)
    parts = _parts(cases, dataset, layout, split, fold)
    chosen = part or ("val" if fold is not None else "")
    if not chosen:
        raise CardiacSegError(f"--split {split}: say which side of it, by --fold N or by --part {'|'.join(PARTS)}")
    patients = set(parts.get(chosen, ()))
    selected = [case for case in cases if case.patient in patients]
    if not selected:
        where = f"--split {split}" if split else f"{dataset}"
        raise CardiacSegError(f"{where}: no case of {dataset} is in its part '{chosen}'; name another part or split")
    return selected


def _parts(
    cases: Sequence[Case], dataset: Path, layout: str, split: str, fold: int | None
) -> Mapping[str, Sequence[str]]:
    """The patients of each part."""
    if not split and fold is None:
        parts = layout_parts(cases)
        if not parts:
            raise CardiacSegError(f"{dataset}: makes no parts of its own; name a split by --split")
        return parts
    found = _read_split(split) if split else own_folds(dataset, layout)
    if isinstance(found, Mapping):
        if fold is not None:
            raise CardiacSegError(f"--split {split}: has parts and no folds; leave out --fold and say --part")
        return found
    return _sides(found, fold, f"--split {split}" if split else str(dataset))


def _sides(folds: Sequence[Sequence[str]], fold: int | None, source: str) -> dict[str, list[str]]:
    if not folds:
        raise CardiacSegError(f"{source}: brings no folds of its own; name a split by --split")
    if fold is None:
        raise CardiacSegError(f"{source}: has {len(folds)} folds; say which is held out by --fold")
    if not 0 <= fold < len(folds):
        raise CardiacSegError(f"{source}: fold {fold} does not exist; choose 0 to {len(folds) - 1}")
    others = [patient for number, those in enumerate(folds) if number != fold for patient in those]
    return {"train": others, "val": list(folds[fold])}


def _read_split(split: str) -> Mapping[str, Sequence[str]] | list[list[str]]:
    """Parts, or folds."""
    shipped = resource_folder() / "Splits" / f"{split}.json"
    path = shipped if shipped.is_file() else Path(split)
    if path.is_dir():
        parts = read_part_lists(path)
        if not parts:
            raise CardiacSegError(
                f"{path}: no train.txt, val.txt or test.txt in it; give a split file or such a folder"
            )
        return parts
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in (resource_folder() / "Splits").glob("*.json")))
        raise CardiacSegError(f"--split {split}: no such file or folder, and no split that ships ({names})")
    return _run_parts(path) or read_folds(path)


def _run_parts(path: Path) -> dict[str, list[str]]:
    """The parts that a training run keeps in its ``split.json``; {} where the file is another one."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    is_parts = isinstance(content, dict) and content and set(content) <= set(PARTS)
    return {part: list(map(str, patients)) for part, patients in content.items()} if is_parts else {}
