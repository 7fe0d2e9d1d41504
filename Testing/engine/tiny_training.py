"""A network so small that it learns a phantom by heart in a fraction of a second."""

from __future__ import annotations

from functools import lru_cache

import torch
from monai.networks.nets import UNet

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.phantom import PhantomOptions, make_phantom
from CardiacSegLib.training.schedules import Schedule
from phantoms import COARSE


@lru_cache(maxsize=1)
def phantom_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Slices of a phantom, float32 (6, 1, 64, 64), and their labels, int64 (6, 1, 64, 64)."""
    phantom = make_phantom(PhantomOptions(frames=1, slices=6, seed=1, **COARSE))
    images = torch.from_numpy(phantom.image[..., 0]).float().permute(2, 0, 1).unsqueeze(1)
    labels = torch.from_numpy(phantom.labels[..., 0]).long().permute(2, 0, 1).unsqueeze(1)
    return (images - images.mean()) / images.std(), labels


def class_shares(labels: torch.Tensor, classes: int = 4) -> torch.Tensor:
    """Share of the pixels that belong to each class."""
    return labels.flatten().bincount(minlength=classes) / labels.numel()


def tiny_network() -> torch.nn.Module:
    """The same weights every time."""
    torch.manual_seed(1)
    return UNet(2, 1, 4, channels=(8, 16, 32), strides=(2, 2), norm="batch")


def learn(
    network: torch.nn.Module, loss: torch.nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule, steps: int
) -> None:
    """Train on the slices of the phantom."""
    images, labels = phantom_batch()
    highest = optimizer.param_groups[0]["lr"]
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = highest * schedule.factor(step / steps)
        value = loss(network(images), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if step % 10 == 9:
            schedule.validated(mean_dice_of(network))
            network.train()


def mean_dice_of(network: torch.nn.Module) -> float:
    """Mean Dice of the structures on the slices that were learned; by chance it is below 0.1."""
    images, labels = phantom_batch()
    with torch.inference_mode():
        predicted = network.eval()(images).argmax(1, keepdim=True)
    scores = dice_scores(predicted.numpy(), labels.numpy(), CANONICAL)
    return sum(scores.values()) / len(scores)
