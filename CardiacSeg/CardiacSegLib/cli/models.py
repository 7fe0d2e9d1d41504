"""``cardiacseg models``: the models that can be used."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from CardiacSegLib.bundles import ONNX, find_bundle, list_models
from CardiacSegLib.cli.report import Report
from CardiacSegLib.errors import CardiacSegError


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("models", parents=[common], help="list the models that can be used")
    parser.add_argument(
        "--onnx",
        nargs="+",
        default=(),
        metavar="MODEL",
        help="write the network of these (names, or folders of bundles) as ONNX into them: a CPU runs it without torch",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    if options.onnx:
        return _write_onnx(options.onnx, report)
    models = list_models()
    if not models:
        raise CardiacSegError("no model is installed; set CARDIACSEG_MODELS to a folder of bundles")
    for model in models:
        line = f"{model.name:24} {', '.join(model.convention):16} {model.description}"
        report.result(line, name=model.name, folder=str(model.folder), description=model.description)
    return 0


def _write_onnx(names: Sequence[str], report: Report) -> int:
    bundles = [find_bundle(name) for name in names]  # a wrong name is said before anything is written
    from CardiacSegLib.inference.onnx_export import add_onnx

    for bundle in bundles:
        report.stage("onnx", f"writing {bundle.name} as ONNX")
        path = add_onnx(bundle).folder / ONNX
        report.result(str(path), name=bundle.name, onnx=str(path))
    return 0
