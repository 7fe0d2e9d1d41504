"""Pages and tables, read again as a person or another program does."""

from __future__ import annotations

import base64
import csv
import io
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image as Pillow

#: Attributes by which a page loads something, or leads away.
_REFERENCES = ("src", "href", "data", "srcset", "action", "poster", "background")
#: What a page that is one file does not hold.
_MORE = ("<script", "<link", "<iframe", "<object", "@import", "url(", "http")


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by the names of its columns."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


class Page(HTMLParser):
    """The text, the tables and the pictures of a page, and what it would load.

    Attributes:
        markup: the whole file.
        text: what stands there to be read, its spaces as a browser shows them.
        headings: of both upper levels.
        rows: of all tables, cell by cell.
        tables: the same by the table's id.
        pictures: (description, picture).
        references: to what a page loads or leads to.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.markup = path.read_text(encoding="utf-8")
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.pictures: list[tuple[str, Pillow.Image]] = []
        self.references: list[str] = []
        self._inside: list[str] = []
        self._table: list[list[str]] = []
        self._words: list[str] = []
        self.feed(self.markup)
        self.text = " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        facts = dict(attributes)
        self.references += [facts[name] or "" for name in _REFERENCES if name in facts]
        self._inside.append(tag)
        if tag == "img":
            content = base64.b64decode((facts["src"] or "").partition("base64,")[2])
            self.pictures.append((facts["alt"] or "", Pillow.open(io.BytesIO(content))))
        elif tag == "table":
            self._table = self.tables[facts.get("id") or ""] = []
        elif tag == "tr":
            row: list[str] = []
            self.rows.append(row)
            self._table.append(row)
        elif tag in ("th", "td"):
            self.rows[-1].append("")
        elif tag in ("h1", "h2"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" in self._inside:
            return
        self._words.append(data)
        if {"td", "th"} & set(self._inside):
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()
        elif {"h1", "h2"} & set(self._inside):
            self.headings[-1] += data

    def picture(self, description: str) -> Pillow.Image:
        """The first picture whose description holds some words."""
        return next(picture for alt, picture in self.pictures if description in alt)

    def row(self, name: str) -> list[str]:
        """The first row whose first cell begins so."""
        return next(row for row in self.rows if row and row[0].startswith(name))

    def needs_nothing(self) -> bool:
        """Whether it is one file: no scripts, nothing loaded that is not in it, and no way to elsewhere."""
        inside = all(address.startswith("data:") for address in self.references)
        return inside and not any(word in self.markup for word in _MORE)


def as_written(value: float, digits: int, sign: str = "") -> str:
    """A number as pages have it, with a true minus."""
    return f"{value:{sign}.{digits}f}".replace("-", "−")
