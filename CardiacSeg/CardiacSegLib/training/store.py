"""Training cases in memory, on the model's grid, as tensors from which batches are cropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.model_grid import ModelGrid, Stack


@dataclass(frozen=True)
class SliceStore:
    """Every slice of a set of cases.

    Attributes:
        images: float16 (N, S, S), normalized, on the model's grid, centered, zero outside the field of view.
        labels: uint8 (N, S, S), canonical.
        centers: float32 (N, 2), the middle of the heart of the slice's volume in pixels (row, column).
        cases: int64 (N,), the number of the case that the slice belongs to; the slices of a case stand in their order.
        names: of the cases, in the order of their numbers.
    """

    images: torch.Tensor
    labels: torch.Tensor
    centers: torch.Tensor
    cases: torch.Tensor
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def class_shares(self, classes: int) -> torch.Tensor:
        """Share of the pixels of each slice that belongs to each class, background first: float32 (N, classes)."""
        return torch.stack([(self.labels == number).flatten(1).float().mean(1) for number in range(classes)], 1)

    def with_neighbors(self, chosen: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Slices with others of their case as channels, float32 (N, C, S, S).

        Args:
            chosen: int64 (N,), which slices.
            offsets: int64 (N, C), how many slices further on each channel lies; zero beyond the ends of the stack.
        """
        numbers = (chosen[:, None] + offsets).clamp(0, len(self) - 1)
        inside = (chosen[:, None] + offsets == numbers) & (self.cases[numbers] == self.cases[chosen][:, None])
        return self.images[numbers].float() * inside[:, :, None, None]


def load_store(
    cases: Sequence[Case],
    grid: ModelGrid,
    convention: LabelConvention,
    size: int = 256,
    progress: Callable[[int], None] = lambda done: None,
) -> SliceStore:
    """Read cases onto the model's grid.

    Args:
        size: height and width that every slice is cropped or padded to, in pixels of the grid.
        progress: called with the number of cases read.

    Raises:
        CardiacSegError: naming the case that cannot be read or whose labels lie on another grid.
    """
    images, labels, centers, numbers = [], [], [], []
    for done, case in enumerate(cases, 1):
        image, label = _read_case(case, grid, convention, size)
        images.append(torch.from_numpy(image).half())
        labels.append(torch.from_numpy(label))
        centers.append(torch.from_numpy(_heart_center(label)).expand(len(label), 2))
        numbers.append(torch.full((len(label),), done - 1))
        progress(done)
    names = tuple(case.name for case in cases)
    return SliceStore(torch.cat(images), torch.cat(labels), torch.cat(centers), torch.cat(numbers), names)


def _read_case(case: Case, grid: ModelGrid, convention: LabelConvention, size: int) -> tuple[np.ndarray, np.ndarray]:
    image, labels = read_case(case, convention)
    stack = Stack.from_volume(image.array, image.affine)
    try:
        images = stack.on_grid(grid, (size, size))
    except CardiacSegError as error:
        raise CardiacSegError(f"{case.image}: {error}") from error
    return images, stack.labels_on_grid(labels, grid, len(convention) + 1, (size, size))


def _heart_center(labels: np.ndarray) -> np.ndarray:
    """Middle of the labeled structures seen along the slices, float32 (2,); of the image where nothing is labeled."""
    rows, columns = np.nonzero(labels.any(axis=0))
    if not len(rows):
        return np.float32([(n - 1) / 2 for n in labels.shape[1:]])
    return np.float32([(axis.min() + axis.max()) / 2 for axis in (rows, columns)])
