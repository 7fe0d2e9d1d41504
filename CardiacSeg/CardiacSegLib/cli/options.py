"""Options that several commands have."""

from __future__ import annotations

import argparse

from CardiacSegLib.bundles import DEFAULT_MODEL


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
        choices=(1, 8),
        help="turned and flipped copies to average: 1 is faster, 8 more accurate (default: what the model says)",
    )
