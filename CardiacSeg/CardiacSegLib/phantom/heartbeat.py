"""The time course of one heartbeat."""

from __future__ import annotations

import numpy as np

from CardiacSegLib.phantom.smooth import smooth_step

_SYSTOLE = 0.37  # share of the cycle


def end_systolic_frame(frames: int) -> int:
    """Return the frame at which systole ends; frame 0 is end-diastole."""
    return int(_SYSTOLE * frames + 0.5) % frames


def contraction(frames: int) -> np.ndarray:
    """0 at end-diastole, 1 at end-systole, (T,): ejection, rapid filling, diastasis, atrial contraction."""
    es_frame = end_systolic_frame(frames)
    if es_frame == 0:
        return np.zeros(frames)
    frame = np.arange(frames)
    ejected = 0.5 - 0.5 * np.cos(np.pi * np.minimum(frame / es_frame, 1.0))
    diastole = np.clip((frame - es_frame) / (frames - es_frame), 0.0, 1.0)
    filled = 0.75 * smooth_step(diastole / 0.5) + 0.25 * smooth_step((diastole - 0.7) / 0.3)
    return ejected - filled
