"""Bundles copied from folders and archives that may be hostile: plain files only, no larger than a model is."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from CardiacSegLib.bundles import METADATA
from CardiacSegLib.errors import CardiacSegError

#: More than this is no model of CardiacSeg, whose largest network takes half a gigabyte.
MOST_BYTES = 4_000_000_000
MOST_FILES = 10_000

#: A training run keeps its bundle in a folder of this name.
RUN_BUNDLE = "bundle"
#: What file managers leave in folders and archives.
_LITTER = {"__MACOSX", ".DS_Store", "Thumbs.db"}
#: What a damaged archive, or one of an unusual kind, raises beside OSError.
BROKEN_ZIP = (EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


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
    _check_size(source, [path.stat().st_size for path in files.values()], target.parent)
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
        for name, info in wanted.items():
            with archive.open(info) as stream:
                _write(target / PurePosixPath(name).relative_to(root), stream)
    return root.name or source.stem


def _entries(archive: zipfile.ZipFile, source: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by their names, each below the archive's own folder, without what macOS adds."""
    entries = {}
    for info in archive.infolist():
        # Windows takes both slashes, drives and streams; what is wrong there is refused everywhere.
        path = PureWindowsPath(info.filename)
        if path.anchor or ".." in path.parts or ":" in info.filename:
            raise CardiacSegError(f"{source}: {info.filename!r} would be written outside of its folder; do not use it")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise CardiacSegError(f"{source}: {info.filename!r} is a link or device, not a plain file; pack the files")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CardiacSegError(f"{source}: is locked or packed in an unusual way; unpack it and give its folder")
        if not info.is_dir() and not _LITTER & set(path.parts):
            entries[path.as_posix()] = info
    return entries


def _check_size(source: Path, sizes: list[int], place: Path) -> None:
    total = sum(sizes)
    if total > MOST_BYTES or len(sizes) > MOST_FILES:
        raise CardiacSegError(
            f"{source}: {len(sizes)} files of {total / 1e9:.1f} GB are no model (at most {MOST_FILES} files of "
            f"{MOST_BYTES / 1e9:g} GB); give the bundle alone"
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
    files = {}
    for path in sorted(folder.rglob("*")):
        kind = path.lstat().st_mode
        if stat.S_ISDIR(kind) or _LITTER & set(path.relative_to(folder).parts):
            continue
        if not stat.S_ISREG(kind):
            raise CardiacSegError(f"{path}: a link or device, not a plain file; put the file itself there")
        files[path.relative_to(folder).as_posix()] = path
    return files
