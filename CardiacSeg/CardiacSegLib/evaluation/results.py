"""An evaluation as it lies in its folder, read again by the pages that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.summary import read_summary
from CardiacSegLib.evaluation.tables import (
    FOLDERS,
    SUMMARY,
    TABLE,
    VOLUMES,
    StructureRow,
    VolumeRow,
    read_metrics,
    read_volumes,
)
from CardiacSegLib.images import read_image

#: What a page cannot do without; an evaluation by an older version may lack some of it.
_NEEDED = (
    *("model", "cases", "patients", "structures", "labels", "length_unit"),
    *("warnings", "scores", "agreement", "best", "worst"),
)


@dataclass(frozen=True)
class EvaluatedCase:
    """One image with the labels that it has and those that it got.

    Attributes:
        image, reference, prediction: (I, J, K) or (I, J, K, T), on one grid.
        affine: 4 x 4, index to RAS millimeters.
        convention: which number means which structure, in both labels.
    """

    name: str
    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray
    affine: np.ndarray
    convention: LabelConvention


@dataclass(frozen=True)
class Evaluation:
    """The files of one evaluation: of one model on one data set."""

    folder: Path
    summary: Mapping[str, Any]
    scores: tuple[StructureRow, ...]
    volumes: tuple[VolumeRow, ...]

    @classmethod
    def read(cls, folder: Path) -> Evaluation:
        """Read the tables; images stay on disk until :meth:`case` asks for one.

        Raises:
            CardiacSegError: naming the file that is missing or not what an evaluation writes.
        """
        summary = read_summary(folder / SUMMARY)
        missing = [name for name in _NEEDED if name not in summary]
        if missing:
            raise CardiacSegError(f"{folder / SUMMARY}: says nothing of {', '.join(missing)}; evaluate again")
        volumes = read_volumes(folder / VOLUMES) if (folder / VOLUMES).exists() else []
        return cls(folder, summary, tuple(read_metrics(folder / TABLE)), tuple(volumes))

    @property
    def convention(self) -> LabelConvention:
        return self.summary["labels"]

    @property
    def structures(self) -> list[str]:
        """In the order of their numbers."""
        return list(self.summary["structures"])

    @property
    def phases(self) -> list[str]:
        """Phases that cases have, ED first; none where no case says its phase."""
        return sorted({row.phase for row in self.scores if row.phase})

    def rows_of(self, case: str) -> list[StructureRow]:
        """The lines of one case, a structure each."""
        return [row for row in self.scores if row.case == case]

    def case_means(self, metric: str) -> dict[str, float]:
        """The mean over the structures of each case in which the metric is defined."""
        of_case: dict[str, list[float]] = {}
        for row in self.scores:
            value = getattr(row, metric)
            if value is not None:
                of_case.setdefault(row.case, []).append(value)
        return {case: float(np.mean(values)) for case, values in of_case.items()}

    def case(self, name: str) -> EvaluatedCase | None:
        """The images of a case; None where the folder does not keep them.

        Raises:
            CardiacSegError: naming the file that cannot be read or has another shape than its image.
        """
        paths = [self.folder / part / f"{name}.nii.gz" for part in FOLDERS]
        if not all(path.is_file() for path in paths):
            return None
        image, reference, prediction = (read_image(path) for path in paths)
        for labels in (reference, prediction):
            if labels.array.shape != image.array.shape:
                raise CardiacSegError(
                    f"{labels.path}: its shape {labels.array.shape} is not that of its image, {image.array.shape}; "
                    "evaluate again"
                )
        return EvaluatedCase(name, image.array, reference.array, prediction.array, image.affine, self.convention)
