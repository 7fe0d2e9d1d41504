"""Augmentation of whole batches as tensors: one geometric resampling, then changes of intensity.

A batch of sixteen 160 x 160 crops takes a few milliseconds on one core, which is what keeps two cores busy with the
network and not with its data. MONAI's dictionary transforms work on one sample at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from CardiacSegLib.training.store import SliceStore


@dataclass(frozen=True)
class CardiacMRAugmentation:
    """Random crops, turns, flips, scaling, bending and the ways in which scanners differ.

    Attributes:
        shift: the crop's center lies up to this many pixels from the heart's, along each axis.
        anywhere: share of crops whose center is drawn from the whole image, to see what lies far away.
        tilt: standard deviation of a rotation in degrees, on top of the eight turns and flips.
        scale: largest zoom in or out, as the natural logarithm of the factor.
        bend: largest displacement in pixels of a smooth random deformation.
        classes: of the labels, background included.
        neighbors: how many slices on either side are channels too. Stacks run from base to apex or the other way, so
            that half of the samples have their neighbors exchanged.
        alone: share of the samples whose neighbors are left out, as at a single slice.
    """

    shift: float = 36.0
    anywhere: float = 0.1
    tilt: float = 20.0
    scale: float = 0.25
    bend: float = 5.0
    classes: int = 4
    neighbors: int = 0
    alone: float = 0.1

    def __call__(
        self, store: SliceStore, chosen: torch.Tensor, crop: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Crop and augment slices.

        Args:
            chosen: int64 (N,), which slices.
            crop: height and width of the result in pixels.

        Returns:
            images float32 (N, 2 * neighbors + 1, crop, crop) and labels int64 (N, 1, crop, crop).
        """
        grid = self._sampling_grid(store, chosen, crop, generator)
        offsets, present = self._neighbors(len(chosen), generator)
        images = store.with_neighbors(chosen, offsets)
        present = present & images.flatten(2).any(2)
        images = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        # Shares of each class are interpolated, not labels: nearest neighbor would leave ragged borders to learn from.
        shares = (store.labels[chosen].unsqueeze(1) == torch.arange(self.classes).view(1, -1, 1, 1)).float()
        shares = F.grid_sample(shares, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        # Along the last axis argmax is twelve times faster on a CPU than along the second.
        labels = shares.permute(0, 2, 3, 1).contiguous().argmax(-1).unsqueeze(1)
        # A slice that is not there is zero in use, too: no bias field and no noise of its own.
        return change_intensities(images, generator) * present[:, :, None, None], labels

    def _neighbors(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """How many slices further on each channel lies, in either order, and which channels stay: both (N, C)."""
        offsets = torch.arange(-self.neighbors, self.neighbors + 1).expand(count, -1)
        direction = 1 - 2 * torch.randint(2, (count, 1), generator=generator)
        alone = torch.rand(count, 1, generator=generator) < self.alone
        return offsets * direction, ~alone | (offsets == 0)

    def _sampling_grid(
        self, store: SliceStore, chosen: torch.Tensor, crop: int, generator: torch.Generator
    ) -> torch.Tensor:
        """Where each pixel of each crop lies in its slice, as ``grid_sample`` wants it: (N, crop, crop, 2)."""
        count, size = len(chosen), store.images.shape[-1]

        def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
            return low + (high - low) * torch.rand(*shape, generator=generator)

        near = store.centers[chosen] + uniform(-self.shift, self.shift, count, 2)
        far = uniform(0.15 * size, 0.85 * size, count, 2)
        center = torch.where(torch.rand(count, 1, generator=generator) < self.anywhere, far, near)

        turn = torch.randint(4, (count,), generator=generator) * (math.pi / 2)
        angle = turn + math.radians(self.tilt) * torch.randn(count, generator=generator)
        factor = torch.exp(uniform(-self.scale, self.scale, count, 1) + uniform(-0.08, 0.08, count, 2))
        factor[:, 0] *= 1 - 2.0 * torch.randint(2, (count,), generator=generator)  # a negative factor flips
        cosine, sine = angle.cos(), angle.sin()
        matrix = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2) * factor[:, None]

        axis = torch.arange(crop) - (crop - 1) / 2
        offsets = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(1, -1, 2)
        offsets = offsets + self._bending(count, crop, generator)
        positions = offsets @ matrix.transpose(1, 2) + center[:, None]
        positions = (2 * positions + 1) / size - 1
        return positions.flip(-1).reshape(count, crop, crop, 2)  # grid_sample wants (column, row)

    def _bending(self, count: int, crop: int, generator: torch.Generator) -> torch.Tensor:
        """A smooth random displacement for half of the samples, in pixels: (N, crop * crop, 2)."""
        strength = self.bend * torch.rand(count, 1, 1, 1, generator=generator)
        strength = strength * (torch.rand(count, 1, 1, 1, generator=generator) < 0.5)
        field = smooth_field(count, 2, crop, 6, generator) * strength
        return field.permute(0, 2, 3, 1).reshape(count, -1, 2)


def smooth_field(count: int, channels: int, size: int, knots: int, generator: torch.Generator) -> torch.Tensor:
    """Random fields that vary smoothly from -1 to 1, (N, C, size, size)."""
    coarse = 2 * torch.rand(count, channels, knots, knots, generator=generator) - 1
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)


def change_intensities(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Gamma, contrast, brightness, bias field, blur, low resolution and noise, each for a share of the batch.

    Args:
        images: float32 (N, C, H, W), about zero mean and unit deviation.
    """
    count, size = len(images), images.shape[-1]

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)

    def some(share: float) -> torch.Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator) < share

    images = torch.where(some(0.5), _gamma(images, torch.exp(uniform(-0.5, 0.5))), images)
    bias = torch.exp(smooth_field(count, 1, size, 4, generator) * uniform(0, 0.5))
    low = images.amin((1, 2, 3), keepdim=True)
    images = torch.where(some(0.4), (images - low) * bias + low, images)
    images = torch.where(some(0.7), images * torch.exp(uniform(-0.4, 0.4)) + uniform(-0.3, 0.3), images)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    images = torch.where(some(0.2), torch.lerp(images, blurred, uniform(0.3, 1)), images)
    coarse = F.interpolate(images, scale_factor=0.5, mode="bilinear", antialias=True)
    coarse = F.interpolate(coarse, size=(size, size), mode="bilinear")
    images = torch.where(some(0.1), coarse, images)
    noise = torch.randn(images.shape, generator=generator) * uniform(0, 0.3)
    return torch.where(some(0.3), images + noise, images)


def _gamma(images: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """Raise intensities, brought to 0..1 and back, to a power for each sample."""
    low = images.amin((1, 2, 3), keepdim=True)
    reach = (images.amax((1, 2, 3), keepdim=True) - low).clamp_min(1e-6)
    return ((images - low) / reach).pow(gamma) * reach + low
