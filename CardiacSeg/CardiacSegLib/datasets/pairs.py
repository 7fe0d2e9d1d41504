"""Images and masks as pairs of files: PNG and other pictures, or volumes such as NIfTI.

Either side by side (``cmr1.png`` with ``cmr1_mask.png``) or in two folders (``image/cmr1.png``, ``mask/cmr1_mask.png``
or ``mask/cmr1.png``), and each of these also apart in ``train``, ``val`` and ``test``. The person names the labels. A
mask holds the numbers themselves, or the numbers spread over the gray values to 255, so that a viewer shows them.

Such folders say no patient, and often hold many slices of each: a name up to its first word with a digit is taken for
one, ``patient012`` of ``patient012_slice3_ED``, and all its images stay on one side of a split.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from CardiacSegLib.anatomy import LabelConvention, labels_text
from CardiacSegLib.datasets.cases import Case, named_labels
from CardiacSegLib.datasets.descriptions import CaseName
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import IMAGE_EXTENSIONS, Image, extension_of, stem_of

TITLE = "image and mask files: NAME.png with NAME_mask.png, or the folders image/ and mask/"

_PARTS = {
    **{"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
_IMAGE_FOLDERS = ("image", "images", "img", "imgs")
_MASK_FOLDERS = ("mask", "masks", "label", "labels", "seg", "segmentation", "segmentations", "gt")
_MASK_NAME = re.compile(r"(?P<stem>.+)[_-](mask|masks|label|labels|seg|segmentation|gt)", re.IGNORECASE)
_PATIENT = re.compile(r"(?:[^\d_\-\s]+[_\-\s]+)*[^\d_\-\s]*\d[^_\-\s]*")


def recognizes(folder: Path) -> bool:
    """Whether ``folder`` holds images with masks, or the folders of them."""
    return next(_places(Path(folder)), None) is not None


def find_cases(folder: Path, labels: LabelConvention | None = None) -> list[Case]:
    """Every image with its mask, sorted by name.

    Raises:
        CardiacSegError: where there is none, one of a pair is missing or stands twice, or ``labels`` does not say which
            number is which structure.
    """
    places = list(_places(Path(folder)))
    if not places:
        raise CardiacSegError(f"{folder}: no images with masks in it, such as cmr1.png with cmr1_mask.png")
    convention = named_labels(labels, folder)
    return [_case(image, mask, convention, place.part) for place in places for image, mask in place.pairs()]


@dataclass(frozen=True)
class _Place:
    """Where images and masks lie: in two folders, or side by side in one."""

    images: Path
    masks: Path
    part: str

    def pairs(self) -> list[tuple[Path, Path]]:
        """Every image with its mask, cmr2 before cmr10."""
        masks = self._masks()
        images = self._images(masks)
        for stem, mask in masks.items():
            if stem not in images:
                raise CardiacSegError(f"{mask}: no image {stem} for this mask in {self.images}; add it")
        for stem, image in images.items():
            if stem not in masks:
                raise CardiacSegError(f"{image}: no mask {stem} or {stem}_mask for this image in {self.masks}; add it")
        return [(images[stem], masks[stem]) for stem in sorted(masks, key=_by_number)]

    def _masks(self) -> dict[str, Path]:
        """The masks by the stem of their image."""
        files = [(_MASK_NAME.fullmatch(stem_of(path)), path) for path in _files(self.masks)]
        apart = self.images != self.masks
        return _unique((match["stem"] if match else stem_of(path), path) for match, path in files if match or apart)

    def _images(self, masks: dict[str, Path]) -> dict[str, Path]:
        """The images by their stem; side by side with masks only those that have one, as any picture may lie there."""
        images = ((stem_of(path), path) for path in _files(self.images))
        if self.images == self.masks:
            images = ((stem, path) for stem, path in images if stem in masks)
        return _unique(images)


def _unique(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for stem, path in named:
        if found.setdefault(stem, path) != path:
            raise CardiacSegError(f"{path}: {found[stem].name} has the same name; keep one of them")
    return found


def _places(folder: Path) -> Iterator[_Place]:
    """Where pairs lie: ``train/image`` as well as ``image/train``."""
    for place, part in _with_parts(folder):
        images, masks = (_subfolder(place, names) for names in (_IMAGE_FOLDERS, _MASK_FOLDERS))
        if images and masks:
            for nested, nested_part in _with_parts(images):
                twin = masks / nested.relative_to(images)
                if twin.is_dir() and next(_files(nested), None):
                    yield _Place(nested, twin, part or nested_part)
        elif any(_MASK_NAME.fullmatch(stem_of(path)) for path in _files(place)):
            yield _Place(place, place, part)


def _with_parts(folder: Path) -> Iterator[tuple[Path, str]]:
    """The folder itself, and those in it that are named as a part."""
    yield folder, ""
    for path in _entries(folder):
        if path.name.lower() in _PARTS and path.is_dir():
            yield path, _PARTS[path.name.lower()]


def _subfolder(folder: Path, names: Iterable[str]) -> Path | None:
    return next((path for path in _entries(folder) if path.name.lower() in names and path.is_dir()), None)


def _files(folder: Path) -> Iterator[Path]:
    """Images and masks in a folder."""
    return (path for path in _entries(folder) if extension_of(path, IMAGE_EXTENSIONS))


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _by_number(stem: str) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", stem)]


def _case(image: Path, mask: Path, convention: LabelConvention, part: str) -> Case:
    name = CaseName.parse(stem_of(image))
    numbered = _PATIENT.match(name.patient)
    patient = numbered[0] if numbered else name.patient
    view = "_".join(filter(None, (name.patient[len(patient) :].strip("_- "), name.view)))
    return _MaskCase(patient, name.phase, image, mask, convention, part=part, view=view)


@dataclass(frozen=True)
class _MaskCase(Case):
    """A case whose mask may spread its numbers over the gray values."""

    def read(self) -> tuple[Image, np.ndarray]:
        image, mask = super().read()
        present = set(np.unique(mask).tolist())
        numbers = (0, *sorted(self.convention.values()))
        if present <= set(numbers):
            return image, mask
        grays = _spread(numbers)
        if not present <= set(grays):
            shown = ", ".join(f"{value:g}" for value in sorted(present)[:8])
            raise CardiacSegError(
                f"{self.labels}: holds {shown}, which are neither {', '.join(map(str, numbers))} nor these spread to "
                f"255; --labels {labels_text(self.convention)} does not fit it, or it was not saved without loss"
            )
        return image, np.array([grays.get(gray, 0) for gray in range(256)], np.uint16)[mask.astype(np.intp)]


def _spread(numbers: tuple[int, ...]) -> dict[int, int]:
    """Which gray value stands for which number where the largest is 255; halves are rounded either way."""
    exact = {number: 255 * number / numbers[-1] for number in numbers}
    return {rounded(gray): number for number, gray in exact.items() for rounded in (math.floor, math.ceil)}
