"""Writing files so that nothing is ever half written, and unpacking them so that the memory is never filled."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from CardiacSegLib.errors import CardiacSegError


def make_folder(path: Path) -> None:
    """Make a folder with its parents, or raise CardiacSegError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CardiacSegError(f"{path}: cannot be made ({error.strerror}); {_remedy(error)}") from error


#: What helps where a file cannot be written; in all other cases it is another folder.
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)), "make room on the disk"),
    errno.ENAMETOOLONG: "choose a shorter name",
}


def _remedy(error: OSError) -> str:
    return _REMEDIES.get(error.errno, "choose another folder")


_PARTIAL = ".partial-"
#: The mask can only be asked for by setting it, and a batch writes from two threads.
_UMASK = threading.Lock()
#: No file takes so long to write: one that still has a temporary name then was left by a process that was killed.
_ABANDONED_SECONDS = 86400.0
#: The name of a partial file ends as that of the file does, by which many a writer chooses the format.
_LONGEST_EXTENSION = 16
#: So much of a gzip file is unpacked at a time where nothing of it is kept.
_PIECE = 2**20


def remove_partial(folder: Path) -> None:
    """Remove what a process that was killed in the middle of writing left in a folder of which no other is a user."""
    for path in folder.rglob(f"{_PARTIAL}*"):
        path.unlink(missing_ok=True)


@lru_cache(maxsize=1000)
def _remove_abandoned(folder: Path) -> None:
    """Remove, once in a process, what killed processes left half written in a folder; others may be writing there."""
    with suppress(OSError):
        for path in folder.glob(f"{_PARTIAL}*"):
            if path.is_file() and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()


@contextmanager
def replacing(path: Path | str, *, synced: bool = False) -> Iterator[Path]:
    """Write a file under a temporary name and give it its own only once it is whole.

    The body writes to the path that it is given, which has the same extension; where the body raises, the temporary
    file goes and whatever stood at ``path`` stays as it was. What a process that was killed left half written in the
    same folder goes with the next writing there, once it is a day old.

    Args:
        synced: wait until the disk has the content, so that not even a power failure leaves a file of zeros.

    Raises:
        CardiacSegError: where the folder does not exist or cannot be written to, or the disk is full.
    """
    path = Path(path)
    _remove_abandoned(path.parent)
    extension = path.name[path.name.find(".", 1) :] if "." in path.name[1:] else ""
    try:
        if path.is_dir():
            raise CardiacSegError(f"{path}: is a folder; give the name of a file")
        handle, name = tempfile.mkstemp(prefix=_PARTIAL, suffix=extension[-_LONGEST_EXTENSION:], dir=path.parent)
    except OSError as error:
        raise CardiacSegError(f"{path}: cannot be written ({error.strerror}); {_remedy(error)}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _match_permissions(temporary)
        if synced:
            _sync(temporary)
        temporary.replace(path)
    except OSError as error:
        reason = f"{error.strerror or error}; nothing was left there"
        raise CardiacSegError(f"{path}: cannot be written ({reason}); {_remedy(error)}") from error
    finally:
        with suppress(OSError):  # its folder may be gone, and what went wrong is said already
            temporary.unlink()


def write_json(path: Path | str, content: object) -> None:
    """Write what people may read and change as JSON, through :func:`replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def unzipped(content: bytes, most: int, *, to_the_end: bool = False) -> bytes:
    """The first bytes of what a gzip file holds, which may be more than the memory.

    Args:
        content: of the file, or how it begins.
        most: how many bytes to give at most.
        to_the_end: also unpack the rest, and let it go: at the end stands the checksum.

    Raises:
        EOFError: where ``content`` ends too early.
        zlib.error: where it is damaged or something else.
    """
    kept, left = [], most
    while content and (left or to_the_end):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not member.eof and (left or to_the_end):
            piece = member.decompress(content, max(left, _PIECE))
            content = member.unconsumed_tail
            if to_the_end and not (piece or content or member.eof):
                raise EOFError("it ends too early")
            if not (piece or content):
                break
            kept.append(piece[:left])
            left -= len(kept[-1])
        content = member.unused_data.lstrip(b"\0")
    return b"".join(kept)


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _match_permissions(path: Path) -> None:
    """Give a file made by ``mkstemp`` (readable by its owner alone) the permissions that ``open`` would have given."""
    with _UMASK:
        mask = os.umask(0)
        os.umask(mask)
    path.chmod(0o666 & ~mask)
