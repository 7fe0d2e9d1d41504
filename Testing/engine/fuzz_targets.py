"""The readers that take whatever a person finds on a disk, each with good files to begin from.

A reader may give a result or a CardiacSegError of one line. Any other exception, gigabytes of memory for a few bytes,
or a reader that does not come back is a defect.
"""

from __future__ import annotations

import gzip
import io
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel
import nrrd
import numpy as np
from hypothesis import strategies as st

from CardiacSegLib.datasets import acdc, camus, datalist, mnms, sunnybrook
from CardiacSegLib.dicom.cine import read_cine
from CardiacSegLib.dicom.series import DicomFolder
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import read_image
from CardiacSegLib.phantom import PhantomOptions, make_phantom
from dicoms_made import write_enhanced, write_image_file
from phantoms import COARSE

_VOXELS = np.arange(6 * 5 * 2, dtype=np.int16).reshape(6, 5, 2)
_AFFINE = np.diag([-1.5, -1.5, 8.0, 1.0])


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        file: that the bytes are written to, relative to a folder.
        read: reads it, given that folder.
        seeds: gives good files.
        words: that mean something to the reader, to be put anywhere.
        beside: other files that the folder holds, empty ones.
    """

    file: str
    read: Callable[[Path], object]
    seeds: Callable[[], Sequence[bytes]]
    words: Sequence[bytes]
    beside: Sequence[str] = ()

    def prepare(self, folder: Path) -> None:
        """Make the folders and files that the reader needs besides the one that is tried."""
        for name in (self.file, *self.beside):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()

    def attempt(self, folder: Path, content: bytes) -> bool:
        """Let the reader try those bytes, in a folder that was prepared; whether it found something good in them.

        Raises:
            Whatever is a defect.
        """
        (folder / self.file).write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.read(folder)
        except CardiacSegError as error:
            message = str(error)
            assert message == " ".join(message.splitlines()), f"several lines: {message!r}"
            assert len(message) < 2000, f"{len(message)} letters: {message[:80]!r}"
            assert not isinstance(error.__cause__, MemoryError), f"room for gigabytes: {message}"
            return False
        return True


@st.composite
def spoiled(draw: st.DrawFn, target: Target) -> bytes:
    """A good file in which a few things are changed, taken away, doubled or put in."""
    content = bytearray(draw(st.sampled_from(target.seeds())))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        kind, length = draw(st.sampled_from(_CHANGES)), draw(st.integers(0, 12))
        if kind == "bits" and content:
            content[place] ^= draw(st.integers(1, 255))
        elif kind == "word over":
            word = draw(st.sampled_from(target.words))
            content[place : place + len(word)] = word
        elif kind == "word in":
            content[place:place] = draw(st.sampled_from(target.words))
        elif kind == "double":
            content[place:place] = content[place : place + length]
        elif kind == "take away":
            del content[place : place + length]
        elif kind == "cut":
            del content[place:]
    return bytes(content)


_CHANGES = ("bits", "word over", "word in", "double", "take away", "bits", "word over", "word in", "cut")


def _read_dicom(folder: Path) -> None:
    found = DicomFolder.read(folder)
    read_cine(found.series[0])


def _contours() -> list[bytes]:
    return [b"12.50 20.00\r\n14.00 21.50\r\n13.00 25.00\r\n", b"1 2\n3.0e0\t4\n+5 .6\n"]


def _infos() -> list[bytes]:
    return [b"ED: 1\nES: 12\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n", b"ED:1\r\nES:2\r\n"]


def _tables() -> list[bytes]:
    rows = "External code,Vendor,ED,ES\nA0S9V9,A,0,9\n"
    return [rows.encode(), ("\ufeff" + rows.replace(",", ";") + '"a;b";B;1;2\n').encode()]


def _links() -> list[bytes]:
    return [
        b"patient_id,original_id\nSCD0000101,SC-HF-I-1\n",
        b'\xef\xbb\xbfPatientID,OriginalID,Age\nS1,"SC-N-01",60\n',
    ]


def _lists() -> list[bytes]:
    case = b'{"image": "image.nii", "label": "image.nii", "patient": "p1", "phase": "ED", "frame": 0, "fold": 1}'
    return [b'{"labels": {"0": "background", "1": "LV"}, "training": [' + case + b'], "test": ["image.nii"]}']


@cache
def _nifti() -> list[bytes]:
    cine = nibabel.Nifti1Image(_VOXELS[..., None].repeat(2, axis=3), _AFFINE)
    cine.header.set_xyzt_units("mm", "msec")
    scaled = nibabel.Nifti1Image(_VOXELS.astype(np.float32), _AFFINE)
    scaled.header.set_slope_inter(2, 1)
    big = nibabel.Nifti1Image(_VOXELS, _AFFINE, nibabel.Nifti1Header(endianness=">"))
    return [image.to_bytes() for image in (cine, scaled, big)]


@cache
def _zipped_nifti() -> list[bytes]:
    return [gzip.compress(content, mtime=0) for content in _nifti()]


@cache
def _nrrd() -> list[bytes]:
    header = {"space": "left-posterior-superior", "space directions": _AFFINE[:3, :3], "space origin": [0, 0, 0]}
    contents = []
    for encoding in ("raw", "gzip", "ascii"):
        stream = io.BytesIO()
        nrrd.write(stream, _VOXELS, {**header, "encoding": encoding})
        contents.append(stream.getvalue())
    plain = b"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nspacings: 1 1\nencoding: raw\nkey:=value\n\nabcd"
    return [*contents, plain]


@cache
def _dicom() -> list[bytes]:
    phantom = make_phantom(PhantomOptions(frames=2, slices=2, seed=1, **COARSE))
    small = phantom.image[::8, ::8]
    with tempfile.TemporaryDirectory() as name:
        one, many = Path(name, "one.dcm"), Path(name, "many.dcm")
        write_image_file(one, small[:, :, 0, 0], phantom.affine, number=1, TriggerTime="20", SeriesDescription="sa")
        write_enhanced(many, type(phantom)(**{**vars(phantom), "image": small}))
        return [path.read_bytes() for path in (one, many)]


#: Numbers that fields of headers are damaged to.
_NUMBERS = [
    b"\0\0",
    b"\xff\xff",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\xc0\x7f",
    b"\0\0\x80\x7f",
    b"\x10\x27",
]
_TEXTS = [b"nan", b"-1", b"0", b"1e308", b"9" * 30, "²".encode(), b"\0", b"\xff\xfe", b"\n", b": ", b"\r"]

TARGETS: dict[str, Target] = {
    "contour": Target(
        "IM-0001-0001-icontour-manual.txt",
        lambda folder: sunnybrook.read_contour(folder / "IM-0001-0001-icontour-manual.txt"),
        _contours,
        [*_TEXTS, b"inf", b"1_0", b"\t"],
    ),
    "Info.cfg": Target(
        "patient001/Info.cfg",
        acdc.find_cases,
        _infos,
        [*_TEXTS, b"ED:", b"ES: ", b"Group:"],
        [f"patient001/patient001_frame{number:02d}{what}.nii" for number in (1, 2, 12) for what in ("", "_gt")],
    ),
    "Info_2CH.cfg": Target(
        "patient0001/Info_2CH.cfg",
        camus.find_cases,
        _infos,
        [*_TEXTS, b"ED:", b"ES: ", b"ImageQuality:"],
        ["patient0001/patient0001_2CH_half_sequence.nii", "patient0001/patient0001_2CH_half_sequence_gt.nii"],
    ),
    "table": Target(
        "table.csv", mnms.find_cases, _tables, [*_TEXTS, b'"', b",", b";"], ["A0S9V9_sa.nii", "A0S9V9_sa_gt.nii"]
    ),
    "link.csv": Target(
        "link.csv", lambda folder: sunnybrook._links(folder), _links, [*_TEXTS, b'"', b",", b"patientid"]
    ),
    "datalist": Target(
        "dataset.json",
        lambda folder: (datalist.find_cases(folder), datalist.read_splits(folder)),
        _lists,
        [*_TEXTS, b"[", b"]", b"{", b'"', b"null", b"1e999", b"\\u0000", b"[" * 2000],
        ["image.nii"],
    ),
    "NIfTI": Target("heart.nii", lambda folder: read_image(folder / "heart.nii"), _nifti, _NUMBERS),
    "NIfTI, gzipped": Target(
        "heart.nii.gz", lambda folder: read_image(folder / "heart.nii.gz"), _zipped_nifti, _NUMBERS
    ),
    "NRRD": Target(
        "heart.nrrd",
        lambda folder: read_image(folder / "heart.nrrd"),
        _nrrd,
        [
            *_TEXTS,
            b"gzip",
            b"bzip2",
            b"hex",
            b"data file: LIST",
            b"data file: heart.nrrd",
            b"block size: 9",
            b"block",
            b"line skip: 9",
            b"byte skip: -1",
            b"none",
            b"(1,0,0)",
            b"sizes: 99999 99999",
            b"float",
            b"endian: big\n",
        ],
    ),
    "DICOM": Target("heart.dcm", _read_dicom, _dicom, [*_NUMBERS, *_TEXTS, b"SQ", b"UN", b"OB", b"DS", b"\\"]),
}
