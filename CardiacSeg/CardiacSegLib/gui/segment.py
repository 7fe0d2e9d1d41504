"""The section that segments a volume or a cine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import slicer
from slicer.i18n import tr as _

from CardiacSegLib.bundles import Bundle, list_models
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui.card import showCard
from CardiacSegLib.gui.packages import ensurePackages
from CardiacSegLib.gui.requirements import missingPackages, purposeOfSegmenting
from CardiacSegLib.gui.section import (
    POLL_INTERVAL_MS,
    Section,
    connectButtons,
    currentData,
    fillComboBox,
    makeTimer,
    markAsWarning,
    showStatus,
    timeText,
)
from CardiacSegLib.jobs.doubts import no_doubt_text
from CardiacSegLib.jobs.events import error_text
from CardiacSegLib.mrml.browsers import sequence_of_proxy
from CardiacSegLib.mrml.volume_check import short_axis_warning
from CardiacSegLib.mrml.volumes import affine_of_volume_node

#: The share of the progress bar that is left for bringing the phases of a cine into the scene.
_IMPORT_OF_CINE = 0.2


class SegmentSection(Section):
    """Volume, model and result; Segment and Cancel.

    Args:
        uiFile: Segment.ui.
        logic: the module's logic.
        onSegmented: called with the segmentation node when a result is in the scene.
    """

    def __init__(self, uiFile: str, logic: Any, onSegmented: Callable[[Any], None]) -> None:
        super().__init__(uiFile)
        self._logic, self._onSegmented = logic, onSegmented
        self._models: dict[str, Bundle] = {}
        self._started = 0.0
        self._importShare = 0.0
        self._timer = makeTimer(POLL_INTERVAL_MS, self.onTimer)
        # A selector takes a volume as soon as it is in the scene: before it has its voxels, or its sequence a browser.
        self._describeTimer = makeTimer(0, self.describeVolume, isSingleShot=True)
        for label in (self.ui.volumeWarningLabel, self.ui.doubtNoteLabel):
            markAsWarning(label)
        self.ui.progressBar.visible = False
        self.listModels()
        turns = [
            (_("As the model says"), 0),
            (_("Fast: a single pass"), 1),
            (_("Balanced: with a quarter turn"), 2),
            (_("Accurate: all four quarter turns"), 4),
            (_("Thorough: flipped copies as well"), 8),
        ]
        fillComboBox(self.ui.turnsComboBox, turns)
        self.ui.modelComboBox.connect("currentIndexChanged(int)", self.onModelChanged)
        self.ui.turnsComboBox.connect("currentIndexChanged(int)", self.onTurnsChanged)
        connectButtons(
            (self.ui.cardButton, self.onCardButton),
            (self.ui.segmentButton, self.onSegmentButton),
            (self.ui.cancelButton, self.onCancelButton),
        )

    def setParameterNode(self, parameterNode: Any) -> None:
        """Show another scene's choices; those that Slicer cannot bind to a parameter are set here."""
        super().setParameterNode(parameterNode)
        if parameterNode is not None:
            self._selectModel(parameterNode.model)
            self.ui.turnsComboBox.setCurrentIndex(max(0, self.ui.turnsComboBox.findData(parameterNode.turns)))
        self.update()

    def listModels(self) -> None:
        """Fill the list of models anew, after one came or went."""
        selected = currentData(self.ui.modelComboBox) or ""
        self._models = {model.name: model for model in list_models()}
        fillComboBox(self.ui.modelComboBox, [(name, name) for name in self._models], selected)
        if self.parameterNode is not None:
            self._selectModel(selected or self.parameterNode.model)
        self.update()

    def _selectModel(self, name: str) -> None:
        index = self.ui.modelComboBox.findData(name)
        if index >= 0:
            self.ui.modelComboBox.setCurrentIndex(index)
        self.onModelChanged()

    def warmUp(self) -> None:
        """Start the worker quietly, so that the first click finds the model loaded."""
        if self.parameterNode is None or not currentData(self.ui.modelComboBox):
            return
        chosen = self.parameterNode
        try:
            missing = missingPackages(purposeOfSegmenting(chosen.model, chosen.device))
        except CardiacSegError:  # the click will say so
            return
        if not missing:
            self._logic.warmUp(chosen.model, chosen.device)

    def update(self) -> None:
        """Say whether Segment can be pressed, and if not, why; and what the volume is."""
        self._describeTimer.start()
        isBusy, hasModel = self._logic.isBusy, self.ui.modelComboBox.count > 0
        volume = self.parameterNode.inputVolume if self.parameterNode is not None else None
        self.ui.segmentButton.enabled = bool(volume) and hasModel and not isBusy
        self.ui.cancelButton.enabled = isBusy and self._logic.importShare < 1
        self.ui.progressBar.visible = isBusy
        self.ui.cardButton.enabled = hasModel
        self._describeDoubt()
        if isBusy:
            self.ui.segmentButton.toolTip = _("A segmentation is running")
        elif not volume:
            self.ui.segmentButton.toolTip = _("Choose a volume first")
        elif not hasModel:
            self.ui.segmentButton.toolTip = _("There is no model; import one in the section Models")
        else:
            self.ui.segmentButton.toolTip = _("Segment the volume")

    def _describeDoubt(self) -> None:
        """Say why there will be no doubt where a person asks for it and the model has none."""
        problem = self._noDoubtText() if self.parameterNode is not None and self.parameterNode.doubt else ""
        self.ui.doubtNoteLabel.text = _("Not with this choice: {problem}.").format(problem=problem)
        self.ui.doubtNoteLabel.visible = bool(problem)

    def _noDoubtText(self) -> str:
        model = self._models.get(self._modelName())
        return no_doubt_text(model, self.parameterNode.turns) if model is not None else ""

    def describeVolume(self) -> None:
        """Say what is known about the volume before it is segmented: a cine's phases, and what looks odd."""
        volume = self.parameterNode.inputVolume if self.parameterNode is not None else None
        sequence = sequence_of_proxy(volume) if volume else None
        self.ui.wholeCineCheckBox.visible = sequence is not None
        if sequence is not None:
            count = sequence.GetNumberOfDataNodes()
            self.ui.wholeCineCheckBox.text = _("All {count} phases of the cine").format(count=count)
        image = volume.GetImageData() if volume else None
        warning = ""
        model = self._models.get(self._modelName())
        if image is not None and model is not None and "RV" in model.convention:
            warning = short_axis_warning(image.GetDimensions(), affine_of_volume_node(volume))
        self.ui.volumeWarningLabel.text = warning
        self.ui.volumeWarningLabel.visible = bool(warning)

    def _modelName(self) -> str:
        return currentData(self.ui.modelComboBox) or ""

    def onModelChanged(self, index: int = -1) -> None:
        """The models are known at run time only, so that this combo box cannot be bound to its parameter."""
        if self.parameterNode is not None and self._modelName():
            self.parameterNode.model = self._modelName()
        self.update()

    def onTurnsChanged(self, index: int = -1) -> None:
        """The parameter is a number, the items say what it means."""
        if self.parameterNode is not None:
            self.parameterNode.turns = currentData(self.ui.turnsComboBox) or 0

    def onCardButton(self) -> None:
        """Show the card of the chosen model."""
        showCard(self._modelName())

    def onSegmentButton(self) -> None:
        """Start the segmentation; the timer follows it."""
        chosen = self.parameterNode
        isCine = chosen.wholeCine and sequence_of_proxy(chosen.inputVolume) is not None
        self._importShare = _IMPORT_OF_CINE if isCine else 0.0
        try:
            ensurePackages(purposeOfSegmenting(chosen.model, chosen.device))
            self._started = time.perf_counter()
            self._logic.start(
                *(chosen.inputVolume, chosen.model, chosen.device),
                turns=chosen.turns or None,
                cleanUp=chosen.cleanUp,
                doubt=chosen.doubt and not self._noDoubtText(),
                wholeCine=chosen.wholeCine,
            )
        except CardiacSegError as error:
            showStatus(self.ui.statusLabel, str(error), isError=True)
            return
        showStatus(self.ui.statusLabel, _("Starting"))
        self.ui.progressBar.setValue(0)
        self._timer.start()
        self._followOn()
        self.update()

    def onCancelButton(self) -> None:
        """End the segmentation at once; the scene stays as it was."""
        self._logic.cancel()
        showStatus(self.ui.statusLabel, _("Canceled"))
        self._stopFollowing()

    def onTimer(self) -> None:
        """Show what the worker has said since the last time, or bring more of its result into the scene."""
        try:
            if self._logic.isImporting:
                self._importMore()
            else:
                for event in self._logic.poll():
                    self._onEvent(event)
        except Exception as error:
            showStatus(self.ui.statusLabel, str(error), isError=True)
            if not isinstance(error, CardiacSegError):
                raise
        finally:
            self._followOn()

    def _followOn(self) -> None:
        """Come back soon, at once where this process has work to do, or stop where all is done."""
        interval = 0 if self._logic.isWorking else POLL_INTERVAL_MS
        if not self._logic.isBusy:
            self._stopFollowing()
        elif self._timer.interval != interval:
            self._timer.setInterval(interval)

    def _onEvent(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "stage":
            showStatus(self.ui.statusLabel, event["text"])
        elif event["event"] == "progress":
            self.ui.progressBar.setValue(round(100 * (1 - self._importShare) * event["fraction"]))
            if event.get("seconds_left"):
                left = _("{time} left").format(time=timeText(event["seconds_left"]))
                showStatus(self.ui.statusLabel, left)
        elif event["event"] == "error":
            raise CardiacSegError(error_text(event))
        elif event["event"] == "result":
            self._beginImport()

    def _beginImport(self) -> None:
        """Bring the result into the scene, a cine's phase by phase while the application lives on."""
        chosen = self.parameterNode
        if chosen is None:  # the scene is being closed
            return
        showStatus(self.ui.statusLabel, _("Bringing the result into the scene"))
        self._logic.startImport(chosen.segmentation, chosen.show3D, chosen.smoothing)

    def _importMore(self) -> None:
        segmentationNode = self._logic.importMore()
        if segmentationNode is not None:
            self._showResult(segmentationNode)
            return
        done = self._logic.importShare
        self.ui.progressBar.setValue(round(100 * (1 - self._importShare * (1 - done))))
        self.ui.cancelButton.enabled = done < 1  # it is in the scene

    def _showResult(self, segmentationNode: Any) -> None:
        chosen = self.parameterNode
        chosen.segmentation = segmentationNode
        slicer.util.setSliceViewerLayers(background=chosen.inputVolume)
        if chosen.show3D:
            slicer.util.resetThreeDViews()
        seconds = time.perf_counter() - self._started
        showStatus(self.ui.statusLabel, _("Done in {seconds:.1f} s").format(seconds=seconds))
        self._onSegmented(segmentationNode)

    def _stopFollowing(self) -> None:
        self._timer.stop()
        self.update()

    def close(self) -> None:
        """Stop following; the logic ends the worker."""
        self._timer.stop()
        self._describeTimer.stop()
