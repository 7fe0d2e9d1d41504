"""The section that trains a model on local cases, and follows runs, whoever started them (:mod:`.run_view`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui.packages import ensurePackages
from CardiacSegLib.gui.requirements import TRAIN, missingPackages
from CardiacSegLib.gui.run_view import RunView
from CardiacSegLib.gui.scene_pairs import ScenePairs
from CardiacSegLib.gui.section import (
    POLL_INTERVAL_MS,
    Section,
    connectButtons,
    currentData,
    fillComboBox,
    makeTimer,
    showStatus,
)
from CardiacSegLib.inference.devices import DEVICES
from CardiacSegLib.jobs.commands import EngineCommand
from CardiacSegLib.jobs.runs import TrainingRun
from CardiacSegLib.mrml.cases import export_cases
from CardiacSegLib.networks import NETWORKS
from CardiacSegLib.training.choices import LOSSES, OPTIMIZERS
from CardiacSegLib.training.recipes import DEFAULT_RECIPE, list_recipes

_AS_RECIPE = ""


class TrainSection(Section):
    """Cases, recipe and name; Train; and below it the runs of a folder.

    Args:
        uiFile: Train.ui.
        onModelAdded: called with the name of a model that came into the library.
    """

    def __init__(self, uiFile: str, onModelAdded: Callable[[str], None]) -> None:
        super().__init__(uiFile)
        self._examination: EngineCommand | None = None
        self._obstacle = ""
        self._timer = makeTimer(POLL_INTERVAL_MS, self.onTimer)
        self.runs = RunView(self.ui, onModelAdded, self.update)
        self._pairs = ScenePairs(self.ui.pairsTable, self._showPairs)
        self._showPairs()
        self._fillChoices()
        self.ui.datasetReport.setFont(qt.QFontDatabase.systemFont(qt.QFontDatabase.FixedFont))
        self._summarize("")
        self.ui.datasetPathLineEdit.connect("currentPathChanged(QString)", self.onDatasetChanged)
        self.ui.labelsLineEdit.connect("editingFinished()", self.onDatasetChanged)
        self.ui.recipeComboBox.connect("currentIndexChanged(int)", self.onRecipeChanged)
        self.ui.nameLineEdit.connect("textChanged(QString)", self.update)
        connectButtons(
            (self.ui.sceneButton, self.onSceneButton),
            (self.ui.usePairsButton, self.onUsePairsButton),
            (self.ui.trainButton, self.onTrainButton),
        )
        self.onRecipeChanged()

    def _fillChoices(self) -> None:
        recipes = list_recipes()
        fillComboBox(self.ui.recipeComboBox, [(recipe.name, recipe.name) for recipe in recipes], DEFAULT_RECIPE)
        for index, recipe in enumerate(recipes):
            self.ui.recipeComboBox.setItemData(index, recipe.line, qt.Qt.ToolTipRole)
        lines = {name: entry.line for name, entry in NETWORKS.items()}
        for comboBox, choices in (
            (self.ui.networkComboBox, lines),
            (self.ui.lossComboBox, LOSSES),
            (self.ui.optimizerComboBox, OPTIMIZERS),
        ):
            fillComboBox(comboBox, [(_("As the recipe says"), _AS_RECIPE), *((name, name) for name in choices)])
            for index, line in enumerate(choices.values(), 1):
                comboBox.setItemData(index, line, qt.Qt.ToolTipRole)
        fillComboBox(self.ui.trainDeviceComboBox, [(name, name) for name in DEVICES])

    def enter(self) -> None:
        """Follow the runs."""
        self.runs.enter()

    def exit(self) -> None:
        """Follow them no more; they go on."""
        self.runs.exit()

    def close(self) -> None:
        """Leave the runs alone, and end what only this panel waits for."""
        self.runs.exit()
        self._endExamination()

    def _endExamination(self) -> None:
        self._timer.stop()
        if self._examination is not None:
            self._examination.close()
            self._examination = None

    # What is trained on

    def onDatasetChanged(self, path: str = "") -> None:
        """Examine the folder in a process of its own; the timer shows what it finds."""
        self._endExamination()
        self._obstacle = ""
        self.ui.datasetReport.visible = False
        chosen = self.ui.datasetPathLineEdit.currentPath.strip()
        if not chosen:
            self._summarize("")
        elif missingPackages(TRAIN):
            self._summarize(_("Press Train to install what is needed to read it."))
        else:
            labels = self.ui.labelsLineEdit.text.strip()
            self._examination = EngineCommand.start(["dataset", chosen, *(["--labels", labels] if labels else [])])
            self._summarize(_("Looking at the cases"))
            self._timer.start()
        self.update()

    def onTimer(self) -> None:
        """Show what the examination has found since the last time."""
        examination = self._examination
        for event in examination.poll():
            if event["event"] == "progress":
                self._summarize(_("Looking at the cases: {share:.0%}").format(share=event["fraction"]))
        if examination.is_running:
            return
        self._showExamination(examination.result, examination.error)
        self._endExamination()
        self.update()

    def _showExamination(self, found: Mapping[str, Any] | None, error: str | None) -> None:
        if found is None:
            self._obstacle = error or _("It cannot be read")
            self._summarize(self._obstacle, isError=True)
            return
        self._obstacle = found["obstacle"]
        summary = _("{patients} patients, {cases} cases with {structures}").format(
            patients=found["patients"], cases=found["cases"], structures=", ".join(found["structures"])
        )
        self._summarize("; ".join(filter(None, (summary, self._obstacle))), isError=bool(self._obstacle))
        self.ui.datasetReport.setPlainText(found["text"])
        self.ui.datasetReport.visible = True

    def _summarize(self, text: str, isError: bool = False) -> None:
        self.ui.datasetSummaryLabel.visible = bool(text)
        showStatus(self.ui.datasetSummaryLabel, text, isError)

    def onSceneButton(self) -> None:
        """Show which volumes and segmentations of the scene can be taken, or hide them."""
        self._pairs.listPairs()
        self._showPairs()

    def _showPairs(self) -> None:
        ui, chosen = self.ui, self._pairs.chosen()
        ui.pairsWidget.visible = ui.sceneButton.checked
        ui.usePairsButton.enabled = bool(chosen)
        ui.usePairsButton.toolTip = (
            _("Write {count} of the pairs as cases, and take that folder").format(count=len(chosen))
            if chosen
            else _("Segment a volume of this scene, or check a pair, first")
        )

    def onUsePairsButton(self) -> None:
        """Write the volumes and segmentations that are checked as cases, and take these."""
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Folder for the cases of this scene"), self.ui.runsPathLineEdit.currentPath
        )
        if not folder:
            return
        left: list[str] = []
        try:
            ensurePackages(TRAIN)
            with slicer.util.WaitCursor():
                cases = export_cases(slicer.mrmlScene, self._pairs.chosen(), Path(folder), tell=left.append)
        except CardiacSegError as error:
            showStatus(self.ui.trainStatusLabel, str(error), isError=True)
            return
        showStatus(self.ui.trainStatusLabel, "; ".join(left))
        self.ui.datasetPathLineEdit.currentPath = str(cases)
        self.ui.sceneButton.checked = False
        self._showPairs()

    def onRecipeChanged(self, index: int = -1) -> None:
        """Show the line of the recipe where the mouse rests."""
        name = currentData(self.ui.recipeComboBox)
        line = next((recipe.line for recipe in list_recipes() if recipe.name == name), "")
        self.ui.recipeComboBox.toolTip = line

    def arguments(self) -> list[str]:
        """What ``cardiacseg train`` is asked for, without its output."""
        ui = self.ui
        minutes = ui.minutesSpinBox.value
        options = {
            "dataset": ui.datasetPathLineEdit.currentPath.strip(),
            "labels": ui.labelsLineEdit.text.strip(),
            "recipe": currentData(ui.recipeComboBox),
            "name": self._name(),
            "minutes": minutes,
            "epochs": "" if minutes else ui.epochsSpinBox.value,
            "network": currentData(ui.networkComboBox),
            "loss": currentData(ui.lossComboBox),
            "optimizer": currentData(ui.optimizerComboBox),
            "folds": ui.foldsSpinBox.value,
            "fold": ui.foldSpinBox.value,
            "device": currentData(ui.trainDeviceComboBox),
        }
        return [part for name, value in options.items() if value != "" for part in (f"--{name}", str(value))]

    def _name(self) -> str:
        return self.ui.nameLineEdit.text.strip()

    def update(self, *_unused: Any) -> None:
        """Say whether Train can be pressed, and if not, why."""
        reason = self._whyNot()
        self.ui.trainButton.enabled = not reason
        self.ui.trainButton.toolTip = reason or _("Start a run")
        self.runs.show()

    def _whyNot(self) -> str:
        if not self.ui.datasetPathLineEdit.currentPath.strip():
            return _("Choose the folder with the labeled cases first")
        if self._obstacle:
            return self._obstacle
        if not re.fullmatch(r"[\w.-]+", self._name()):
            return _("Give the model a name of letters, digits, points and hyphens")
        if (self.runs.folder / self._name()).exists():
            return _("There is a run of this name already; give another")
        return ""

    def onTrainButton(self) -> None:
        """Start a run and follow it."""
        try:
            ensurePackages(TRAIN)
            run = TrainingRun.start(self.arguments(), self.runs.folder / self._name())
        except CardiacSegError as error:
            showStatus(self.ui.trainStatusLabel, str(error), isError=True)
            return
        showStatus(self.ui.trainStatusLabel, _("{name} goes on also when Slicer is closed").format(name=run.name))
        self.runs.follow(run)

    def onSceneClosed(self) -> None:
        """The chart and the pairs went with the scene; the runs go on."""
        self._pairs.forget()
        self.ui.sceneButton.checked = False
        self._showPairs()
        self.runs.onSceneClosed()
