"""Bundles copied from folders and archives that may be hostile: plain files only, no larger than a model is."""

from __future__ import annotations

import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from CardiacSegLib.bundles import METADATA, RUN_BUNDLE
from CardiacSegLib.errors import CardiacSegError

#: More than this is no model of CardiacSeg, whose largest network takes half a gigabyte: in all, in one file, files.
MOST_BYTES, MOST_BYTES_OF_ONE = 4_000_000_000, 2_000_000_000
MOST_FILES = 10_000
#: What unfolds to more than this many times its size, and to more than a megabyte, is made to fill a disk. Weights
#: hardly get smaller; text does, about five times.
MOST_UNFOLDING, _SMALL = 100, 1_000_000
#: Of a name with its folders, which Windows adds to its own.
_LONGEST_NAME, _DEEPEST = 200, 16

#: What file managers leave in folders and archives.
_LITTER = {"__MACOSX", ".DS_Store", "Thumbs.db"}
#: What a damaged archive, or one of an unusual kind, raises beside OSError.
BROKEN_ZIP = (
    EOFError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

#: Names that Windows keeps for devices, whatever follows a point.
RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def copy_folder(source: Path, target: Path) -> str:
    """Copy a bundle, or the one of a training run; return the name of its folder."""
    if not source.is_dir():
        raise CardiacSegError(f"{source}: no such file or folder; give a bundle's folder or a .zip that holds one")
    source = source.resolve()
    if not (source / METADATA).is_file() and (source / RUN_BUNDLE / METADATA).is_file():
        source = source / RUN_BUNDLE
    if not (source / METADATA).is_file():
        raise CardiacSegError(f"{source}: no bundle, {METADATA} is missing; give the folder that holds 'configs'")
    files = plain_files(source)
    with _copying(source):
        sizes = [path.stat().st_size for path in files.values()]
    _check_size(source, sizes, target.parent)
    for name, path in files.items():
        with _copying(source), path.open("rb") as stream:
            _write(target / name, stream)
    return source.name


def unpack(source: Path, target: Path) -> str:
    """Unpack the bundle in an archive; return the name of its folder there, or that of the archive."""
    if not zipfile.is_zipfile(source):
        raise CardiacSegError(f"{source}: no .zip; give a bundle's folder or a .zip that holds one")
    with _copying(source), zipfile.ZipFile(source) as archive:
        entries = _entries(archive, source)
        roots = [PurePosixPath(name).parents[1] for name in entries if name.endswith(f"/{METADATA.as_posix()}")]
        roots = [PurePosixPath()] if METADATA.as_posix() in entries else [one for one in roots if len(one.parts) == 1]
        if len(roots) != 1:
            many = "several bundles" if roots else f"no bundle, {METADATA} is missing"
            raise CardiacSegError(f"{source}: {many}; pack the one folder that holds 'configs'")
        (root,) = roots
        wanted = {name: info for name, info in entries.items() if root in PurePosixPath(name).parents}
        _check_size(source, [info.file_size for info in wanted.values()], target.parent)
        _check_unfolding(source, list(wanted.values()))
        for name, info in wanted.items():
            with archive.open(info) as stream:
                _write(target / PurePosixPath(name).relative_to(root), stream)
    return root.name or source.stem


def _entries(archive: zipfile.ZipFile, source: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by their names, each below the archive's own folder, without what macOS adds."""
    infos, entries, taken = archive.infolist(), {}, {}
    if len(infos) > MOST_FILES:
        raise CardiacSegError(
            f"{source}: {len(infos)} files are no model (at most {MOST_FILES}); give the bundle alone"
        )
    for info in infos:
        # Windows takes both slashes, drives and streams; what is wrong there is refused everywhere.
        path = PureWindowsPath(info.filename)
        _check_entry(info, path, source)
        if info.is_dir() or _LITTER & set(path.parts):
            continue
        other = taken.setdefault(_on_any_disk(path), info.filename)
        if path.as_posix() in entries or other != info.filename:
            raise CardiacSegError(f"{source}: {info.filename!r} and {other!r} would be one file; pack it again")
        entries[path.as_posix()] = info
    return entries


def _check_entry(info: zipfile.ZipInfo, path: PureWindowsPath, source: Path) -> None:
    if path.anchor or ".." in path.parts or ":" in info.filename:
        raise CardiacSegError(f"{source}: {info.filename!r} would be written outside of its folder; do not use it")
    if info.orig_filename.rstrip("/") != info.filename.rstrip("/") or any(not _is_plain(part) for part in path.parts):
        raise CardiacSegError(f"{source}: {info.orig_filename[:80]!r} names no file on every system; do not use it")
    if len(info.filename) > _LONGEST_NAME or len(path.parts) > _DEEPEST:
        raise CardiacSegError(f"{source}: {info.filename[:40]!r}... is too long a name; pack the bundle alone")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise CardiacSegError(f"{source}: {info.filename!r} is a link or device, not a plain file; pack the files")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CardiacSegError(f"{source}: is locked or packed in an unusual way; unpack it and give its folder")


def _is_plain(part: str) -> bool:
    """Whether every system keeps a name as it is: Windows drops points and spaces at its end, and opens devices."""
    return part.isprintable() and part == part.rstrip(". ") and not RESERVED.fullmatch(part)


def _on_any_disk(path: PureWindowsPath) -> str:
    """What a disk may make of a name that tells neither capitals from small letters nor two ways to write é."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path.as_posix()).casefold())


def _check_unfolding(source: Path, infos: list[zipfile.ZipInfo]) -> None:
    """Refuse a bomb: one file that unfolds to very much, or many that share the same few bytes of the archive."""
    pairs = [(info.file_size, info.compress_size) for info in infos]
    pairs.append((sum(size for size, _ in pairs), source.stat().st_size))
    if any(size > max(_SMALL, MOST_UNFOLDING * packed) for size, packed in pairs):
        raise CardiacSegError(
            f"{source}: unfolds to more than {MOST_UNFOLDING} times its size, as no model does; do not use it"
        )


def _check_size(source: Path, sizes: list[int], place: Path) -> None:
    total = sum(sizes)
    if total > MOST_BYTES or len(sizes) > MOST_FILES or max(sizes, default=0) > MOST_BYTES_OF_ONE:
        raise CardiacSegError(
            f"{source}: {len(sizes)} files of {total / 1e9:.1f} GB are no model (at most {MOST_FILES} files of "
            f"{MOST_BYTES / 1e9:g} GB, and {MOST_BYTES_OF_ONE / 1e9:g} GB in one); give the bundle alone"
        )
    if total > shutil.disk_usage(place).free:
        raise CardiacSegError(f"{source}: needs {total / 1e6:.0f} MB, more than the disk has; make room on it")


def _write(path: Path, stream: Any) -> None:
    """A new file with the content of a stream, without the rights to run that it had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target:
        shutil.copyfileobj(stream, target, 1 << 20)


@contextmanager
def _copying(source: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, *BROKEN_ZIP) as error:
        reason = getattr(error, "strerror", None) or error
        raise CardiacSegError(f"{source}: cannot be copied ({reason}); get it again, or make room") from error


def plain_files(folder: Path) -> dict[str, Path]:
    """Every file of a folder by its name there, with slashes, sorted; what file managers leave is passed over.

    Raises:
        CardiacSegError: for a link, a socket and the like.
    """
    try:
        found = sorted(folder.rglob("*"))
    except RecursionError as error:
        raise CardiacSegError(f"{folder}: folders in folders without end are no model; give the bundle") from error
    files = {}
    for path in found:
        try:
            kind = path.lstat().st_mode
        except FileNotFoundError as error:
            raise CardiacSegError(f"{folder}: has changed while it was read; try again") from error
        if stat.S_ISDIR(kind) or _LITTER & set(path.relative_to(folder).parts):
            continue
        if not stat.S_ISREG(kind):
            raise CardiacSegError(f"{path}: a link or device, not a plain file; put the file itself there")
        files[path.relative_to(folder).as_posix()] = path
    return files
