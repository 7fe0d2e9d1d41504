"""Files of weights that others wrote: the one place where torch reads a file.

Nothing but tensors and plain values is taken from them: ``weights_only`` refuses whatever else a pickle names.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import register_module_parameter_registration_hook

from CardiacSegLib.errors import one_line
from CardiacSegLib.networks.versions import require

_ARCHIVE = b"PK\x03\x04"


def read_tensors(source: Path | bytes) -> Any:
    """What ``torch.save`` wrote, on the CPU.

    Args:
        source: a file, or its content where that has been checked already.

    Raises:
        CardiacSegError: where torch is too old to be trusted with files (:mod:`CardiacSegLib.networks.versions`).
        ValueError: where it holds anything but tensors and plain values, is packed, damaged or missing; the message is
            one line.
    """
    require("torch")
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
            if stream.read(len(_ARCHIVE)) == _ARCHIVE:
                _check_archive(stream)
            stream.seek(0)
            return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no exception of its own, and a damaged archive raises many
        raise ValueError(one_line(error) or type(error).__name__) from error


def _check_archive(stream: Any) -> None:
    """``torch.save`` packs nothing: a few bytes that unfold to more than the memory are no weights."""
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
                raise ValueError(f"'{info.filename}' in it is packed or locked, which torch.save never does")


@contextmanager
def no_larger_than(weights: Any) -> Iterator[None]:
    """Stop a network that is being built from having many more weights than a file holds, before they take memory.

    A definition of a few words can ask for more than any computer has.

    Args:
        weights: state dictionary of the file.
    """
    values = weights.values() if isinstance(weights, dict) else ()
    left = 2 * sum(value.numel() for value in values if isinstance(value, torch.Tensor))

    def count(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        nonlocal left
        left -= parameter.numel() if parameter is not None else 0
        if left < 0:
            raise ValueError("it has many more weights than the file holds; copy the model again")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
