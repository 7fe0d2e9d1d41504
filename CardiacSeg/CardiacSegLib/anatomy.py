"""Structures of the heart: names, colors, codes, and which number means which structure in which dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from CardiacSegLib.errors import CardiacSegError


@dataclass(frozen=True)
class Structure:
    """One structure that a model can segment.

    ``color`` is RGB, 0 to 255. ``snomed_code`` and ``snomed_meaning`` are the SNOMED CT concept of the anatomy.
    """

    name: str
    title: str
    color: tuple[int, int, int]
    snomed_code: str
    snomed_meaning: str


LV = Structure("LV", "Left ventricular blood pool", (214, 62, 70), "87878005", "Left cardiac ventricular structure")
MYO = Structure("MYO", "Left ventricular myocardium", (94, 186, 125), "74281007", "Myocardium structure")
RV = Structure("RV", "Right ventricular blood pool", (74, 128, 222), "53085002", "Right cardiac ventricular structure")
LA = Structure("LA", "Left atrium", (236, 173, 66), "82471001", "Left atrial structure")

STRUCTURES: Mapping[str, Structure] = {structure.name: structure for structure in (LV, MYO, RV, LA)}

#: A label convention says which number means which structure; 0 is background everywhere.
LabelConvention = Mapping[str, int]

CANONICAL: LabelConvention = {"LV": 1, "MYO": 2, "RV": 3}
ACDC: LabelConvention = {"RV": 1, "MYO": 2, "LV": 3}
CAMUS: LabelConvention = {"LV": 1, "MYO": 2, "LA": 3}

#: Conventions that can be named on the command line. M&Ms and the MONAI zoo number their labels as the canonical one.
LABEL_CONVENTIONS: Mapping[str, LabelConvention] = {"canonical": CANONICAL, "acdc": ACDC, "camus": CAMUS}

#: Some data sets number their structures in hundreds; a number beyond this is a slip.
LARGEST_LABEL = 65535
#: Unknown numbers that a message lists; an image given as labels has thousands.
_SHOWN = 8


def parse_labels(text: str) -> LabelConvention:
    """The convention that a person wrote: ``1=LV,2=MYO``, or a name such as ``acdc``.

    Raises:
        CardiacSegError: where the text is neither, or gives a number or a structure twice.
    """
    named = LABEL_CONVENTIONS.get(text.strip().lower())
    if named is not None:
        return named
    pairs = [_parse_label(part, text) for part in text.split(",")]
    for what, found in (("number", [number for number, _ in pairs]), ("structure", [name for _, name in pairs])):
        twice = next((item for item in found if found.count(item) > 1), None)
        if twice is not None:
            raise CardiacSegError(f"labels '{text}': the {what} {twice} stands twice; give each once")
    return {name: number for number, name in pairs}


def _parse_label(part: str, text: str) -> tuple[int, str]:
    number, equals, name = (piece.strip() for piece in part.partition("="))
    if not equals:
        known = ", ".join(LABEL_CONVENTIONS)
        raise CardiacSegError(f"labels '{text}': '{part}' is no NUMBER=STRUCTURE; write them as 1=LV,2=MYO, or {known}")
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= LARGEST_LABEL):
        raise CardiacSegError(
            f"labels '{text}': '{number}' is no number from 1 to {LARGEST_LABEL}; 0 is always the background"
        )
    if name.upper() not in STRUCTURES:
        raise CardiacSegError(f"labels '{text}': structure '{name}' is not known; choose from {', '.join(STRUCTURES)}")
    return int(number), name.upper()


def labels_text(convention: LabelConvention) -> str:
    """A convention as :func:`parse_labels` reads it, by number: ``1=LV,2=MYO``."""
    return ",".join(f"{number}={name}" for name, number in sorted(convention.items(), key=lambda item: item[1]))


def relabel(labels: np.ndarray, source: LabelConvention, target: LabelConvention) -> np.ndarray:
    """Renumber a label array from one convention to another.

    Args:
        labels: integers of any shape, 0 for background.
        source: convention of ``labels``.
        target: convention of the result; a structure that it does not hold becomes background.

    Returns:
        uint8 array of the same shape.

    Raises:
        CardiacSegError: where ``labels`` holds a number that ``source`` does not define.
    """
    present = np.unique(labels)
    unknown = sorted(set(present.tolist()) - set(source.values()) - {0})
    if unknown:
        shown = ", ".join(f"{value:g}" for value in unknown[:_SHOWN])
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise CardiacSegError(
            f"label values [{shown}]{more} are not in the convention {dict(source)}; name the right one"
        )
    table = np.zeros(max(source.values()) + 1, np.uint8)
    for name, number in source.items():
        table[number] = target.get(name, 0)
    return table[labels.astype(np.intp)]
