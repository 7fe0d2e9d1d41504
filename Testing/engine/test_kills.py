"""SIGKILL at moments by chance: what stays whole, and that nothing stays behind."""

from __future__ import annotations

import random
import sys

import pytest

from killing import cheap_worker, kill_hosts, kill_trainings, kill_workers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no signals on Windows")


@pytest.mark.parametrize("kills", [4, pytest.param(34, marks=pytest.mark.long)])
def test_a_killed_worker_costs_its_job_and_nothing_else(kills, tmp_path):
    tally = kill_workers(kills, random.Random(kills), "plain", cheap_worker(tmp_path))
    assert tally.kills == kills
    assert tally.is_clean, tally


@pytest.mark.long
def test_a_killed_training_goes_on_to_the_weights_of_one_that_was_not(longer_options, an_unbroken_run, tmp_path):
    tally = kill_trainings(33, random.Random(33), longer_options, an_unbroken_run, tmp_path / "run")
    assert tally.kills == 33
    assert tally.is_clean, tally


@pytest.mark.long
def test_a_killed_host_leaves_no_worker_and_a_whole_scene(tmp_path):
    tally = kill_hosts(33, random.Random(33), "plain", tmp_path, cheap_worker(tmp_path))
    assert tally.kills == 33
    assert tally.is_clean, tally
