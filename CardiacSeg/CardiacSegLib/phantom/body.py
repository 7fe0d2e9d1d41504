"""Drawing what surrounds the heart: the chest and the abdomen. It only has to look right and carries no label."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CardiacSegLib.phantom.canvas import BLOOD, FAT, MUSCLE, Canvas
from CardiacSegLib.phantom.grid import Grid
from CardiacSegLib.phantom.heartbeat import contraction
from CardiacSegLib.phantom.options import PhantomOptions
from CardiacSegLib.phantom.smooth import smooth_noise, smooth_step

_LUNG = 0.035
_LIVER = 0.36

_LEAN = -0.12  # radians by which the body leans in the picture


def draw_body(options: PhantomOptions, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Signed signal of everything but the heart, float32 (K, T, I, J)."""
    wobble = 2.5 * np.stack([smooth_noise(rng, grid, 30.0) for _ in range(2)])  # mm: no organ is an ellipse
    texture = 0.6 * smooth_noise(rng, grid, 18.0) + 0.6 * smooth_noise(rng, grid, 5.0)
    vessels = _lung_vessels(rng, grid)
    motion = options.diaphragm_motion_mm * contraction(options.frames)
    signal = np.empty((options.slices, options.frames, *options.size), np.float32)
    for k, z in enumerate(grid.z):
        x = grid.x[k][:, None] + wobble[0, k]
        y = grid.y[k][None, :] + wobble[1, k]
        canvas = Canvas(np.zeros_like(x), x, y, grid.pixel)
        apical = min(max(float(z) / 85.0, -0.2), 1.2)  # 0 at the base, 1 at the apex
        _draw_chest(canvas, apical, texture[k], vessels[k])
        _draw_abdomen(canvas, apical, texture[k])
        signal[k] = _move_diaphragm(canvas.signal, grid.y[k], motion, grid.spacing[1])
    return signal


def _lung_vessels(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Float32 (K, I, J) signal of vessels cut across: the wider, the rarer and the brighter."""
    vessels = np.zeros(grid.shape, np.float32)
    slices, columns, rows = grid.shape
    area = columns * rows * grid.spacing[0] * grid.spacing[1]
    for radius, per_square_cm, brightness in ((0.8, 0.30, 0.25), (1.4, 0.10, 0.5), (2.4, 0.015, 0.8)):
        dots = np.zeros_like(vessels)
        for k, number in enumerate(rng.poisson(area / 100.0 * per_square_cm, slices)):
            i, j = rng.integers(0, columns, number), rng.integers(0, rows, number)
            dots[k, i, j] = rng.uniform(0.4, 1.0, number)
        widths = (0.0, radius / grid.spacing[0], radius / grid.spacing[1])
        height = 2.0 * np.pi * max(widths[1], 0.4) * max(widths[2], 0.4)
        vessels += brightness * height * ndimage.gaussian_filter(dots, widths, truncate=3.0)
    return vessels


def _thorax(canvas: Canvas, apical: float) -> np.ndarray:
    """Depth below the chest's inner wall, mm. Its top comes down towards the apex."""
    center = (22.0 - 8.0 * apical, 32.0 + 22.0 * apical)
    return canvas.ellipse(center, (106.0 - 12.0 * apical, 150.0 - 36.0 * apical), _LEAN)


def _draw_chest(canvas: Canvas, apical: float, texture: np.ndarray, vessels: np.ndarray) -> None:
    """Skin, fat, muscle with ribs, and the lung."""
    skin = canvas.ellipse((28.0, 28.0), (142.0, 205.0), _LEAN)
    cavity = _thorax(canvas, apical)
    around = np.arctan2((canvas.y - 32.0) / 150.0, (canvas.x - 24.0) / 104.0)
    fat = 12.0 + 6.0 * apical + 5.0 * np.cos(around - 2.6)
    canvas.paint(skin, FAT * (1.0 + 0.08 * texture))
    canvas.paint(skin - fat, MUSCLE * (1.0 + 0.2 * texture))
    between = np.minimum(skin - fat - 9.0, -cavity - 13.0) + 2.5 * texture
    canvas.paint(between, FAT * 0.75)
    canvas.paint(cavity + 12.0, MUSCLE * (0.9 + 0.2 * texture))
    ribs = np.cos(19.0 * around + 5.0 * apical)
    canvas.paint(3.0 * ribs - np.abs(cavity + 5.5), FAT * 0.6)
    canvas.paint(cavity + 1.5, FAT * 0.5)
    canvas.paint(cavity, _LUNG * (1.0 + 0.4 * texture) + vessels)


def _draw_abdomen(canvas: Canvas, apical: float, texture: np.ndarray) -> None:
    """What lies below the diaphragm, and the fat on which the heart rests."""
    cavity = _thorax(canvas, apical) - 1.0
    x, y = canvas.x, canvas.y
    dome = 37.0 - 20.0 * max(apical, 0.0) ** 1.5 + 0.0022 * (x - 5.0) ** 2 + 4.0 * np.sin(x / 24.0)
    below = np.minimum(y - dome, cavity)
    right_pad = canvas.ellipse((-62.0, 30.0), (32.0, 20.0), 0.6)
    left_pad = canvas.ellipse((30.0, 36.0 - 10.0 * apical), (20.0, 7.0), 0.5)
    canvas.paint(np.minimum(np.maximum(right_pad, left_pad), cavity), FAT * (0.8 + 0.12 * texture))
    canvas.paint(below, MUSCLE)
    canvas.paint(below - 2.5, FAT * (0.75 + 0.15 * texture))
    _draw_liver(canvas, below, texture)
    stomach = np.minimum(canvas.ellipse((58.0, 72.0 - 10.0 * apical), (30.0, 22.0), 0.35), below - 4.0)
    canvas.paint(stomach, 0.34)
    canvas.paint(stomach - 4.0, 0.42 + 0.16 * texture)
    spleen = np.minimum(canvas.ellipse((104.0, 86.0), (15.0, 34.0), 0.25), below - 3.0)
    canvas.paint(spleen, 0.40 + 0.02 * texture)
    kidney = canvas.ellipse((76.0, 122.0), (20.0, 28.0), -0.3)
    canvas.paint(np.minimum(kidney, below - 4.0), 0.52 + 0.04 * texture)
    canvas.paint(np.minimum(kidney - 9.0, below - 4.0), 0.40 + 0.10 * texture)
    _draw_spine_and_great_vessels(canvas, texture)


def _draw_liver(canvas: Canvas, below: np.ndarray, texture: np.ndarray) -> None:
    """Both lobes with bright vessels, ``below`` mm under the diaphragm."""
    right_lobe = canvas.ellipse((-52.0, 98.0), (80.0, 64.0), -0.25)
    left_lobe = canvas.ellipse((0.0, 62.0), (46.0, 19.0), -0.2)
    liver = np.minimum(np.maximum(right_lobe, left_lobe), below - 3.5)
    branches = np.clip(texture - 1.45, 0.0, 0.6)
    canvas.paint(liver, _LIVER * (1.0 + 0.05 * texture) + 0.6 * branches)


def _draw_spine_and_great_vessels(canvas: Canvas, texture: np.ndarray) -> None:
    """A vertebra, and before it the aorta and the inferior vena cava."""
    spine = canvas.ellipse((24.0, 146.0), (20.0, 26.0), 0.1)
    canvas.paint(spine, 0.12)
    canvas.paint(spine - 2.5, 0.30 + 0.08 * texture)
    for center, radius, value in (((36.0, 106.0), 10.5, BLOOD), ((-2.0, 112.0), 9.0, 0.72)):
        vessel = canvas.ellipse(center, (radius, radius * 1.1))
        canvas.paint(vessel + 1.5, MUSCLE)
        canvas.paint(vessel, value * (1.0 + 0.03 * texture))


def _move_diaphragm(body: np.ndarray, y: np.ndarray, motion: np.ndarray, spacing: float) -> np.ndarray:
    """The slice in every frame, float32 (T, I, J): what lies low in the picture moves by ``motion`` mm (T,)."""
    share = smooth_step((y - 15.0) / 40.0) * (1.0 - 0.8 * smooth_step((y - 60.0) / 60.0))
    row = np.arange(len(y))[None, :] + motion[:, None] * share[None, :] / spacing
    row = np.clip(row, 0, len(y) - 1.001)
    lower = np.minimum(row.astype(int), max(len(y) - 2, 0))
    upper = np.minimum(lower + 1, len(y) - 1)
    blend = (row - lower).astype(np.float32)
    moved = body[:, lower] * (1 - blend) + body[:, upper] * blend
    return moved.transpose(1, 0, 2)
