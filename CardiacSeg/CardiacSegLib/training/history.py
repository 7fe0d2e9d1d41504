"""What a run has reached so far: its measures, its best, and whether it goes wrong."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing
from CardiacSegLib.training.validation import Validation

#: A network that finds nothing in so many validations at the start of a run will find nothing later.
_EMPTY_VALIDATIONS = 3

Row = dict[str, float]


@dataclass
class History:
    """The measures of every validation, kept in the checkpoints and in ``metrics.csv``.

    Attributes:
        rows: one for each validation, named values.
        best: the highest mean Dice, None before the first validation.
        without_gain: validations since then.
        empty: validations from the start of the run in which nothing at all was found.
    """

    rows: list[Row] = field(default_factory=list)
    best: float | None = None
    without_gain: int = 0
    empty: int = 0

    def add(self, measures: Row, validation: Validation) -> bool:
        """Note a validation.

        Args:
            measures: step, epoch, seconds, learning rate and loss at this point.

        Returns:
            Whether it is the best so far.

        Raises:
            CardiacSegError: where the network predicts background everywhere, from the start on.
        """
        self.rows.append(
            {
                **measures,
                "dice": round(validation.mean_dice, 4),
                **{f"dice_{name}": value for name, value in validation.dice.items()},
                **{f"iou_{name}": value for name, value in validation.iou.items()},
            }
        )
        self._look_for_collapse(validation)
        better = self.best is None or validation.mean_dice > self.best
        self.best = validation.mean_dice if better else self.best
        self.without_gain = 0 if better else self.without_gain + 1
        return better

    def _look_for_collapse(self, validation: Validation) -> None:
        if self.empty == len(self.rows) - 1 and validation.is_empty:
            self.empty += 1
        if self.empty == len(self.rows) == _EMPTY_VALIDATIONS:
            raise CardiacSegError(
                f"all-background collapse: {self.empty} validations in a row found no structure at all; lower "
                "learning_rate, choose the loss dice-ce, or leave out empty slices with min_foreground 0.001"
            )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rows": self.rows, "best": self.best, "without_gain": self.without_gain, "empty": self.empty}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> History:
        """What :meth:`state` gave."""
        return cls([dict(row) for row in state["rows"]], state["best"], state["without_gain"], state["empty"])

    def write(self, path: Path) -> None:
        """Write the measures as CSV, one line for each validation."""
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)
