"""DICOM folders made of a phantom, as scanners of several makers write them.

Every file names a patient who must never be seen in anything that is written, printed or said: see :data:`CANARIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from contourpy import contour_generator
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.phantom import Phantom, PhantomOptions, make_phantom
from phantoms import COARSE

#: As Sunnybrook has them, with leading zeros that the standard forbids.
SERIES = "1.2.826.0.1.3680043.8.498.08975550791105350405"
STUDY = "1.2.826.0.1.3680043.8.498.0400.1"
#: What names the patient, or the day: none of it may leave the files.
CANARIES = {
    "PatientName": "CANARY^NAME",
    "PatientID": "CANARY-ID-4711",
    "PatientBirthDate": "19010203",
    "StudyDate": "19050607",
    "AcquisitionDate": "19050608",
    "AccessionNumber": "CANARY-ACCESSION",
    "ReferringPhysicianName": "CANARY^DOCTOR",
    "InstitutionName": "CANARY HOSPITAL",
    "StudyDescription": "CANARY STUDY",
    "PatientComments": "CANARY COMMENT",
}
#: From one phase to the next in the first slice, milliseconds; a millisecond more in each that follows.
STEP = 120.0
THICKNESS = 8.0


@cache
def a_scan(frames: int = 6, slices: int = 5) -> Phantom:
    """Oblique and right-handed, as scanners have it: it is read as the very array that it is."""
    return make_phantom(PhantomOptions(frames=frames, slices=slices, seed=3, **COARSE))


def write_image_file(
    path: Path, pixels: np.ndarray, affine: np.ndarray, *, number: int, turned: float = 0.0, **fields: Any
) -> Path:
    """Write one image.

    Args:
        pixels: (columns, rows).
        affine: 4 x 4, from column, row and 0 to RAS millimeters.
        number: InstanceNumber.
        turned: what the last digits of its direction are off.
        fields: further elements by their keyword; None leaves one out.
    """
    dataset = _dataset(MRImageStorage)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :2], axis=0)
    directions = (lps[:3, :2] / spacing).T.ravel()
    directions[0] += turned
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient = [f"{value:.6f}" for value in lps[:3, 3]]
    dataset.ImageOrientationPatient = [f"{value:.6f}" for value in directions]
    dataset.PixelSpacing = [f"{value:.6f}" for value in spacing[::-1]]
    _set_pixels(dataset, pixels)
    return _save(dataset, path, fields)


def _dataset(storage: UID) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with pydicom.config.disable_value_validation():
        dataset.SOPClassUID, dataset.SOPInstanceUID = storage, generate_uid()
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = UID(SERIES), UID(STUDY)
        dataset.FrameOfReferenceUID = UID(f"{STUDY}.1")
        for name, value in CANARIES.items():
            setattr(dataset, name, value)
    dataset.Modality, dataset.SeriesNumber = "MR", 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    return dataset


def _set_pixels(dataset: Dataset, pixels: np.ndarray) -> None:
    """Pixels (columns, rows), or (columns, rows, frames)."""
    dataset.Columns, dataset.Rows = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.PixelData = np.ascontiguousarray(pixels.T, dtype="<i2").tobytes()


def _save(dataset: Dataset, path: Path, fields: dict[str, Any]) -> Path:
    with pydicom.config.disable_value_validation():
        for name, value in fields.items():
            if value is not None:
                setattr(dataset, name, UID(value) if name.endswith("UID") else value)
            elif name in dataset:
                delattr(dataset, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
    return path


def slice_affine(phantom: Phantom, level: int) -> np.ndarray:
    affine = phantom.affine.copy()
    affine[:3, 3] += level * affine[:3, 2]
    return affine


def trigger_time(level: int, frame: float) -> float:
    """When a phase of a slice is taken, milliseconds after the R wave: each slice has heartbeats of its own."""
    return (frame + 0.5) * (STEP + level)


def write_cine(
    folder: Path,
    phantom: Phantom,
    name: Callable[[int, int], str] = lambda level, frame: f"{level:02d}-{frame:02d}.dcm",
    fields: Callable[[int, int], dict[str, Any]] = lambda level, frame: {},
    skip: Sequence[tuple[int, int]] = (),
    **common: Any,
) -> None:
    """Write a file for each slice and phase of a phantom.

    Args:
        name: of the file of a slice and a phase.
        fields: elements of that file; they go before those it would have.
        skip: slices and phases that are not there.
        common: elements of all files.
    """
    _, _, levels, frames = phantom.image.shape
    for level in range(levels):
        for frame in range(frames):
            if (level, frame) in skip:
                continue
            usual = {"number": level * frames + frame + 1, "TriggerTime": f"{trigger_time(level, frame):.3f}"}
            usual |= {"SliceThickness": THICKNESS, "NominalInterval": round((STEP + level) * frames)}
            elements = {**usual, "turned": 1e-6 * (level % 2), **common, **fields(level, frame)}
            pixels = phantom.image[:, :, level, frame]
            write_image_file(folder / name(level, frame), pixels, slice_affine(phantom, level), **elements)


def one_series_a_slice(level: int, frame: int) -> dict[str, Any]:
    """Elements of scanners that number each slice of a cine as a series of its own."""
    return {"SeriesInstanceUID": f"{SERIES}.{level + 1}", "SeriesNumber": 10 + level, "number": frame + 1}


def turned_about(affine: np.ndarray, axis: int) -> np.ndarray:
    """The plane at right angles to that of a slice which contains its first (0) or second (1) axis."""
    lps = affine.copy()
    spacing = np.linalg.norm(affine[:3, 0])
    normal = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    lps[:3, 1 - axis] = normal * spacing
    lps[:3, 2] = affine[:3, 1 - axis]
    return lps


def write_long_axis(folder: Path, phantom: Phantom) -> None:
    """Two cines of one slice along the heart, each a series of its own."""
    frames = phantom.image.shape[3]
    for axis in (0, 1):
        for frame in range(frames):
            write_image_file(
                *(folder / f"la{axis}-{frame}.dcm", phantom.image[:, :, 0, frame], turned_about(phantom.affine, axis)),
                **{"number": frame + 1, "TriggerTime": trigger_time(0, frame), "SeriesNumber": 3 + axis},
                **{"SeriesInstanceUID": f"{SERIES}.3{axis}", "SeriesDescription": f"{2 + 2 * axis}ch"},
            )


def write_localizer(folder: Path, phantom: Phantom) -> None:
    """Three slices in each of three directions, straight to the body, in one series."""
    for number in range(9):
        affine = np.eye(4)
        affine[:3, :3] = np.roll(np.diag([3.0, 3.0, 20.0]), number // 3, axis=0)
        affine[:3, 3] = affine[:3, 2] * (number % 3)
        pixels = phantom.image[:, :, 0, 0]
        path = folder / f"loc{number}.dcm"
        write_image_file(path, pixels, affine, number=number + 1, SeriesInstanceUID=f"{SERIES}.200", SeriesNumber=0)


def write_stack(folder: Path, phantom: Phantom, affine: np.ndarray, name: str, **fields: Any) -> None:
    """Write the phases of the first slice as those of every slice of another stack, which lies as an affine says."""
    _, _, levels, frames = phantom.image.shape
    for level in range(fields.pop("levels", levels)):
        place = affine.copy()
        place[:3, 3] += level * place[:3, 2]
        for frame in range(frames):
            elements = {"number": level * frames + frame + 1, "TriggerTime": trigger_time(0, frame), **fields}
            elements |= {"SeriesInstanceUID": f"{SERIES}.{sum(map(ord, name))}"}
            write_image_file(folder / f"{name}-{level}-{frame}.dcm", phantom.image[:, :, 0, frame], place, **elements)


def write_report(path: Path) -> None:
    """A DICOM file without an image."""
    dataset = _dataset(UID("1.2.840.10008.5.1.4.1.1.88.22"))
    _save(dataset, path, {})


def write_enhanced(path: Path, phantom: Phantom, triggered: bool = True, **fields: Any) -> None:
    """The whole cine in one file, as enhanced MR images have it, phases of a slice one after the other.

    Args:
        triggered: whether it says when after the R wave an image was taken.
        fields: further elements.
    """
    dataset = _dataset(EnhancedMRImageStorage)
    _, _, levels, frames = phantom.image.shape
    order = [(level, frame) for level in range(levels) for frame in range(frames)]
    _set_pixels(dataset, np.stack([phantom.image[:, :, level, frame] for level, frame in order], axis=-1))
    dataset.NumberOfFrames, dataset.InstanceNumber = len(order), 1
    shared = Dataset()
    shared.PixelMeasuresSequence = Items([_group(PixelSpacing=[3.0, 3.0], SliceThickness=THICKNESS)])
    lps = np.diag([-1.0, -1.0, 1.0]) @ phantom.affine[:3, :2] / np.linalg.norm(phantom.affine[:3, :2], axis=0)
    directions = [f"{value:.9f}" for value in lps.T.ravel()]
    shared.PlaneOrientationSequence = Items([_group(ImageOrientationPatient=directions)])
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    dataset.PerFrameFunctionalGroupsSequence = Items([_frame(phantom, *each, triggered) for each in order])
    _save(dataset, path, fields)


def _frame(phantom: Phantom, level: int, frame: int, triggered: bool) -> Dataset:
    position = np.array([-1.0, -1.0, 1.0]) * slice_affine(phantom, level)[:3, 3]
    groups = Dataset()
    groups.PlanePositionSequence = Items([_group(ImagePositionPatient=[f"{value:.6f}" for value in position])])
    times = {"NominalCardiacTriggerDelayTime": trigger_time(level, frame)}
    times["RRIntervalTimeNominal"] = (STEP + level) * phantom.image.shape[3]
    groups.CardiacSynchronizationSequence = Items([_group(**times)] if triggered else [])
    groups.FrameContentSequence = Items([_group(TemporalPositionIndex=frame + 1)])
    return groups


def _group(**fields: Any) -> Dataset:
    group = Dataset()
    for name, value in fields.items():
        setattr(group, name, value)
    return group


def outline(mask: np.ndarray) -> np.ndarray:
    """The border of a mask (columns, rows) halfway between the centers of pixels, counted from the image's corner."""
    lines = contour_generator(z=mask.T.astype(float)).lines(0.5)
    return max(lines, key=len)[:-1] + 0.5


def contour_name(number: int, kind: str) -> str:
    """How Sunnybrook calls the inner ("i") or outer ("o") contour on an image."""
    return f"IM-0001-{number:04d}-{kind}contour-manual.txt"


def write_contour(folder: Path, number: int, kind: str, points: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{x:.2f} {y:.2f}\r\n" for x, y in points)
    (folder / contour_name(number, kind)).write_text(lines)


def write_contours(inner: Path, outer: Path, phantom: Phantom) -> None:
    """Write the contours that experts draw: both at ED, the inner one alone at ES; images count slice by slice."""
    _, _, levels, frames = phantom.labels.shape
    for frame in (phantom.ed_frame, phantom.es_frame):
        for level in range(levels):
            labels, number = phantom.labels[:, :, level, frame], level * frames + frame + 1
            if not (labels == CANONICAL["LV"]).any():
                continue
            write_contour(inner, number, "i", outline(labels == CANONICAL["LV"]))
            if frame == phantom.ed_frame:
                write_contour(outer, number, "o", outline((labels == CANONICAL["LV"]) | (labels == CANONICAL["MYO"])))
    write_contour(inner, frames + phantom.ed_frame + 1, "p1", np.ones((4, 2)))
