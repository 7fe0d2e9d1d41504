"""``cardiacseg batch``: segment and measure whole cohorts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib.cli.options import add_model_options
from CardiacSegLib.cli.report import Report
from CardiacSegLib.clinical.body import BSA_FORMULAS

if TYPE_CHECKING:
    from CardiacSegLib.cohorts.batch import BatchSummary

#: Of the studies that failed so many are told; the table has all.
_MOST_TOLD = 10


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "batch",
        parents=[common],
        help="segment and measure thousands of studies",
        description="Segment and measure every study of a folder or a list. Started again it goes on where it stopped.",
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="FOLDER_OR_LIST",
        help="a folder with studies in any layout; a .txt with a path a line; or a .csv with the columns path and, "
        "where known, id, height, weight, sex, age, heart_rate",
    )
    parser.add_argument(
        *("-o", "--output"),
        required=True,
        type=Path,
        metavar="FOLDER",
        help="gets measures.csv, a row a study; failed.csv with reasons; and studies/ID with labels and measures",
    )
    add_model_options(parser)
    parser.add_argument("--bsa", default="mosteller", choices=sorted(BSA_FORMULAS), help="default: %(default)s")
    parser.add_argument("--reports", action="store_true", help="write a page of each study, too")
    parser.add_argument("--retry-failed", action="store_true", help="try studies again that failed before")
    parser.add_argument(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="of a Dask cluster that does the work, such as tcp://10.0.0.1:8786; it sees images and output under the "
        "same paths",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    # not above: every command would wait for the readers of all layouts
    from CardiacSegLib.cohorts.batch import BatchOptions, run_batch
    from CardiacSegLib.cohorts.finding import find_studies

    report.stage("find", f"looking for studies in {options.source}")
    cohort = find_studies(options.source, options.bsa)
    for note in cohort.notes:
        report.warn(note)
    names = ("model", "device", "turns", "bsa", "reports", "scheduler", "retry_failed")
    chosen = BatchOptions(**{name: getattr(options, name) for name in names})
    summary = run_batch(cohort.studies, options.output, chosen, report)
    _tell_failed(summary, report)
    failed = {"failed": summary.failed, "failed_table": str(summary.failed_table)}
    report.result(str(summary.table), table=str(summary.table), measured=summary.measured, **failed)
    return 1 if summary.failed else 0


def _tell_failed(summary: BatchSummary, report: Report) -> None:
    for name, reason in list(summary.failed.items())[:_MOST_TOLD]:
        report.warn(f"{name}: {reason}")
    if summary.failed:
        total = summary.measured + len(summary.failed)
        report.warn(f"{len(summary.failed)} of {total} studies failed; all reasons are in {summary.failed_table}")
