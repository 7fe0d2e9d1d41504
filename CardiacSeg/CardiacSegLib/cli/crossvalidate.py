"""``cardiacseg crossvalidate``: train and score the folds of a data set in one go."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib.cli.options import training_config
from CardiacSegLib.cli.report import Report
from CardiacSegLib.errors import CardiacSegError

if TYPE_CHECKING:
    from CardiacSegLib.training.config import TrainingConfig


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    from CardiacSegLib.training.config import add_options

    parser = commands.add_parser(
        "crossvalidate", parents=[common], help="train and score the folds of a data set; started again, it goes on"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="OUT", help="gets a run for each fold, and one evaluation of all"
    )
    parser.add_argument("--recipe", default="", metavar="NAME", help="configuration to begin with; see train --list")
    parser.add_argument(
        "--only-fold", type=int, metavar="N", help="train and score fold N alone, as one job of several"
    )
    add_options(parser.add_argument_group("configuration, as of train"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    from CardiacSegLib.training.config import given_options

    changes = given_options(options)  # a wrong one is told at once, before torch is imported
    from CardiacSegLib.evaluation.report import write_report
    from CardiacSegLib.evaluation.summary import summary_text
    from CardiacSegLib.evaluation.tables import TABLE
    from CardiacSegLib.training.crossvalidation import MOVABLE, cross_validate, going_on, has_begun

    asked = options.recipe or set(changes) - set(MOVABLE)
    config = _configured(options, changes) if asked or not has_begun(options.output) else None
    config = going_on(options.output, config, changes) if has_begun(options.output) else config
    done = cross_validate(config, options.output, report, options.only_fold)
    if done is None:
        report.stopped("stopped; the same command goes on with it")
        return 0
    summary, folder = done
    for line in summary["warnings"]:
        report.warn(f"WARNING: {line}")
    report.stage("report", "writing the report")
    page = write_report(folder)
    text = f"{summary_text(summary)}\n\n{page}"
    report.result(text, table=str(folder / TABLE), report=str(page), cases=summary["cases"])
    return 0


def _configured(options: argparse.Namespace, changes: dict[str, Any]) -> TrainingConfig:
    """What the command line asks for, beginning with a recipe where it names one."""
    if "fold" in changes:
        raise CardiacSegError("--fold is of a single run; a cross-validation takes all folds, or one by --only-fold")
    return training_config(options.recipe, changes)
