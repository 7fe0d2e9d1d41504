"""TensorBoard logs, where TensorBoard is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path


class TensorBoard:
    """Writes the measures of a run to ``tensorboard/`` in its folder; does nothing where TensorBoard is missing."""

    def __init__(self, run: Path) -> None:
        self._writer = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(run / "tensorboard"))

    def add(self, row: Mapping[str, float]) -> None:
        """Log one row of measures; ``step`` is one of them."""
        if self._writer is None:
            return
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(_tag(name), value, int(row["step"]))
        self._writer.flush()


def _tag(name: str) -> str:
    """A slash puts the structures of one score into one group of charts."""
    score, _, structure = name.partition("_")
    return f"{score}/{structure}" if score in ("dice", "iou") and structure else name
