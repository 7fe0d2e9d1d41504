"""A worker that has labeled many images holds no more memory than one that has labeled a few."""

from __future__ import annotations

import pytest

from worker_memory import MOST_GROWTH, WARM_UP, growth, memory_of_worker


@pytest.mark.parametrize("segmentations", [2 * WARM_UP, pytest.param(200, marks=pytest.mark.long)])
def test_the_memory_of_a_worker_stays_flat(segmentations, a_bundle):
    megabytes = list(memory_of_worker(segmentations, str(a_bundle.folder)))
    assert len(megabytes) == segmentations
    assert growth(megabytes) < MOST_GROWTH


def test_growth_is_that_after_the_warm_up():
    flat = [100.0, 300.0] + [400.0, 401.0] * 20
    assert growth(flat, warm_up=2) == pytest.approx(0, abs=1)
    assert growth([*flat[:2], *(400.0 + number for number in range(100))], warm_up=2) == pytest.approx(90, abs=1)
