"""``cardiacseg phantom``: a beating heart made by code, with its truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from CardiacSegLib.anatomy import LABEL_CONVENTIONS
from CardiacSegLib.cli.report import Report
from CardiacSegLib.files import make_folder
from CardiacSegLib.images import Image, write_image, write_labels


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("phantom", parents=[common], help="write a beating heart made by code, with its truth")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder for phantom.nii.gz and phantom_labels.nii.gz")
    parser.add_argument("--frames", type=int, default=20, help="phases of the cine (default: %(default)s)")
    parser.add_argument("--slices", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--spacing", type=float, nargs=3, metavar="MM", help="in plane, in plane, between slices")
    parser.add_argument("--orientation", default="short-axis", help="of the array in space (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another heart position, texture and noise")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    from CardiacSegLib.phantom import PhantomOptions, make_phantom

    given = {"spacing": tuple(options.spacing)} if options.spacing else {}
    chosen = {name: getattr(options, name) for name in ("frames", "slices", "orientation", "seed")}
    phantom = make_phantom(PhantomOptions(**chosen, **given))
    make_folder(options.output)
    image = Image(phantom.image, phantom.affine, frame_times=phantom.frame_times)
    paths = options.output / "phantom.nii.gz", options.output / "phantom_labels.nii.gz"
    write_image(paths[0], image)
    write_labels(paths[1], phantom.labels, image, LABEL_CONVENTIONS["canonical"])
    report.result("\n".join(map(str, paths)), image=str(paths[0]), labels=str(paths[1]))
    return 0
