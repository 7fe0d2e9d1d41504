"""Augmentation of whole batches as tensors: one geometric resampling, then changes of intensity.

It has to keep up with a network that two processor cores train. MONAI's dictionary transforms work on one sample at a
time, and resample it once for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F

from CardiacSegLib.training.choices import pick
from CardiacSegLib.training.intensities import change_echoes, change_intensities, smooth_field, uniform
from CardiacSegLib.training.store import SliceStore

#: Share of the samples that are bent.
_BENT = 0.5
#: Cells along each axis of a grid that is distorted.
_CELLS = 5

_sampled = partial(F.grid_sample, mode="bilinear", padding_mode="zeros", align_corners=False)


@dataclass(frozen=True)
class Augmentation:
    """Crops from random places, and as much else as its fields say: the presets are classes with other defaults.

    Attributes:
        shift: the crop's center lies up to this many pixels from the heart's, along each axis.
        anywhere: share of crops whose center is drawn from the whole image, to see what lies far away.
        whole_pixels: move crops by whole pixels, so that nothing is interpolated where nothing else moves them.
        flips: mirror half of the samples.
        quarter_turns: turn by none, one, two or three quarters.
        tilt: standard deviation of a rotation in degrees, on top of the quarter turns.
        scale: largest zoom in or out, as the natural logarithm of the factor.
        stretch: the same for each axis by itself, on top.
        bend: largest displacement in pixels of a smooth random deformation.
        distort: by how much of its size a cell of a grid becomes wider or narrower at most.
        classes: of the labels, background included.
        neighbors: how many slices on either side are channels too.
        either_order: stacks run from base to apex or the other way: exchange the neighbors of half of the samples.
        alone: share of the samples whose neighbors are left out, as at a single slice.
    """

    shift: float = 36.0
    anywhere: float = 0.1
    whole_pixels: bool = False
    flips: bool = False
    quarter_turns: bool = False
    tilt: float = 0.0
    scale: float = 0.0
    stretch: float = 0.0
    bend: float = 0.0
    distort: float = 0.0
    classes: int = 4
    neighbors: int = 0
    either_order: bool = True
    alone: float = 0.1

    def __call__(
        self, store: SliceStore, chosen: torch.Tensor, crop: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Crop and augment slices.

        Args:
            chosen: int64 (N,), which slices.
            crop: height and width of the result in pixels.
            generator: everything random is drawn from it.

        Returns:
            images float32 (N, 2 * neighbors + 1, crop, crop) and labels int64 (N, 1, crop, crop).
        """
        grid = self._sampling_grid(store.centers[chosen], store.images.shape[-1], crop, generator)
        offsets, present = self._neighbors(len(chosen), generator)
        images, labels = self._resample(store, chosen, offsets, grid)
        present = present & images.flatten(2).any(2)
        # A slice that is not there is zero in use, too: no bias field and no noise of its own.
        return self._change(images, generator) * present[:, :, None, None], labels

    def _change(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images with other intensities: here with the same."""
        return images

    def _neighbors(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """How many slices further on each channel lies, and which channels stay: both (N, C)."""
        offsets = torch.arange(-self.neighbors, self.neighbors + 1).expand(count, -1)
        direction = 1 - 2 * self.either_order * torch.randint(2, (count, 1), generator=generator)
        alone = torch.rand(count, 1, generator=generator) < self.alone
        return offsets * direction, ~alone | (offsets == 0)

    def _sampling_grid(self, centers: torch.Tensor, size: int, crop: int, generator: torch.Generator) -> torch.Tensor:
        """Where each pixel of each crop lies in its slice, as ``grid_sample`` wants it: (N, crop, crop, 2)."""
        middle = self._middle(centers, size, generator)
        if self.whole_pixels:
            middle = (middle - (crop - 1) / 2).round() + (crop - 1) / 2
        matrix = self._matrix(len(centers), generator)
        offsets = self._offsets(len(centers), crop, generator)
        # grid_sample wants the column before the row, and counts from -1 to 1 between the outer edges of the slice.
        middle = ((2 * middle + 1) / size - 1).flip(1)
        matrix = (2 * matrix / size).flip(1)
        return torch.baddbmm(middle[:, None], offsets, matrix.transpose(1, 2)).reshape(-1, crop, crop, 2)

    def _middle(self, centers: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
        """Row and column of the middle of each crop in its slice, (N, 2)."""
        near = centers + uniform(-self.shift, self.shift, centers.shape, generator)
        far = uniform(0.15 * size, 0.85 * size, centers.shape, generator)
        return torch.where(torch.rand(len(centers), 1, generator=generator) < self.anywhere, far, near)

    def _matrix(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """From rows and columns of a crop to those of its slice: turn, zoom and flip, (N, 2, 2)."""
        quarters = self.quarter_turns * torch.randint(4, (count,), generator=generator)
        angle = quarters * (math.pi / 2) + math.radians(self.tilt) * torch.randn(count, generator=generator)
        zoom = uniform(-self.scale, self.scale, (count, 1), generator)
        factor = torch.exp(zoom + uniform(-self.stretch, self.stretch, (count, 2), generator))
        factor[:, 0] *= 1 - 2 * self.flips * torch.randint(2, (count,), generator=generator)  # a negative factor flips
        cosine, sine = angle.cos(), angle.sin()
        return torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], 1) * factor[:, None]

    def _offsets(self, count: int, crop: int, generator: torch.Generator) -> torch.Tensor:
        """Rows and columns of the pixels of a crop from its middle, bent and distorted: (N, crop * crop, 2)."""
        axis = torch.arange(crop) - (crop - 1) / 2
        offsets = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).expand(count, -1, -1, -1)
        if self.bend:
            offsets = offsets + self._bending(count, crop, generator)
        if self.distort:
            offsets = offsets + self._distortion(count, crop, generator)
        return offsets.reshape(count, -1, 2)

    def _bending(self, count: int, crop: int, generator: torch.Generator) -> torch.Tensor:
        """A smooth random displacement of some samples, in pixels: (N, crop, crop, 2)."""
        strength = self.bend * torch.rand(count, 1, 1, 1, generator=generator)
        strength = strength * (torch.rand(count, 1, 1, 1, generator=generator) < _BENT)
        return (smooth_field(count, 2, crop, 6, generator) * strength).permute(0, 2, 3, 1)

    def _distortion(self, count: int, crop: int, generator: torch.Generator) -> torch.Tensor:
        """A displacement that widens some cells of a grid and narrows others, in pixels: (N, crop, crop, 2)."""
        widths = 1 + uniform(-self.distort, self.distort, (count, 2, _CELLS), generator)
        lines = F.pad(widths.cumsum(2) / widths.sum(2, keepdim=True), (1, 0))
        moved = crop * (lines - torch.linspace(0, 1, _CELLS + 1))
        rows, columns = F.interpolate(moved, crop, mode="linear", align_corners=True).unbind(1)
        return torch.stack(torch.broadcast_tensors(rows[:, :, None], columns[:, None]), -1)

    def _resample(
        self, store: SliceStore, chosen: torch.Tensor, offsets: torch.Tensor, grid: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, C, crop, crop) and labels (N, 1, crop, crop) at the positions of a grid.

        One slice after another: with all its channels it stays in the processor's cache, which a batch does not.
        """
        numbers = torch.arange(self.classes, dtype=torch.uint8)[:, None, None]
        images, labels = [], []
        for one, further, positions in zip(chosen.split(1), offsets.split(1), grid.split(1)):
            images.append(_sampled(store.with_neighbors(one, further), positions))
            # Shares of each class are interpolated, not labels: nearest neighbor would leave ragged borders to learn.
            # As bytes they become numbers twice as fast as from bool.
            shares = (store.labels[one] == numbers).view(torch.uint8).float()[None]
            labels.append(_sampled(shares, positions).max(1, keepdim=True).indices)
        return torch.cat(images), torch.cat(labels)


@dataclass(frozen=True)
class NoAugmentation(Augmentation):
    """Crops around the heart whose pixels are those of the slice: what the other presets are compared with."""

    anywhere: float = 0.0
    whole_pixels: bool = True
    either_order: bool = False
    alone: float = 0.0


@dataclass(frozen=True)
class FlipsAndTurns(Augmentation):
    """Flips and turns; with this tilt on top of quarter turns every angle is as likely as any other."""

    flips: bool = True
    quarter_turns: bool = True
    tilt: float = 45.0


@dataclass(frozen=True)
class ElasticAndGrid(Augmentation):
    """Elastic deformation and grid distortion."""

    bend: float = 5.0
    distort: float = 0.3


@dataclass(frozen=True)
class CardiacMRAugmentation(Augmentation):
    """Turns, flips, zoom and bending, and the ways in which scanners and sequences differ."""

    flips: bool = True
    quarter_turns: bool = True
    tilt: float = 20.0
    scale: float = 0.25
    stretch: float = 0.08
    bend: float = 5.0

    def _change(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return change_intensities(images, generator)


@dataclass(frozen=True)
class UltrasoundAugmentation(Augmentation):
    """How the views of an echo differ: by the angle of the probe and by gain, speckle and resolution.

    No flips and no turns: the apex is always at the probe and the atrium always behind the ventricle.
    """

    tilt: float = 8.0
    scale: float = 0.2
    stretch: float = 0.05
    bend: float = 2.0

    def _change(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return change_echoes(images, generator)


#: By the names of :data:`CardiacSegLib.training.choices.AUGMENTATIONS`.
PRESETS: Mapping[str, type[Augmentation]] = {
    "cardiac-mr": CardiacMRAugmentation,
    "none": NoAugmentation,
    "flips-turns": FlipsAndTurns,
    "elastic-grid": ElasticAndGrid,
    "ultrasound": UltrasoundAugmentation,
}


def build_augmentation(name: str, shift: float, neighbors: int, classes: int) -> Augmentation:
    """The augmentation of that name; the arguments are fields of :class:`Augmentation`.

    Raises:
        CardiacSegError: where there is no such augmentation.
    """
    return pick("augmentation", name, PRESETS)(shift=shift, neighbors=neighbors, classes=classes)
