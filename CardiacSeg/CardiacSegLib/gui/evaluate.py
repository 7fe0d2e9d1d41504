"""The section that compares a model with reference labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CardiacSegLib.bundles import find_bundle, list_models
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.summary import read_summary
from CardiacSegLib.evaluation.tables import REPORT, SUMMARY, TABLE, CaseRow, read_cases
from CardiacSegLib.gui.packages import ensurePackages
from CardiacSegLib.gui.requirements import TRAIN
from CardiacSegLib.gui.section import (
    POLL_INTERVAL_MS,
    Section,
    connectButtons,
    currentData,
    fillComboBox,
    fillTableRow,
    makeTimer,
    openInDesktop,
    prepareTable,
    showStatus,
)
from CardiacSegLib.jobs.commands import EngineCommand
from CardiacSegLib.models.library import own_model_folder
from CardiacSegLib.mrml.comparison import Comparison, add_comparison


class EvaluateSection(Section):
    """Cases and a model; the table of all cases, the worst first, each a click away from being seen.

    Args:
        uiFile: Evaluate.ui.
    """

    def __init__(self, uiFile: str) -> None:
        super().__init__(uiFile)
        self._command: EngineCommand | None = None
        self._output: Path | None = None
        self._rows: list[CaseRow] = []
        self._shown: Comparison | None = None
        self._timer = makeTimer(POLL_INTERVAL_MS, self.onTimer)
        prepareTable(self.ui.casesTable)
        self.ui.evaluationPathLineEdit.currentPath = str(own_model_folder().parent / "evaluation")
        self.listModels()
        for path in (self.ui.casesPathLineEdit, self.ui.evaluationPathLineEdit):
            path.connect("currentPathChanged(QString)", self.update)
        connectButtons(
            (self.ui.evaluateButton, self.onEvaluateButton),
            (self.ui.cancelEvaluationButton, self.onCancelButton),
            (self.ui.reportButton, self.onReportButton),
        )
        self.ui.casesTable.connect("cellClicked(int,int)", self.onCaseClicked)

    def listModels(self) -> None:
        """Fill the list of models anew, after one came or went."""
        models = [(model.name, model.name) for model in list_models()]
        fillComboBox(self.ui.evaluatedModelComboBox, models, currentData(self.ui.evaluatedModelComboBox))
        self.update()

    @property
    def isBusy(self) -> bool:
        """Whether an evaluation is running."""
        return self._command is not None

    def update(self, *_unused: Any) -> None:
        """Say whether Evaluate can be pressed, and if not, why."""
        reason = ""
        if self.isBusy:
            reason = _("An evaluation is running")
        elif not self.ui.casesPathLineEdit.currentPath.strip():
            reason = _("Choose the folder with the labeled cases first")
        elif not self.ui.evaluatedModelComboBox.count:
            reason = _("There is no model; import one in the section Models")
        self.ui.evaluateButton.enabled = not reason
        self.ui.evaluateButton.toolTip = reason or _("Segment all cases and compare")
        self.ui.cancelEvaluationButton.enabled = self.isBusy
        self.ui.evaluationProgressBar.visible = self.isBusy
        self.ui.casesTable.visible = bool(self._rows)
        self.ui.reportButton.visible = not self.isBusy and self._report.is_file()

    @property
    def _report(self) -> Path:
        """The page of the evaluation in the folder that is chosen, there or not."""
        return Path(self.ui.evaluationPathLineEdit.currentPath.strip()) / REPORT

    def onEvaluateButton(self) -> None:
        """Start the evaluation; the timer follows it."""
        self._output = Path(self.ui.evaluationPathLineEdit.currentPath.strip())
        labels = self.ui.caseLabelsLineEdit.text.strip()
        arguments = [
            *("evaluate", "--dataset", self.ui.casesPathLineEdit.currentPath.strip()),
            *("--model", currentData(self.ui.evaluatedModelComboBox), "--output", str(self._output)),
            *(("--labels", labels) if labels else ()),
        ]
        try:
            ensurePackages(TRAIN)
            self._command = EngineCommand.start(arguments)
        except CardiacSegError as error:
            showStatus(self.ui.evaluationStatusLabel, str(error), isError=True)
            return
        self._rows = []
        self.ui.evaluationProgressBar.setValue(0)
        showStatus(self.ui.evaluationStatusLabel, _("Starting"))
        self._timer.start()
        self.update()

    def onCancelButton(self) -> None:
        """End the evaluation at once."""
        self._stop()
        showStatus(self.ui.evaluationStatusLabel, _("Canceled"))

    def onTimer(self) -> None:
        """Show what the process has said since the last time."""
        command = self._command
        for event in command.poll():
            if event["event"] == "stage":
                showStatus(self.ui.evaluationStatusLabel, event["text"])
            elif event["event"] == "progress":
                self.ui.evaluationProgressBar.setValue(round(100 * event["fraction"]))
        if command.is_running:
            return
        error = command.error
        self._stop()
        if error:
            showStatus(self.ui.evaluationStatusLabel, error, isError=True)
        else:
            self._showTable()

    def _stop(self) -> None:
        self._timer.stop()
        if self._command is not None:
            self._command.close()
            self._command = None
        self.update()

    def _showTable(self) -> None:
        self._rows = read_cases(self._output / TABLE)
        structures = list(self._rows[0].dice)
        table = self.ui.casesTable
        headers = [_("Case"), *structures, _("Mean")]
        table.setColumnCount(len(headers))
        table.setHorizontalHeaderLabels(headers)
        table.setRowCount(len(self._rows))
        for number, row in enumerate(self._rows):
            texts = [row.case, *(f"{value:.3f}" for value in (*row.dice.values(), row.mean))]
            fillTableRow(table, number, texts, numbers=range(1, len(texts)))
        table.resizeColumnsToContents()
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        warnings = read_summary(self._output / SUMMARY)["warnings"]
        # What a person has to know before they believe the figures stands before them.
        showStatus(self.ui.evaluationStatusLabel, "\n".join([*warnings, self._summary(structures)]), bool(warnings))
        self.update()

    def _summary(self, structures: Sequence[str]) -> str:
        count = len(self._rows)
        means = [sum(row.dice[name] for row in self._rows) / count for name in structures]
        text = _("{count} cases, mean Dice {mean:.3f}: {each}")
        each = ", ".join(f"{name} {value:.3f}" for name, value in zip(structures, means))
        return text.format(count=count, mean=sum(means) / len(means), each=each)

    def onCaseClicked(self, row: int, column: int = 0) -> None:
        """Show a case; the one that was shown before makes room."""
        convention = find_bundle(currentData(self.ui.evaluatedModelComboBox)).convention
        try:
            with slicer.util.WaitCursor():
                comparison = add_comparison(slicer.mrmlScene, self._output, self._rows[row].case, convention)
        except CardiacSegError as error:
            showStatus(self.ui.evaluationStatusLabel, str(error), isError=True)
            return
        for node in self._shown or ():
            slicer.mrmlScene.RemoveNode(node)
        self._shown = comparison
        slicer.util.setSliceViewerLayers(background=comparison.volume, fit=True)

    def onReportButton(self) -> None:
        """Open the page that the evaluation has written."""
        openInDesktop(self._report.resolve())

    def onSceneClosed(self) -> None:
        """The nodes of the case that was shown went with the scene."""
        self._shown = None

    def close(self) -> None:
        """End a running evaluation."""
        self._stop()
