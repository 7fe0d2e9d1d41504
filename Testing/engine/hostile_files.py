"""Files that are damaged or odd, made by code from a heart of a few voxels; and a model that reads its brightness."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import SimpleITK as sitk

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.images import Image, write_image, write_labels
from CardiacSegLib.inference.devices import Machine
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.inference.segmenter import Segmenter

AFFINE = np.diag([-1.5, -1.5, 8.0, 1.0])
_ROWS, _COLUMNS = np.mgrid[:24, :20]
_RADIUS = np.hypot(_ROWS - 10, _COLUMNS - 9)
_SLICE = np.select([_RADIUS < 3, _RADIUS < 5.5, (_RADIUS < 9) & (_ROWS > 10)], [1, 2, 3], 0)
#: The truth (24, 20, 4), and an image whose gray values tell it.
LABELS = np.repeat(_SLICE[:, :, None], 4, axis=2).astype(np.uint8)
_GRAYS = np.array([10, 310, 160, 235], np.int16)
VOXELS = _GRAYS[LABELS]
CINE = np.stack([VOXELS] * 3, axis=3)


class _ByBrightness:
    """In place of a network: dark is background, and then come MYO, RV and LV."""

    described = "brightness"
    machine = Machine("brightness", "cpu")
    pixels_per_pass = 2**20

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        low, high = batch.min(), batch.max()
        levels = np.array([0, 1, 0.5, 0.75], np.float32)[:, None, None]
        return np.float32(np.abs((batch - low) / (high - low) - levels) < 0.1)


def a_segmenter_by_brightness(spacing: float = 1.5) -> Segmenter:
    """One that sees the pixels of images of that spacing, in millimeters, as they are."""
    return Segmenter(_ByBrightness(), ModelGrid(spacing, 1), CANONICAL)


def written(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    content = path.read_bytes()
    return written(path, content[: int(len(content) * share)])


def with_text(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    return written(path, content.replace(old, new, 1))


def damaged(path: Path) -> Path:
    """A file so large that its header is far from the damage."""
    write_image(path, Image(np.random.default_rng(0).integers(0, 3000, (128, 128, 10)).astype(np.int16), AFFINE))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    return written(path, bytes(content))


def nifti(path: Path, array: np.ndarray = VOXELS, affine: np.ndarray = AFFINE, **fields: object) -> Path:
    """A NIfTI file whose header fields then say something else."""
    content = bytearray(nibabel.Nifti1Image(array, affine, dtype=array.dtype).to_bytes())
    header = nibabel.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    return written(path, gzip.compress(content, 1) if path.suffix == ".gz" else bytes(content))


def zipped(path: Path) -> Path:
    write_image(path, Image(np.random.default_rng(0).integers(0, 30000, VOXELS.shape).astype(np.int16), AFFINE))
    return path


def with_extension(path: Path, claimed: int) -> Path:
    """A NIfTI file with an extension of 16 bytes behind its header, which claims another size."""
    content = nifti(path, vox_offset=368).read_bytes()
    return written(path, content[:348] + b"\1\0\0\0" + struct.pack("<2i", claimed, 6) + b"note    " + content[352:])


def nrrd_file(path: Path, array: np.ndarray = VOXELS, **fields: object) -> Path:
    header = {"space": "left-posterior-superior", "space directions": AFFINE[:3, :3], "space origin": [0, 0, 0]}
    nrrd.write(str(path), array, header | {name.replace("_", " "): value for name, value in fields.items()})
    return path


def raw_nrrd(path: Path, array: np.ndarray = VOXELS, *lines: str) -> Path:
    """A NRRD file written by hand: these lines of a header, and the voxels as they are."""
    fields = {
        **{"type": "short", "dimension": "3", "encoding": "raw", "endian": "little"},
        "sizes": " ".join(map(str, array.shape)),
        **{"space": "left-posterior-superior", "space directions": "(1.5,0,0) (0,1.5,0) (0,0,8)"},
        **dict(line.split(": ") for line in lines),
    }
    header = "NRRD0004\n" + "".join(f"{name}: {value}\n" for name, value in fields.items() if value != "-")
    return written(path, header.encode() + b"\n" + array.tobytes("F"))


def mha(path: Path, array: np.ndarray = VOXELS, vector: bool = False, compressed: bool = False) -> Path:
    image = sitk.GetImageFromArray(array.T, isVector=vector)
    if array.ndim == 3:
        image.SetSpacing((1.5, 1.5, 8.0))
    sitk.WriteImage(image, str(path), compressed)
    return path


def png(width: int = 1, height: int = 1, pixels: bytes = b"\0\0") -> bytes:
    """A gray picture of one pixel, whatever size it claims."""
    size = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def spoiled(value: float, array: np.ndarray = VOXELS) -> np.ndarray:
    """An image with one voxel that is no number."""
    array = array.astype(np.float32)
    array[3, 4, 1] = value
    return array


def zip_bomb(size: int) -> bytes:
    """A gzip file of a thousandth of the size that it unpacks to."""
    piece = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = piece.compress(bytes(2**20)) + piece.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * (size >> 20)


def acdc_patient(folder: Path, number: int = 1) -> Path:
    """A patient in the layout of ACDC: Info.cfg, frames 1 and 2 with their labels."""
    place = folder / f"patient{number:03d}"
    written(place / "Info.cfg", "ED: 1\nES: 2\nGroup: NOR\nNbFrame: 2\n")
    for frame in (1, 2):
        stem = place / f"{place.name}_frame{frame:02d}"
        image = Image(VOXELS + np.int16(10 * number + frame), AFFINE)
        write_image(stem.with_name(f"{stem.name}.nii.gz"), image)
        write_labels(stem.with_name(f"{stem.name}_gt.nii.gz"), np.uint8([0, 3, 2, 1])[LABELS], image, CANONICAL)
    return place
