"""Which slices are trained on, and in which order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from CardiacSegLib.errors import CardiacSegError


def worth_training(shares: torch.Tensor, least: float) -> torch.Tensor:
    """Numbers of the slices with enough labeled pixels, int64.

    Args:
        shares: float32 (N,), share of the pixels of each slice that are not background.
        least: the smallest share that is enough.

    Raises:
        CardiacSegError: where no slice has enough.
    """
    enough = (shares >= least).nonzero().flatten()
    if not len(enough):
        most = float(shares.max())
        raise CardiacSegError(f"min_foreground is {least:g}, but no slice has more than {most:.2g}; lower it")
    return enough


class Sampler:
    """Batches of slice numbers without end, the same for the same seed.

    Every epoch shuffles the slices and leaves out the last, incomplete batch. Each epoch and each batch draws from a
    random stream of its own, so that where a sampler stands is one number.

    With oversampling, a share of each batch gives way to slices that hold a structure drawn by chance, every structure
    being as likely: a rare one is seen as often as the others. nnU-Net does so with patches (Isensee et al., Nature
    Methods 2021, doi 10.1038/s41592-020-01008-z).
    """

    def __init__(self, classes_in_slices: torch.Tensor, batch_size: int, seed: int, oversample: float = 0.0) -> None:
        """
        Args:
            classes_in_slices: bool (N, C), which classes each slice holds, background first.
            batch_size: slices in a batch; all of them where there are fewer.
            seed: of everything random.
            oversample: share of a batch, 0 to 1, that is drawn by structure.
        """
        self._slices = len(classes_in_slices)
        self._size = min(batch_size, self._slices)
        self._holders = [found for one in classes_in_slices[:, 1:].numpy().T if len(found := np.flatnonzero(one))]
        self._by_structure = round(oversample * self._size) if self._holders else 0
        self._seed = seed % 2**63
        self._batches = 0

    def __iter__(self) -> Sampler:
        return self

    def __next__(self) -> torch.Tensor:
        """The next batch, int64 (batch size,)."""
        epoch, place = divmod(self._batches, self._slices // self._size)
        order = np.random.default_rng((self._seed, 0, epoch)).permutation(self._slices)
        batch = order[place * self._size :][: self._size]
        batch[: self._by_structure] = self._drawn_by_structure()
        self._batches += 1
        return torch.from_numpy(batch).long()

    def _drawn_by_structure(self) -> list[int]:
        stream = np.random.default_rng((self._seed, 1, self._batches))
        structures = stream.integers(max(1, len(self._holders)), size=self._by_structure)
        return [stream.choice(self._holders[structure]) for structure in structures]

    def state_dict(self) -> dict[str, int]:
        """Where the sampler stands, fit for JSON."""
        return {"batches": self._batches}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from what :meth:`state_dict` of a sampler of the same slices and seed gave."""
        self._batches = state["batches"]
