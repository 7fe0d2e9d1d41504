"""Phantoms written as other data sets keep their patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import SimpleITK as sitk

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.images import Image, write_image, write_labels
from CardiacSegLib.phantom import Phantom, PhantomOptions, make_phantom
from phantoms import COARSE

#: A slice through the middle of the heart.
MIDDLE = 1


@cache
def a_beat(seed: int = 0) -> Phantom:
    """Four frames of four slices."""
    return make_phantom(PhantomOptions(frames=4, slices=4, seed=seed, **COARSE))


def phases(phantom: Phantom) -> dict[str, int]:
    return {"ED": phantom.ed_frame, "ES": phantom.es_frame}


def write_volume(path: Path, image: np.ndarray, labels: np.ndarray, affine: np.ndarray) -> None:
    """An image and beside it its labels, NAME_gt.nii.gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, Image(image, affine))
    write_labels(path.with_name(path.name.replace(".nii", "_gt.nii")), labels, Image(image, affine), CANONICAL)


def write_mnms_cine(folder: Path, patient: str, seed: int = 0) -> None:
    """A patient as M&Ms publishes it: a cine, labeled at ED and ES only."""
    beat = a_beat(seed)
    unlabeled = [frame for frame in range(beat.labels.shape[3]) if frame not in phases(beat).values()]
    labels = beat.labels.copy()
    labels[..., unlabeled] = 0
    write_volume(folder / patient / f"{patient}_sa.nii.gz", beat.image, labels, beat.affine)


def write_mnms_phases(folder: Path, patient: str, seed: int = 0, axis: str = "sa") -> None:
    """A patient whose phases stand in files of their own, all in one folder."""
    beat = a_beat(seed)
    for phase, frame in phases(beat).items():
        path = folder / f"{patient}_{axis}_{phase}.nii.gz"
        write_volume(path, beat.image[..., frame], beat.labels[..., frame], beat.affine)


def write_table(path: Path, rows: Sequence[Mapping[str, object]], delimiter: str = ",") -> None:
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    path.write_text("\n".join(delimiter.join(map(str, line)) for line in lines) + "\n", encoding="utf-8")


def mnms_row(patient: str, seed: int = 0, vendor: str = "A") -> dict[str, object]:
    """A row of the table that comes with M&Ms; its first column is a number without a name."""
    return {"": seed, "External code": patient, "VendorName": "Some", "Vendor": vendor, **phases(a_beat(seed))}


def write_camus_patient(
    folder: Path, patient: str, seed: int = 0, views: Sequence[str] = ("2CH", "4CH"), extension: str = ".nii.gz"
) -> None:
    """ED and ES of each view as files of one slice."""
    beat = a_beat(seed)
    (folder / patient).mkdir(parents=True)
    for number, view in enumerate(views):
        for phase, frame in phases(beat).items():
            for suffix, cine in (("", beat.image), ("_gt", beat.labels)):
                path = folder / patient / f"{patient}_{view}_{phase}{suffix}{extension}"
                write_slices(path, cine[:, :, MIDDLE + number : MIDDLE + number + 1, frame])


def write_slices(path: Path, array: np.ndarray) -> None:
    """An array (I, J, K) as NIfTI or, as CAMUS did before, as MetaImage of two dimensions."""
    if path.suffix == ".mhd":
        image = sitk.GetImageFromArray(array[..., 0].T)
        image.SetSpacing((0.3, 0.2))
        sitk.WriteImage(image, str(path))
    else:
        write_image(path, Image(array, np.diag([-0.3, -0.2, 1.0, 1.0])))


def write_camus_sequence(folder: Path, patient: str, seed: int = 0, view: str = "2CH", reverse: bool = False) -> None:
    """The frames from ED to ES, or from ES to ED, along the third axis, and the file that says which is which."""
    beat = a_beat(seed)
    first, last = beat.ed_frame, beat.es_frame
    frames = list(range(first, last + 1))[:: -1 if reverse else 1]
    (folder / patient).mkdir(parents=True)
    for suffix, cine in (("", beat.image), ("_gt", beat.labels)):
        write_slices(folder / patient / f"{patient}_{view}_half_sequence{suffix}.nii.gz", cine[:, :, MIDDLE, frames])
    numbers = {"ED": frames.index(first) + 1, "ES": frames.index(last) + 1, "NbFrame": len(frames)}
    lines = [f"{name}: {value}" for name, value in {**numbers, "ImageQuality": "Good"}.items()]
    (folder / patient / f"Info_{view}.cfg").write_text("\n".join(lines) + "\n", encoding="utf-8")


def a_slice(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gray values and labels of one slice (I, J), uint8."""
    beat = a_beat(seed)
    image = np.clip(beat.image[:, :, MIDDLE, beat.ed_frame] / 2, 0, 255).astype(np.uint8)
    return image, beat.labels[:, :, MIDDLE, beat.ed_frame]


def write_picture(path: Path, array: np.ndarray) -> None:
    """An array (I, J) as a picture, J running down."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.ascontiguousarray(array.T)).save(path)


def write_picture_pair(image: Path, mask: Path, seed: int = 0, grays: Sequence[int] = (0, 1, 2, 3)) -> None:
    """A slice and its mask, which holds ``grays`` for background, LV, MYO and RV."""
    gray_values, labels = a_slice(seed)
    write_picture(image, gray_values)
    write_picture(mask, np.array(grays, np.uint8)[labels])
