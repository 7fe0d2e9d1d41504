"""``cardiacseg segment``: label the heart in volumes or cines."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib.anatomy import LABEL_CONVENTIONS, LabelConvention, relabel
from CardiacSegLib.cli.options import add_model_options
from CardiacSegLib.cli.report import Report
from CardiacSegLib.clinical.volumes import VentricularFunction, ventricular_function
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder, replacing
from CardiacSegLib.images import (
    IMAGE_EXTENSIONS,
    LABEL_EXTENSIONS,
    Image,
    check_label_format,
    extension_of,
    read_image,
    write_labels,
)

if TYPE_CHECKING:
    from CardiacSegLib.inference.segmenter import Segmenter


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("segment", parents=[common], help="label the heart in volumes or cines")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help=", ".join(IMAGE_EXTENSIONS))
    parser.add_argument(
        *("-o", "--output"),
        required=True,
        type=Path,
        metavar="FILE_OR_FOLDER",
        help=f"a file ({', '.join(LABEL_EXTENSIONS)}), or a folder that gets NAME_labels.nii.gz for each image",
    )
    add_model_options(parser)
    parser.add_argument(
        "--labels",
        default="canonical",
        choices=sorted(LABEL_CONVENTIONS, reverse=True),
        help="numbers on disk: canonical 1 LV 2 MYO 3 RV, acdc 1 RV 2 MYO 3 LV, camus 1 LV 2 MYO 3 LA "
        "(default: %(default)s)",
    )
    parser.add_argument("--table", type=Path, metavar="CSV", help="write volumes, and for a cine the ejection fraction")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the contours; a folder for several images")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class _Request:
    """One image with the places of what is made from it."""

    image: Path
    labels: Path
    picture: Path | None


def run(options: argparse.Namespace, report: Report) -> int:
    requests = _requests(options)
    _check_overwriting(requests)
    report.stage("load", f"loading {options.model}")
    # torch is imported here and not at the top: what does not compute answers at once.
    from CardiacSegLib.inference.segmenter import Segmenter

    segmenter = Segmenter.load(options.model, options.device, options.turns)
    rows: list[tuple[Any, ...]] = []
    failed = 0
    for number, request in enumerate(requests):
        report.stage("segment", f"segmenting {request.image}")
        try:
            function = _segment_one(request, segmenter, options.labels, report, number, len(requests))
        except CardiacSegError as error:
            report.error(error)
            failed += 1
            continue
        if not function.volumes_ml:
            report.warn(f"{request.image}: no heart was found in it; is it a short-axis cardiac MR?")
        rows += [(request.image.name, *row) for row in function.rows()]
        measures = [{"measure": m, "structure": s, "value": v, "unit": u} for m, s, v, u in function.rows()]
        report.result(str(request.labels), labels=str(request.labels), measures=measures)
    if options.table and failed < len(requests):
        write_table(options.table, rows)
    return 1 if failed else 0


def _segment_one(
    request: _Request, segmenter: Segmenter, labels_on_disk: str, report: Report, number: int, count: int
) -> VentricularFunction:
    numbers = _numbers_on_disk(segmenter.convention, labels_on_disk)
    image = read_image(request.image)
    if not image.spacing_known:
        report.warn(f"{request.image}: says no spacing; 1 mm is assumed, so that volumes and areas mean nothing")
    elif 1 in image.array.shape[:3]:
        report.warn(f"{request.image}: is a single slice; its volumes are those within that slice, not of a heart")
    check_label_format(request.labels, image.array.shape)
    try:
        labels = segmenter.segment(image.array, image.affine, lambda done: report.progress((number + done) / count))
    except CardiacSegError as error:  # the segmenter knows the array, not the file
        raise CardiacSegError(f"{request.image}: {error}") from error
    function = ventricular_function(labels, image.affine, convention=segmenter.convention)
    if request.picture:
        _draw(request.picture, image, labels, function, segmenter)
    write_labels(request.labels, relabel(labels, segmenter.convention, numbers), image, numbers)
    return function


def _numbers_on_disk(convention: LabelConvention, name: str) -> LabelConvention:
    """The numbers of a named convention for the structures of a model; where none has them all, the model's own."""
    numbers = LABEL_CONVENTIONS[name]
    missing = sorted(set(convention) - set(numbers))
    if not missing:
        return {structure: numbers[structure] for structure in convention}
    if name == "canonical":
        return convention
    raise CardiacSegError(f"--labels {name} has no number for {', '.join(missing)} of this model; leave it out")


def _draw(path: Path, image: Image, labels: Any, function: VentricularFunction, segmenter: Segmenter) -> None:
    from CardiacSegLib.pictures import contour_picture

    phases = (("ED", function.ed_frame), ("ES", function.es_frame))
    frames = [(name, frame) for name, frame in phases if frame is not None] or [("", 0)]
    title = image.path.name if image.path else None
    contour_picture(
        image.array, labels, image.affine, path, frames=frames, title=title, convention=segmenter.convention
    )


def _requests(options: argparse.Namespace) -> list[_Request]:
    """Where each result goes; wrong combinations are found before anything is computed."""
    several = len(options.images) > 1
    if extension_of(options.output, LABEL_EXTENSIONS):
        if several:
            raise CardiacSegError(f"{options.output}: is one file for {len(options.images)} images; give a folder")
        return [_Request(options.images[0], options.output, options.picture)]
    if options.output.is_file() or (options.output.suffix and not options.output.is_dir()):
        known = ", ".join(LABEL_EXTENSIONS)
        raise CardiacSegError(f"{options.output}: not a format for labels; give one of {known}, or a folder")
    make_folder(options.output)
    if options.picture and several:
        make_folder(options.picture)
    stems = [stem_of(image) for image in options.images]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise CardiacSegError(
            f"two images are called {twice}; their results would replace each other, segment them apart"
        )
    return [
        _Request(
            image,
            options.output / f"{stem}_labels.nii.gz",
            options.picture / f"{stem}.png" if options.picture and several else options.picture,
        )
        for image, stem in zip(options.images, stems)
    ]


def _check_overwriting(requests: Sequence[_Request]) -> None:
    """Refuse to write labels over an image, this one or another of the same command."""
    images = [request.image for request in requests if request.image.exists()]
    for request in requests:
        if request.labels.exists() and any(request.labels.samefile(image) for image in images):
            raise CardiacSegError(f"{request.labels}: labels would replace the image itself; give another name")


def stem_of(path: Path) -> str:
    """Name of an image file without its extension, which may have two parts."""
    extension = extension_of(path, IMAGE_EXTENSIONS)
    return path.name[: -len(extension)] if extension else path.name


def write_table(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows (image, measure, structure, value, unit) as CSV; a value that is None stays empty."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "measure", "structure", "value", "unit"))
        for image, measure, structure, value, unit in rows:
            shown = "" if value is None else f"{value:.2f}" if isinstance(value, float) else value
            writer.writerow((image, measure, structure, shown, unit))
