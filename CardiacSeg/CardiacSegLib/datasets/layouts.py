"""The layouts on disk that are known, and which of them a folder has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.datasets import acdc, camus, datalist, mnms, nnunet, pairs, sunnybrook
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.errors import CardiacSegError


class Layout(Protocol):
    """What a module of this package that reads a layout offers. It may also have ``SAME_IMAGES``, ``read_splits``."""

    TITLE: str

    def recognizes(self, folder: Path) -> bool: ...

    def find_cases(self, folder: Path, labels: LabelConvention | None = None) -> list[Case]: ...


#: In the order in which they are tried: those whose names say more come first.
LAYOUTS: Mapping[str, Layout] = {
    "acdc": acdc,
    "mnms": mnms,
    "camus": camus,
    "sunnybrook": sunnybrook,
    "nnunet": nnunet,
    "datalist": datalist,
    "pairs": pairs,
}


def recognize(folder: Path) -> str:
    """The name of the layout that a folder, or a file that lists cases, has.

    Raises:
        CardiacSegError: where it does not exist or has none that is known.
    """
    with _named(folder):
        folder = _existing(folder)
        name = _recognized(folder)
        inside = next((path for path in _subfolders(folder) if not name and _recognized(path)), None)
    if name:
        return name
    if inside:
        raise CardiacSegError(f"{folder}: has no layout that is known, but {inside} in it has one; give that folder")
    known = "; ".join(f"{name} ({layout.TITLE})" for name, layout in LAYOUTS.items())
    raise CardiacSegError(f"{folder}: has no layout that is known; arrange it as one of them: {known}")


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Name what cannot be listed: a folder that vanishes or may not be read, a name that is too long."""
    try:
        yield
    except OSError as error:
        what = error.filename or folder
        raise CardiacSegError(f"{what}: cannot be read ({error.strerror or error}); check {folder}") from error


def _existing(folder: Path) -> Path:
    if not Path(folder).exists():
        raise CardiacSegError(f"{folder}: does not exist; check the path")
    return Path(folder)


def _recognized(folder: Path) -> str:
    return next((name for name, layout in LAYOUTS.items() if layout.recognizes(folder)), "")


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def find_cases(folder: Path, layout: str = "", labels: LabelConvention | None = None) -> list[Case]:
    """The labeled cases below a folder, or in a file that lists them.

    Args:
        folder: where they are.
        layout: a key of :data:`LAYOUTS`; recognized where it is empty.
        labels: what the person said of the labels, for layouts that do not fix them.

    Raises:
        CardiacSegError: where the folder does not exist, the layout is not known, or something of it is missing or
            contradicts ``labels``.
    """
    found = _layout(layout or recognize(folder))
    with _named(folder):
        return found.find_cases(_existing(folder), labels)


def same_images(layout: str) -> Sequence[Sequence[str]]:
    """Patients of a layout's data set who are known to be the same person: a split keeps them together."""
    return getattr(_layout(layout), "SAME_IMAGES", ())


def own_folds(folder: Path, layout: str) -> list[list[str]]:
    """The patients that each fold of a data set's own split holds out; none where it brings no folds."""
    read_splits = getattr(_layout(layout), "read_splits", None)
    return read_splits(_existing(folder)) if read_splits else []


def _layout(name: str) -> Layout:
    if name not in LAYOUTS:
        raise CardiacSegError(f"layout '{name}' is not known; choose from {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
