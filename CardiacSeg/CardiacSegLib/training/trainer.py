"""The loop that trains: a network with its optimizer, its schedule and the moving average of its weights.

A plain loop rather than MONAI's SupervisedTrainer: batches come as tensors from memory, and there is nothing to
collate.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from CardiacSegLib.errors import CardiacSegError, one_line
from CardiacSegLib.inference.devices import Device
from CardiacSegLib.training.augmentation import build_augmentation
from CardiacSegLib.training.compilation import as_trained
from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.distributed import ALONE, Team
from CardiacSegLib.training.losses import build_loss
from CardiacSegLib.training.optimizers import build_optimizer
from CardiacSegLib.training.sampling import Sampler, worth_training
from CardiacSegLib.training.schedules import build_schedule
from CardiacSegLib.training.store import SliceStore

#: How far a crop's center lies from the heart's at most, as a share of the crop: the heart stays mostly in it.
_SHIFT = 0.225
#: Largest norm of the gradient in a step; a rare bad batch cannot throw the weights away.
_GRADIENT_NORM = 5.0


class Trainer:
    """A training run in memory.

    It can be taken apart into a checkpoint at any step and put together again: every step draws what is random from a
    seed of its own, so that a run that went on from a checkpoint ends in the weights of one that was never stopped.

    Attributes:
        step: how many steps are done.
        loss: of the last step.
        parameters: number of weights.
    """

    def __init__(
        self,
        config: TrainingConfig,
        network: torch.nn.Module,
        device: Device,
        store: SliceStore,
        classes: int,
        team: Team = ALONE,
    ) -> None:
        self._config, self._device, self._store, self._team = config, device, store, team
        self._bare = network.to(device.torch, memory_format=torch.channels_last)
        self._averaged = AveragedModel(self._bare, multi_avg_fn=_moving_average(config.ema_decay), use_buffers=True)
        self._highest_rate = config.highest_learning_rate
        self._optimizer = build_optimizer(config.optimizer, self._bare, self._highest_rate, config.chosen_weight_decay)
        self._scaler = torch.amp.GradScaler(device.torch.type, enabled=device.precision == torch.float16)
        self.schedule = build_schedule(config.schedule)
        shares = store.class_shares(classes)
        self._loss = build_loss(config.loss, shares.mean(0)).to(device.torch)
        self._augment = build_augmentation(config.augmentation, _SHIFT * config.crop, config.neighbors, classes)
        self._kept = worth_training(1 - shares[:, 0], config.min_foreground)
        self._sampler = Sampler(
            shares[self._kept] > 0, config.batch_size, config.seed * team.size + team.rank, config.oversampling
        )
        self._last_step = max(1, config.epochs * len(self._kept) // (config.batch_size * team.size))
        self._live = (
            team.shared(self._bare) if team.size > 1 else as_trained(self._bare, config, device, self._last_step)
        )
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self.step, self.loss = 0, float("nan")
        self.parameters = sum(weights.numel() for weights in self._bare.parameters())

    @property
    def network(self) -> torch.nn.Module:
        """The averaged network, which is the one that is validated and kept."""
        return self._averaged.module

    @property
    def slices(self) -> int:
        """How many slices are trained on."""
        return len(self._kept)

    @property
    def epochs(self) -> float:
        """How often each slice was seen, on average."""
        return self.step * self._config.batch_size * self._team.size / len(self._kept)

    def elapsed(self) -> float:
        """Seconds of training, those before a checkpoint included."""
        return self._seconds_before + time.monotonic() - self._started

    def done(self) -> float:
        """Share of the run that is over, 0 to 1, by the clock or by the step."""
        by_clock = self._config.minutes > 0
        share = self.elapsed() / (60 * self._config.minutes) if by_clock else self.step / self._last_step
        return min(1.0, self._team.agree(share))

    def seconds_left(self, done: float) -> float:
        """Estimated from the share that is over."""
        return self.elapsed() * (1 - done) / max(done, 1e-6)

    def learning_rate(self, done: float) -> float:
        """Where the schedule stands when that share of the run is over."""
        return self._highest_rate * self.schedule.factor(done)

    def steps(self) -> Iterator[float]:
        """Train step by step until the run is over, yielding the share that is done.

        Raises:
            CardiacSegError: where the loss is no number any more; the weights are still those before the step.
        """
        done = self.done()
        while done < 1:
            self._train_on(self._kept[next(self._sampler)], done)
            done = self.done()
            yield done

    def _train_on(self, chosen: torch.Tensor, done: float) -> None:
        seed = _seed_of_step(self._config.seed, self._team.rank, self.step)
        torch.manual_seed(seed)  # dropout
        images, labels = self._augment(self._store, chosen, self._config.crop, torch.Generator().manual_seed(seed))
        images = images.to(self._device.torch, memory_format=torch.channels_last)
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate(done)
        self._live.train()
        with self._device.autocast():
            logits = self._live(images)
        # A loss goes over the pixels of one class after the other, not over the classes of one pixel.
        logits = logits.float().contiguous()
        loss = self._loss(logits, labels.to(self._device.torch))
        self._check(float(loss.detach()), chosen)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        torch.nn.utils.clip_grad_norm_(self._bare.parameters(), _GRADIENT_NORM)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._averaged.update_parameters(self._bare)
        self.step += 1

    def _check(self, loss: float, chosen: torch.Tensor) -> None:
        if loss != loss or abs(loss) == float("inf"):
            names = sorted({self._store.names[case] for case in self._store.cases[chosen].tolist()})
            raise CardiacSegError(
                f"the loss is no number at step {self.step} (cases {', '.join(names)}); resume with a lower "
                "learning_rate, or look at these cases"
            )
        self.loss = loss

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs to go on from here."""
        return {
            "step": self.step,
            "seconds": self.elapsed(),
            "network": self._bare.state_dict(),
            "averaged": self._averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "schedule": self.schedule.state_dict(),
            "samplers": self._team.gather(self._sampler.state_dict()),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            CardiacSegError: where it belongs to another network or another number of processes.
        """
        if len(state["samplers"]) != self._team.size:
            raise CardiacSegError(
                f"the checkpoint was made by {len(state['samplers'])} process(es); resume with as many, "
                f"not with {self._team.size}"
            )
        try:
            self._bare.load_state_dict(state["network"])
            self._averaged.load_state_dict(state["averaged"])
            self._optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CardiacSegError(
                f"the checkpoint belongs to another network ({one_line(error)}); start a new run"
            ) from error
        self._scaler.load_state_dict(state["scaler"])
        self.schedule.load_state_dict(state["schedule"])
        self._sampler.load_state_dict(state["samplers"][self._team.rank])
        self.step, self._seconds_before = state["step"], state["seconds"]
        self._started = time.monotonic()


def _moving_average(decay: float) -> Any:
    """The exponential moving average; it forgets faster at the start, or a short run would keep its first weights."""

    def update(averaged: Any, current: Any, count: Any) -> None:
        get_ema_multi_avg_fn(min(decay, (1 + float(count)) / (10 + float(count))))(averaged, current, count)

    return update


def _seed_of_step(seed: int, rank: int, step: int) -> int:
    """A seed for what one process draws in one step."""
    return ((seed % 2**15) << 48) | ((rank % 2**12) << 36) | (step % 2**36)
