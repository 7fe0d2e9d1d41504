"""The section that manages models: what is there, and what comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from CardiacSegLib.bundles import Bundle, list_models
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui.card import showCard
from CardiacSegLib.gui.section import Section, connectButtons, fillTableRow, openInDesktop, prepareTable, showStatus
from CardiacSegLib.models.facts import is_shipped, model_facts
from CardiacSegLib.models.library import UntrustedModelError, delete_model, export_model, import_model


class ModelsSection(Section):
    """The list of models; import, export, delete.

    Args:
        uiFile: Models.ui.
        onModelsChanged: called after a model came or went.
    """

    def __init__(self, uiFile: str, onModelsChanged: Callable[[], None]) -> None:
        super().__init__(uiFile)
        self._onModelsChanged = onModelsChanged
        self._models: list[Bundle] = []
        self.ui.modelsTable.horizontalHeader().setStretchLastSection(False)
        self.ui.modelsTable.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        prepareTable(self.ui.modelsTable)
        self.ui.modelLineLabel.textFormat = qt.Qt.PlainText  # what a stranger wrote shows as it is, and loads nothing
        self.ui.modelsTable.connect("itemSelectionChanged()", self.update)
        connectButtons(
            (self.ui.importFolderButton, self.onImportFolderButton),
            (self.ui.importZipButton, self.onImportZipButton),
            (self.ui.exportButton, self.onExportButton),
            (self.ui.modelCardButton, self.onCardButton),
            (self.ui.openModelButton, self.onOpenButton),
            (self.ui.deleteButton, self.onDeleteButton),
        )
        self.listModels()

    def listModels(self, selected: str = "") -> None:
        """Fill the table anew and select a model."""
        table = self.ui.modelsTable
        self._models = list_models()
        table.setRowCount(len(self._models))
        for row, model in enumerate(self._models):
            facts = model_facts(model)
            dice = "–" if facts.mean_dice is None else f"{facts.mean_dice:.3f}"
            texts = (model.name, ", ".join(facts.structures), dice, f"{facts.size_mb:.0f} MB")
            fillTableRow(table, row, texts, numbers=(2, 3))
        table.resizeColumnsToContents()
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        names = [model.name for model in self._models]
        if names:
            table.selectRow(names.index(selected) if selected in names else 0)
        self.update()

    def selected(self) -> Bundle | None:
        """The model of the selected row."""
        row = self.ui.modelsTable.currentRow()
        return self._models[row] if 0 <= row < len(self._models) else None

    def update(self) -> None:
        """Show the line of the selected model, and what can be done with it."""
        model = self.selected()
        for button in (self.ui.exportButton, self.ui.modelCardButton, self.ui.openModelButton):
            button.enabled = model is not None
        self.ui.deleteButton.enabled = model is not None and not is_shipped(model)
        self.ui.modelLineLabel.text = model.description if model else ""

    def onImportFolderButton(self) -> None:
        """Add the bundle in a folder."""
        title = _("Folder of the model")
        self._import(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title))

    def onImportZipButton(self) -> None:
        """Add the bundle in a zip file."""
        self._import(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Model"), "", _("Bundles (*.zip)")))

    def _import(self, path: str) -> None:
        if not path:
            return
        try:
            model = self._importTrusted(Path(path))
        except CardiacSegError as error:
            showStatus(self.ui.modelsStatusLabel, str(error), isError=True)
            return
        if model is not None:
            self._changed(_("{name} is imported").format(name=model.name), model.name)

    def _importTrusted(self, path: Path) -> Bundle | None:
        """Import; a bundle that runs code only after the person, told so plainly, trusts it."""
        try:
            return import_model(path)
        except UntrustedModelError as error:
            question = _(
                "This model comes with code of its own, which can do anything that you can do on this computer:\n\n"
                "{lines}\n\nImport it only if you trust whoever made it. Import it?"
            ).format(lines="\n".join(_firstLines(error.lines)))
            if not slicer.util.confirmYesNoDisplay(question, _("Trust this model?")):
                showStatus(self.ui.modelsStatusLabel, _("Not imported"))
                return None
        return import_model(path, trust_code=True)

    def onExportButton(self) -> None:
        """Write the selected model to a zip file."""
        model = self.selected()
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Export model"), f"{model.name}.zip", _("Bundles (*.zip)")
        )
        if not path:
            return
        try:
            export_model(model, Path(path))
        except CardiacSegError as error:
            showStatus(self.ui.modelsStatusLabel, str(error), isError=True)
            return
        showStatus(self.ui.modelsStatusLabel, _("Written to {path}").format(path=path))

    def onCardButton(self) -> None:
        """Show the card of the selected model."""
        showCard(self.selected().name)

    def onOpenButton(self) -> None:
        """Show the model's folder in the file manager."""
        openInDesktop(self.selected().folder)

    def onDeleteButton(self) -> None:
        """Remove the selected model, after asking."""
        model = self.selected()
        question = _("Remove the model {name} from this computer? This cannot be undone.").format(name=model.name)
        if not slicer.util.confirmYesNoDisplay(question, _("Delete model")):
            return
        try:
            delete_model(model.name)
        except CardiacSegError as error:
            showStatus(self.ui.modelsStatusLabel, str(error), isError=True)
            return
        self._changed(_("{name} is removed").format(name=model.name))

    def _changed(self, text: str, selected: str = "") -> None:
        self.listModels(selected)
        showStatus(self.ui.modelsStatusLabel, text)
        self._onModelsChanged()


_MOST_LINES = 12


def _firstLines(lines: list[str]) -> list[str]:
    """As many as leave the buttons of a dialog on the screen, and how many more there are."""
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], _("and {count} more").format(count=more)] if more > 0 else lines
