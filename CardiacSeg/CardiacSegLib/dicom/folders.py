"""The DICOM files in a folder, whatever they are called, and the images in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from CardiacSegLib.dicom.elements import MARK, PREAMBLE, printable, reason_of
from CardiacSegLib.dicom.headers import DicomImage, read_headers
from CardiacSegLib.errors import CardiacSegError

#: Names that say DICOM of files without the mark that newer ones begin with.
_EXTENSIONS = {".dcm", ".dicom", ".ima"}
#: What macOS writes beside files on other disks, under their names.
_SHADOW = "._"


@dataclass
class FoundImages:
    """The images in a folder, and how many of its DICOM files were left out. Other files are none of its business.

    Attributes:
        images: in the order of their paths.
        copies: DICOM files whose image is there already.
        without_place: DICOM files without an image that has a place in space: reports, screen captures, ultrasound.
        unreadable: DICOM files that are damaged.
        example: what is wrong with the first of these.
    """

    images: list[DicomImage] = field(default_factory=list)
    copies: int = 0
    without_place: int = 0
    unreadable: int = 0
    example: str = ""

    def notes(self) -> list[str]:
        """A line for each kind of DICOM file that was left out."""
        counts = (
            (self.copies, "copied a second time"),
            (self.without_place, "without an image that has a place in space"),
            (self.unreadable, f"damaged{self.example}; copy again"),
        )
        return [f"left out: {count} DICOM file{'s'[: count > 1]} {what}" for count, what in counts if count]


def find_images(folder: Path) -> FoundImages:
    """Every image in a folder and the folders in it, whatever the files are called, each once."""
    found, seen = FoundImages(), set()
    for path in files_in(folder):
        if not is_dicom_file(path):
            continue
        try:
            images = read_headers([path])
        except CardiacSegError as error:
            found.unreadable += 1
            found.example = found.example or f", such as {printable(path.name)} ({reason_of(error.__cause__ or error)})"
            continue
        new = [image for image in images if not image.uid or (image.uid, image.frame) not in seen]
        seen.update((image.uid, image.frame) for image in new)
        found.images += new
        found.without_place += not images
        found.copies += bool(images) and not new
    return found


def files_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The files in a folder and the folders in it, sorted; folders that are links are not followed.

    Raises:
        CardiacSegError: where folders lie so deep that their files have no usable path.
    """
    try:
        return sorted(path for path in folder.rglob(pattern) if path.is_file() and not path.name.startswith(_SHADOW))
    except (OSError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "folders in folders without end"
        raise CardiacSegError(f"{folder}: cannot be listed ({reason}); give a folder of shorter paths") from error


def is_dicom_file(path: Path) -> bool:
    """Whether a file looks like DICOM with an image. A DICOMDIR has none: what it lists lies beside and below it."""
    return not is_dicomdir(path) and (_is_marked(path) or path.suffix.lower() in _EXTENSIONS)


def is_dicomdir(path: Path) -> bool:
    """Whether that is the index of a DICOM medium, by its name."""
    return path.name.upper() == "DICOMDIR"


def _is_marked(path: Path) -> bool:
    """Whether a file begins as the standard says; older ones do not, and are known by their name alone."""
    try:
        with path.open("rb") as stream:
            stream.seek(PREAMBLE)
            return stream.read(len(MARK)) == MARK
    except OSError:
        return False
