"""The ventricles as analytic shapes: their volumes without voxels, and their labels on a grid.

Both are star-shaped about the left ventricle's axis, so their volumes are integrals of radii.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.clinical.volumes import MYOCARDIAL_DENSITY
from CardiacSegLib.phantom.grid import Grid
from CardiacSegLib.phantom.heartbeat import contraction
from CardiacSegLib.phantom.options import PhantomOptions

# The left ventricle's radius falls from base to apex as sqrt(1 - height^_LV_TAPER); its square integrates to _LV_FILL
# times the cylinder. The right ventricle's depth falls as 1 - height^_RV_TAPER.
_LV_TAPER = 2.5
_LV_FILL = _LV_TAPER / (_LV_TAPER + 1.0)
_RV_TAPER = 1.4

_RV_ANGLE = math.pi - 0.15  # from the x axis, y down: to the left of the picture and a little below
_RV_HALF_WIDTHS = (1.5, 1.12)  # radians: towards the outflow tract, towards the diaphragm
_RV_BULGES = (1.7, 2.6)  # how blunt the crescent is on either side
_AXIS_DRIFT = (5.0, 3.0)  # mm in x and y by which the long axis leans from base to apex


@dataclass(frozen=True)
class Ventricles:
    """The ventricles in every frame; each array is (T,), in mm.

    At height z the endocardium is a closed line of mean radius ``endo(z)``, the epicardium one of ``epi(z)``, and the
    right ventricle reaches from the epicardium ``rv_depth(z)`` times the crescent outwards. These methods take any z
    that broadcasts against (T,).
    """

    base: np.ndarray
    endo_length: np.ndarray
    endo_radius: np.ndarray
    epi_length: np.ndarray
    epi_radius: np.ndarray
    rv_length: np.ndarray
    rv_reach: np.ndarray

    @classmethod
    def from_options(cls, options: PhantomOptions) -> Ventricles:
        """Solve for the radii that give the wanted volumes, with the apex still and the myocardium's volume kept."""
        contracted = contraction(options.frames)
        lv_pool = 1000.0 * (options.lv_edv_ml - (options.lv_edv_ml - options.lv_esv_ml) * contracted)
        rv_pool = 1000.0 * (options.rv_edv_ml - (options.rv_edv_ml - options.rv_esv_ml) * contracted)
        base = options.descent_mm * contracted
        epi_length = options.epicardial_length_mm - base
        wall = 1000.0 * options.lv_mass_g / MYOCARDIAL_DENSITY
        epi_radius = _lv_radius(lv_pool + wall, epi_length)
        endo_length, endo_radius = _solve_endocardium(lv_pool, epi_length, epi_radius)
        rv_length = 0.86 * epi_length
        rv_reach = _solve_rv_reach(rv_pool, epi_length, epi_radius, rv_length)
        return cls(base, endo_length, endo_radius, epi_length, epi_radius, rv_length, rv_reach)

    def endo(self, z: np.ndarray | float) -> np.ndarray:
        """Mean endocardial radius; 0 beyond the apex and above the base."""
        return self.endo_radius * _lv_taper((z - self.base) / self.endo_length)

    def epi(self, z: np.ndarray | float) -> np.ndarray:
        """Mean epicardial radius; 0 beyond the apex and above the base."""
        return self.epi_radius * _lv_taper((z - self.base) / self.epi_length)

    def rv_depth(self, z: np.ndarray | float) -> np.ndarray:
        """Depth of the right ventricle at its deepest; 0 beyond its apex and above the base."""
        return self.rv_reach * _taper((z - self.base) / self.rv_length, _RV_TAPER)

    def volumes_ml(self) -> dict[str, np.ndarray]:
        """Volumes of the shapes, each (T,), mL: of revolution for LV and MYO, by quadrature for RV."""
        pool = np.pi * _LV_FILL * self.endo_radius**2 * self.endo_length / 1000.0
        whole = np.pi * _LV_FILL * self.epi_radius**2 * self.epi_length / 1000.0
        linear, quadratic = _rv_coefficients(self.epi_length, self.epi_radius, self.rv_length)
        rv_pool = (linear * self.rv_reach + quadratic * self.rv_reach**2) / 1000.0
        return {"LV": pool, "MYO": whole - pool, "RV": rv_pool}


@dataclass(frozen=True)
class PolarPlane:
    """A plane's pixels as the ventricles see them.

    Attributes:
        z: height of the plane, mm.
        x, y: (1, I, 1) and (1, 1, J), mm from the leaning axis. Frames broadcast in front, here and below.
        angle: (1, I, J), radians from the x axis, y down.
        radius: (1, I, J), mm, as it would be if the outline were a circle.
        crescent: (1, I, J), the right ventricle's depth at that angle, 0 to 1.
    """

    z: float
    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    radius: np.ndarray
    crescent: np.ndarray

    @classmethod
    def at(cls, x: np.ndarray, y: np.ndarray, z: float) -> PolarPlane:
        """The plane at height z of pixels at x (I,) and y (J,), mm."""
        lean = z / 85.0
        x = (x - _AXIS_DRIFT[0] * lean)[None, :, None]
        y = (y - _AXIS_DRIFT[1] * lean)[None, None, :]
        angle = np.arctan2(y, x)
        radius = np.sqrt((x * x + y * y) / _outline(angle))
        return cls(z, x, y, angle, radius, _crescent(angle).astype(np.float32))


def label_ventricles(grid: Grid, ventricles: Ventricles) -> np.ndarray:
    """Canonical labels, uint8 (K, T, I, J), of what lies at the middle of each voxel."""
    slices, columns, rows = grid.shape
    labels = np.zeros((slices, len(ventricles.base), columns, rows), np.uint8)
    for k, z in enumerate(grid.z):
        plane = PolarPlane.at(grid.x[k], grid.y[k], float(z))
        shapes = ventricles.endo(z), ventricles.epi(z), ventricles.rv_depth(z)
        endo, epi, depth = (shape[:, None, None] for shape in shapes)
        labels[k][plane.radius < epi + depth * plane.crescent] = CANONICAL["RV"]
        labels[k][plane.radius < epi] = CANONICAL["MYO"]
        labels[k][plane.radius < endo] = CANONICAL["LV"]
    return labels


def _lv_radius(volume: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Mean radius at the base of a left ventricular shape of that volume and length, mm."""
    return np.sqrt(volume / (np.pi * _LV_FILL * length))


def _solve_endocardium(
    pool: np.ndarray, epi_length: np.ndarray, epi_radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Length and radius of the pool that leaves at the apex 0.7 times the wall it leaves at the side, by iteration."""
    length = 0.93 * epi_length
    for _ in range(60):
        length = 0.5 * length + 0.5 * (epi_length - 0.7 * (epi_radius - _lv_radius(pool, length)))
    return length, _lv_radius(pool, length)


def _solve_rv_reach(
    pool: np.ndarray, epi_length: np.ndarray, epi_radius: np.ndarray, rv_length: np.ndarray
) -> np.ndarray:
    """The depth at the base that gives the wanted volume: the positive root of a quadratic."""
    linear, quadratic = _rv_coefficients(epi_length, epi_radius, rv_length)
    return (-linear + np.sqrt(linear**2 + 4.0 * quadratic * pool)) / (2.0 * quadratic)


def _rv_coefficients(
    epi_length: np.ndarray, epi_radius: np.ndarray, rv_length: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The right ventricle's volume in mm3 is linear * reach + quadratic * reach**2, each (T,).

    At one height its area is the integral over the angle of ((epi + depth * crescent)^2 - epi^2) / 2.
    """
    first, second = _crescent_moments()
    z = (np.arange(4000)[:, None] + 0.5) / 4000 * rv_length
    depth = _taper(z / rv_length, _RV_TAPER)
    epi = epi_radius * _lv_taper(z / epi_length)
    return first * (epi * depth).mean(0) * rv_length, 0.5 * second * (depth**2).mean(0) * rv_length


def _crescent_moments() -> tuple[float, float]:
    """Integrals of the crescent and of its square over the angle, weighted with the outline."""
    step = 2.0 * np.pi / 20000
    angle = (np.arange(20000) + 0.5) * step
    crescent, outline = _crescent(angle), _outline(angle)
    return float((crescent * outline).sum() * step), float((crescent**2 * outline).sum() * step)


def _outline(angle: np.ndarray) -> np.ndarray:
    """Squared radius of the ventricles' outline against a circle's, by polar angle. Its mean is 1: areas are kept."""
    return 1.0 + 0.05 * np.cos(2.0 * (angle - 1.1)) + 0.035 * np.cos(3.0 * (angle - 0.4)) + 0.015 * np.cos(5.0 * angle)


def _crescent(angle: np.ndarray) -> np.ndarray:
    """Depth of the right ventricle beyond the septum by polar angle, 1 at its deepest and 0 off the crescent."""
    offset = np.mod(angle - _RV_ANGLE + np.pi, 2.0 * np.pi) - np.pi
    sides = [np.abs(offset / width) ** bulge for width, bulge in zip(_RV_HALF_WIDTHS, _RV_BULGES)]
    return np.maximum(1.0 - np.where(offset > 0, *sides), 0.0)


def _lv_taper(height: np.ndarray) -> np.ndarray:
    """Radius against that at the base, by height from base (0) to apex (1)."""
    return np.sqrt(_taper(height, _LV_TAPER))


def _taper(height: np.ndarray, exponent: float) -> np.ndarray:
    """Fall from 1 at the base (0) to 0 at the apex (1) and beyond; 0 above the base too."""
    return np.where(height >= 0, 1.0 - np.clip(height, 0.0, 1.0) ** exponent, 0.0)
