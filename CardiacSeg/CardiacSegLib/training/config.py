"""What a training run is asked to do: one dataclass that owns defaults, validation and every written form.

A field's default, its help and its check stand in one place. The command line, a recipe and the ``config.json`` of a
run are forms of the same fields.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import write_json
from CardiacSegLib.inference.turning import TURNS
from CardiacSegLib.jobs.privacy import without_home
from CardiacSegLib.networks import DOWNLOAD, NETWORKS
from CardiacSegLib.training.choices import (
    AUGMENTATIONS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    default_learning_rate,
    default_weight_decay,
)

#: Where things are on this machine: kept apart from the rest, so that a run's configuration can be passed on.
PLACES = ("dataset", "split", "start", "encoder_weights")
_CONFIG, _PLACES_FILE = "config.json", "places.json"


def option(
    default: Any, text: str, metavar: str | None = None, choices: tuple[Any, ...] = (), kind: type | None = None
) -> Any:
    """A field with what the command line says about it.

    Args:
        default: a tuple where the option takes several values, None where another field decides.
        text: the help.
        metavar, choices: see :mod:`argparse`.
        kind: type of a value, or of each of several, where the default does not tell.
    """
    facts = {"help": text, "metavar": metavar, "choices": choices or None, "kind": kind or type(default)}
    return field(default=default, metadata=facts)


@dataclass(frozen=True)
class TrainingConfig:
    """Configuration of one training run; the help of each field says what it means and in which unit."""

    dataset: str = option("", "folder or case list with labeled cases", "FOLDER")
    layout: str = option("", "layout of the data set; recognized where not given")
    labels: str = option("", 'which number means which structure, such as "1=LV,2=MYO", where the layout does not say')
    structures: tuple[str, ...] = option(
        (), "structures to learn; all that the cases have where not given", "NAME", kind=str
    )
    name: str = option("", "name of the model; that of the run's folder where not given")
    title: str = option("", "one line about the model, for its card")
    purpose: str = option("", "what the model is for and what not, for its card")
    modality: str = option("MR", "modality of the images, for the card")

    split: str = option("", "JSON file with folds of patients, or folder with train.txt and val.txt", "FILE")
    fractions: tuple[float, ...] = option(
        (), "shares of the patients to train on, to validate on and to keep for a test, instead of folds", kind=float
    )
    folds: int = option(5, "folds to make where no split file is given and the layout has no parts of its own")
    fold: int = option(0, "fold held out for validation")
    min_foreground: float = option(0.0, "leave slices with a smaller share of labeled pixels out of training")

    minutes: float = option(0.0, "time budget; the schedule ends on time")
    epochs: int = option(80, "passes over the training slices where no minutes are given")
    validations: int = option(16, "how often the run is validated and saved")
    patience: int = option(0, "stop after this many validations without a better Dice; 0 never")
    keep: str = option(
        "last", "weights that become the model: of the last step, or best in validation", None, ("last", "best")
    )

    network: str = option("dynunet", "architecture; see --list", "NAME")
    filters: tuple[int, ...] = option(
        (), "channels of each level, the finest first; the network's own where not given", "N", kind=int
    )
    start: str = option("", "bundle whose weights the training starts from", "BUNDLE")
    encoder_weights: str = option("", 'ImageNet weights of the encoder: a file, or "download"', "FILE")
    loss: str = option("dice-ce", "see --list", "NAME")
    optimizer: str = option("adamw", "see --list", "NAME")
    schedule: str = option("one-cycle", "of the learning rate; see --list", "NAME")
    learning_rate: float | None = option(
        None, "the highest of the schedule; what suits the optimizer where not given", kind=float
    )
    weight_decay: float | None = option(None, "what suits the optimizer where not given", kind=float)
    ema_decay: float = option(0.999, "decay of the moving average of the weights, which is what is kept; 0 for none")
    augmentation: str = option("cardiac-mr", "see --list", "NAME")
    oversampling: float = option(0.0, "share of each batch drawn so that rare structures are seen as often as others")

    neighbors: int = option(1, "slices on either side that the network sees beside the one that it labels")
    turns: int = option(1, "turned and flipped copies of an image that the model averages", None, TURNS)
    spacing: float = option(1.5, "in-plane spacing in millimeters at which the model is trained")
    inference_spacing: float = option(0.0, "that at which it labels once it is trained; 0 for the same")
    crop: int = option(128, "height and width of a training crop in pixels of the model")
    window: int = option(256, "height and width of what is kept of every slice, in pixels of the model")
    batch_size: int = option(16, "slices in a step")
    seed: int = option(0, "of everything random")
    device: str = option("auto", "auto, cpu, cuda or mps")
    compile: str = option(
        "auto",
        "make one program of the network: auto does on a processor, where a C++ compiler is found and the run is long",
        None,
        ("auto", "always", "never"),
    )

    @property
    def highest_learning_rate(self) -> float:
        """Of the schedule, given or as it suits the optimizer."""
        return default_learning_rate(self.optimizer) if self.learning_rate is None else self.learning_rate

    @property
    def chosen_weight_decay(self) -> float:
        """Of the optimizer, given or as it suits it."""
        return default_weight_decay(self.optimizer) if self.weight_decay is None else self.weight_decay

    def is_valid(self) -> tuple[bool, str]:
        """Whether a run can start with this, and if not, which fields have to change and how."""
        reasons = [reason for valid, reason in self._checks() if not valid]
        return not reasons, "; ".join(reasons)

    def _checks(self) -> tuple[tuple[bool, str], ...]:
        return (
            *self._checks_of_choices(),
            (bool(self.dataset), "dataset is not given; name the folder with the labeled cases"),
            (self.minutes > 0 or self.epochs > 0, "minutes and epochs are both 0; give one of them"),
            (self.minutes >= 0, f"minutes is {self.minutes}; it cannot be negative"),
            (
                not self.fractions or (len(self.fractions) == 3 and abs(sum(self.fractions) - 1) < 1e-6),
                f"fractions is {self.fractions}; give three shares with the sum 1",
            ),
            (self.folds >= 2, f"folds is {self.folds}; it has to be 2 or more"),
            (self.validations >= 1, f"validations is {self.validations}; it has to be 1 or more"),
            (self.patience >= 0, f"patience is {self.patience}; it cannot be negative"),
            (0 <= self.min_foreground < 1, f"min_foreground is {self.min_foreground}; it is a share from 0 to below 1"),
            (0 <= self.oversampling <= 1, f"oversampling is {self.oversampling}; it is a share from 0 to 1"),
            (
                not self.filters or (len(self.filters) >= 3 and min(self.filters) > 0),
                f"filters is {self.filters}; give three levels or more, or none for the network's own",
            ),
            (self.crop > 0, f"crop is {self.crop}; it has to be above 0"),
            (self.window >= self.crop, f"window is {self.window}; it cannot be smaller than crop, {self.crop}"),
            (self.batch_size >= 2, f"batch_size is {self.batch_size}; batch normalization needs 2 or more"),
            (self.spacing > 0, f"spacing is {self.spacing}; it has to be above 0 mm"),
            (
                self.inference_spacing >= 0,
                f"inference_spacing is {self.inference_spacing}; it has to be above 0 mm, or 0 for that of training",
            ),
            (self.neighbors >= 0, f"neighbors is {self.neighbors}; it cannot be negative"),
            (
                self.learning_rate is None or self.learning_rate > 0,
                f"learning_rate is {self.learning_rate}; it has to be above 0",
            ),
            (
                self.weight_decay is None or self.weight_decay >= 0,
                f"weight_decay is {self.weight_decay}; it cannot be negative",
            ),
            (0 <= self.ema_decay < 1, f"ema_decay is {self.ema_decay}; it has to be from 0 to below 1"),
        )

    def _checks_of_choices(self) -> list[tuple[bool, str]]:
        """One check for each field whose value is one of several names."""
        known = {
            "network": NETWORKS,
            "loss": LOSSES,
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "augmentation": AUGMENTATIONS,
            **{one.name: one.metadata["choices"] for one in fields(self) if one.metadata["choices"]},
        }
        chosen = [(name, getattr(self, name), values) for name, values in known.items()]
        chosen += [("structures", structure, STRUCTURES) for structure in self.structures]
        return [
            (value in values, f"{name} is {value}; choose one of {', '.join(map(str, values))}")
            for name, value, values in chosen
        ]

    def check(self) -> None:
        """Raise CardiacSegError with the reason where the configuration is not valid."""
        valid, reason = self.is_valid()
        if not valid:
            raise CardiacSegError(f"training configuration: {reason}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], source: str) -> TrainingConfig:
        """A configuration from named values as JSON has them; what is not named gets its default.

        Raises:
            CardiacSegError: naming ``source`` and the field that does not exist or has the wrong type.
        """
        known = {one.name: one for one in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise CardiacSegError(f"{source}: '{name}' is no field of a training configuration; take it out")
            if not _has_type(value, known[name]):
                kind = known[name].metadata["kind"].__name__
                raise CardiacSegError(f"{source}: '{name}' is {value!r}; it has to be of type {kind}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})

    def write(self, run: Path) -> None:
        """Write ``config.json``, which names no place on this machine, and ``places.json``, which does."""
        values = asdict(self)
        places = {name: without_home(_absolute(values.pop(name))) for name in PLACES}
        write_json(run / _PLACES_FILE, places)
        write_json(run / _CONFIG, values)

    @classmethod
    def read(cls, run: Path) -> TrainingConfig:
        """What :meth:`write` wrote into the folder of a run.

        Raises:
            CardiacSegError: where there is no run, or one of its files is damaged.
        """
        if not (run / _CONFIG).is_file():
            raise CardiacSegError(f"{run}: no training run in it ({_CONFIG} is missing); name a run's folder")
        places = {name: _at_home(place) for name, place in _read_json(run / _PLACES_FILE).items()}
        values = {**_read_json(run / _CONFIG), **places}
        return cls.from_mapping(values, str(run / _CONFIG))

    def command(self, base: TrainingConfig, **places: str) -> str:
        """The options of the command line that turn ``base`` into this, places replaced by the names given."""
        parts = []
        for one in fields(self):
            value = places.get(one.name, getattr(self, one.name))
            differs = one.name in places or value != getattr(base, one.name)
            if differs and value not in ("", (), None) and one.name not in _ON_CARD:
                shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
                parts.append(f"--{one.name.replace('_', '-')} {shown}")
        return " ".join(parts)


#: What only describes a model; a command on a card does without it.
_ON_CARD = ("name", "title", "purpose", "modality", "device")


def _absolute(place: str) -> str:
    return str(Path(place).resolve()) if place and place != DOWNLOAD else place


def _at_home(place: Any) -> Any:
    """A place that begins with the sign for the home folder, in this one's."""
    return str(Path(place).expanduser()) if isinstance(place, str) and place.startswith("~") else place


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CardiacSegError(f"{path}: cannot be read ({error}); start the run again") from error
    if not isinstance(content, dict):
        raise CardiacSegError(f"{path}: holds no fields; start the run again")
    return content


def _has_type(value: Any, one: Field[Any]) -> bool:
    kind = one.metadata["kind"]
    if isinstance(one.default, tuple):
        return isinstance(value, (list, tuple)) and all(_is_a(kind, part) for part in value)
    return _is_a(kind, value) or (value is None and one.default is None)


def _is_a(kind: type, value: Any) -> bool:
    """Whether a value from JSON has a type; a whole number is a float, too."""
    return type(value) is kind or (kind is float and type(value) is int)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser one option for each field; an option that is not used leaves no trace in what it parses."""
    for one in fields(TrainingConfig):
        default = one.default
        assert default is not MISSING
        several = isinstance(default, tuple)
        shown = " ".join(map(str, default)) if several else default
        parser.add_argument(
            f"--{one.name.replace('_', '-')}",
            type=one.metadata["kind"],
            nargs="+" if several else None,
            metavar=one.metadata["metavar"] or (None if one.metadata["choices"] else one.name.upper()),
            choices=one.metadata["choices"],
            default=argparse.SUPPRESS,
            help=one.metadata["help"] + (f" (default: {shown})" if shown not in ("", 0, None) else ""),
        )


def given_options(options: argparse.Namespace) -> dict[str, Any]:
    """The fields that were given on the command line."""
    values = vars(options)
    return {one.name: values[one.name] for one in fields(TrainingConfig) if one.name in values}
