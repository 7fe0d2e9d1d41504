"""How the array lies in the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from CardiacSegLib.errors import CardiacSegError

_MIDDLE = (-20.0, 15.0, 5.0)  # RAS mm, where the middle of the picture lies


@dataclass(frozen=True)
class Orientation:
    """RAS directions of the anatomy's x, y and z; then which of them each array axis runs along, and which backwards.

    Attributes:
        directions: 3 x 3, one direction a column.
        order: for each array axis 0, 1 or 2: x, y or z.
        reversed_axes: those of x, y and z along which the array runs backwards.
    """

    directions: np.ndarray
    order: tuple[int, int, int] = (0, 1, 2)
    reversed_axes: tuple[int, ...] = ()

    def lay_out(self, drawn: np.ndarray) -> np.ndarray:
        """Return a drawn cine (K, T, I, J) as an array in the patient; as drawn, its axes would be (I, J, K, T)."""
        cine = np.flip(drawn.transpose(2, 3, 0, 1), self.reversed_axes)
        return np.ascontiguousarray(cine.transpose(*self.order, 3))

    def affine(self, counts: tuple[int, int, int], spacing: tuple[float, float, float]) -> np.ndarray:
        """Return the 4 x 4 affine of that array, index to RAS mm: whatever the axes, the heart stays where it is.

        Args:
            counts: voxels along x, y and z.
            spacing: mm between voxels along x, y and z.
        """
        steps = self.directions * np.asarray(spacing)
        origin = _MIDDLE - steps @ ((np.array(counts) - 1) / 2)
        for axis in self.reversed_axes:
            origin += steps[:, axis] * (counts[axis] - 1)
            steps[:, axis] *= -1.0
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = steps[:, self.order], origin
        return affine


def _clinical_directions() -> np.ndarray:
    """Columns: x, y and z of the anatomy in RAS, for a heart that points left, forward and down."""
    to_apex = np.array([-0.62, 0.62, -0.48])
    to_apex /= np.linalg.norm(to_apex)
    down = np.array([0.0, 0.0, -1.0])
    down -= to_apex * (down @ to_apex)
    down /= np.linalg.norm(down)
    # Seen from the apex, as is the custom: picture right x picture down points away from the viewer, to the base.
    return np.array([np.cross(to_apex, down), down, to_apex]).T


_CLINICAL = _clinical_directions()
_NAMED: Mapping[str, Orientation] = {
    "short-axis": Orientation(_CLINICAL, reversed_axes=(2,)),
    "base-first": Orientation(_CLINICAL),
    "flipped": Orientation(_CLINICAL, reversed_axes=(0, 1, 2)),
    "transposed": Orientation(_CLINICAL, order=(1, 0, 2)),
    "slices-first": Orientation(_CLINICAL, order=(2, 0, 1), reversed_axes=(1,)),
    "ACDC": Orientation(np.diag([-1.0, -1.0, 1.0])),
}

#: Names for ``PhantomOptions.orientation``.
#:
#: * ``short-axis``: a clinical oblique short axis as Slicer loads it from DICOM: right-handed, apex first.
#: * ``base-first``: the same heart with its slices in the other order (left-handed).
#: * ``flipped``: the same heart, rows and columns reversed.
#: * ``transposed``: the same heart, rows and columns exchanged.
#: * ``slices-first``: the same heart, slices along the first array axis.
#: * ``ACDC``: the array as ACDC stores it, under the header as Slicer reads it, diag(-x, -y, z): base first. That
#:   header is a fiction, and the heart in it a mirror image.
ORIENTATIONS: tuple[str, ...] = tuple(_NAMED)


def find_orientation(orientation: str | Sequence[Sequence[float]]) -> Orientation:
    """Return the orientation of that name, or with those directions as the columns of a 3 x 3 matrix.

    Raises:
        CardiacSegError: for an unknown name, or columns that are not orthonormal.
    """
    if isinstance(orientation, str):
        if orientation not in _NAMED:
            names = ", ".join(ORIENTATIONS)
            raise CardiacSegError(f"phantom: orientation {orientation!r} is not known; choose one of {names}")
        return _NAMED[orientation]
    try:
        directions = np.asarray(orientation, float)
    except (TypeError, ValueError):
        directions = np.zeros(0)
    if directions.shape != (3, 3) or not np.allclose(directions.T @ directions, np.eye(3), atol=1e-5):
        raise CardiacSegError("phantom: orientation must be a name or a 3 x 3 matrix with orthonormal columns")
    return Orientation(directions)
