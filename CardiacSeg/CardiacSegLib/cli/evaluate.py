"""``cardiacseg evaluate``: a model against the labels of a data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from CardiacSegLib.anatomy import parse_labels
from CardiacSegLib.cli.options import add_model_options
from CardiacSegLib.cli.report import Report


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("evaluate", parents=[common], help="compare a model with the labels of a data set")
    parser.add_argument(
        "--dataset", type=Path, required=True, metavar="FOLDER", help="labeled cases, or a list of them"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="folder for cases.csv and all labels")
    parser.add_argument("--layout", default="", metavar="NAME", help="how files are arranged (default: recognized)")
    parser.add_argument("--labels", default="", metavar="TEXT", help="as 1=LV,2=MYO, where the layout says nothing")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    from CardiacSegLib.datasets.layouts import find_cases
    from CardiacSegLib.evaluation.study import evaluate_cases
    from CardiacSegLib.evaluation.tables import TABLE
    from CardiacSegLib.evaluation.validation import dice_table, mean_dice
    from CardiacSegLib.inference.segmenter import Segmenter

    cases = find_cases(options.dataset, options.layout, parse_labels(options.labels) if options.labels else None)
    report.stage("load", f"loading {options.model}")
    segmenter = Segmenter.load(options.model, options.device, options.turns)
    scores = evaluate_cases(segmenter, cases, options.output, report)
    table = mean_dice(scores)
    report.result(dice_table(table), table=str(options.output / TABLE), cases=len(scores), dice=table)
    return 0
