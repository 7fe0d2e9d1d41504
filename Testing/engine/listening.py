"""Who listens to a run in a test."""

from __future__ import annotations


class Listener:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.fractions: list[float] = []
        self.told: dict[str, object] = {}

    def stage(self, name: str, text: str) -> None:
        self.stages.append(name)

    def progress(self, fraction: float, seconds_left: float | None = None, **fields: object) -> None:
        self.fractions.append(fraction)
        self.told.update(fields)
