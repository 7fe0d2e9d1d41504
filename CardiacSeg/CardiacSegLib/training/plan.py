"""What is decided before a run begins: its cases, its network, and the grid on which that sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.devices import Device
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.networks import network_definition, network_multiple
from CardiacSegLib.training.cases import RunCases, find_run_cases
from CardiacSegLib.training.config import TrainingConfig


@dataclass(frozen=True)
class RunPlan:
    """A run that can begin.

    Attributes:
        config: what was asked for.
        folder: of the run.
        cases: that it trains on, and those that it holds out.
        device: where the network runs.
        definition: of the network, as MONAI has it.
        grid: on which the network is trained.
    """

    config: TrainingConfig
    folder: Path
    cases: RunCases
    device: Device
    definition: Mapping[str, Any]
    grid: ModelGrid

    @classmethod
    def make(cls, config: TrainingConfig, folder: Path, device: Device) -> RunPlan:
        """Find the cases, and fit the network to them.

        Raises:
            CardiacSegError: as :func:`find_run_cases`; where the network cannot be built so, or not for these crops.
        """
        cases = find_run_cases(config, folder)
        channels, classes = 2 * config.neighbors + 1, len(cases.convention) + 1
        definition = network_definition(config.network, channels, classes, config.filters)
        multiple = network_multiple(config.network, config.filters)
        if config.crop % multiple or config.window % multiple:
            raise CardiacSegError(
                f"training configuration: crop is {config.crop} and window {config.window}; for this network both have "
                f"to be multiples of {multiple}"
            )
        grid = ModelGrid(config.spacing, multiple=multiple, neighbors=config.neighbors)
        return cls(config, folder, cases, device, definition, grid)

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.config.name or self.folder.name

    @property
    def labeling_grid(self) -> ModelGrid:
        """The grid on which the trained network labels."""
        return replace(self.grid, spacing=self.config.inference_spacing or self.grid.spacing)
