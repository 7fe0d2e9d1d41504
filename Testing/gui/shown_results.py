"""The results of the panel as a person sees and uses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import qt
import slicer
from event_loop import run_until
from PySide6.QtTest import QTest

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.mrml.browsers import proxy_of, sequence_of_proxy
from CardiacSegLib.mrml.doubt import set_doubt
from CardiacSegLib.mrml.doubt_sequences import doubt_frames_in_pieces, set_cine_doubt
from CardiacSegLib.mrml.pieces import finished
from CardiacSegLib.mrml.segmentation_sequences import add_segmentation_sequence, cine_of
from CardiacSegLib.mrml.segmentations import add_segmentation_node
from CardiacSegLib.mrml.sequences import add_cine
from CardiacSegLib.mrml.volumes import add_volume_node
from CardiacSegLib.phantom import Phantom, PhantomOptions, make_phantom

PATIENCE = 60


def small_heart() -> Phantom:
    """Twelve phases of ten slices."""
    return make_phantom(PhantomOptions(frames=12, spacing=(1.8, 1.8, 10.0), size=(96, 96)))


def show_volume(panel: Any, image: np.ndarray, labels: np.ndarray, affine: np.ndarray, name: str = "heart") -> Any:
    """Choose a labeled volume in the panel; the section, when all is measured."""
    panel.results.ui.resultsCollapsibleButton.collapsed = False
    volume = add_volume_node(slicer.mrmlScene, image, affine, name)
    panel._parameterNode.segmentation = add_segmentation_node(labels, volume)
    return measured(panel.results)


def show_doubt_of_volume(panel: Any, heart: Phantom, frame: int, name: str, doubt: bool = True) -> Any:
    """Leave the panel as after a click on Segment with a frame of a heart in the views; the volume.

    Where it is in doubt, so it is at the border of the right ventricle, above all in slice 2 from the base.
    """
    section = show_volume(panel, heart.image[..., frame], heart.labels[..., frame], heart.affine, name)
    segmentation = section.parameterNode.segmentation
    volume = slicer.util.getNode(name)
    if doubt:
        set_doubt(volume, doubt_of_labels(heart.labels[..., frame]), doubt_fields(heart, 0.9), segmentation)
    slicer.util.setSliceViewerLayers(background=volume)
    section.show(segmentation)
    measured(section)
    return volume


def show_doubt_of_cine(panel: Any, heart: Phantom) -> Any:
    """Leave the panel as after a click on Segment, with a cine in the views of which frame 6 is the least sure."""
    section = show_cine(panel, heart)
    segmentation = section.parameterNode.segmentation
    cine = cine_of(sequence_of_proxy(segmentation))
    count = heart.labels.shape[3]
    fields = [doubt_fields(heart, 0.7 if frame == 5 else 0.9 + 0.001 * frame) for frame in range(count)]
    set_cine_doubt(cine, finished(doubt_frames_in_pieces(doubt_of_labels(heart.labels), cine)), fields, segmentation)
    slicer.util.setSliceViewerLayers(background=proxy_of(cine))
    section.show(segmentation)
    measured(section)
    return cine


def doubt_of_labels(labels: np.ndarray) -> np.ndarray:
    """Doubt at the border of the right ventricle; in a cine it differs from frame to frame."""
    structure = labels == CANONICAL["RV"]
    border = np.zeros(labels.shape, np.float32)
    for axis in (0, 1):
        for step in (-1, 1):
            border[structure & ~np.roll(structure, step, axis)] = 0.8
    return border if labels.ndim == 3 else border * np.linspace(0.5, 1.0, labels.shape[3], dtype=np.float32)


def doubt_fields(heart: Phantom, rv: float) -> dict[str, Any]:
    """What is known beside a doubt: the Dice to be expected of the right ventricle, and the second slice to look at."""
    row, column, number = 40, 50, heart.image.shape[2] - 2
    center = (heart.affine @ [row, column, number, 1])[:3].tolist()
    return {
        "predicted_dice": {"LV": 0.96, "MYO": 0.91, "RV": rv},
        "slices": [{"text": "Slice 2 from the base: the edge of RV is uncertain", "center": center}],
    }


def show_cine(panel: Any, heart: Phantom, labels: np.ndarray | None = None) -> Any:
    """Leave the panel as after a click on Segment that gave these labels; the section, when all is measured."""
    panel.results.ui.resultsCollapsibleButton.collapsed = False
    cine = add_cine(slicer.mrmlScene, heart.image, heart.affine, "heart", heart.frame_times)
    segmentation = add_segmentation_sequence(heart.labels if labels is None else labels, cine)[1]
    panel._parameterNode.segmentation = segmentation
    panel.results.show(segmentation)
    return measured(panel.results)


def measured(section: Any) -> Any:
    """Let the section show what there is to show, and give it back."""
    run_until(lambda: not section.isMeasuring, PATIENCE)
    return section


def cells(widget: Any) -> list[list[str]]:
    """What can be read in a table, line by line; hidden columns cannot."""
    columns = [column for column in range(widget.columnCount) if not widget.isColumnHidden(column)]
    return [[widget.item(row, column).text().strip() for column in columns] for row in range(widget.rowCount)]


def table(section: Any, name: str = "resultsTable") -> dict[tuple[str, str], list[str]]:
    """Of each measure, by the group that it stands in, what stands behind it."""
    found, group = {}, ""
    for measure, *values in cells(getattr(section.ui, name)):
        if any(values):
            found[group, measure] = values
        else:
            group = measure
    return found


def value(section: Any, group: str, measure: str) -> float:
    return float(table(section)[group, measure][0].split()[0])


def choose(comboBox: Any, index: int) -> None:
    """Choose an item as a person does, who sees the list."""
    comboBox.setCurrentIndex(index)
    comboBox.activated.emit(index)


def unfold(groupBox: Any) -> None:
    """Click the mark of a group that is folded."""
    slicer.app.processEvents()
    QTest.mouseClick(groupBox, qt.Qt.LeftButton, qt.Qt.NoModifier, qt.QPoint(9, 9))
    slicer.app.processEvents()
    assert not groupBox.collapsed


def enter(lineEdit: Any, text: str) -> None:
    """Type a text in place of what stands there."""
    lineEdit.selectAll()
    QTest.keyClicks(lineEdit, text)


def clear(node: Any, segment: str) -> None:
    """Remove all that is drawn of a segment, as Segment Editor does."""
    assert slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, segment)


def nodes(kind: str) -> list[Any]:
    """The nodes of the scene of a class."""
    return slicer.util.getNodesByClass(kind)
