"""What the labels of one or many phases measure, as the rows that a person reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import slicer

from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.clinical.volumes import MYOCARDIAL_DENSITY, Chamber, ed_es_frames
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.geometry import slice_axis, voxel_spacing
from CardiacSegLib.mrml.segmentations import segment_volumes_ml
from CardiacSegLib.mrml.sequences import cine_of, frame_times
from CardiacSegLib.mrml.tables import HEADER, Row
from CardiacSegLib.mrml.volumes import affine_of_volume_node

_PHASES = ("ED", "ES")


@dataclass(frozen=True)
class Measured:
    """One labeled phase.

    Attributes:
        label: what a person knows the phase by: the volume's name, or the frame and its time.
        volumes_ml: of each structure that has a voxel, mL.
        frame: counted from 0 in the cine that the phase is of; None where it is of none.
        time_ms: of that frame, where it is known.
        slice_mm: thickness of the image's only slice, where it has but one (ultrasound): its areas then mean something
            and its volumes do not.
    """

    label: str
    volumes_ml: Mapping[str, float]
    frame: int | None = None
    time_ms: float | None = None
    slice_mm: float | None = None

    @property
    def is_flat(self) -> bool:
        """Whether areas are to be told instead of volumes."""
        return self.slice_mm is not None

    def sizes(self) -> dict[str, float]:
        """Of each structure the volume, mL, or in a flat image the area, cm²."""
        return {name: volume * 10.0 / (self.slice_mm or 10.0) for name, volume in self.volumes_ml.items()}


def measure(
    segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLVolumeNode | None = None
) -> Measured:
    """Measure one phase as its segmentation is now, edits included.

    Args:
        segmentation_node: its segments are found and counted by
            :func:`CardiacSegLib.mrml.segmentations.segment_volumes_ml`.
        volume_node: gives the label, and whether the image has but one slice; the image that the segmentation was made
            on where None.

    Raises:
        CardiacSegError: where the segments cannot be counted.
    """
    volumes = _volumes(segmentation_node, f"segmentation '{segmentation_node.GetName()}'")
    reference = segmentation_node.GetNodeReference(segmentation_node.GetReferenceImageGeometryReferenceRole())
    image = volume_node or reference
    return Measured((image or segmentation_node).GetName(), volumes, slice_mm=_slice_mm(image))


def measure_phases(
    pairs: Sequence[tuple[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLVolumeNode | None]],
) -> list[Measured]:
    """Measure phases that are segmentations of their own, as ED and ES of many data sets are.

    Raises:
        CardiacSegError: where the segments of one cannot be counted.
    """
    return [measure(*pair) for pair in pairs]


def measure_sequence(sequence_node: slicer.vtkMRMLSequenceNode) -> list[Measured]:
    """Measure every frame of a sequence of segmentations.

    Raises:
        CardiacSegError: where a frame is no segmentation, or its segments cannot be counted.
    """
    times, cine = frame_times(sequence_node), cine_of(sequence_node)
    slice_mm = _slice_mm(cine.GetNthDataNode(0) if cine is not None else None)
    return [
        _measure_frame(sequence_node, frame, None if times is None else float(times[frame]), slice_mm)
        for frame in range(sequence_node.GetNumberOfDataNodes())
    ]


def _measure_frame(
    sequence_node: slicer.vtkMRMLSequenceNode, frame: int, time_ms: float | None, slice_mm: float | None
) -> Measured:
    node = sequence_node.GetNthDataNode(frame)
    place = f"sequence '{sequence_node.GetName()}', frame {frame + 1}"
    if not isinstance(node, slicer.vtkMRMLSegmentationNode):
        raise CardiacSegError(f"{place}: is no segmentation; choose a sequence of segmentations")
    label = f"Frame {frame + 1}" if time_ms is None else f"Frame {frame + 1} ({time_ms:.0f} ms)"
    return Measured(label, _volumes(node, place), frame, time_ms, slice_mm)


def _slice_mm(image: slicer.vtkMRMLVolumeNode | None) -> float | None:
    """Thickness of the only slice of an image; None where it has several or there is none."""
    if image is None or image.GetImageData() is None:
        return None
    shape, affine = image.GetImageData().GetDimensions(), affine_of_volume_node(image)
    through = slice_axis(shape, affine)
    return float(voxel_spacing(affine)[through]) if shape[through] == 1 else None


def _volumes(segmentation_node: slicer.vtkMRMLSegmentationNode, place: str) -> dict[str, float]:
    """A structure that is not seen has no volume: 0 mL would be a wrong measurement, not a small one."""
    try:
        volumes = segment_volumes_ml(segmentation_node.GetSegmentation())
    except CardiacSegError as error:
        raise CardiacSegError(f"{place}: {error}") from error
    return {name: volume for name, volume in volumes.items() if volume > 0}


def choose_phases(
    measured: Sequence[Measured], ed: int | None = None, es: int | None = None
) -> tuple[int | None, int | None]:
    """The phases of end-diastole and end-systole: the largest and the smallest left ventricle.

    Frames of one cine are chosen by :func:`CardiacSegLib.clinical.volumes.ed_es_frames`.

    Args:
        measured: one heartbeat.
        ed, es: what a person chose, which counts; None leaves it to the volumes.

    Returns:
        (ED, ES), indices into ``measured``; both None where fewer than two phases have a left ventricle and the
        person chose none.
    """
    chosen = _by_volume(measured)
    return (chosen[0] if ed is None else ed), (chosen[1] if es is None else es)


def _by_volume(measured: Sequence[Measured]) -> tuple[int | None, int | None]:
    volumes = [phase.volumes_ml.get("LV", 0.0) for phase in measured]
    present = [index for index, volume in enumerate(volumes) if volume > 0]
    if len(present) < 2:
        return None, None
    if all(phase.frame is not None for phase in measured):
        return ed_es_frames(volumes)
    return max(present, key=volumes.__getitem__), min(present, key=volumes.__getitem__)


def rows(measured: Sequence[Measured], ed: int | None, es: int | None) -> list[Row]:
    """The rows of a table (:func:`CardiacSegLib.mrml.tables.fill_table_node`).

    Args:
        measured: the phases.
        ed, es: indices into them (:func:`choose_phases`).

    Returns:
        With ED and ES, for each ventricle that is seen, EDV, ESV, SV and EF, and the mass of the left ventricular
        myocardium at ED; of a cine also its two frames, counted from 1. Otherwise the volumes of the first phase. Of
        images of one slice the areas. A value that cannot be computed is None, never zero.
    """
    if ed is None or es is None:
        return _size_rows(measured[0], "") if measured else []
    phases = dict(zip(_PHASES, (measured[ed], measured[es])))
    if any(phase.is_flat for phase in phases.values()):
        found = [row for name, phase in phases.items() for row in _size_rows(phase, f" at {name}")]
    else:
        found = _ventricle_rows(measured, phases)
    frames = {name: phase.frame for name, phase in phases.items()}
    return found + [Row(f"{name} frame", "", frame + 1, "") for name, frame in frames.items() if frame is not None]


def _size_rows(phase: Measured, when: str) -> list[Row]:
    measure, unit = ("Area", "cm²") if phase.is_flat else ("Volume", "mL")
    sizes = phase.sizes()
    return [Row(measure + when, name, sizes[name], unit) for name in STRUCTURES if name in sizes]


def _ventricle_rows(measured: Sequence[Measured], phases: Mapping[str, Measured]) -> list[Row]:
    seen = [name for name in STRUCTURES if any(name in phase.volumes_ml for phase in measured)]
    found = [row for name in ("LV", "RV") if name in seen for row in _function_rows(name, phases)]
    if "MYO" in seen:
        volume = phases["ED"].volumes_ml.get("MYO")
        found.append(Row("Mass at ED", "MYO", None if volume is None else MYOCARDIAL_DENSITY * volume, "g"))
    if "LA" in seen:
        found += [Row(f"Volume at {name}", "LA", phase.volumes_ml.get("LA"), "mL") for name, phase in phases.items()]
    return found


def _function_rows(name: str, phases: Mapping[str, Measured]) -> list[Row]:
    chamber = Chamber(*(phases[phase].volumes_ml.get(name) for phase in _PHASES))
    return [
        Row("EDV", name, chamber.edv_ml, "mL"),
        Row("ESV", name, chamber.esv_ml, "mL"),
        Row("SV", name, chamber.stroke_volume_ml, "mL"),
        Row("EF", name, chamber.ejection_fraction, "%"),
    ]


class Curve(NamedTuple):
    """What :func:`CardiacSegLib.mrml.plots.fill_curves` needs of a heartbeat, by the names of its arguments."""

    rows: list[dict[str, float]]
    x: str
    columns: list[str]
    y_title: str


def volume_curve(measured: Sequence[Measured]) -> Curve:
    """The volumes, or of images of one slice the areas, of every structure that is seen, over time or frames from 1."""
    timed = all(phase.time_ms is not None for phase in measured)
    x = "time (ms)" if timed else "frame"
    rows = [{x: float(phase.time_ms if timed else number), **phase.sizes()} for number, phase in enumerate(measured, 1)]
    columns = [name for name in STRUCTURES if any(name in row for row in rows)]
    flat = any(phase.is_flat for phase in measured)
    return Curve(rows, x, columns, "area (cm²)" if flat else "volume (mL)")


def csv_text(rows: Sequence[Row]) -> str:
    """Rows as CSV with a header; a value that is None stays empty."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(_lines(rows))
    return stream.getvalue()


def tab_text(rows: Sequence[Row]) -> str:
    """Rows as plain text with tabs, which a spreadsheet takes from the clipboard as cells."""
    return "".join("\t".join(line) + "\n" for line in _lines(rows))


def _lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    return [HEADER, *((row.measure, row.structure, _shown(row.value), row.unit) for row in map(Row._make, rows))]


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.2f}"
