"""Evaluations made from phantoms and labels that are wrong in a known way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from CardiacSegLib.anatomy import CANONICAL, LabelConvention
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.datasets.layouts import find_cases
from CardiacSegLib.evaluation.sources import LabeledCase
from CardiacSegLib.evaluation.study import About, evaluate_cases
from CardiacSegLib.images import Image
from listening import Listener
from phantoms import write_acdc_patient


def make_patients(folder: Path, count: int) -> Path:
    """Patients of two groups in the layout of ACDC, small hearts of five slices."""
    for number in range(1, count + 1):
        group = "NOR" if number % 2 else "DCM"
        write_acdc_patient(folder / f"patient{number:03d}", number, group, slices=5)
    return folder


@dataclass
class SlippedLabels:
    """In place of a model: the reference, moved by some pixels, the LV of every other patient too large.

    Attributes:
        slip: pixels that the first patient's labels are moved by.
        lost: (case, structure) that is not found.
        known: whether there are probabilities, too.
    """

    name: str = "slipped"
    slip: int = 1
    lost: tuple[str, str] | None = None
    known: bool = True
    convention: LabelConvention = field(default_factory=lambda: dict(CANONICAL))

    def label(self, case: Case, image: Image) -> LabeledCase:
        _, truth = read_case(case, self.convention)
        number = int(case.patient[-3:])
        moved = np.roll(truth, self.slip + number % 3, axis=0)
        if number % 2:
            self._grow(moved, "LV", "MYO")
        if self.lost and self.lost[0] == case.name:
            moved[moved == self.convention[self.lost[1]]] = 0
        return LabeledCase(moved, self._probabilities(moved) if self.known else None)

    def _grow(self, labels: np.ndarray, name: str, into: str) -> None:
        """Give a structure the pixels of its neighbor next to it, so that volumes are wrong, too."""
        cross = ndimage.generate_binary_structure(3, 1) & [[[False, True, False]]]  # within the slice
        grown = ndimage.binary_dilation(labels == self.convention[name], cross)
        if into in self.convention:
            labels[grown & (labels == self.convention[into])] = self.convention[name]

    def _probabilities(self, labels: np.ndarray) -> np.ndarray:
        classes = np.stack([labels == number for number in range(max(self.convention.values()) + 1)])
        smooth = ndimage.gaussian_filter(classes.astype(np.float32), (0, 1.5, 1.5, 0)) + 1e-6
        return smooth / smooth.sum(axis=0)

    def check(self, cases: Sequence[Case]) -> None:
        pass

    def warnings(self) -> list[str]:
        return []


def make_evaluation(dataset: Path, output: Path, source: SlippedLabels, cases: int | None = None, **options) -> Path:
    """Evaluate the first cases of a data set; the options are those of ``evaluate_cases``."""
    options = {"about": About("phantoms", "cardiacseg evaluate --dataset phantoms"), **options}
    evaluate_cases(source, find_cases(dataset)[:cases], output, Listener(), **options)
    return output
