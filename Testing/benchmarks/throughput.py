"""Slices a second of the default recipe against MONAI's usual pipeline, side by side on this machine.

    python Testing/benchmarks/throughput.py --dataset ACDC/training

All train the same network with the same loss, optimizer and batch on the same patients, at the same spacing and crop,
with augmentation of the same strength: the same turns and flips, tilt, zoom, bending, gamma, bias field, brightness,
blur, low resolution and noise, each as often; only CardiacSeg cuts intensities to a window, too. The usual pipeline is
CacheDataset with dictionary transforms for each sample, a DataLoader with two workers, and the network as MONAI builds
it: on a processor in float32, channels first. Beside it the same with CardiacSeg's precision and memory format, so that
one sees what the data alone cost. Each is a process of its own; they take turns for several rounds, so that what else
the machine does hits all. A ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from monai.data import CacheDataset, DataLoader
from monai.losses import DiceCELoss
from monai.transforms import (
    Compose,
    Rand2DElasticd,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandRotate90d,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSimulateLowResolutiond,
    RandSpatialCropd,
)

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.datasets.layouts import find_cases
from CardiacSegLib.inference.devices import Device
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.networks import build_network, network_definition, network_multiple
from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.recipes import DEFAULT_RECIPE, find_recipe
from CardiacSegLib.training.store import SliceStore, load_store
from CardiacSegLib.training.trainer import Trainer

#: Steps that are not timed: as many batches the workers of a DataLoader have ready when their turn comes, and one more.
_WARM_UP = 5


def usual_transforms(crop: int) -> Compose:
    """What a MONAI user writes for the same augmentation, sample by sample."""
    both, modes = ("image", "label"), ("bilinear", "nearest")
    return Compose(
        [
            RandSpatialCropd(both, (crop, crop), random_size=False),
            RandRotate90d(both, prob=0.75, max_k=3),
            RandFlipd(both, prob=0.5, spatial_axis=0),
            RandAffined(both, prob=1, rotate_range=0.6, scale_range=0.25, mode=modes, padding_mode="zeros"),
            Rand2DElasticd(both, (25, 25), (0, 3), prob=0.5, mode=modes, padding_mode="zeros"),
            RandAdjustContrastd("image", prob=0.5, gamma=(0.6, 1.65)),
            RandBiasFieldd("image", prob=0.4),
            RandScaleIntensityd("image", factors=0.4, prob=0.7),
            RandShiftIntensityd("image", offsets=0.3, prob=0.7),
            RandGaussianSmoothd("image", prob=0.2),
            RandSimulateLowResolutiond("image", prob=0.1, zoom_range=(0.5, 0.5), upsample_mode="bilinear"),
            RandGaussianNoised("image", prob=0.3, std=0.3),
        ]
    )


class UsualTraining:
    """CacheDataset, DataLoader, and a plain loop."""

    def __init__(
        self, config: TrainingConfig, store: SliceStore, network: torch.nn.Module, device: Device, tuned: bool
    ) -> None:
        """``tuned``: in the precision and memory format in which CardiacSeg trains."""
        slices = torch.arange(len(store))
        offsets = torch.arange(-config.neighbors, config.neighbors + 1).expand(len(slices), -1)
        images = store.with_neighbors(slices, offsets)
        # Each with memory of its own, as read from a file: CacheDataset copies an item with all the memory it lies in.
        pairs = zip(images, store.labels.float())
        items = [{"image": image.clone(), "label": label[None].clone()} for image, label in pairs]
        data = CacheDataset(items, usual_transforms(config.crop), cache_rate=1.0, progress=False)
        self._loader = DataLoader(
            data, batch_size=config.batch_size, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True
        )
        self._device, self._batches = device, self._forever()
        self._format = torch.channels_last if tuned else torch.contiguous_format
        self._autocast = device.autocast if tuned else nullcontext
        self._network = network.to(device.torch, memory_format=self._format).train()
        self._optimizer = torch.optim.AdamW(
            network.parameters(), config.highest_learning_rate, weight_decay=config.chosen_weight_decay
        )
        self._loss = DiceCELoss(include_background=False, softmax=True, to_onehot_y=True, batch=True)

    def _forever(self) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            yield from self._loader

    def step(self) -> None:
        batch = next(self._batches)
        images = batch["image"].as_tensor().to(self._device.torch, memory_format=self._format)
        with self._autocast():
            logits = self._network(images)
        loss = self._loss(logits.float(), batch["label"].as_tensor().to(self._device.torch))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 5.0)
        self._optimizer.step()


class Setting:
    """What all systems share, read and built in the process of each."""

    def __init__(self, recipe: str, dataset: str, patients: int, device: str) -> None:
        self.config = find_recipe(recipe).with_changes({"dataset": dataset, "device": device})
        multiple = network_multiple(self.config.network, self.config.filters)
        grid = ModelGrid(self.config.spacing, multiple=multiple, neighbors=self.config.neighbors)
        cases = find_cases(Path(dataset))
        chosen = sorted({case.patient for case in cases})[:patients]
        self.store = load_store([case for case in cases if case.patient in chosen], grid, CANONICAL, self.config.window)
        self.device = Device.choose(device)
        self.classes = len(CANONICAL) + 1
        self.network = build_network(
            network_definition(self.config.network, grid.channels, self.classes, self.config.filters)
        )


def own(setting: Setting) -> Callable[[], object]:
    steps = Trainer(setting.config, setting.network, setting.device, setting.store, setting.classes).steps()
    return lambda: next(steps)


def usual(setting: Setting) -> Callable[[], object]:
    return UsualTraining(setting.config, setting.store, setting.network, setting.device, tuned=False).step


def usual_tuned(setting: Setting) -> Callable[[], object]:
    return UsualTraining(setting.config, setting.store, setting.network, setting.device, tuned=True).step


SYSTEMS: dict[str, Callable[[Setting], Callable[[], object]]] = {
    "CardiacSeg": own,
    "usual pipeline": usual,
    "usual pipeline, precision and format of CardiacSeg": usual_tuned,
}


def serve(system: str, pipe: Connection, *setting: object) -> None:
    """In a process of its own: say how much there is to train on, then answer a number of steps with their seconds."""
    shared = Setting(*setting)
    step = SYSTEMS[system](shared)
    pipe.send((len(shared.store), torch.get_num_threads(), shared.config.batch_size))
    while count := pipe.recv():
        for _ in range(_WARM_UP):
            step()
        start = time.perf_counter()
        for _ in range(count):
            step()
        pipe.send(time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", required=True, metavar="FOLDER")
    parser.add_argument("--recipe", default=DEFAULT_RECIPE)
    parser.add_argument("--patients", type=int, default=20, help="how many are read (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="of each round (default: %(default)s)")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    processes, pipes = multiprocessing.get_context("spawn"), {}
    for system in SYSTEMS:
        pipes[system], theirs = processes.Pipe()
        setting = (options.recipe, options.dataset, options.patients, options.device)
        processes.Process(target=serve, args=(system, theirs, *setting)).start()
        theirs.close()  # so that its end is seen here
        slices, threads, batch_size = pipes[system].recv()
    seconds: dict[str, list[float]] = {system: [] for system in SYSTEMS}
    for _ in range(options.rounds):
        for system, pipe in pipes.items():
            pipe.send(options.steps)
            seconds[system].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(0)
    print(f"recipe {options.recipe}, {slices} slices of {options.patients} patients, {threads} threads\n")
    trained = options.steps * batch_size
    fastest = statistics.median(seconds["CardiacSeg"])
    print("| training | slices a second (each round) | CardiacSeg is faster |\n| --- | --- | --- |")
    for system, taken in seconds.items():
        median = statistics.median(taken)
        rounds = ", ".join(f"{trained / each:.1f}" for each in taken)
        print(f"| {system} | {trained / median:.1f} ({rounds}) | {median / fastest:.2f} times |")


if __name__ == "__main__":
    main()
