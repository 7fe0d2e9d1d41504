"""Images from files of any known format and from folders of DICOM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images.checks import check_file, check_image
from CardiacSegLib.images.image import IMAGE_EXTENSIONS, PICTURE_EXTENSIONS, Image, extension_of
from CardiacSegLib.images.itk import read_itk
from CardiacSegLib.images.nifti import read_nifti
from CardiacSegLib.images.nrrd import read_nrrd
from CardiacSegLib.images.pictures import read_picture

if TYPE_CHECKING:
    from CardiacSegLib.dicom.cine import DicomCine
    from CardiacSegLib.dicom.series import DicomSeries


def read_image(path: Path | str) -> Image:
    """Read a volume or a cine.

    Args:
        path: a file, or a folder of DICOM files.

    Returns:
        The image; a two-dimensional file comes as a stack of one slice, a folder as :func:`read_dicom_cine`.

    Raises:
        CardiacSegError: one line that names the file and the remedy, for anything that is not a grayscale image of
            three or four dimensions with finite voxels and positive spacing.
    """
    path = Path(path)
    try:
        return read_dicom_cine(path) if _holds_dicom(path) else _read_file(path)
    except MemoryError as error:
        raise CardiacSegError(
            f"{path}: does not fit into memory; close other programs or give a smaller image"
        ) from error
    except OSError as error:  # a name that is too long, a folder that may not be read, a disk that is gone
        raise CardiacSegError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error


def _holds_dicom(path: Path) -> bool:
    """Whether that is a folder with DICOM files, or one such file, which no other format is called like."""
    from CardiacSegLib.dicom.folders import files_in, is_dicom_file, is_dicomdir

    if path.is_dir():
        return any(is_dicom_file(file) for file in files_in(path))
    return not extension_of(path, IMAGE_EXTENSIONS) and path.is_file() and (is_dicomdir(path) or is_dicom_file(path))


def _read_file(path: Path) -> Image:
    check_file(path)
    extension = extension_of(path, IMAGE_EXTENSIONS)
    if not extension:
        raise CardiacSegError(f"{path}: not a known image format; give one of {', '.join(IMAGE_EXTENSIONS)}")
    readers = {".nii": read_nifti, ".nii.gz": read_nifti, ".nrrd": read_nrrd, ".nhdr": read_nrrd}
    readers |= dict.fromkeys(PICTURE_EXTENSIONS, read_picture)
    image = readers.get(extension, read_itk)(path)
    check_image(image)
    return image


def read_dicom_cine(source: Path | str | DicomSeries) -> Image:
    """Read the short-axis cine of a DICOM folder, or the series of it that was chosen.

    Args:
        source: a folder, with folders in it or not, whatever else it holds; its DICOMDIR; a file with many images; or
            a series that was found in one of these.

    Returns:
        (I, J, K, T): columns, rows, slices along their normal, phases in time; (I, J, K) where there is one phase. What
        was left out, files and series, is in its notes.

    Raises:
        CardiacSegError: where there is no DICOM image, no stack of short-axis slices or no even one, or naming a file
            that is damaged.
    """
    from CardiacSegLib.dicom.cine import read_cine
    from CardiacSegLib.dicom.series import DicomFolder, DicomSeries

    if isinstance(source, DicomSeries):
        return _image_of(read_cine(source), None, [])
    folder = DicomFolder.read(source)
    if Path(source).is_file() and len(folder.series) == len(folder.series[0].images) == 1:
        raise CardiacSegError(f"{source}: is one image of a DICOM series; give the folder with all of them")
    try:
        series, notes = folder.choose()
    except CardiacSegError as error:
        raise CardiacSegError(f"{source}: {error}") from error
    return _image_of(read_cine(series), Path(source), [*notes, *folder.notes])


def _image_of(cine: DicomCine, path: Path | None, notes: Sequence[str]) -> Image:
    times = {"frame_times": cine.frame_times, "heart_rate": cine.heart_rate}
    image = Image(cine.array, cine.affine, path, **times, notes=(*cine.notes, *notes))
    check_image(image)
    return image
