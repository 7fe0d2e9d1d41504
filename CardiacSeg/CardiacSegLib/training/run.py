"""One training run: a folder with its configuration, its events, its checkpoints and, at the end, its bundle."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from CardiacSegLib.bundles import Bundle, add_training_facts, read_training_facts, write_bundle
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.validation import mean_dice, score_cases
from CardiacSegLib.files import make_folder, remove_partial, replacing
from CardiacSegLib.inference.devices import Device
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.inference.provenance import Provenance, provenance_of
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.torch_runtime import TorchRuntime
from CardiacSegLib.jobs.events import EventWriter, Listener, Listeners
from CardiacSegLib.jobs.run_folder import EVENTS, claimed, is_asked_to_stop, take_back_stop
from CardiacSegLib.networks import build_network, load_encoder_weights, network_definition, network_multiple
from CardiacSegLib.training.card import model_card
from CardiacSegLib.training.cases import RunCases, find_run_cases, write_division
from CardiacSegLib.training.checkpoints import Checkpoints
from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.distributed import Team, join_team
from CardiacSegLib.training.figures import draw_cases, draw_curves
from CardiacSegLib.training.history import History
from CardiacSegLib.training.store import SliceStore, load_store
from CardiacSegLib.training.tensorboard import TensorBoard
from CardiacSegLib.training.trainer import Trainer
from CardiacSegLib.training.validation import Validation, validate

#: What may change when a run goes on; the rest is what its checkpoints were made by.
RESUMABLE = (
    *("dataset", "device", "epochs", "keep", "learning_rate"),
    *("min_foreground", "minutes", "patience", "validations"),
)
#: Progress is told every so many steps or seconds; between validations a checkpoint is written this often.
_PROGRESS_STEPS = 50
_PROGRESS_SECONDS = 5.0
#: Mean Dice below which a picture shows noise, whose contours take seconds to draw.
_READABLE = 0.1
_SAVE_SECONDS = 120.0
_BUNDLE = "bundle"
#: The bundle while it is written and scored, and the one before it while they change places.
_UNFINISHED, _EARLIER = "bundle-unfinished", "bundle-earlier"


def train(config: TrainingConfig, run: Path, events: Listener) -> Bundle | None:
    """Train one network and write its bundle, with its card, into ``run/bundle``.

    Args:
        config: what to do; checked here.
        run: folder of the run; made where it does not exist.
        events: gets stages, and progress with loss and validation Dice; they stand in ``run/events.jsonl`` as well,
            which ends with the result or the error.

    Returns:
        The bundle; None where the run was asked to stop (:func:`~CardiacSegLib.jobs.run_folder.ask_to_stop`) and did.

    Raises:
        CardiacSegError: where the configuration, the data set or the device does not allow it, or the folder holds a
            run already.
    """
    config.check()
    _refuse_another(run)
    return _start(config, run, events, is_new=True)


def _refuse_another(run: Path) -> None:
    if (run / EVENTS).exists():
        raise CardiacSegError(f"{run}: holds a run already; go on with it by --resume, or name another folder")


def resume(run: Path, events: Listener, changes: Mapping[str, Any] | None = None) -> Bundle | None:
    """Go on with a run that was stopped, killed or failed, from its last checkpoint, or from its start without one.

    Args:
        run: its folder.
        events: see :func:`train`.
        changes: new values for fields of its configuration; more epochs or minutes, another place of the data set.

    Returns:
        See :func:`train`.

    Raises:
        CardiacSegError: where there is no run, another process is at work in it, a field cannot change any more, or as
            :func:`train`.
    """
    changes = dict(changes or {})
    fixed = sorted(set(changes) - set(RESUMABLE))
    if fixed:
        raise CardiacSegError(
            f"--{fixed[0].replace('_', '-')} cannot change when a run goes on; start a new one (what can: "
            f"{', '.join(RESUMABLE)})"
        )
    config = replace(TrainingConfig.read(run), **changes)
    config.check()
    return _start(config, run, events, is_new=False)


def _start(config: TrainingConfig, run: Path, events: Listener, is_new: bool) -> Bundle | None:
    with join_team(config.device) as (team, device_name):
        device = Device.choose(device_name)
        cases = find_run_cases(config, run)
        setup = _setup(config, cases)
        if not team.is_first:
            return _Run(config, run, cases, setup, device, team, Listeners()).go()
        make_folder(run)
        with claimed(run):
            if is_new:
                _refuse_another(run)  # one may have come and gone while the cases were being found
            _remove_unfinished(run)
            remove_partial(run)
            config.write(run)
            write_division(run, cases)
            with (run / EVENTS).open("a", encoding="utf-8") as stream:
                if not _ends_a_line(run / EVENTS):
                    stream.write("\n")
                file = EventWriter(stream)
                work = _Run(config, run, cases, setup, device, team, Listeners(file, events))
                return _with_last_word(work, file)


def _ends_a_line(path: Path) -> bool:
    """Whether what is added to a text file begins a line; a full disk leaves half a line behind."""
    return path.read_bytes()[-1:] in (b"", b"\n")


def _with_last_word(work: _Run, file: EventWriter) -> Bundle | None:
    """Do the work of a run; how it ended is the last event in its file."""
    try:
        bundle = work.go()
    except BaseException as error:
        file.error(error)
        raise
    if bundle is None:
        file.stopped()
    else:
        file.result(bundle=bundle.folder.name, provenance=work.provenance(bundle).fields())
    return bundle


@dataclass(frozen=True)
class _Setup:
    """The network of a run, and what it sees."""

    definition: Mapping[str, Any]
    grid: ModelGrid


def _setup(config: TrainingConfig, cases: RunCases) -> _Setup:
    channels, classes = 2 * config.neighbors + 1, len(cases.convention) + 1
    definition = network_definition(config.network, channels, classes, config.filters)
    multiple = network_multiple(config.network, config.filters)
    if config.crop % multiple or config.window % multiple:
        raise CardiacSegError(
            f"training configuration: crop is {config.crop} and window {config.window}; for this network both have to "
            f"be multiples of {multiple}"
        )
    return _Setup(definition, ModelGrid(config.spacing, multiple=multiple, neighbors=config.neighbors))


class _Run:
    """A run from its cases to its bundle."""

    def __init__(
        self,
        config: TrainingConfig,
        run: Path,
        cases: RunCases,
        setup: _Setup,
        device: Device,
        team: Team,
        events: Listener,
    ) -> None:
        self._config, self._run, self._cases, self._setup = config, run, cases, setup
        self._device, self._team, self._events = device, team, events
        self._checkpoints = Checkpoints(run / "checkpoints")
        self._history = History()
        self._started_from: dict[str, Any] | None = None
        self._saved = self._told = time.monotonic()
        self._next_validation = 1
        self._name, self._seconds = config.name or run.name, 0.0

    def go(self) -> Bundle | None:
        """Read, train, and write the bundle; None where the run was asked to stop."""
        training, validation = self._read()
        state = self._checkpoints.load()
        network = self._new_network() if state is None else build_network(self._setup.definition)
        trainer = Trainer(self._config, network, self._device, training, len(self._cases.convention) + 1, self._team)
        if state is not None:
            self._restore(trainer, state)
        if self._is_asked_to_stop() or not self._train(trainer, validation):
            return self._stop(trainer)
        return self._finish(trainer)

    def _read(self) -> tuple[SliceStore, SliceStore]:
        cases, left_out = self._cases, self._cases.left_out
        count = len(cases.training) + len(cases.validation)
        without = f"; {left_out} without all of {', '.join(cases.convention)} are left out" if left_out else ""
        self._events.stage("read", f"reading {count} cases{without}")
        return tuple(
            load_store(side, self._setup.grid, cases.convention, self._config.window)
            for side in (cases.training, cases.validation)
        )

    def _new_network(self) -> torch.nn.Module:
        torch.manual_seed(self._config.seed)
        network = build_network(self._setup.definition)
        if self._config.encoder_weights:
            load_encoder_weights(network, self._config.encoder_weights)
        if self._config.start:
            start = Bundle.read(self._config.start)
            load_widened(network, start.load_network())
            self._started_from = read_training_facts(start.folder)
        return network

    def _restore(self, trainer: Trainer, state: Mapping[str, Any]) -> None:
        trainer.restore(state["trainer"])
        self._history = History.from_state(state["history"])
        self._started_from = state["started_from"]
        self._events.stage("resume", f"going on from step {trainer.step}")

    def _train(self, trainer: Trainer, store: SliceStore) -> bool:
        """Whether the training came to its end; not where it was asked to stop."""
        weights = f"{trainer.parameters / 1e6:.2f} M weights"
        self._events.stage("train", f"training on {trainer.slices} slices with {weights}")
        board = TensorBoard(self._run) if self._team.is_first else None
        self._next_validation = self._validations_until(trainer.done()) + 1
        for done in () if self._need_not_go_on() else trainer.steps():
            self._tell(trainer, done)
            if self._is_due(done):
                self._validate(trainer, store, done, board)
            elif self._team.agree(time.monotonic() - self._saved) > _SAVE_SECONDS:
                self._save(trainer)
            if self._need_not_go_on():
                self._events.stage("stop", f"no better Dice in {self._history.without_gain} validations")
                break
            if self._is_asked_to_stop():
                return False
        return True

    def _tell(self, trainer: Trainer, done: float) -> None:
        is_time = time.monotonic() - self._told > _PROGRESS_SECONDS
        if is_time or trainer.step % _PROGRESS_STEPS == 0 or done >= 1:
            self._events.progress(done, trainer.seconds_left(done), step=trainer.step, loss=round(trainer.loss, 4))
            self._told = time.monotonic()

    def _is_asked_to_stop(self) -> bool:
        return self._team.agree(float(self._team.is_first and is_asked_to_stop(self._run))) > 0

    def _stop(self, trainer: Trainer) -> None:
        """Keep all that is needed to go on exactly from here."""
        self._save(trainer)
        if self._team.is_first:
            take_back_stop(self._run)
        self._events.stage("stop", f"stopped at step {trainer.step}; the run can go on from there")

    def _need_not_go_on(self) -> bool:
        """Whether validation has brought nothing better for as long as the configuration waits."""
        return 0 < self._config.patience <= self._history.without_gain

    def _is_due(self, done: float) -> bool:
        """Once for each of the run's validations, and at its end; where steps are few, some fall together."""
        return self._validations_until(done) >= self._next_validation or done >= 1

    def _validations_until(self, done: float) -> int:
        return int(done * self._config.validations)

    def _validate(self, trainer: Trainer, store: SliceStore, done: float, board: TensorBoard | None) -> None:
        self._next_validation = self._validations_until(done) + 1
        convention = self._cases.convention
        measures = {
            "step": trainer.step,
            "epoch": round(trainer.epochs, 2),
            "seconds": round(trainer.elapsed(), 1),
            "learning_rate": trainer.learning_rate(done),
            "loss": round(trainer.loss, 4),
        }
        validation = validate(trainer.network, store, self._setup.grid, self._device, convention)
        better = self._history.add(measures, validation)
        trainer.schedule.validated(validation.mean_dice)
        self._events.progress(done, trainer.seconds_left(done), step=trainer.step, dice=validation.dice)
        if better and self._team.is_first:
            self._checkpoints.save_best(trainer.network.state_dict())
        self._save(trainer)
        if self._team.is_first:
            self._show(store, validation, is_last=done >= 1)
            board.add(self._history.rows[-1])

    def _save(self, trainer: Trainer) -> None:
        state = {
            "trainer": trainer.state(),
            "history": self._history.state(),
            "started_from": self._started_from,
        }
        if self._team.is_first:
            self._checkpoints.save(state)
        self._saved = time.monotonic()

    def _show(self, store: SliceStore, validation: Validation, is_last: bool) -> None:
        """Bring what people look at up to date."""
        make_folder(self._run / "pictures")
        rows, convention = self._history.rows, self._cases.convention
        self._history.write(self._run / "metrics.csv")
        draw_curves(rows, tuple(convention), self._run / "curves.png", self._config.name or self._run.name)
        if validation.mean_dice < _READABLE and not is_last:
            return
        title = f"step {rows[-1]['step']}, mean Dice {rows[-1]['dice']:.3f}; reference in white"
        picture = self._run / "pictures" / f"step_{rows[-1]['step']:07d}.png"
        draw_cases(store, validation.labels, convention, picture, title)

    def _finish(self, trainer: Trainer) -> Bundle:
        """Write the bundle of the trained network, score it on the held-out cases and fill in its card."""
        network = trainer.network
        if self._config.keep == "best":
            network.load_state_dict(self._checkpoints.load_best())
        folder, config = self._run / _BUNDLE, self._config
        grid = replace(self._setup.grid, spacing=config.inference_spacing or config.spacing)
        if not self._team.is_first:
            return Bundle(folder, grid, self._cases.convention, self._setup.definition, "")
        with _replacing_folder(folder) as unfinished:
            self._write_bundle(unfinished, trainer, grid)
        return Bundle.read(folder)

    def _write_bundle(self, folder: Path, trainer: Trainer, grid: ModelGrid) -> None:
        config, network = self._config, trainer.network
        name, definition = self._name, self._setup.definition
        self._seconds = trainer.elapsed()
        bundle = write_bundle(
            *(folder, name, network, definition, grid, self._cases.convention),
            facts=self._facts(trainer),
            turns=config.turns,
            description=config.title,
            modality=config.modality,
            tell=lambda reason: self._events.stage("onnx", reason),
        )
        self._events.stage("score", f"scoring {len(self._cases.validation)} held-out cases on their own grids")
        runtime = TorchRuntime(bundle.load_network(), self._device)
        segmenter = Segmenter(runtime, bundle.grid, bundle.convention, bundle.turns)
        table = mean_dice(score_cases(segmenter, self._cases.validation, self._events.progress))
        metadata = add_training_facts(bundle, {"validation_dice": rounded(table)})
        with replacing(bundle.card) as card:
            card.write_text(model_card(metadata), encoding="utf-8")

    def provenance(self, bundle: Bundle) -> Provenance:
        """What made a model, which is recorded at the end of its run; seconds are those of the training alone."""
        return replace(provenance_of(bundle, self._device.machine), model=self._name).timed(self._seconds)

    def _facts(self, trainer: Trainer) -> dict[str, Any]:
        config, cases = self._config, self._cases
        sides = {"trained": cases.training, "validated": cases.validation}
        return {
            "slices": trainer.slices,
            "steps": trainer.step,
            "epochs": round(trainer.epochs, 1),
            "minutes": round(trainer.elapsed() / 60, 1),
            "parameters": trainer.parameters,
            "network": self._setup.definition["_target_"].rpartition(".")[2],
            "layout": cases.layout,
            "purpose": config.purpose,
            "fold": config.fold,
            "neighbors": config.neighbors,
            "turns": config.turns,
            "batch_size": config.batch_size,
            "keep": config.keep,
            "averaged": config.ema_decay > 0,
            "spacing": config.spacing,
            "command": config.command(TrainingConfig(), dataset="DATA", **_card_places(config)),
            "machine": self._device.described,
            **{f"patients_{name}_on": sorted({case.patient for case in side}) for name, side in sides.items()},
            "started_from": self._started_from,
        }


def _remove_unfinished(run: Path) -> None:
    for name in (_UNFINISHED, _EARLIER):
        shutil.rmtree(run / name, ignore_errors=True)


@contextmanager
def _replacing_folder(folder: Path) -> Iterator[Path]:
    """Write the folder of a bundle under another name; it gets its own, and goes before an earlier one, once whole."""
    run = folder.parent
    _remove_unfinished(run)
    try:
        yield run / _UNFINISHED
        _exchange(run / _UNFINISHED, folder, run / _EARLIER)
    finally:
        _remove_unfinished(run)


def _exchange(new: Path, folder: Path, earlier: Path) -> None:
    try:
        if folder.exists():
            folder.rename(earlier)
        new.rename(folder)
    except OSError as error:
        if earlier.exists():
            earlier.rename(folder)
        raise CardiacSegError(
            f"{folder}: cannot be replaced ({error.strerror or error}); end what uses it and resume the run"
        ) from error


def _card_places(config: TrainingConfig) -> dict[str, str]:
    """Places on this machine as a card may name them."""
    names = {"split": Path(config.split).name, "start": "RUN_START/bundle", "encoder_weights": "WEIGHTS"}
    return {field: name for field, name in names.items() if getattr(config, field)}


def rounded(table: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """A Dice table to four digits, as it is kept in metadata."""
    return {phase: {name: round(value, 4) for name, value in row.items()} for phase, row in table.items()}


def load_widened(network: torch.nn.Module, start: torch.nn.Module) -> None:
    """Give a network the weights of another that may see fewer slices; what its new neighbors say counts nothing yet.

    Raises:
        CardiacSegError: where they differ in more than their input.
    """
    weights, widened = start.state_dict(), network.state_dict()
    for name, new in widened.items():
        old = weights.get(name)
        extra = new.shape[1] - old.shape[1] if old is not None and new.ndim == 4 == old.ndim else 0
        if extra > 0 and extra % 2 == 0:
            weights[name] = torch.nn.functional.pad(old, (0, 0, 0, 0, extra // 2, extra // 2))
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        message = "the model to start from has another network; give the network and filters that it was trained with"
        raise CardiacSegError(message) from error
