"""The way of one study: read, label, measure, write. What fails on it becomes the outcome, and stops nothing else."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.cohorts.studies import CohortStudy, LoadedStudy
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder, remove_partial, replacing
from CardiacSegLib.images import write_labels
from CardiacSegLib.jobs.studies import Contours, StudyInput, write_page

if TYPE_CHECKING:
    from CardiacSegLib.clinical.study import StudyMeasures
    from CardiacSegLib.inference.provenance import Provenance
    from CardiacSegLib.inference.segmenter import Segmenter

#: The file of a study that is written last: where it is, the study is done.
MEASURES = "measures.json"
FAILED = "failed.json"
PAGE = "report.html"


@dataclass(frozen=True)
class Job:
    """What is the same for all studies of a cohort.

    Attributes:
        studies: the folder that gets a folder for each study.
        reports: whether a page is written of each.
    """

    studies: Path
    reports: bool = False

    def folder(self, study: CohortStudy) -> Path:
        return self.studies / study.id


@dataclass(frozen=True)
class Outcome:
    """How a study ended.

    Attributes:
        study: which.
        content: of its ``measures.json``; empty where it failed.
        reason: why it failed, one line; "" where it did not.
    """

    study: CohortStudy
    content: Mapping[str, Any]
    reason: str = ""


@dataclass(frozen=True)
class LabeledStudy:
    """A study with its labels, of the shape of ``loaded.array``."""

    loaded: LoadedStudy
    labels: np.ndarray
    convention: LabelConvention
    provenance: Provenance

    @property
    def study(self) -> CohortStudy:
        return self.loaded.study


@dataclass(frozen=True)
class MeasuredStudy:
    """A study with its measures."""

    labeled: LabeledStudy
    measures: StudyMeasures

    @property
    def study(self) -> CohortStudy:
        return self.labeled.study


def _or_failed(stage: Callable[..., Any]) -> Callable[..., Any]:
    """A stage that passes on what failed before it, and turns what fails in it into an outcome."""

    @functools.wraps(stage)
    def guarded(item: Any, *arguments: Any) -> Any:
        if isinstance(item, Outcome):
            return item
        study = item if isinstance(item, CohortStudy) else item.study
        try:
            return stage(item, *arguments)
        except Exception as error:  # whatever is wrong with one study, the next may be sound
            return Outcome(study, {}, study.short(reason_of(error)))

    return guarded


def reason_of(error: BaseException) -> str:
    """Why a study failed, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, CardiacSegError):
        return text
    if isinstance(error, MemoryError):
        return "not enough memory; give a smaller image, or a computer with more"
    return f"{type(error).__name__}: {text}; report this as a defect"


@_or_failed
def read(study: CohortStudy) -> LoadedStudy | Outcome:
    """The study with its voxels."""
    return study.read()


@_or_failed
def label(loaded: LoadedStudy, segmenter: Segmenter) -> LabeledStudy | Outcome:
    """The study with its labels."""
    started = time.perf_counter()
    labels = segmenter.segment(loaded.array, loaded.first.affine)
    provenance = segmenter.provenance.timed(time.perf_counter() - started)
    return LabeledStudy(loaded, labels, segmenter.convention, provenance)


@_or_failed
def measure(labeled: LabeledStudy) -> MeasuredStudy | Outcome:
    """The study with its measures."""
    loaded, study = labeled.loaded, labeled.study
    is_cine = len(loaded.images) == 1
    measures = StudyInput(
        labeled.labels,
        loaded.first.affine,
        labeled.convention,
        frames=loaded.frames,
        frame_times=loaded.first.frame_times if is_cine else None,
        heart_rate=study.heart_rate or loaded.first.heart_rate,
        subject=study.subject,
        is_cine=is_cine,
        warnings=loaded.notes,
    ).measure()
    return MeasuredStudy(labeled, measures)


def write(item: MeasuredStudy | Outcome, job: Job) -> Outcome:
    """Write what a study came to into its folder.

    Raises:
        CardiacSegError: where it cannot be written. That is no fault of the study, and the next would have it as well.
    """
    folder = job.folder(item.study)
    make_folder(folder)
    remove_partial(folder)
    if isinstance(item, Outcome):
        _write_json(folder / FAILED, {"given": item.study.given, "reason": item.reason})
        (folder / MEASURES).unlink(missing_ok=True)  # of other images or another person under this id
        return item
    content = _content(item)
    for phase, labels in item.labeled.loaded.apart(item.labeled.labels).items():
        path = folder / f"labels{'_' * bool(phase)}{phase}.nii.gz"
        write_labels(path, labels, item.labeled.loaded.images[phase], item.labeled.convention)
    if job.reports:
        _write_page(folder / PAGE, item)
    _write_json(folder / MEASURES, content)
    (folder / FAILED).unlink(missing_ok=True)
    return Outcome(item.study, content)


def _content(item: MeasuredStudy) -> dict[str, Any]:
    study, labeled = item.study, item.labeled
    return {
        "id": study.id,
        "given": study.given,
        "labels": dict(labeled.convention),
        "frames": labeled.labels.shape[3] if labeled.labels.ndim == 4 else 1,
        **item.measures.as_dict(),
        "provenance": labeled.provenance.fields(),
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _write_page(path: Path, item: MeasuredStudy) -> None:
    labeled, measures, title = item.labeled, item.measures, item.study.id
    arrays = (labeled.loaded.array, labeled.labels, labeled.loaded.first.affine)
    contours = Contours(*arrays, measures.phases, title)
    write_page(measures, path, contours, labeled.convention, title=title, facts=labeled.provenance.lines())
