"""How far the surface of a segmentation lies from that of its reference, in millimeters.

The definitions are MONAI's (``monai.metrics``, ``compute_hausdorff_distance`` and
``compute_average_surface_distance(symmetric=True)``), which a test agrees with to 1e-6 mm. They are computed here with
SciPy in double precision, so that labels can be compared where torch is not installed:

* The surface of a structure are its voxels that touch, face to face, one that is not of it or the border of the image.
* The distance of a surface voxel is that from its center to the nearest center of a voxel of the other surface, in
  space: the slice distance counts as what it is.
* HD is the largest distance, either way (Huttenlocher et al., IEEE TPAMI 15(9), 1993).
* HD95 is the larger of the two 95th percentiles, one each way, interpolated linearly. (Some programs, medpy for one,
  take the percentile of both ways together, which is smaller.)
* ASD, the average symmetric surface distance, is the mean over the voxels of both surfaces.

In a stack of slices the topmost and the lowest slice of a structure are all surface, as they are in MONAI and medpy. A
slice that is labeled in one and not in the other therefore costs its whole distance, 5 to 10 mm.

In an image of a single slice surfaces are the outlines within it: with the faces of its voxels counted everything would
be surface, and every distance small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class SurfaceDistances(NamedTuple):
    """Distances between two surfaces, in millimeters where the spacing is."""

    hd: float
    hd95: float
    asd: float


def surface_distances(labels: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> SurfaceDistances | None:
    """How far two surfaces lie apart.

    Args:
        labels, reference: booleans of the same shape (I, J, K), or (I, J).
        spacing: distance between neighboring voxels along each axis, in millimeters.

    Returns:
        None where either is empty.
    """
    axes = tuple(axis for axis, size in enumerate(labels.shape) if size > 1) or (0,)
    thin = tuple(axis for axis in range(labels.ndim) if axis not in axes)
    ours, theirs = _edges(labels.squeeze(thin), reference.squeeze(thin))
    if not (ours.any() and theirs.any()):
        return None
    sampling = [float(spacing[axis]) for axis in axes]
    there, back = _distances(ours, theirs, sampling), _distances(theirs, ours, sampling)
    return SurfaceDistances(
        hd=float(max(there.max(), back.max())),
        hd95=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        asd=float((there.sum() + back.sum()) / (there.size + back.size)),
    )


def _edges(labels: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surface voxels of both, within the box that holds both."""
    from scipy import ndimage

    boxes = ndimage.find_objects((labels | reference).view(np.uint8))
    if not boxes:
        return labels, reference
    # Beyond the box is nothing of either, and so it is to the erosion: what lies at its border is surface.
    inside = (mask[boxes[0]] for mask in (labels, reference))
    ours, theirs = (mask & ~ndimage.binary_erosion(mask) for mask in inside)
    return ours, theirs


def _distances(edges: np.ndarray, others: np.ndarray, sampling: Sequence[float]) -> np.ndarray:
    """The distance of each edge voxel to the nearest of the others, (N,)."""
    from scipy import ndimage

    return ndimage.distance_transform_edt(~others, sampling=sampling)[edges]
