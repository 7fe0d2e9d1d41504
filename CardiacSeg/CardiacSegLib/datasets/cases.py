"""A case: one image with, perhaps, its labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from CardiacSegLib.anatomy import LabelConvention, labels_text, relabel
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image, read_image

#: Image and labels may lie this far from each other, in millimeters: headers are rounded.
SAME_PLACE = 1e-2


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
        view: what tells this image from others of the patient at the same phase, such as "2CH"; "" where nothing does.
        vendor: maker of the scanner; "" where the layout does not say it.
    """

    patient: str
    phase: str
    image: Path
    labels: Path
    convention: LabelConvention
    group: str = ""
    frame: int | None = None
    part: str = ""
    view: str = ""
    vendor: str = ""

    @property
    def name(self) -> str:
        return "_".join(filter(None, (self.patient, self.view, self.phase)))

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
        if not np.allclose(image.affine, reference.affine, rtol=0, atol=SAME_PLACE):
            raise CardiacSegError(f"{self.labels}: lies elsewhere in space than its image; resample it to the image")
        return image, reference.array


def fixed_labels(convention: LabelConvention, named: LabelConvention | None, layout: str) -> LabelConvention:
    """The convention that a layout fixes.

    Raises:
        CardiacSegError: where the person named another one.
    """
    if named is not None and dict(named) != dict(convention):
        raise CardiacSegError(
            f"--labels {labels_text(named)}: the labels of {layout} are {labels_text(convention)}; leave it out, "
            "or name the layout that the folder has"
        )
    return convention


def named_labels(named: LabelConvention | None, folder: Path) -> LabelConvention:
    """The convention that the person named, for a layout that says none: numbers alone do not tell structures.

    Raises:
        CardiacSegError: where the person named none.
    """
    if named is None:
        raise CardiacSegError(
            f'{folder}: nothing in it says which number is which structure; name them, as in --labels "1=LV,2=MYO"'
        )
    return named


def _frame_of(image: Image, frame: int | None) -> Image:
    """One frame of a cine, or the volume itself."""
    if image.array.ndim == 3:
        return image
    if frame is None:
        raise CardiacSegError(f"{image.path}: is a cine; give a file for each phase that is labeled")
    if not 0 <= frame < image.array.shape[3]:
        raise CardiacSegError(f"{image.path}: has {image.array.shape[3]} frames, but frame {frame} is asked for")
    return replace(image, array=image.array[..., frame], frame_times=None)


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
