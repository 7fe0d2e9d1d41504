"""The curve, the bullseye and the page of a study: nodes that follow it, and what shows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui.drawing import Drawing
from CardiacSegLib.gui.packages import ensurePackages
from CardiacSegLib.gui.requirements import TRAIN, missingPackages
from CardiacSegLib.gui.section import makeTimer, openInDesktop
from CardiacSegLib.jobs.studies import no_bullseye_text
from CardiacSegLib.mrml.pictures import (
    PICTURE_VIEW,
    fill_picture_node,
    is_picture_layout,
    show_picture,
    show_picture_in_layout,
)
from CardiacSegLib.mrml.plots import fill_curves
from CardiacSegLib.mrml.results import study_curve
from CardiacSegLib.mrml.studies import Measured

#: A person who draws is left in peace for so long before the bullseye follows, which takes another processor a second.
_REDRAW_DELAY_MS = 1000
_PICTURE = Path("bullseye.png")
#: The attribute of a bullseye that says of which values it is.
_VALUES = "CardiacSeg.values"


class StudyViews:
    """Shows a study beside its table. The nodes are parameters of the panel: they are saved with the scene.

    Args:
        onStatus: called with a line to be shown, and whether it is an error.
    """

    def __init__(self, onStatus: Callable[[str, bool], None]) -> None:
        self._onStatus = onStatus
        self._parameterNode: Any = None
        self._measured: Measured | None = None
        self._name = ""
        self._bullseye = Drawing(self._onBullseyeDrawn, self._onFailed)
        self._page = Drawing(self._onPageWritten, self._onFailed)
        self._redrawTimer = makeTimer(_REDRAW_DELAY_MS, self._redraw, isSingleShot=True)

    def setParameterNode(self, parameterNode: Any) -> None:
        """Show studies of another scene, or none."""
        self._parameterNode = parameterNode
        if parameterNode is None:
            self.close()

    def setStudy(self, measured: Measured | None, name: str) -> None:
        """Let the nodes that are there follow another study, or none; ``name`` is what a person calls it."""
        self._measured, self._name = measured, name
        self._redrawTimer.stop()
        if measured is None or self._parameterNode is None:
            return
        if measured.is_cine and self._parameterNode.volumeChart:
            self._fillChart()
        if self._parameterNode.bullseye:
            self._followWithBullseye()

    @property
    def isBusy(self) -> bool:
        """Whether a bullseye or a page is being drawn."""
        return self._bullseye.isBusy or self._page.isBusy

    def close(self) -> None:
        """Draw no more."""
        self._redrawTimer.stop()
        self._bullseye.close()
        self._page.close()

    # The curve

    def showCurve(self) -> None:
        """Show the volumes over the heartbeat in a plot view."""
        chart = self._fillChart()
        picture = self._parameterNode.bullseye
        if picture and is_picture_layout(slicer.mrmlScene):
            self._showInLayout(picture, chart)
        else:
            slicer.modules.plots.logic().ShowChartInLayout(chart)

    def _fillChart(self) -> Any:
        curve = study_curve(self._measured)
        title = _("Volumes of {name}").format(name=self._name)
        known = self._parameterNode.volumeChart
        chart = fill_curves(
            slicer.mrmlScene, curve.rows, curve.x, curve.columns, title, curve.y_title, known, curve.marks
        )
        if chart is not known:
            self._parameterNode.volumeChart = chart
        return chart

    # The bullseye

    def showBullseye(self) -> None:
        """Draw the bullseye and show it beside the heart; where nothing changed since it was drawn, show it at once."""
        problem = no_bullseye_text(self._measured.study)
        if problem:
            raise CardiacSegError(problem)
        picture = self._parameterNode.bullseye
        if picture and picture.GetAttribute(_VALUES) == self._values():
            self._showBullseye(picture)
            return
        ensurePackages(TRAIN)
        self._drawBullseye(isToBeShown=True)

    def _drawBullseye(self, isToBeShown: bool) -> None:
        self._bullseye.start(self._measured.study_input, (self._values(), isToBeShown), bullseye=_PICTURE)
        self._onStatus(_("Drawing the bullseye"), False)

    def _values(self) -> str:
        """The values that the bullseye shows, as text."""
        study = self._measured.study
        walls = {phase: wall.segments_mm.round(1).tolist() for phase, wall in study.walls.items()}
        change = study.thickening_percent
        return json.dumps([walls, None if change is None else change.round().tolist()])

    def _followWithBullseye(self) -> None:
        """Draw it anew some time after its values changed; one of values that are no more would be believed."""
        picture = self._parameterNode.bullseye
        if no_bullseye_text(self._measured.study):
            self._bullseye.close()
            slicer.mrmlScene.RemoveNode(picture)
        elif picture.GetAttribute(_VALUES) == self._values():
            show_picture(picture)
        elif missingPackages(TRAIN):
            self._onStatus(_("The bullseye is of earlier values; press Bullseye to draw it again"), False)
        else:
            self._redrawTimer.start()

    def _redraw(self) -> None:
        try:
            self._drawBullseye(isToBeShown=False)
        except CardiacSegError as error:
            self._onFailed(str(error))

    def _onBullseyeDrawn(self, folder: Path, memory: tuple[str, bool]) -> None:
        values, isToBeShown = memory
        picture = self._parameterNode.bullseye
        if not picture:
            picture = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "bullseye")
        try:
            fill_picture_node(picture, folder / _PICTURE)
        except CardiacSegError as error:
            self._onFailed(str(error))
            return
        picture.SetName(_("Bullseye of {name}").format(name=self._name))
        picture.SetAttribute(_VALUES, values)
        self._parameterNode.bullseye = picture
        self._onStatus("", False)
        if isToBeShown:
            self._showBullseye(picture)
        else:
            show_picture(picture)

    def _showBullseye(self, picture: Any) -> None:
        self._showInLayout(picture, self._fillChart() if self._measured.is_cine else None)

    def _showInLayout(self, picture: Any, chart: Any) -> None:
        show_picture_in_layout(picture, with_plot=chart is not None)
        application = slicer.app.applicationLogic()
        if chart is not None:
            application.GetSelectionNode().SetActivePlotChartID(chart.GetID())
            application.PropagatePlotChartSelection()
        view = application.GetSliceLogicByLayoutName(PICTURE_VIEW)
        if view is not None:
            view.FitSliceToAll()

    # The page

    def writePage(self) -> None:
        """Ask for a file, write the page of the study into it and open it."""
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save page"), f"{self._name}.html", _("Web pages (*.html)")
        )
        if not path:
            return
        ensurePackages(TRAIN)
        version = f"{slicer.app.majorVersion}.{slicer.app.minorVersion}"
        self._page.start(
            *(self._measured.study_input, Path(path)),
            page=Path(path),
            title=self._name,
            contours=self._measured.contours(),
            facts={_("Measured in"): f"3D Slicer {version}"},
        )
        self._onStatus(_("Writing the page"), False)

    def _onPageWritten(self, folder: Path, path: Path) -> None:
        self._onStatus(_("Written: {path}").format(path=path), False)
        openInDesktop(path)

    def _onFailed(self, problem: str) -> None:
        self._onStatus(problem, True)
