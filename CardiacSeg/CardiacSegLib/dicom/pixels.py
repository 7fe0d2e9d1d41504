"""The pixels of DICOM images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.dicom.elements import load, reading
from CardiacSegLib.dicom.headers import DicomImage
from CardiacSegLib.errors import CardiacSegError


def read_pixels(images: Iterable[DicomImage]) -> Iterator[np.ndarray]:
    """The intensities of one image after the other, (columns, rows): integers as stored, or float32 if rescaled.

    Raises:
        CardiacSegError: naming a file that is truncated or damaged, or compressed in a way that nothing here undoes.
    """
    opened: tuple[Path, Any] | None = None  # a file that holds several images is opened once
    for image in images:
        with reading(image.path) as pydicom:
            if opened is None or opened[0] != image.path:
                opened = image.path, load(pydicom, image.path)
            pixels = _intensities(pydicom, opened[1], image)
            if pixels.shape[::-1] != image.size:
                raise ValueError(f"its pixels have the shape {pixels.shape}")
        yield pixels.T


def _intensities(pydicom: Any, dataset: Any, image: DicomImage) -> np.ndarray:
    """Pixels (rows, columns)."""
    syntax = dataset.file_meta.get("TransferSyntaxUID") if "file_meta" in dataset.__dict__ else None
    if syntax is not None and syntax.is_compressed and not _decodes(pydicom, syntax):
        return _decoded_by_itk(image, syntax.name)
    if syntax is None:  # a file without a head is in the syntax that the standard has as the default
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    _check_length(dataset)
    pixels = pydicom.pixels.pixel_array(dataset, index=image.frame)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        pixels = _whitened(pixels, int(dataset.BitsStored))
    return pixels if image.rescale == (1.0, 0.0) else _rescaled(pixels, *image.rescale)


def _check_length(dataset: Any) -> None:
    """Refuse pixels that take twice what their header says, of which pydicom would read the first half."""
    data, bits = dataset.get("PixelData"), dataset.get("BitsAllocated")
    if data is None or not bits or dataset.file_meta.TransferSyntaxUID.is_compressed:
        return
    count = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
    if len(data) >= max(2 * (count * int(bits) // 8), 2):
        raise ValueError(f"its pixels take {len(data)} bytes, more than the {count * int(bits) // 8} of its header")


def _whitened(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Pixels whose lowest value stands for white, turned as ITK, and so Slicer, turns them."""
    return ~pixels if pixels.dtype.kind == "i" else (2**bits - 1 - pixels).astype(pixels.dtype)


def _rescaled(pixels: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        rescaled = (pixels * slope + intercept).astype(np.float32)
    if not np.isfinite(rescaled).all():
        raise ValueError(f"rescaled by {slope:g} and {intercept:g} its pixels are no finite numbers")
    return rescaled


def _decodes(pydicom: Any, syntax: Any) -> bool:
    """Whether pydicom decompresses that transfer syntax with what is installed."""
    try:
        return pydicom.pixels.get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _decoded_by_itk(image: DicomImage, syntax: str) -> np.ndarray:
    """Pixels that ITK decompresses, which brings what pydicom needs further packages for; ITK rescales them itself."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(image.path)))[image.frame or 0]
    except RuntimeError as error:
        raise CardiacSegError(
            f"{image.path}: is compressed ({syntax}) in a way that cannot be undone here, or damaged; export it "
            "uncompressed, or copy it again"
        ) from error
