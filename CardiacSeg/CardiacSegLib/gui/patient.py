"""What a person typed about the patient and the heartbeat, as measures need it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from CardiacSegLib.clinical.body import BSA_FORMULAS, Subject
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui.section import currentData, fillComboBox
from CardiacSegLib.mrml.studies import Person

if TYPE_CHECKING:
    from CardiacSegLib.clinical.study import StudyMeasures

#: Field of a subject, parameter of the panel, and what the number is to be given in.
_NUMBERS = (("height_cm", "height", "cm"), ("weight_kg", "weight", "kg"), ("age_years", "age", _("years")))


class PatientFields:
    """The fields of the patient; those of numbers are bound to their parameters in the .ui file, the lists here.

    Args:
        ui: widgets of Results.ui.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameterNode: Any = None
        fillComboBox(ui.sexComboBox, [(_("Unknown"), ""), (_("Female"), "female"), (_("Male"), "male")])
        fillComboBox(ui.bsaComboBox, [("Mosteller", "mosteller"), ("Du Bois", "dubois")])
        ui.sexComboBox.connect("activated(int)", self.onListChosen)
        ui.bsaComboBox.connect("activated(int)", self.onListChosen)

    def setParameterNode(self, parameterNode: Any) -> None:
        """Show what is known in another scene, or in none."""
        self._parameterNode = parameterNode
        if parameterNode is not None:
            chosen = ((self._ui.sexComboBox, parameterNode.sex), (self._ui.bsaComboBox, parameterNode.bsaFormula))
            for comboBox, data in chosen:
                comboBox.setCurrentIndex(max(0, comboBox.findData(data)))

    def onListChosen(self, index: int = -1) -> None:
        """The person chose the sex or the formula; these lists say it in words."""
        if self._parameterNode is not None:
            self._parameterNode.sex = currentData(self._ui.sexComboBox)
            self._parameterNode.bsaFormula = currentData(self._ui.bsaComboBox)

    def showStudy(self, study: StudyMeasures | None) -> None:
        """Tell what follows from the fields, or stands for one that is empty."""
        surface = study.subject.bsa_m2 if study is not None else None
        self._ui.bsaLabel.text = "" if surface is None else f"{surface:.2f} m²"
        typed = self._parameterNode.heartRate.strip() if self._parameterNode is not None else ""
        rate = study.heart_rate if study is not None and not typed else None
        self._ui.heartRateLineEdit.placeholderText = (
            _("unknown") if rate is None else _("{rate:.0f}, from the times of the frames").format(rate=rate)
        )


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
