"""What is measured on one case: overlap, distances and volume of each structure."""

from __future__ import annotations

import numpy as np

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.clinical.volumes import structure_volume_ml
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.evaluation.overlap import overlaps, structure_names
from CardiacSegLib.evaluation.surfaces import surface_distances
from CardiacSegLib.evaluation.tables import StructureRow
from CardiacSegLib.geometry import voxel_spacing
from CardiacSegLib.images import Image


def score_case(
    case: Case,
    image: Image,
    labels: np.ndarray,
    reference: np.ndarray,
    confusion: np.ndarray,
    convention: LabelConvention,
) -> list[StructureRow]:
    """The rows of one case, a row for each structure in the order of their numbers.

    Args:
        case: says whose image it is.
        image: the volume; only its geometry counts.
        labels, reference: integers (I, J, K), both in ``convention``.
        confusion: of these two, as :func:`CardiacSegLib.evaluation.overlap.confusion_matrix` gives it.
    """
    overlap_of = overlaps(confusion, convention)
    spacing = voxel_spacing(image.affine)
    rows = []
    for name in structure_names(convention):
        number = convention[name]
        distances = surface_distances(labels == number, reference == number, spacing)
        rows.append(
            StructureRow(
                *(case.name, case.patient, case.phase, case.group, case.vendor, name),
                *overlap_of[name],
                *(distances or (None, None, None)),
                *(_volume_ml(image, array, number) for array in (labels, reference)),
            )
        )
    return rows


def _volume_ml(image: Image, labels: np.ndarray, number: int) -> float | None:
    """None where voxels do not add up to the volume of a heart: in a single slice, and without a spacing."""
    if not image.spacing_known or 1 in labels.shape:
        return None
    return structure_volume_ml(labels, number, image.affine)
