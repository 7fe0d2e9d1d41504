"""A case: one image with, perhaps, its labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from CardiacSegLib.anatomy import LabelConvention, relabel
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image, read_image

#: Image and labels may lie this far from each other, in millimeters: headers are rounded.
_SAME_PLACE = 1e-2


@dataclass(frozen=True)
class Case:
    """One image of one patient at one phase.

    Attributes:
        patient: identifier; a split never puts one patient on two sides.
        phase: "ED", "ES" or "".
        image, labels: files on the same grid.
        convention: which number means which structure in ``labels``; what it lacks is not labeled in this case.
        group: diagnosis, scanner or whatever a split should balance; "" where unknown.
        frame: which frame of a cine, counted from 0; None where the files are volumes.
        part: "train", "val" or "test" where the layout says so, "" where it does not.
    """

    patient: str
    phase: str
    image: Path
    labels: Path
    convention: LabelConvention
    group: str = ""
    frame: int | None = None
    part: str = ""

    @property
    def name(self) -> str:
        return f"{self.patient}_{self.phase}" if self.phase else self.patient

    def read(self) -> tuple[Image, np.ndarray]:
        """The image of this case, a volume, and the labels (I, J, K) as they are numbered on disk.

        A layout whose labels are no image overrides this.

        Raises:
            CardiacSegError: naming the file that cannot be read, that is a cine, or whose labels do not fit the image.
        """
        image, reference = (_frame_of(read_image(path), self.frame) for path in (self.image, self.labels))
        if image.array.shape != reference.array.shape:
            raise CardiacSegError(
                f"{self.labels}: its shape {reference.array.shape} is not that of its image, {image.array.shape}; "
                "resample it to the image"
            )
        if not np.allclose(image.affine, reference.affine, rtol=0, atol=_SAME_PLACE):
            raise CardiacSegError(f"{self.labels}: lies elsewhere in space than its image; resample it to the image")
        return image, reference.array


def _frame_of(image: Image, frame: int | None) -> Image:
    """One frame of a cine, or the volume itself."""
    if image.array.ndim == 3:
        return image
    if frame is None:
        raise CardiacSegError(f"{image.path}: is a cine; give a file for each phase that is labeled")
    if not 0 <= frame < image.array.shape[3]:
        raise CardiacSegError(f"{image.path}: has {image.array.shape[3]} frames, but frame {frame} is asked for")
    return replace(image, array=image.array[..., frame])


def read_case(case: Case, convention: LabelConvention) -> tuple[Image, np.ndarray]:
    """The image of a case, and its labels (I, J, K) in ``convention``, uint8.

    Raises:
        CardiacSegError: naming the file that cannot be read, that is a cine, or whose labels do not fit the image.
    """
    image, labels = case.read()
    try:
        return image, relabel(labels, case.convention, convention)
    except CardiacSegError as error:
        raise CardiacSegError(f"{case.labels}: {error}") from error
