"""Schedules of the learning rate by name.

They follow the share of the run that is done and not steps, so that a run that goes by the clock ends with them, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from CardiacSegLib.training.choices import pick


class Schedule:
    """The learning rate over a run, as a share of its highest: a curve over the share of the run that is done."""

    def __init__(self, curve: Callable[[float], float]) -> None:
        self._curve = curve

    def factor(self, done: float) -> float:
        """Share of the highest learning rate where ``done``, 0 to 1, is the share of the run that is over."""
        return self._curve(done)

    def validated(self, score: float) -> None:
        """Take note of the mean Dice of a validation; a mere curve has no use for it."""

    def state_dict(self) -> dict[str, Any]:
        """What has to be remembered to go on later, fit for JSON."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""


class Plateau(Schedule):
    """Falls to a share of itself after a number of validations in a row without gain.

    Args:
        fall: the share that it falls to.
        patience: validations without gain that it bears; the next one makes it fall.
    """

    def __init__(self, fall: float = 0.3, patience: int = 2) -> None:
        super().__init__(lambda done: self._level)
        self._fall, self._patience = fall, patience
        self._level, self._best, self._waited = 1.0, 0.0, 0

    def validated(self, score: float) -> None:
        self._waited = 0 if score > self._best else self._waited + 1
        self._best = max(self._best, score)
        if self._waited > self._patience:
            self._level, self._waited = self._level * self._fall, 0

    def state_dict(self) -> dict[str, Any]:
        return {"level": self._level, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._level, self._best, self._waited = state["level"], state["best"], state["waited"]


def one_cycle(done: float) -> float:
    """Up along a cosine over the first tenth of the run, then down along a cosine to nearly nothing."""
    if done < 0.1:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / 0.1)) / 2
    return max(1e-4, cosine((done - 0.1) / 0.9))


def cosine(done: float) -> float:
    """Down along half a period of a cosine."""
    return (1 + math.cos(math.pi * done)) / 2


def polynomial(done: float) -> float:
    """Down along what is left of the run, to the power of 0.9."""
    return (1 - done) ** 0.9


#: By the names of :data:`CardiacSegLib.training.choices.SCHEDULES`.
BUILDERS: Mapping[str, Callable[[], Schedule]] = {
    "one-cycle": lambda: Schedule(one_cycle),
    "cosine": lambda: Schedule(cosine),
    "polynomial": lambda: Schedule(polynomial),
    "plateau": Plateau,
}


def build_schedule(name: str) -> Schedule:
    """A new schedule of that name.

    Raises:
        CardiacSegError: where there is none.
    """
    return pick("schedule", name, BUILDERS)()
