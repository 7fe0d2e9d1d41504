"""What a command writes about the measures of a study, and what it asks about the person."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.clinical.body import BSA_FORMULAS, SEXES, Subject
from CardiacSegLib.clinical.study import StudyMeasures, measure_study
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing
from CardiacSegLib.images import Image
from CardiacSegLib.inference.provenance import Provenance
from CardiacSegLib.jobs.studies import Contours

_HEADER = ("image", "measure", "structure", "value", "unit", "indexed", "note")


def add_measure_options(parser: argparse.ArgumentParser) -> None:
    """Options for what is known of the person and the heartbeat."""
    group = parser.add_argument_group("measures")
    group.add_argument("--height", type=float, metavar="CM", help="with --weight, for measures over the body surface")
    group.add_argument("--weight", type=float, metavar="KG")
    group.add_argument("--bsa", default="mosteller", choices=sorted(BSA_FORMULAS), help="default: %(default)s")
    group.add_argument("--sex", choices=SEXES, help="for the normal ranges on the page")
    group.add_argument("--age", type=float, metavar="YEARS", help="for the normal ranges on the page")
    group.add_argument("--heart-rate", type=float, metavar="BPM", help="where the image does not say it")
    group.add_argument(
        "--frames", type=int, nargs=2, metavar=("ED", "ES"), help="of a cine, counted from 1 (default: found)"
    )


def subject_of(options: argparse.Namespace) -> Subject:
    """The person that the options describe.

    Raises:
        CardiacSegError: naming what cannot be.
    """
    return Subject(options.height, options.weight, options.sex, options.age, options.bsa)


def measured(
    labels: np.ndarray, image: Image, convention: LabelConvention, options: argparse.Namespace
) -> StudyMeasures:
    """The measures of an image's labels.

    Raises:
        CardiacSegError: where frames, times or rate do not fit the image.
    """
    frames = [frame - 1 for frame in options.frames] if options.frames and labels.ndim == 4 else None
    return measure_study(
        labels,
        image.affine,
        frame_times=image.frame_times,
        heart_rate=options.heart_rate or image.heart_rate,
        subject=subject_of(options),
        convention=convention,
        frames=frames,
    )


def fields_of(study: StudyMeasures) -> list[dict[str, Any]]:
    """The rows as an event tells them."""
    return [
        {"measure": row.measure, "structure": row.structure, "value": row.value, "unit": row.unit}
        | ({"indexed": True} if row.indexed else {})
        for row in study.rows
    ]


def table_rows(name: str, study: StudyMeasures) -> list[tuple[Any, ...]]:
    """The rows of one image in the table of a command."""
    frames = {"ED frame": study.function.ed_frame, "ES frame": study.function.es_frame}
    return [
        *(
            (name, row.measure, row.structure, _shown(row.value), row.unit, "yes" if row.indexed else "", row.note)
            for row in study.rows
        ),
        *((name, measure, "", frame + 1, "", "", "") for measure, frame in frames.items() if frame is not None),
    ]


def _shown(value: float | int | None) -> object:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else value


def write_table(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows of :func:`table_rows` as CSV; a value that is not known stays empty."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(_HEADER)
        writer.writerows(rows)


def write_measures(path: Path, study: StudyMeasures, provenance: Provenance, **more: Any) -> None:
    """Write the measures of an image as JSON, with what they were made by and what else is known of it.

    Raises:
        CardiacSegError: where it cannot be written; what stood there stays.
    """
    told = {**study.as_dict(), "provenance": provenance.fields(), **more}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def contours_of(image: Image, labels: np.ndarray, study: StudyMeasures) -> Contours:
    """The contours at ED and ES, or those of the only phase, under the name of the image's file without its folder."""
    return Contours(image.array, labels, image.affine, study.phases, image.path.name if image.path else None)


def check_extension(path: Path, extension: str) -> None:
    """Refuse a file whose name says something else than what is written."""
    if path.suffix.lower() != extension:
        raise CardiacSegError(f"{path}: give a name that ends in {extension}")
