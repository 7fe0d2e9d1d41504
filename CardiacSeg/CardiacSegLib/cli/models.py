"""``cardiacseg models``: the models that can be used."""

from __future__ import annotations

import argparse
from typing import Any

from CardiacSegLib.bundles import list_models
from CardiacSegLib.cli.report import Report
from CardiacSegLib.errors import CardiacSegError


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("models", parents=[common], help="list the models that can be used")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    models = list_models()
    if not models:
        raise CardiacSegError("no model is installed; set CARDIACSEG_MODELS to a folder of bundles")
    for model in models:
        line = f"{model.name:24} {', '.join(model.convention):16} {model.description}"
        report.result(line, name=model.name, folder=str(model.folder), description=model.description)
    return 0
