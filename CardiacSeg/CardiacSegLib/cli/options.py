"""Options that several commands have, and what they come to."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib.anatomy import LabelConvention, parse_labels
from CardiacSegLib.bundles import DEFAULT_MODEL
from CardiacSegLib.inference.turning import TURNS

if TYPE_CHECKING:
    from CardiacSegLib.datasets.cases import Case
    from CardiacSegLib.training.config import TrainingConfig


def add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name, or folder of a bundle (default: %(default)s)")
    add_device_options(parser)


def add_device_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda or mps; cpu:openvino or cpu:torch to say by what (default: %(default)s)",
    )
    parser.add_argument(
        "--turns",
        type=int,
        choices=TURNS,
        help="copies to average: 1 is fastest, 2 adds a quarter turn, 4 all of them, 8 flips (default: the model's)",
    )


def add_layout_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--layout", default="", metavar="NAME", help="how files are arranged (default: recognized)")
    parser.add_argument("--labels", default="", metavar="TEXT", help="as 1=LV,2=MYO, where the layout says nothing")


def named_labels(text: str) -> LabelConvention | None:
    """What a person wrote about which number is which structure; None where they wrote nothing."""
    return parse_labels(text) if text else None


def labeled_cases(options: argparse.Namespace) -> tuple[list[Case], str]:
    """The cases of ``--dataset``, and the layout that it has: the one of ``--layout``, or what it is recognized as."""
    from CardiacSegLib.datasets import layouts

    layout = options.layout or layouts.recognize(options.dataset)
    return layouts.find_cases(options.dataset, layout, named_labels(options.labels)), layout


def training_config(recipe: str, changes: Mapping[str, Any]) -> TrainingConfig:
    """The configuration of a new run: that of a recipe where one is named, with what the command line changes."""
    from CardiacSegLib.training.config import TrainingConfig
    from CardiacSegLib.training.recipes import find_recipe

    return find_recipe(recipe).with_changes(changes) if recipe else TrainingConfig.from_mapping(changes, "command line")


def repeatable(command: str, options: Mapping[str, Sequence[object] | bool]) -> str:
    """The command by which something can be done again, without the places of this machine.

    Args:
        command: with its arguments that have no name, such as ``ensemble a b``.
        options: values by name; an empty one is left out, and one that is True stands alone.
    """
    words = ["cardiacseg", command]
    for name, values in options.items():
        if values:
            words += [name, *([] if values is True else map(str, values))]
    return " ".join([*words, "--output OUT"])


def names_of_models(models: Iterable[str]) -> list[str]:
    """Models as they were named; of one that is a folder its name alone."""
    return [Path(model).name if Path(model).exists() else model for model in models]
