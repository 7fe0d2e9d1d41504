"""A study of a cohort: where its images lie, what is known of the person, and what it is once it is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import NO_SPACING, Image, read_image
from CardiacSegLib.jobs.privacy import without_home

#: Two phases of one heart may lie this far from each other, in millimeters: headers are rounded.
_SAME_PLACE = 1e-2


@dataclass(frozen=True)
class CohortStudy:
    """One study, before it is read.

    Attributes:
        id: names its folder among the results; parts between slashes are folders in folders.
        root: the folder that the person gave, or that of the list.
        images: by phase: {"": a volume, a cine or a DICOM folder}, or {"ED": a volume, "ES": a volume}.
        frames: (ED frame, ES frame) of a cine, counted from 0, where the data set says them.
        subject: the person.
        heart_rate: beats per minute; goes before what the image says.
        problem: why the study cannot be read, where that was seen when it was found.
    """

    id: str
    root: Path
    images: Mapping[str, Path]
    frames: tuple[int, int] | None = None
    subject: Subject = field(default_factory=Subject)
    heart_rate: float | None = None
    problem: str = ""

    @property
    def given(self) -> dict[str, Any]:
        """What its result depends on beside the model, fit for JSON: a study of which that changed is done again."""
        return {
            "images": {phase: self.short(str(path)) for phase, path in self.images.items()},
            "frames": None if self.frames is None else list(self.frames),
            "subject": vars(self.subject),
            "heart_rate": self.heart_rate,
        }

    def short(self, text: str) -> str:
        """A text with paths as they are below the folder of the cohort: no place of this machine, no home folder."""
        return without_home(text.replace(f"{self.root}{os.sep}", ""))

    def read(self) -> LoadedStudy:
        """Read its images.

        Raises:
            CardiacSegError: where one cannot be read, or ED and ES do not lie on one grid.
        """
        if self.problem:
            raise CardiacSegError(self.problem)
        images = {phase: read_image(path) for phase, path in self.images.items()}
        first = next(iter(images.values()))
        if len(images) == 1:
            array = first.array
            if self.frames and array.ndim == 3:  # CAMUS keeps the frames of a sequence where slices are elsewhere
                array = array[:, :, None, :]
            return LoadedStudy(self, images, array, self.frames)
        _check_same_grid(images)
        return LoadedStudy(self, images, np.stack([image.array for image in images.values()], axis=3), (0, 1))


def _check_same_grid(images: Mapping[str, Image]) -> None:
    first, second = images.values()
    if first.array.ndim != 3 or first.array.shape != second.array.shape:
        raise CardiacSegError(f"{second.path}: is no volume of the size of {first.path}; give ED and ES of one stack")
    if not np.allclose(first.affine, second.affine, rtol=0, atol=_SAME_PLACE):
        raise CardiacSegError(f"{second.path}: lies elsewhere in space than {first.path}; give ED and ES of one stack")


def checked_id(text: str) -> str:
    """An identifier that can be the path of a folder below another.

    Raises:
        CardiacSegError: where it cannot.
    """
    parts = PurePosixPath(text).parts
    if not text or "\\" in text or not parts or text.startswith("/") or {".", ".."} & set(parts) or "\0" in text:
        raise CardiacSegError(f"id '{text}' cannot name a folder; give letters, digits, - and _")
    return "/".join(parts)


@dataclass(frozen=True)
class LoadedStudy:
    """A study with its voxels.

    Attributes:
        images: as they were read, by phase.
        array: what is segmented, (I, J, K) or (I, J, K, T); ED and ES apart are a cine of two frames.
        frames: see :class:`CohortStudy`; those of ED and ES apart are 0 and 1.
    """

    study: CohortStudy
    images: Mapping[str, Image]
    array: np.ndarray
    frames: tuple[int, int] | None

    @property
    def first(self) -> Image:
        """The image, or that of ED: it places the voxels in space."""
        return next(iter(self.images.values()))

    @property
    def notes(self) -> Sequence[str]:
        """What has to be known of the images."""
        said = [note for image in self.images.values() for note in image.notes]
        return [*dict.fromkeys(said), *([] if self.first.spacing_known else [f"the image {NO_SPACING}"])]

    def apart(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Labels of :attr:`array`, in the shapes of the files they belong to, by phase."""
        if len(self.images) == 1:
            (phase,) = self.images
            return {phase: labels.reshape(self.first.array.shape)}
        return {phase: labels[..., frame] for frame, phase in enumerate(self.images)}
