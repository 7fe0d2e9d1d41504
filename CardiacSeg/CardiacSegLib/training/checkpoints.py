"""What a run needs to go on: written whole, and never the only good copy overwritten."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder, replacing
from CardiacSegLib.networks.weights import read_tensors


class Checkpoints:
    """The checkpoints of one run: the last, the one before it, and the best in validation.

    Each is written under a temporary name, brought to the disk and renamed, so that a process killed at any moment
    leaves a whole one behind.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last, self._previous, self._best = (folder / f"{name}.pt" for name in ("last", "previous", "best"))

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep what is needed to go on; the checkpoint before stays beside it.

        Raises:
            CardiacSegError: where the disk is full; the checkpoints that were there still are.
        """
        make_folder(self._folder)
        with replacing(self._last, synced=True) as path:
            _save(state, path)
            if self._last.exists():
                self._last.replace(self._previous)

    def save_best(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Keep the weights that did best in validation."""
        make_folder(self._folder)
        with replacing(self._best, synced=True) as path:
            _save(weights, path)

    def load(self) -> dict[str, Any] | None:
        """The last good checkpoint; None where there is none yet.

        Raises:
            CardiacSegError: where there are some, and none can be read.
        """
        found = [path for path in (self._last, self._previous) if path.is_file()]
        for path in found:
            try:
                return _load(path)
            except ValueError:
                continue  # the disk may have spoiled it; the one before is as good, only older
        if found:
            raise CardiacSegError(f"{found[0]}: damaged, and no older checkpoint is whole; start the run again")
        return None

    def load_best(self) -> dict[str, torch.Tensor]:
        """The weights that did best in validation.

        Raises:
            CardiacSegError: where the file is missing or damaged.
        """
        try:
            return _load(self._best)
        except ValueError as error:
            raise CardiacSegError(f"{self._best}: missing or damaged; resume with --keep last") from error


def _save(content: Mapping[str, Any], path: Path) -> None:
    # By way of memory: torch reports a full disk as a RuntimeError like any other, Python as what it is.
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    path.write_bytes(buffer.getbuffer())


def _load(path: Path) -> dict[str, Any]:
    """Raise ValueError where it is none; a run's folder may have come from somebody else, too."""
    found = read_tensors(path)
    if not isinstance(found, dict):
        raise ValueError("no checkpoint")
    return found
