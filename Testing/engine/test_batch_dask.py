"""``cardiacseg batch --scheduler`` on a real cluster: two worker processes on this machine, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from distributed import Client, LocalCluster

from CardiacSegLib.cli import main
from CardiacSegLib.jobs.processes import engine_environment
from cohort_made import a_cine, bytes_of, results_of, write_alike
from results_read import rows_of
from waiting import wait_until

_STUDIES = 24


@pytest.fixture(scope="module")
def a_cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def a_cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "studies"
    write_alike(folder, _STUDIES, a_cine(frames=1, slices=3))
    (folder / "broken.nii.gz").write_bytes(b"no image")
    return folder


def batch(a_bundle, cohort: Path, output: Path, *arguments: str) -> int:
    options = ["--model", str(a_bundle.folder), "--device", "cpu:torch"]
    return main(["batch", str(cohort), "-o", str(output), *options, *arguments])


@pytest.mark.long
def test_the_model_reaches_each_worker_once(a_cluster, a_bundle, a_cohort, tmp_path):
    def model_files(dask_worker) -> dict[str, int]:
        """When the weights in the folder of a worker were written."""
        return {str(path): path.stat().st_mtime_ns for path in Path(dask_worker.local_directory).rglob("model.pt")}

    with Client(a_cluster.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2)
        for output in ("first", "second"):
            batch(a_bundle, a_cohort / "study000.nii.gz", tmp_path / output, "--scheduler", a_cluster.scheduler_address)
            found = client.run(model_files)
            assert [len(files) for files in found.values()] == [1, 1]
            if output == "first":
                before = found
        assert found == before


def test_a_worker_that_does_not_see_the_folders_says_so(a_cluster, a_bundle, a_cohort, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("CardiacSegLib.cohorts.batch.STUDIES", "on another computer")
    assert batch(a_bundle, a_cohort, tmp_path / "out", "--scheduler", a_cluster.scheduler_address) == 1
    said = capsys.readouterr().err
    assert "sees no such folder; images and output have to lie on a file system that all workers share" in said


def test_an_address_at_which_nobody_answers_is_said_in_one_line(a_bundle, a_cohort, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("CardiacSegLib.cohorts.cluster._SECONDS_TO_CONNECT", 0.5)
    assert batch(a_bundle, a_cohort, tmp_path / "out", "--scheduler", "tcp://127.0.0.1:9") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "tcp://127.0.0.1:9: no Dask scheduler answers there" in said


def test_a_cluster_that_loses_a_worker_gives_the_same_bits_as_one_machine(a_cluster, a_bundle, a_cohort, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as Dask sets for its workers
    try:
        assert batch(a_bundle, a_cohort, tmp_path / "alone") == 1
    finally:
        torch.set_num_threads(threads)
    codes: list[int] = []
    shared = tmp_path / "shared"
    arguments = (a_bundle, a_cohort, shared, "--scheduler", a_cluster.scheduler_address)
    running = threading.Thread(target=lambda: codes.append(batch(*arguments)))
    with Client(a_cluster.scheduler_address, set_as_default=False) as client:
        processes = client.run(os.getpid)
    running.start()
    wait_until(lambda: len(results_of(shared)) >= 2 or not running.is_alive())
    lost = _kill_a_busy_worker(a_cluster, processes)
    assert len(results_of(shared)) < _STUDIES
    running.join(600)
    assert codes == [1]
    assert lost not in a_cluster.scheduler.workers
    assert len(rows_of(shared / "measures.csv")) == _STUDIES
    assert [row["id"] for row in rows_of(shared / "failed.csv")] == ["broken"]
    assert bytes_of(shared) == bytes_of(tmp_path / "alone")
    assert not list(shared.rglob(".partial-*"))


@pytest.mark.long
def test_a_scheduler_that_dies_is_said_in_one_line_and_the_batch_goes_on_from_there(
    a_cluster, a_bundle, a_cohort, tmp_path
):
    shared, place = tmp_path / "shared", str(tmp_path / "scheduler.json")
    with (
        dask(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", place
        ) as scheduler,
        dask("worker", "--nthreads", "1", "--no-dashboard", "--scheduler-file", place),
    ):
        wait_until(lambda: Path(place).exists())
        address = json.loads(Path(place).read_text())["address"]
        arguments = [str(a_cohort), "-o", str(shared), "--model", str(a_bundle.folder), "--device", "cpu:torch"]
        command = [sys.executable, "-m", "CardiacSegLib.cli", "batch", *arguments, "--scheduler", address]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=engine_environment()) as running:
            wait_until(lambda: len(results_of(shared)) >= 2)
            scheduler.kill()
            said = running.communicate()[1]
    assert running.returncode == 1
    assert "Traceback" not in said
    assert said.rstrip().endswith(
        "the connection to the scheduler was lost; start the batch again, it goes on from here"
    )
    assert len(results_of(shared)) < _STUDIES
    assert batch(a_bundle, a_cohort, shared, "--scheduler", a_cluster.scheduler_address) == 1
    assert len(rows_of(shared / "measures.csv")) == _STUDIES


@contextmanager
def dask(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Dask's own command line, which is gone at the end."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": engine_environment()}
    with subprocess.Popen([sys.executable, "-m", "dask", *arguments], **options) as process:
        try:
            yield process
        finally:
            process.kill()


def _kill_a_busy_worker(cluster: LocalCluster, processes: dict[str, int]) -> str:
    """Kill a worker that has a study in hand, and return its address."""
    workers = cluster.scheduler.workers
    wait_until(lambda: any(worker.processing for worker in workers.values()))
    address = next(address for address, worker in workers.items() if worker.processing)
    os.kill(processes[address], signal.SIGKILL)
    return address
