"""What can be asked of the phantom, and which of it can be drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CardiacSegLib.clinical.volumes import MYOCARDIAL_DENSITY
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.phantom.orientation import find_orientation

# A heart of usual size; in others the lengths are in proportion.
_USUAL_VOLUME = 235.0  # mL, within the epicardium at end-diastole
_USUAL_LENGTH = 83.0  # mm, base to epicardial apex at end-diastole
_USUAL_DESCENT = 11.0  # mm


@dataclass(frozen=True)
class PhantomOptions:
    """What to draw.

    Attributes:
        frames: images in one heartbeat; the first is end-diastole. One frame gives end-diastole alone.
        slices: short-axis slices. By default one at the base holds atria and one lies beyond the apex. A stack
            shorter than the heart begins at the base and leaves the apex out, from the labels too.
        spacing: mm between pixels along a row, along a column, and between slices (no gap).
        size: pixels along a row and along a column.
        orientation: one of ``ORIENTATIONS``, or a 3 x 3 matrix of orthonormal columns: the RAS directions of the
            first, second and third array axis (picture right, picture down, base to apex).
        lv_edv_ml, lv_esv_ml: left ventricular volumes at end-diastole and end-systole, mL.
        rv_edv_ml, rv_esv_ml: right ventricular volumes, mL.
        lv_mass_g: mass of the left ventricular myocardium, the same in every frame.
        heart_rate: beats per minute; it decides the times of the frames and nothing in them.
        base_descent_mm: how far the base moves towards the apex in systole. None takes the whole number of slices
            nearest to 11 mm, so that at ED and ES the base falls between two slices and the labels have the true
            volumes. In between it crosses slices, and labels of thick slices are off by up to half a slice's area,
            as they are in patients.
        position_jitter_mm: the heart's distance from the middle of the picture, standard deviation.
        slice_shift_mm: in-plane shift of each slice from its own breath-hold, standard deviation.
        diaphragm_motion_mm: how far the diaphragm moves within a heartbeat.
        noise_level: standard deviation of the noise in each channel, relative to the signal of blood.
        bias_strength: how uneven the coil's sensitivity is; 0 is even.
        contrast: 1 is the usual difference between blood and myocardium, 0 is none.
        seed: of everything that is drawn by chance.
    """

    frames: int = 20
    slices: int = 10
    spacing: tuple[float, float, float] = (1.5, 1.5, 10.0)
    size: tuple[int, int] = (192, 192)
    orientation: str | Sequence[Sequence[float]] = "short-axis"
    lv_edv_ml: float = 135.0
    lv_esv_ml: float = 54.0
    rv_edv_ml: float = 150.0
    rv_esv_ml: float = 68.0
    lv_mass_g: float = 105.0
    heart_rate: float = 65.0
    base_descent_mm: float | None = None
    position_jitter_mm: float = 4.0
    slice_shift_mm: float = 1.0
    diaphragm_motion_mm: float = 3.0
    noise_level: float = 0.025
    bias_strength: float = 0.35
    contrast: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise a CardiacSegError that names the field where the options cannot be drawn."""
        self._check_grid()
        self._check_heart()
        for name in ("position_jitter_mm", "slice_shift_mm", "diaphragm_motion_mm", "noise_level", "bias_strength"):
            _require(_finite(getattr(self, name)) and getattr(self, name) >= 0, f"{name} must be 0 or more")
        _require(_finite(self.contrast) and 0 <= self.contrast <= 1.5, "contrast must be between 0 and 1.5")
        _require(isinstance(self.seed, (int, np.integer)) and self.seed >= 0, "seed must be a whole number, 0 or more")
        find_orientation(self.orientation)

    def _check_grid(self) -> None:
        for name, counts in (("frames", [self.frames]), ("slices", [self.slices]), ("size", list(self.size))):
            whole = all(isinstance(count, (int, np.integer)) and count >= 1 for count in counts)
            _require(whole, f"{name} must be whole numbers of 1 or more, not {getattr(self, name)}")
        _require(len(self.size) == 2, f"size must be two numbers of pixels, not {self.size}")
        positive = len(self.spacing) == 3 and all(_finite(step) and step > 0 for step in self.spacing)
        _require(positive, f"spacing must be three positive numbers of mm, not {self.spacing}")

    def _check_heart(self) -> None:
        for chamber in ("lv", "rv"):
            edv, esv = getattr(self, f"{chamber}_edv_ml"), getattr(self, f"{chamber}_esv_ml")
            possible = _finite(edv) and _finite(esv) and 0 < esv <= edv
            _require(possible, f"{chamber}_esv_ml must be above 0 and at most {chamber}_edv_ml, not {esv} and {edv}")
        _require(_finite(self.lv_mass_g) and self.lv_mass_g > 0, f"lv_mass_g must be above 0, not {self.lv_mass_g}")
        _require(_finite(self.heart_rate) and self.heart_rate > 0, f"heart_rate must be above 0, not {self.heart_rate}")
        descent = self.descent_mm
        length = self.epicardial_length_mm
        _require(
            _finite(descent) and 0 <= descent < 0.5 * length,
            f"base_descent_mm must be between 0 and half the heart's length of {length:.0f} mm, not {descent}",
        )

    @property
    def epicardial_length_mm(self) -> float:
        """Base to epicardial apex at end-diastole, mm."""
        volume = self.lv_edv_ml + self.lv_mass_g / MYOCARDIAL_DENSITY
        return _USUAL_LENGTH * (volume / _USUAL_VOLUME) ** (1.0 / 3.0)

    @property
    def descent_mm(self) -> float:
        """How far the base moves in systole, mm."""
        if self.base_descent_mm is not None:
            return self.base_descent_mm
        usual = _USUAL_DESCENT * self.epicardial_length_mm / _USUAL_LENGTH
        whole_slices = round(usual / self.spacing[2])
        return whole_slices * self.spacing[2] if whole_slices else usual


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CardiacSegError(f"phantom: {message}")


def _finite(value: float | None) -> bool:
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)
