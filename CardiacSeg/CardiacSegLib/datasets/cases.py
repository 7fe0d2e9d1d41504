"""A case: one image with, perhaps, its labels."""

from __future__ import annotations

from dataclasses import dataclass
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
        convention: which number means which structure in ``labels``.
        group: diagnosis, scanner or whatever a split should balance; "" where unknown.
    """

    patient: str
    phase: str
    image: Path
    labels: Path
    convention: LabelConvention
    group: str = ""

    @property
    def name(self) -> str:
        return f"{self.patient}_{self.phase}" if self.phase else self.patient


def read_case(case: Case, convention: LabelConvention) -> tuple[Image, np.ndarray]:
    """The image of a case, and its labels (I, J, K) in ``convention``.

    Raises:
        CardiacSegError: naming the file that cannot be read, that is a cine, or whose labels do not fit the image.
    """
    image, reference = read_image(case.image), read_image(case.labels)
    if image.array.ndim != 3:
        raise CardiacSegError(f"{case.image}: is a cine; give a file for each phase that is labeled")
    if image.array.shape != reference.array.shape:
        raise CardiacSegError(
            f"{case.labels}: its shape {reference.array.shape} is not that of its image, {image.array.shape}; "
            "resample it to the image"
        )
    if not np.allclose(image.affine, reference.affine, rtol=0, atol=_SAME_PLACE):
        raise CardiacSegError(f"{case.labels}: lies elsewhere in space than its image; resample it to the image")
    try:
        return image, relabel(reference.array, case.convention, convention)
    except CardiacSegError as error:
        raise CardiacSegError(f"{case.labels}: {error}") from error
