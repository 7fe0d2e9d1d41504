"""Decision trees as plain arrays: learned by scikit-learn, kept without a pickle, evaluated by numpy.

A bundle goes from hand to hand, so that reading one must not run anything. scikit-learn's own way of keeping a model is
pickle; skops reads a list of types that it trusts, but needs the scikit-learn that a model was written with, and its
checks have been found to have gaps (CVE-2025-54886). Numbers need neither: what labels an image then works without
scikit-learn, too.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.errors import CardiacSegError, one_line
from CardiacSegLib.files import replacing

#: More than this, unpacked, is no set of trees that anything here writes.
_MOST_BYTES = 500_000_000
_DEEPEST = 64
#: All are asked at once about each row, so that their number decides how much memory that takes.
_MOST_TREES = 5000
#: Rows that go through all trees at once: what is computed meanwhile stays near the cache.
_ROWS = 4096


@dataclass(frozen=True)
class Trees:
    """Trees in one list of nodes.

    Attributes:
        roots: int32 (T,), where each tree begins.
        features: int32 (N,), the column that a node asks for.
        thresholds: float64 (N,); a row goes left where its value is at most that.
        left, right: int32 (N,), the nodes that follow; a leaf is followed by itself.
        values: float32 (N, C), what a leaf says of each class.
        depth: the most steps from a root to a leaf.
        boosted: whether the leaves' sum is the logarithm of odds (Friedman, Annals of Statistics 29(5), 2001), and not
            their mean the probability (Breiman, Machine Learning 45, 2001).
    """

    roots: np.ndarray
    features: np.ndarray
    thresholds: np.ndarray
    left: np.ndarray
    right: np.ndarray
    values: np.ndarray
    depth: int
    boosted: bool

    def __post_init__(self) -> None:
        """Raise ValueError where an index leads nowhere, as the arrays may come from a file."""
        nodes = len(self.features)
        lines = (self.features, self.thresholds, self.left, self.right)
        if not len(self.roots) or self.values.ndim != 2 or any(line.shape != (nodes,) for line in lines):
            raise ValueError("arrays of different lengths")
        if any(((index < 0) | (index >= nodes)).any() for index in (self.roots, self.left, self.right)):
            raise ValueError("a node that is not there")
        if len(self.roots) > _MOST_TREES:
            raise ValueError(f"{len(self.roots)} trees")
        if len(self.values) != nodes or (self.features < 0).any() or not 0 <= self.depth <= _DEEPEST:
            raise ValueError("impossible nodes")
        if not np.isfinite(self.values).all():
            raise ValueError("values that are no numbers")

    @property
    def classes(self) -> int:
        return self.values.shape[1]

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 (R, C), of rows of features, float32 (R, F).

        Raises:
            ValueError: where a tree asks for a column that the rows do not have.
        """
        if self.features.max() >= rows.shape[1]:
            raise ValueError(f"{rows.shape[1]} features, but the trees ask for {self.features.max() + 1}")
        parts = [self._summed(rows[start : start + _ROWS]) for start in range(0, len(rows), _ROWS)]
        summed = np.concatenate(parts) if parts else np.empty((0, self.classes), np.float32)
        if not self.boosted:
            return summed / np.float32(len(self.roots))
        odds = np.exp(summed - summed.max(axis=1, keepdims=True, initial=-np.inf))
        return odds / odds.sum(axis=1, keepdims=True)

    def _summed(self, rows: np.ndarray) -> np.ndarray:
        """The sum of the leaves' values, float32 (R, C); all trees go down one step at a time."""
        each = np.arange(len(rows))[:, None]
        nodes = np.broadcast_to(self.roots, (len(rows), len(self.roots)))
        for _ in range(self.depth):
            goes_left = rows[each, self.features[nodes]] <= self.thresholds[nodes]
            nodes = np.where(goes_left, self.left[nodes], self.right[nodes])
        return self.values[nodes].sum(axis=1, dtype=np.float32)

    def write(self, path: Path) -> None:
        """Write all as arrays."""
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **{one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def read(cls, path: Path, content: bytes | None = None) -> Trees:
        """Read what :meth:`write` wrote; nothing but numbers is taken from the file.

        Args:
            path: of the file.
            content: of the file, where it has been read and checked already.

        Raises:
            CardiacSegError: where the file is missing, damaged, or holds anything else.
        """
        try:
            content = path.read_bytes() if content is None else content
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if sum(info.file_size for info in archive.infolist()) > _MOST_BYTES:
                    raise ValueError("it unfolds to more than any trees")
            with np.load(io.BytesIO(content), allow_pickle=False) as found:
                return cls(
                    **{name: _array(found[name], *kind) for name, kind in _KINDS.items()},
                    depth=int(found["depth"]),
                    boosted=bool(found["boosted"]),
                )
        except Exception as error:  # zipfile and numpy have many for damaged files
            raise CardiacSegError(f"{path}: holds no trees ({one_line(error)}); copy the model again") from error


#: Type and number of axes of each array on disk.
_KINDS: dict[str, tuple[type, int]] = {
    "roots": (np.int32, 1),
    "features": (np.int32, 1),
    "thresholds": (np.float64, 1),
    "left": (np.int32, 1),
    "right": (np.int32, 1),
    "values": (np.float32, 2),
}


def _array(found: Any, kind: type, axes: int) -> np.ndarray:
    if found.dtype != kind or found.ndim != axes:
        raise ValueError(f"an array of {found.dtype} with {found.ndim} axes where {np.dtype(kind)} was written")
    return found
