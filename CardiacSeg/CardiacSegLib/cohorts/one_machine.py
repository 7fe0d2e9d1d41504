"""A cohort on one machine: while the network works on a study, the next are read and the last are written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from CardiacSegLib.cohorts.studies import CohortStudy
from CardiacSegLib.cohorts.work import Job, Outcome, label, measure, read, write

if TYPE_CHECKING:
    from CardiacSegLib.inference.segmenter import Segmenter

#: Studies that are read, and that are written, beside the one that is segmented. Unpacking and packing leave Python's
#: lock alone; more of them would only fill the memory.
_AHEAD = 2


def process_here(studies: Iterable[CohortStudy], segmenter: Segmenter, job: Job) -> Iterator[Outcome]:
    """Segment, measure and write studies, in their order; how each ended comes as soon as it stands on disk.

    Raises:
        CardiacSegError: where results cannot be written.
    """
    with _Lane("read") as reading, _Lane("write") as writing:
        labeled = (label(each, segmenter) for each in reading.map(read, studies, filled=True))
        yield from writing.map(lambda each: write(measure(each), job), labeled)


class _Lane:
    """A thread that does one thing to items in their order, a few of them ahead of whoever takes the results."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    def __enter__(self) -> _Lane:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], filled: bool = False) -> Iterator[Any]:
        """As the built-in, with a bounded number of results waiting.

        Args:
            filled: keep as many items ahead as may be; else results come as soon as they are there.
        """
        waiting: deque[Future[Any]] = deque()
        for item in items:
            waiting.append(self._pool.submit(function, item))
            while len(waiting) > _AHEAD or (waiting and waiting[0].done() and not filled):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
