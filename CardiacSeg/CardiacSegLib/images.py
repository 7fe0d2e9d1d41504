"""Medical image files in and out, placed in space the way Slicer places them.

Slicer reads with ITK, so the geometry of a NIfTI file is asked of ITK here too: a header that says different things in
different fields (ACDC: true spacing in pixdim, 1 mm in the sform) then means the same here as there. Voxels are read by
nibabel, pynrrd and Pillow, because ITK fills what a truncated file lacks with zeros and says nothing.
"""

from __future__ import annotations

import bz2
import io
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from CardiacSegLib.anatomy import STRUCTURES, LabelConvention
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing, unzipped
from CardiacSegLib.geometry import voxel_spacing
from CardiacSegLib.terminology import TAG_NAME, terminology_entry

if TYPE_CHECKING:
    from CardiacSegLib.dicom.cine import DicomCine
    from CardiacSegLib.dicom.series import DicomSeries

#: ITK's world is LPS, NIfTI's and Slicer's is RAS.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_NIFTI_HEADER_SIZE, _NIFTI_2_HEADER_SIZE = 348, 540
#: So many bytes of a gzip file hold the header of the file in it.
_ZIPPED_HEADER = 2**16
#: A header that claims more voxels than this is damaged; a cine of 30 phases of 20 slices of 512 x 512 has 1.6e8.
_MOST_VOXELS = 2**31
#: A picture of more pixels is none of a heart.
_MOST_PIXELS = 2**26
#: No voxel takes more bytes.
_LARGEST_VOXEL = 8
#: Lines that a NRRD header may have its data begin after.
_MOST_LINES = 10_000
#: Spacings beyond these, in millimeters, are no spacing of anything.
_SPACINGS = (1e-4, 1e4)
#: What readers raise for a file that is damaged, or something else than its name says.
_UNREADABLE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError, TypeError),
    *(ValueError, struct.error, zlib.error),
)

#: Pictures say nothing of space: read as one slice, of 1 mm pixels, that knows that it does not know them.
PICTURE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
IMAGE_EXTENSIONS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", *PICTURE_EXTENSIONS)
LABEL_EXTENSIONS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd")

#: NIfTI header fields that place voxels in space; a label file gets them from its image bit for bit.
_NIFTI_GEOMETRY = (
    *("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units", "toffset"),
)
#: The two places that a header may give, and what each is made of.
_NIFTI_FORMS = {
    "qform": ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    "sform": ("srow_x", "srow_y", "srow_z"),
}
#: Milliseconds in NIfTI's units of time, and the bits of a header that say which. A number without a unit is taken for
#: milliseconds or seconds, whichever a heartbeat can have.
_NIFTI_TIMES = {8: [1000.0], 16: [1.0], 24: [0.001], 0: [1.0, 1000.0]}
_NIFTI_TIME_BITS = 0x38
#: From one phase of a cine to the next, milliseconds. What lies beyond is no time: many programs write 1 s for unknown.
_FRAME_STEPS = (2.0, 500.0)
#: How the heart rate stands in NIfTI's description, which has no field for it.
_HEART_RATE = re.compile(r"heart rate (\d+(?:\.\d+)?)/min")
_NRRD_GEOMETRY = ("space", "space directions", "space origin")


@dataclass(frozen=True)
class Image:
    """Voxels with their place in space.

    Attributes:
        array: (I, J, K), or (I, J, K, T) for a cine.
        affine: 4 x 4, float64, index to RAS millimeters.
        path: the file it came from, if any.
        header: the fields of that file which hold its geometry, as they stood in it.
        spacing_known: False where the file says no spacing (PNG and other pictures): the affine then has 1 mm, and
            what is measured with it counts pixels.
        frame_times: of the phases of a cine, (T,), milliseconds after the R wave, or after the first phase; None where
            the file does not say.
        heart_rate: per minute; None where the file does not say.
        notes: what was left out when it was read, or stands in for something else, a line each.
    """

    array: np.ndarray
    affine: np.ndarray
    path: Path | None = None
    header: Mapping[str, Any] = field(default_factory=dict)
    spacing_known: bool = True
    frame_times: np.ndarray | None = None
    heart_rate: float | None = None
    notes: Sequence[str] = ()


def extension_of(path: Path | str, known: Sequence[str]) -> str:
    """The longest of the known extensions that a file name ends with; "" where none does."""
    name = Path(path).name.lower()
    return max((extension for extension in known if name.endswith(extension)), key=len, default="")


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


def _read_file(path: Path) -> Image:
    _check_file(path)
    extension = extension_of(path, IMAGE_EXTENSIONS)
    if not extension:
        raise CardiacSegError(f"{path}: not a known image format; give one of {', '.join(IMAGE_EXTENSIONS)}")
    readers = {".nii": _read_nifti, ".nii.gz": _read_nifti, ".nrrd": _read_nrrd, ".nhdr": _read_nrrd}
    readers |= dict.fromkeys(PICTURE_EXTENSIONS, _read_picture)
    image = readers.get(extension, _read_itk)(path)
    _check(image)
    return image


def _check_file(path: Path) -> None:
    """Refuse what is no file with something in it: reading from a pipe would never end."""
    if path.is_dir():
        raise CardiacSegError(f"{path}: is a folder; name an image in it")
    if not path.is_file():
        reason = "is no regular file; copy it into one" if path.exists() else "does not exist; check the path"
        raise CardiacSegError(f"{path}: {reason}")
    if path.stat().st_size == 0:
        raise CardiacSegError(f"{path}: the file is empty (0 bytes); export or copy it again")


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
    _check(image)
    return image


def _holds_dicom(path: Path) -> bool:
    """Whether that is a folder with DICOM files, or one such file, which no other format is called like."""
    from CardiacSegLib.dicom.headers import files_in, is_dicom_file, is_dicomdir

    if path.is_dir():
        return any(is_dicom_file(file) for file in files_in(path))
    return not extension_of(path, IMAGE_EXTENSIONS) and path.is_file() and (is_dicomdir(path) or is_dicom_file(path))


def _check(image: Image) -> None:
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


def _not_readable(path: Path, error: Exception) -> CardiacSegError:
    if isinstance(error, PermissionError):
        return CardiacSegError(f"{path}: this account may not read it; give it the right to, or copy the file")
    reason = " ".join(str(error).split())[-160:]
    return CardiacSegError(
        f"{path}: cannot be read, it is truncated, damaged or no such image ({reason}); copy it again"
    )


def _read_nifti(path: Path) -> Image:
    import nibabel

    is_zipped = extension_of(path, (".nii", ".nii.gz")) == ".nii.gz"
    try:
        content = path.read_bytes()
        start = unzipped(content[:_ZIPPED_HEADER], _NIFTI_HEADER_SIZE) if is_zipped else content[:_NIFTI_HEADER_SIZE]
        header = nibabel.Nifti1Header(start, check=False)
        _check_nifti_header(header, path)
        size = header.get_data_offset() + int(np.prod(header.get_data_shape())) * header.get_data_dtype().itemsize
        content = unzipped(content, size, to_the_end=True) if is_zipped else content
        if not _NIFTI_HEADER_SIZE <= header.get_data_offset() <= size <= len(content):
            raise ValueError(f"{size} bytes by its header, {len(content)} in the file")
        with np.errstate(over="ignore", invalid="ignore"):  # what its scale makes infinite is counted later
            array = np.asanyarray(nibabel.arrayproxy.ArrayProxy(io.BytesIO(content), header, mmap=False))
    except (*_UNREADABLE, nibabel.spatialimages.HeaderDataError, nibabel.wrapstruct.WrapStructError) as error:
        raise _not_readable(path, error) from error
    array = array.reshape(array.shape + (1,) * (3 - array.ndim))
    fields = {name: header[name].copy() for name in (*_NIFTI_GEOMETRY, "dim")}
    times = {"frame_times": _frame_times(header), "heart_rate": _heart_rate(header)} if array.ndim == 4 else {}
    return Image(array, _itk_affine(path), path, fields, **times)


def _frame_times(header: Any) -> np.ndarray | None:
    """When the phases of a cine were taken, (T,), milliseconds, by a NIfTI header; None where it does not say."""
    step, start, count = float(header["pixdim"][4]), float(header["toffset"]), int(header["dim"][4])
    factors = _NIFTI_TIMES.get(int(header["xyzt_units"]) & _NIFTI_TIME_BITS, [])
    factor = next((each for each in factors if _FRAME_STEPS[0] <= each * step <= _FRAME_STEPS[1]), None)
    if factor is None or step == 1 or count < 2:
        return None
    return factor * ((start if np.isfinite(start) else 0.0) + step * np.arange(count))


def _heart_rate(header: Any) -> float | None:
    found = _HEART_RATE.search(bytes(header["descrip"]).decode("latin-1"))
    return float(found[1]) if found else None


def _check_nifti_header(header: Any, path: Path) -> None:
    """Find what would make a reader guess: sizes, spacings, dimensions."""
    dimensions = int(header["dim"][0])
    if int(header["sizeof_hdr"]) == _NIFTI_2_HEADER_SIZE:
        raise CardiacSegError(f"{path}: is NIfTI-2; save it as NIfTI-1, which every program writes")
    if not 1 <= dimensions <= 7 or int(header["sizeof_hdr"]) != _NIFTI_HEADER_SIZE or header["magic"] != b"n+1":
        raise CardiacSegError(f"{path}: has no NIfTI header; check that it is the image, and copy it again")
    if dimensions > 4 or dimensions < 2:
        raise CardiacSegError(f"{path}: has {dimensions} dimensions; give a volume (3) or a cine (4)")
    _check_size(header["dim"][1 : dimensions + 1], path)
    spacing = header["pixdim"][1:4][: max(2, min(3, dimensions))]
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        values = " x ".join(f"{value:g}" for value in spacing)
        raise CardiacSegError(f"{path}: spacing is {values} mm; set the true, positive spacing in its header (pixdim)")
    for form, names in _NIFTI_FORMS.items():
        if header[f"{form}_code"] > 0 and not all(np.isfinite(header[name]).all() for name in names):
            raise CardiacSegError(f"{path}: the {form} of its header is no number; set it anew, or its code to 0")


def _check_size(size: Sequence[int], path: Path, most: int = _MOST_VOXELS) -> None:
    """Refuse what a header claims before anything makes room for it."""
    if min(size) < 1:
        shown = " x ".join(map(str, size))
        raise CardiacSegError(f"{path}: holds no voxel (size {shown}); export it again")
    count = np.prod(np.asarray(size, float))
    if count > most:
        raise CardiacSegError(f"{path}: its header claims {count:.0e} voxels; it is damaged, copy it again")


def _itk_affine(path: Path) -> np.ndarray:
    """Where ITK, and so Slicer, places a file's voxels: 4 x 4, index to RAS millimeters."""
    reader = _itk_reader(path)
    return _affine(reader.GetSpacing(), reader.GetDirection(), reader.GetOrigin())


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
            message = f"{path}: its axes are not at right angles; resample it to a regular grid"
            raise CardiacSegError(message) from error
        raise _not_readable(path, error) from error
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


def _affine(spacing: Sequence[float], direction: Sequence[float], origin: Sequence[float]) -> np.ndarray:
    """RAS affine from ITK's LPS geometry of two, three or four dimensions."""
    dimensions = len(spacing)
    kept = min(3, dimensions)
    affine = np.eye(4)
    columns = np.reshape(direction, (dimensions, dimensions)) * spacing
    affine[:kept, :kept] = columns[:kept, :kept]
    affine[:kept, 3] = origin[:kept]
    return LPS_TO_RAS @ affine


def _read_nrrd(path: Path) -> Image:
    import nrrd

    try:
        with path.open("rb") as stream, np.errstate(invalid="ignore"):  # sizes that no integer holds
            header = nrrd.read_header(stream)
            _check_size(header["sizes"].tolist(), path)
            array = _nrrd_voxels(header, stream, path)
    except (*_UNREADABLE, nrrd.NRRDError) as error:
        raise _not_readable(path, error) from error
    # A file without a space has at most a spacing; ITK then takes its axes for left, posterior and superior.
    spacings = np.asarray(header.get("spacings", np.ones(array.ndim)), float)
    directions = np.asarray(header.get("space directions", np.eye(array.ndim, 3) * spacings[:, None]), float)
    if array.ndim not in (2, 3) or directions.shape != (array.ndim, 3) or np.isnan(directions).all(axis=1).any():
        raise CardiacSegError(f"{path}: not a volume with three directions in space; save it as a scalar volume")
    affine = np.eye(4)
    affine[:3, : array.ndim] = directions.T
    if array.ndim == 2:
        normal = np.cross(directions[0], directions[1])
        affine[:3, 2] = normal / max(np.linalg.norm(normal), 1e-12)
    affine[:3, 3] = header.get("space origin", np.zeros(3))
    space = str(header.get("space", "lps" if "space directions" not in header else "")).lower()
    to_ras = {"left-posterior-superior": LPS_TO_RAS, "lps": LPS_TO_RAS, "right-anterior-superior": np.eye(4)}
    to_ras |= {"ras": np.eye(4), "left-anterior-superior": np.diag([-1.0, 1, 1, 1]), "las": np.diag([-1.0, 1, 1, 1])}
    if space not in to_ras:
        raise CardiacSegError(f"{path}: space '{space}' is not known; save it as left-posterior-superior")
    _check_directions(affine, path)
    array = array.reshape(array.shape + (1,) * (3 - array.ndim))
    return Image(array, to_ras[space] @ affine, path, {name: header[name] for name in _NRRD_GEOMETRY if name in header})


def _nrrd_voxels(header: Mapping[str, Any], stream: BinaryIO, path: Path) -> np.ndarray:
    """The voxels (I, J, K) behind a NRRD header, or in the file that it names."""
    import nrrd

    names = [name for name in ("data file", "datafile") if name in header]
    if names:
        data = path.parent / header[names[0]]
        _check_file(data)
        with data.open("rb") as detached:
            return _nrrd_voxels({name: header[name] for name in header if name not in names}, detached, data)
    lines, skipped = (header.get(name, header.get(f"{name[:4]} skip", 0)) for name in ("lineskip", "byteskip"))
    if not 0 <= lines <= _MOST_LINES:
        raise ValueError(f"its voxels would begin after {lines} lines")
    if header.get("encoding") not in ("gzip", "gz", "bzip2", "bz2"):
        return nrrd.read_data(header, stream, str(path))
    # pynrrd would unpack whatever there is, and a small file can hold more than the memory.
    most = int(np.prod(header["sizes"])) * _LARGEST_VOXEL + max(0, skipped)
    content = stream.read()
    is_bz2 = header["encoding"].startswith("b")
    content = bz2.BZ2Decompressor().decompress(content, most) if is_bz2 else unzipped(content, most, to_the_end=True)
    return nrrd.read_data({**header, "encoding": "raw"}, io.BytesIO(content), str(path))


def _check_directions(affine: np.ndarray, path: Path) -> None:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and (spacing > 0).all()):
        raise CardiacSegError(
            f"{path}: a direction in space is zero or not a number; set the true spacing in its header"
        )
    cosines = affine[:3, :3] / spacing
    if np.abs(cosines.T @ cosines - np.eye(3)).max() > 1e-3:
        raise CardiacSegError(f"{path}: its axes are not at right angles; resample it to a regular grid")


def _read_itk(path: Path) -> Image:
    import SimpleITK as sitk

    with _SILENCE:
        reader = _itk_reader(path)
    _check_size(reader.GetSize(), path)
    if not all(spacing > 0 for spacing in reader.GetSpacing()):
        raise CardiacSegError(f"{path}: spacing is not positive; set the true spacing in its header")
    try:
        with _SILENCE:
            image = reader.Execute()
    except RuntimeError as error:
        raise _not_readable(path, error) from error
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise CardiacSegError(f"{path}: voxels have several components; convert it to a grayscale image")
    array = sitk.GetArrayFromImage(image).T
    array = array.reshape(array.shape + (1,) * (3 - array.ndim))
    return Image(array, _affine(image.GetSpacing(), image.GetDirection(), image.GetOrigin()), path)


def _read_picture(path: Path) -> Image:
    """One slice (columns, rows, 1) with the first pixel top left, which is right and front, as ITK places a picture."""
    import PIL.Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow merely warns of does not keep it from reading
            with PIL.Image.open(path) as picture:
                _check_size(picture.size, path, _MOST_PIXELS)
                if getattr(picture, "n_frames", 1) > 1:
                    raise CardiacSegError(f"{path}: holds {picture.n_frames} pictures; give each a file of its own")
                array = _gray_values(picture, path)
    except (*_UNREADABLE, PIL.Image.DecompressionBombError) as error:
        raise _not_readable(path, error) from error
    # Dots per inch, where a picture has them, tell how large to print it: they are no spacing.
    return Image(np.ascontiguousarray(array.T[..., None]), LPS_TO_RAS.copy(), path, spacing_known=False)


def _gray_values(picture: Any, path: Path) -> np.ndarray:
    """The pixels of a Pillow image (rows, columns); those of a palette of colors are its indices, as masks use them."""
    palette = picture.getpalette() if picture.mode == "P" else None
    if picture.mode == "1" or (palette and palette[0::3] == palette[1::3] == palette[2::3]):
        picture = picture.convert("L")
    array = np.asarray(picture)
    if array.ndim == 3:
        # Programs often save gray as color, with an opaque alpha.
        colors = array[..., : 3 if array.shape[2] >= 3 else 1]
        if (colors != colors[..., :1]).any() or picture.mode not in ("LA", "RGB", "RGBA"):
            raise CardiacSegError(f"{path}: has colors; convert it to a grayscale image")
        array = colors[..., 0]
    return array.astype(array.dtype.newbyteorder("="))


def write_labels(path: Path | str, labels: np.ndarray, image: Image, convention: LabelConvention) -> None:
    """Write labels on the grid of the image they belong to; the format follows the extension.

    NIfTI beside NIfTI and NRRD beside NRRD carry the very header fields of the image that hold its geometry.
    ``.seg.nrrd`` is what Slicer opens as a segmentation, with names, colors and SNOMED CT codes.

    Args:
        labels: uint8, the shape of ``image.array``.
        convention: which number in ``labels`` means which structure.

    Raises:
        CardiacSegError: for an unknown extension, a cine as NRRD, or a place that cannot be written to.
    """
    extension = check_label_format(path, labels.shape)
    if extension in (".nrrd", ".seg.nrrd"):
        labels = labels.reshape(labels.shape[:3])
    with replacing(path) as temporary:
        if extension in (".nii", ".nii.gz"):
            _write_nifti(temporary, labels, image)
        else:
            _write_nrrd(temporary, labels, image, _segments(labels, convention) if extension == ".seg.nrrd" else {})


def check_label_format(path: Path | str, shape: Sequence[int]) -> str:
    """The extension of a file for labels of that shape.

    Raises:
        CardiacSegError: for an unknown extension, or a cine as NRRD.
    """
    extension = extension_of(path, LABEL_EXTENSIONS)
    if not extension:
        raise CardiacSegError(f"{path}: not a format for labels; give one of {', '.join(LABEL_EXTENSIONS)}")
    if extension in (".nrrd", ".seg.nrrd") and len(shape) == 4 and shape[3] > 1:
        raise CardiacSegError(f"{path}: a cine cannot be written as {extension}; give a name that ends in .nii.gz")
    return extension


def write_image(path: Path | str, image: Image) -> None:
    """Write an image as NIfTI, or as NRRD where it is a volume.

    NIfTI keeps the time between the phases of a cine, evened out, when the first was taken, and the heart rate.

    Raises:
        CardiacSegError: as :func:`write_labels`.
    """
    write = {".nii": _write_nifti, ".nii.gz": _write_nifti, ".nrrd": _write_nrrd}
    extension = extension_of(path, tuple(write))
    if not extension or (extension == ".nrrd" and image.array.ndim == 4):
        raise CardiacSegError(f"{path}: give a name that ends in .nii.gz, or in .nrrd for a single volume")
    with replacing(path) as temporary:
        write[extension](temporary, image.array, image)


def _write_nifti(path: Path, array: np.ndarray, image: Image) -> None:
    import nibabel

    if "dim" in image.header and image.header["dim"][0] == 2:
        array = array[..., 0]  # ITK places a file of two dimensions otherwise than one of a single slice
    nifti = nibabel.Nifti1Image(array, image.affine)
    nifti.header.set_xyzt_units("mm", "sec")
    nifti.set_qform(image.affine, 1)
    nifti.set_sform(image.affine, 1)
    if "srow_x" in image.header:
        for name in _NIFTI_GEOMETRY:
            nifti.header[name] = image.header[name]
        # nibabel would otherwise write its own idea of the affine over these fields when it saves.
        nifti._affine = None
    if array.ndim == 4:
        _set_times(nifti.header, image)
    nibabel.save(nifti, path)


def _set_times(header: Any, image: Image) -> None:
    """Write when the phases were taken where the header, perhaps that of the image's own file, does not say so."""
    times, said = image.frame_times, _frame_times(header)
    if times is not None and len(times) > 1 and (said is None or not np.allclose(said, times, rtol=0, atol=1e-3)):
        header.set_xyzt_units("mm", "msec")
        header["pixdim"][4] = (times[-1] - times[0]) / (len(times) - 1)
        header["toffset"] = times[0]
    if image.heart_rate is not None:
        header["descrip"] = f"heart rate {image.heart_rate:g}/min"


def _write_nrrd(path: Path, array: np.ndarray, image: Image, extra: Mapping[str, str] | None = None) -> None:
    import nrrd

    lps = LPS_TO_RAS @ image.affine
    geometry = {
        "space": "left-posterior-superior",
        "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3],
    }
    if "space directions" in image.header and len(image.header["space directions"]) == array.ndim:
        geometry.update(image.header)
    header = {**geometry, "kinds": ["domain"] * array.ndim, "encoding": "gzip", **(extra or {})}
    nrrd.write(str(path), array, header)


def _segments(labels: np.ndarray, convention: LabelConvention) -> dict[str, str]:
    """Header fields by which Slicer names, colors and codes the segments of a ``.seg.nrrd``."""
    fields = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    extent = " ".join(f"0 {size - 1}" for size in labels.shape)
    for index, (name, number) in enumerate(convention.items()):
        structure = STRUCTURES[name]
        color = " ".join(f"{channel / 255:.6g}" for channel in structure.color)
        fields |= {
            f"Segment{index}_ID": name,
            f"Segment{index}_Name": structure.name,
            f"Segment{index}_NameAutoGenerated": "0",
            f"Segment{index}_Color": color,
            f"Segment{index}_ColorAutoGenerated": "0",
            f"Segment{index}_LabelValue": str(number),
            f"Segment{index}_Layer": "0",
            f"Segment{index}_Extent": extent,
            f"Segment{index}_Tags": f"{TAG_NAME}:{terminology_entry(structure)}|",
        }
    return fields
