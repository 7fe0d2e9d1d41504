"""The tables of measures: what is read first, and the rest, in groups by structure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

if TYPE_CHECKING:  # their own imports take a quarter of a second
    from CardiacSegLib.clinical.ranges import NormalRange
    from CardiacSegLib.clinical.rows import StudyRow
    from CardiacSegLib.clinical.study import StudyMeasures

COLUMNS = (_("Measure"), _("Value"), _("Normal"), _("Per m²"), _("Normal"))
_VALUE, _RANGE, _INDEXED, _INDEXED_RANGE = range(1, 5)

_GROUPS = (
    ("LV", _("Left ventricle")),
    ("RV", _("Right ventricle")),
    ("MYO", _("Left ventricular wall")),
    ("LA", _("Left atrium")),
)

#: What is read first; all else is a click away.
_FIRST = ("EDV", "ESV", "SV", "EF", "Cardiac output", "Mass", "Mass at ED", "Volume", "Area")

#: Units whose values say nothing beyond the decimal point.
_WHOLE = ("mL/s",)


def prepareResultsTable(table: Any) -> None:
    """Let the measure take the room that its values leave."""
    table.setColumnCount(len(COLUMNS))
    table.setHorizontalHeaderLabels(COLUMNS)
    header = table.horizontalHeader()
    header.setMinimumSectionSize(20)
    header.setDefaultAlignment(qt.Qt.AlignLeft | qt.Qt.AlignVCenter)
    for column in range(1, len(COLUMNS)):
        header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        table.horizontalHeaderItem(column).setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    header.setSectionResizeMode(0, qt.QHeaderView.Stretch)


def splitRows(study: StudyMeasures | None) -> tuple[list[StudyRow], list[StudyRow]]:
    """The measures that are read first, and the others; none of them divided by the body surface area."""
    rows = [] if study is None else [row for row in study.rows if not row.indexed]
    first = [row for row in rows if _isFirst(row)]
    return first, [row for row in rows if not _isFirst(row)]


def _isFirst(row: StudyRow) -> bool:
    return row.measure in _FIRST or row.measure.startswith("Area") or row.structure == "LA"


def fillResultsTable(table: Any, study: StudyMeasures | None, rows: Sequence[StudyRow]) -> None:
    """Show measures of a study in their groups, and make the table as high as they are.

    Columns that would be empty are not shown: values over the body surface area where it is not known, normal ranges
    where none applies.
    """
    lines: list[tuple[str, list[StudyRow]]] = []
    for structure, title in _GROUPS:
        ofGroup = [row for row in rows if row.structure == structure]
        lines += [(title, []), *(("", [row]) for row in ofGroup)] if ofGroup else []
    table.clearSpans()
    table.setRowCount(len(lines))
    for number, (title, found) in enumerate(lines):
        if found:
            _fillRow(table, number, found[0], study.row(found[0].measure, found[0].structure, indexed=True))
        else:
            _fillTitle(table, number, title)
    for column in range(1, len(COLUMNS)):
        table.setColumnHidden(column, not any(table.item(row, column).text() for row in range(len(lines))))
    table.setColumnHidden(_VALUE, False)
    rowsHeight = table.verticalHeader().defaultSectionSize * len(lines)
    table.setFixedHeight(table.horizontalHeader().height + rowsHeight + 2 * table.frameWidth)


def _fillTitle(table: Any, number: int, title: str) -> None:
    _setTexts(table, number, [title, *[""] * (len(COLUMNS) - 1)], "")
    font = table.item(number, 0).font()
    font.setBold(True)
    table.item(number, 0).setFont(font)
    table.setSpan(number, 0, 1, len(COLUMNS))


def _fillRow(table: Any, number: int, row: StudyRow, indexed: StudyRow | None) -> None:
    texts = [f"  {row.measure}", _valueText(row), _rangeText(row.ranges), "", ""]
    if indexed is not None:
        texts[_INDEXED:] = [_valueText(indexed), _rangeText(indexed.ranges)]
    details = [row.note, *_details([row, indexed] if indexed is not None else [row])]
    _setTexts(table, number, texts, "\n".join(filter(None, details)))


def _setTexts(table: Any, number: int, texts: Sequence[str], toolTip: str) -> None:
    for column, text in enumerate(texts):
        item = qt.QTableWidgetItem(text)
        item.setToolTip(toolTip)
        if column:
            item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        table.setItem(number, column, item)


def _valueText(row: StudyRow) -> str:
    """A value as people read it; a dash where it cannot be told."""
    if row.value is None:
        return "–"
    return f"{row.value:.{0 if row.unit in _WHOLE else 1}f} {row.unit}".strip()


def _rangeText(ranges: Iterable[NormalRange]) -> str:
    return "; ".join(found.text for found in ranges)


def _details(rows: Iterable[StudyRow]) -> list[str]:
    return [f"{found.text} {row.unit}: {found.origin}" for row in rows for found in row.ranges]


def rangesText(study: StudyMeasures | None) -> str:
    """Where the normal ranges of a study are from; "" where it has none."""
    used = {} if study is None else {f"{found.source}, {found.people}" for row in study.rows for found in row.ranges}
    if not used:
        return ""
    return _("Normal ranges as published, not a diagnosis: {sources}.").format(sources="; ".join(sorted(used)))
