"""One training run: a folder with its configuration, its events, its checkpoint and, at the end, its bundle.

A plain loop rather than MONAI's SupervisedTrainer: batches come as tensors from memory and there is nothing to collate.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import DiceCELoss
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import Bundle, add_training_facts, read_training_facts, write_bundle
from CardiacSegLib.datasets import acdc
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.splits import make_folds, read_folds, split_cases
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.evaluation.validation import mean_dice, score_cases
from CardiacSegLib.files import make_folder, replacing
from CardiacSegLib.inference.devices import Device
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.jobs.events import EventWriter, Listener, Listeners
from CardiacSegLib.networks import build_network, dynunet_definition
from CardiacSegLib.training.augmentation import CardiacMRAugmentation
from CardiacSegLib.training.card import model_card
from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.store import SliceStore, load_store

#: The run is validated this often; the progress bar moves in the same steps on a dumb terminal.
_VALIDATIONS = 16
#: How far a crop's center lies from the heart's at most, as a share of the crop: the heart stays mostly in it.
_SHIFT = 0.225
#: Largest norm of the gradient in a step; a rare bad batch cannot throw the weights away.
_GRADIENT_NORM = 5.0


def train(config: TrainingConfig, run: Path, events: Listener) -> Bundle:
    """Train one network and write its bundle, with its card, into ``run/bundle``.

    Args:
        config: what to do; checked here.
        run: folder of the run; made where it does not exist.
        events: gets stages, and progress with loss and validation Dice; they stand in ``run/events.jsonl`` as well,
            which ends with the result or the error.

    Returns:
        The bundle.

    Raises:
        CardiacSegError: where the configuration, the data set or the device does not allow it.
    """
    config.check()
    device = Device.choose(config.device)
    training, validation = _split(config)
    make_folder(run)
    config.write(run / "config.json")
    with (run / "events.jsonl").open("a", encoding="utf-8") as stream:
        file = EventWriter(stream)
        try:
            bundle = _train(config, run, training, validation, device, Listeners(file, events))
        except BaseException as error:
            file.error(error)
            raise
        file.result(bundle=bundle.folder.name)
        return bundle


def _train(
    config: TrainingConfig,
    run: Path,
    training: Sequence[Case],
    validation: Sequence[Case],
    device: Device,
    events: Listener,
) -> Bundle:
    grid = ModelGrid(config.spacing, multiple=2 ** (len(config.filters) - 1), neighbors=config.neighbors)
    events.stage("read", f"reading {len(training) + len(validation)} cases")
    training_store = load_store(training, grid, CANONICAL)
    validation_store = load_store(validation, grid, CANONICAL)

    definition = dynunet_definition(config.filters, classes=len(CANONICAL) + 1, channels=grid.channels)
    trainer = Trainer(config, definition, device, training_store)
    events.stage("train", f"training on {len(training_store)} slices with {trainer.parameters / 1e6:.2f} M weights")
    for done in trainer.steps():
        if trainer.step % 50 == 0 or done >= 1:
            events.progress(done, trainer.seconds_left(done), step=trainer.step, loss=round(trainer.loss, 4))
        if trainer.validation_is_due(done):
            dice = validate(trainer.network, validation_store, grid, device)
            events.progress(done, trainer.seconds_left(done), step=trainer.step, dice=dice)
            trainer.save_checkpoint(run / "checkpoint.pt")

    result = Result(
        network=trainer.network,
        definition=definition,
        grid=grid,
        training=training,
        validation=validation,
        facts={
            "slices": len(training_store),
            "steps": trainer.step,
            "epochs": round(trainer.step * config.batch_size / len(training_store), 1),
            "minutes": round(trainer.elapsed() / 60, 1),
            "parameters": trainer.parameters,
        },
    )
    return finish(config, run, result, device, events)


@dataclass(frozen=True)
class Result:
    """What training leaves: the network, what it was trained on, and facts for the card."""

    network: torch.nn.Module
    definition: Mapping[str, Any]
    grid: ModelGrid
    training: Sequence[Case]
    validation: Sequence[Case]
    facts: Mapping[str, Any]


def finish(config: TrainingConfig, run: Path, result: Result, device: Device, events: Listener) -> Bundle:
    """Write the bundle of a trained network, score it on the held-out cases and fill in its card."""
    facts = {
        **result.facts,
        "network": result.definition["_target_"],
        "fold": config.fold,
        "neighbors": config.neighbors,
        "turns": config.turns,
        "batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "minutes_asked": config.minutes,
        "machine": machine(device),
        "patients_trained_on": sorted({case.patient for case in result.training}),
        "patients_validated_on": sorted({case.patient for case in result.validation}),
        "started_from": read_training_facts(Path(config.start)) if config.start else None,
    }
    bundle = write_bundle(
        run / "bundle", config.name, result.network, result.definition, result.grid, CANONICAL, facts, config.turns
    )
    events.stage("score", f"scoring {len(result.validation)} held-out cases on their own grids")
    segmenter = Segmenter(bundle.load_network(), bundle.grid, bundle.convention, device, bundle.turns)
    table = mean_dice(score_cases(segmenter, result.validation, events.progress))
    metadata = add_training_facts(bundle, {"validation_dice": rounded(table)})
    with replacing(bundle.card) as card:
        card.write_text(model_card(metadata), encoding="utf-8")
    return bundle


def rounded(table: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """A Dice table to four digits, as it is kept in metadata."""
    return {phase: {name: round(value, 4) for name, value in row.items()} for phase, row in table.items()}


def machine(device: Device) -> str:
    """The kind of machine, without its name: processor threads and precision, or the GPU."""
    if device.torch.type == "cuda":
        return torch.cuda.get_device_name(device.torch)
    precision = str(device.precision).rpartition(".")[2]
    return f"{torch.get_num_threads()} threads of a {device.torch.type.upper()} in {precision}"


def _split(config: TrainingConfig) -> tuple[list[Case], list[Case]]:
    cases = acdc.find_cases(Path(config.dataset))
    folds = read_folds(Path(config.split)) if config.split else make_folds(cases, together=acdc.SAME_IMAGES)
    return split_cases(cases, folds, config.fold)


class Trainer:
    """The network with its optimizer, its schedule and its averaged copy.

    The schedule (one cycle: Smith and Topin, arXiv 1708.07120) follows the share of the run that is done, by the clock
    where a number of minutes is given and by the step otherwise, so that both kinds of run end with it.
    """

    def __init__(self, config: TrainingConfig, definition: dict, device: Device, store: SliceStore) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device, self.store = config, device, store
        network = build_network(definition)
        if config.start:
            load_widened(network, Bundle.read(config.start).load_network())
        self._live = network.to(device.torch, memory_format=torch.channels_last)
        self._averaged = AveragedModel(
            self._live, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True
        )
        self._optimizer = torch.optim.AdamW(self._live.parameters(), weight_decay=config.weight_decay)
        self._loss = DiceCELoss(include_background=False, softmax=True, to_onehot_y=True, batch=True)
        self._augment = CardiacMRAugmentation(shift=_SHIFT * config.crop, neighbors=config.neighbors)
        self._generator = torch.Generator().manual_seed(config.seed)
        self._last_step = max(1, config.epochs * len(store) // config.batch_size)
        self._validations = 0
        self._started = time.monotonic()
        self.step, self.loss = 0, float("nan")
        self.parameters = sum(weights.numel() for weights in self._live.parameters())

    @property
    def network(self) -> torch.nn.Module:
        """The averaged network, which is the one that is validated and kept."""
        return self._averaged.module

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started

    def done(self) -> float:
        """Share of the run that is over, 0 to 1."""
        share = self.elapsed() / (60 * self.config.minutes) if self.config.minutes else self.step / self._last_step
        return min(1.0, share)

    def seconds_left(self, done: float) -> float:
        """Estimated from the share that is over."""
        return self.elapsed() * (1 - done) / max(done, 1e-6)

    def validation_is_due(self, done: float) -> bool:
        """True once for each of the run's validations."""
        if done * _VALIDATIONS < self._validations + 1:
            return False
        self._validations = int(done * _VALIDATIONS)
        return True

    def steps(self) -> Iterator[float]:
        """Train step by step until the run is over, yielding the share that is done."""
        batches = self._batches()
        while self.done() < 1:
            self._train_on(next(batches))
            yield self.done()

    def _batches(self) -> Iterator[torch.Tensor]:
        size = min(self.config.batch_size, len(self.store))
        while True:
            order = torch.randperm(len(self.store), generator=self._generator)
            yield from order[: len(order) // size * size].split(size)

    def _train_on(self, chosen: torch.Tensor) -> None:
        images, labels = self._augment(self.store, chosen, self.config.crop, self._generator)
        images = images.to(self.device.torch, memory_format=torch.channels_last)
        for group in self._optimizer.param_groups:
            group["lr"] = one_cycle(self.done(), self.config.learning_rate)
        self._live.train()
        with self.device.autocast():
            logits = self._live(images)
        loss = self._loss(logits.float(), labels.to(self.device.torch))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._live.parameters(), _GRADIENT_NORM)
        self._optimizer.step()
        self._averaged.update_parameters(self._live)
        self.step, self.loss = self.step + 1, float(loss.detach())

    def save_checkpoint(self, path: Path) -> None:
        """Keep the weights, replacing the former checkpoint only once the new one is whole."""
        with replacing(path) as temporary:
            torch.save({"network": self.network.state_dict(), "step": self.step}, temporary)


def one_cycle(done: float, highest: float) -> float:
    """Learning rate: up along a cosine over the first tenth of the run, then down along a cosine to nearly nothing."""
    if done < 0.1:
        return highest * (0.04 + 0.96 * (1 - np.cos(np.pi * done / 0.1)) / 2)
    return highest * max(1e-4, (1 + np.cos(np.pi * (done - 0.1) / 0.9)) / 2)


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
        message = "the model to start from has another network; give the filters that it was trained with"
        raise CardiacSegError(message) from error


def validate(network: torch.nn.Module, store: SliceStore, grid: ModelGrid, device: Device) -> dict[str, float]:
    """Mean Dice of each structure over the cases of a store, on the model's grid and without clean-up."""
    network.eval()
    predicted: list[torch.Tensor] = []
    with torch.inference_mode(), device.autocast():
        offsets = torch.arange(-grid.neighbors, grid.neighbors + 1)
        for chosen in torch.arange(len(store)).split(16):
            batch = store.with_neighbors(chosen, offsets.expand(len(chosen), -1))
            batch = batch.to(device.torch, memory_format=torch.channels_last)
            predicted.append(network(batch).permute(0, 2, 3, 1).contiguous().argmax(-1).to("cpu", torch.uint8))
    return dice_by_structure(torch.cat(predicted).numpy(), store.labels.numpy(), store.cases.numpy())


def dice_by_structure(labels: np.ndarray, reference: np.ndarray, cases: np.ndarray) -> dict[str, float]:
    """Mean over cases of the Dice of each structure; ``cases`` says which case each slice belongs to."""
    scores = [dice_scores(labels[cases == case], reference[cases == case], CANONICAL) for case in np.unique(cases)]
    return {name: round(float(np.mean([score[name] for score in scores])), 4) for name in CANONICAL}
