"""A case: one image with, perhaps, its labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from CardiacSegLib.anatomy import LabelConvention


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
