"""Where the labels come from that are evaluated: a model, or a folder of somebody else's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from CardiacSegLib.anatomy import STRUCTURES, LabelConvention, labels_text, relabel
from CardiacSegLib.datasets.cases import SAME_PLACE, Case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.wording import named
from CardiacSegLib.images import IMAGE_EXTENSIONS, Image, extension_of, read_image, stem_of

#: What programs add to the name of a case: CardiacSeg, then others.
_ENDINGS = ("", "_labels", "_pred", "_prediction", "_seg", "_mask", "_gt")
#: nnU-Net numbers the channels of an image and not its labels.
_CHANNEL = "_0000"
_MOST_NAMED = 10


class LabeledCase(NamedTuple):
    """What a source says of a case.

    Attributes:
        labels: integers (I, J, K), in the convention of the source.
        probabilities: float32 (C, I, J, K), background first and then each structure at the place of its number; None
            where the source has labels only.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None = None


class Source(Protocol):
    """Where labels come from."""

    name: str
    convention: LabelConvention

    def label(self, case: Case, image: Image) -> LabeledCase:
        """The labels of a case, on the grid of its image.

        Raises:
            CardiacSegError: naming the file that cannot be labeled or read.
        """
        ...

    def check(self, cases: Sequence[Case]) -> None:
        """Raise CardiacSegError where cases cannot be labeled, before anything is computed."""
        ...

    def warnings(self) -> list[str]:
        """What has to be said about the labels that were given."""
        ...


class Predictor(Protocol):
    """A loaded model."""

    convention: LabelConvention

    def predict(self, volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`CardiacSegLib.inference.segmenter.Segmenter.predict`."""
        ...


class ModelSource:
    """Labels that a model gives.

    Args:
        segmenter: the loaded model.
        name: of the model.
    """

    def __init__(self, segmenter: Predictor, name: str) -> None:
        self._segmenter = segmenter
        self.name = name
        self.convention = segmenter.convention

    def label(self, case: Case, image: Image) -> LabeledCase:
        """See :class:`Source`."""
        try:
            return LabeledCase(*self._segmenter.predict(image.array, image.affine))
        except CardiacSegError as error:  # the segmenter knows the array, not the file
            raise CardiacSegError(f"{case.image}: {error}") from error

    def check(self, cases: Sequence[Case]) -> None:
        """A model labels any case."""

    def warnings(self) -> list[str]:
        """None: what a model was trained on, its metadata say."""
        return []


class FolderSource:
    """Labels that lie in a folder, as any program may have written them.

    A file belongs to the case whose name it has, or that of the case's image or reference labels, perhaps with
    ``_labels``, ``_pred`` or ``_seg`` behind it: ``patient001_ED.nii.gz`` or ``patient001_frame01_labels.nii.gz``. It
    may lie in a folder below. Of a cine the frame of the case is taken.

    Args:
        folder: where the files lie.
        cases: that are to be compared.
        convention: which number means which structure in the files; that of each case's reference labels where None.

    Raises:
        CardiacSegError: where the folder does not exist, or holds no labels at all.
    """

    def __init__(self, folder: Path, cases: Sequence[Case], convention: LabelConvention | None = None) -> None:
        if not folder.is_dir():
            raise CardiacSegError(f"{folder}: no such folder; name the one that holds the labels to be compared")
        self.name = folder.resolve().name
        self._folder = folder
        self._named = convention
        self._files = _files_by_stem(folder)
        self._elsewhere: list[Path] = []
        structures = convention or {name for case in cases for name in case.convention}
        self.convention = {name: number for number, name in enumerate((n for n in STRUCTURES if n in structures), 1)}
        if not self._files:
            raise CardiacSegError(f"{folder}: holds no labels; give files such as {cases[0].name}.nii.gz")

    def check(self, cases: Sequence[Case]) -> None:
        """Raise CardiacSegError, naming them, where cases have no file, or one that could be of several."""
        missing = [case.name for case in cases if not self._candidates(case)]
        if missing:
            example = next(case for case in cases if case.name == missing[0])
            names = " or ".join(f"{stem}.nii.gz" for stem in dict.fromkeys((example.name, _stem(example.image))))
            raise CardiacSegError(
                f"{self._folder}: no labels for {len(missing)} of {len(cases)} cases "
                f"({named(missing, _MOST_NAMED)}); add them, as {names}, or name the part of the cases that "
                "is there by --part or --split"
            )
        self._check_unique(cases)

    def _check_unique(self, cases: Sequence[Case]) -> None:
        cases_of: dict[Path, list[Case]] = defaultdict(list)
        for case in cases:
            found = self._candidates(case)
            if len(found) > 1:
                raise CardiacSegError(f"{found[0]}: {found[1]} is of {case.name}, too; leave one of them")
            cases_of[found[0]].append(case)
        for path, those in cases_of.items():
            if len(those) > 1 and any(case.frame is None for case in those):
                raise CardiacSegError(
                    f"{path}: could be of {those[0].name} as well as of {those[1].name}; name it as one of them"
                )

    def _candidates(self, case: Case) -> list[Path]:
        """The files of a case; the names that say most come first, and decide."""
        for stem in (case.name, _stem(case.image), _stem(case.image).replace(_CHANNEL, ""), _stem(case.labels)):
            found = [path for ending in _ENDINGS for path in self._files.get(stem + ending, ())]
            if found:
                return found
        return []

    def label(self, case: Case, image: Image) -> LabeledCase:
        """See :class:`Source`."""
        path = self._candidates(case)[0]
        found = read_image(path)
        array = found.array if found.array.ndim == 3 else self._frame(found.array, case, path)
        if array.shape != image.array.shape:
            raise CardiacSegError(
                f"{path}: its shape {array.shape} is not that of its image, {image.array.shape}; resample it"
            )
        if found.spacing_known and not np.allclose(found.affine, image.affine, rtol=0, atol=SAME_PLACE):
            self._elsewhere.append(path)
        numbers = self._named or case.convention
        try:
            return LabeledCase(relabel(array, numbers, self.convention))
        except CardiacSegError as error:
            raise CardiacSegError(
                f"{path}: {error} (these are read as {labels_text(numbers)}; say what they are by --prediction-labels)"
            ) from error

    def _frame(self, array: np.ndarray, case: Case, path: Path) -> np.ndarray:
        frame = 0 if array.shape[3] == 1 else case.frame
        if frame is None or frame >= array.shape[3]:
            raise CardiacSegError(
                f"{path}: is a cine of {array.shape[3]} frames, and the case is a volume; give a file for each phase"
            )
        return array[..., frame]

    def warnings(self) -> list[str]:
        """That files place their voxels elsewhere than the images, which many programs write for ACDC."""
        count = len(self._elsewhere)
        if not count:
            return []
        return [
            f"{count} files of labels lie elsewhere in space than their images ({self._elsewhere[0].name} first); they "
            "were compared voxel by voxel, which is right only where the arrays are in the same order"
        ]


def _files_by_stem(folder: Path) -> Mapping[str, Sequence[Path]]:
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if extension_of(path, IMAGE_EXTENSIONS) and not path.name.startswith("."):
            files[_stem(path)].append(path)
    return files


def _stem(path: Path) -> str:
    """The name of a file without its extension, which may have two parts."""
    name = path.name[: -len(".seg.nrrd")] + ".nrrd" if path.name.lower().endswith(".seg.nrrd") else path.name
    return stem_of(name)
