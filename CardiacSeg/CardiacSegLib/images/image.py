"""An image: voxels with their place in space; and the names of files that hold one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

#: ITK's world is LPS, NIfTI's and Slicer's is RAS.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Pictures say nothing of space: read as one slice, of 1 mm pixels, that knows that it does not know them.
PICTURE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
IMAGE_EXTENSIONS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", *PICTURE_EXTENSIONS)
#: What is said of an image whose ``spacing_known`` is False.
NO_SPACING = "says no spacing; 1 mm is assumed, so that volumes and areas mean nothing"
LABEL_EXTENSIONS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd")


@dataclass(frozen=True)
class Image:
    """Voxels with their place in space.

    Attributes:
        array: (I, J, K), or (I, J, K, T) for a cine.
        affine: 4 x 4, float64, index to RAS millimeters.
        path: the file it came from, if any.
        header: the fields of that file which hold its geometry, as they stood in it.
        spacing_known: False where the file says no spacing (PNG and other pictures): the affine then has 1 mm, and
            what is measured with it counts pixels.
        frame_times: of the phases of a cine, (T,), milliseconds after the R wave, or after the first phase; None where
            the file does not say.
        heart_rate: per minute; None where the file does not say.
        notes: what was left out when it was read, or stands in for something else, a line each.
    """

    array: np.ndarray
    affine: np.ndarray
    path: Path | None = None
    header: Mapping[str, Any] = field(default_factory=dict)
    spacing_known: bool = True
    frame_times: np.ndarray | None = None
    heart_rate: float | None = None
    notes: Sequence[str] = ()


def as_volume(array: np.ndarray) -> np.ndarray:
    """The voxels of a file of two dimensions as a stack of one slice (I, J, 1); others as they are."""
    return array.reshape(array.shape + (1,) * (3 - array.ndim))


def extension_of(path: Path | str, known: Sequence[str]) -> str:
    """The longest of the known extensions that a file name ends with; "" where none does."""
    name = Path(path).name.lower()
    return max((extension for extension in known if name.endswith(extension)), key=len, default="")


def stem_of(path: Path | str) -> str:
    """The name of an image file without its extension, which may have two parts."""
    name = Path(path).name
    return name[: len(name) - len(extension_of(name, IMAGE_EXTENSIONS))]
