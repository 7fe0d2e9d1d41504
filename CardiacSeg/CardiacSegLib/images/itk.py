"""What ITK reads: the place of a NIfTI file in space, and whole files of the formats that ITK alone knows."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images.checks import check_size, not_at_right_angles, not_readable
from CardiacSegLib.images.image import LPS_TO_RAS, Image, as_volume


def read_itk(path: Path) -> Image:
    """Read a whole file with ITK."""
    import SimpleITK as sitk

    with _SILENCE:
        reader = _itk_reader(path)
    check_size(reader.GetSize(), path)
    if not all(spacing > 0 for spacing in reader.GetSpacing()):
        raise CardiacSegError(f"{path}: spacing is not positive; set the true spacing in its header")
    try:
        with _SILENCE:
            image = reader.Execute()
    except RuntimeError as error:
        raise not_readable(path, error) from error
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise CardiacSegError(f"{path}: voxels have several components; convert it to a grayscale image")
    array = as_volume(sitk.GetArrayFromImage(image).T)
    return Image(array, _affine(image.GetSpacing(), image.GetDirection(), image.GetOrigin()), path)


def itk_affine(path: Path) -> np.ndarray:
    """Where ITK, and so Slicer, places a file's voxels: 4 x 4, index to RAS millimeters."""
    reader = _itk_reader(path)
    return _affine(reader.GetSpacing(), reader.GetDirection(), reader.GetOrigin())


def _affine(spacing: Sequence[float], direction: Sequence[float], origin: Sequence[float]) -> np.ndarray:
    """RAS affine from ITK's LPS geometry of two, three or four dimensions."""
    dimensions = len(spacing)
    kept = min(3, dimensions)
    affine = np.eye(4)
    columns = np.reshape(direction, (dimensions, dimensions)) * spacing
    affine[:kept, :kept] = columns[:kept, :kept]
    affine[:kept, 3] = origin[:kept]
    return LPS_TO_RAS @ affine


def _itk_reader(path: Path) -> Any:
    """ITK's reader, which has read what the file says of its size and its place, and not yet its voxels."""
    import SimpleITK as sitk

    try:
        str(path).encode()
    except UnicodeEncodeError as error:  # the process would end here and now
        raise CardiacSegError(f"{path}: a part of its name is no text; rename it") from error
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK says of each ACDC file that its sform is unexpected
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise not_at_right_angles(path) from error
        raise not_readable(path, error) from error
    return reader


class _Silence:
    """Keeps ITK's readers from telling what their error says on the standard error of the process, past Python.

    Several threads may be within it at a time: the first one in turns it off, the last one out on again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = 0
        self._kept = -1

    def __enter__(self) -> None:
        with self._lock:
            self._within += 1
            if self._within == 1:
                with suppress(OSError), Path(os.devnull).open("wb") as nowhere:  # a program with windows has none
                    self._kept = os.dup(2)
                    os.dup2(nowhere.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0 and self._kept >= 0:
                os.dup2(self._kept, 2)
                os.close(self._kept)
                self._kept = -1


_SILENCE = _Silence()
