"""The doubt of a job: labels together with how sure of them the model is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CardiacSegLib.files import replacing

if TYPE_CHECKING:
    from CardiacSegLib.bundles import Bundle
    from CardiacSegLib.inference.doubt import Predictor

#: In a job's folder: float32 of the shape of the image, 0 where the model is sure and 1 where it knows nothing.
DOUBT = "doubt.npy"


def no_doubt_text(bundle: Bundle, turns: int | None = None) -> str:
    """Why a model cannot tell how sure it is, in words for people; "" where it can.

    It can where it has several answers to compare: those of its members, or of turned copies of the image.

    Args:
        bundle: the model.
        turns: over how many turned copies to average; what the model says where None.
    """
    if len(bundle.network.get("members", ())) > 1 or (turns or bundle.turns) > 1:
        return ""
    remedy = "choose turned copies under Accuracy"
    if bundle.turns == 1:
        remedy = "choose an ensemble, or turned copies under Accuracy if it has seen turned images"
    return f"{bundle.name} gives a single answer, with no other to compare it with; {remedy}"


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
        np.save(partial, np.asfortranarray(doubt))  # a frame in one piece: it is taken frame by frame
    return labels, {"file": DOUBT, "frames": [one.fields() for one in found]}
