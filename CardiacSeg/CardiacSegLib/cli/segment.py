"""``cardiacseg segment``: label the heart in volumes or cines, and measure it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib.anatomy import LABEL_CONVENTIONS, LabelConvention, relabel
from CardiacSegLib.cli.doubt import check_doubt_file, doubt_lines, doubt_rows, segment_and_write_doubt
from CardiacSegLib.cli.measures import (
    add_measure_options,
    check_extension,
    contours_of,
    fields_of,
    measured,
    subject_of,
    table_rows,
    write_measures,
    write_table,
)
from CardiacSegLib.cli.options import add_model_options
from CardiacSegLib.cli.report import Report
from CardiacSegLib.clinical.study import StudyMeasures
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder
from CardiacSegLib.images import (
    IMAGE_EXTENSIONS,
    LABEL_EXTENSIONS,
    NO_SPACING,
    Image,
    check_label_format,
    extension_of,
    read_image,
    stem_of,
    write_labels,
)
from CardiacSegLib.jobs.studies import write_page

if TYPE_CHECKING:
    import numpy as np

    from CardiacSegLib.inference.doubt import Doubt
    from CardiacSegLib.inference.provenance import Provenance
    from CardiacSegLib.inference.segmenter import Segmenter

#: What is written of each image where it is asked for, beside the labels: by option, the extension.
_BESIDE = {"picture": ".png", "report": ".html", "json": ".json", "doubt": "_doubt.nii.gz"}


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("segment", parents=[common], help="label the heart in volumes or cines")
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help=f"{', '.join(IMAGE_EXTENSIONS)}, or a folder of DICOM files",
    )
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
    parser.add_argument("--table", type=Path, metavar="CSV", help="write the measures of all images")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the contours; a folder for several images")
    parser.add_argument("--report", type=Path, metavar="HTML", help="write a page; a folder for several images")
    parser.add_argument("--json", type=Path, metavar="JSON", help="write the measures; a folder for several images")
    parser.add_argument(
        "--doubt",
        type=Path,
        metavar="NIFTI",
        help="write how unsure the model is of each voxel, 0 to 1, and tell the Dice to be expected and the slices to "
        "look at; a folder for several images",
    )
    add_measure_options(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class _Request:
    """One image with the places of what is made from it."""

    image: Path
    labels: Path
    picture: Path | None = None
    report: Path | None = None
    json: Path | None = None
    doubt: Path | None = None


def run(options: argparse.Namespace, report: Report) -> int:
    subject_of(options)  # what is wrong with the person is said before anything is computed
    requests = _requests(options)
    _check_overwriting(requests)
    report.stage("load", f"loading {options.model}")
    # Imported here and not at the top: what does not compute answers at once.
    from CardiacSegLib.inference.segmenter import Segmenter

    segmenter = Segmenter.load(options.model, options.device, options.turns)
    rows: list[tuple[Any, ...]] = []
    failed = 0
    for number, request in enumerate(requests):
        report.stage("segment", f"segmenting {request.image}")
        try:
            study, doubts, provenance = _segment_one(request, segmenter, options, report, number, len(requests))
        except CardiacSegError as error:
            report.error(error)
            failed += 1
            continue
        rows += [*table_rows(request.image.name, study), *doubt_rows(request.image.name, doubts)]
        text = "\n".join([str(request.labels), *doubt_lines(doubts)])
        told = {"provenance": provenance.fields(), "measures": fields_of(study), **_doubt_fields(doubts)}
        report.result(text, labels=str(request.labels), how=segmenter.how, **told)
    if options.table and failed < len(requests):
        write_table(options.table, rows)
    return 1 if failed else 0


def _segment_one(
    request: _Request, segmenter: Segmenter, options: argparse.Namespace, report: Report, number: int, count: int
) -> tuple[StudyMeasures, list[Doubt], Provenance]:
    numbers = _numbers_on_disk(segmenter.convention, options.labels)
    image = read_image(request.image)
    for note in image.notes:
        report.warn(f"{request.image}: {note}")
    if not image.spacing_known:
        report.warn(f"{request.image}: {NO_SPACING}")
    check_label_format(request.labels, image.array.shape)
    started = time.perf_counter()
    try:
        labels, doubts = _labeled(
            request, segmenter, image, options, lambda done: report.progress((number + done) / count)
        )
    except CardiacSegError as error:  # the segmenter knows the array, not the file
        raise CardiacSegError(f"{request.image}: {error}") from error
    provenance = segmenter.provenance.timed(time.perf_counter() - started)
    study = measured(labels, image, segmenter.convention, options)
    contours = contours_of(image, labels, study)
    if request.picture:
        contours.draw(request.picture, segmenter.convention)
    if request.report:
        about = {"title": contours.title or "Study", "facts": provenance.lines()}
        write_page(study, request.report, contours, segmenter.convention, **about)
    if request.json:
        write_measures(request.json, study, provenance, **_doubt_fields(doubts))
    write_labels(request.labels, relabel(labels, segmenter.convention, numbers), image, numbers)
    for line in _doubts(study):
        report.warn(f"{request.image}: {line}")
    return study, doubts, provenance


def _doubt_fields(doubts: Sequence[Doubt]) -> dict[str, Any]:
    return {"doubt": [doubt.fields() for doubt in doubts]} if doubts else {}


def _labeled(
    request: _Request,
    segmenter: Segmenter,
    image: Image,
    options: argparse.Namespace,
    progress: Callable[[float], None],
) -> tuple[np.ndarray, list[Doubt]]:
    """Labels of an image, and the doubt of each of its frames where that is asked for."""
    if request.doubt is None:
        return segmenter.segment(image.array, image.affine, progress), []
    return segment_and_write_doubt(segmenter, options.model, image, request.doubt, progress)


def _doubts(study: StudyMeasures) -> Sequence[str]:
    return study.warnings if study.function.volumes_ml else ["no heart was found in it; is it a short-axis cardiac MR?"]


def _numbers_on_disk(convention: LabelConvention, name: str) -> LabelConvention:
    """The numbers of a named convention for the structures of a model; where none has them all, the model's own."""
    numbers = LABEL_CONVENTIONS[name]
    missing = sorted(set(convention) - set(numbers))
    if not missing:
        return {structure: numbers[structure] for structure in convention}
    if name == "canonical":
        return convention
    raise CardiacSegError(f"--labels {name} has no number for {', '.join(missing)} of this model; leave it out")


def _requests(options: argparse.Namespace) -> list[_Request]:
    """Where each result goes; wrong combinations are found before anything is computed."""
    several = len(options.images) > 1
    if extension_of(options.output, LABEL_EXTENSIONS):
        if several:
            raise CardiacSegError(f"{options.output}: is one file for {len(options.images)} images; give a folder")
        return [_Request(options.images[0], options.output, **_files_beside(options))]
    if options.output.is_file() or (options.output.suffix and not options.output.is_dir()):
        known = ", ".join(LABEL_EXTENSIONS)
        raise CardiacSegError(f"{options.output}: not a format for labels; give one of {known}, or a folder")
    make_folder(options.output)
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
            **(_files_in_folders(options, stem) if several else _files_beside(options)),
        )
        for image, stem in zip(options.images, stems)
    ]


def _files_beside(options: argparse.Namespace) -> dict[str, Path]:
    """What is written of a single image, beside its labels."""
    files = {name: getattr(options, name) for name in _BESIDE if getattr(options, name)}
    for name, path in files.items():
        if name == "doubt":
            check_doubt_file(path)
        else:
            check_extension(path, _BESIDE[name])
    return files


def _files_in_folders(options: argparse.Namespace, stem: str) -> dict[str, Path]:
    """The same of one image of several."""
    folders = {name: getattr(options, name) for name in _BESIDE if getattr(options, name)}
    for folder in folders.values():
        make_folder(folder)
    return {name: folder / f"{stem}{_BESIDE[name]}" for name, folder in folders.items()}


def _check_overwriting(requests: Sequence[_Request]) -> None:
    """Refuse to write labels over an image, this one or another of the same command."""
    images = [request.image for request in requests if request.image.exists()]
    for request in requests:
        for what, path in {"labels": request.labels, "doubt": request.doubt}.items():
            if path and path.exists() and any(path.samefile(image) for image in images):
                raise CardiacSegError(f"{path}: {what} would replace the image itself; give another name")
