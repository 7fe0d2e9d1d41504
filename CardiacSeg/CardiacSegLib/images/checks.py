"""What is refused when a file is read, whatever its format: each error names the file and the remedy."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.geometry import voxel_spacing
from CardiacSegLib.images.image import Image

#: A header that claims more voxels than this is damaged; a cine of 30 phases of 20 slices of 512 x 512 has 1.6e8.
_MOST_VOXELS = 2**31
#: Spacings beyond these, in millimeters, are no spacing of anything.
_SPACINGS = (1e-4, 1e4)
#: What readers raise for a file that is damaged, or something else than its name says.
UNREADABLE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError, TypeError),
    *(ValueError, struct.error, zlib.error),
)


def check_file(path: Path) -> None:
    """Refuse what is no file with something in it: reading from a pipe would never end."""
    if path.is_dir():
        raise CardiacSegError(f"{path}: is a folder; name an image in it")
    if not path.is_file():
        reason = "is no regular file; copy it into one" if path.exists() else "does not exist; check the path"
        raise CardiacSegError(f"{path}: {reason}")
    if path.stat().st_size == 0:
        raise CardiacSegError(f"{path}: the file is empty (0 bytes); export or copy it again")


def check_size(size: Sequence[int], path: Path, most: int = _MOST_VOXELS) -> None:
    """Refuse what a header claims before anything makes room for it."""
    if min(size) < 1:
        shown = " x ".join(map(str, size))
        raise CardiacSegError(f"{path}: holds no voxel (size {shown}); export it again")
    count = np.prod(np.asarray(size, float))
    if count > most:
        raise CardiacSegError(f"{path}: its header claims {count:.0e} voxels; it is damaged, copy it again")


def check_image(image: Image) -> None:
    """Refuse what no image of a heart is, whoever has read it."""
    array, path = image.array, image.path
    if array.ndim not in (3, 4):
        raise CardiacSegError(f"{path}: has {array.ndim} dimensions; give a volume (3) or a cine (4)")
    if array.size == 0:
        raise CardiacSegError(f"{path}: holds no voxel (shape {array.shape}); export it again")
    if array.dtype.kind not in "biuf":
        raise CardiacSegError(f"{path}: voxels are not gray values ({array.dtype}); convert it to a grayscale image")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = np.count_nonzero(~np.isfinite(array))
        raise CardiacSegError(f"{path}: {count} voxels are NaN or infinite; replace them, for example by 0")
    if not np.isfinite(image.affine).all():
        raise CardiacSegError(f"{path}: its place in space is no number; set the true origin in its header")
    spacing, (low, high) = voxel_spacing(image.affine), _SPACINGS
    if not (low <= spacing.min() and spacing.max() <= high):
        shown = " x ".join(f"{value:g}" for value in spacing)
        raise CardiacSegError(f"{path}: a spacing of {shown} mm cannot be; set the true spacing in its header")


def not_at_right_angles(path: Path) -> CardiacSegError:
    """For a grid that is sheared, which neither ITK nor Slicer's volumes know."""
    return CardiacSegError(f"{path}: its axes are not at right angles; resample it to a regular grid")


def not_readable(path: Path, error: Exception) -> CardiacSegError:
    """For what a library raised, one of :data:`UNREADABLE`."""
    if isinstance(error, PermissionError):
        return CardiacSegError(f"{path}: this account may not read it; give it the right to, or copy the file")
    reason = " ".join(str(error).split())[-160:]
    return CardiacSegError(
        f"{path}: cannot be read, it is truncated, damaged or no such image ({reason}); copy it again"
    )
