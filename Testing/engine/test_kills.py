"""SIGKILL at moments by chance: what stays whole, and that nothing stays behind."""

from __future__ import annotations

import random
import sys
from dataclasses import replace

import pytest
import torch

from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.run import train
from killing import cheap_worker, kill_hosts, kill_trainings, kill_workers
from listening import Listener

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no signals on Windows")


def few_and_many(few: int, many: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kills", [few, pytest.param(many, marks=pytest.mark.long)])


@few_and_many(4, 34)
def test_a_killed_worker_costs_its_job_and_nothing_else(kills, tmp_path):
    tally = kill_workers(kills, random.Random(kills), "plain", cheap_worker(tmp_path))
    assert tally.kills == kills
    assert tally.is_clean, tally


@pytest.mark.long
@pytest.mark.parametrize("kills", [2, 33])
def test_a_killed_training_goes_on_to_the_weights_of_one_that_was_not(
    kills, a_small_config: TrainingConfig, tmp_path, monkeypatch
):
    epochs = max(4, kills // 2)  # of four steps, each with a validation
    config = replace(a_small_config, epochs=epochs, validations=epochs, seed=5)
    train(config, tmp_path / "unbroken", Listener())
    options = [*config.command(TrainingConfig()).split(), "--name", "small", "--device", "cpu"]
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    tally = kill_trainings(kills, random.Random(kills), options, tmp_path / "unbroken", tmp_path / "run")
    assert tally.kills == kills
    assert tally.is_clean, tally


@few_and_many(2, 33)
@pytest.mark.long
def test_a_killed_host_leaves_no_worker_and_a_whole_scene(kills, tmp_path):
    tally = kill_hosts(kills, random.Random(kills), "plain", tmp_path, cheap_worker(tmp_path))
    assert tally.kills == kills
    assert tally.is_clean, tally
