"""The model of a cohort as files, which travel to other machines and which results depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from CardiacSegLib.bundles import METADATA, WEIGHTS, Bundle
from CardiacSegLib.errors import CardiacSegError

_FOLDERS = (METADATA.parent, WEIGHTS.parent)


def model_files(bundle: Bundle) -> dict[str, bytes]:
    """What segmentation needs of a bundle, by relative path: configurations and weights, no code and no card.

    Raises:
        CardiacSegError: where a file cannot be read.
    """
    paths = (path for folder in _FOLDERS for path in sorted((bundle.folder / folder).rglob("[!.]*")))
    try:
        return {path.relative_to(bundle.folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}
    except OSError as error:
        raise CardiacSegError(f"{bundle.folder}: cannot be read ({error.strerror}); copy the model again") from error


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256, hexadecimal, over all files and their names."""
    each = (f"{name} {hashlib.sha256(content).hexdigest()}\n" for name, content in sorted(files.items()))
    return hashlib.sha256("".join(each).encode()).hexdigest()
