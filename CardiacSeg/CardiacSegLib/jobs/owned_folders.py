"""Temporary folders that know whose they are: what a killed process leaves behind is removed by the next one.

A folder holds the mark of the process that made it. Whoever makes the next one under the same name in the same place
removes those whose process is gone. One without a mark, or of another computer, or of a process that cannot be asked
after, stays.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.processes import ProcessMark, psutil_or_none

#: What the folders of jobs are called in the system's folder for what is temporary.
PREFIX = "CardiacSeg-"
_OWNER = "owner.json"


def make_owned_folder(prefix: str = PREFIX, parent: Path | None = None) -> Path:
    """Make a folder that belongs to this process, and remove those of processes that are gone.

    Args:
        prefix: of its name.
        parent: where; in the system's folder for what is temporary where None.

    Raises:
        OSError: where it cannot be made.
        CardiacSegError: where nothing can be written into it.
    """
    parent = Path(parent or tempfile.gettempdir())
    remove_abandoned(prefix, parent)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
    if psutil_or_none():  # without, a mark would not say when the process began, and others would take it for gone
        try:
            ProcessMark.of_this_process().write(folder / _OWNER)
        except CardiacSegError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return folder


@contextmanager
def owned_folder(prefix: str = PREFIX, parent: Path | None = None) -> Iterator[Path]:
    """As :func:`make_owned_folder`; the folder goes at the end."""
    folder = make_owned_folder(prefix, parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(prefix: str, parent: Path) -> None:
    """Remove the folders of processes that are gone."""
    for folder in parent.glob(f"{prefix}*"):
        if _is_own(folder):
            owner = ProcessMark.read(folder / _OWNER)
            if owner and owner.is_alive() is False:
                _remove(folder)


def _is_own(folder: Path) -> bool:
    """Whether it is a folder of this account, and not a link to one: others may write where temporary folders are."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == getattr(os, "getuid", lambda: status.st_uid)()


def _remove(folder: Path) -> None:
    """Remove a folder, its mark last: where something cannot go yet, the next process tries again."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if path.name == _OWNER:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        if [path.name for path in folder.iterdir()] == [_OWNER]:
            shutil.rmtree(folder)
