"""The phantom as a whole: a cine with its labels, its geometry and its true volumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from CardiacSegLib.phantom.body import draw_body
from CardiacSegLib.phantom.grid import Grid
from CardiacSegLib.phantom.heart import draw_heart
from CardiacSegLib.phantom.heartbeat import end_systolic_frame
from CardiacSegLib.phantom.options import PhantomOptions
from CardiacSegLib.phantom.orientation import find_orientation
from CardiacSegLib.phantom.scanner import scan
from CardiacSegLib.phantom.ventricles import Ventricles, label_ventricles


@dataclass(frozen=True)
class Phantom:
    """A cine and the truth about it.

    Attributes:
        image: int16 (I, J, K, T), arbitrary units, blood at about 300.
        labels: uint8 (I, J, K, T), canonical: 1 LV, 2 MYO, 3 RV.
        affine: 4 x 4, array index to RAS mm.
        frame_times: of the frames, (T,), ms after the first.
        ed_frame, es_frame: frames of the largest and the smallest left ventricle.
        volumes_ml: for LV, MYO and RV the volume of the drawn shape in each frame (T,), mL: integrated from its
            radii, so what a perfect measurement would find whatever the voxels.
        options: what it was made from.
    """

    image: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    frame_times: np.ndarray
    ed_frame: int
    es_frame: int
    volumes_ml: Mapping[str, np.ndarray]
    options: PhantomOptions


def make_phantom(options: PhantomOptions | None = None) -> Phantom:
    """Draw a beating heart.

    Args:
        options: what to draw; the defaults are a healthy adult with 20 frames.

    Returns:
        The cine with its labels, geometry and true volumes. The same options give the same phantom.

    Raises:
        CardiacSegError: from ``PhantomOptions``, where they cannot be drawn.
    """
    options = options or PhantomOptions()
    rng = np.random.default_rng(options.seed)  # the steps share it: another order of steps makes another phantom
    ventricles = Ventricles.from_options(options)
    grid = Grid.from_options(options, rng)
    signal = draw_body(options, grid, rng)
    draw_heart(options, grid, ventricles, signal, rng)
    image = scan(options, grid, signal, rng)
    orientation = find_orientation(options.orientation)
    return Phantom(
        image=orientation.lay_out(image),
        labels=orientation.lay_out(label_ventricles(grid, ventricles)),
        affine=orientation.affine((*options.size, options.slices), options.spacing),
        frame_times=np.arange(options.frames) * 60000.0 / (options.heart_rate * options.frames),
        ed_frame=0,
        es_frame=end_systolic_frame(options.frames),
        volumes_ml=ventricles.volumes_ml(),
        options=options,
    )
