"""Words that must never leave the files they were planted in, and a search that finds them wherever they hide.

Whoever reads the headers of real files finds names, dates and folders in them; here they are all called after the bird
that miners took along.
"""

from __future__ import annotations

import base64
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import PIL.Image
import pydicom
from PIL.PngImagePlugin import PngInfo
from pydicom.datadict import DicomDictionary

#: In every name, identifier and comment that is planted, and in the name of the home folder.
WORD = "CANARY"
#: Of a birth and of two examinations, as DICOM has dates and as people have them.
DATES = ("19010203", "19050607", "1905-06-07", "07.06.1905")
HOME = "CANARYHOME"

#: Text by its kind in DICOM (PS3.5, 6.2), and what is planted there.
_DICOM_TEXTS = {
    **dict.fromkeys(("LO", "LT", "SH", "ST", "UC", "UT"), WORD),
    **{"PN": f"{WORD}^ANNA", "AE": WORD, "DA": DATES[1], "DT": f"{DATES[1]}123456", "AS": "119Y", "UR": f"urn:{WORD}"},
}
#: What the reader needs as it is, or other software insists on.
_LEFT_ALONE = {"SpecificCharacterSet", "SeriesDescription"}


def plant_in_dicom(path: Path, every_element: bool = True) -> None:
    """Put a canary into the text elements of a file, into private elements and into a sequence.

    Args:
        every_element: of the standard's dictionary; else those alone that the file has.
    """
    with pydicom.config.disable_value_validation():
        _plant_in_dicom(path, every_element)


def _plant_in_dicom(path: Path, every_element: bool) -> None:
    dataset = pydicom.dcmread(path)
    known = ((tag, entry) for tag, entry in DicomDictionary.items() if tag >> 16 in range(0x0008, 0x0050))
    for tag, (kind, count, _, retired, keyword) in known:
        text = DATES[0] if keyword == "PatientBirthDate" else _DICOM_TEXTS.get(kind)
        if text and count == "1" and not retired and keyword not in _LEFT_ALONE and (every_element or tag in dataset):
            dataset.add_new(tag, kind, text)
    private = dataset.private_block(0x0009, f"{WORD} MAKER", create=True)
    private.add_new(0x01, "LO", f"{WORD} PRIVATE")
    private.add_new(0x02, "UN", WORD.encode())
    other = pydicom.Dataset()
    other.PatientID, other.IssuerOfPatientID = f"{WORD}-ID-2", WORD
    dataset.OtherPatientIDsSequence = pydicom.Sequence([other])
    dataset.preamble = WORD.encode().ljust(128, b"\0")
    dataset.save_as(path)


def plant_in_nifti(path: Path) -> None:
    """Put canaries into every text field of a NIfTI header and into extensions of three kinds."""
    nifti = nibabel.load(path)
    image = nibabel.Nifti1Image(np.asanyarray(nifti.dataobj), nifti.affine, nifti.header)
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[name] = f"{WORD} {name}".encode()[: image.header[name].dtype.itemsize]
    image.header["data_type"] = WORD.encode()
    dicom = pydicom.Dataset()
    dicom.PatientName = f"{WORD}^ANNA"
    contents = {6: f"{WORD} comment {DATES[1]}".encode(), 4: f"<afni>{WORD}</afni>".encode(), 2: _bytes_of(dicom)}
    extension = nibabel.nifti1.Nifti1Extension
    image.header.extensions.extend(extension(code, content) for code, content in contents.items())
    nibabel.save(image, path)


def _bytes_of(dataset: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def plant_in_nrrd(path: Path) -> None:
    """Put canaries into the fields of a NRRD header that are free text, into its key/value pairs and a comment."""
    head, _, data = path.read_bytes().partition(b"\n\n")
    lines = [f"# {WORD}", f"content: {WORD} {DATES[1]}", f"PatientName:={WORD}^ANNA", f"StudyDate:={DATES[1]}"]
    path.write_bytes(head + b"\n" + "\n".join(lines).encode() + b"\n\n" + data)


def plant_in_picture(path: Path) -> None:
    """Put canaries into the text chunks of a PNG, compressed and not, and into its EXIF."""
    picture, texts = PIL.Image.open(path), PngInfo()
    picture.load()
    texts.add_text("Comment", f"{WORD} {DATES[1]}")
    texts.add_text("Author", WORD, zip=True)
    texts.add_itxt("Title", WORD, zip=True)
    exif = PIL.Image.Exif()
    exif[0x010E] = WORD
    picture.save(path, pnginfo=texts, exif=exif)


def plant_in_info(path: Path) -> None:
    """Put canaries into an Info.cfg."""
    path.write_text(f"{path.read_text()}PatientName: {WORD}^ANNA\nStudyDate: {DATES[1]}\nComment: {WORD}\n")


def canaries_in(folder: Path, *, but: tuple[str, ...] = ()) -> list[str]:
    """Every file in a folder that holds a canary, with the way to it; but for files of those names."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if _NEEDLES.search(name.encode()):
            found.append(f"{name}: its name")
        if path.is_file() and path.name not in but:
            found += [f"{name}{way}: {word!r}" for way, word in _search(path.read_bytes())]
    return found


def canaries_in_text(text: str) -> list[bytes]:
    return [word for _, word in _search(text.encode())]


def _forms(word: str) -> Iterator[bytes]:
    """A word as UTF-8, UTF-16 and UTF-32, and each of them as base64 has it, wherever in three bytes it begins."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"):
        plain = word.encode(encoding)
        yield plain
        for before in range(3):
            coded = base64.b64encode(bytes(before) + plain)
            # At either end stand signs that hold bits of what is beside the word.
            yield coded[(0, 2, 3)[before] : len(coded) - (0, 3, 2)[(before + len(plain)) % 3]]


def _pattern(words: tuple[str, ...]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(re.escape(form) for word in words for form in _forms(word)))


_NEEDLES = _pattern((WORD, WORD.capitalize(), WORD.lower(), *DATES))
_DATA_URI = re.compile(rb"base64,([A-Za-z0-9+/=]+)")


def _search(content: bytes, way: str = "") -> Iterator[tuple[str, bytes]]:
    """Ways to canaries in bytes, and in what these hold packed."""
    found = _NEEDLES.search(content)
    if found:
        yield way, found[0]
    for kind, part in _parts(content):
        yield from _search(part, f"{way} > {kind}")


def _parts(content: bytes) -> Iterator[tuple[str, bytes]]:
    """What is packed in bytes: gzip, zip, NRRD's gzip, the texts of a PNG, the pictures of a page."""
    if content.startswith(b"\x1f\x8b"):
        yield "gzip", gzip.decompress(content)
        # Between the head and the data gzip has a place for the name of the file and for a comment.
        yield "gzip head", content[10:200] if content[3] & 0x18 else b""
    elif content.startswith(b"NRRD") and b"gzip" in content.partition(b"\n\n")[0]:
        yield "data", zlib.decompressobj(47).decompress(content.partition(b"\n\n")[2])
    elif zipfile.is_zipfile(io.BytesIO(content)) and content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name, archive.read(name)
                yield "names", name.encode()
    elif content.startswith(b"\x89PNG"):
        picture = PIL.Image.open(io.BytesIO(content))
        picture.load()
        yield "text", "\n".join(f"{name} {value}" for name, value in picture.info.items()).encode("utf-8", "replace")
    elif content[:200].lstrip().lower().startswith(b"<!doctype html"):
        for picture in _DATA_URI.findall(content):
            yield "picture", base64.b64decode(picture)
