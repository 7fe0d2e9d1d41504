"""``cardiacseg dicom``: what a DICOM folder holds, and a cine of it as NIfTI."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib.cli.report import Report
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import read_dicom_cine, write_image

if TYPE_CHECKING:
    from CardiacSegLib.dicom.series import DicomFolder, DicomSeries

_HEAD = ("series", "kind", "slices", "phases", "in plane", "slices apart", "gap", "description")


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("dicom", parents=[common], help="list the series of a DICOM folder, or write its cine")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="with DICOM files in it, or in folders in it")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the cine there, as .nii.gz")
    parser.add_argument("--series", type=int, metavar="N", help="of the list (default: the short-axis cine)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    from CardiacSegLib.dicom.series import DicomFolder

    report.stage("read", f"reading {options.folder}")
    folder = DicomFolder.read(options.folder)
    if options.output:
        _write(options, folder, report)
    else:
        _list(folder, report)
    return 0


def _list(folder: DicomFolder, report: Report) -> None:
    chosen, notes = _chosen(folder)
    rows = [_HEAD, *(_row(series) for series in folder.series)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    marks = ["  ", *("* " if series is chosen else "  " for series in folder.series)]
    lines = [mark + "  ".join(map(str.ljust, row, widths)).rstrip() for mark, row in zip(marks, rows)]
    if chosen:
        lines += ["", "* is what `cardiacseg segment FOLDER` takes: " + chosen.reason]
    lines += [f"series {series.number}: {note}" for series in folder.series for note in series.notes]
    fields = {"series": [_fields(series) for series in folder.series], "chosen": chosen.number if chosen else None}
    report.result("\n".join([*lines, *notes]), **fields, notes=notes)


def _chosen(folder: DicomFolder) -> tuple[DicomSeries | None, list[str]]:
    try:
        return folder.choose()[0], list(folder.notes)
    except CardiacSegError as error:
        return None, [*folder.notes, str(error)]


def _row(series: DicomSeries) -> tuple[str, ...]:
    columns, rows, distance = series.spacing
    apart = "" if distance is None else f"{distance:.1f} mm"
    gap = "" if series.gap is None else f"{series.gap:.1f} mm"
    in_plane = f"{columns:.2f} x {rows:.2f} mm"
    return (
        *(str(series.number), series.kind, str(series.slices), str(series.phases), in_plane, apart, gap),
        series.description,
    )


def _fields(series: DicomSeries) -> dict[str, Any]:
    """A series as an event tells it."""
    names = ("number", "kind", "reason", "description", "sources", "slices", "phases", "gap")
    lists = {"spacing": list(series.spacing), "notes": list(series.notes)}
    return {name: getattr(series, name) for name in names} | lists


def _write(options: argparse.Namespace, folder: DicomFolder, report: Report) -> None:
    series, notes = _default(options, folder) if options.series is None else _named(options, folder)
    image = read_dicom_cine(series)
    write_image(options.output, image)
    notes = [*image.notes, *notes]
    times = None if image.frame_times is None else [round(float(time), 3) for time in image.frame_times]
    report.result(
        "\n".join([str(options.output), f"from {series.name}", *notes]),
        **{"image": str(options.output), "series": _fields(series), "shape": list(image.array.shape)},
        **{"frame_times": times, "heart_rate": image.heart_rate, "notes": notes},
    )


def _default(options: argparse.Namespace, folder: DicomFolder) -> tuple[DicomSeries, list[str]]:
    try:
        series, notes = folder.choose()
    except CardiacSegError as error:
        raise CardiacSegError(f"{options.folder}: {error}") from error
    return series, [*notes, *folder.notes]


def _named(options: argparse.Namespace, folder: DicomFolder) -> tuple[DicomSeries, list[str]]:
    series = next((each for each in folder.series if each.number == options.series), None)
    if series is None:
        raise CardiacSegError(f"--series {options.series}: {options.folder} has {len(folder.series)}; see them listed")
    return series, []
