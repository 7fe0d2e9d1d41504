"""What moves the weights: optimizers, schedules of the learning rate, and the order in which slices come."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.training import optimizers, schedules
from CardiacSegLib.training.choices import (
    OPTIMIZERS,
    SCHEDULES,
    default_learning_rate,
    default_weight_decay,
)
from CardiacSegLib.training.losses import build_loss
from CardiacSegLib.training.optimizers import build_optimizer
from CardiacSegLib.training.sampling import Sampler, worth_training
from CardiacSegLib.training.schedules import Schedule, build_schedule
from tiny_training import class_shares, learn, mean_dice_of, phantom_batch, tiny_network

every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
every_schedule = pytest.mark.parametrize("name", SCHEDULES)


def default_loss() -> torch.nn.Module:
    return build_loss("dice-ce", class_shares(phantom_batch()[1]))


def default_optimizer(name: str, network: torch.nn.Module) -> torch.optim.Optimizer:
    return build_optimizer(name, network, default_learning_rate(name), default_weight_decay(name))


class TestAnOptimizer:
    def test_has_a_line_a_builder_and_defaults_by_every_name(self):
        assert list(OPTIMIZERS) == list(optimizers.BUILDERS)
        assert all(OPTIMIZERS.values())
        assert all(default_learning_rate(name) > 0 and default_weight_decay(name) > 0 for name in OPTIMIZERS)

    def test_that_is_not_known_is_answered_with_those_that_are(self):
        for ask in (lambda name: build_optimizer(name, tiny_network(), 1e-3, 0.0), default_learning_rate):
            with pytest.raises(CardiacSegError, match=r"optimizer 'lion' is not known; choose one of adamw, adam, sgd"):
                ask("lion")

    @every_optimizer
    def test_learns_a_phantom_at_its_default_learning_rate(self, name):
        network = tiny_network()
        assert mean_dice_of(network) < 0.15
        learn(network.train(), default_loss(), default_optimizer(name, network), build_schedule("one-cycle"), 100)
        assert mean_dice_of(network) > 0.4

    @every_optimizer
    def test_lets_kernels_decay_and_leaves_biases_and_norms_alone(self, name):
        network = tiny_network()
        before = copy.deepcopy(network.state_dict())
        optimizer = build_optimizer(name, network, 1e-2, 0.1)
        for weights in network.parameters():
            weights.grad = torch.zeros_like(weights)
        optimizer.step()
        for key, weights in network.named_parameters():
            if weights.ndim > 1:
                assert weights.abs().sum() < before[key].abs().sum()
            else:
                assert torch.equal(weights, before[key])

    @every_optimizer
    def test_holds_every_weight_once_but_those_that_are_frozen(self, name):
        network = tiny_network()
        frozen = next(network.parameters()).requires_grad_(False)
        held = [
            id(weights)
            for group in build_optimizer(name, network, 1e-3, 0.1).param_groups
            for weights in group["params"]
        ]
        assert sorted(held) == sorted(id(weights) for weights in network.parameters() if weights is not frozen)

    @every_optimizer
    def test_goes_on_from_its_state_as_if_it_had_never_stopped(self, name):
        def a_run() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
            network = tiny_network().train()
            return network, default_optimizer(name, network)

        def train(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
            learn(network, default_loss(), optimizer, schedules.Plateau(), 2)

        whole, first, second = a_run(), a_run(), a_run()
        for run in (whole, whole, first):
            train(*run)
        for former, later in zip(first, second):
            later.load_state_dict(former.state_dict())
        train(*second)
        for expected, found in zip(whole[0].parameters(), second[0].parameters()):
            torch.testing.assert_close(found, expected)


class TestASchedule:
    SHARES = np.linspace(0, 1, 1001)

    def test_has_a_line_and_a_builder_by_every_name(self):
        assert list(SCHEDULES) == list(schedules.BUILDERS)
        assert all(SCHEDULES.values())

    def test_that_is_not_known_is_answered_with_those_that_are(self):
        with pytest.raises(CardiacSegError, match=r"schedule 'steps' is not known; choose one of one-cycle, cosine"):
            build_schedule("steps")

    @every_schedule
    def test_lets_a_network_learn_a_phantom(self, name):
        network = tiny_network().train()
        learn(network, default_loss(), build_optimizer("adamw", network, 1e-2, 0.0), build_schedule(name), 60)
        assert mean_dice_of(network) > 0.5

    @every_schedule
    def test_reaches_the_highest_rate_and_never_more(self, name):
        factors = [build_schedule(name).factor(done) for done in self.SHARES]
        assert max(factors) == pytest.approx(1)
        assert min(factors) >= 0
        assert np.abs(np.diff(factors)).max() < 0.02

    @pytest.mark.parametrize(("name", "half"), [("one-cycle", 0.587), ("cosine", 0.5), ("polynomial", 0.536)])
    def test_falls_to_nearly_nothing_over_the_run(self, name, half):
        schedule = build_schedule(name)
        falling = [schedule.factor(done) for done in self.SHARES if done >= 0.1]
        assert (np.diff(falling) <= 0).all()
        assert schedule.factor(0.5) == pytest.approx(half, abs=1e-3)
        assert schedule.factor(1.0) <= 1e-4

    def test_of_one_cycle_rises_over_the_first_tenth(self):
        factors = [build_schedule("one-cycle").factor(done) for done in self.SHARES]
        assert factors[0] == pytest.approx(0.04)
        assert (np.diff(factors[:101]) > 0).all()
        assert np.argmax(factors) == 100

    def test_waits_on_a_plateau_before_it_falls(self):
        schedule = build_schedule("plateau")
        factors = []
        for score in (0.5, 0.6, 0.6, 0.5, 0.7, 0.7, 0.6, 0.7, 0.7, 0.6, 0.7):
            schedule.validated(score)
            factors.append(schedule.factor(0.5))
        assert factors == pytest.approx([1] * 7 + [0.3] * 3 + [0.09])

    def test_takes_a_score_that_is_no_number_for_no_gain(self):
        schedule = build_schedule("plateau")
        for score in (0.5, float("nan"), float("nan"), float("nan")):
            schedule.validated(score)
        assert schedule.factor(0.5) == pytest.approx(0.3)
        schedule.validated(0.4)
        schedule.validated(0.6)
        assert schedule.state_dict()["best"] == 0.6

    @every_schedule
    def test_goes_on_from_its_state_by_way_of_json(self, name):
        def tell(schedule: Schedule, scores: list[float]) -> list[float]:
            factors = []
            for number, score in enumerate(scores):
                schedule.validated(score)
                factors.append(schedule.factor(number / len(scores)))
            return factors

        whole, second = build_schedule(name), build_schedule(name)
        tell(whole, [0.6, 0.5, 0.5, 0.5, 0.7, 0.6])
        second.load_state_dict(json.loads(json.dumps(whole.state_dict())))
        assert tell(second, [0.65, 0.6, 0.8]) == tell(whole, [0.65, 0.6, 0.8])


def classes_in(*structures: set[int]) -> torch.Tensor:
    """Which of four classes each slice holds, from the structures in it; background is in all of them."""
    return torch.tensor([[number == 0 or number in held for number in range(4)] for held in structures])


class TestTheSampler:
    def test_shuffles_epochs_in_which_no_slice_comes_twice(self):
        sampler = Sampler(classes_in(*[{1}] * 14), 4, seed=1)
        epochs = [torch.cat([next(sampler) for _ in range(3)]).tolist() for _ in range(40)]
        assert all(len(set(epoch)) == 12 for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) == 40
        assert {number for epoch in epochs for number in epoch} == set(range(14))

    def test_gives_numbers_that_index_a_tensor(self):
        batch = next(Sampler(classes_in({1}, {2}, {3}), 2, seed=1, oversample=0.5))
        assert (batch.dtype, batch.shape) == (torch.int64, (2,))

    def test_gives_all_slices_where_a_batch_would_hold_more(self):
        sampler = Sampler(classes_in({1}, {2}, set()), 16, seed=1)
        assert [sorted(next(sampler).tolist()) for _ in range(5)] == [[0, 1, 2]] * 5

    def test_draws_the_same_for_the_same_seed(self):
        def batches(seed: int) -> list[list[int]]:
            sampler = Sampler(classes_in(*[{1}, {2}] * 20), 8, seed, oversample=0.5)
            return [next(sampler).tolist() for _ in range(12)]

        assert batches(3) == batches(3)
        assert batches(3) != batches(4)
        assert batches(-1) != batches(1)

    @pytest.mark.parametrize("oversample", [0.0, 0.4, 1.0])
    @pytest.mark.parametrize("stopped_after", [0, 2, 3, 11])
    def test_goes_on_from_its_state_by_way_of_json(self, oversample, stopped_after):
        classes = classes_in(*[{1}, {2}, set(), {1, 3}] * 5)
        first, second = (Sampler(classes, 6, 7, oversample) for _ in range(2))
        for _ in range(stopped_after):
            next(first)
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert [next(second).tolist() for _ in range(10)] == [next(first).tolist() for _ in range(10)]


class TestOversampling:
    #: One slice in a hundred holds structure 3, about half of them hold 1, none holds 2.
    CLASSES = classes_in(*([{1}] * 49 + [set()] * 50 + [{3}]) * 4)

    def shares(self, oversample: float) -> torch.Tensor:
        """Share of the drawn slices that hold each class."""
        sampler = Sampler(self.CLASSES, 20, seed=1, oversample=oversample)
        return self.CLASSES[torch.cat([next(sampler) for _ in range(200)])].float().mean(0)

    def test_shows_a_rare_structure_as_often_as_others(self):
        torch.testing.assert_close(self.shares(0.0), torch.tensor([1, 0.49, 0, 0.01]), atol=0.005, rtol=0)
        torch.testing.assert_close(self.shares(1.0), torch.tensor([1, 0.5, 0, 0.5]), atol=0.03, rtol=0)
        torch.testing.assert_close(self.shares(0.5), torch.tensor([1, 0.495, 0, 0.255]), atol=0.02, rtol=0)

    def test_draws_the_share_asked_for_in_every_batch(self):
        classes = classes_in(*([set()] * 99 + [{1}]) * 3)
        sampler = Sampler(classes, 12, seed=1, oversample=0.33)
        holding = [int(classes[next(sampler), 1].sum()) for _ in range(100)]
        assert min(holding) == 4
        assert sum(holding) / 100 == pytest.approx(4 + 8 / 100, abs=0.1)

    def test_changes_nothing_where_no_slice_holds_a_structure(self):
        nothing = classes_in(*[set()] * 10)
        assert next(Sampler(nothing, 4, 1, oversample=1.0)).tolist() == next(Sampler(nothing, 4, 1)).tolist()


class TestSlicesWorthTraining:
    SHARES = torch.tensor([0.0, 0.02, 0.01, 0.005])

    @pytest.mark.parametrize(("least", "expected"), [(0.0, [0, 1, 2, 3]), (0.01, [1, 2]), (0.02, [1])])
    def test_are_those_with_enough_labeled_pixels(self, least, expected):
        found = worth_training(self.SHARES, least)
        assert found.tolist() == expected
        assert found.dtype == torch.int64

    def test_are_asked_for_with_a_share_that_some_slice_has(self):
        with pytest.raises(CardiacSegError, match=r"min_foreground is 0\.5, but no slice has more than 0\.02"):
            worth_training(self.SHARES, 0.5)
