"""``cardiacseg train``: a model from labeled cases."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from CardiacSegLib.cli.options import training_config
from CardiacSegLib.cli.report import Report
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.privacy import without_home


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    from CardiacSegLib.training.config import add_options

    parser = commands.add_parser("train", parents=[common], help="train a model on labeled cases")
    parser.add_argument("--output", type=Path, metavar="RUN", help="folder of the run; gets RUN/bundle")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run that was stopped or killed")
    parser.add_argument("--recipe", default="", metavar="NAME", help="configuration to begin with; see --list")
    parser.add_argument("--list", action="store_true", help="list recipes, networks, losses and what else can be named")
    add_options(parser.add_argument_group("configuration"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    from CardiacSegLib.training.config import given_options

    if options.list:
        return _list_choices(report)
    changes = given_options(options)
    if not options.resume:
        if not options.output:
            raise CardiacSegError(
                "--output is missing; name the folder of the run, or the run to go on with by --resume"
            )
        config = training_config(options.recipe, changes)
        config.check()
    elif options.output or options.recipe:
        raise CardiacSegError("--resume goes on in its own folder with its own recipe; leave out --output and --recipe")
    from CardiacSegLib.training.distributed import is_first_process
    from CardiacSegLib.training.run import resume, train

    bundle = resume(options.resume, report, changes) if options.resume else train(config, options.output, report)
    if is_first_process() and bundle is None:
        report.stopped(f"stopped; go on with it by --resume {options.resume or options.output}")
    elif is_first_process():
        # The panel keeps what is printed in the log of the run.
        report.result(without_home(str(bundle.folder)), bundle=str(bundle.folder))
    return 0


def _list_choices(report: Report) -> int:
    from CardiacSegLib.datasets.layouts import LAYOUTS
    from CardiacSegLib.networks import NETWORKS
    from CardiacSegLib.training.choices import AUGMENTATIONS, LOSSES, OPTIMIZERS, SCHEDULES
    from CardiacSegLib.training.recipes import list_recipes

    lists = {
        "recipe": {recipe.name: recipe.line for recipe in list_recipes()},
        "network": {name: entry.line for name, entry in NETWORKS.items()},
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "augmentation": AUGMENTATIONS,
        "layout": {name: layout.TITLE for name, layout in LAYOUTS.items()},
    }
    for option, lines in lists.items():
        width = max(map(len, lines))
        text = "\n".join(f"  {name:{width}}  {line}" for name, line in lines.items())
        report.result(f"--{option}\n{text}\n", option=option, choices=dict(lines))
    return 0
