"""The section that shows what a segmentation measures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing
from CardiacSegLib.gui.doubt_view import DoubtView
from CardiacSegLib.gui.patient import PatientFields, readPerson
from CardiacSegLib.gui.results_table import fillResultsTable, prepareResultsTable, rangesText, splitRows
from CardiacSegLib.gui.section import (
    Section,
    connectButtons,
    currentData,
    fillComboBox,
    makeTimer,
    markAsWarning,
    prepareTable,
    showStatus,
)
from CardiacSegLib.gui.study_views import StudyViews
from CardiacSegLib.mrml.browsers import sequence_of_proxy
from CardiacSegLib.mrml.grids import LabelStore
from CardiacSegLib.mrml.pieces import Pieces, Work
from CardiacSegLib.mrml.results import csv_text, tab_text, table_rows
from CardiacSegLib.mrml.segmentations import volume_of_segmentation
from CardiacSegLib.mrml.sequences import show_frame
from CardiacSegLib.mrml.studies import (
    Measured,
    Person,
    phase_of_segmentation,
    segmentations_in_pieces,
    sequence_in_pieces,
)
from CardiacSegLib.mrml.tables import Row, add_table_node, fill_table_node

#: A person who draws or types is left in peace for so long before the table follows.
_EDIT_DELAY_MS = 300
_NOBODY_CHOSE = -1
#: Events of a segmentation after which it may measure something else.
_EDITS = ("SourceRepresentationModified", "RepresentationModified", "SegmentAdded", "SegmentRemoved")


class ResultsSection(Section):
    """Volumes, ejection fraction, mass and wall of the segmentation, as it is now; ED and ES as chosen or as found.

    Phases of a cine are found by the volume of the left ventricle. Segmentations of single volumes are never taken
    together by themselves, for they may be of two patients: the person chooses the one of end-systole.

    Args:
        uiFile: Results.ui.
    """

    def __init__(self, uiFile: str) -> None:
        super().__init__(uiFile)
        self._segmentation: Any = None
        self._tags: list[int] = []
        self._typed: tuple[Person, list[str]] | None = None
        self._problems: list[str] = []
        self._store = LabelStore()
        self._work: Work[Measured] | None = None
        self._isNew = False
        self._measured: Measured | None = None
        self._rows: list[Row] = []
        self._views = StudyViews(self._showStatus)
        self._doubt = DoubtView(self.ui)
        self._patient = PatientFields(self.ui)
        self._workTimer = makeTimer(0, self.onWork)
        self._editTimer = makeTimer(_EDIT_DELAY_MS, self.measure, isSingleShot=True)
        for table in (self.ui.resultsTable, self.ui.furtherTable):
            prepareTable(table)
            prepareResultsTable(table)
        markAsWarning(self.ui.resultsWarningLabel)
        self.ui.edComboBox.connect("activated(int)", lambda index: self.onPhaseChosen(self.ui.edComboBox))
        self.ui.esComboBox.connect("activated(int)", lambda index: self.onPhaseChosen(self.ui.esComboBox))
        connectButtons(
            (self.ui.editButton, self.onEditButton),
            (self.ui.statisticsButton, self.onStatisticsButton),
            (self.ui.curveButton, self.onCurveButton),
            (self.ui.bullseyeButton, self.onBullseyeButton),
            (self.ui.pageButton, self.onPageButton),
            (self.ui.saveButton, self.onSaveButton),
            (self.ui.copyButton, self.onCopyButton),
        )
        self._showStudy()

    def setParameterNode(self, parameterNode: Any) -> None:
        """Show the results of another scene, or none."""
        super().setParameterNode(parameterNode)
        self._views.setParameterNode(parameterNode)
        self._patient.setParameterNode(parameterNode)
        self._follow(parameterNode.segmentation if parameterNode is not None else None)

    def update(self) -> None:
        """Another segmentation may have been chosen, or something else be known of the patient."""
        chosen = self.parameterNode.segmentation if self.parameterNode is not None else None
        if chosen is not self._segmentation:
            self._follow(chosen)
        elif self._typed is not None and readPerson(self.parameterNode) != self._typed:
            self._editTimer.start()

    def show(self, segmentationNode: Any) -> None:
        """Measure a result that has just come, and forget what was chosen for the one before."""
        self.parameterNode.edPhase = self.parameterNode.esPhase = _NOBODY_CHOSE
        self._isNew = True
        self._follow(segmentationNode)
        self._doubt.showLayer()  # the views may show another image than before

    def close(self) -> None:
        """Look no more."""
        self._follow(None)
        self._views.close()
        self._doubt.close()

    def _follow(self, segmentationNode: Any) -> None:
        """Measure a segmentation, now and after each edit."""
        for tag in self._tags:
            self._segmentation.RemoveObserver(tag)
        self._tags = []
        if segmentationNode is not self._segmentation:
            self._measured = None
        self._segmentation = segmentationNode
        if segmentationNode is not None:
            # Not its vtkSegmentation: each phase of a cine has its own.
            events = [getattr(slicer.vtkSegmentation, name) for name in _EDITS]
            self._tags = [segmentationNode.AddObserver(event, self._onSegmentationModified) for event in events]
        self._doubt.setResult(self._volume(), segmentationNode)
        self.measure()

    def _onSegmentationModified(self, caller: Any, event: Any) -> None:
        self._editTimer.start()

    # Measuring, in pieces between which the application lives

    @property
    def isMeasuring(self) -> bool:
        """Whether the table does not yet show all that a person did."""
        return self._work is not None or self._editTimer.active

    def measure(self) -> None:
        """Measure what the person has chosen, as it is now; only what was edited is looked at again."""
        self._stopMeasuring()
        if self._segmentation is None or not self._segmentation.GetSegmentation().GetNumberOfSegments():
            self._typed, self._problems = None, []
            self._setMeasured(None)
            return
        self._typed = readPerson(self.parameterNode)
        person, self._problems = self._typed
        self._begin(person)

    def _begin(self, person: Person) -> None:
        self._work = Work(self._measuring(person))
        self._workTimer.start()
        if self._measured is None:
            self._showStudy()

    def _measuring(self, person: Person) -> Pieces[Measured]:
        sequence = sequence_of_proxy(self._segmentation)
        ed, es = (None if phase == _NOBODY_CHOSE else phase for phase in self._chosen())
        if sequence is not None:
            return sequence_in_pieces(sequence, person, ed, es, self._store)
        nodes = self._candidates()
        chosen = [nodes[ed or 0]] if es is None else [nodes[ed or 0], nodes[es]]
        return segmentations_in_pieces(chosen, person, self._store)

    def _stopMeasuring(self) -> None:
        self._editTimer.stop()
        self._workTimer.stop()
        if self._work is not None:
            self._work.close()
            self._work = None

    def onWork(self) -> None:
        """Do a piece of the work."""
        work = self._work
        try:
            work.go_on(0.0)
        except CardiacSegError as error:
            self._onNotMeasured(error)
            return
        except BaseException:
            self._stopMeasuring()
            raise
        if work.is_done:
            self._stopMeasuring()
            self._setMeasured(work.result)

    def _onNotMeasured(self, error: CardiacSegError) -> None:
        """A heart rate that cannot be is left out; all else leaves nothing to show."""
        self._stopMeasuring()
        person = self._typed[0]
        if person.heart_rate is not None and str(error) not in self._problems:
            self._problems = [*self._problems, str(error)]
            self._begin(Person(person.subject))
            return
        self._problems = []
        self._setMeasured(None)
        showStatus(self.ui.nothingLabel, str(error), isError=True)

    def _setMeasured(self, measured: Measured | None) -> None:
        self._measured = measured
        self._rows = table_rows(measured) if measured is not None else []
        self._showStatus("", False)
        self._showPhases()
        self._showStudy()
        if measured is not None and (self._isNew or self.parameterNode.resultsTable):
            self._writeTableNode()
        self._isNew &= measured is None
        self._views.setStudy(measured, self._segmentation.GetName() if measured is not None else "")

    def _writeTableNode(self) -> None:
        """Bring the table node up to date; it is made with the first result."""
        if self.parameterNode.resultsTable:
            fill_table_node(self.parameterNode.resultsTable, self._rows)
        else:
            name = _("{name} measures").format(name=self._segmentation.GetName())
            self.parameterNode.resultsTable = add_table_node(slicer.mrmlScene, self._rows, name)

    # ED and ES

    def _candidates(self) -> list[Any]:
        """The segmentation, and others that may be further phases of the same heart."""
        others = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        return [self._segmentation, *(node for node in others if self._isCandidate(node))]

    def _isCandidate(self, node: Any) -> bool:
        return (
            node is not self._segmentation
            and sequence_of_proxy(node) is None
            and node.GetSegmentation().GetSegment("LV") is not None
        )

    def _phaseLabels(self) -> list[str]:
        if sequence_of_proxy(self._segmentation) is not None:
            return [phase.label for phase in self._measured.phases]
        return [phase_of_segmentation(node).label for node in self._candidates()]

    def _chosen(self) -> tuple[int, int]:
        """What the person chose; -1 where nobody did, or where it is there no more."""
        sequence = sequence_of_proxy(self._segmentation)
        count = len(self._candidates()) if sequence is None else sequence.GetNumberOfDataNodes()
        ed, es = self.parameterNode.edPhase, self.parameterNode.esPhase
        return (ed if 0 <= ed < count else _NOBODY_CHOSE), (es if 0 <= es < count else _NOBODY_CHOSE)

    def _showPhases(self) -> None:
        """Fill the combo boxes with the phases."""
        labels = self._phaseLabels() if self._measured is not None else []
        items = [(label, index) for index, label in enumerate(labels)]
        ed, es = self._chosen() if items else (_NOBODY_CHOSE, _NOBODY_CHOSE)
        if items and self._measured.is_cine:
            ed, es = (self._measured.study.phases.get(name, _NOBODY_CHOSE) for name in ("ED", "ES"))
        else:
            ed = max(ed, 0)
            items = [(_("none"), _NOBODY_CHOSE), *items] if items else []
        fillComboBox(self.ui.edComboBox, [item for item in items if item[1] != _NOBODY_CHOSE], ed)
        fillComboBox(self.ui.esComboBox, items, es)
        for widget in (self.ui.edComboBox, self.ui.esComboBox, self.ui.edComboBoxLabel, self.ui.esComboBoxLabel):
            widget.visible = len(labels) > 1

    def onPhaseChosen(self, comboBox: Any) -> None:
        """The person chose ED or ES by hand; a cine shows that phase."""
        ed, es = currentData(self.ui.edComboBox), currentData(self.ui.esComboBox)
        found = (0, _NOBODY_CHOSE)
        if self._measured.is_cine:
            found = self._measured.found or (_NOBODY_CHOSE, _NOBODY_CHOSE)
        # What is as found stays found: it follows when the segmentation is edited.
        self.parameterNode.edPhase = _NOBODY_CHOSE if ed == found[0] else ed
        self.parameterNode.esPhase = _NOBODY_CHOSE if es == found[1] else es
        self.measure()
        sequence = sequence_of_proxy(self._segmentation)
        if sequence is not None:
            show_frame(sequence, ed if comboBox is self.ui.edComboBox else es)

    # What is shown

    def _showStudy(self) -> None:
        study = self._measured.study if self._measured is not None else None
        self.ui.nothingLabel.visible = study is None
        nothing = _("Measuring") if self._work is not None else _("Nothing is segmented yet.")
        showStatus(self.ui.nothingLabel, nothing)
        first, further = splitRows(study)
        fillResultsTable(self.ui.resultsTable, study, first)
        fillResultsTable(self.ui.furtherTable, study, further)
        texts = {
            self.ui.resultsWarningLabel: "\n".join([*self._problems, *(study.warnings if study else ())]),
            self.ui.rangesLabel: rangesText(study),
        }
        for label, text in texts.items():
            label.text = text
            label.visible = bool(text)
        self.ui.resultsTable.visible = bool(first)
        self.ui.furtherGroupBox.visible = bool(further)
        self.ui.resultsNoteLabel.visible = study is not None
        self.ui.curveButton.visible = self._measured is not None and self._measured.is_cine
        for button in self._buttons():
            button.enabled = study is not None
        self._patient.showStudy(study)

    def _buttons(self) -> tuple[Any, ...]:
        ui = self.ui
        return ui.editButton, ui.statisticsButton, ui.bullseyeButton, ui.pageButton, ui.saveButton, ui.copyButton

    def _showStatus(self, text: str, isError: bool) -> None:
        showStatus(self.ui.resultsStatusLabel, text, isError)
        self.ui.resultsStatusLabel.visible = bool(text)

    # Buttons

    def onEditButton(self) -> None:
        """Open the segmentation in Segment Editor."""
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.SegmentEditorWidget.editor
        editor.setSegmentationNode(self._segmentation)
        volume = self._volume()
        if volume is not None:
            editor.setSourceVolumeNode(volume)

    def onStatisticsButton(self) -> None:
        """Open the segmentation in Segment Statistics."""
        slicer.util.selectModule("SegmentStatistics")
        widget = slicer.modules.SegmentStatisticsWidget
        widget.segmentationSelector.setCurrentNode(self._segmentation)
        widget.scalarSelector.setCurrentNode(self._volume())

    def _volume(self) -> Any:
        """The image that the segmentation was made on."""
        return volume_of_segmentation(self._segmentation) if self._segmentation is not None else None

    def onCurveButton(self) -> None:
        """Show the volumes of all phases in a plot view."""
        self._views.showCurve()

    def onBullseyeButton(self) -> None:
        """Show the segments of the wall as a picture in the layout."""
        self._try(self._views.showBullseye)

    def onPageButton(self) -> None:
        """Write the page of the study and open it."""
        self._try(self._views.writePage)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except CardiacSegError as error:
            self._showStatus(str(error), True)

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
