"""A damaged or odd file gives the right result, or one line that names it with the remedy, and nothing half written.

The tables say how each file is made in a folder, and what comes of it.
"""

from __future__ import annotations

import bz2
import gzip
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import PIL.Image
import pytest

from CardiacSegLib.cli import main
from CardiacSegLib.datasets.report import examine_dataset
from CardiacSegLib.images import read_image
from CardiacSegLib.inference.segmenter import Segmenter
from hostile_files import (
    AFFINE,
    CINE,
    LABELS,
    VOXELS,
    a_segmenter_by_brightness,
    acdc_patient,
    cut,
    damaged,
    mha,
    nifti,
    nrrd_file,
    png,
    raw_nrrd,
    spoiled,
    with_extension,
    with_text,
    written,
    zip_bomb,
    zipped,
)

LIBRARY = Path(__file__).resolve().parents[2] / "CardiacSeg"
MOUNTS = shutil.which("mount") and hasattr(os, "geteuid") and os.geteuid() == 0
RGB = np.zeros((24, 20, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
SHEARED = AFFINE + np.outer([1, 0, 0, 0], [0, 0.5, 0, 0])
LAST = np.full_like(VOXELS, 7)
#: A slice as 8-bit gray values with its labels, each pixel sixteen times.
PICTURE = np.kron(VOXELS[:, :, 0] // 2, np.ones((4, 4), np.int16)).astype(np.uint8)
PICTURED = np.kron(LABELS[:, :, :1], np.ones((4, 4, 1), np.uint8))

BROKEN = "truncated, damaged or no such image"
Make = Callable[[Path], Path]


def picture(path: Path, array: np.ndarray = PICTURE, mode: str = "") -> Path:
    gray = PIL.Image.fromarray(np.ascontiguousarray(array.T))
    (gray.convert(mode) if mode else gray).save(path)
    return path


def animated(path: Path) -> Path:
    frames = [PIL.Image.fromarray(PICTURE.T // share) for share in (1, 2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def link(path: Path, target: Path) -> Path:
    path.symlink_to(target)
    return path


def compressed(path: Path, content: bytes) -> Path:
    return written(path, gzip.compress(content, 1))


def nifti_bytes(folder: Path, **fields: object) -> bytes:
    return nifti(folder / "plain" / "heart.nii", **fields).read_bytes()


#: Images that no model should see: how each is made, and a part of what is said about it.
REFUSED: dict[str, tuple[Make, str]] = {
    # Places
    "missing": (lambda d: d / "heart.nii.gz", "does not exist; check the path"),
    "a folder": (lambda d: d, "is a folder; name an image in it"),
    "a folder called as an image": (lambda d: written(d / "a.nii" / "b", b"").parent, "is a folder; name an image"),
    "a pipe": (lambda d: pipe(d / "heart.nii.gz"), "is no regular file; copy it into one"),
    "a link to itself": (lambda d: link(d / "heart.nii", d / "heart.nii"), "does not exist; check the path"),
    "a link to nothing": (lambda d: link(d / "heart.nii", d / "none.nii"), "does not exist; check the path"),
    "below a file": (lambda d: written(d / "file", "x") / "heart.nii", "does not exist; check the path"),
    "unknown extension": (lambda d: written(d / "heart.dcm2", "x" * 99), "not a known image format; give one of .nii"),
    "no extension": (lambda d: written(d / "heart", "x" * 99), "not a known image format; give one of .nii"),
    # Files that end too early, or are others
    "empty nii.gz": (lambda d: written(d / "heart.nii.gz", b""), "is empty (0 bytes); export or copy it again"),
    "empty nrrd": (lambda d: written(d / "heart.nrrd", b""), "is empty (0 bytes)"),
    "empty mha": (lambda d: written(d / "heart.mha", b""), "is empty (0 bytes)"),
    "empty png": (lambda d: written(d / "heart.png", b""), "is empty (0 bytes)"),
    "truncated nii": (lambda d: cut(nifti(d / "heart.nii")), BROKEN),
    "truncated in the header": (lambda d: cut(nifti(d / "heart.nii"), 0.05), BROKEN),
    "one byte short": (lambda d: cut(nifti(d / "heart.nii"), 0.9999), BROKEN),
    "truncated nii.gz": (lambda d: cut(zipped(d / "heart.nii.gz")), BROKEN),
    "truncated in the gzip header": (lambda d: cut(zipped(d / "heart.nii.gz"), 0.001), BROKEN),
    "without its checksum": (
        lambda d: written(d / "heart.nii.gz", gzip.compress(nifti_bytes(d))[:-4]),
        f"{BROKEN} (it ends too early)",
    ),
    "with another checksum": (
        lambda d: written(d / "heart.nii.gz", gzip.compress(nifti_bytes(d))[:-8] + bytes(8)),
        "incorrect data check",
    ),
    "gzip in gzip": (lambda d: compressed(d / "heart.nii.gz", gzip.compress(nifti_bytes(d))), BROKEN),
    "damaged nii.gz": (lambda d: damaged(d / "heart.nii.gz"), BROKEN),
    "damaged nrrd": (lambda d: damaged(d / "heart.nrrd"), BROKEN),
    "truncated nrrd": (lambda d: cut(nrrd_file(d / "heart.nrrd")), BROKEN),
    "truncated raw nrrd": (lambda d: cut(raw_nrrd(d / "heart.nrrd")), BROKEN),
    "truncated in the nrrd header": (lambda d: cut(nrrd_file(d / "heart.nrrd"), 0.02), BROKEN),
    "truncated mha": (lambda d: cut(mha(d / "heart.mha")), BROKEN),
    "truncated compressed mha": (lambda d: cut(mha(d / "heart.mha", compressed=True), 0.8), BROKEN),
    "truncated png": (lambda d: cut(picture(d / "heart.png")), BROKEN),
    "truncated tif": (lambda d: cut(picture(d / "heart.tif")), BROKEN),
    "text as nii.gz": (lambda d: written(d / "heart.nii.gz", "not an image\n" * 99), BROKEN),
    "gzipped text": (lambda d: compressed(d / "heart.nii.gz", b"not an image\n" * 99), "no NIfTI header"),
    "plain nii called nii.gz": (lambda d: written(d / "heart.nii.gz", nifti_bytes(d)), BROKEN),
    "gzip called nii": (lambda d: written(d / "heart.nii", gzip.compress(bytes(9999))), BROKEN),
    "text as nrrd": (lambda d: written(d / "heart.nrrd", "not an image\n" * 99), BROKEN),
    "bytes as nrrd": (lambda d: written(d / "heart.nrrd", bytes(range(128, 256)) * 9), BROKEN),
    "text as mha": (lambda d: written(d / "heart.mha", "not an image\n" * 99), BROKEN),
    "text as png": (lambda d: written(d / "heart.png", "not an image\n" * 99), BROKEN),
    "png as nii": (lambda d: written(d / "heart.nii", png() * 9), "no NIfTI header"),
    "a short png as nii": (lambda d: written(d / "heart.nii", png()), BROKEN),
    "NIfTI-2": (
        lambda d: nibabel.save(nibabel.Nifti2Image(VOXELS, AFFINE), d / "heart.nii") or d / "heart.nii",
        "is NIfTI-2; save it as NIfTI-1",
    ),
    "header of a pair": (lambda d: nifti(d / "heart.nii", magic=b"ni1"), "has no NIfTI header"),
    # Sizes
    "10^12 voxels": (lambda d: nifti(d / "heart.nii", dim=[3, 10000, 10000, 10000, 1, 1, 1, 1]), "claims 1e+12 voxels"),
    "10^12 voxels in nii.gz": (
        lambda d: compressed(d / "heart.nii.gz", nifti_bytes(d, dim=[3, 10000, 10000, 10000, 1, 1, 1, 1])),
        "claims 1e+12 voxels; it is damaged, copy it again",
    ),
    "10^12 voxels in nrrd": (lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, "sizes: 10000 10000 10000"), "1e+12 voxels"),
    "10^60 voxels in nrrd": (
        lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, f"sizes: {10**20} {10**20} {10**20}"),
        "holds no voxel",
    ),
    "10^12 voxels in mha": (
        lambda d: with_text(mha(d / "heart.mha"), b"DimSize = 24 20 4", b"DimSize = 10000 10000 10000"),
        "claims 1e+12 voxels",
    ),
    "10^12 pixels in png": (lambda d: written(d / "heart.png", png(10**6, 10**6)), "exceeds limit"),
    "10^8 pixels in png": (lambda d: written(d / "heart.png", png(10**4, 10**4)), "claims 1e+08 voxels"),
    "negative size": (lambda d: nifti(d / "heart.nii", dim=[3, 24, -20, 4, 1, 1, 1, 1]), "holds no voxel"),
    "size zero": (lambda d: nifti(d / "heart.nii", dim=[3, 24, 0, 4, 1, 1, 1, 1]), "holds no voxel (size 24 x 0 x 4)"),
    "size zero in nrrd": (lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, "sizes: 24 0 4"), "holds no voxel"),
    "no size in nrrd": (lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, "sizes: -"), BROKEN),
    "two sizes for three dimensions": (lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, "sizes: 24 80"), BROKEN),
    "no dimension": (lambda d: nifti(d / "heart.nii", dim=[0, 24, 1, 1, 1, 1, 1, 1]), "no NIfTI header"),
    "1D": (lambda d: nifti(d / "heart.nii", dim=[1, 24, 1, 1, 1, 1, 1, 1]), "has 1 dimensions; give a volume (3)"),
    "5D": (lambda d: nifti(d / "heart.nii", np.zeros((4, 4, 3, 2, 2), np.int16)), "has 5 dimensions; give a volume"),
    "5D mha": (lambda d: mha(d / "heart.mha", np.zeros((4, 4, 3, 2, 2), np.int16)), "5 dimensions"),
    "4D nrrd": (
        lambda d: nrrd_file(d / "heart.nrrd", np.zeros((4, 4, 3, 2), np.int16), space_directions=np.eye(4, 3)),
        "not a volume with three directions in space",
    ),
    "animated png": (lambda d: animated(d / "heart.png"), "holds 2 pictures; give each a file of its own"),
    # Where the voxels are
    "voxels beyond the end": (lambda d: nifti(d / "heart.nii", vox_offset=1e9), BROKEN),
    "voxels at infinity": (lambda d: nifti(d / "heart.nii", vox_offset=np.inf), BROKEN),
    "voxels at NaN": (lambda d: nifti(d / "heart.nii", vox_offset=np.nan), BROKEN),
    "voxels in the header": (lambda d: nifti(d / "heart.nii", vox_offset=16), BROKEN),
    "voxels behind 10^12 lines": (lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, f"line skip: {10**12}"), BROKEN),
    "voxels before the file": (lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, "byte skip: -999"), BROKEN),
    "voxels in a missing file": (
        lambda d: raw_nrrd(d / "heart.nhdr", VOXELS, "data file: heart.raw"),
        "heart.raw: does not exist; check the path",
    ),
    "voxels in a pipe": (
        lambda d: raw_nrrd(pipe(d / "heart.raw").with_suffix(".nhdr"), VOXELS, "data file: heart.raw"),
        "heart.raw: is no regular file; copy it into one",
    ),
    "voxels in a missing file of mhd": (lambda d: mhd_alone(d / "heart.mhd"), BROKEN),
    # What the voxels are
    "unknown type": (lambda d: nifti(d / "heart.nii", datatype=999), BROKEN),
    "unknown type in nrrd": (lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, "type: quaternion"), BROKEN),
    "unknown encoding in nrrd": (lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, "encoding: lzma"), BROKEN),
    "no byte order in nrrd": (lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, "endian: -"), BROKEN),
    "RGB": (lambda d: nifti(d / "heart.nii", RGB), "not gray values"),
    "RGB mha": (lambda d: mha(d / "heart.mha", np.zeros((3, 9, 8, 7), np.uint8), vector=True), "several components"),
    "colored png": (lambda d: colored(d / "heart.png"), "has colors; convert it to a grayscale image"),
    "complex": (lambda d: nifti(d / "heart.nii", VOXELS.astype(np.complex64)), "not gray values (complex64)"),
    "NaN voxel": (lambda d: nifti(d / "heart.nii", spoiled(np.nan)), "1 voxels are NaN or infinite; replace them"),
    "infinite voxel": (lambda d: nrrd_file(d / "heart.nrrd", spoiled(np.inf)), "1 voxels are NaN or infinite"),
    "infinite voxel in mha": (lambda d: mha(d / "heart.mha", spoiled(-np.inf)), "1 voxels are NaN or infinite"),
    "NaN in one phase": (lambda d: nifti(d / "cine.nii", spoiled(np.nan, CINE)), "3 voxels are NaN or infinite"),
    "a scale beyond all numbers": (
        lambda d: nifti(d / "heart.nii", VOXELS * 1e305, scl_slope=1e30),
        "voxels are NaN or infinite; replace them, for example by 0",
    ),
    "a scale from NaN": (lambda d: nifti(d / "heart.nii", scl_slope=2, scl_inter=np.nan), "invalid intercept nan"),
    "constant": (lambda d: nifti(d / "heart.nii", LAST), "constant (every voxel is 7); choose one"),
    "one phase constant": (lambda d: nifti(d / "cine.nii", np.stack([VOXELS, LAST], 3)), "constant (every voxel is 7)"),
    # Spacing and place
    "zero spacing": (lambda d: nifti(d / "heart.nii", pixdim=[1, 1.5, 0, 8, 1, 1, 1, 1]), "spacing is 1.5 x 0 x 8 mm"),
    "negative spacing": (lambda d: nifti(d / "heart.nii", pixdim=[1, 1.5, -2, 8, 1, 1, 1, 1]), "1.5 x -2 x 8 mm"),
    "NaN spacing": (lambda d: nifti(d / "heart.nii", pixdim=[1, np.nan, 2, 8, 1, 1, 1, 1]), "nan x 2 x 8 mm"),
    "spacing of an atom": (
        lambda d: nifti(d / "heart.nii", pixdim=[1, 1e-7, 1e-7, 8, 1, 1, 1, 1]),
        "a spacing of 1e-07 x 1e-07 x 8 mm cannot be; set the true spacing in its header",
    ),
    "spacing of kilometers": (
        lambda d: nifti(d / "heart.nii", pixdim=[1, 1, 1, 1e6, 1, 1, 1, 1]),
        "1e+06 mm cannot be",
    ),
    "field of view of 20 m": (lambda d: nifti(d / "heart.nii", pixdim=[1, 900, 900, 8, 1, 1, 1, 1]), "set the true"),
    "zero spacing in nrrd": (
        lambda d: nrrd_file(d / "heart.nrrd", space_directions=np.diag([1.5, 0, 8])),
        "is zero or not a number; set the true spacing",
    ),
    "NaN direction in nrrd": (
        lambda d: nrrd_file(d / "heart.nrrd", space_directions=np.array([[1.5, 0, 0], [0, np.nan, 0], [0, 0, 8]])),
        "is zero or not a number; set the true spacing",
    ),
    "half a direction in nrrd": (lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, "space directions: (1.5,0,0) ("), BROKEN),
    "NaN origin in nrrd": (lambda d: raw_nrrd(d / "heart.nrrd", VOXELS, "space origin: (0,nan,0)"), "not a number"),
    "zero spacing in mha": (
        lambda d: with_text(mha(d / "heart.mha"), b"ElementSpacing = 1.5 1.5", b"ElementSpacing = 1.5 0"),
        "spacing is not positive; set the true spacing",
    ),
    "negative spacing in mha": (
        lambda d: with_text(mha(d / "heart.mha"), b"ElementSpacing = 1.5 1.5", b"ElementSpacing = 1.5 -2"),
        "spacing is not positive; set the true spacing",
    ),
    "NaN spacing in mha": (
        lambda d: with_text(mha(d / "heart.mha"), b"ElementSpacing = 1.5 1.5", b"ElementSpacing = 1.5 nan"),
        "spacing is not positive; set the true spacing",
    ),
    "axes that fall together in mha": (
        lambda d: with_text(mha(d / "heart.mha"), b"TransformMatrix = 1 0 0 0 1 0", b"TransformMatrix = 1 0 0 1 0 0"),
        "copy it again",
    ),
    "NaN in the sform": (lambda d: nifti(d / "heart.nii", srow_y=np.nan), "the sform of its header is no number"),
    "NaN in the qform": (lambda d: nifti(d / "heart.nii", qform_code=1, quatern_b=np.nan), "the qform of its header"),
    "an origin at infinity": (lambda d: nifti(d / "heart.nii", qform_code=1, qoffset_x=np.inf), "set it anew, or its"),
    "an sform of zeros": (lambda d: nifti(d / "heart.nii", srow_x=0, srow_y=0, srow_z=0), "not at right angles"),
    "sheared": (lambda d: nifti(d / "heart.nii", affine=SHEARED, qform_code=0), "not at right angles; resample it"),
    "sheared nrrd": (lambda d: nrrd_file(d / "heart.nrrd", space_directions=SHEARED[:3, :3].T), "not at right angles"),
    "unknown space": (lambda d: nrrd_file(d / "heart.nrrd", space="scanner-xyz"), "space 'scanner-xyz' is not known"),
}


def mhd_alone(path: Path) -> Path:
    mha(path)
    path.with_suffix(".raw").unlink()
    return path


def colored(path: Path) -> Path:
    PIL.Image.new("RGB", (9, 9), (200, 0, 0)).save(path)
    return path


def detached_nrrd(folder: Path) -> Path:
    written(folder / "voxels" / "heart.raw.gz", gzip.compress(VOXELS.tobytes("F")))
    return raw_nrrd(
        folder / "heart.nhdr", VOXELS[:0], "sizes: 24 20 4", "encoding: gzip", "data file: voxels/heart.raw.gz"
    )


def big_endian(path: Path) -> Path:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nibabel.save(nibabel.Nifti1Image(VOXELS, AFFINE, header), path)
    return path


TURNED = np.diag([1.0, -1.0, 1.0, 1.0]) @ AFFINE
PERMUTED = AFFINE[:, [2, 0, 1, 3]]

#: Images that look wrong and are not: how each is made, and its labels where they are not those of the heart itself.
READ: dict[str, tuple[Make, np.ndarray]] = {
    # Scales and types
    "scale 0": (lambda d: nifti(d / "a.nii", scl_slope=0, scl_inter=5), LABELS),
    "scale NaN": (lambda d: nifti(d / "a.nii", scl_slope=np.nan, scl_inter=np.nan), LABELS),
    "scale infinite": (lambda d: nifti(d / "a.nii", scl_slope=np.inf), LABELS),
    "scale 2 from 100": (lambda d: nifti(d / "a.nii", scl_slope=2, scl_inter=100), LABELS),
    "scale of almost nothing": (lambda d: nifti(d / "a.nii", scl_slope=1e-38), LABELS),
    "scale that leaves int16": (lambda d: nifti(d / "a.nii", scl_slope=1e30), LABELS),
    "int16 from end to end": (lambda d: nifti(d / "a.nii", (VOXELS * 200.0 - 32768).astype(np.int16)), LABELS),
    "uint64 beyond int64": (lambda d: nifti(d / "a.nii", VOXELS.astype(np.uint64) * 2**55), LABELS),
    "huge float64": (lambda d: nifti(d / "a.nii", (VOXELS - 160.0) * 1e306), LABELS),
    "huge float32": (lambda d: nrrd_file(d / "a.nrrd", ((VOXELS - 160) * 2e36).astype(np.float32)), LABELS),
    "tiny float64": (lambda d: nifti(d / "a.nii", VOXELS * 1e-306), LABELS),
    "bytes": (lambda d: nifti(d / "a.nii", (VOXELS // 2).astype(np.uint8)), LABELS),
    "big-endian": (lambda d: big_endian(d / "a.nii"), LABELS),
    # Dimensions
    "2D": (lambda d: nifti(d / "a.nii", VOXELS[:, :, 0]), LABELS[:, :, :1]),
    "a single slice": (lambda d: nifti(d / "a.nii", VOXELS[:, :, :1]), LABELS[:, :, :1]),
    "4D of one phase": (lambda d: nifti(d / "a.nii", VOXELS[..., None]), LABELS[..., None]),
    "a cine": (lambda d: nifti(d / "a.nii", CINE), np.stack([LABELS] * 3, 3)),
    "sizes of 0 behind the third": (lambda d: nifti(d / "a.nii", dim=[3, 24, 20, 4, 0, 0, 0, 0]), LABELS),
    "2D nrrd": (
        lambda d: raw_nrrd(
            *(d / "a.nrrd", VOXELS[:, :, 0], "dimension: 2", "space directions: -", "space: -", "spacings: 1.5 1.5")
        ),
        LABELS[:, :, :1],
    ),
    # Places
    "both codes 0": (lambda d: nifti(d / "a.nii", qform_code=0, sform_code=0), LABELS),
    "qform and sform that disagree": (lambda d: nifti(d / "a.nii", qform_code=1, quatern_d=0, quatern_b=1), LABELS),
    "sheared sform, straight qform": (lambda d: nifti(d / "a.nii", srow_x=SHEARED[0], qform_code=1), LABELS),
    "NaN in a form that does not count": (
        lambda d: nifti(d / "a.nii", sform_code=0, qform_code=1, srow_x=np.nan),
        LABELS,
    ),
    "codes that no one knows": (lambda d: nifti(d / "a.nii", qform_code=99, sform_code=-3), LABELS),
    "neither left- nor right-handed": (lambda d: nifti(d / "a.nii", pixdim=[0, 1.5, 1.5, 8, 0, 0, 0, 0]), LABELS),
    "left-handed": (lambda d: nifti(d / "a.nii", affine=TURNED), LABELS),
    "left-handed nrrd": (lambda d: nrrd_file(d / "a.nrrd", space_directions=TURNED[:3, :3].T), LABELS),
    "NaN origin in mha, 0 for ITK": (
        lambda d: with_text(mha(d / "a.mha"), b"Offset = 0 0 0", b"Offset = 0 nan 0"),
        LABELS,
    ),
    "permuted axes": (
        lambda d: nifti(d / "a.nii", VOXELS.transpose(2, 0, 1), affine=PERMUTED),
        LABELS.transpose(2, 0, 1),
    ),
    "spacing in meters": (
        lambda d: nifti(d / "a.nii", xyzt_units=1, pixdim=[1, 0.0015, 0.0015, 0.008, 1, 1, 1, 1]),
        LABELS,
    ),
    # Ways to write a file
    "an extension that claims 2^31 bytes": (lambda d: with_extension(d / "a.nii", 2**31 - 1), LABELS),
    "an extension of no bytes": (lambda d: with_extension(d / "a.nii", 0), LABELS),
    "bytes behind the voxels": (lambda d: written(d / "a.nii", nifti_bytes(d) + b"more"), LABELS),
    "bytes behind the voxels in nii.gz": (lambda d: compressed(d / "a.nii.gz", nifti_bytes(d) + b"more"), LABELS),
    "gzip in two members": (
        lambda d: written(d / "a.nii.gz", gzip.compress(nifti_bytes(d)[:999]) + gzip.compress(nifti_bytes(d)[999:])),
        LABELS,
    ),
    "bzip2 in nrrd": (
        lambda d: raw_nrrd(
            d / "a.nrrd", np.frombuffer(bz2.compress(VOXELS.tobytes("F")), "u1"), *SIZED, "encoding: bz2"
        ),
        LABELS,
    ),
    "text in nrrd": (
        lambda d: raw_nrrd(
            *(d / "a.nrrd", np.frombuffer(" ".join(map(str, VOXELS.ravel("F"))).encode(), "u1"), *SIZED),
            "encoding: ascii",
        ),
        LABELS,
    ),
    "voxels in a file of their own": (detached_nrrd, LABELS),
    "compressed mha": (lambda d: mha(d / "a.mha", compressed=True), LABELS),
    "png": (lambda d: picture(d / "a.png"), PICTURED),
    "gray png saved in color": (lambda d: picture(d / "a.png", mode="RGBA"), PICTURED),
    "png of 16 bits": (lambda d: picture(d / "a.png", PICTURE.astype(np.uint16) * 200), PICTURED),
    # Names
    "name in capitals": (lambda d: shutil.move(nifti(d / "a.nii.gz"), d / "A.NII.GZ"), LABELS),
    "name in other alphabets": (lambda d: nifti(d / "Ärzte & Söhne" / "心脏 ♥ сердце.nii.gz"), LABELS),
    "name in other alphabets, mha": (lambda d: shutil.move(mha(d / "a.mha"), d / "心脏 ♥ сердце.mha"), LABELS),
    "name with a line break": (lambda d: nifti(d / "two\nlines.nii"), LABELS),
    "name of 240 characters": (lambda d: nifti(d / f"{'n' * 236}.nii"), LABELS),
    "path of 1000 characters": (lambda d: nifti(d.joinpath(*["f" * 199] * 4) / "a.nii.gz"), LABELS),
    "name with dots": (lambda d: nifti(d / f"1.2.840.{'9' * 199}.nii.gz"), LABELS),
}
SIZED = ("sizes: 24 20 4",)


def state(folder: Path) -> dict[Path, bytes | None]:
    """Every file below a folder with its content."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    (tmp_path / "input").mkdir()
    return tmp_path / "input"


@pytest.fixture
def an_output(tmp_path: Path) -> Path:
    """A file of labels from an earlier run."""
    return written(tmp_path / "output" / "labels.nii.gz", b"of yesterday")


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, list[str]]]:
    """Run ``cardiacseg``; return the exit code, what was printed and the lines that were said, also past Python."""

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        capfd.readouterr()
        with warnings.catch_warnings():  # each would be two more lines
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("error", RuntimeWarning)
            code = main(list(map(str, arguments)))
        printed, said = capfd.readouterr()
        return code, printed, said.splitlines()

    return run


@pytest.fixture
def segment(command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, list[str]]]:
    monkeypatch.setattr(Segmenter, "load", lambda *_: a_segmenter_by_brightness())
    return lambda *arguments: command("segment", *arguments)


@pytest.mark.parametrize("case", REFUSED)
def test_an_image_is_refused_in_one_line_and_nothing_is_touched(case, segment, a_folder, an_output):
    make, expected = REFUSED[case]
    image = make(a_folder)
    before = state(a_folder.parent)
    code, printed, said = segment(image, "-o", an_output)
    (line,) = said
    assert line.startswith(f"cardiacseg: {image.parent}")
    assert expected in line
    assert len(line) < 600
    assert (code, printed) == (1, "")
    assert state(a_folder.parent) == before


@pytest.mark.parametrize("case", READ)
def test_an_odd_image_gets_its_labels_where_it_lies(case, segment, a_folder, an_output, monkeypatch):
    make, expected = READ[case]
    image = Path(make(a_folder))
    if image.suffix == ".png":  # which has no spacing, and is taken to have 1 mm
        segmenter = a_segmenter_by_brightness(spacing=1.0)
        monkeypatch.setattr(Segmenter, "load", lambda *_: segmenter)
    code, printed, said = segment(image, "-o", an_output)
    assert (code, printed) == (0, f"{an_output}\n"), said
    found = read_image(an_output)
    np.testing.assert_array_equal(found.array, expected)
    np.testing.assert_allclose(found.affine, read_image(image).affine, atol=1e-5)
    assert list(an_output.parent.iterdir()) == [an_output]


def test_an_image_whose_name_is_no_text_is_refused(segment, a_folder, an_output):
    image = Path(os.fsdecode(os.fsencode(a_folder) + b"/herz\xff.nii"))
    nifti(a_folder / "a.nii").rename(image)
    code, _, said = segment(image, "-o", an_output)
    assert code == 1
    assert said == [f"cardiacseg: {a_folder}/herz\\udcff.nii: a part of its name is no text; rename it"]
    assert an_output.read_bytes() == b"of yesterday"


def acdc(spoil: Callable[[Path], object]) -> Make:
    """A data set of one patient, who is spoiled."""

    def make(folder: Path) -> Path:
        spoil(acdc_patient(folder))
        return folder

    return make


def info(text: str | bytes) -> Make:
    return acdc(lambda patient: written(patient / "Info.cfg", text))


def truth(array: np.ndarray, affine: np.ndarray = AFFINE) -> Make:
    """A patient whose labels at ED are these."""
    return acdc(lambda patient: nifti(patient / "patient001_frame01_gt.nii.gz", array, affine))


def image(make_file: Callable[[Path], object]) -> Make:
    """A patient whose image at ED is made anew."""
    return acdc(lambda patient: make_file(patient / "patient001_frame01.nii.gz"))


def mnms(table: str, encoding: str = "utf-8") -> Make:
    def make(folder: Path) -> Path:
        nifti(folder / "A1" / "A1_sa.nii.gz", CINE)
        nifti(folder / "A1" / "A1_sa_gt.nii.gz", np.stack([LABELS] * 3, 3))
        written(folder / "table.csv", table.encode(encoding))
        return folder

    return make


def nnunet(text: str | bytes = "", **changes: object) -> Make:
    description = {"channel_names": {"0": "cine"}, "labels": {"LV": 1, "MYO": 2, "RV": 3}, "file_ending": ".nii.gz"}

    def make(folder: Path) -> Path:
        nifti(folder / "imagesTr" / "a_0000.nii.gz")
        nifti(folder / "labelsTr" / "a.nii.gz", LABELS)
        written(folder / "dataset.json", text or json.dumps(description | changes))
        return folder

    return make


def datalist(**entry: object) -> Make:
    """A list of one case whose files lie beside the folder of the list."""

    def make(folder: Path) -> Path:
        nifti(folder / "files" / "a.nii.gz")
        nifti(folder / "files" / "a_gt.nii.gz", LABELS)
        fields = {"image": "../files/a.nii.gz", "label": "../files/a_gt.nii.gz", **entry}
        content = {"labels": {"LV": 1, "MYO": 2, "RV": 3}, "training": [fields]}
        return written(folder / "list" / "list.json", json.dumps(content))

    return make


def masked(mask: Callable[[Path], object]) -> Make:
    def make(folder: Path) -> Path:
        picture(folder / "a.png")
        mask(folder / "a_mask.png")
        return folder

    return make


FINE = "every case can be used"
DEEP = "[" * 100_000
NO_FRAME = "Info.cfg: no frame number for ED; add a line 'ED: <number>'"

#: Data sets: how each is made, the exit code of ``cardiacseg dataset``, and a part of what it says.
DATA_SETS: dict[str, tuple[Make, int, str]] = {
    "whole": (acdc(lambda _: None), 0, FINE),
    "missing": (lambda d: d / "none", 1, "none: does not exist; check the path"),
    "a name of 300 characters": (lambda d: d / ("n" * 300), 1, "cannot be read (File name too long); check"),
    "a path of 5000 characters": (lambda d: d / ("n/" * 2500), 1, "cannot be read (File name too long); check"),
    "a link to itself": (lambda d: link(d / "loop", d / "loop"), 1, "loop: does not exist; check the path"),
    "some file": (lambda d: written(d / "notes.txt", "hello"), 1, "has no layout that is known; arrange it as one"),
    "an empty folder": (lambda d: d, 1, "has no layout that is known; arrange it as one of them"),
    # Info.cfg
    "Info.cfg of no length": (info(""), 1, NO_FRAME),
    "Info.cfg without ED": (info("ES: 2\n"), 1, NO_FRAME),
    "Info.cfg in UTF-16": (info("ED: 1\nES: 2\n".encode("utf-16")), 1, "Info.cfg: cannot be read"),
    "Info.cfg in zeros": (info(bytes(4096)), 1, NO_FRAME),
    "Info.cfg that is a folder": (
        acdc(lambda patient: ((patient / "Info.cfg").unlink(), (patient / "Info.cfg").mkdir())),
        *(1, "Info.cfg: cannot be read"),
    ),
    "Info.cfg with a mark and DOS line ends": (info("\ufeffED: 1\r\nES: 2\r\n"), 0, FINE),
    "ED is frame ²": (info("ED: ²\nES: 2\n"), 1, NO_FRAME),
    "ED is frame -1": (info("ED: -1\nES: 2\n"), 1, NO_FRAME),
    "ED is a frame of 5000 digits": (info(f"ED: {'9' * 5000}\nES: 2\n"), 1, NO_FRAME),
    "ED is frame 99": (info("ED: 99\nES: 2\n"), 1, "frame99.nii.gz: missing, though Info.cfg names frame 99"),
    # Labels
    "labels in halves": (truth(LABELS * 0.5), 1, "frame01_gt.nii.gz: label values [0.5, 1.5] are not in the"),
    "labels nobody knows": (truth(LABELS * np.uint8(85)), 1, "label values [85, 170, 255] are not in the convention"),
    "labels below zero": (truth(-LABELS.astype(np.int16)), 1, "label values [-3, -2, -1] are not in the"),
    "labels with NaN": (truth(spoiled(np.nan, LABELS)), 1, "frame01_gt.nii.gz: 1 voxels are NaN or infinite"),
    "labels in color": (truth(RGB), 1, "frame01_gt.nii.gz: voxels are not gray values"),
    "labels as floats": (truth(np.float64([0, 3, 2, 1])[LABELS]), 0, FINE),
    "labels on another grid": (truth(LABELS[::2]), 1, "its shape (12, 20, 4) is not that of its image"),
    "labels turned around": (truth(LABELS, TURNED), 1, "lies elsewhere in space than its image; resample it"),
    "labels of a cine": (truth(np.stack([LABELS] * 3, 3)), 1, "is a cine; give a file for each phase"),
    "no RV": (truth(np.uint8([0, 3, 2, 0])[LABELS]), 0, "frame01_gt.nii.gz: no RV in it"),
    "no structure": (truth(LABELS * 0), 0, "frame01_gt.nii.gz: no structure in it"),
    # Images
    "a truncated image": (image(lambda path: cut(nifti(path))), 1, "1 of 2 cases cannot be used"),
    "an image of 10^12 voxels": (
        image(lambda path: compressed(path, nifti_bytes(path.parent, dim=[3, *[10**4] * 3, 1, 1, 1, 1]))),
        *(1, "frame01.nii.gz: its header claims 1e+12 voxels"),
    ),
    "an image with NaN": (image(lambda path: nifti(path, spoiled(np.nan))), 1, "1 voxels are NaN or infinite"),
    "no ED image": (image(Path.unlink), 1, "patient001_frame01.nii.gz: missing, though Info.cfg names frame 1"),
    "a mask in color": (masked(colored), 1, "a_mask.png: has colors; convert it to a grayscale image"),
    "a mask of no length": (masked(lambda path: written(path, b"")), 1, "a_mask.png: the file is empty (0 bytes)"),
    "a mask of another size": (masked(lambda path: picture(path, PICTURED[:9, :, 0])), 1, "is not that of its image"),
    # Tables
    "a table": (mnms("External code,ED,ES\nA1,0,2\n"), 0, "the same image as"),
    "ED is ² in a table": (mnms("External code,ED,ES\nA1,²,2\n"), 1, "table.csv: gives no ED and ES frame for A1"),
    "ED is 10^99 in a table": (mnms(f"External code,ED,ES\nA1,1{'0' * 99},2\n"), 1, "gives no ED and ES frame"),
    "ED is beyond the cine": (mnms("External code,ED,ES\nA1,9,2\n"), 1, "has 3 frames, but frame 9 is asked for"),
    "zeros in a table": (mnms("External code,ED,ES\nA1,0\0,2\n"), 1, "gives no ED and ES frame for A1; add them"),
    "a table without ED": (mnms("External code,ES\nA1,2\n"), 1, "gives no ED and ES frame for A1; add them"),
    "a table in UTF-16": (mnms("External code,ED,ES\nA1,0,2\n", "utf-16"), 1, "no table with the columns 'External"),
    # dataset.json
    "dataset.json": (nnunet(), 0, FINE),
    "dataset.json of brackets": (nnunet(DEEP), 1, "dataset.json: cannot be read as a description of cases"),
    "dataset.json in zeros": (nnunet(bytes(99)), 1, "dataset.json: cannot be read as a description of cases"),
    "dataset.json in UTF-16": (nnunet("{}".encode("utf-16")), 1, "dataset.json: cannot be read as a description"),
    "dataset.json that is null": (nnunet("null"), 1, "it is no object in braces"),
    "a file ending of 5": (nnunet(file_ending=5), 1, '"file_ending" is 5; write one of .nii'),
    "a file ending of nothing": (nnunet(file_ending=""), 1, "\"file_ending\" is ''; write one of .nii"),
    "a file ending that leaves the folder": (nnunet(file_ending="/../*"), 1, "\"file_ending\" is '/../*'; write one"),
    "label 10^30": (nnunet(labels={"LV": 10**30}), 1, '"labels" is missing or does not name a structure'),
    "label 70000": (nnunet(labels={"LV": 70000}), 1, '"labels" is missing or does not name a structure'),
    "label 1e400": (nnunet('{"labels": {"LV": 1e400}}'), 1, '"labels" is missing or does not name a structure'),
    # Lists of cases
    "a list with files elsewhere, by ..": (datalist(), 0, FINE),
    "a patient called ../../x": (datalist(patient="../../x"), 1, "'../../x' cannot stand in the name of a file; give"),
    "a phase called ED/../x": (datalist(patient="x", phase="ED/../x"), 1, "'ED/../x' cannot stand in the name of a"),
    "a view with a line break": (datalist(patient="x", view="a\nb"), 1, "'a\\nb' cannot stand in the name of a file"),
    "a patient of 5000 letters": (datalist(patient="x" * 5000), 1, "cannot stand in the name of a file; give a short"),
    "a path of 5000 letters in a list": (
        datalist(patient="x", image="x" * 5000),
        1,
        "cannot be read (File name too long); check",
    ),
    "a path with a zero in a list": (
        datalist(patient="x", image="a\0.nii"),
        1,
        "a\\x00.nii does not exist; check the path",
    ),
    "a frame of 10^30 in a list": (datalist(frame=10**30), 1, '"frame" is no number counted from 0'),
    "a list of brackets": (lambda d: written(d / "list.json", DEEP), 1, "has no layout that is known"),
}


@pytest.mark.parametrize("case", DATA_SETS)
def test_a_data_set_is_read_or_what_is_wrong_with_which_file_is_said(case, command, a_folder):
    make, expected_code, expected = DATA_SETS[case]
    place = make(a_folder)
    before = state(a_folder)
    pictures = ("--labels", "canonical") if list(a_folder.glob("*.png")) else ()
    code, printed, said = command("dataset", place, *pictures)
    (line,) = [line for line in (*printed.splitlines(), *said) if expected in line]
    assert code == expected_code
    assert len(said) <= (code and not printed)
    assert len(line) < 1200 or "5000" in case
    assert state(a_folder) == before


#: Split files of a data set of two patients, and a part of what is said about them.
SPLITS: dict[str, tuple[object, str]] = {
    "a patient in two folds": ({"folds": [["patient001", "patient002"], ["patient001"]]}, "two folds (patient001)"),
    "a patient twice in one": ({"folds": [["patient001"] * 2, ["patient002"]]}, "two folds (patient001); each may"),
    "a patient in no fold": ({"folds": [["patient001"], ["patient003"]]}, "patient002 is in no fold of the split"),
    "no folds": ({"folds": []}, "split.json: not a split file (there are no folds in it)"),
    "folds by name": ({"folds": {"a": ["patient001"]}}, "split.json: not a split file (there are no folds in it)"),
    "folds of nothing": ({"folds": None}, "split.json: not a split file"),
    "folds of numbers": ({"folds": [[1], [2]]}, "split.json: not a split file (folds are not lists of names)"),
    "one empty fold": ({"folds": [[], ["patient001", "patient002"]]}, "fold 0 leaves no case to validate on"),
    "brackets": (DEEP, "its brackets are nested too deeply"),
    "zeros": ("\0" * 99, "split.json: not a split file"),
    "a mark, and then folds": ('\ufeff{"folds": [["patient003"]]}', "patient001 is in no fold of the split"),
}


@pytest.mark.parametrize("case", SPLITS)
def test_a_split_that_is_none_is_refused_before_a_run_begins(case, command, a_folder):
    content, expected = SPLITS[case]
    for number in (1, 2):
        acdc_patient(a_folder / "acdc", number)
    split = written(a_folder / "split.json", content if isinstance(content, str) else json.dumps(content))
    before = state(a_folder)
    code, _, (line,) = command("train", "--dataset", a_folder / "acdc", "--output", a_folder / "run", "--split", split)
    assert code == 1
    assert expected in line
    assert state(a_folder) == before


class TestAnEvaluation:
    @pytest.mark.parametrize(
        ("spoil", "expected"),
        [
            (lambda path: cut(path), "patient002_ES.nii.gz: cannot be read"),
            (lambda path: nifti(path, LABELS * 0.5), "patient002_ES.nii.gz: label values [0.5, 1.5] are not in"),
            (lambda path: nifti(path, spoiled(np.inf, LABELS)), "patient002_ES.nii.gz: 1 voxels are NaN or infinite"),
            (lambda path: nifti(path, np.float32(LABELS)[:, :, :, None, None]), "patient002_ES.nii.gz: has 5 dim"),
        ],
        ids=["truncated", "fractions", "infinite", "5D"],
    )
    def test_whose_last_labels_are_spoiled_leaves_nothing_that_looks_whole(self, spoil, expected, command, a_folder):
        for number in (1, 2):
            patient = acdc_patient(a_folder / "acdc", number)
            for frame, phase in ((1, "ED"), (2, "ES")):
                written(
                    a_folder / "theirs" / f"{patient.name}_{phase}.nii.gz",
                    (patient / f"{patient.name}_frame{frame:02d}_gt.nii.gz").read_bytes(),
                )
        spoil(a_folder / "theirs" / "patient002_ES.nii.gz")
        places = ("--dataset", a_folder / "acdc", "--predictions", a_folder / "theirs", "--output", a_folder / "out")
        code, _, (line,) = command("evaluate", *places)
        assert code == 1
        assert expected in line
        assert not [path for path in (a_folder / "out").rglob("*") if path.suffix in (".json", ".csv", ".html")]
        assert not list(a_folder.rglob(".partial-*"))

    def test_of_a_patient_whose_name_is_a_path_writes_nothing_elsewhere(self, command, a_folder):
        dataset = datalist(patient="../../x")(a_folder)
        before = state(a_folder)
        places = ("--dataset", dataset, "--predictions", a_folder / "files", "--output", a_folder / "a" / "b" / "out")
        code, _, (line,) = command("evaluate", *places)
        assert code == 1
        assert "cannot stand in the name of a file" in line
        assert state(a_folder) == before


@pytest.fixture
def a_disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if not MOUNTS:
        pytest.skip("only root may mount a disk; a limit of a process stands in for a full one below")
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=False).returncode:
        pytest.skip("mount is not allowed here")
    yield place
    subprocess.run(["umount", place], check=True)


#: What is written of an image, beside its labels or alone.
WRITTEN = {"-o": "a.nii.gz", "--table": "a.csv", "--picture": "a.png", "--report": "a.html", "--json": "a.json"}


class TestADiskThat:
    @pytest.mark.parametrize("option", WRITTEN)
    def test_is_full_keeps_what_it_has(self, option, segment, a_folder, a_disk):
        old = written(a_disk / WRITTEN[option], b"of yesterday")
        with pytest.raises(OSError, match="No space left"):
            written(a_disk / "filler", bytes(2**17))
        before = state(a_disk)
        places = {"-o": a_folder / "labels.nii.gz", option: old}
        code, _, said = segment(nifti(a_folder / "heart.nii"), *(word for pair in places.items() for word in pair))
        assert code == 1
        assert f"{old}: cannot be written (No space left on device; nothing was left there); make room" in said[-1]
        assert state(a_disk) == before

    def test_is_read_only_is_said(self, segment, a_folder, a_disk):
        old = written(a_disk / "labels.nii.gz", b"of yesterday")
        subprocess.run(["mount", "-o", "remount,ro", a_disk], check=True)
        code, _, (line,) = segment(nifti(a_folder / "heart.nii"), "-o", old)
        assert code == 1
        assert f"{old}: cannot be written (Read-only file system); choose another folder" in line
        assert state(a_disk) == {old: b"of yesterday"}

    def test_takes_no_more_of_a_file_leaves_none_of_it(self, tmp_path):
        """As a program, which may not write files of more than 4000 bytes."""
        limited = (
            "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (4000, 4000)); from CardiacSegLib.cli import main; "
        )
        run = subprocess.run(
            [sys.executable, "-c", f"{limited}raise SystemExit(main())", "phantom", tmp_path / "out"],
            env=os.environ | {"PYTHONPATH": str(LIBRARY)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 1
        assert run.stderr.count("\n") == 1
        assert "cannot be written (File too large; nothing was left there); make room on the disk" in run.stderr
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


class TestAFolderThatVanishes:
    """While the model is at work."""

    @pytest.fixture
    def vanishing(self, monkeypatch) -> Callable[[Path], None]:
        def let_vanish(folder: Path) -> None:
            segmenter = a_segmenter_by_brightness()
            label = segmenter.segment

            def label_and_remove(*arguments: object) -> np.ndarray:
                shutil.rmtree(folder, ignore_errors=True)
                return label(*arguments)

            segmenter.segment = label_and_remove
            monkeypatch.setattr(Segmenter, "load", lambda *_: segmenter)

        return let_vanish

    def test_is_said_of_the_output(self, segment, vanishing, a_folder, an_output):
        vanishing(an_output.parent)
        code, printed, (line,) = segment(nifti(a_folder / "heart.nii"), "-o", an_output)
        assert (code, printed) == (1, "")
        assert f"{an_output}: cannot be written (No such file or directory); choose another folder" in line
        assert not an_output.parent.exists()

    def test_with_the_images_leaves_the_results_that_there_are(self, segment, vanishing, a_folder, an_output):
        images = [nifti(a_folder / f"{name}.nii") for name in "ab"]
        vanishing(a_folder)
        table = an_output.with_name("table.csv")
        code, printed, said = segment(*images, "-o", an_output.parent, "--table", table)
        assert (code, printed) == (1, f"{an_output.parent / 'a_labels.nii.gz'}\n")
        assert f"{images[1]}: does not exist; check the path" in said[-1]
        np.testing.assert_array_equal(read_image(an_output.parent / "a_labels.nii.gz").array, LABELS)
        assert {row.split(",")[0] for row in table.read_text().splitlines()} == {"image", "a.nii"}

    def test_with_a_data_set_is_a_finding(self, a_folder):
        acdc_patient(a_folder)
        report = examine_dataset(a_folder, progress=lambda _: shutil.rmtree(a_folder, ignore_errors=True))
        assert len(report.facts) == 1
        assert "patient001_frame02.nii.gz: does not exist; check the path" in report.unusable()[0].text


#: Small files that would fill the memory: how each is made, and a part of what is said about it.
LARGE: dict[str, tuple[Make, str]] = {
    "10^9 voxels in nii": (lambda d: nifti(d / "a.nii", dim=[3, 1200, 1200, 1200, 1, 1, 1, 1]), BROKEN),
    "10^9 voxels in nii.gz": (
        lambda d: compressed(d / "b.nii.gz", nifti_bytes(d, dim=[3, 1200, 1200, 1200, 1, 1, 1, 1])),
        BROKEN,
    ),
    "10^9 voxels in nrrd": (lambda d: raw_nrrd(d / "c.nrrd", VOXELS, "sizes: 1200 1200 1200"), BROKEN),
    "10^9 voxels in mha": (
        lambda d: with_text(mha(d / "d.mha"), b"DimSize = 24 20 4", b"DimSize = 1200 1200 1200"),
        BROKEN,
    ),
    "half a gigabyte behind the voxels": (
        lambda d: written(d / "e.nii.gz", gzip.compress(nifti_bytes(d)) + zip_bomb(2**29)),
        "it ends too early",
    ),
    "half a gigabyte for voxels": (
        lambda d: raw_nrrd(d / "f.nrrd", np.frombuffer(zip_bomb(2**29), "u1"), *SIZED, "encoding: gzip"),
        "it ends too early",
    ),
}

#: Reads images, and prints what is said of each, in a quarter of a gigabyte more than it takes to read a good one.
IN_LITTLE_MEMORY = """
import resource, sys
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import read_image
good, *bad = sys.argv[1:]
for path in good.split(":"):
    read_image(path)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**28,) * 2)
for path in bad:
    try:
        read_image(path)
    except CardiacSegError as error:
        print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells and limits a process's memory so")
def test_a_file_that_claims_or_holds_much_takes_little_memory(a_folder, tmp_path):
    good = [
        nifti(tmp_path / "a.nii.gz"),
        nrrd_file(tmp_path / "a.nrrd"),
        mha(tmp_path / "a.mha"),
        picture(tmp_path / "a.png"),
    ]
    paths = [make(a_folder) for make, _ in LARGE.values()]
    run = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, ":".join(map(str, good)), *map(str, paths)],
        env=os.environ | {"PYTHONPATH": str(LIBRARY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert len(lines) == len(LARGE)
    for line, path, (_, expected) in zip(lines, paths, LARGE.values()):
        assert line.startswith(f"{path}: ")
        assert expected in line
