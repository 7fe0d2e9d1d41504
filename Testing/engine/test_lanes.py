"""Parts of a batch side by side, each in a thread of its own: the same lesson, and the same bits every time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from monai.networks.nets import UNet

import team_training
from CardiacSegLib.training import trainer
from CardiacSegLib.training.lanes import Lanes, count_lanes
from CardiacSegLib.training.run import resume, train
from killing import check_weights
from listening import Listener
from test_resume import stop_at_step
from tiny_training import tiny_network


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
class TestABatch:
    def test_is_trained_in_as_many_parts_as_there_are_threads_if_each_is_large_enough(self):
        assert count_lanes(tiny_network(), 1, 64, batch_size=16) == 2
        assert count_lanes(tiny_network(), 1, 64, batch_size=64) == 2
        assert count_lanes(tiny_network(), 1, 64, batch_size=15) == 1
        torch.set_num_threads(1)
        assert count_lanes(tiny_network(), 1, 64, batch_size=16) == 1

    def test_stays_whole_where_the_network_draws_from_chance(self):
        network = UNet(2, 1, 4, channels=(8, 16), strides=(2,), norm="batch", dropout=0.1)
        before = torch.get_rng_state(), [buffer.clone() for buffer in network.buffers()]
        assert count_lanes(network, 1, 64, batch_size=16) == 1
        assert torch.equal(torch.get_rng_state(), before[0])
        assert all(map(torch.equal, network.buffers(), before[1]))

    def test_teaches_in_two_parts_what_it_teaches_as_a_whole(self, monkeypatch):
        """Where nothing is normalized over a batch; what half of it teaches is something else."""
        whole, half = team_training.trained(4), team_training.trained(2)
        monkeypatch.setattr(trainer, "count_lanes", lambda *_: 2)
        parts = team_training.trained(4)
        assert _difference(parts, whole) < 1e-5
        assert _difference(half, whole) > 1e-3

    def test_in_two_parts_ends_in_the_same_bits_when_the_run_was_broken_off(
        self, a_longer_config, tmp_path, monkeypatch
    ):
        counts = []
        monkeypatch.setattr(trainer, "count_lanes", lambda *given: counts.append(count_lanes(*given)) or counts[-1])
        config = replace(a_longer_config, epochs=6, validations=6)
        train(config, tmp_path / "unbroken", Listener())
        with monkeypatch.context() as context:
            stop_at_step(15, context, KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                train(config, tmp_path / "broken", Listener())
        resume(tmp_path / "broken", Listener())
        assert counts == [2, 2, 2]
        check_weights(tmp_path / "broken", tmp_path / "unbroken")


@pytest.mark.usefixtures("two_threads")
class TestLanes:
    def test_share_their_weights_and_not_their_gradients(self):
        first, second = Lanes(tiny_network(), 2).networks
        images = torch.ones(2, 1, 64, 64)
        second(images).sum().backward()
        assert all(weights.grad is None for weights in first.parameters())
        with torch.no_grad():
            for weights in first.parameters():
                weights.add_(1)
        assert all(map(torch.equal, first.parameters(), second.parameters()))

    def test_add_up_their_gradients(self):
        lanes = Lanes(tiny_network(), 2)
        for number, network in enumerate(lanes.networks, 1):
            for weights in network.parameters():
                weights.grad = torch.full_like(weights, number)
        lanes.gather_gradients()
        first, second = lanes.networks
        assert all((weights.grad == 3).all() for weights in first.parameters())
        assert all(weights.grad is None for weights in second.parameters())

    def test_work_in_threads_of_their_own_that_stay_the_same(self):
        lanes = Lanes(tiny_network(), 2)
        seen = [lanes.map(lambda lane, part: (lane, part, threading.get_ident()), "ab") for _ in range(2)]
        assert seen[0] == seen[1]
        assert [found[:2] for found in seen[0]] == [(0, "a"), (1, "b")]
        assert len({threading.get_ident(), *(found[2] for found in seen[0])}) == 3

    def test_share_the_threads_of_the_processor_and_leave_them_to_others_afterwards(self):
        assert Lanes(tiny_network(), 2).map(lambda *_: torch.get_num_threads(), "ab") == [1, 1]
        assert torch.get_num_threads() == 2
        assert Lanes(tiny_network(), 1).map(lambda *_: torch.get_num_threads(), "a") == [2]

    def test_tell_what_went_wrong_in_one_of_them(self):
        with pytest.raises(ZeroDivisionError):
            Lanes(tiny_network(), 2).map(lambda _, part: 1 / part, (1, 0))


def _difference(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> float:
    return max(float((weights[name].double() - others[name].double()).abs().max()) for name in weights)
