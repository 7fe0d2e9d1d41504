"""The section that trains a model on local cases, and follows runs, whoever started them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui.packages import ensurePackages
from CardiacSegLib.gui.requirements import TRAIN, missingPackages
from CardiacSegLib.gui.run_status import runStatus
from CardiacSegLib.gui.scene_pairs import ScenePairs
from CardiacSegLib.gui.section import Section, currentData, fillComboBox, showStatus
from CardiacSegLib.inference.devices import DEVICES
from CardiacSegLib.jobs.commands import EngineCommand
from CardiacSegLib.jobs.runs import TrainingRun, find_runs
from CardiacSegLib.models.library import import_model, own_model_folder
from CardiacSegLib.mrml.cases import export_cases
from CardiacSegLib.mrml.plots import fill_curves
from CardiacSegLib.networks import NETWORKS
from CardiacSegLib.training.choices import LOSSES, OPTIMIZERS
from CardiacSegLib.training.recipes import DEFAULT_RECIPE, list_recipes

#: Curves need no more; each look reads only what a run has written since the last one.
_POLL_INTERVAL_MS = 250
_PICTURE_WIDTH = 420
_RUNS_FOLDER_SETTING = "CardiacSeg/RunsFolder"
_GOES_ON = ("starting", "running", "stopping")
_AS_RECIPE = ""


class TrainSection(Section):
    """Cases, recipe and name; Train; and below it the runs of a folder.

    Args:
        uiFile: Train.ui.
        onModelAdded: called with the name of a model that came into the library.
    """

    def __init__(self, uiFile: str, onModelAdded: Callable[[str], None]) -> None:
        super().__init__(uiFile)
        self._onModelAdded = onModelAdded
        self._examination: EngineCommand | None = None
        self._obstacle = ""
        self._run: TrainingRun | None = None
        self._chart: Any = None
        self._shown: dict[str, Any] = {}
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_INTERVAL_MS)
        self._timer.connect("timeout()", self.onTimer)
        self._pairs = ScenePairs(self.ui.pairsTable, self._showPairs)
        self._showPairs()
        self._fillChoices()
        for text in (self.ui.datasetReport, self.ui.logText):
            text.setFont(qt.QFontDatabase.systemFont(qt.QFontDatabase.FixedFont))
        self._summarize("")
        self.ui.runsPathLineEdit.currentPath = str(qt.QSettings().value(_RUNS_FOLDER_SETTING) or _ownRunsFolder())
        self.ui.datasetPathLineEdit.connect("currentPathChanged(QString)", self.onDatasetChanged)
        self.ui.labelsLineEdit.connect("editingFinished()", self.onDatasetChanged)
        self.ui.runsPathLineEdit.connect("currentPathChanged(QString)", self.onRunsFolderChanged)
        self.ui.recipeComboBox.connect("currentIndexChanged(int)", self.onRecipeChanged)
        self.ui.runComboBox.connect("currentIndexChanged(int)", self.onRunChanged)
        self.ui.nameLineEdit.connect("textChanged(QString)", self.update)
        self.connectButtons(
            (self.ui.sceneButton, self.onSceneButton),
            (self.ui.usePairsButton, self.onUsePairsButton),
            (self.ui.trainButton, self.onTrainButton),
            (self.ui.stopButton, self.onStopButton),
            (self.ui.resumeButton, self.onResumeButton),
            (self.ui.curvesButton, self.onCurvesButton),
            (self.ui.useModelButton, self.onUseModelButton),
            (self.ui.openRunButton, self.onOpenRunButton),
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
        """Find the runs that there are, also those that an earlier session of Slicer started."""
        self.listRuns()
        self._timer.start()

    def exit(self) -> None:
        """Look no more; the runs go on."""
        self._timer.stop()

    def close(self) -> None:
        """Leave the runs alone, and end what only this panel waits for."""
        self._timer.stop()
        if self._examination is not None:
            self._examination.close()
            self._examination = None

    # What is trained on

    def onDatasetChanged(self, path: str = "") -> None:
        """Examine the folder in a process of its own; the timer shows what it finds."""
        if self._examination is not None:
            self._examination.close()
            self._examination = None
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

    def _followExamination(self) -> None:
        examination = self._examination
        if examination is None:
            return
        for event in examination.poll():
            if event["event"] == "progress":
                self._summarize(_("Looking at the cases: {share:.0%}").format(share=event["fraction"]))
        if examination.is_running:
            return
        self._showExamination(examination.result, examination.error)
        examination.close()
        self._examination = None
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
        self._showRun()

    def _whyNot(self) -> str:
        if not self.ui.datasetPathLineEdit.currentPath.strip():
            return _("Choose the folder with the labeled cases first")
        if self._obstacle:
            return self._obstacle
        if not re.fullmatch(r"[\w.-]+", self._name()):
            return _("Give the model a name of letters, digits, points and hyphens")
        if (self._runsFolder() / self._name()).exists():
            return _("There is a run of this name already; give another")
        return ""

    # Runs

    def _runsFolder(self) -> Path:
        return Path(self.ui.runsPathLineEdit.currentPath.strip() or _ownRunsFolder())

    def onRunsFolderChanged(self, path: str = "") -> None:
        """Show the runs of another folder, now and the next time."""
        qt.QSettings().setValue(_RUNS_FOLDER_SETTING, str(self._runsFolder()))
        self.listRuns()

    def listRuns(self, selected: Path | None = None) -> None:
        """Fill the list of runs anew."""
        folder = selected or (self._run.folder if self._run else None)
        items = [(run.name, str(run.folder)) for run in find_runs(self._runsFolder())]
        fillComboBox(self.ui.runComboBox, items, str(folder))
        self.onRunChanged()

    def onRunChanged(self, index: int = -1) -> None:
        """Follow another run."""
        folder = currentData(self.ui.runComboBox)
        if folder is None:
            self._run = None
        elif self._run is None or str(self._run.folder) != folder:
            self._run = TrainingRun(Path(folder))
            self._run.poll()
            self._shown = {}
        self.update()

    def onTrainButton(self) -> None:
        """Start a run and follow it."""
        try:
            ensurePackages(TRAIN)
            run = TrainingRun.start(self.arguments(), self._runsFolder() / self._name())
        except CardiacSegError as error:
            showStatus(self.ui.trainStatusLabel, str(error), isError=True)
            return
        showStatus(self.ui.trainStatusLabel, _("{name} goes on also when Slicer is closed").format(name=run.name))
        self._run, self._shown = run, {}
        self.listRuns(run.folder)
        self._timer.start()

    def onStopButton(self) -> None:
        """Ask the run to save and end; one that is asked already is ended at once."""
        try:
            if self._run.state == "stopping":
                self._run.kill()
            else:
                self._run.stop()
        except CardiacSegError as error:  # it is at work on another computer
            showStatus(self.ui.trainStatusLabel, str(error), isError=True)
        self.update()

    def onResumeButton(self) -> None:
        """Go on with a run that was stopped or broke off."""
        try:
            ensurePackages(TRAIN)
            self._run.resume()
        except CardiacSegError as error:
            showStatus(self.ui.trainStatusLabel, str(error), isError=True)
        self._timer.start()
        self.update()

    def onCurvesButton(self) -> None:
        """Show loss and Dice of the run in a plot view, where they grow with it."""
        self._drawCurves(self._run.history())
        slicer.modules.plots.logic().ShowChartInLayout(self._chart)

    def onUseModelButton(self) -> None:
        """Copy the run's bundle into the library."""
        try:
            model = import_model(self._run.bundle, self._run.name)
        except CardiacSegError as error:
            showStatus(self.ui.trainStatusLabel, str(error), isError=True)
            return
        showStatus(self.ui.trainStatusLabel, _("{name} is among the models now").format(name=model.name))
        self._onModelAdded(model.name)

    def onOpenRunButton(self) -> None:
        """Show the run's folder in the file manager."""
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._run.folder)))

    def onTimer(self) -> None:
        """Look at what the processes have written since the last time."""
        self._followExamination()
        if self._run is not None:
            self._run.poll()
            self._showRun()

    def _showRun(self) -> None:
        run, ui = self._run, self.ui
        ui.runGroupBox.visible = ui.runComboBox.count > 0
        if run is None:
            return
        state = run.state
        goesOn = state in _GOES_ON
        ui.stopButton.enabled = goesOn
        ui.stopButton.text = _("Stop now") if state == "stopping" else _("Stop")
        ui.resumeButton.enabled = state in ("stopped", "failed", "interrupted")
        ui.useModelButton.enabled = run.bundle is not None
        ui.runProgressBar.setValue(round(100 * (run.fraction or 0.0)))
        self._whenNew("status", runStatus(run, state), lambda text: showStatus(ui.runStatusLabel, text))
        ui.runStatusLabel.setStyleSheet("color: #d03030" if state in ("failed", "interrupted") else "")
        self._whenNew("log", run.log_tail(), self._showLog)
        self._whenNew("picture", run.latest_picture, self._showPicture)
        rows = run.history()
        ui.curvesButton.enabled = bool(rows)
        if self._chart is not None:
            self._drawCurves(rows)

    def _whenNew(self, name: str, value: Any, show: Callable[[Any], None]) -> None:
        """Touch a widget only where it would look different, so that what a person has selected or scrolled stays."""
        if name not in self._shown or self._shown[name] != value:
            self._shown[name] = value
            show(value)

    def _showLog(self, text: str) -> None:
        self.ui.logText.setPlainText(text)
        bar = self.ui.logText.verticalScrollBar()
        bar.setValue(bar.maximum)

    def _showPicture(self, path: Path | None) -> None:
        pixmap = qt.QPixmap(str(path)) if path else qt.QPixmap()
        if not pixmap.isNull():
            pixmap = pixmap.scaledToWidth(_PICTURE_WIDTH, qt.Qt.SmoothTransformation)
        self.ui.runPictureLabel.setPixmap(pixmap)
        self.ui.runPictureLabel.visible = not pixmap.isNull()

    def _drawCurves(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Bring the chart up to date; it is made when the person asks for it."""
        key = (str(self._run.folder), len(rows))
        if rows and self._shown.get("rows") != key:
            self._shown["rows"] = key
            columns = ["loss", *(name for name in rows[0] if name.startswith("dice_"))]
            title = _("Training of {name}").format(name=self._run.name)
            self._chart = fill_curves(slicer.mrmlScene, rows, "step", columns, title, "", self._chart)

    def onSceneClosed(self) -> None:
        """The chart and the pairs went with the scene; the runs go on."""
        self._pairs.forget()
        self.ui.sceneButton.checked = False
        self._showPairs()
        self._chart = None
        self._shown.pop("rows", None)


def _ownRunsFolder() -> Path:
    """Where a person's runs are who has not chosen another folder."""
    return own_model_folder().parent / "runs"
