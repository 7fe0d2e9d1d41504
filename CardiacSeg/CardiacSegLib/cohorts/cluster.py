"""A cohort on a Dask cluster that exists: studies go to its workers, which read and write them themselves.

The images and the folder of results lie on a file system that all workers see under the same paths; the model does not
have to: its files travel to each worker once. Dask does a lost worker's studies again on another one; what a worker
wrote until then is replaced by the same bits. Nothing of this is a scheduler or a queue: those are Dask's.

Dask sends Python objects between processes that trust each other. Use a cluster of your own.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

from distributed import Client, Future, KilledWorker, Worker, WorkerPlugin, as_completed, get_worker
from distributed.comm import CommClosedError

from CardiacSegLib import __version__
from CardiacSegLib.bundles import Bundle
from CardiacSegLib.cohorts.models import digest, model_files
from CardiacSegLib.cohorts.studies import CohortStudy
from CardiacSegLib.cohorts.work import Job, Outcome, label, measure, read, reason_of, write
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder, replacing
from CardiacSegLib.inference.provenance import name_of_model

if TYPE_CHECKING:
    from CardiacSegLib.inference.segmenter import Segmenter

_SECONDS_TO_CONNECT = 20
_LOST = "the connection to the scheduler was lost; start the batch again, it goes on from here"


@dataclass(frozen=True)
class ClusterJob:
    """What a worker has to know of a cohort.

    Attributes:
        job: what all studies share.
        device, turns: see :meth:`CardiacSegLib.inference.segmenter.Segmenter.load`.
        version: of CardiacSeg.
        plugin: the name of the model on the workers.
    """

    job: Job
    device: str
    turns: int | None
    version: str
    plugin: str


def process_on_cluster(
    studies: Sequence[CohortStudy], bundle: Bundle, job: Job, device: str, turns: int | None, address: str
) -> Iterator[Outcome]:
    """Segment, measure and write studies on the workers of a cluster; how each ended comes as soon as it did.

    Args:
        bundle: the model; its files are sent to the workers.
        address: of the scheduler, such as tcp://10.0.0.1:8786.

    Raises:
        CardiacSegError: where the scheduler cannot be reached or is lost, the workers are of another version or do not
            see the folders, or results cannot be written.
    """
    with _client(address) as client:
        plugin = _send_model(client, bundle)
        try:
            yield from _outcomes(client, studies, ClusterJob(job, device, turns, __version__, plugin))
        except CommClosedError as error:
            raise CardiacSegError(_LOST) from error


def _outcomes(client: Client, studies: Sequence[CohortStudy], job: ClusterJob) -> Iterator[Outcome]:
    futures = client.map(process_on_worker, studies, job=job, pure=False)
    studies_of = dict(zip((future.key for future in futures), studies))
    completed = as_completed(futures, loop=client.loop)
    del futures  # Dask keeps a result for as long as someone holds its future
    for future in completed:
        yield _outcome(future, studies_of.pop(future.key), job.job)


def _outcome(future: Future, study: CohortStudy, job: Job) -> Outcome:
    if future.status == "finished":
        return future.result()
    if future.status == "cancelled":
        raise CardiacSegError(_LOST)
    error = future.exception()
    if isinstance(error, KilledWorker):
        reason = "every worker that tried it died; if it is large, give the workers more memory"
        return write(Outcome(study, {}, reason), job)
    raise error if isinstance(error, CardiacSegError) else CardiacSegError(f"a worker failed: {reason_of(error)}")


@contextmanager
def _client(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise CardiacSegError(
            f"{address}: no Dask scheduler answers there; give the address that it prints, as tcp://HOST:8786"
        ) from error
    # How a connection was lost fills a screen; what to do about it is said in one line, by _outcome.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with client:
        yield client


class ModelOnWorker(WorkerPlugin):
    """The files of a model, kept in a folder of the worker for as long as it lives.

    Args:
        model: what it is called; so is its folder.
        files: content by relative path.
    """

    idempotent = True  # a cluster that has the model already gets it no second time

    def __init__(self, model: str, files: Mapping[str, bytes]) -> None:
        self.name = f"cardiacseg-{digest(files)}"
        self.model, self.files = model, files

    def setup(self, worker: Worker) -> None:
        """Dask calls this on each worker, once."""
        self.folder = Path(worker.local_directory, self.name, self.model)
        for name, content in self.files.items():
            make_folder((self.folder / name).parent)
            with replacing(self.folder / name) as path:
                path.write_bytes(content)
        self.files = {}


def _send_model(client: Client, bundle: Bundle) -> str:
    """Give the files of a model to all workers, those that join later too, and return its name there."""
    plugin = ModelOnWorker(name_of_model(bundle), model_files(bundle))
    try:
        client.register_plugin(plugin, name=plugin.name)
    except Exception as error:  # whatever a worker raised, or what it lacks
        raise CardiacSegError(
            f"the workers cannot take the model ({reason_of(error)}); install the same CardiacSeg on all of them"
        ) from error
    return plugin.name


class _Models:
    """The models that a worker process has loaded, each once, with the lock of whoever segments by it."""

    _lock = Lock()
    _loaded: ClassVar[dict[tuple[Path, str, int | None], tuple[Segmenter, Lock]]] = {}

    @classmethod
    def get(cls, folder: Path, device: str, turns: int | None) -> tuple[Segmenter, Lock]:
        from CardiacSegLib.inference.segmenter import Segmenter

        with cls._lock:
            key = (folder, device, turns)
            if key not in cls._loaded:
                cls._loaded[key] = Segmenter.load(Bundle.read(folder), device, turns), Lock()
            return cls._loaded[key]


def process_on_worker(study: CohortStudy, job: ClusterJob) -> Outcome:
    """What a worker does with a study. With several threads it reads and writes some while it segments another."""
    _check_worker(job)
    folder = get_worker().plugins[job.plugin].folder
    segmenter, lock = _Models.get(folder, job.device, job.turns)
    loaded = read(study)
    with lock:
        labeled = label(loaded, segmenter)
    return write(measure(labeled), job.job)


def _check_worker(job: ClusterJob) -> None:
    host = socket.gethostname()
    if __version__ != job.version:
        raise CardiacSegError(f"a worker on {host} has CardiacSeg {__version__}, not {job.version}; install the same")
    folder = job.job.studies
    if not folder.is_dir():
        raise CardiacSegError(
            f"{folder}: a worker on {host} sees no such folder; images and output have to lie on a file system that "
            "all workers share"
        )
