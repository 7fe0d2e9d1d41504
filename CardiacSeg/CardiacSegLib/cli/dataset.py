"""``cardiacseg dataset``: what a data set holds and what is wrong with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib.cli.options import add_layout_options, named_labels
from CardiacSegLib.cli.report import Report
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.owned_folders import owned_folder

if TYPE_CHECKING:
    from CardiacSegLib.datasets.report import DatasetReport


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("dataset", parents=[common], help="say what a data set holds and what is wrong")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of labeled cases, or a file that lists them")
    add_layout_options(parser)
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw a few cases with their labels")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    from CardiacSegLib.datasets.report import draw_samples, examine_dataset, report_fields
    from CardiacSegLib.datasets.report_text import report_text

    labels = named_labels(options.labels)
    report.stage("read", f"reading {options.folder}")
    found = examine_dataset(options.folder, options.layout, labels, report.progress)
    text, obstacle = report_text(found), _obstacle_to_training(options, found)
    fields = {**report_fields(found), "problems": len(found.unusable()), "text": text}
    fields |= {"trainable": not obstacle, "obstacle": obstacle}
    if options.picture and found.facts:
        fields["picture"] = str(draw_samples(found, options.picture))
    report.result(text, **fields)
    return 1 if found.unusable() else 0


def _obstacle_to_training(options: argparse.Namespace, found: DatasetReport) -> str:
    """Why a model cannot be trained on a data set as it is, in one line; "" where it can."""
    from CardiacSegLib.training.cases import find_run_cases
    from CardiacSegLib.training.config import TrainingConfig

    if found.unusable():
        return found.unusable()[0].text
    config = TrainingConfig(dataset=str(options.folder), layout=found.layout, labels=options.labels)
    with owned_folder() as new_run:
        try:
            find_run_cases(config, new_run)
        except CardiacSegError as error:
            return str(error)
    return ""
