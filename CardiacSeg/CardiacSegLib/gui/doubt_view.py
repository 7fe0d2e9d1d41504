"""How sure the model is of a result: the Dice to be expected, a layer over the slices, and places to go to."""

from __future__ import annotations

from typing import Any, Union

import qt
import vtk
from slicer.i18n import tr as _

from CardiacSegLib.gui.section import makeTimer
from CardiacSegLib.mrml.browsers import sequence_of_proxy
from CardiacSegLib.mrml.doubt import (
    SliceToCheck,
    doubt_node,
    expected_dice,
    has_doubt,
    is_doubt_shown,
    jump_to,
    least_sure_frame,
    show_doubt,
    slices_to_check,
)
from CardiacSegLib.mrml.sequences import show_frame, shown_frame

#: Of a line, beside its text, in pixels.
_ROW_MARGIN = 8
#: A slice, or a frame of a cine.
_Place = Union[SliceToCheck, int]


class DoubtView:
    """The widgets of the section Results that tell the doubt; they are there for a result that has one.

    The check box says whether the doubt lies over the slices; so it does for the next result, as long as the box is
    checked.

    Args:
        ui: widgets of Results.ui.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._volume: Any = None
        self._segmentation: Any = None
        self._tag: int | None = None
        self._places: list[_Place] = []
        # A volume tells of one change after the other: all are waited for.
        self._timer = makeTimer(0, self._show, isSingleShot=True)
        ui.showDoubtCheckBox.connect("clicked(bool)", self.onShow)
        ui.placesList.connect("itemClicked(QListWidgetItem*)", self.onPlace)
        ui.placesList.connect("itemActivated(QListWidgetItem*)", self.onPlace)
        ui.placesList.viewport().setCursor(qt.QCursor(qt.Qt.PointingHandCursor))
        ui.doubtGroupBox.visible = False

    def setResult(self, volume: Any, segmentation: Any) -> None:
        """Tell how sure the model is of a segmentation of an image, now and when either changes; None for nothing."""
        isOther = volume is not self._volume or segmentation is not self._segmentation
        if volume is not self._volume:
            self._leave()
            self._volume = volume
            self._tag = volume.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified) if volume else None
        self._segmentation = segmentation
        if volume is None:  # a scene may come that was saved with its layer shown, or without
            self._ui.showDoubtCheckBox.checked = False
        elif isOther:
            self._ui.showDoubtCheckBox.checked |= is_doubt_shown(volume)
            self.showLayer()
        self._show()

    def showLayer(self) -> None:
        """Lay the doubt over the slices, or take it away, as the check box says."""
        if self._volume is not None:
            isShown = self._ui.showDoubtCheckBox.checked and has_doubt(self._volume, self._segmentation)
            show_doubt(self._volume, isShown)

    def close(self) -> None:
        """Look no more; the layer stays as it is."""
        if self._volume is not None:
            self._volume.RemoveObserver(self._tag)
            self._volume = None
        self._timer.stop()

    def _leave(self) -> None:
        """Take the layer of the image before away."""
        if self._volume is not None:
            self._volume.RemoveObserver(self._tag)
            if self._volume.GetScene() is not None:
                show_doubt(self._volume, False)

    def _onModified(self, caller: Any, event: Any) -> None:
        self._timer.start()

    def _show(self) -> None:
        ui, isKnown = self._ui, has_doubt(self._volume, self._segmentation)
        ui.doubtGroupBox.visible = isKnown
        if not isKnown:
            self._places = []
            return
        ui.expectedDiceLabel.text = self._diceText()
        self._showPlaces()

    def _diceText(self) -> str:
        dice = expected_dice(self._volume).items()
        found = ", ".join(f"{name} {'–' if one is None else f'{one:.2f}'}" for name, one in dice)
        frame = self._frame()
        if frame is None:
            return _("Expected Dice: {found}").format(found=found)
        return _("Expected Dice in frame {number}: {found}").format(number=frame + 1, found=found)

    def _frame(self) -> int | None:
        """The frame of a cine's doubt that is shown; None where it is the doubt of a volume."""
        sequence = sequence_of_proxy(doubt_node(self._volume))
        return None if sequence is None else shown_frame(sequence)

    def _showPlaces(self) -> None:
        ui, slices = self._ui, slices_to_check(self._volume)
        items: list[tuple[str, _Place]] = [(one.text, one) for one in slices]
        title = _("Slices to look at; click one to go there:")
        ui.placesLabel.text = title if slices else _("No slice stands out.")
        ui.placesLabel.visible = bool(slices) or min(self._volume.GetImageData().GetDimensions()) > 1
        frame = least_sure_frame(self._volume)
        if frame is not None and frame != self._frame():
            items.append((_("Frame {number} is the least sure").format(number=frame + 1), frame))
        self._places = [place for _text, place in items]
        self._fillList([text for text, _place in items])

    def _fillList(self, texts: list[str]) -> None:
        """Texts that stand there already stay, and so does the one that is selected."""
        widget = self._ui.placesList
        widget.visible = bool(texts)
        if texts == [widget.item(row).text() for row in range(widget.count)]:
            return
        widget.clear()
        height = widget.fontMetrics().height() + _ROW_MARGIN
        for text in texts:
            item = qt.QListWidgetItem(text)
            item.setSizeHint(qt.QSize(0, height))
            widget.addItem(item)
        widget.setFixedHeight(height * len(texts) + 2 * widget.frameWidth)

    def onShow(self) -> None:
        """The person wants to see where the model is not sure, or no longer."""
        self.showLayer()
        self._show()

    def onPlace(self) -> None:
        """Go to the slice, or the frame, that was clicked."""
        row = self._ui.placesList.currentRow
        if not 0 <= row < len(self._places):
            return
        place = self._places[row]
        if isinstance(place, SliceToCheck):
            jump_to(self._volume, place)
        else:
            show_frame(sequence_of_proxy(self._volume), place)
