"""Models by chance that say whom they have seen: members for ensembles."""

from __future__ import annotations

from pathlib import Path

import torch

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import Bundle, write_bundle
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.networks import build_network, network_definition


def a_member(folder: Path, seed: int, **facts: object) -> Bundle:
    """A model by chance that has something to say about every class, and a card.

    The folds of one recipe are nearly the same network, as trained ones are: they differ by ``shift``.
    """
    shift = float(facts.pop("shift", 0.0))
    grid = ModelGrid(1.5, 4, neighbors=int(facts.pop("neighbors", 0)))
    convention = facts.pop("convention", CANONICAL)
    definition = network_definition("dynunet", grid.channels, len(convention) + 1, (8, 8, 8))
    torch.manual_seed(seed)
    network = build_network(definition)
    with torch.no_grad():
        network(torch.randn(8, grid.channels, 32, 32))
        mean = network.eval()(torch.randn(8, grid.channels, 32, 32)).mean((0, 2, 3))
        network.output_block.conv.conv.bias -= mean
        network.output_block.conv.conv.bias[0] += shift
    said = {"network": "DynUNet", "parameters": 1000, "layout": "acdc", "minutes": 1.0, "purpose": "Phantoms."}
    said |= {"command": f"--dataset DATA --seed {seed}", "patients_trained_on": ["a", "b"]}
    said |= {"patients_validated_on": ["c"], "validation_dice": {"all": {"LV": 0.9, "mean": 0.9}}, **facts}
    bundle = write_bundle(folder, folder.name, network, definition, grid, convention, said)
    bundle.card.write_text(
        "# A card\n\n## Data\n\nHearts made by code; cite nobody.\n\nTrained on 2 patients.\n\n"
        "License of the weights: CC0 1.0.\n\n## How well it does\n\nWell.\n",
        encoding="utf-8",
    )
    return bundle
