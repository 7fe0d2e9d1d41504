"""NIfTI files: voxels by nibabel, their place in space by ITK, as Slicer has it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import unzipped
from CardiacSegLib.images.checks import UNREADABLE, check_size, not_readable
from CardiacSegLib.images.image import Image, as_volume, extension_of
from CardiacSegLib.images.itk import itk_affine

_HEADER_SIZE, _NIFTI_2_HEADER_SIZE = 348, 540
#: So many bytes of a gzip file hold the header of the file in it.
_ZIPPED_HEADER = 2**16
#: The two places that a header may give, and what each is made of.
_FORMS = {
    "qform": ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    "sform": ("srow_x", "srow_y", "srow_z"),
}
#: Header fields that place voxels in space and phases in time; a label file gets them from its image bit for bit.
_GEOMETRY = (
    *("pixdim", "qform_code", "sform_code", *_FORMS["qform"], *_FORMS["sform"]),
    *("xyzt_units", "toffset"),
)
#: Milliseconds in the units of time, and the bits of a header that say which. A number without a unit is taken for
#: milliseconds or seconds, whichever a heartbeat can have.
_TIMES = {8: [1000.0], 16: [1.0], 24: [0.001], 0: [1.0, 1000.0]}
_TIME_BITS = 0x38
#: From one phase of a cine to the next, milliseconds. What lies beyond is no time: many programs write 1 s for unknown.
_FRAME_STEPS = (2.0, 500.0)
#: How the heart rate stands in the description: no field is made for it.
_HEART_RATE = re.compile(r"heart rate (\d+(?:\.\d+)?)/min")


def read_nifti(path: Path) -> Image:
    """Read a file of NIfTI-1, packed or not; its geometry stands in the image's header as in the file."""
    import nibabel

    is_zipped = extension_of(path, (".nii", ".nii.gz")) == ".nii.gz"
    try:
        content = path.read_bytes()
        start = unzipped(content[:_ZIPPED_HEADER], _HEADER_SIZE) if is_zipped else content[:_HEADER_SIZE]
        header = nibabel.Nifti1Header(start, check=False)
        _check_header(header, path)
        size = header.get_data_offset() + int(np.prod(header.get_data_shape())) * header.get_data_dtype().itemsize
        content = unzipped(content, size, to_the_end=True) if is_zipped else content
        if not _HEADER_SIZE <= header.get_data_offset() <= size <= len(content):
            raise ValueError(f"{size} bytes by its header, {len(content)} in the file")
        with np.errstate(over="ignore", invalid="ignore"):  # what its scale makes infinite is counted later
            array = np.asanyarray(nibabel.arrayproxy.ArrayProxy(io.BytesIO(content), header, mmap=False))
    except (*UNREADABLE, nibabel.spatialimages.HeaderDataError, nibabel.wrapstruct.WrapStructError) as error:
        raise not_readable(path, error) from error
    array = as_volume(array)
    fields = {name: header[name].copy() for name in (*_GEOMETRY, "dim")}
    times = {"frame_times": _frame_times(header), "heart_rate": _heart_rate(header)} if array.ndim == 4 else {}
    return Image(array, itk_affine(path), path, fields, **times)


def _check_header(header: Any, path: Path) -> None:
    """Find what would make a reader guess: sizes, spacings, dimensions."""
    dimensions = int(header["dim"][0])
    if int(header["sizeof_hdr"]) == _NIFTI_2_HEADER_SIZE:
        raise CardiacSegError(f"{path}: is NIfTI-2; save it as NIfTI-1, which every program writes")
    if not 1 <= dimensions <= 7 or int(header["sizeof_hdr"]) != _HEADER_SIZE or header["magic"] != b"n+1":
        raise CardiacSegError(f"{path}: has no NIfTI header; check that it is the image, and copy it again")
    if dimensions > 4 or dimensions < 2:
        raise CardiacSegError(f"{path}: has {dimensions} dimensions; give a volume (3) or a cine (4)")
    check_size(header["dim"][1 : dimensions + 1], path)
    spacing = header["pixdim"][1:4][: max(2, min(3, dimensions))]
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        values = " x ".join(f"{value:g}" for value in spacing)
        raise CardiacSegError(f"{path}: spacing is {values} mm; set the true, positive spacing in its header (pixdim)")
    for form, names in _FORMS.items():
        if header[f"{form}_code"] > 0 and not all(np.isfinite(header[name]).all() for name in names):
            raise CardiacSegError(f"{path}: the {form} of its header is no number; set it anew, or its code to 0")


def _frame_times(header: Any) -> np.ndarray | None:
    """When the phases of a cine were taken, (T,), milliseconds, by a NIfTI header; None where it does not say."""
    step, start, count = float(header["pixdim"][4]), float(header["toffset"]), int(header["dim"][4])
    factors = _TIMES.get(int(header["xyzt_units"]) & _TIME_BITS, [])
    factor = next((each for each in factors if _FRAME_STEPS[0] <= each * step <= _FRAME_STEPS[1]), None)
    if factor is None or step == 1 or count < 2:
        return None
    return factor * ((start if np.isfinite(start) else 0.0) + step * np.arange(count))


def _heart_rate(header: Any) -> float | None:
    found = _HEART_RATE.search(bytes(header["descrip"]).decode("latin-1"))
    return float(found[1]) if found else None


def write_nifti(path: Path, array: np.ndarray, image: Image) -> None:
    """Write voxels on the grid of an image, with the header fields of its file that say where they lie."""
    import nibabel

    if "dim" in image.header and image.header["dim"][0] == 2:
        array = array[..., 0]  # ITK places a file of two dimensions otherwise than one of a single slice
    nifti = nibabel.Nifti1Image(array, image.affine)
    nifti.header.set_xyzt_units("mm", "sec")
    nifti.set_qform(image.affine, 1)
    nifti.set_sform(image.affine, 1)
    if "srow_x" in image.header:
        for name in _GEOMETRY:
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
