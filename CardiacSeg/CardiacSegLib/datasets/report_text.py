"""A report on a data set, for people."""

from __future__ import annotations

from collections.abc import Sequence

from CardiacSegLib.datasets.layouts import LAYOUTS
from CardiacSegLib.datasets.report import DatasetReport, Spread

#: More views than this are slices or the like: their names say nothing.
_MOST_VIEWS = 6


def report_text(report: DatasetReport) -> str:
    """What the data set holds, and a line for each thing that is wrong."""
    blocks = [
        [str(report.folder), f"  {LAYOUTS[report.layout].TITLE}"],
        _table(_cases_by_group(report)),
        _table(_cases_by(report, "part")),
        _table(_cases_by(report, "view")),
        _table(_structures(report)),
        _table(_grids(report)),
        _findings(report),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _cases_by_group(report: DatasetReport) -> list[list[str]]:
    """A row for each group and one for all of them; a column for each phase."""
    phases = report.values("phase")
    groups = report.values("group")
    wanted = {group or "no group": {"group": group} for group in groups if len(groups) > 1} | {"all": {}}
    rows = [
        [name, str(report.patients(**having)), *(str(report.count(**having, phase=phase)) for phase in phases)]
        for name, having in wanted.items()
    ]
    return [["group", "patients", *(phase or "cases" for phase in phases)], *rows]


def _cases_by(report: DatasetReport, attribute: str) -> list[list[str]]:
    """A row for each value of an attribute; none where no case has it or nearly each its own."""
    values = report.values(attribute)
    if values == [""] or len(values) > _MOST_VIEWS:
        return []
    counts = [(report.patients(**{attribute: value}), report.count(**{attribute: value})) for value in values]
    return [
        [attribute, "patients", "cases"],
        *([value or f"no {attribute}", *map(str, row)] for value, row in zip(values, counts)),
    ]


def _structures(report: DatasetReport) -> list[list[str]]:
    """A row for each structure: how many cases have it, its share of all voxels, and how much of it there is."""
    phases = report.values("phase")
    amounts = [f"{phase + ' ' if phase else ''}{report.unit}: median (range)" for phase in phases]
    rows = [
        [
            name,
            f"{len(report.labeled(name))} of {len(report.facts)}",
            f"{100 * report.share(name):.2f} %",
            *(_spread(report.amounts(name, phase=phase)) for phase in phases),
        ]
        for name in report.structures
    ]
    return [[f"labels {' or '.join(report.conventions)}", "cases", "of all voxels", *amounts], *rows]


def _grids(report: DatasetReport) -> list[list[str]]:
    facts = report.facts
    in_plane = Spread.of(spacing for each in facts for spacing in each.spacing[:2])
    between = Spread.of(each.spacing[2] for each in facts if each.size[2] > 1)
    rows = [
        ["rows", _spread(Spread.of(each.size[0] for each in facts))],
        ["columns", _spread(Spread.of(each.size[1] for each in facts))],
        ["slices", _spread(Spread.of(each.size[2] for each in facts))],
        ["mm in plane", _spread(in_plane) if report.spacing_known else "unknown: pictures have none, 1 is assumed"],
    ]
    return [["grid", "median (range)"], *rows, *([["mm between slices", _spread(between)]] if between else [])]


def _findings(report: DatasetReport) -> list[str]:
    unusable = [f"  {finding.text}" for finding in report.unusable()]
    others = [f"  {finding.text}" for finding in report.findings if finding.usable]
    lines = []
    if unusable:
        lines += [f"{len(unusable)} of {report.count()} cases cannot be used", *unusable]
    if others:
        lines += ["worth a look", *others]
    return lines or ["every case can be used"]


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    low, median, high = (f"{value:.4g}" for value in (spread.low, spread.median, spread.high))
    return low if low == high else f"{median} ({low} to {high})"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with their columns under each other."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
