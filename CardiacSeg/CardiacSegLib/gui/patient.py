"""What a person typed about the patient and the heartbeat, as measures need it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from CardiacSegLib.clinical.body import BSA_FORMULAS, Subject
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.studies import Person

#: Field of a subject, parameter of the panel, and what the number is to be given in.
_NUMBERS = (("height_cm", "height", "cm"), ("weight_kg", "weight", "kg"), ("age_years", "age", _("years")))


def readPerson(parameterNode: Any) -> tuple[Person, list[str]]:
    """The person of the panel's fields, and a line for each field that cannot be.

    A field that is empty or wrong is unknown: it is never taken for zero, and keeps no other from being used.
    """
    fields: dict[str, Any] = {"bsa_formula": parameterNode.bsaFormula or next(iter(BSA_FORMULAS))}
    problems = []
    for field, name, unit in _NUMBERS:
        value, problem = _read(name, getattr(parameterNode, name), unit, lambda number, field=field: {field: number})
        problems += problem
        fields[field] = value
    if parameterNode.sex:
        fields["sex"] = parameterNode.sex
    rate, problem = _read(_("heart rate"), parameterNode.heartRate, _("beats per minute"), lambda number: {})
    return Person(Subject(**fields), rate), problems + problem


def _read(
    name: str, text: str, unit: str, fieldsOf: Callable[[float], dict[str, Any]]
) -> tuple[float | None, list[str]]:
    """A number that a person typed, with a decimal point or comma; None, and why, where it cannot be used."""
    text = text.strip()
    if not text:
        return None, []
    try:
        number = float(text.replace(",", "."))
        if not math.isfinite(number):
            raise ValueError
        Subject(**fieldsOf(number))
    except CardiacSegError as error:
        return None, [str(error)]
    except ValueError:
        return None, [_("{name} '{text}' is not a number; give it in {unit}").format(name=name, text=text, unit=unit)]
    return number, []
