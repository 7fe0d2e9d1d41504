"""The memory of one worker over many segmentations."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import psutil

from CardiacSegLib.jobs.client import WorkerClient
from killing import PATIENCE, an_image

#: Models, kernels and the pools of the allocators are in memory after so many segmentations.
WARM_UP = 20
#: So much more may be held later than then, in MB: the scatter of an allocator, and less than one image in ten stays.
MOST_GROWTH = 16.0
#: Images of several sizes, (size, slices), in turns: what is kept for a size must not be kept anew each time.
_SIZES = ((64, 6), (80, 8), (72, 5))


def memory_of_worker(segmentations: int, model: str, device: str = "cpu") -> Iterator[float]:
    """What the worker holds in memory after each segmentation, MB."""
    images = [an_image(*size) for size in _SIZES]
    with WorkerClient(model, device) as client:
        for number in range(segmentations):
            client.submit(*images[number % len(images)])
            client.wait(PATIENCE)
            yield psutil.Process(client.process_id).memory_info().rss / 1e6


def growth(megabytes: Sequence[float], warm_up: int = WARM_UP) -> float:
    """How much more was held at the end than after the warm-up, MB; each the median of a tenth of what followed it."""
    later = megabytes[warm_up:]
    part = max(3, len(later) // 10)
    return statistics.median(later[-part:]) - statistics.median(later[:part])
