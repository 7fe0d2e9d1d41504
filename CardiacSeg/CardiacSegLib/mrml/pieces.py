"""Work in pieces: an application lives on between them, a script does them all at once."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import Generic, TypeVar

Result = TypeVar("Result")

#: Yields after each piece the share of the work that is done, 0 to 1, and returns what the work gives.
Pieces = Generator[float, None, Result]


class Work(Generic[Result]):
    """Pieces that are done bit by bit.

    Attributes:
        share: of the work that is done, 0 to 1.
        is_done: whether nothing is left to do, because all of it is done or because it has failed.
        result: what it gave; None before.

    Args:
        pieces: the work, not yet begun.
    """

    def __init__(self, pieces: Pieces[Result]) -> None:
        self._pieces = pieces
        self.share = 0.0
        self.is_done = False
        self.result: Result | None = None

    def go_on(self, seconds: float) -> None:
        """Do pieces for about so long, one at least; raises what a piece raises."""
        end = time.perf_counter() + seconds
        while not self.is_done:
            try:
                self.share = next(self._pieces)
            except StopIteration as stop:
                self.result, self.is_done = stop.value, True
            except BaseException:
                self.is_done = True
                raise
            if time.perf_counter() >= end:
                return

    def finish(self) -> Result:
        """Do all that is left, and give the result."""
        self.go_on(math.inf)
        return self.result

    def close(self) -> None:
        """Leave it undone."""
        self._pieces.close()


def finished(pieces: Pieces[Result]) -> Result:
    """Do all pieces, and give what the work gives."""
    return Work(pieces).finish()


def part_of(share: tuple[float, float], pieces: Pieces[Result]) -> Pieces[Result]:
    """Pieces as a part of larger work, of which they take the share from the first number to the second."""
    begin, end = share
    while True:
        try:
            done = next(pieces)
        except StopIteration as stop:
            return stop.value
        yield begin + (end - begin) * done
