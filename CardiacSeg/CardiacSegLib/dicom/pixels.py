"""The pixels of DICOM images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.dicom.headers import DicomImage, reading


def read_pixels(images: Iterable[DicomImage]) -> Iterator[np.ndarray]:
    """The intensities of one image after the other, (columns, rows): integers as stored, or float32 if rescaled.

    Raises:
        CardiacSegError: naming a file that is truncated or damaged.
    """
    opened: tuple[Path, Any] | None = None  # a file that holds several images is opened once
    for image in images:
        with reading(image.path) as pydicom:
            if opened is None or opened[0] != image.path:
                opened = image.path, pydicom.dcmread(image.path, force=True)
            pixels = _intensities(pydicom, opened[1], image)
            if pixels.shape[::-1] != image.size:
                raise ValueError(f"its pixels have the shape {pixels.shape}")
        yield pixels.T


def _intensities(pydicom: Any, dataset: Any, image: DicomImage) -> np.ndarray:
    """Pixels (rows, columns)."""
    syntax = dataset.file_meta.get("TransferSyntaxUID") if "file_meta" in dataset.__dict__ else None
    if syntax is not None and syntax.is_compressed and not _decodes(pydicom, syntax):
        return _decoded_by_itk(image)
    if syntax is None:  # a file without a head is in the syntax that the standard has as the default
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    pixels = pydicom.pixels.pixel_array(dataset, index=image.frame)
    if image.rescale == (1.0, 0.0):
        return pixels
    slope, intercept = image.rescale
    return (pixels * slope + intercept).astype(np.float32)


def _decodes(pydicom: Any, syntax: Any) -> bool:
    """Whether pydicom decompresses that transfer syntax with what is installed."""
    try:
        return pydicom.pixels.get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _decoded_by_itk(image: DicomImage) -> np.ndarray:
    """Pixels that ITK decompresses, which brings what pydicom needs further packages for; ITK rescales them itself."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    return sitk.GetArrayFromImage(sitk.ReadImage(str(image.path)))[image.frame or 0]
