"""The person a study is of, as far as measures need it: no name, no identifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from CardiacSegLib.errors import CardiacSegError

#: Whom a formula was made for ends well before these; beyond them a number was typed in another unit.
_HEIGHT_CM = (30.0, 250.0)
_WEIGHT_KG = (1.0, 400.0)
_AGE_YEARS = (0.0, 120.0)

SEXES = ("female", "male")


def mosteller(height_cm: float, weight_kg: float) -> float:
    """Body surface area, m²: the root of height times weight over 3600.

    R. D. Mosteller, "Simplified calculation of body-surface area", N Engl J Med 317:1098 (1987).
    """
    return math.sqrt(height_cm * weight_kg / 3600.0)


def dubois(height_cm: float, weight_kg: float) -> float:
    """Body surface area, m²: 0.007184 times height to the 0.725 times weight to the 0.425.

    D. Du Bois and E. F. Du Bois, "A formula to estimate the approximate surface area if height and weight be known",
    Arch Intern Med 17:863-871 (1916).
    """
    return 0.007184 * height_cm**0.725 * weight_kg**0.425


#: Formulas for the body surface area by the name that a person chooses.
BSA_FORMULAS: Mapping[str, Callable[[float, float], float]] = {"mosteller": mosteller, "dubois": dubois}


@dataclass(frozen=True)
class Subject:
    """What is known of the person.

    Attributes:
        height_cm, weight_kg: both are needed to index measures by the body surface area.
        sex: "female" or "male", for the normal ranges; None where it is not known.
        age_years: for the normal ranges; None where it is not known.
        bsa_formula: "mosteller" or "dubois".

    Raises:
        CardiacSegError: naming the field that cannot be.
    """

    height_cm: float | None = None
    weight_kg: float | None = None
    sex: str | None = None
    age_years: float | None = None
    bsa_formula: str = "mosteller"

    def __post_init__(self) -> None:
        _check("height", self.height_cm, _HEIGHT_CM, "cm")
        _check("weight", self.weight_kg, _WEIGHT_KG, "kg")
        _check("age", self.age_years, _AGE_YEARS, "years")
        if self.sex is not None and self.sex not in SEXES:
            raise CardiacSegError(f"sex '{self.sex}' is not known; give {' or '.join(SEXES)}, or leave it out")
        if self.bsa_formula not in BSA_FORMULAS:
            known = ", ".join(BSA_FORMULAS)
            raise CardiacSegError(f"body surface area by '{self.bsa_formula}' is not known; choose from {known}")

    @property
    def bsa_m2(self) -> float | None:
        """Body surface area, m²; None where height or weight is not known."""
        if self.height_cm is None or self.weight_kg is None:
            return None
        return BSA_FORMULAS[self.bsa_formula](self.height_cm, self.weight_kg)


def _check(name: str, value: float | None, limits: tuple[float, float], unit: str) -> None:
    if value is not None and not limits[0] <= value <= limits[1]:
        raise CardiacSegError(
            f"{name} {value:g} is not between {limits[0]:g} and {limits[1]:g} {unit}; give it in {unit}"
        )
