"""A scene's volumes and segmentations to a list of cases on disk, which training and evaluation read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk

from CardiacSegLib.anatomy import STRUCTURES, LabelConvention
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.datalist import write_datalist
from CardiacSegLib.datasets.descriptions import structure_named
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder
from CardiacSegLib.images import Image, write_image, write_labels
from CardiacSegLib.mrml.nodes import nodes_of_class
from CardiacSegLib.mrml.segmentations import export_segments, volume_of_segmentation
from CardiacSegLib.mrml.volumes import image_from_volume_node

#: The numbers in every label file of an export.
EXPORTED: LabelConvention = {name: number for number, name in enumerate(STRUCTURES, 1)}

_LIST = "dataset.json"
_NAME_OF_CODE = {structure.snomed_code: name for name, structure in STRUCTURES.items()}


@dataclass(frozen=True)
class Pair:
    """A volume and the segmentation that belongs to it.

    Attributes:
        volume, segmentation: the nodes.
        patient: identifier; the volume's name where empty.
        phase: "ED", "ES" or "".
        group: diagnosis, scanner or whatever a split should balance.
    """

    volume: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode | None
    patient: str = ""
    phase: str = ""
    group: str = ""


def find_pairs(scene: slicer.vtkMRMLScene) -> list[Pair]:
    """Each segmentation of a scene with the volume that it was drawn on, in the order of the segmentations.

    Slicer keeps that volume as the segmentation's reference image; a segmentation without one is left out.
    """
    pairs = (Pair(volume_of_segmentation(node), node) for node in nodes_of_class(scene, "vtkMRMLSegmentationNode"))
    return [pair for pair in pairs if pair.volume is not None]


def export_cases(
    scene: slicer.vtkMRMLScene,
    pairs: Sequence[Pair] | None,
    folder: Path,
    *,
    extension: str = ".nrrd",
    tell: Callable[[str], None] = print,
) -> Path:
    """Write volumes and their segmentations as cases: images, labels on the grid of each image, and the list of them.

    A segment is the structure that its terminology names, or else its name or ID. Where segments overlap, a cavity
    lies over the myocardium. Everything is looked at before anything is written, and the list is written last.

    Args:
        scene: where the nodes are.
        pairs: what to export; all that :func:`find_pairs` finds where None.
        folder: made where it does not exist; files of an earlier export of the same cases are replaced.
        extension: ".nrrd" or ".nii.gz", of images and labels.
        tell: called with a line for each segmentation of which segments are left out, because they are no structure
            that is known.

    Returns:
        The list, which :func:`CardiacSegLib.datasets.datalist.find_cases` reads.

    Raises:
        CardiacSegError: where there is nothing to export; a volume has no segmentation; a segmentation has no segment
            of a known structure, no voxel on the volume, or two of one structure; two cases have the same name; or a
            file cannot be written.
    """
    exports = [_Export.of_pair(pair, tell) for pair in (find_pairs(scene) if pairs is None else pairs)]
    if not exports:
        raise CardiacSegError("no volume of the scene has a segmentation; segment one, or choose one as its reference")
    names = [export.name for export in exports]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise CardiacSegError(f"two cases are called {twice}; name a patient and a phase for each")
    for place in ("images", "labels"):
        make_folder(Path(folder) / place)
    cases = [export.write(Path(folder), extension) for export in exports]
    write_datalist(Path(folder) / _LIST, cases)
    return Path(folder) / _LIST


@dataclass(frozen=True)
class _Export:
    """A pair as it will be written: ``labels`` on the voxels of ``image``, numbered by ``convention``."""

    pair: Pair
    image: Image
    labels: np.ndarray
    convention: LabelConvention

    @classmethod
    def of_pair(cls, pair: Pair, tell: Callable[[str], None]) -> _Export:
        if pair.segmentation is None:
            raise CardiacSegError(f"volume '{pair.volume.GetName()}' has no segmentation; segment it, or leave it out")
        segments = _segments_of_structures(pair.segmentation, tell)
        image = Image(*image_from_volume_node(pair.volume))
        convention = {name: EXPORTED[name] for name in STRUCTURES if name in segments}
        labels = _labels(pair, segments)
        if not labels.any():
            raise CardiacSegError(
                f"segmentation '{pair.segmentation.GetName()}' has no voxel on volume '{pair.volume.GetName()}'; "
                "fill it, or choose the volume that it belongs to"
            )
        return cls(pair, image, labels, convention)

    @property
    def name(self) -> str:
        """Of the case and its files: what a file system cannot bear is an underscore."""
        patient = self.pair.patient or self.pair.volume.GetName()
        return re.sub(r"[^\w.-]+", "_", "_".join(filter(None, (patient, self.pair.phase)))).strip("._")

    def write(self, folder: Path, extension: str) -> Case:
        image, labels = (folder / place / f"{self.name}{extension}" for place in ("images", "labels"))
        write_image(image, self.image)
        write_labels(labels, self.labels, self.image, self.convention)
        patient = self.pair.patient or self.pair.volume.GetName()
        return Case(patient, self.pair.phase, image, labels, self.convention, self.pair.group)


def _segments_of_structures(
    segmentation_node: slicer.vtkMRMLSegmentationNode, tell: Callable[[str], None]
) -> dict[str, str]:
    """The ID of the segment of each structure."""
    name, segmentation = segmentation_node.GetName(), segmentation_node.GetSegmentation()
    found: dict[str, str] = {}
    others = []
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        structure = _structure_of(segment_id, segment)
        if structure is None:
            others.append(segment.GetName())
        elif structure in found:
            first = segmentation.GetSegment(found[structure]).GetName()
            raise CardiacSegError(
                f"segmentation '{name}': segments '{first}' and '{segment.GetName()}' are both {structure}; leave one"
            )
        else:
            found[structure] = segment_id
    if not found:
        raise CardiacSegError(
            f"segmentation '{name}' has no segment of a known structure; give one the name or the terminology of "
            f"{', '.join(STRUCTURES)}"
        )
    if others:
        tell(f"segmentation '{name}': left out {', '.join(others)}, which are none of {', '.join(STRUCTURES)}")
    return found


def _structure_of(segment_id: str, segment: slicer.vtkSegment) -> str | None:
    return _NAME_OF_CODE.get(_code(segment)) or structure_named(segment.GetName()) or structure_named(segment_id)


def _code(segment: slicer.vtkSegment) -> str:
    """The SNOMED CT code of what a segment is; "" where its terminology does not say one."""
    entry = vtk.mutable("")
    if not segment.GetTag(segment.GetTerminologyEntryTagName(), entry):
        return ""
    # context ~ category ~ type ~ modifier ~ ..., each of the codes scheme ^ code ^ meaning
    codes = [field.split("^") for field in str(entry).split("~")]
    return codes[2][1] if len(codes) > 2 and codes[2][0] == "SCT" and len(codes[2]) > 1 else ""


def _labels(pair: Pair, segments: dict[str, str]) -> np.ndarray:
    """uint8 (I, J, K) on the grid of the volume, numbered by :data:`EXPORTED`."""
    order = sorted(segments, key=lambda name: name != "MYO")  # a later segment lies over an earlier one
    numbers = np.array([0, *(EXPORTED[name] for name in order)], np.uint8)
    return numbers[export_segments(pair.segmentation, [segments[name] for name in order], pair.volume)]
