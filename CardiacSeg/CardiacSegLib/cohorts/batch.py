"""A cohort from a folder to a table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CardiacSegLib import __version__
from CardiacSegLib.bundles import DEFAULT_MODEL, Bundle, find_bundle
from CardiacSegLib.cohorts.models import digest, model_files
from CardiacSegLib.cohorts.results import FAILED_TABLE, STUDIES, TABLE, Results, check_settings
from CardiacSegLib.cohorts.studies import CohortStudy
from CardiacSegLib.cohorts.work import Job, Outcome
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.provenance import name_of_model
from CardiacSegLib.jobs.events import Listener
from CardiacSegLib.jobs.run_folder import claimed


@dataclass(frozen=True)
class BatchOptions:
    """How a cohort is worked on.

    Attributes:
        model, device, turns: see :meth:`CardiacSegLib.inference.segmenter.Segmenter.load`.
        bsa: by which formula measures are told over the body surface.
        reports: write a page of each study.
        scheduler: address of a Dask cluster that does the work; this machine does where it is empty.
        retry_failed: try studies again that failed in an earlier run.
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    turns: int | None = None
    bsa: str = "mosteller"
    reports: bool = False
    scheduler: str = ""
    retry_failed: bool = False

    def settings(self, bundle: Bundle) -> dict[str, Any]:
        """What the results depend on, and so may not change when a batch goes on; no place of this machine."""
        return {
            "version": __version__,
            "model": name_of_model(bundle),
            "sha256": bundle.hash,
            "files_sha256": digest(model_files(bundle)),
            "device": self.device,
            "turns": bundle.turns if self.turns is None else self.turns,
            "bsa": self.bsa,
            "reports": self.reports,
        }


@dataclass(frozen=True)
class BatchSummary:
    """What a batch came to, earlier runs of it included.

    Attributes:
        measured: how many studies have results.
        failed: reasons by the id of the study.
        table, failed_table: the files.
    """

    measured: int
    failed: Mapping[str, str]
    table: Path
    failed_table: Path


def run_batch(studies: Sequence[CohortStudy], output: Path, options: BatchOptions, events: Listener) -> BatchSummary:
    """Segment and measure a cohort, or what an earlier run left of it.

    Args:
        studies: as :func:`CardiacSegLib.cohorts.finding.find_studies` gives them.
        output: folder of the results, see :mod:`CardiacSegLib.cohorts.results`; made where it does not exist.
        options: how.
        events: told of each study.

    Raises:
        CardiacSegError: where there is no such model or device, the folder holds results of other options or another
            process is at work in it, a cluster cannot be used, or results cannot be written. What is wrong with a
            study is no such error, but listed.
    """
    bundle = find_bundle(options.model)
    check_settings(output, options.settings(bundle))
    with claimed(output):
        results = Results(output, studies)
        todo = results.load(studies, options.retry_failed)
        job = Job((output / STUDIES).resolve(), options.reports)
        outcomes = _outcomes(todo, bundle, job, options, events)
        try:
            _follow(outcomes, len(todo), results, events)
        finally:
            results.write_tables()
    return BatchSummary(results.measured, results.failed, output / TABLE, output / FAILED_TABLE)


def _outcomes(
    todo: Sequence[CohortStudy], bundle: Bundle, job: Job, options: BatchOptions, events: Listener
) -> Iterator[Outcome]:
    if not todo:
        return
    if options.scheduler:
        try:
            from CardiacSegLib.cohorts.cluster import process_on_cluster
        except ImportError as error:
            raise CardiacSegError("--scheduler needs Dask; pip install 'cardiacseg[cluster]'") from error
        events.stage("segment", f"sending {len(todo)} studies to {options.scheduler}")
        yield from process_on_cluster(todo, bundle, job, options.device, options.turns, options.scheduler)
        return
    # Imported here and not at the top: what does not compute answers at once.
    from CardiacSegLib.cohorts.one_machine import process_here
    from CardiacSegLib.inference.segmenter import Segmenter

    events.stage("load", f"loading {options.model}")
    segmenter = Segmenter.load(bundle, options.device, options.turns)
    events.stage("segment", f"segmenting {len(todo)} studies by {segmenter.how}")
    yield from process_here(todo, segmenter, job)


def _follow(outcomes: Iterator[Outcome], count: int, results: Results, events: Listener) -> None:
    """Take in outcomes as they come, and tell how long the rest will take."""
    started = time.monotonic()
    for number, outcome in enumerate(outcomes, 1):
        results.add(outcome)
        results.write_tables_now_and_then()
        left = (time.monotonic() - started) / number * (count - number)
        events.progress(number / count, left, studies=f"{number} of {count}", failed=len(results.failed))
