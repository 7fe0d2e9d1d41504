"""Writing files so that nothing is ever half written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from CardiacSegLib.errors import CardiacSegError


def make_folder(path: Path) -> None:
    """Make a folder with its parents, or raise CardiacSegError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CardiacSegError(f"{path}: cannot be made ({error.strerror}); choose another folder") from error


_PARTIAL = ".partial-"


def remove_partial(folder: Path) -> None:
    """Remove what a process that was killed in the middle of writing left in a folder of which no other is a user."""
    for path in folder.rglob(f"{_PARTIAL}*"):
        path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path | str, *, synced: bool = False) -> Iterator[Path]:
    """Write a file under a temporary name and give it its own only once it is whole.

    The body writes to the path that it is given, which has the same extension; where the body raises, the temporary
    file goes and whatever stood at ``path`` stays as it was.

    Args:
        synced: wait until the disk has the content, so that not even a power failure leaves a file of zeros.

    Raises:
        CardiacSegError: where the folder does not exist or cannot be written to, or the disk is full.
    """
    path = Path(path)
    if path.is_dir():
        raise CardiacSegError(f"{path}: is a folder; give the name of a file")
    extension = path.name[path.name.find(".", 1) :] if "." in path.name[1:] else ""
    try:
        handle, name = tempfile.mkstemp(prefix=_PARTIAL, suffix=extension, dir=path.parent)
    except OSError as error:
        raise CardiacSegError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _match_permissions(temporary)
        if synced:
            _sync(temporary)
        temporary.replace(path)
    except OSError as error:
        raise CardiacSegError(
            f"{path}: cannot be written ({error.strerror or error}); nothing was left there"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _match_permissions(path: Path) -> None:
    """Give a file made by ``mkstemp`` (readable by its owner alone) the permissions that ``open`` would have given."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
