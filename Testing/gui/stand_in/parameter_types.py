"""Annotations of parameters: what a value must be, and how a widget shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Default:
    value: Any


@dataclass
class Decimals:
    value: int


@dataclass
class SingleStep:
    value: float


class Validator:
    def validate(self, value: Any) -> None:
        raise NotImplementedError


def _require(is_valid: bool, text: str) -> None:
    if not is_valid:
        raise ValueError(text)


@dataclass
class Choice(Validator):
    choices: list[Any]

    def validate(self, value: Any) -> None:
        _require(value in self.choices, f"Value is {value}, but must be in one of the following: {self.choices}")


@dataclass
class Exclude(Validator):
    excludedValues: list[Any]

    def validate(self, value: Any) -> None:
        _require(value not in self.excludedValues, f"Value is {value}, one of the excluded {self.excludedValues}")


@dataclass
class WithinRange(Validator):
    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        inside = self.minimum <= value <= self.maximum
        _require(inside, f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclass
class Minimum(Validator):
    minimum: float

    def validate(self, value: Any) -> None:
        _require(value >= self.minimum, f"Value must not be less than {self.minimum}, is {value}")


@dataclass
class Maximum(Validator):
    maximum: float

    def validate(self, value: Any) -> None:
        _require(value <= self.maximum, f"Value must not be greater than {self.maximum}, is {value}")
