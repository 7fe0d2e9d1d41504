"""What a training run is asked to do: one dataclass that owns defaults, validation and the form on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from CardiacSegLib.errors import CardiacSegError


@dataclass(frozen=True)
class TrainingConfig:
    """Configuration of one training run.

    Attributes:
        dataset: folder with labeled cases (ACDC layout).
        name: of the model, for its card.
        split: split file (see :mod:`CardiacSegLib.datasets.splits`); "" divides the patients into five folds.
        fold: the fold that is held out for validation.
        minutes: wall-clock budget; the schedule ends on time. 0 trains for ``epochs`` instead.
        epochs: passes over the training slices when ``minutes`` is 0.
        start: folder of a bundle whose weights the training starts from; "" starts from random ones.
        neighbors: how many slices on either side the network sees beside the one that it labels.
        turns: over how many turned and flipped copies of an image the model averages: 1, or all 8.
        filters: channels of each level of the network, the finest first.
        spacing: in-plane spacing of the model in millimeters.
        crop: height and width of a training crop in pixels of the model's grid.
        batch_size: slices in a step.
        learning_rate: the highest of the one-cycle schedule.
        weight_decay: of AdamW.
        ema_decay: decay of the exponential moving average of the weights, which is what is kept.
        seed: of everything random.
        device: "auto", "cpu", "cuda" or "mps".
    """

    dataset: str
    name: str = "short-axis-cine"
    split: str = ""
    fold: int = 0
    minutes: float = 0.0
    epochs: int = 80
    start: str = ""
    neighbors: int = 1
    turns: int = 1
    filters: tuple[int, ...] = (16, 32, 64, 128, 256, 256)
    spacing: float = 1.5
    crop: int = 128
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    ema_decay: float = 0.999
    seed: int = 0
    device: str = "auto"

    def is_valid(self) -> tuple[bool, str]:
        """Whether a run can start with this, and if not, which field has to change."""
        multiple = 2 ** (len(self.filters) - 1)
        checks = (
            (self.minutes > 0 or self.epochs > 0, "minutes and epochs are both 0; give one of them"),
            (self.minutes >= 0, f"minutes is {self.minutes}; it cannot be negative"),
            (len(self.filters) >= 3 and min(self.filters) > 0, f"filters is {self.filters}; give three levels or more"),
            (
                self.crop > 0 and self.crop % multiple == 0,
                f"crop is {self.crop}; it has to be a multiple of {multiple}",
            ),
            (self.batch_size >= 2, f"batch_size is {self.batch_size}; batch normalization needs 2 or more"),
            (self.spacing > 0, f"spacing is {self.spacing}; it has to be above 0 mm"),
            (self.neighbors >= 0, f"neighbors is {self.neighbors}; it cannot be negative"),
            (self.turns in (1, 8), f"turns is {self.turns}; it has to be 1 or 8"),
            (self.learning_rate > 0, f"learning_rate is {self.learning_rate}; it has to be above 0"),
            (0 <= self.ema_decay < 1, f"ema_decay is {self.ema_decay}; it has to be from 0 to below 1"),
        )
        reasons = [reason for valid, reason in checks if not valid]
        return not reasons, "; ".join(reasons)

    def check(self) -> None:
        """Raise CardiacSegError with the reason where the configuration is not valid."""
        valid, reason = self.is_valid()
        if not valid:
            raise CardiacSegError(f"training configuration: {reason}")

    def write(self, path: Path) -> None:
        """Write as JSON, without the place of the data on this machine."""
        fields = {name: value for name, value in asdict(self).items() if name not in ("dataset", "split", "start")}
        Path(path).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
