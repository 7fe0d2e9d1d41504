"""The layout of nnU-Net's raw data sets (Isensee et al., Nature Methods 2021, doi 10.1038/s41592-020-01008-z).

``dataset.json`` names the labels, as version 1 or 2 writes them; ``imagesTr/CASE_0000.nii.gz`` and
``labelsTr/CASE.nii.gz`` are the cases to train on, ``imagesTs`` with ``labelsTs``, where there are labels, those to
test on. ``splits_final.json``, where it lies beside them, holds the folds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.descriptions import CaseName, convention_of, held_out_folds, read_description, read_json
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import IMAGE_EXTENSIONS

TITLE = "nnU-Net raw: dataset.json with imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz"

_CHANNEL = "_0000"


def recognizes(folder: Path) -> bool:
    """Whether ``folder`` has a dataset.json and images numbered by channel."""
    folder = Path(folder)
    return (folder / "dataset.json").is_file() and any((folder / "imagesTr").glob(f"[!.]*{_CHANNEL}.*"))


def find_cases(folder: Path, labels: LabelConvention | None = None) -> list[Case]:
    """Every case that has labels, those to train on first, sorted by name.

    Which cases are of one patient, and at which phase, their names say: see
    :class:`CardiacSegLib.datasets.descriptions.CaseName`.

    Args:
        folder: holds dataset.json.
        labels: which number is which structure; needed where dataset.json calls one by a name that is not known.

    Raises:
        CardiacSegError: where dataset.json is missing, names no structures or several channels, or an image or the
            labels of a case to train on are missing.
    """
    folder = Path(folder)
    description = folder / "dataset.json"
    content = read_description(description)
    _check_channels(content, description)
    convention = labels or convention_of(content.get("labels"), description)
    ending = content.get("file_ending", ".nii.gz")
    if ending not in IMAGE_EXTENSIONS:
        raise CardiacSegError(f'{description}: "file_ending" is {ending!r}; write one of {", ".join(IMAGE_EXTENSIONS)}')
    cases = [
        Case(name.patient, name.phase, image, mask, convention, part=part, view=name.view)
        for part, suffix in (("train", "Tr"), ("test", "Ts"))
        for name, image, mask in _pairs(folder, suffix, ending)
    ]
    if not cases:
        raise CardiacSegError(f"{folder}: no labelsTr/CASE{ending} in it; give the folder of a raw nnU-Net data set")
    return cases


def _check_channels(content: dict[str, Any], source: Path) -> None:
    channels = content.get("channel_names", content.get("modality", {}))
    if isinstance(channels, (dict, list)) and len(channels) > 1:
        raise CardiacSegError(
            f"{source}: each case has {len(channels)} channels; CardiacSeg takes one, make a data set of that alone"
        )


def _pairs(folder: Path, suffix: str, ending: str) -> Iterator[tuple[CaseName, Path, Path]]:
    """Image and labels of each case."""
    images = _files(folder / f"images{suffix}", f"{_CHANNEL}{ending}")
    masks = _files(folder / f"labels{suffix}", ending)
    wanted = masks if suffix == "Ts" else images | masks
    for name in sorted(wanted):
        for kind, found, tail in (("images", images, f"{_CHANNEL}{ending}"), ("labels", masks, ending)):
            if name not in found:
                missing = folder / f"{kind}{suffix}" / f"{name}{tail}"
                raise CardiacSegError(f"{missing}: missing; copy it there, or take the other files of {name} away")
        yield CaseName.parse(name), images[name], masks[name]


def _files(folder: Path, tail: str) -> dict[str, Path]:
    return {path.name[: -len(tail)]: path for path in folder.glob(f"[!.]*{tail}")}


def read_splits(folder: Path) -> list[list[str]]:
    """The patients that each fold of ``splits_final.json`` holds out; none where there is no such file.

    Raises:
        CardiacSegError: where the file is something else, or has cases of one patient in two folds.
    """
    path = Path(folder) / "splits_final.json"
    if not path.is_file():
        return []
    try:
        folds = [[CaseName.parse(name).patient for name in fold["val"]] for fold in read_json(path)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise CardiacSegError(
            f'{path}: not the folds of nnU-Net ({reason}); it holds [{{"train": [cases], "val": [cases]}}]'
        ) from error
    return held_out_folds(folds, path)
