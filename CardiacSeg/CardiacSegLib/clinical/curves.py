"""What the volume over a heartbeat says: how fast the ventricle empties and fills, and how often it beats."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from CardiacSegLib.errors import CardiacSegError

#: Harmonics of the heartbeat that are kept of a volume curve.
HARMONICS = 5

#: Fewer frames than this may be phases picked from a cine, and say nothing about the time between them.
FRAMES_OF_A_CYCLE = 8

#: With fewer frames a heartbeat has fewer than HARMONICS harmonics, and its steepest slope is not seen.
FRAMES_FOR_RATES = 2 * HARMONICS + 2

#: The steps of a cine may differ by so much of their median: trigger times are rounded, and slices differ a little.
_UNEVEN = 0.1

_FINE_STEPS = 1000


class PeakRates(NamedTuple):
    """Fastest change of a volume, mL/s, both as positive numbers."""

    ejection: float
    filling: float


def check_frame_times(frame_times: np.ndarray, frames: int) -> np.ndarray:
    """Times of the frames as float64 (T,), ms.

    Raises:
        CardiacSegError: where they are not one for each frame, or do not rise.
    """
    times = np.asarray(frame_times, float)
    if times.shape != (frames,):
        raise CardiacSegError(f"frame times: {times.size} for {frames} frames; give one for each, in ms")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise CardiacSegError("frame times: they must rise from frame to frame; give milliseconds after the R wave")
    return times


def cycle_ms(frame_times: np.ndarray | None) -> float | None:
    """Length of the heartbeat that a cine was made of, ms: the number of its frames times the step between them.

    A retrospectively gated cine divides the heartbeat into equal frames, the last of which is followed by the first.

    Args:
        frame_times: (T,), ms, rising.

    Returns:
        None where there are no times, fewer than 8 frames, or uneven steps, as between phases picked from a cine.
    """
    if frame_times is None or len(frame_times) < FRAMES_OF_A_CYCLE:
        return None
    steps = np.diff(frame_times)
    step = float(np.median(steps))
    if np.abs(steps - step).max() > _UNEVEN * step:
        return None
    return step * len(frame_times)


def time_course_ml(volumes_ml: np.ndarray, steady_ml: np.ndarray, ed_frame: int, es_frame: int) -> np.ndarray | None:
    """The volume over time without the steps that slices at the base make as they pass from ventricle to atrium.

    Between ED and ES it goes as the slices do that show the ventricle throughout, and at ED and ES it is the whole
    volume. The steps, a tenth of the volume from one frame to the next, would be the steepest slopes otherwise.

    Args:
        volumes_ml: of the ventricle, (T,), mL.
        steady_ml: of the same slices in every frame (:func:`CardiacSegLib.clinical.volumes.phase_curve_ml`), (T,), mL.
        ed_frame, es_frame: counted from 0.

    Returns:
        (T,), mL; None where those slices do not change between ED and ES.
    """
    change = steady_ml[ed_frame] - steady_ml[es_frame]
    if not change:
        return None
    stroke = volumes_ml[ed_frame] - volumes_ml[es_frame]
    return volumes_ml[es_frame] + (steady_ml - steady_ml[es_frame]) / change * stroke


def smooth_cycle(volumes_ml: np.ndarray, samples: int | None = None) -> np.ndarray:
    """A volume over one heartbeat without what changes faster than its fifth harmonic.

    A Fourier series of few harmonics is the usual filter of ventricular volume curves, see S. L. Bacharach et al.,
    "Optimum Fourier filtering of cardiac data: a minimum-error method", J Nucl Med 24:1176-1184 (1983).

    Args:
        volumes_ml: (T,) at equal steps over one heartbeat, mL.
        samples: how many equal steps the result has; T where None.

    Returns:
        (samples,), mL, beginning with the first frame.
    """
    spectrum = np.fft.rfft(np.asarray(volumes_ml, float))[: HARMONICS + 1]
    samples = samples or len(volumes_ml)
    return np.fft.irfft(spectrum, samples) * (samples / len(volumes_ml))


def peak_rates(volumes_ml: np.ndarray, period_ms: float, ed_frame: int, es_frame: int) -> PeakRates | None:
    """Peak ejection rate and peak filling rate: the steepest slopes of the smoothed curve (:func:`smooth_cycle`).

    Ejection is looked for from ED to ES and filling from ES to the next ED. As R. O. Bonow et al., Circulation
    64:308-315 (1981), defined them for radionuclide curves, here in mL/s instead of end-diastolic volumes per second.

    Args:
        volumes_ml: (T,) at equal steps over one heartbeat, mL; at best that of :func:`time_course_ml`.
        period_ms: length of that heartbeat.
        ed_frame, es_frame: counted from 0.

    Returns:
        None with fewer than 12 frames, or where ED and ES are the same frame.
    """
    frames = len(volumes_ml)
    if frames < FRAMES_FOR_RATES or ed_frame == es_frame:
        return None
    curve = smooth_cycle(volumes_ml, _FINE_STEPS)
    slope = (np.roll(curve, -1) - np.roll(curve, 1)) / (2.0 * period_ms / _FINE_STEPS / 1000.0)
    ed, es = (round(frame / frames * _FINE_STEPS) for frame in (ed_frame, es_frame))
    systole = np.arange(ed, es if es > ed else es + _FINE_STEPS) % _FINE_STEPS
    diastole = np.setdiff1d(np.arange(_FINE_STEPS), systole)
    return PeakRates(max(float(-slope[systole].min()), 0.0), max(float(slope[diastole].max()), 0.0))
