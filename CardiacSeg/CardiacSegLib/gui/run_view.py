"""The runs of a folder in the panel: which there are, how the chosen one stands, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui.packages import ensurePackages
from CardiacSegLib.gui.requirements import TRAIN
from CardiacSegLib.gui.run_status import runStatus
from CardiacSegLib.gui.section import connectButtons, currentData, fillComboBox, makeTimer, openInDesktop, showStatus
from CardiacSegLib.jobs.runs import GOES_ON, TrainingRun, find_runs
from CardiacSegLib.models.library import import_model, own_model_folder
from CardiacSegLib.mrml.plots import fill_curves

#: Curves need no more; each look reads only what a run has written since the last one.
_POLL_INTERVAL_MS = 250
_PICTURE_WIDTH = 420
_RUNS_FOLDER_SETTING = "CardiacSeg/RunsFolder"


class RunView:
    """The widgets of the section Train that follow a run, whoever started it.

    Args:
        ui: widgets of Train.ui.
        onModelAdded: called with the name of a model that came into the library.
        onChanged: called when another folder or another run was chosen, or the run was asked for something.

    Attributes:
        run: the one that is followed; None where the folder has none.
        chart: its curves; None until a person asks for them.
    """

    def __init__(self, ui: Any, onModelAdded: Callable[[str], None], onChanged: Callable[[], None]) -> None:
        self._ui, self._onModelAdded, self._onChanged = ui, onModelAdded, onChanged
        self.run: TrainingRun | None = None
        self.chart: Any = None
        self._shown: dict[str, Any] = {}
        self._timer = makeTimer(_POLL_INTERVAL_MS, self.onTimer)
        ui.logText.setFont(qt.QFontDatabase.systemFont(qt.QFontDatabase.FixedFont))
        ui.runsPathLineEdit.currentPath = str(qt.QSettings().value(_RUNS_FOLDER_SETTING) or _ownRunsFolder())
        ui.runsPathLineEdit.connect("currentPathChanged(QString)", self.onRunsFolderChanged)
        ui.runComboBox.connect("currentIndexChanged(int)", self.onRunChanged)
        connectButtons(
            (ui.stopButton, self.onStopButton),
            (ui.resumeButton, self.onResumeButton),
            (ui.curvesButton, self.onCurvesButton),
            (ui.useModelButton, self.onUseModelButton),
            (ui.openRunButton, self.onOpenRunButton),
        )

    def enter(self) -> None:
        """Find the runs that there are, also those that an earlier session of Slicer started."""
        self.listRuns()
        self._timer.start()

    def exit(self) -> None:
        """Look no more; the runs go on."""
        self._timer.stop()

    @property
    def folder(self) -> Path:
        """Where the runs are."""
        return Path(self._ui.runsPathLineEdit.currentPath.strip() or _ownRunsFolder())

    def onRunsFolderChanged(self, path: str = "") -> None:
        """Show the runs of another folder, now and the next time."""
        qt.QSettings().setValue(_RUNS_FOLDER_SETTING, str(self.folder))
        self.listRuns()

    def listRuns(self, selected: Path | None = None) -> None:
        """Fill the list of runs anew."""
        folder = selected or (self.run.folder if self.run else None)
        items = [(run.name, str(run.folder)) for run in find_runs(self.folder)]
        fillComboBox(self._ui.runComboBox, items, str(folder))
        self.onRunChanged()

    def onRunChanged(self, index: int = -1) -> None:
        """Follow another run."""
        folder = currentData(self._ui.runComboBox)
        if folder is None:
            self.run = None
        elif self.run is None or str(self.run.folder) != folder:
            self.run = TrainingRun(Path(folder))
            self.run.poll()
            self._shown = {}
        self._onChanged()

    def follow(self, run: TrainingRun) -> None:
        """Follow a run that was just started."""
        self.run, self._shown = run, {}
        self.listRuns(run.folder)
        self._timer.start()

    # Buttons

    def onStopButton(self) -> None:
        """Ask the run to save and end; one that is asked already is ended at once."""
        self._try(self.run.kill if self.run.state == "stopping" else self.run.stop)
        self._onChanged()

    def onResumeButton(self) -> None:
        """Go on with a run that was stopped or broke off."""
        self._try(self._resume)
        self._timer.start()
        self._onChanged()

    def _resume(self) -> None:
        ensurePackages(TRAIN)
        self.run.resume()

    def onCurvesButton(self) -> None:
        """Show loss and Dice of the run in a plot view, where they grow with it."""
        self._drawCurves(self.run.history())
        slicer.modules.plots.logic().ShowChartInLayout(self.chart)

    def onUseModelButton(self) -> None:
        """Copy the run's bundle into the library."""
        self._try(self._useModel)

    def _useModel(self) -> None:
        model = import_model(self.run.bundle, self.run.name)
        showStatus(self._ui.trainStatusLabel, _("{name} is among the models now").format(name=model.name))
        self._onModelAdded(model.name)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except CardiacSegError as error:
            showStatus(self._ui.trainStatusLabel, str(error), isError=True)

    def onOpenRunButton(self) -> None:
        """Show the run's folder in the file manager."""
        openInDesktop(self.run.folder)

    # What is shown

    def onTimer(self) -> None:
        """Look at what the process of the run has written since the last time."""
        if self.run is not None:
            self.run.poll()
            self.show()

    def show(self) -> None:
        """Show how the run stands, and what can be done with it now."""
        run, ui = self.run, self._ui
        ui.runGroupBox.visible = ui.runComboBox.count > 0
        if run is None:
            return
        state = run.state
        ui.stopButton.enabled = state in GOES_ON
        ui.stopButton.text = _("Stop now") if state == "stopping" else _("Stop")
        ui.resumeButton.enabled = state in ("stopped", "failed", "interrupted")
        ui.useModelButton.enabled = run.bundle is not None
        ui.runProgressBar.setValue(round(100 * (run.fraction or 0.0)))
        line = runStatus(run, state), state in ("failed", "interrupted")
        self._whenNew("status", line, lambda line: showStatus(ui.runStatusLabel, *line))
        self._whenNew("log", run.log_tail(), self._showLog)
        self._whenNew("picture", run.latest_picture, self._showPicture)
        rows = run.history()
        ui.curvesButton.enabled = bool(rows)
        if self.chart is not None:
            self._drawCurves(rows)

    def _whenNew(self, name: str, value: Any, show: Callable[[Any], None]) -> None:
        """Touch a widget only where it would look different, so that what a person has selected or scrolled stays."""
        if name not in self._shown or self._shown[name] != value:
            self._shown[name] = value
            show(value)

    def _showLog(self, text: str) -> None:
        self._ui.logText.setPlainText(text)
        bar = self._ui.logText.verticalScrollBar()
        bar.setValue(bar.maximum)

    def _showPicture(self, path: Path | None) -> None:
        pixmap = qt.QPixmap(str(path)) if path else qt.QPixmap()
        if not pixmap.isNull():
            pixmap = pixmap.scaledToWidth(_PICTURE_WIDTH, qt.Qt.SmoothTransformation)
        self._ui.runPictureLabel.setPixmap(pixmap)
        self._ui.runPictureLabel.visible = not pixmap.isNull()

    def _drawCurves(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Bring the chart up to date; it is made when the person asks for it."""
        key = (str(self.run.folder), len(rows))
        if rows and self._shown.get("rows") != key:
            self._shown["rows"] = key
            columns = ["loss", *(name for name in rows[0] if name.startswith("dice_"))]
            title = _("Training of {name}").format(name=self.run.name)
            self.chart = fill_curves(slicer.mrmlScene, rows, "step", columns, title, "", self.chart)

    def onSceneClosed(self) -> None:
        """The chart went with the scene; the runs go on."""
        self.chart = None
        self._shown.pop("rows", None)


def _ownRunsFolder() -> Path:
    """Where a person's runs are who has not chosen another folder."""
    return own_model_folder().parent / "runs"
