"""The section that shows what a segmentation measures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing
from CardiacSegLib.gui.section import Section, currentData, fillComboBox, fillTableRow, prepareTable, showStatus
from CardiacSegLib.mrml.plots import fill_curves
from CardiacSegLib.mrml.results import (
    Measured,
    choose_phases,
    csv_text,
    measure,
    measure_phases,
    measure_sequence,
    rows,
    tab_text,
    volume_curve,
)
from CardiacSegLib.mrml.sequences import sequence_of_proxy, show_frame, shown_frame
from CardiacSegLib.mrml.tables import Row, fill_table_node

#: A person who draws is left in peace for so long before the table follows.
_EDIT_DELAY_MS = 300
_NOBODY_CHOSE = -1


class ResultsSection(Section):
    """Volumes, ejection fraction and mass of the segmentation, as it is now; ED and ES as chosen or as found.

    Phases of a cine are found by the volume of the left ventricle. Segmentations of single volumes are never taken
    together by themselves, for they may be of two patients: the person chooses the one of end-systole.

    Args:
        uiFile: Results.ui.
    """

    def __init__(self, uiFile: str) -> None:
        super().__init__(uiFile)
        self._segmentation: Any = None
        self._observed: list[tuple[Any, int]] = []
        self._measured: list[Measured] = []
        self._nodes: list[Any] = []
        self._rows: list[Row] = []
        self._chart: Any = None
        self._editTimer = qt.QTimer()
        self._editTimer.setSingleShot(True)
        self._editTimer.setInterval(_EDIT_DELAY_MS)
        self._editTimer.connect("timeout()", self.onEdited)
        table = self.ui.resultsTable
        prepareTable(table)
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        self.ui.edComboBox.connect("activated(int)", lambda index: self.onPhaseChosen(self.ui.edComboBox))
        self.ui.esComboBox.connect("activated(int)", lambda index: self.onPhaseChosen(self.ui.esComboBox))
        for button, slot in (
            (self.ui.editButton, self.onEditButton),
            (self.ui.curveButton, self.onCurveButton),
            (self.ui.statisticsButton, self.onStatisticsButton),
            (self.ui.saveButton, self.onSaveButton),
            (self.ui.copyButton, self.onCopyButton),
        ):
            button.connect("clicked(bool)", slot)
        self._showRows()

    def setParameterNode(self, parameterNode: Any) -> None:
        """Show the results of another scene, or none."""
        super().setParameterNode(parameterNode)
        self._follow(parameterNode.segmentation if parameterNode is not None else None)

    def update(self) -> None:
        """Another segmentation may have been chosen."""
        chosen = self.parameterNode.segmentation if self.parameterNode is not None else None
        if chosen is not self._segmentation:
            self._follow(chosen)

    def show(self, segmentationNode: Any) -> None:
        """Measure a result that has just come, and forget what was chosen for the one before."""
        self.parameterNode.edPhase = self.parameterNode.esPhase = _NOBODY_CHOSE
        self._follow(segmentationNode)
        if self._rows:
            self._writeTableNode()

    def close(self) -> None:
        """Look no more."""
        self._follow(None)

    def _follow(self, segmentationNode: Any) -> None:
        """Measure a segmentation, now and after each edit."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []
        self._editTimer.stop()
        self._segmentation = segmentationNode
        if segmentationNode is not None:
            segmentation = segmentationNode.GetSegmentation()
            for event in (
                slicer.vtkSegmentation.SourceRepresentationModified,
                slicer.vtkSegmentation.SegmentAdded,
                slicer.vtkSegmentation.SegmentRemoved,
            ):
                tag = segmentation.AddObserver(event, self._onSegmentationModified)
                self._observed.append((segmentation, tag))
        self._measure()

    def _onSegmentationModified(self, caller: Any, event: Any) -> None:
        self._editTimer.start()

    def _measure(self) -> None:
        """Measure all phases anew."""
        try:
            self._measured, self._nodes = self._phases()
        except CardiacSegError as error:
            self._measured, self._nodes = [], []
            showStatus(self.ui.resultsNoteLabel, str(error), isError=True)
        self._showPhases()

    def _phases(self) -> tuple[list[Measured], list[Any]]:
        if self._segmentation is None or not self._segmentation.GetSegmentation().GetNumberOfSegments():
            return [], []
        sequence = sequence_of_proxy(self._segmentation)
        if sequence is not None:
            return measure_sequence(sequence), []
        others = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        nodes = [self._segmentation, *(node for node in others if self._isCandidate(node))]
        return measure_phases([(node, None) for node in nodes]), nodes

    def _isCandidate(self, node: Any) -> bool:
        """Whether a segmentation may be another phase of the same heart."""
        return (
            node is not self._segmentation
            and sequence_of_proxy(node) is None
            and node.GetSegmentation().GetSegment("LV") is not None
        )

    def onEdited(self) -> None:
        """The person has edited the segmentation, or shows another phase of the cine."""
        sequence = sequence_of_proxy(self._segmentation) if self._segmentation is not None else None
        frame = shown_frame(sequence) if sequence is not None else None
        if frame is None or frame >= len(self._measured):
            self._measure()
            return
        before = self._measured[frame]
        volumes = measure(self._segmentation).volumes_ml
        if volumes != before.volumes_ml:
            self._measured[frame] = replace(before, volumes_ml=volumes)
            self._showPhases()

    # ED and ES

    @property
    def _isCine(self) -> bool:
        return bool(self._measured) and self._measured[0].frame is not None

    def _chosen(self) -> tuple[int | None, int | None]:
        """What the person chose; None where nobody did, or where it is there no more."""
        phases = (self.parameterNode.edPhase, self.parameterNode.esPhase) if self.parameterNode is not None else ()
        count = len(self._measured)
        ed, es = (phase if 0 <= phase < count else None for phase in phases or (_NOBODY_CHOSE, _NOBODY_CHOSE))
        return ed, es

    def _edAndEs(self) -> tuple[int | None, int | None]:
        ed, es = self._chosen()
        if self._isCine:
            return choose_phases(self._measured, ed, es)
        return (0 if self._measured and ed is None else ed), es

    def _showPhases(self) -> None:
        """Fill the combo boxes with the phases, and the table with what they measure."""
        ed, es = self._edAndEs()
        items = [(phase.label, index) for index, phase in enumerate(self._measured)]
        nothing = [] if self._isCine else [(_("none"), _NOBODY_CHOSE)]
        fillComboBox(self.ui.edComboBox, items, ed)
        fillComboBox(self.ui.esComboBox, [*nothing, *items] if items else [], es)
        for widget in (self.ui.edComboBox, self.ui.esComboBox, self.ui.edComboBoxLabel, self.ui.esComboBoxLabel):
            widget.visible = len(items) > 1
        if not self._measured:
            self._rows = []
        elif ed is None or es is None:
            self._rows = rows(self._measured[ed or 0 : (ed or 0) + 1], None, None)
        else:
            self._rows = rows(self._measured, ed, es)
        self._showRows()
        if self._rows and self.parameterNode is not None and self.parameterNode.resultsTable:
            self._writeTableNode()

    def onPhaseChosen(self, comboBox: Any) -> None:
        """The person chose ED or ES by hand; a cine shows that phase."""
        ed, es = currentData(self.ui.edComboBox), currentData(self.ui.esComboBox)
        found = choose_phases(self._measured) if self._isCine else (0, _NOBODY_CHOSE)
        # What is as found stays found: it follows when the segmentation is edited.
        self.parameterNode.edPhase = _NOBODY_CHOSE if ed == found[0] else ed
        self.parameterNode.esPhase = _NOBODY_CHOSE if es == found[1] else es
        self._showPhases()
        sequence = sequence_of_proxy(self._segmentation)
        if sequence is not None:
            show_frame(sequence, ed if comboBox is self.ui.edComboBox else es)

    # The table

    def _showRows(self) -> None:
        hasRows = bool(self._rows)
        self.ui.nothingLabel.visible = not hasRows
        for widget in (self.ui.resultsTable, self.ui.resultsNoteLabel):
            widget.visible = hasRows
        for button in (self.ui.editButton, self.ui.statisticsButton, self.ui.saveButton, self.ui.copyButton):
            button.enabled = hasRows
        self.ui.curveButton.visible = self._isCine
        table = self.ui.resultsTable
        table.setRowCount(len(self._rows))
        for number, row in enumerate(self._rows):
            fillTableRow(table, number, (row.measure, row.structure, _shown(row.value), row.unit), numbers=(2,))
        height = table.horizontalHeader().height + table.verticalHeader().defaultSectionSize * len(self._rows) + 4
        table.setFixedHeight(height)

    def _writeTableNode(self) -> None:
        """Bring the table node up to date; it is made with the first result."""
        if not self.parameterNode.resultsTable:
            name = _("{name} measures").format(name=self._segmentation.GetName())
            self.parameterNode.resultsTable = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
        fill_table_node(self.parameterNode.resultsTable, self._rows)

    def onEditButton(self) -> None:
        """Open the segmentation in Segment Editor."""
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.SegmentEditorWidget.editor
        editor.setSegmentationNode(self._segmentation)
        volume = self._volume()
        if volume is not None:
            editor.setSourceVolumeNode(volume)

    def onCurveButton(self) -> None:
        """Show the volumes of all phases in a plot view."""
        curve = volume_curve(self._measured)
        title = _("Volumes of {name}").format(name=self._segmentation.GetName())
        self._chart = fill_curves(
            slicer.mrmlScene, curve.rows, curve.x, curve.columns, title, curve.y_title, self._chart
        )
        slicer.modules.plots.logic().ShowChartInLayout(self._chart)

    def onSceneClosed(self) -> None:
        """The chart went with the scene."""
        self._chart = None

    def onStatisticsButton(self) -> None:
        """Open the segmentation in Segment Statistics."""
        slicer.util.selectModule("SegmentStatistics")
        widget = slicer.modules.SegmentStatisticsWidget
        widget.segmentationSelector.setCurrentNode(self._segmentation)
        widget.scalarSelector.setCurrentNode(self._volume())

    def _volume(self) -> Any:
        """The image that the segmentation was made on."""
        return self._segmentation.GetNodeReference(self._segmentation.GetReferenceImageGeometryReferenceRole())

    def onSaveButton(self) -> None:
        """Save the table as CSV."""
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save table"), f"{self._segmentation.GetName()}.csv", _("Tables (*.csv)")
        )
        if not path:
            return
        try:
            with replacing(Path(path)) as temporary:
                temporary.write_text(csv_text(self._rows), encoding="utf-8")
        except (OSError, CardiacSegError) as error:
            slicer.util.errorDisplay(str(error))

    def onCopyButton(self) -> None:
        """Copy the table, to be pasted into a spreadsheet."""
        qt.QApplication.clipboard().setText(tab_text(self._rows))


def _shown(value: float | None) -> str:
    """A value as people read it; a dash where it cannot be told."""
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.1f}"
