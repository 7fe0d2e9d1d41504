"""Recipes: configurations that are shipped, or a person's own, by name or by file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from CardiacSegLib.errors import CardiacSegError, one_line
from CardiacSegLib.resources import resource_folder
from CardiacSegLib.training.config import PLACES, TrainingConfig

DEFAULT_RECIPE = "short-axis-cine"


@dataclass(frozen=True)
class Recipe:
    """A configuration with a line that says what it is good for.

    A file holds ``{"line": ..., "config": {field: value}}``; fields that it does not name have their defaults.
    """

    name: str
    line: str
    config: TrainingConfig

    def with_changes(self, changes: Mapping[str, Any]) -> TrainingConfig:
        """The configuration with other values for some fields."""
        values = {**asdict(self.config), **changes}
        return TrainingConfig.from_mapping(values, f"recipe {self.name}")


def list_recipes() -> list[Recipe]:
    """The recipes that ship, sorted by name."""
    return [_read(path) for path in sorted((resource_folder() / "Recipes").glob("*.json"))]


def find_recipe(name: str) -> Recipe:
    """The shipped recipe of that name, or the one in that file.

    Raises:
        CardiacSegError: where there is none, or it is damaged or names a field that does not exist.
    """
    shipped = resource_folder() / "Recipes" / f"{name}.json"
    if shipped.is_file():
        return _read(shipped)
    if Path(name).is_file():
        return _read(Path(name))
    names = ", ".join(recipe.name for recipe in list_recipes())
    raise CardiacSegError(f"no recipe is called '{name}'; choose one of {names}, or give a file")


def _read(path: Path) -> Recipe:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        line, values = str(content["line"]), dict(content["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CardiacSegError(
            f'{path}: no recipe ({one_line(error)}); it holds {{"line": ..., "config": {{...}}}}'
        ) from error
    named = sorted(set(values) & set(PLACES))
    if named:
        raise CardiacSegError(f"{path}: a recipe names no place on a machine; take out '{named[0]}'")
    return Recipe(path.stem, line, TrainingConfig.from_mapping(values, str(path)))
