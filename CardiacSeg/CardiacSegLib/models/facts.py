"""What lists, cards and dialogs show about a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from CardiacSegLib.bundles import Bundle, read_metadata
from CardiacSegLib.resources import resource_folder


@dataclass(frozen=True)
class ModelFacts:
    """What lists and dialogs show about a model.

    Attributes:
        name: by which it is found.
        title: that its maker gave it.
        description: one line.
        purpose: what it is for and what not; empty where its maker did not say.
        structures: names, in the order of their numbers.
        modality: of its images, such as MR; empty where it is not said.
        data: layout of the cases it was trained on, such as acdc; empty where it is not said.
        trained_on: number of patients.
        validated_on: number of other patients.
        dice: mean Dice on those by phase and structure, each row with ``mean``; empty where it was not measured.
        license: of the weights, as the card says it.
        size_mb: on disk, in megabytes.
        turns: over how many turned copies of an image its probabilities are averaged.
        spacing: in-plane, in mm, at which it labels.
        shipped: whether it came with CardiacSeg.
        card: its card, a Markdown file; None where it has none.
    """

    name: str
    title: str
    description: str
    purpose: str
    structures: tuple[str, ...]
    modality: str
    data: str
    trained_on: int
    validated_on: int
    license: str
    size_mb: float
    turns: int
    spacing: float
    shipped: bool
    card: Path | None
    dice: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def mean_dice(self) -> float | None:
        """Mean over structures and phases; None where it was not measured."""
        return self.dice.get("all", {}).get("mean")


def is_shipped(bundle: Bundle) -> bool:
    """Whether a model came with CardiacSeg."""
    return bundle.folder.parent == shipped_folder()


def model_facts(bundle: Bundle) -> ModelFacts:
    """What is known about a model; whatever its maker left out is empty.

    Raises:
        CardiacSegError: where its metadata is gone.
    """
    metadata = read_metadata(bundle.folder)
    training = _mapping(_mapping(metadata.get("cardiacseg")).get("training"))
    formats = _mapping(_mapping(metadata.get("network_data_format")).get("inputs"))
    return ModelFacts(
        name=bundle.name,
        title=str(metadata.get("name") or bundle.name),
        description=bundle.description,
        purpose=str(training.get("purpose") or ""),
        structures=tuple(sorted(bundle.convention, key=lambda name: bundle.convention[name])),
        modality=str(_mapping(formats.get("image")).get("modality", "")),
        data=str(training.get("layout") or ""),
        trained_on=_count(training.get("patients_trained_on")),
        validated_on=_count(training.get("patients_validated_on")),
        dice=_dice(training.get("validation_dice")),
        license=_license(bundle.card),
        size_mb=sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file()) / 1e6,
        turns=bundle.turns,
        spacing=bundle.grid.spacing,
        shipped=is_shipped(bundle),
        card=bundle.card if bundle.card.is_file() else None,
    )


def shipped_folder() -> Path:
    return (resource_folder() / "Models").resolve()


_LICENSE = re.compile(r"^License of the weights: (?P<license>.+?)\.?$", re.MULTILINE)


def _license(card: Path) -> str:
    try:
        found = _LICENSE.search(card.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    return found["license"] if found else "not stated"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


def _dice(value: Any) -> dict[str, dict[str, float]]:
    """The table of Dice, as far as it is one."""
    return {
        str(phase): {str(name): float(dice) for name, dice in row.items() if isinstance(dice, (int, float))}
        for phase, row in _mapping(value).items()
        if isinstance(row, Mapping)
    }
