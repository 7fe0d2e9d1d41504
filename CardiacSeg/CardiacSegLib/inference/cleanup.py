"""What anatomy says about labels, applied after the network: one piece of each structure, and no holes."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CardiacSegLib.anatomy import LabelConvention

#: Voxels that touch at a corner belong together: thin apical walls would fall apart otherwise.
_NEIGHBORS = np.ones((3, 3, 3), bool)


def clean_up(labels: np.ndarray, likeliest: np.ndarray, convention: LabelConvention) -> np.ndarray:
    """Keep the largest component of the heart and of each structure, and fill what it encloses.

    A piece of a structure that hangs on neither the heart nor the rest of its structure is what a network draws by
    mistake; a single slice that is cut off from the others is such a piece too. Within the heart such a piece becomes
    what surrounds it.

    Args:
        labels: uint8 (K, H, W), slices first.
        likeliest: uint8 (K, H, W), the likeliest structure of each voxel when background is left out; fills holes.
        convention: which number means which structure.

    Returns:
        New uint8 array (K, H, W).
    """
    box = _bounding_box(labels)
    if box is None:
        return labels.copy()
    inside = labels[box] * _largest_component(labels[box] > 0)
    holes = _holes(inside > 0)
    inside[holes] = likeliest[box][holes]
    for number in convention.values():
        structure = inside == number
        inside[structure & ~_largest_component(structure)] = 0
    # What is open now was a stray piece within the heart, and belongs to what lies around it.
    holes = _holes(inside > 0)
    if holes.any():
        inside[holes] = _nearest(inside)[holes]
    result = np.zeros_like(labels)
    result[box] = inside
    return result


def _bounding_box(labels: np.ndarray) -> tuple[slice, ...] | None:
    found = ndimage.find_objects((labels > 0).view(np.uint8))
    return found[0] if found else None


def _largest_component(mask: np.ndarray) -> np.ndarray:
    components, count = ndimage.label(mask, _NEIGHBORS)
    if count < 2:
        return mask
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return components == sizes.argmax()


def _holes(mask: np.ndarray) -> np.ndarray:
    """Background that is enclosed within its slice, (K, H, W)."""
    # The structuring element is flat, so that a hole is closed within a slice and not through its neighbors.
    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = ndimage.generate_binary_structure(2, 1)
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    return (ndimage.binary_fill_holes(padded, in_plane) & ~padded)[:, 1:-1, 1:-1]


def _nearest(labels: np.ndarray) -> np.ndarray:
    """The label of the nearest labeled voxel of the same slice, (K, H, W)."""
    far = labels.shape[1] + labels.shape[2]  # to another slice, further than across this one
    indices = ndimage.distance_transform_edt(
        labels == 0, sampling=(far, 1, 1), return_distances=False, return_indices=True
    )
    return labels[tuple(indices)]
