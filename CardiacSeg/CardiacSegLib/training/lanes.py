"""Parts of a batch side by side on a processor, each by threads of its own.

Two threads of one network wait for each other at every layer; two halves of a batch, each by one thread, wait once a
step. As where several GPUs train, each part is normalized by itself, and the statistics of the first one are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")

#: Slices of a part at least: batch normalization takes its statistics from them.
_SMALLEST_PART = 8


class Lanes:
    """A network with copies that share its weights, one for each part of a batch.

    Attributes:
        networks: the network itself and its copies; each has gradients and buffers of its own.
    """

    def __init__(self, network: torch.nn.Module, count: int) -> None:
        """``count``: of the parts; one stays in the thread that calls."""
        self.networks = [network, *(_with_same_weights(network) for _ in range(count - 1))]
        self._threads = [_thread(torch.get_num_threads() // count) for _ in range(count)] if count > 1 else []
        # What one thread chose is the default of all that begin later, and this one's choice is to stay that.
        torch.set_num_threads(torch.get_num_threads())

    def __len__(self) -> int:
        return len(self.networks)

    def map(
        self, function: Callable[[int, Part], Result], parts: Sequence[Part], together: bool = True
    ) -> list[Result]:
        """Call a function with the number of each lane and its part of something.

        Args:
            function: called in the lane's own thread.
            parts: one for each lane.
            together: otherwise one after the other.
        """
        if not self._threads:
            return [function(0, *parts)]
        numbered = zip(self._threads, enumerate(parts))
        begun = (thread.submit(function, lane, part) for thread, (lane, part) in numbered)
        return [one.result() for one in (list(begun) if together else begun)]

    def gather_gradients(self) -> None:
        """Add the gradients of the copies to those of the network, always in the same order, and forget them."""
        network, *copies = self.networks
        for other in copies:
            pairs = zip(network.parameters(), other.parameters())
            own, others = zip(*((ours.grad, theirs.grad) for ours, theirs in pairs if theirs.grad is not None))
            torch._foreach_add_(own, others)
            other.zero_grad(set_to_none=True)


def count_lanes(network: torch.nn.Module, channels: int, size: int, batch_size: int) -> int:
    """How many parts a batch is trained in on this processor: one where the network itself draws from chance.

    Dropout takes its numbers from one stream; in threads that draw in no certain order no run could be made again.

    Args:
        channels, size: of the images.
        batch_size: of the whole.
    """
    most = min(torch.get_num_threads(), batch_size // _SMALLEST_PART)
    return most if most > 1 and not _draws(network, torch.zeros(2, channels, size, size)) else 1


def _draws(network: torch.nn.Module, images: torch.Tensor) -> bool:
    """Whether a network in training draws random numbers."""
    tried = copy.deepcopy(network).train()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        before = torch.get_rng_state()
        tried(images)
        return not torch.equal(before, torch.get_rng_state())


def _with_same_weights(network: torch.nn.Module) -> torch.nn.Module:
    other = copy.deepcopy(network)
    for theirs, ours in zip(other.parameters(), network.parameters()):
        theirs.data = ours.data
    return other


def _thread(threads: int) -> ThreadPoolExecutor:
    """One thread, always the same, whose operations run on that many."""
    lane = ThreadPoolExecutor(1, "lane")
    lane.submit(_work_on, threads).result()
    return lane


def _work_on(threads: int) -> None:
    torch.get_num_threads()  # torch sets a new thread's number when it is first asked for, and would undo the next line
    torch.set_num_threads(threads)
