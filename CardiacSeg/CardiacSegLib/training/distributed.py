"""Several processes that train one network, started by ``torchrun``: each with a GPU of its own, or on CPUs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed

#: Bytes of a message between processes.
_MESSAGE = 4096


@dataclass(frozen=True)
class Team:
    """The processes of a run; a run of a single process is a team of one.

    Attributes:
        rank: number of this process, from 0; the first one validates and writes.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def agree(self, value: float) -> float:
        """What the first process says, in all of them: clocks differ, and the schedule must not."""
        if self.size == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64, device=_device())
        torch.distributed.broadcast(said, 0)
        return float(said)

    def gather(self, value: Any) -> list[Any]:
        """What each process has, at most 4 kB as JSON, in the order of their ranks.

        It travels as text: torch's own way for objects unpickles what arrives.
        """
        if self.size == 1:
            return [value]
        said = torch.zeros(_MESSAGE, dtype=torch.uint8, device=_device())
        text = json.dumps(value).encode()
        said[: len(text)] = torch.tensor(list(text), dtype=torch.uint8)
        heard = [torch.empty_like(said) for _ in range(self.size)]
        torch.distributed.all_gather(heard, said)
        return [json.loads(bytes(one.tolist()).rstrip(b"\0")) for one in heard]

    def shared(self, network: torch.nn.Module) -> torch.nn.Module:
        """The network, with gradients averaged over the processes."""
        return torch.nn.parallel.DistributedDataParallel(network) if self.size > 1 else network


#: A run of a single process.
ALONE = Team()


def is_first_process() -> bool:
    """Whether this process speaks for its team, before the team is joined and after it was left."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def join_team(device: str) -> Iterator[tuple[Team, str]]:
    """Join the processes that ``torchrun`` started, if it did.

    Args:
        device: that was asked for.

    Yields:
        The team, and the device of this process.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE, device
        return
    on_gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    if on_gpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Team(torch.distributed.get_rank(), size), device
        torch.distributed.barrier()  # one that leaves while the first still scores takes the others down
    finally:
        torch.distributed.destroy_process_group()


def _device() -> torch.device:
    """Where a message between processes has to lie."""
    on_gpu = torch.distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
