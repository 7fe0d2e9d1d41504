"""The elements of DICOM files, read by pydicom from files that may be damaged, or made to do harm."""

from __future__ import annotations

import io
import logging
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from CardiacSegLib.errors import CardiacSegError

#: A file begins with so many bytes of any content, and this mark behind them; older ones have neither.
PREAMBLE, MARK = 128, b"DICM"
#: What deflated files may come to, in bytes.
_MOST_INFLATED = 2**28
_DEFLATED = b"1.2.840.10008.1.2.1.99"
#: What pydicom raises for a file that is damaged, or no DICOM file.
_UNREADABLE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError),
    *(OSError, RuntimeError, TypeError, ValueError, struct.error, zlib.error),
)
#: Those that tell a person something.
_TELLING = (AttributeError, CardiacSegError, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)
#: Text in quotes or brackets within an error: it may be what stands in the file.
_QUOTED = re.compile(r"""(?<!\w)b?(['"]).*?\1|<.*?>""")


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Give pydicom, without its check of values: identifiers may have parts with leading zeros.

    What pydicom warns of and logs is not shown, as it quotes what stands in a file.

    Raises:
        CardiacSegError: naming the file, for whatever pydicom raises.
    """
    import warnings

    import pydicom

    try:
        with warnings.catch_warnings(), pydicom.config.disable_value_validation(), _silent("pydicom"):
            warnings.simplefilter("ignore")
            yield pydicom
    except (*_UNREADABLE, pydicom.errors.BytesLengthException, pydicom.errors.InvalidDicomError) as error:
        message = f"{path}: cannot be read as DICOM ({reason_of(error)}); copy it again, or take it away"
        raise CardiacSegError(message) from error


def reason_of(error: BaseException) -> str:
    """What an exception says, in one line, without what it quotes: that may name the patient."""
    if not isinstance(error, _TELLING):
        return "its elements are damaged"
    return printable(_QUOTED.sub("...", " ".join(str(error).split())))[:160] or type(error).__name__


def printable(text: str) -> str:
    """Text with marks in place of what no terminal shows, as names of files may have it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def load(pydicom: Any, path: Path, **options: Any) -> Any:
    """The elements of a file, by pydicom; ``options`` are those of ``dcmread``.

    Raises:
        Whatever pydicom raises, and ValueError where the file inflates beyond all measure.
    """
    with _WholeFile(path) as stream:
        _check_inflated(stream)
        return pydicom.dcmread(stream, force=True, **options)


class _WholeFile(io.BufferedReader):
    """A file of which no more can be asked than it holds: an element's length may claim four gigabytes."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None else min(size, self._size))


def _check_inflated(stream: _WholeFile) -> None:
    """Refuse a deflated file that would fill the memory; leave the stream at its beginning."""
    head = stream.read(1024)
    if _DEFLATED in head:
        # The group of the transfer syntax says its length in its first element; the deflated ones begin behind it.
        stream.seek(PREAMBLE + len(MARK) + 12 + struct.unpack_from("<I", head, PREAMBLE + len(MARK) + 8)[0])
        inflating, count, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, stream.read()
        while rest and count <= _MOST_INFLATED:
            count += len(inflating.decompress(rest, 2**20))
            rest = inflating.unconsumed_tail
        if count > _MOST_INFLATED:
            raise ValueError(f"it inflates to more than {_MOST_INFLATED >> 20} MB")
    stream.seek(0)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)  # unlike `disabled`, it is for the loggers below this one, too
    try:
        yield
    finally:
        logger.setLevel(before)
