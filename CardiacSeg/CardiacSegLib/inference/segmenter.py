"""One model, loaded once, that labels any number of volumes on their own grids."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from CardiacSegLib.anatomy import STRUCTURES, LabelConvention, Structure
from CardiacSegLib.bundles import DEFAULT_MODEL, Bundle, find_bundle
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.cleanup import clean_up
from CardiacSegLib.inference.devices import Device
from CardiacSegLib.inference.model_grid import ModelGrid, Stack

#: All slices go through the network as one batch, unless they have more pixels than this on the model's grid.
_PIXELS_PER_PASS = 64 * 256 * 256
#: A field of view wider than this is a wrong spacing in the header, and would fill the memory.
_WIDEST_FIELD = 4000.0


#: A single pass, or the mean over all eight turned and flipped copies of an image.
TURNS = (1, 8)


class Segmenter:
    """A network with its grid and its labels.

    Attributes:
        grid: what the network sees.
        convention: which number in the result means which structure.
        structures: the same structures, in the order of their numbers.
        turns: over how many turned and flipped copies of an image the probabilities are averaged: 1, or all 8.
        cleanup: whether each structure is left in one piece and without holes.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        grid: ModelGrid,
        convention: LabelConvention,
        device: Device,
        turns: int = 1,
        cleanup: bool = True,
    ) -> None:
        _check_turns(turns)
        self._network = network.eval().to(device.torch, memory_format=torch.channels_last)
        self.grid = grid
        self._device = device
        self.convention = convention
        self.turns = turns
        self.cleanup = cleanup
        self.structures: Sequence[Structure] = [STRUCTURES[name] for name in sorted(convention, key=convention.get)]

    @classmethod
    def load(
        cls, model: str | Path | Bundle = DEFAULT_MODEL, device: str = "auto", turns: int | None = None
    ) -> Segmenter:
        """Load a model by its name, or from the folder of its bundle.

        Args:
            device: see :meth:`Device.choose`.
            turns: see :attr:`turns`; what the bundle says where None.

        Raises:
            CardiacSegError: where there is no such model or device, or its weights are not what its card says.
        """
        bundle = model if isinstance(model, Bundle) else find_bundle(model)
        chosen = bundle.turns if turns is None else turns
        return cls(bundle.load_network(), bundle.grid, bundle.convention, Device.choose(device), chosen)

    def with_options(self, turns: int | None = None, cleanup: bool = True) -> Segmenter:
        """The same network with other options; it is not loaded again.

        Args:
            turns, cleanup: see the attributes; the present turns where None.

        Raises:
            CardiacSegError: for turns that are not one of :data:`TURNS`.
        """
        other = copy.copy(self)
        other.turns = self.turns if turns is None else turns
        other.cleanup = cleanup
        _check_turns(other.turns)
        return other

    def segment(
        self, array: np.ndarray, affine: np.ndarray, progress: Callable[[float], None] = lambda done: None
    ) -> np.ndarray:
        """Label a volume or a cine.

        Args:
            array: gray values (I, J, K) or (I, J, K, T), any real type, any axis order.
            affine: 4 x 4, index to RAS millimeters.
            progress: called with the share of the work that is done, 0 to 1.

        Returns:
            uint8 labels of the same shape.

        Raises:
            CardiacSegError: for an array of another shape, a constant or non-finite image, or an impossible spacing.
        """
        array = np.asarray(array)
        if array.ndim == 3:
            labels = self._segment_volume(array, affine)
        elif array.ndim == 4:
            labels = np.zeros(array.shape, np.uint8)
            for phase in range(array.shape[3]):
                labels[..., phase] = self._segment_volume(array[..., phase], affine)
                progress((phase + 1) / array.shape[3])
        else:
            raise CardiacSegError(f"the image has {array.ndim} dimensions; give a volume (3) or a cine (4)")
        progress(1.0)
        return labels

    def _segment_volume(self, volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
        stack = Stack.from_volume(volume, affine)
        _check_field_of_view(stack)
        probabilities = stack.from_grid(self.probabilities(stack.on_grid(self.grid)), self.grid)
        labels = probabilities.argmax(axis=0).astype(np.uint8)
        if not self.cleanup:
            return stack.view.volume(labels)
        likeliest = probabilities[1:].argmax(axis=0).astype(np.uint8) + 1
        return stack.view.volume(clean_up(labels, likeliest, self.convention))

    def probabilities(self, slices: np.ndarray) -> np.ndarray:
        """Class probabilities (C, K, H, W) of slices (K, H, W), both on the model's grid."""
        height, width = slices.shape[1:]
        chunk = max(1, _PIXELS_PER_PASS // (height * width))
        with torch.inference_mode():
            batches = torch.from_numpy(self.grid.with_neighbors(slices)).split(chunk)
            parts = [self._forward(batch) for batch in batches]
        return torch.cat(parts).numpy().transpose(1, 0, 2, 3)

    def _forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Class probabilities (N, C, H, W) of a batch (N, channels, H, W)."""
        batch = batch.to(self._device.torch)
        copies = [(quarters, flipped) for flipped in (False, True) for quarters in range(4)][: self.turns]
        total = sum(_turned_back(self._pass(_turned(batch, *copy)), *copy) for copy in copies)
        return (total / len(copies)).cpu().contiguous()

    def _pass(self, batch: torch.Tensor) -> torch.Tensor:
        with self._device.autocast():
            logits = self._network(batch.contiguous(memory_format=torch.channels_last))
        return logits.float().softmax(1)


def _check_turns(turns: int) -> None:
    if turns not in TURNS:
        raise CardiacSegError(f"turns is {turns}; choose one of {', '.join(map(str, TURNS))}")


def _turned(batch: torch.Tensor, quarters: int, flipped: bool) -> torch.Tensor:
    turned = batch.rot90(quarters, (2, 3))
    return turned.flip(3) if flipped else turned


def _turned_back(batch: torch.Tensor, quarters: int, flipped: bool) -> torch.Tensor:
    return (batch.flip(3) if flipped else batch).rot90(-quarters, (2, 3))


def _check_field_of_view(stack: Stack) -> None:
    spacing = stack.view.spacing
    widest = max(size * step for size, step in zip(stack.slices.shape[1:], spacing))
    if not np.isfinite(widest) or widest > _WIDEST_FIELD or min(spacing) <= 0:
        shown = " x ".join(f"{value:g}" for value in spacing)
        raise CardiacSegError(
            f"the in-plane spacing of {shown} mm makes a field of view of {widest:g} mm; set the true spacing"
        )
