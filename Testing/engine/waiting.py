"""Waiting in a test for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

from CardiacSegLib.jobs.client import WorkerClient
from CardiacSegLib.jobs.events import read_events


def wait_until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    """Return as soon as something is so; fail where it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
        time.sleep(0.005)


def has_loaded(client: WorkerClient) -> bool:
    """Whether a worker has the model that :meth:`WorkerClient.warm_up` asked it to load."""
    events = read_events(client._warm_up / "events.jsonl")[0] if client._warm_up else []
    return any(event["event"] == "result" for event in events)
