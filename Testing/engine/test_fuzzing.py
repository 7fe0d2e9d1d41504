"""Readers of files that anybody may have made: whatever the bytes, a result or a CardiacSegError, soon and in bounds.

Testing/benchmarks/fuzz.py does the same for as long as one likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz_targets import TARGETS, Target, spoiled

resource = pytest.importorskip("resource", reason="only where a process can be kept from taking memory")

#: What a reader may take beyond what the tests have taken already, in bytes of addresses.
_ROOM = 2**31
_INPUTS = 60


@pytest.fixture
def _little_memory() -> Iterator[None]:
    """Whatever makes room for gigabytes gets a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + _ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", TARGETS)
def test_good_files_are_read(name, tmp_path):
    """Otherwise damaging them would try nothing."""
    target = TARGETS[name]
    target.prepare(tmp_path)
    assert all(target.attempt(tmp_path, seed) for seed in target.seeds())


@pytest.mark.usefixtures("_little_memory")
@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_give_a_result_or_an_error_for_people(name, tmp_path):
    target = TARGETS[name]
    target.prepare(tmp_path)
    attempt_many(target, tmp_path, _INPUTS)


def attempt_many(target: Target, folder: Path, count: int) -> None:
    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(spoiled(target), st.binary(max_size=400)))
    def attempt(content: bytes) -> None:
        target.attempt(folder, content)

    attempt()
