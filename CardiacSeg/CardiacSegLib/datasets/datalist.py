"""A list of cases in a json file, as the Medical Segmentation Decathlon and MONAI write it, and this project, too.

``training``, ``validation`` and ``test`` list ``{"image": ..., "label": ...}`` with paths relative to the file. Each
may say its ``patient`` (or ``subject``), ``phase``, ``view``, ``group``, ``frame`` of a cine and ``fold``, and have its
own ``labels``; the ``labels`` of the file are for the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.datasets import nnunet
from CardiacSegLib.datasets.cases import Case, named_labels
from CardiacSegLib.datasets.descriptions import (
    CaseName,
    convention_of,
    held_out_folds,
    read_description,
    read_number,
)
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import write_json
from CardiacSegLib.images import stem_of

TITLE = "Decathlon or MONAI datalist: a json file that lists images with their labels"

#: What no name of a patient, a phase or a view may hold, and how long it may be.
_SEPARATORS, _LONGEST_NAME = frozenset("/\\:\0\r\n"), 80
_PART_OF = {"training": "train", "validation": "val", "test": "test", "testing": "test"}
_LIST_OF = {"": "training", "train": "training", "val": "validation", "test": "test"}


def recognizes(folder: Path) -> bool:
    """Whether ``folder`` is a datalist or holds just one."""
    return len(_datalists(Path(folder))) == 1


def _datalists(place: Path) -> list[Path]:
    return [path for path in ([place] if place.is_file() else sorted(place.glob("[!.]*.json"))) if _is_datalist(path)]


def _is_datalist(path: Path) -> bool:
    # nnU-Net's first version describes its cases alike, but names their files otherwise than it lists them.
    if path.suffix.lower() != ".json" or (path.name == "dataset.json" and nnunet.recognizes(path.parent)):
        return False
    try:
        return any(entry.has("image") for entry in _entries(path))
    except CardiacSegError:
        return False


def find_cases(folder: Path, labels: LabelConvention | None = None) -> list[Case]:
    """Every case of a datalist that has labels, in the order of the list.

    A case that does not name its patient has the one that the name of its image says, and so its phase: see
    :class:`CardiacSegLib.datasets.descriptions.CaseName`.

    Args:
        folder: the json file, or a folder that holds one.
        labels: which number is which structure; needed where the file does not say it in words that are known.

    Raises:
        CardiacSegError: where there is no datalist or are several, a field or file of a case is missing, two cases
            are the same, or nothing says which number is which structure.
    """
    path = _datalist(Path(folder))
    cases = [entry.case(labels) for entry in _entries(path) if entry.is_labeled()]
    if not cases:
        raise CardiacSegError(f'{path}: lists no case with labels; give each {{"image": ..., "label": ...}}')
    names = [case.name for case in cases]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise CardiacSegError(f'{path}: two cases are {twice}; take one away, or give them a "phase" or "view"')
    return cases


def _datalist(place: Path) -> Path:
    paths = _datalists(place)
    if len(paths) == 1:
        return paths[0]
    if paths:
        raise CardiacSegError(f"{place}: holds {len(paths)} lists of cases; name one of them, such as {paths[0].name}")
    raise CardiacSegError(f'{place}: no json file lists cases as {{"training": [{{"image": ..., "label": ...}}]}}')


def read_splits(folder: Path) -> list[list[str]]:
    """The patients that each fold holds out, by the ``fold`` of the cases; none where no case says one.

    Raises:
        CardiacSegError: as :func:`find_cases`, and where a patient stands in two folds.
    """
    path = _datalist(Path(folder))
    folds = defaultdict(list)
    for entry in _entries(path):
        if "fold" in entry.fields:
            folds[entry.number("fold")].append(entry.name().patient)
    return held_out_folds((folds[number] for number in sorted(folds)), path)


def _entries(path: Path) -> Iterator[_Entry]:
    content = read_description(path)
    for name, part in _PART_OF.items():
        entries = content.get(name, [])
        if not isinstance(entries, list):
            raise CardiacSegError(f'{path}: "{name}" is no list; write [{{"image": ..., "label": ...}}]')
        for index, entry in enumerate(entries):
            fields = entry if isinstance(entry, dict) else {"image": entry}  # the Decathlon lists test images alone
            yield _Entry(path, f"{name}[{index}]", {"labels": content.get("labels"), "part": part, **fields})


@dataclass(frozen=True)
class _Entry:
    """One element of a list.

    Attributes:
        source: the file.
        place: where in it.
        fields: what it says, with what the file says for all.
    """

    source: Path
    place: str
    fields: Mapping[str, Any]

    def has(self, key: str) -> bool:
        return key in self.fields

    def is_labeled(self) -> bool:
        """Images to test on may come without labels, and are then no cases; those to train on may not."""
        return self.has("label") or self.fields["part"] != "test"

    def case(self, labels: LabelConvention | None) -> Case:
        name = self.name()
        return Case(
            *(name.patient, name.phase, self.file("image"), self.file("label"), self._convention(labels)),
            group=self.text("group"),
            frame=self.number("frame") if self.has("frame") else None,
            part=self.text("part"),
            view=name.view,
        )

    def name(self) -> CaseName:
        """What the fields say; for a case that names no patient, what the name of its image says."""
        patient = self.text("patient") or self.text("subject")
        said = CaseName(patient, "", "") if patient else CaseName.parse(stem_of(self.text("image")))
        name = CaseName(said.patient, self.text("phase") or said.phase, self.text("view") or said.view)
        # What is made of a case is written into files of its name.
        unlike = next((part for part in name if len(part) > _LONGEST_NAME or set(part) & _SEPARATORS), None)
        if unlike is not None:
            raise self._error(
                f"{unlike[:_LONGEST_NAME]!r} cannot stand in the name of a file; give a short, plain name"
            )
        return name

    def file(self, key: str) -> Path:
        if not self.text(key):
            raise self._error(f'has no "{key}"; add its path')
        path = self.source.parent / self.text(key)
        if not path.is_file():
            raise self._error(f"{path} does not exist; check the path")
        return path

    def text(self, key: str) -> str:
        value = self.fields.get(key, "")
        if isinstance(value, (list, dict)):
            raise self._error(f'"{key}" is no single value; CardiacSeg takes one image and one file of labels a case')
        return str(value)

    def number(self, key: str) -> int:
        number = read_number(self.text(key))
        if number is None:
            raise self._error(f'"{key}" is no number counted from 0')
        return number

    def _convention(self, labels: LabelConvention | None) -> LabelConvention:
        if labels is None and self.fields["labels"] is not None:
            return convention_of(self.fields["labels"], self.source)
        return named_labels(labels, self.source)

    def _error(self, what: str) -> CardiacSegError:
        return CardiacSegError(f"{self.source}: {self.place}: {what}")


def write_datalist(path: Path, cases: Sequence[Case]) -> None:
    """Write a list of cases that :func:`find_cases` reads as equal ones, and that MONAI reads too.

    Args:
        path: of the json file; the paths of files below its folder are written relative to it.
        cases: images and labels in files of their own.

    Raises:
        CardiacSegError: where a case is not read from such files, or the list cannot be written.
    """
    path = Path(path)
    conventions = [dict(case.convention) for case in cases]
    shared = all(convention == conventions[0] for convention in conventions)
    content: dict[str, Any] = {"labels": _names(conventions[0])} if cases and shared else {}
    for case in cases:
        entry = _fields(case, path.parent) | ({} if shared else {"labels": _names(case.convention)})
        content.setdefault(_LIST_OF[case.part], []).append(entry)
    write_json(path, content)


def _names(convention: LabelConvention) -> dict[str, str]:
    names = {number: name for name, number in convention.items()}
    return {"0": "background"} | {str(number): names[number] for number in sorted(names)}


def _fields(case: Case, folder: Path) -> dict[str, Any]:
    if type(case) is not Case:
        raise CardiacSegError(f"{case.labels}: only its own layout says how to read {case.name}; export it as images")
    fields = {"image": _relative(case.image, folder), "label": _relative(case.labels, folder), "patient": case.patient}
    said = {"phase": case.phase, "view": case.view, "group": case.group}
    fields |= {key: value for key, value in said.items() if value}
    fields |= {} if case.frame is None else {"frame": case.frame}
    return fields | ({} if case.part else {"part": ""})


def _relative(path: Path, folder: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()
