"""The doubt of a job: labels together with how sure of them the model is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CardiacSegLib.files import replacing

if TYPE_CHECKING:
    from CardiacSegLib.inference.doubt import Predictor

#: In a job's folder: float32 of the shape of the image, 0 where the model is sure and 1 where it knows nothing.
DOUBT = "doubt.npy"


def segment_with_doubt_into(
    folder: Path,
    segmenter: Predictor,
    model: str,
    array: np.ndarray,
    affine: np.ndarray,
    progress: Callable[[float], None],
) -> tuple[np.ndarray, dict[str, Any]]:
    """Label an image and write its doubt into a job's folder.

    Args:
        folder: of the job, gets :data:`DOUBT`.
        segmenter: the loaded model.
        model: its name or folder, as the request has it.
        array: (I, J, K) or (I, J, K, T).
        affine: (4, 4), index to RAS millimeters.
        progress: called with the share that is done, 0 to 1.

    Returns:
        The labels, and fields for the result event: the doubt's ``file``, and for each frame under ``frames`` what
        :meth:`CardiacSegLib.inference.doubt.Doubt.fields` says.
    """
    from CardiacSegLib.bundles import find_bundle, read_metadata
    from CardiacSegLib.inference.doubt import read_calibration, segment_with_doubt

    calibration = read_calibration(read_metadata(find_bundle(model).folder))
    labels, doubt, found = segment_with_doubt(segmenter, array, affine, progress, calibration)
    with replacing(folder / DOUBT) as partial:
        np.save(partial, doubt)
    return labels, {"file": DOUBT, "frames": [one.fields() for one in found]}
