"""``cardiacseg ensemble``: one model out of several."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib.bundles import Bundle, find_bundle
from CardiacSegLib.cli.options import (
    add_device_options,
    add_layout_options,
    labeled_cases,
    names_of_models,
    repeatable,
)
from CardiacSegLib.cli.report import Report
from CardiacSegLib.errors import CardiacSegError

if TYPE_CHECKING:
    from CardiacSegLib.training.ensembles import EnsembleConfig

_METHODS = ("average", "weighted", "vote", "staple", "stacked-forest", "stacked-boosting")
_FIRST_SEED, _PATCH, _PIXELS = 0, 3, 60_000


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("ensemble", parents=[common], help="make one model out of several")
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="name, folder of a bundle or of a run, or the folder of a cross-validation for the models of its folds",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="BUNDLE", help="folder of the new model, which is called like it"
    )
    parser.add_argument(
        "--method",
        choices=_METHODS,
        default="average",
        help="mean or weighted mean of the probabilities, majority vote, STAPLE, or a meta-learner that learns from "
        "out-of-fold predictions whom to trust where (default: %(default)s)",
    )
    parser.add_argument(
        "--weights", type=float, nargs="+", default=(), metavar="W", help="of the models (default: by validation Dice)"
    )
    parser.add_argument("--title", default="", metavar="TEXT", help="one line about the model, for its card")
    add_device_options(parser)
    _add_cases(parser.add_argument_group("labeled cases, to learn from and to score with"))
    parser.set_defaults(run=run)


def _add_cases(group: Any) -> None:
    group.add_argument("--dataset", type=Path, metavar="FOLDER", help="labeled cases, or a list of them")
    add_layout_options(group)
    group.add_argument("--patch", type=int, default=_PATCH, metavar="N", help="pixels across that a meta-learner sees")
    group.add_argument("--pixels", type=int, default=_PIXELS, metavar="N", help="that a meta-learner learns from")
    group.add_argument("--seed", type=int, default=_FIRST_SEED, metavar="N", help="of a meta-learner")
    group.add_argument(
        "--seen", action="store_true", help="learn from patients, too, whom every model of a recipe was trained on"
    )


def run(options: argparse.Namespace, report: Report) -> int:
    members = [bundle for model in options.models for bundle in _bundles(model)]
    report.stage("load", f"looking at {len(members)} models")
    # torch is imported here and not at the top: a wrong name is told at once.
    from CardiacSegLib.training.ensembles import make_ensemble

    config = _config(options)
    config.check(len(members))
    cases, together = _cases(options)
    bundle = make_ensemble(members, options.output, config, report, cases=cases, together=together)
    report.result(str(bundle.folder), bundle=str(bundle.folder), members=len(members), method=options.method)
    return 0


def _bundles(model: str) -> list[Bundle]:
    """The bundle of that name or in that folder; those of all folds where it is a cross-validation."""
    folder = Path(model)
    folds = sorted(folder.glob("fold*/bundle"), key=lambda path: (len(path.parent.name), path.parent.name))
    if folds:
        return [Bundle.read(path) for path in folds]
    return [Bundle.read(folder / "bundle")] if (folder / "bundle" / "configs").is_dir() else [find_bundle(model)]


def _config(options: argparse.Namespace) -> EnsembleConfig:
    from CardiacSegLib.training.ensembles import EnsembleConfig
    from CardiacSegLib.training.stacking import StackingConfig

    return EnsembleConfig(
        method=options.method,
        weights=tuple(options.weights),
        turns=options.turns,
        stacking=StackingConfig(options.method, options.patch, options.pixels, options.seed, options.seen),
        description=options.title,
        device=options.device,
        command=_command(options),
    )


def _cases(options: argparse.Namespace) -> tuple[list[Any], Sequence[Sequence[str]]]:
    """Labeled cases, but those that their layout keeps for a test; and the patients who are the same person."""
    if options.dataset is None:
        if options.layout or options.labels:
            raise CardiacSegError("--layout and --labels say what --dataset holds; name that folder, too")
        return [], ()
    from CardiacSegLib.datasets import layouts

    found, layout = labeled_cases(options)
    return [case for case in found if case.part != "test"], layouts.same_images(layout)


def _command(options: argparse.Namespace) -> str:
    """The command by which this can be done again, without the places of this machine."""
    given = {
        "--method": [options.method],
        "--weights": [f"{weight:g}" for weight in options.weights],
        "--turns": [] if options.turns is None else [options.turns],
        "--dataset": ["DATA"] if options.dataset else [],
        "--layout": [options.layout] if options.layout else [],
        "--labels": [options.labels] if options.labels else [],
        "--patch": [] if options.patch == _PATCH else [options.patch],
        "--pixels": [] if options.pixels == _PIXELS else [options.pixels],
        "--seed": [] if options.seed == _FIRST_SEED else [options.seed],
        "--seen": options.seen,
    }
    return repeatable(" ".join(["ensemble", *names_of_models(options.models)]), given)
