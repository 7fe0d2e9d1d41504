"""What to look at again before believing a measure: hints to the labels and the stack, not to a disease."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from CardiacSegLib.clinical.volumes import Chamber

#: From these shares of its largest area on, a ventricle that reaches the end of the stack is cut off there. Towards the
#: valve it hardly narrows: nearly all stacks of ACDC begin with more than half of the largest area, a third with 95 %.
_CUT_OFF_BASE = 0.95
_CUT_OFF_APEX = 0.25

#: Stroke volumes of the ventricles differ by less in most people without a shunt or a leaking valve.
_STROKE_VOLUMES_APART = 0.3

#: The wall neither gains nor loses muscle within a heartbeat.
_MASSES_APART = 0.25

#: A heart rate from frame times, and one that was given, differ by less.
_RATES_APART = 0.15


def coverage_hints(lv_by_slice_ml: np.ndarray) -> list[str]:
    """Hints to a stack that ends within the left ventricle.

    Args:
        lv_by_slice_ml: what each slice adds to the left ventricular volume at ED, base first, (slices,), mL.
    """
    largest = lv_by_slice_ml.max(initial=0.0)
    if len(lv_by_slice_ml) < 2 or not largest:
        return []
    base, apex = lv_by_slice_ml[0] / largest, lv_by_slice_ml[-1] / largest
    hints = []
    if base >= _CUT_OFF_BASE:
        hints.append(
            f"The first slice at the base shows the left ventricle at its widest ({base:.0%} of the largest area): "
            "the stack may not reach the mitral valve, volumes and mass are then too small"
        )
    if apex >= _CUT_OFF_APEX:
        hints.append(
            f"The last slice at the apex still holds {apex:.0%} of the largest area of the left ventricle: "
            "the stack may end above the apex, volumes and mass are then too small"
        )
    return hints


def function_hints(lv: Chamber, rv: Chamber, masses_g: Mapping[str, float | None]) -> list[str]:
    """Hints to volumes that cannot be, or that do not fit together."""
    hints = []
    for name, chamber in (("LV", lv), ("RV", rv)):
        fraction = chamber.ejection_fraction
        if fraction is not None and not 0.0 < fraction < 100.0:
            hints.append(f"{name}: an ejection fraction of {fraction:.0f} % cannot be; check the frames of ED and ES")
    hints += _stroke_volume_hints(lv.stroke_volume_ml, rv.stroke_volume_ml)
    ed, es = masses_g.get("ED"), masses_g.get("ES")
    if ed and es and abs(ed - es) > _MASSES_APART * max(ed, es):
        hints.append(
            f"The mass of the wall is {ed:.0f} g at ED and {es:.0f} g at ES, though it does not change: "
            "check the labels of the wall, above all at base and apex"
        )
    return hints


def _stroke_volume_hints(lv_ml: float | None, rv_ml: float | None) -> list[str]:
    if lv_ml is None or rv_ml is None or min(lv_ml, rv_ml) <= 0:
        return []
    if abs(lv_ml - rv_ml) <= _STROKE_VOLUMES_APART * max(lv_ml, rv_ml):
        return []
    return [
        f"Stroke volumes differ: LV {lv_ml:.0f} mL, RV {rv_ml:.0f} mL; "
        "check the slices at the base, unless a shunt or a leaking valve explains it"
    ]


def gating_hints(heart_rate: float | None, cycle_ms: float | None) -> list[str]:
    """A hint where the frames cover less, or more, than one heartbeat of the rate that was given."""
    if heart_rate is None or cycle_ms is None:
        return []
    beat = 60000.0 / heart_rate
    if abs(cycle_ms - beat) <= _RATES_APART * beat:
        return []
    return [
        f"The frames cover {cycle_ms:.0f} ms, a heartbeat at {heart_rate:.0f}/min lasts {beat:.0f} ms: "
        "peak rates take the frames for one whole heartbeat"
    ]
