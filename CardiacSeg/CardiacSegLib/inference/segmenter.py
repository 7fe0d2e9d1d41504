"""One model, loaded once, that labels any number of volumes on their own grids.

Nothing here imports torch: what runs the network does, see :mod:`CardiacSegLib.inference.runtime`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from CardiacSegLib.anatomy import STRUCTURES, LabelConvention, Structure
from CardiacSegLib.bundles import DEFAULT_MODEL, WEIGHTS, Bundle, find_bundle
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.cleanup import clean_up
from CardiacSegLib.inference.combining import Rule, load_rule
from CardiacSegLib.inference.model_grid import ModelGrid, Stack, phases_of
from CardiacSegLib.inference.provenance import Provenance, provenance_of, turns_in_words
from CardiacSegLib.inference.runtime import Runtime, load_runtime
from CardiacSegLib.inference.turning import TURNS, mean_over_copies

#: Where background is likelier than this on the model's grid, no interpolated pixel is anything else.
_SURE = 0.501
#: A field of view wider than this is a wrong spacing in the header, and would fill the memory.
_WIDEST_FIELD = 4000.0


class Prediction(NamedTuple):
    """What a network says of a volume, on the volume's own grid.

    Attributes:
        labels: uint8 (I, J, K), as :meth:`Segmenter.segment` gives them.
        probabilities: float32 (C, I, J, K), of background and then of each structure in the order of their numbers;
            as the network gives them, before any clean-up.
    """

    labels: np.ndarray
    probabilities: np.ndarray


class Segmenter:
    """A network with its grid and its labels.

    Attributes:
        grid: what the network sees.
        convention: which number in the result means which structure.
        structures: the same structures, in the order of their numbers.
        turns: over how many turned and flipped copies of an image the probabilities are averaged, one of
            :data:`CardiacSegLib.inference.turning.TURNS`.
        cleanup: whether each structure is left in one piece and without holes.
    """

    def __init__(
        self,
        runtime: Runtime,
        grid: ModelGrid,
        convention: LabelConvention,
        turns: int = 1,
        cleanup: bool = True,
        rule: Rule | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        _check_turns(turns)
        self._runtime = runtime
        self.grid = grid
        self.convention = convention
        self.turns = turns
        self.cleanup = cleanup
        self._rule = rule
        self._bundle = bundle
        self.structures: Sequence[Structure] = [STRUCTURES[name] for name in sorted(convention, key=convention.get)]

    @classmethod
    def load(
        cls, model: str | Path | Bundle = DEFAULT_MODEL, device: str = "auto", turns: int | None = None
    ) -> Segmenter:
        """Load a model by its name, or from the folder of its bundle.

        Args:
            device: see :func:`CardiacSegLib.inference.runtime.load_runtime`.
            turns: see :attr:`turns`; what the bundle says where None.

        Raises:
            CardiacSegError: where there is no such model or device, or its weights are not what its card says.
        """
        bundle = model if isinstance(model, Bundle) else find_bundle(model)
        chosen = bundle.turns if turns is None else turns
        rule = load_rule(bundle.combine, bundle.folder / WEIGHTS.parent, len(bundle.convention) + 1)
        return cls(load_runtime(bundle, device), bundle.grid, bundle.convention, chosen, rule=rule, bundle=bundle)

    @property
    def how(self) -> str:
        """By what it labels, and how thoroughly, in words."""
        return f"{self._runtime.described}, {turns_in_words(self.turns)}"

    @property
    def provenance(self) -> Provenance:
        """What is recorded with everything that it labels."""
        return provenance_of(self._bundle, self._runtime.machine, self.turns, self.cleanup)

    def with_options(self, turns: int | None = None, cleanup: bool = True) -> Segmenter:
        """The same network with other options; it is not loaded again.

        Args:
            turns, cleanup: see the attributes; the present turns where None.

        Raises:
            CardiacSegError: for turns that are not one of :data:`~CardiacSegLib.inference.turning.TURNS`.
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
        phases = phases_of(array)
        labels = np.empty(phases.shape, np.uint8)
        for phase, (stack, probabilities) in enumerate(self._predictions(phases, affine)):
            labels[phase] = stack.view.volume(self._labels(stack, probabilities))
            progress((phase + 1) / len(phases))
        progress(1.0)
        return labels[0] if array.ndim == 3 else np.moveaxis(labels, 0, 3)

    def predict(self, volume: np.ndarray, affine: np.ndarray) -> Prediction:
        """Labels of a volume with the probabilities that they come from.

        Args:
            volume: gray values (I, J, K).
            affine: 4 x 4, index to RAS millimeters.

        Raises:
            CardiacSegError: as :meth:`segment`; also for a cine.
        """
        volume = np.asarray(volume)
        if volume.ndim != 3:
            raise CardiacSegError(f"the image has {volume.ndim} dimensions; give a volume (3), one phase of a cine")
        ((stack, on_grid),) = self._predictions(volume[None], affine)
        of_classes = [stack.view.volume(of_class) for of_class in stack.from_grid(on_grid, self.grid)]
        return Prediction(stack.view.volume(self._labels(stack, on_grid)), np.stack(of_classes))

    def _predictions(self, phases: np.ndarray, affine: np.ndarray) -> Iterator[tuple[Stack, np.ndarray]]:
        """Each phase of an array (T, I, J, K) as slices, with probabilities (C, K, H', W') on the model's grid."""
        if not len(phases):
            return
        first = Stack.from_volume(phases[0], affine)
        _check_field_of_view(first)
        size = self.grid.size_for(first.slices.shape[1:], first.view.spacing)
        together = max(1, self._slices_per_pass(size) // len(first.slices))
        for start in range(0, len(phases), together):
            stacks = [Stack.from_volume(phase, affine) for phase in phases[start : start + together]]
            inputs = [self.grid.with_neighbors(stack.on_grid(self.grid, size)) for stack in stacks]
            found = self._through_network(np.concatenate(inputs))
            yield from zip(stacks, map(self._combined, np.split(found, len(stacks), axis=1)))

    def _labels(self, stack: Stack, probabilities: np.ndarray) -> np.ndarray:
        """Labels (K, H, W) on a stack's own pixels from class probabilities (C, K, H', W') on the model's grid."""
        labels = np.zeros(stack.slices.shape, np.uint8)
        heart = probabilities[0] < _SURE
        if heart.any():
            # Most of an image shows no heart for certain: there is nothing to interpolate.
            (rows, columns), probabilities = stack.part_from_grid(probabilities, heart, self.grid)
            labels[:, rows, columns] = self._likeliest(probabilities)
        return labels

    def _likeliest(self, probabilities: np.ndarray) -> np.ndarray:
        """Labels (K, H, W) from class probabilities (C, K, H, W)."""
        labels = probabilities.argmax(axis=0).astype(np.uint8)
        if not self.cleanup:
            return labels
        likeliest = probabilities[1:].argmax(axis=0).astype(np.uint8) + 1
        return clean_up(labels, likeliest, self.convention)

    def probabilities(self, slices: np.ndarray) -> np.ndarray:
        """Class probabilities (C, K, H, W) of the slices (K, H, W) of one volume, both on the model's grid."""
        return self._combined(self._through_network(self.grid.with_neighbors(slices)))

    def _combined(self, found: np.ndarray) -> np.ndarray:
        """Class probabilities (C, K, H, W) of one volume, where the network gives those of several members."""
        members, classes = self._rule.members if self._rule else 1, len(self.structures) + 1
        if len(found) != members * classes:
            raise CardiacSegError(f"the network tells {len(found)} classes, not {members} x {classes}; copy it again")
        if self._rule is None:
            return found
        # A softmax over all members gives each of them an equal share.
        return self._rule(found.reshape(members, classes, *found.shape[1:]) * np.float32(members))

    def _slices_per_pass(self, size: Sequence[int]) -> int:
        return max(1, self._runtime.pixels_per_pass // (size[0] * size[1]))

    def _through_network(self, inputs: np.ndarray) -> np.ndarray:
        """Class probabilities (C, N, H, W) of slices (N, channels, H, W), in passes of about the same size."""
        passes = -(-len(inputs) // self._slices_per_pass(inputs.shape[2:]))
        parts = [self._over_turns(batch) for batch in np.array_split(inputs, passes)]
        return (parts[0] if passes == 1 else np.concatenate(parts)).transpose(1, 0, 2, 3)

    def _over_turns(self, batch: np.ndarray) -> np.ndarray:
        """Class probabilities (N, C, H, W) of a batch (N, channels, H, W), the mean over its turned copies."""
        if self.turns == 1:
            return self._runtime.probabilities(batch)
        return mean_over_copies(self._runtime.probabilities, batch, self.turns)


def _check_turns(turns: int) -> None:
    if turns not in TURNS:
        raise CardiacSegError(f"turns is {turns}; choose one of {', '.join(map(str, TURNS))}")


def _check_field_of_view(stack: Stack) -> None:
    spacing = stack.view.spacing
    widest = max(size * step for size, step in zip(stack.slices.shape[1:], spacing))
    if not np.isfinite(widest) or widest > _WIDEST_FIELD or min(spacing) <= 0:
        shown = " x ".join(f"{value:g}" for value in spacing)
        raise CardiacSegError(
            f"the in-plane spacing of {shown} mm makes a field of view of {widest:g} mm; set the true spacing"
        )
