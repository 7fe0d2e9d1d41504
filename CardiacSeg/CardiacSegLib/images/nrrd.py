"""NRRD files, by pynrrd."""

from __future__ import annotations

import bz2
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import unzipped
from CardiacSegLib.images.checks import UNREADABLE, check_file, check_size, not_at_right_angles, not_readable
from CardiacSegLib.images.image import LPS_TO_RAS, Image, as_volume

#: No voxel takes more bytes.
_LARGEST_VOXEL = 8
#: Lines that a NRRD header may have its data begin after.
_MOST_LINES = 10_000
_GEOMETRY = ("space", "space directions", "space origin")
#: To RAS from each world that a header may name.
_TO_RAS = {
    **dict.fromkeys(("left-posterior-superior", "lps"), LPS_TO_RAS),
    **dict.fromkeys(("left-anterior-superior", "las"), np.diag([-1.0, 1.0, 1.0, 1.0])),
    **dict.fromkeys(("right-anterior-superior", "ras"), np.eye(4)),
}


def read_nrrd(path: Path) -> Image:
    """Read a volume, with its voxels in the file or in another; its geometry stands in the image's header as there."""
    import nrrd

    try:
        with path.open("rb") as stream, np.errstate(invalid="ignore"):  # sizes that no integer holds
            header = nrrd.read_header(stream)
            check_size(header["sizes"].tolist(), path)
            array = _nrrd_voxels(header, stream, path)
    except (*UNREADABLE, nrrd.NRRDError) as error:
        raise not_readable(path, error) from error
    geometry = {name: header[name] for name in _GEOMETRY if name in header}
    return Image(as_volume(array), _affine(header, array.ndim, path), path, geometry)


def _affine(header: Mapping[str, Any], dimensions: int, path: Path) -> np.ndarray:
    """Index to RAS millimeters, 4 x 4, of voxels with so many dimensions."""
    # A file without a space has at most a spacing; ITK then takes its axes for left, posterior and superior.
    spacings = np.asarray(header.get("spacings", np.ones(dimensions)), float)
    directions = np.asarray(header.get("space directions", np.eye(dimensions, 3) * spacings[:, None]), float)
    if dimensions not in (2, 3) or directions.shape != (dimensions, 3) or np.isnan(directions).all(axis=1).any():
        raise CardiacSegError(f"{path}: not a volume with three directions in space; save it as a scalar volume")
    affine = np.eye(4)
    affine[:3, :dimensions] = directions.T
    if dimensions == 2:
        normal = np.cross(directions[0], directions[1])
        affine[:3, 2] = normal / max(np.linalg.norm(normal), 1e-12)
    affine[:3, 3] = header.get("space origin", np.zeros(3))
    space = str(header.get("space", "lps" if "space directions" not in header else "")).lower()
    if space not in _TO_RAS:
        raise CardiacSegError(f"{path}: space '{space}' is not known; save it as left-posterior-superior")
    _check_directions(affine, path)
    return _TO_RAS[space] @ affine


def _nrrd_voxels(header: Mapping[str, Any], stream: BinaryIO, path: Path) -> np.ndarray:
    """The voxels (I, J, K) behind a NRRD header, or in the file that it names."""
    import nrrd

    names = [name for name in ("data file", "datafile") if name in header]
    if names:
        data = path.parent / header[names[0]]
        check_file(data)
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
        raise not_at_right_angles(path)


def write_nrrd(path: Path, array: np.ndarray, image: Image, extra: Mapping[str, str] | None = None) -> None:
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
