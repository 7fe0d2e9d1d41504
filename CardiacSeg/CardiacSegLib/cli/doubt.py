"""What ``cardiacseg segment --doubt`` writes and says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CardiacSegLib.bundles import find_bundle, read_metadata
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image, extension_of, write_image

if TYPE_CHECKING:
    from CardiacSegLib.inference.doubt import Doubt
    from CardiacSegLib.inference.segmenter import Segmenter

_EXTENSIONS = (".nii.gz", ".nii", ".nrrd")


def check_doubt_file(path: Path) -> None:
    """Raise CardiacSegError where a file cannot hold the doubt of an image."""
    if not extension_of(path, _EXTENSIONS):
        raise CardiacSegError(f"{path}: give a name that ends in {', '.join(_EXTENSIONS)}")


def segment_and_write_doubt(
    segmenter: Segmenter, model: str, image: Image, path: Path, progress: Callable[[float], None]
) -> tuple[np.ndarray, list[Doubt]]:
    """Label an image, write where the model was in doubt, from 0 to 1, and return the labels and all that is known."""
    from CardiacSegLib.inference.doubt import read_calibration, segment_with_doubt

    calibration = read_calibration(read_metadata(find_bundle(model).folder))
    labels, doubt, found = segment_with_doubt(segmenter, image.array, image.affine, progress, calibration)
    write_image(path, replace(image, array=doubt))
    return labels, found


def doubt_rows(name: str, found: Sequence[Doubt]) -> list[tuple[Any, ...]]:
    """Rows for the table of a command: the Dice to be expected, and the slices to look at."""
    rows: list[tuple[Any, ...]] = []
    for number, doubt in enumerate(found, 1):
        frame = f"frame {number}" if len(found) > 1 else ""
        for structure, dice in doubt.dice.items():
            rows.append((name, "Expected Dice", structure, "" if dice is None else f"{dice:.3f}", "", "", frame))
        for one in doubt.slices:
            note = "; ".join(filter(None, (frame, one.reason)))
            rows.append((name, "Slice to look at", one.structure, one.number, "from the base", "", note))
    return rows


def doubt_lines(found: Sequence[Doubt]) -> list[str]:
    """The same for people; of a cine the frame that is worst."""
    if not found:
        return []
    means = [np.mean([0.0 if dice is None else dice for dice in doubt.dice.values()]) for doubt in found]
    worst = int(np.argmin(means))
    where = f" in frame {worst + 1}, the worst" if len(found) > 1 else ""
    said = ", ".join(f"{name} {'-' if dice is None else f'{dice:.2f}'}" for name, dice in found[worst].dice.items())
    return [f"expected Dice{where}: {said}", *(one.text for one in found[worst].slices)]
