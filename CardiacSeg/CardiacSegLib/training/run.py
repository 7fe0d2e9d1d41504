"""One training run: a folder with its configuration, its events, its checkpoints and, at the end, its bundle."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from CardiacSegLib.bundles import RUN_BUNDLE, Bundle
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder, remove_partial
from CardiacSegLib.inference.devices import Device
from CardiacSegLib.inference.provenance import Provenance, provenance_of
from CardiacSegLib.jobs.events import EventWriter, Listener, Listeners
from CardiacSegLib.jobs.run_folder import EVENTS, claimed, is_asked_to_stop, take_back_stop
from CardiacSegLib.networks import build_network
from CardiacSegLib.training.cases import write_division
from CardiacSegLib.training.checkpoints import Checkpoints
from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.distributed import Team, join_team
from CardiacSegLib.training.figures import draw_cases, draw_curves
from CardiacSegLib.training.history import History
from CardiacSegLib.training.initial_weights import load_initial_weights
from CardiacSegLib.training.plan import RunPlan
from CardiacSegLib.training.run_bundle import remove_unfinished, write_run_bundle
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
        plan = RunPlan.make(config, run, Device.choose(device_name))
        if not team.is_first:
            return _Run(plan, team, Listeners()).go()
        make_folder(run)
        with claimed(run):
            if is_new:
                _refuse_another(run)  # one may have come and gone while the cases were being found
            remove_unfinished(run)
            remove_partial(run)
            config.write(run)
            write_division(run, plan.cases)
            with (run / EVENTS).open("a", encoding="utf-8") as stream:
                if not _ends_a_line(run / EVENTS):
                    stream.write("\n")
                file = EventWriter(stream)
                return _with_last_word(_Run(plan, team, Listeners(file, events)), file)


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


class _Run:
    """A run from its cases to its bundle."""

    def __init__(self, plan: RunPlan, team: Team, events: Listener) -> None:
        self._plan, self._team, self._events = plan, team, events
        self._config, self._cases = plan.config, plan.cases
        self._checkpoints = Checkpoints(plan.folder / "checkpoints")
        self._history = History()
        self._started_from: dict[str, Any] | None = None
        self._saved = self._told = time.monotonic()
        self._next_validation = 1
        self._seconds = 0.0

    def go(self) -> Bundle | None:
        """Read, train, and write the bundle; None where the run was asked to stop."""
        training, validation = self._read()
        state = self._checkpoints.load()
        torch.manual_seed(self._config.seed)
        network = build_network(self._plan.definition)
        if state is None:
            self._started_from = load_initial_weights(network, self._config)
        classes = len(self._cases.convention) + 1
        trainer = Trainer(self._config, network, self._plan.device, training, classes, self._team)
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
            load_store(side, self._plan.grid, cases.convention, self._config.window)
            for side in (cases.training, cases.validation)
        )

    def _restore(self, trainer: Trainer, state: Mapping[str, Any]) -> None:
        trainer.restore(state["trainer"])
        self._history = History.from_state(state["history"])
        self._started_from = state["started_from"]
        self._events.stage("resume", f"going on from step {trainer.step}")

    def _train(self, trainer: Trainer, store: SliceStore) -> bool:
        """Whether the training came to its end; not where it was asked to stop."""
        weights = f"{trainer.parameters / 1e6:.2f} M weights"
        self._events.stage("train", f"training on {trainer.slices} slices with {weights}")
        board = TensorBoard(self._plan.folder) if self._team.is_first else None
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
        return self._team.agree(float(self._team.is_first and is_asked_to_stop(self._plan.folder))) > 0

    def _stop(self, trainer: Trainer) -> None:
        """Keep all that is needed to go on exactly from here."""
        self._save(trainer)
        if self._team.is_first:
            take_back_stop(self._plan.folder)
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
        validation = validate(trainer.network, store, self._plan.grid, self._plan.device, convention)
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
        make_folder(self._plan.folder / "pictures")
        rows, convention = self._history.rows, self._cases.convention
        self._history.write(self._plan.folder / "metrics.csv")
        draw_curves(rows, tuple(convention), self._plan.folder / "curves.png", self._plan.name)
        if validation.mean_dice < _READABLE and not is_last:
            return
        title = f"step {rows[-1]['step']}, mean Dice {rows[-1]['dice']:.3f}; reference in white"
        picture = self._plan.folder / "pictures" / f"step_{rows[-1]['step']:07d}.png"
        draw_cases(store, validation.labels, convention, picture, title)

    def _finish(self, trainer: Trainer) -> Bundle:
        """The bundle of the trained network, which the first process of a team writes."""
        if self._config.keep == "best":
            trainer.network.load_state_dict(self._checkpoints.load_best())
        self._seconds = trainer.elapsed()
        if self._team.is_first:
            return write_run_bundle(self._plan, trainer, self._started_from, self._events)
        plan = self._plan
        return Bundle(plan.folder / RUN_BUNDLE, plan.labeling_grid, plan.cases.convention, plan.definition, "")

    def provenance(self, bundle: Bundle) -> Provenance:
        """What made a model, which is recorded at the end of its run; seconds are those of the training alone."""
        return replace(provenance_of(bundle, self._plan.device.machine), model=self._plan.name).timed(self._seconds)
