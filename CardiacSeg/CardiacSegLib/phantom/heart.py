"""Drawing the heart: the ventricles with their fat, trabeculae and papillary muscles, and the atria above the base."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CardiacSegLib.phantom.canvas import BLOOD, FAT, MUSCLE, Canvas, cover
from CardiacSegLib.phantom.grid import Grid
from CardiacSegLib.phantom.options import PhantomOptions
from CardiacSegLib.phantom.smooth import smooth_noise, smooth_step
from CardiacSegLib.phantom.ventricles import PolarPlane, Ventricles

_RV_BLOOD = 0.88
_MYOCARDIUM = 0.36

_SUBSLICES = 3  # planes averaged in each slice
_LV_WAVES, _RV_WAVES = (13.0, 21.0), (17.0, 29.0)  # trabeculae around the pool: two waves of so many ridges
_PAPILLARY_MUSCLES = (
    (1.15, 0.78, 4.8),
    (0.85, 0.84, 3.6),
    (-0.55, 0.80, 4.0),
    (-0.85, 0.82, 3.4),
)  # angle, share of the radius, mm


def draw_heart(
    options: PhantomOptions, grid: Grid, ventricles: Ventricles, signal: np.ndarray, rng: np.random.Generator
) -> None:
    """Draw the heart over the body's ``signal`` (K, T, I, J), in place."""
    flow = 0.05 * smooth_noise(rng, grid, 9.0)
    rv_phases, lv_phases = rng.uniform(0.0, 2.0 * np.pi, (2, 2))
    myocardium = BLOOD - options.contrast * (BLOOD - _MYOCARDIUM)
    heart = _Heart(ventricles, myocardium, lv_phases, rv_phases, grid.spacing[2] / _SUBSLICES)
    offsets = ((np.arange(_SUBSLICES) + 0.5) / _SUBSLICES - 0.5) * grid.spacing[2]
    extent = _extent(ventricles)
    for k, z in enumerate(grid.z):
        columns, rows = grid.window(k, *extent)
        x, y = grid.x[k, columns], grid.y[k, rows]
        if not (len(x) and len(y)):
            continue
        body = signal[k, :, columns, rows].copy()
        drawn = np.zeros_like(body)
        for offset in offsets:
            plane = PolarPlane.at(x, y, float(z + offset))
            drawn += heart.draw(plane, body, flow[k, columns, rows], grid.pixel)
        signal[k, :, columns, rows] = drawn / _SUBSLICES


def _extent(ventricles: Ventricles) -> tuple[float, float, float, float]:
    """Left, right, upper and lower bound of the ventricles with their fat and of the atria, mm."""
    lv = 1.12 * float(ventricles.epi_radius.max()) + 14.0
    rv = 1.12 * float((ventricles.epi_radius + ventricles.rv_reach).max()) + 10.0
    return -max(rv, 75.0), max(lv, 52.0), -max(rv, 58.0), max(rv, 52.0)


@dataclass(frozen=True)
class _Heart:
    """What is the same in every plane.

    Attributes:
        ventricles: their shapes.
        myocardium: its signal.
        lv_phases, rv_phases: where the trabeculae's two waves begin, radians.
        thickness: of a plane, mm.
    """

    ventricles: Ventricles
    myocardium: float
    lv_phases: np.ndarray
    rv_phases: np.ndarray
    thickness: float

    def draw(self, plane: PolarPlane, body: np.ndarray, flow: np.ndarray, pixel: float) -> np.ndarray:
        """Signed signal of one plane through the heart in every frame, float32 (T, I, J).

        Args:
            plane: where its pixels lie.
            body: signal of what lies behind the heart, (T, I, J).
            flow: how uneven blood and muscle are, (I, J).
            pixel: width of a pixel, mm.
        """
        below_base = cover(plane.z - self.ventricles.base, self.thickness)[:, None, None].astype(np.float32)
        canvas = Canvas(body.copy(), plane.x, plane.y, pixel)
        if below_base.max() > 0:
            self._draw_ventricles(canvas, plane, flow)
        if below_base.min() == 1:
            return canvas.signal
        above = Canvas(body.copy(), plane.x, plane.y, pixel)
        _draw_atria(above, flow)
        return above.signal + below_base * (canvas.signal - above.signal)

    def _draw_ventricles(self, canvas: Canvas, plane: PolarPlane, flow: np.ndarray) -> None:
        """Fat, walls and blood of the ventricles; in a frame whose base lies below the plane, those at the base."""
        z = np.maximum(plane.z, self.ventricles.base)
        shapes = self.ventricles.endo(z), self.ventricles.epi(z), self.ventricles.rv_depth(z)
        endo, epi, depth = (shape[:, None, None].astype(np.float32) for shape in shapes)
        rv_edge = epi + depth * plane.crescent
        rv_wall = 2.6 * np.minimum(plane.crescent * 6.0, 1.0) * np.minimum(depth / 4.0, 1.0)
        outer = rv_edge + rv_wall
        present = np.minimum(epi / 6.0, 1.0)
        fat = _epicardial_fat(plane) * present
        canvas.blend(cover(outer + fat - plane.radius, canvas.pixel) * present, FAT * 0.8)
        canvas.paint(outer - plane.radius, self.myocardium * 0.95)
        rv_ridge = 1.8 * _trabeculae(plane.angle, _RV_WAVES, self.rv_phases) * np.minimum(depth / 20.0, 1.0)
        canvas.paint(rv_edge - rv_ridge - plane.radius, _RV_BLOOD + flow)
        canvas.paint(epi - plane.radius, self.myocardium * (1.0 + flow))
        height = (plane.z - self.ventricles.base) / self.ventricles.endo_length
        height = np.clip(height, 0.0, 1.0)[:, None, None].astype(np.float32)
        lv_ridge = 1.1 * _trabeculae(plane.angle, _LV_WAVES, self.lv_phases) * smooth_step(height / 0.4)
        canvas.paint(endo - lv_ridge - plane.radius, BLOOD + 1.2 * flow)
        _draw_papillary_muscles(canvas, plane, endo, height, self.myocardium)


def _epicardial_fat(plane: PolarPlane) -> np.ndarray:
    """Its thickness, mm, (1, I, J): most in the interventricular grooves, the rest in patches."""
    groove = np.exp(-(((plane.crescent - 0.12) / 0.16) ** 2))
    waves = np.sin(2.0 * plane.angle + 0.9 + 0.03 * plane.z) + 0.4 * np.sin(5.0 * plane.angle + 0.05 * plane.z)
    patches = np.clip(waves, 0.0, 1.0)
    return 0.4 + 4.0 * groove + 2.5 * patches * np.minimum(plane.crescent * 4.0, 1.0) + 0.8 * patches


def _trabeculae(angle: np.ndarray, waves: tuple[float, float], phases: np.ndarray) -> np.ndarray:
    """How far they reach into the pool, by polar angle, 0 to 2."""
    return np.clip(np.sin(waves[0] * angle + phases[0]) + np.sin(waves[1] * angle + phases[1]), 0.0, 2.0)


def _draw_papillary_muscles(
    canvas: Canvas, plane: PolarPlane, endo: np.ndarray, height: np.ndarray, value: float
) -> None:
    """Two dark islands in the pool, between a quarter and three quarters of its height. They keep the pool's label."""
    presence = smooth_step((height - 0.2) / 0.15) * smooth_step((0.8 - height) / 0.15)
    for angle, share, size in _PAPILLARY_MUSCLES:
        place = share * endo
        squared = plane.radius**2 + place**2 - 2.0 * plane.radius * place * np.cos(plane.angle - angle)
        depth = size * np.minimum(endo / 20.0, 1.0) - np.sqrt(np.maximum(squared, 0.0))
        canvas.blend(cover(depth, 1.5 * canvas.pixel) * presence * 0.9, value)


def _draw_atria(canvas: Canvas, flow: np.ndarray) -> None:
    """What lies above the base: atria, aortic root and outflow tract in fat."""
    chambers = (
        (canvas.ellipse((10.0, 20.0), (35.0, 17.0), 0.25), 0.80),  # left atrium
        (canvas.ellipse((-48.0, 14.0), (20.0, 31.0), 0.35), 0.74),  # right atrium
        (canvas.ellipse((-32.0, -26.0), (25.0, 15.0), -0.5), 0.80),  # outflow tract
        (canvas.ellipse((-5.0, -9.0), (14.0, 13.0)), 0.92),  # aortic root
    )
    uneven = 16.0 * flow  # mm: no chamber's outline is an ellipse
    hull = np.maximum.reduce([depth for depth, _ in chambers]) + uneven
    canvas.paint(hull + 3.0 + uneven, FAT * 0.8)
    for depth, value in chambers:
        canvas.paint(depth + uneven + 1.0, MUSCLE)
        canvas.paint(depth + uneven, value + flow)
