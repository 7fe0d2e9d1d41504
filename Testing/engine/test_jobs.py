"""Real worker processes, with a cheap engine in place of the network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from CardiacSegLib.anatomy import ACDC, CANONICAL
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.client import WorkerClient, worker_command
from CardiacSegLib.jobs.doubts import no_doubt_text
from CardiacSegLib.jobs.events import EventWriter, lines_beside_events, read_events
from CardiacSegLib.jobs.processes import engine_environment
from waiting import wait_until

#: A worker whose models are the ways in which an engine can behave; it may be told after how much idle time to end.
CHEAP_WORKER = """
import os, subprocess, sys, time
import numpy as np
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.provenance import Provenance
from CardiacSegLib.jobs.worker import serve

class Cheap:
    convention = {"LV": 1, "MYO": 2, "RV": 3}
    how, provenance = "by hand, a single pass", Provenance()

    def __init__(self, model, device):
        print("loading", model, "on", device)
        self.model = model
        if model == "unknown":
            raise CardiacSegError("there is no model 'unknown'; choose another")

    def with_options(self, turns, cleanup):
        print("turns", turns, "cleanup", cleanup)
        return self

    def segment(self, array, affine, progress):
        time.sleep(0.05)
        progress(0.5)
        if self.model == "noisy":
            print("to standard output"); print("to standard error", file=sys.stderr)
            os.system("echo from another program")
            print('{"event": "result", "file": "forged"}')
        if self.model == "dying":
            print("the last words", flush=True); os._exit(7)
        if self.model == "hungry":
            raise MemoryError("no room")
        if self.model == "slow":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            strays = subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
            )
            print("children", child.pid, strays.pid, flush=True); time.sleep(60)
        if self.model == "patient":
            time.sleep(0.6)
        progress(1.0)
        return (array > affine[0, 3]).astype(np.uint8)

    def predict(self, volume, affine):
        labels = self.segment(volume, affine, lambda done: None)
        probabilities = np.full((4, *volume.shape), 0.1, np.float32)
        np.put_along_axis(probabilities, labels[None].astype(np.intp), 0.7, axis=0)
        return labels, probabilities

serve(sys.stdin, Cheap, float(sys.argv[1]) if sys.argv[1:] else None)
"""
#: Ends as if idle with the first request in its hands, and works from the second start on.
HASTY_WORKER = """
import sys
from pathlib import Path

started = Path(__file__).with_name("started")
if not started.exists():
    started.touch(); sys.stdin.readline(); sys.exit(0)
"""

IMAGE = np.arange(24.0).reshape(2, 3, 4)
AFFINE = np.eye(4)
LABELS = (IMAGE > 0).astype(np.uint8)


@pytest.fixture
def a_client(tmp_path: Path):
    script = tmp_path / "worker.py"
    script.write_text(CHEAP_WORKER)
    with WorkerClient(model="plain", command=[sys.executable, str(script)]) as client:
        yield client


@pytest.fixture
def an_impatient_client(tmp_path: Path):
    """One whose worker ends when it was asked nothing for a fifth of a second."""
    script = tmp_path / "worker.py"
    script.write_text(CHEAP_WORKER)
    with WorkerClient(model="plain", command=[sys.executable, str(script), "0.2"]) as client:
        yield client


def is_alive(process_id: int) -> bool:
    """Whether a process runs; one that ended but that nobody has asked about does not."""
    status = Path(f"/proc/{process_id}/stat")
    if status.exists():
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(process_id, 0)
    except OSError:
        return False
    return not Path("/proc").is_dir()


class TestEvents:
    def test_what_is_written_is_read(self, tmp_path):
        with (tmp_path / "events.jsonl").open("w") as stream:
            writer = EventWriter(stream)
            writer.stage("load", "Loading")
            writer.progress(0.25, seconds_left=3.5)
            writer.log("a line\nand another")
            writer.result(dice=np.float32(0.5), shape=(2, np.int64(3)), file=Path("labels.npy"), missing=float("nan"))
            events, _ = read_events(tmp_path / "events.jsonl")
        assert [event["event"] for event in events] == ["stage", "progress", "log", "result"]
        assert events[1]["fraction"] == 0.25
        assert events[1]["seconds_left"] == 3.5
        assert "text" not in events[1]
        assert events[2]["text"] == "a line\nand another"
        result = {name: events[3][name] for name in ("dice", "shape", "file", "missing")}
        assert result == {"dice": 0.5, "shape": [2, 3], "file": "labels.npy", "missing": None}
        assert all(abs(event["time"] - time.time()) < 60 for event in events)

    def test_each_is_there_at_once_and_on_one_line(self, tmp_path):
        with (tmp_path / "events.jsonl").open("w") as stream:
            EventWriter(stream).log("a\nb")
            assert (tmp_path / "events.jsonl").read_text().count("\n") == 1

    @pytest.mark.parametrize(("given", "kept"), [(-0.5, 0.0), (1.5, 1.0), (0.5, 0.5)])
    def test_a_fraction_lies_between_0_and_1(self, given, kept):
        stream = StringIO()
        EventWriter(stream).progress(given)
        assert json.loads(stream.getvalue())["fraction"] == kept

    def test_an_error_has_its_type_message_and_a_hint(self):
        stream = StringIO()
        EventWriter(stream).error(MemoryError("no room"))
        EventWriter(stream).error(CardiacSegError("a.nii is empty; choose another"))
        hungry, mendable = map(json.loads, stream.getvalue().splitlines())
        assert (hungry["type"], hungry["message"]) == ("MemoryError", "no room")
        assert "smaller volume" in hungry["hint"]
        assert (mendable["message"], mendable["hint"]) == ("a.nii is empty; choose another", "")

    def test_a_half_written_line_waits_for_its_other_half(self, tmp_path):
        file = tmp_path / "events.jsonl"
        file.write_bytes(b'{"event": "log", "text": "one"}\n{"event": "log", "te')
        events, offset = read_events(file)
        assert [event["text"] for event in events] == ["one"]
        assert read_events(file, offset) == ([], offset)
        with file.open("ab") as stream:
            stream.write('xt": "zwei Gefäße"}\n'.encode())
        events, offset = read_events(file, offset)
        assert [event["text"] for event in events] == ["zwei Gefäße"]
        assert offset == file.stat().st_size

    def test_a_torn_line_in_the_middle_is_skipped(self, tmp_path):
        file = tmp_path / "events.jsonl"
        file.write_bytes(b'{"event": "lo\n[1]\n\n"text"\n{"event": "log", "text": "after"}\n')
        events, _ = read_events(file)
        assert [event["text"] for event in events] == ["after"]

    def test_what_is_no_event_can_be_read_beside_them(self, tmp_path):
        file = tmp_path / "events.jsonl"
        file.write_text('a library says hello\n{"event": "log", "text": "one"}\n\nand goodbye')
        assert lines_beside_events(file) == "a library says hello\nand goodbye"
        assert lines_beside_events(tmp_path / "none.jsonl") == ""

    def test_a_file_that_is_not_there_yet_has_no_events(self, tmp_path):
        assert read_events(tmp_path / "events.jsonl", 0) == ([], 0)


class TestWorker:
    def test_it_segments(self, a_client):
        labels = a_client.segment(IMAGE, AFFINE)
        np.testing.assert_array_equal(labels, LABELS)
        assert labels.dtype == np.uint8
        assert a_client.convention == CANONICAL

    def test_it_tells_how_far_it_is(self, a_client):
        a_client.submit(IMAGE, AFFINE)
        events = []
        wait_until(lambda: events.extend(a_client.poll()) or not a_client.is_busy)
        assert [event["name"] for event in events if event["event"] == "stage"] == ["load", "segment"]
        fractions = [event["fraction"] for event in events if event["event"] == "progress"]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1
        left = [event["seconds_left"] for event in events if event["event"] == "progress" and "seconds_left" in event]
        assert 0.04 < left[0] < 5
        assert left[-1] == 0
        assert events[-1]["event"] == "result"
        assert a_client.poll() == []

    def test_a_model_is_loaded_once_for_any_number_of_volumes(self, a_client):
        a_client.segment(IMAGE, AFFINE)
        first = a_client.process_id
        assert "loading plain on auto" in a_client.log
        a_client.segment(IMAGE, AFFINE)
        assert "loading" not in a_client.log
        assert a_client.process_id == first

    def test_turns_and_cleanup_reach_the_model(self, a_client):
        a_client.submit(IMAGE, AFFINE, turns=8, cleanup=False)
        np.testing.assert_array_equal(a_client.wait(), LABELS)
        assert "turns 8 cleanup False" in a_client.log
        a_client.segment(IMAGE, AFFINE)
        assert "turns" not in a_client.log

    def test_it_tells_how_sure_the_model_is_where_that_is_asked(self, a_client, a_bundle):
        a_client.submit(IMAGE, AFFINE, model=a_bundle.folder, doubt=True)
        np.testing.assert_array_equal(a_client.wait(), LABELS)
        doubt, (fields,) = a_client.doubt()
        assert doubt.shape == IMAGE.shape
        assert ((doubt > 0.5) & (doubt < 1)).all()
        assert 0.5 < fields["predicted_dice"]["LV"] < 1
        assert fields["predicted_dice"]["RV"] is None
        a_client.segment(IMAGE, AFFINE)
        assert a_client.doubt() is None

    def test_it_tells_how_sure_the_model_is_of_each_frame_of_a_cine(self, a_client, a_bundle):
        cine = np.stack([IMAGE, IMAGE[::-1], IMAGE], axis=-1)
        a_client.submit(cine, AFFINE, model=a_bundle.folder, doubt=True)
        assert a_client.wait().shape == cine.shape
        doubt, fields = a_client.doubt()
        assert doubt.shape == cine.shape
        assert [frame["predicted_dice"]["LV"] > 0.5 for frame in fields] == [True] * 3

    def test_an_array_of_any_layout_is_segmented(self, a_client):
        np.testing.assert_array_equal(a_client.segment(IMAGE.T[::-1], AFFINE), LABELS.T[::-1])

    def test_what_is_printed_is_log_and_no_event(self, a_client):
        a_client.submit(IMAGE, AFFINE, model="noisy")
        np.testing.assert_array_equal(a_client.wait(), LABELS)
        for text in ("to standard output", "to standard error", "from another program", "forged"):
            assert text in a_client.log

    def test_it_ends_at_the_end_of_its_input(self):
        run = subprocess.run(worker_command(), input=b"", env=engine_environment(), capture_output=True, check=False)
        assert run.returncode == 0
        assert run.stdout + run.stderr == b""

    def test_it_does_not_load_torch_before_it_is_asked(self):
        script = "import sys, CardiacSegLib.jobs.worker as w; w.serve([]); print('torch' in sys.modules)"
        run = subprocess.run(
            [sys.executable, "-c", script], env=engine_environment(), capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == "False"

    def test_labels_are_complete_when_they_appear(self, a_client):
        job = a_client.submit(IMAGE, AFFINE)
        a_client.wait()
        assert sorted(file.name for file in job.glob("*.npy")) == ["affine.npy", "image.npy", "labels.npy"]


class TestFailure:
    def test_a_message_for_the_person_arrives_as_it_is(self, a_client):
        a_client.submit(IMAGE, AFFINE, model="unknown")
        with pytest.raises(CardiacSegError, match=r"^there is no model 'unknown'; choose another$"):
            a_client.wait()

    def test_after_an_error_the_same_worker_goes_on(self, a_client):
        a_client.submit(IMAGE, AFFINE, model="hungry")
        with pytest.raises(CardiacSegError, match=r"no room; .*smaller volume"):
            a_client.wait()
        assert "Traceback" in a_client.log
        process = a_client.process_id
        np.testing.assert_array_equal(a_client.segment(IMAGE, AFFINE), LABELS)
        assert a_client.process_id == process

    def test_a_worker_that_dies_is_an_error_with_its_last_lines(self, a_client):
        a_client.submit(IMAGE, AFFINE, model="dying")
        with pytest.raises(CardiacSegError, match=r"exit code 7.*the last words"):
            a_client.wait()
        assert not a_client.is_busy
        with pytest.raises(CardiacSegError, match="exit code 7"):
            a_client.labels()

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no signals on Windows")
    def test_a_worker_that_is_killed_is_replaced_at_the_next_job(self, a_client):
        a_client.submit(IMAGE, AFFINE, model="slow")
        wait_until(lambda: "children" in a_client.log)
        os.kill(a_client.process_id, signal.SIGKILL)
        with pytest.raises(CardiacSegError, match="exit code -9"):
            a_client.wait()
        np.testing.assert_array_equal(a_client.segment(IMAGE, AFFINE), LABELS)

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no signals on Windows")
    def test_a_job_goes_to_another_worker_where_its_own_was_killed_before_it_began(self, a_client):
        a_client.segment(IMAGE, AFFINE)
        first = a_client.process_id
        os.kill(first, signal.SIGSTOP)
        a_client.submit(IMAGE, AFFINE)
        os.kill(first, signal.SIGKILL)
        np.testing.assert_array_equal(a_client.wait(), LABELS)
        assert a_client.process_id != first

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no signals on Windows")
    def test_a_job_that_kills_every_worker_is_an_error(self, a_client):
        a_client.segment(IMAGE, AFFINE)
        a_client.submit(IMAGE, AFFINE, model="dying")
        with pytest.raises(CardiacSegError, match=r"exit code 7.*the last words"):
            a_client.wait()

    def test_a_worker_that_does_not_start_is_named(self):
        with (
            WorkerClient(command=["no-such-program"]) as client,
            pytest.raises(CardiacSegError, match="no-such-program cannot be started"),
        ):
            client.segment(IMAGE, AFFINE)

    def test_one_that_ends_at_once_says_why(self):
        command = [sys.executable, "-c", "raise SystemExit('no package today')"]
        with WorkerClient(command=command) as client, pytest.raises(CardiacSegError, match=r"1; .*no package today"):
            client.segment(IMAGE, AFFINE)

    def test_a_second_job_waits_its_turn(self, a_client):
        a_client.submit(IMAGE, AFFINE, model="slow")
        with pytest.raises(CardiacSegError, match="a segmentation is running"):
            a_client.submit(IMAGE, AFFINE)

    def test_labels_are_there_only_after_a_job(self, a_client):
        with pytest.raises(CardiacSegError, match="no finished segmentation"):
            a_client.labels()

    def test_patience_can_have_an_end(self, a_client):
        a_client.submit(IMAGE, AFFINE, model="slow")
        with pytest.raises(CardiacSegError, match=r"more than 0\.2 s"):
            a_client.wait(timeout=0.2)
        assert a_client.process_id is None


class TestAnIdleWorker:
    def test_ends_and_the_next_job_starts_another(self, an_impatient_client):
        an_impatient_client.segment(IMAGE, AFFINE)
        first = an_impatient_client.process_id
        wait_until(lambda: an_impatient_client.process_id is None)
        np.testing.assert_array_equal(an_impatient_client.segment(IMAGE, AFFINE), LABELS)
        assert an_impatient_client.process_id != first

    def test_does_not_end_during_a_job(self, an_impatient_client):
        an_impatient_client.submit(IMAGE, AFFINE, model="patient")
        np.testing.assert_array_equal(an_impatient_client.wait(), LABELS)

    def test_that_ends_just_as_a_job_comes_is_replaced_and_the_job_is_done(self, tmp_path):
        script = tmp_path / "worker.py"
        script.write_text(HASTY_WORKER + CHEAP_WORKER)
        with WorkerClient(model="plain", command=[sys.executable, str(script)]) as client:
            np.testing.assert_array_equal(client.segment(IMAGE, AFFINE), LABELS)

    def test_that_ends_each_time_is_an_error_in_the_end(self):
        with (
            WorkerClient(command=[sys.executable, "-c", "input()"]) as client,
            pytest.raises(CardiacSegError, match="the worker ended with exit code 0"),
        ):
            client.segment(IMAGE, AFFINE)

    def test_of_the_engine_ends_with_exit_code_zero(self):
        command = [*worker_command(), "--idle-seconds", "0.05"]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, env=engine_environment())
        assert worker.wait(20) == 0
        worker.stdin.close()


class TestWarmingUp:
    def test_loads_the_model_that_the_first_job_finds(self, a_client):
        a_client.warm_up()
        worker = a_client.process_id
        assert worker is not None
        assert not a_client.is_busy
        wait_until(lambda: "loading plain" in a_client.log)
        np.testing.assert_array_equal(a_client.segment(IMAGE, AFFINE), LABELS)
        assert a_client.process_id == worker
        assert a_client.log.count("loading plain") == 1

    def test_need_not_be_over_when_a_job_comes(self, a_client):
        a_client.warm_up()
        worker = a_client.process_id
        np.testing.assert_array_equal(a_client.segment(IMAGE, AFFINE), LABELS)
        assert a_client.process_id == worker

    def test_that_fails_is_told_by_the_next_job(self, a_client):
        a_client.warm_up(model="unknown")
        with pytest.raises(CardiacSegError, match="there is no model 'unknown'"):
            a_client.submit(IMAGE, AFFINE, model="unknown") and a_client.wait()
        with WorkerClient(command=["no-such-program"]) as client:
            client.warm_up()
            with pytest.raises(CardiacSegError, match="cannot be started"):
                client.submit(IMAGE, AFFINE)


class TestCancel:
    def test_it_ends_the_whole_tree_at_once(self, a_client):
        a_client.submit(IMAGE, AFFINE, model="slow")
        wait_until(lambda: "children" in a_client.log)
        processes = [a_client.process_id, *map(int, a_client.log.split("children ")[1].split()[:2])]
        assert all(map(is_alive, processes))
        started = time.monotonic()
        a_client.cancel()
        assert time.monotonic() - started < 0.5  # a tenth on a machine that does nothing else
        assert not a_client.is_busy
        assert a_client.poll() == []
        wait_until(lambda: not any(map(is_alive, processes)), seconds=5)
        with pytest.raises(CardiacSegError, match="canceled"):
            a_client.labels()

    def test_the_next_job_starts_a_new_worker(self, a_client):
        a_client.submit(IMAGE, AFFINE, model="slow")
        a_client.cancel()
        np.testing.assert_array_equal(a_client.segment(IMAGE, AFFINE), LABELS)

    def test_without_a_job_nothing_happens(self, a_client):
        a_client.cancel()
        assert not a_client.is_busy

    def test_closing_leaves_no_process_and_no_folder(self, a_client):
        job = a_client.submit(IMAGE, AFFINE)
        a_client.wait()
        worker = a_client.process_id
        a_client.close()
        assert not is_alive(worker)
        assert not job.parent.exists()


def test_a_client_takes_the_numbering_of_the_model(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(CHEAP_WORKER.replace('{"LV": 1, "MYO": 2, "RV": 3}', repr(dict(ACDC))))
    with WorkerClient(command=[sys.executable, str(script)]) as client:
        client.segment(IMAGE, AFFINE)
        assert client.convention == ACDC


class TestWhyThereIsNoDoubt:
    """One network that looks once has nothing to compare its answer with."""

    def test_is_told_of_a_single_pass_and_not_of_turned_copies(self, a_bundle):
        assert a_bundle.turns == 1
        assert "choose an ensemble" in no_doubt_text(a_bundle)
        assert no_doubt_text(a_bundle, 8) == ""
        by_itself = replace(a_bundle, turns=8)
        assert no_doubt_text(by_itself) == ""
        assert no_doubt_text(by_itself, 1).endswith("choose turned copies under Accuracy")

    def test_is_not_told_of_an_ensemble(self, a_bundle):
        assert no_doubt_text(replace(a_bundle, network={"members": [{}, {}]}), 1) == ""


def test_the_engine_has_the_options_that_the_worker_passes_on(a_segmenter, a_phantom_image):
    labels = a_segmenter.segment(a_phantom_image.array, a_phantom_image.affine)
    raw = a_segmenter.with_options(None, cleanup=False).segment(a_phantom_image.array, a_phantom_image.affine)
    assert np.count_nonzero(raw != labels) > 0
    assert a_segmenter.with_options(8, cleanup=True).turns == 8
    assert (a_segmenter.turns, a_segmenter.cleanup) == (1, True)
    with pytest.raises(CardiacSegError, match="turns is 3; choose one of 1, 2, 4, 8"):
        a_segmenter.with_options(3)
