"""What data sets say of themselves in json files and file names: patients, phases, and structures in free text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from CardiacSegLib.anatomy import LARGEST_LABEL, STRUCTURES, LabelConvention
from CardiacSegLib.errors import CardiacSegError

_PHASES = ("ED", "ES")
#: Longer numbers are neither those of frames nor those of labels.
_MOST_DIGITS = 6
_MARK = re.compile(r"ED|ES|(frame|phase|ph)-?\d*", re.IGNORECASE)

#: How data sets call the structures, beside their names, titles and SNOMED CT meanings; MLV and LVC, LVM and LVBP are
#: what nnU-Net's own conversions of ACDC and M&Ms write.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "LV": (
        *("LVC", "LVBP", "LV cavity", "LV blood pool", "left ventricle", "left ventricular cavity"),
        *("left ventricle cavity", "left ventricle blood pool"),
    ),
    "MYO": ("MLV", "LVM", "LV myocardium", "myocardium", "left ventricle myocardium"),
    "RV": (
        *("RVC", "RVBP", "RV cavity", "RV blood pool", "right ventricle", "right ventricular cavity"),
        *("right ventricle cavity", "right ventricle blood pool"),
    ),
    "LA": ("LA cavity", "left atrial cavity", "left atrium cavity"),
}


def read_description(path: Path) -> dict[str, Any]:
    """The object in a json file.

    Raises:
        CardiacSegError: where the file is missing or holds something else.
    """
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError("it is no object in braces")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CardiacSegError(f"{path}: cannot be read as a description of cases ({reason}); write it anew") from error
    return content


def read_json(path: Path) -> Any:
    """What a json file holds.

    Raises:
        OSError: where it cannot be read.
        ValueError: where it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error


def read_number(text: str) -> int | None:
    """A number counted from 0 that somebody wrote, such as that of a frame; None where the text is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else None


class CaseName(NamedTuple):
    """What the name of a case says.

    Cases are named by their patient, and often by a phase or frame behind it: ``patient001_frame01``, ``P7_ED``,
    ``P7_ES_2CH``. The first word, between underscores, that is ``ED``, ``ES`` or begins with ``frame``, ``phase`` or
    ``ph`` and goes on with digits ends the patient's name, and all cases that agree up to it are of one patient.
    A name without such a word is a patient of its own.

    Attributes:
        patient: identifier.
        phase: "ED" or "ES" where the name says it, else "".
        view: the words behind the patient that are no phase: the frame, the view.
    """

    patient: str
    phase: str
    view: str

    @classmethod
    def parse(cls, name: str) -> CaseName:
        words = name.split("_")
        end = next((index for index, word in enumerate(words) if index and _MARK.fullmatch(word)), len(words))
        phase = next((word.upper() for word in words[end:] if word.upper() in _PHASES), "")
        view = "_".join(word for word in words[end:] if word.upper() != phase)
        return cls("_".join(words[:end]), phase, view)


def held_out_folds(folds: Iterable[Iterable[str]], source: Path) -> list[list[str]]:
    """The patients that each fold holds out, sorted.

    Raises:
        CardiacSegError: where a patient stands in two folds.
    """
    folds = [sorted(set(fold)) for fold in folds]
    patients = [patient for fold in folds for patient in fold]
    twice = next((patient for patient in patients if patients.count(patient) > 1), None)
    if twice is not None:
        raise CardiacSegError(f"{source}: patient {twice} stands in two folds; put all of a patient's cases in one")
    return folds


def structure_named(text: str) -> str | None:
    """The structure that free text calls by one of its usual names, in any case and punctuation; None for others."""
    return _STRUCTURE_OF.get(_plain(text))


def _plain(text: str) -> str:
    return " ".join(re.findall("[a-z0-9]+", text.casefold()))


_STRUCTURE_OF = {
    _plain(spelling): name
    for name, structure in STRUCTURES.items()
    for spelling in (name, structure.title, structure.snomed_meaning, *_SPELLINGS[name])
}


def convention_of(labels: object, source: Path) -> LabelConvention:
    """The convention that a json file names in free text.

    Args:
        labels: numbers by name (``{"background": 0, "LV": 1}``, nnU-Net 2) or names by number
            (``{"0": "background", "1": "left ventricle"}``, nnU-Net 1 and the Decathlon); 0 is background whatever
            its name.
        source: the file, for what is said about it.

    Raises:
        CardiacSegError: where it is neither, or a name is none of a structure or of one that has a number already.
    """
    names = _names_by_number(labels, source)
    convention: dict[str, int] = {}
    for number, name in sorted(names.items()):
        structure = structure_named(name)
        if structure is None:
            raise CardiacSegError(f'{source}: label {number} is called "{name}"; {_remedy(names)}')
        if structure in convention:
            raise CardiacSegError(
                f"{source}: labels {convention[structure]} and {number} both mean {structure}; {_remedy(names)}"
            )
        convention[structure] = number
    return convention


def _remedy(names: Mapping[int, str]) -> str:
    example = ",".join(f"{number}={structure_named(name) or '?'}" for number, name in sorted(names.items()))
    return f'say what it is by --labels "{example}", each with one of {", ".join(STRUCTURES)}'


def _names_by_number(labels: object, source: Path) -> dict[int, str]:
    """Without the background."""
    pairs = list(labels.items()) if isinstance(labels, Mapping) else []
    if not all(_is_number(key) for key, _ in pairs):
        pairs = [(value, key) for key, value in pairs]
    if all(_is_number(number) and isinstance(name, str) for number, name in pairs):
        names = {int(number): name for number, name in pairs if int(number)}
        if names and len(names) == sum(bool(int(number)) for number, _ in pairs):
            return names
    raise CardiacSegError(
        f'{source}: "labels" is missing or does not name a structure for each number; '
        'write it as {"background": 0, "LV": 1, "MYO": 2}'
    )


def _is_number(value: object) -> bool:
    number = None if isinstance(value, bool) else read_number(str(value))
    return number is not None and number <= LARGEST_LABEL
