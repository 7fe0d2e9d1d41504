"""Labels against the reference labels of a whole data set: every file of an evaluation but its report.

What lies in its folder, :mod:`CardiacSegLib.evaluation.tables` says.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.anatomy import LabelConvention, relabel
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.agreement import volume_rows
from CardiacSegLib.evaluation.goals import goals_found
from CardiacSegLib.evaluation.overlap import EMPTINESS, confusion_matrix, emptiness, structure_names
from CardiacSegLib.evaluation.roc import VoxelCounts
from CardiacSegLib.evaluation.scores import score_case
from CardiacSegLib.evaluation.sources import Source
from CardiacSegLib.evaluation.summary import Findings, summarize, write_summary
from CardiacSegLib.evaluation.tables import (
    FOLDERS,
    IMAGES,
    PREDICTIONS,
    REFERENCES,
    SUMMARY,
    TABLE,
    VOLUMES,
    StructureRow,
    VolumeRow,
    write_rows,
)
from CardiacSegLib.files import make_folder
from CardiacSegLib.images import Image, write_image, write_labels
from CardiacSegLib.inference.provenance import Provenance
from CardiacSegLib.jobs.events import Listener


@dataclass(frozen=True)
class About:
    """What a summary says of an evaluation beside its figures.

    Attributes:
        dataset: name of the data set.
        command: by which it was made; no place of this machine.
        card: facts about the model, as :func:`CardiacSegLib.evaluation.provenance.card_facts` gives them.
        trained_on: the patients whom the model was trained on.
        warnings: what has to be said before anyone believes the figures.
        fold_of: the fold that each patient was held out in, where there are several models.
        provenance: by what the labels were made; of somebody else's only the version of CardiacSeg is known.
    """

    dataset: str = ""
    command: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)
    trained_on: Sequence[str] = ()
    warnings: Sequence[str] = ()
    fold_of: Mapping[str, int] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)


def evaluate_cases(
    source: Source,
    cases: Sequence[Case],
    output: Path,
    events: Listener,
    *,
    structures: Sequence[str] = (),
    about: About | None = None,
) -> dict[str, Any]:
    """Label cases, compare them with their reference labels, and write both down.

    Args:
        source: where the labels come from.
        cases: those whose reference labels lack a structure that is scored are left out.
        output: gets the files; the tables of an earlier evaluation there go first.
        events: told of each case.
        structures: to score; all that the source has where empty.
        about: what the summary says beside the figures.

    Returns:
        The summary, as it was written.

    Raises:
        CardiacSegError: where no case can be compared, or one cannot be read or labeled; it names the case.
    """
    scored = _scored(source, structures)
    usable = _usable(cases, scored)
    source.check(usable)
    for name in FOLDERS:
        make_folder(output / name)
    for name in (TABLE, VOLUMES, SUMMARY):
        # A run that is killed must not leave tables beside files that are not theirs.
        (output / name).unlink(missing_ok=True)
    study = _Study(source, scored, output)
    for number, case in enumerate(usable, 1):
        events.stage("case", f"{case.name} ({number} of {len(usable)})")
        study.add(case)
        events.progress(number / len(usable))
    left_out = len(cases) - len(usable)
    return study.write(about or About(), _partial_warnings(left_out, len(cases), scored))


def _scored(source: Source, structures: Sequence[str]) -> LabelConvention:
    """The structures to score, in the numbers of the source."""
    missing = [name for name in structures if name not in source.convention]
    if missing:
        raise CardiacSegError(
            f"--structures: {source.name} has no {', '.join(missing)}; choose from {', '.join(source.convention)}"
        )
    return {name: number for name, number in source.convention.items() if name in structures or not structures}


def _usable(cases: Sequence[Case], scored: LabelConvention) -> list[Case]:
    """The cases whose labels hold all structures that are scored."""
    usable = [case for case in cases if set(scored) <= set(case.convention)]
    if not usable:
        labeled = sorted({name for case in cases for name in case.convention})
        raise CardiacSegError(
            f"no case has labels for all of {', '.join(scored)}; score what is labeled by --structures "
            f"({', '.join(labeled)} is), or choose another model"
        )
    names = [case.name for case in usable]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise CardiacSegError(
            f"two cases are called {twice}; their files would replace each other, evaluate them apart"
        )
    return usable


def _partial_warnings(left_out: int, count: int, scored: LabelConvention) -> list[str]:
    if not left_out:
        return []
    return [f"{left_out} of {count} cases are left out: their reference has no labels for all of {', '.join(scored)}"]


class _Study:
    """What is gathered case by case."""

    def __init__(self, source: Source, scored: LabelConvention, output: Path) -> None:
        self._source, self._scored, self._output = source, scored, output
        self._rows: list[StructureRow] = []
        self._confusion = np.zeros((len(scored) + 1,) * 2, np.int64)
        self._voxels = VoxelCounts(scored)
        self._empty: dict[str, dict[str, list[str]]] = {}
        self._without_spacing: list[str] = []
        self._seconds = 0.0

    def add(self, case: Case) -> None:
        """Label a case, score it and keep its files."""
        image, reference = read_case(case, self._scored)
        started = time.perf_counter()
        labeled = self._source.label(case, image)
        self._seconds += time.perf_counter() - started
        labels = relabel(labeled.labels, self._source.convention, self._scored)
        confusion = confusion_matrix(labels, reference, self._scored)
        self._confusion += confusion
        self._rows += score_case(case, image, labels, reference, confusion, self._scored)
        for name, kind in emptiness(confusion, self._scored).items():
            self._empty.setdefault(name, {kind: [] for kind in EMPTINESS})[kind].append(case.name)
        if labeled.probabilities is not None:
            self._voxels.add(labeled.probabilities, reference, image.affine)
        if not image.spacing_known:
            self._without_spacing.append(case.name)
        self._keep(case, image, reference, labels)

    def _keep(self, case: Case, image: Image, reference: np.ndarray, labels: np.ndarray) -> None:
        file = f"{case.name}.nii.gz"
        write_image(self._output / IMAGES / file, image)
        write_labels(self._output / REFERENCES / file, reference, image, self._scored)
        write_labels(self._output / PREDICTIONS / file, labels, image, self._scored)

    def write(self, about: About, warnings: Sequence[str]) -> dict[str, Any]:
        """Write the tables and the summary."""
        volumes = volume_rows(self._rows)
        summary = summarize(self._findings(volumes, about.fold_of))
        summary |= {
            "goals": [found._asdict() for found in goals_found(self._rows, volumes)],
            "dataset": about.dataset,
            "command": about.command,
            "model_card": dict(about.card),
            "provenance": about.provenance.timed(self._seconds).fields(),
            "trained_on": list(about.trained_on),
            "warnings": [
                *about.warnings,
                *self._source.warnings(),
                *warnings,
                *self._spacing_warnings(),
                *summary["warnings"],
            ],
        }
        write_rows(self._output / TABLE, self._rows, StructureRow)
        write_rows(self._output / VOLUMES, volumes, VolumeRow)
        # It comes last: where it lies, the evaluation is whole.
        write_summary(self._output / SUMMARY, summary)
        return summary

    def _findings(self, volumes: Sequence[VolumeRow], fold_of: Mapping[str, int]) -> Findings:
        return Findings(
            model=self._source.name,
            labels={name: self._scored[name] for name in structure_names(self._scored)},
            rows=self._rows,
            volumes=volumes,
            confusion=self._confusion,
            empty=self._empty,
            curves=self._voxels.curves(),
            length_unit="pixels" if self._without_spacing else "mm",
            fold_of=fold_of,
        )

    def _spacing_warnings(self) -> list[str]:
        if not self._without_spacing:
            return []
        return [
            f"{len(self._without_spacing)} images say no spacing ({self._without_spacing[0]} first): their distances "
            "count pixels, and they have no volumes"
        ]
