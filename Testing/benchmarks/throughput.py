"""Slices a second of the default recipe against MONAI's usual pipeline, side by side on this machine.

    python Testing/benchmarks/throughput.py --dataset ACDC/training

All train the same network with the same loss, optimizer and batch on the same patients, at the same spacing and crop,
with augmentation of the same strength: the same turns and flips, tilt, zoom, bending, gamma, bias field, brightness,
blur, low resolution and noise, each as often. The usual pipeline is CacheDataset with dictionary transforms for each
sample, a DataLoader with two workers, and the network as MONAI builds it: on a processor in float32, channels first.
Beside it the same with CardiacSeg's precision and memory format, so that one sees what the data alone cost. They take
turns for several rounds, so that what else the machine does hits all; a ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
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


def seconds_of(step: Callable[[], object], count: int) -> float:
    """Seconds that ``count`` steps take, after some that are not counted."""
    for _ in range(_WARM_UP):
        step()
    start = time.perf_counter()
    for _ in range(count):
        step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", required=True, metavar="FOLDER")
    parser.add_argument("--recipe", default=DEFAULT_RECIPE)
    parser.add_argument("--patients", type=int, default=20, help="how many are read (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="of each round (default: %(default)s)")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    config = find_recipe(options.recipe).with_changes({"dataset": options.dataset, "device": options.device})
    device = Device.choose(config.device)
    multiple = network_multiple(config.network, config.filters)
    grid = ModelGrid(config.spacing, multiple=multiple, neighbors=config.neighbors)
    cases = find_cases(Path(options.dataset))
    patients = sorted({case.patient for case in cases})[: options.patients]
    store = load_store([case for case in cases if case.patient in patients], grid, CANONICAL, config.window)
    definition = network_definition(config.network, grid.channels, len(CANONICAL) + 1, config.filters)

    trainer = Trainer(config, build_network(definition), device, store, len(CANONICAL) + 1)
    own_steps = trainer.steps()
    systems: dict[str, Callable[[], object]] = {"CardiacSeg": lambda: next(own_steps)}
    for tuned, name in ((False, "usual pipeline"), (True, "usual pipeline, precision and format of CardiacSeg")):
        systems[name] = UsualTraining(config, store, build_network(definition), device, tuned).step
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(options.rounds):
        for name, step in systems.items():
            seconds[name].append(seconds_of(step, options.steps))
    slices = options.steps * config.batch_size
    print(
        f"recipe {options.recipe}, {len(store)} slices of {len(patients)} patients, {torch.get_num_threads()} threads\n"
    )
    own = statistics.median(seconds["CardiacSeg"])
    print("| training | slices a second (each round) | CardiacSeg is faster |\n| --- | --- | --- |")
    for name, taken in seconds.items():
        median = statistics.median(taken)
        rounds = ", ".join(f"{slices / each:.1f}" for each in taken)
        print(f"| {name} | {slices / median:.1f} ({rounds}) | {median / own:.2f} times |")
    assert np.isfinite(trainer.loss)


if __name__ == "__main__":
    main()
