"""What a process leaves when it is killed, processes and temporary folders, goes by itself or with the next start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from CardiacSegLib.jobs.owned_folders import make_owned_folder, owned_folder
from CardiacSegLib.jobs.processes import engine_environment
from waiting import wait_until

#: Makes a folder with something in it, starts a process that computes without end, and tells of both.
STARTER = """
import sys, time
from pathlib import Path
from CardiacSegLib.jobs.owned_folders import make_owned_folder
from CardiacSegLib.jobs.processes import start_process

folder = make_owned_folder(parent=Path(sys.argv[1]))
(folder / "job").mkdir()
(folder / "job" / "image.npy").write_bytes(bytes(1000))
code = "from CardiacSegLib.jobs.processes import end_with_starter; end_with_starter(0.1)\\nwhile True: pass"
print(folder, start_process([sys.executable, "-c", code], folder / "log.txt").pid, sep="\\n", flush=True)
input()
"""


@pytest.fixture
def a_starter(tmp_path: Path):
    """A process that has made a folder and started another process; with both."""
    command = [sys.executable, "-c", STARTER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=engine_environment()
    ) as starter:
        folder, child = Path(starter.stdout.readline().strip()), psutil.Process(int(starter.stdout.readline()))
        yield starter, folder, child
        starter.kill()
    if child.is_running():
        child.kill()


def test_a_process_that_computes_ends_when_the_one_that_started_it_is_killed(a_starter):
    starter, _, child = a_starter
    assert child.status() != psutil.STATUS_ZOMBIE
    starter.kill()
    starter.wait()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, seconds=20)


def test_a_folder_goes_with_the_next_start_once_its_process_is_gone(a_starter, tmp_path):
    starter, folder, _ = a_starter
    with owned_folder(parent=tmp_path):
        assert (folder / "job" / "image.npy").exists()
    starter.kill()
    starter.wait()
    with owned_folder(parent=tmp_path) as mine:
        assert not folder.exists()
        assert mine.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_belongs_to_nobody_or_is_a_link_stays(a_starter, tmp_path):
    starter, folder, _ = a_starter
    starter.kill()
    starter.wait()
    (tmp_path / "elsewhere").mkdir()
    folder.rename(tmp_path / "elsewhere" / "run")
    (tmp_path / "CardiacSeg-link").symlink_to(tmp_path / "elsewhere" / "run")
    (tmp_path / "CardiacSeg-of-an-older-version").mkdir()
    make_owned_folder(parent=tmp_path)
    assert (tmp_path / "elsewhere" / "run" / "job" / "image.npy").exists()
    assert (tmp_path / "CardiacSeg-of-an-older-version").exists()
