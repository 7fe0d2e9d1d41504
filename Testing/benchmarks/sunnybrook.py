"""A model on whole cines of a scanner that it never saw: the cavity against contours, and the phases that it finds.

    python Testing/benchmarks/sunnybrook.py --dataset SUNNYBROOK

The folder is one of the Sunnybrook Cardiac Data: DICOM cines with contours of the endocardium at end-diastole and
end-systole. Each cine is read and segmented whole. Dice is that of the left ventricular cavity in all slices, where the
experts drew no contour means no ventricle, and in the slices that they drew on. Frames count from 0; the distance to
the contoured one goes around the heartbeat.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from CardiacSegLib.bundles import DEFAULT_MODEL
from CardiacSegLib.clinical.volumes import structure_volume_ml, ventricular_function
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.datasets.sunnybrook import find_cases
from CardiacSegLib.images import Image, read_dicom_cine
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.turning import TURNS


@dataclass(frozen=True)
class Row:
    """One contoured phase of a patient: volumes in mL, frames counted from 0."""

    case: str
    dice: float
    dice_where_drawn: float
    drawn_ml: float
    found_ml: float
    drawn_frame: int
    found_frame: int
    apart: int


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def score(cases: list[Case], cine: Image, labels: np.ndarray, segmenter: Segmenter) -> list[Row]:
    """The contoured phases of one patient against labels (I, J, K, T) of the whole cine."""
    function = ventricular_function(labels, cine.affine, convention=segmenter.convention)
    found_frames = {"ED": function.ed_frame, "ES": function.es_frame}
    number, count = segmenter.convention["LV"], labels.shape[3]
    rows = []
    for case in cases:
        image, reference = read_case(case, segmenter.convention)
        if not (np.array_equal(image.array, cine.array[..., case.frame]) and np.allclose(image.affine, cine.affine)):
            raise SystemExit(f"{case.name}: the cine holds other images at frame {case.frame} than the case")
        drawn, found = reference == number, labels[..., case.frame] == number
        with_contour = drawn.any(axis=(0, 1))
        distance = abs(found_frames[case.phase] - case.frame)
        rows.append(
            Row(
                *(case.name, dice(drawn, found), dice(drawn[..., with_contour], found[..., with_contour])),
                *(structure_volume_ml(mask, 1, cine.affine) for mask in (drawn, found)),
                *(case.frame, found_frames[case.phase], min(distance, count - distance)),
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--turns", type=int, choices=TURNS)
    options = parser.parse_args()
    segmenter = Segmenter.load(options.model, options.device, options.turns)
    rows: list[Row] = []
    for patient, group in itertools.groupby(find_cases(options.dataset), key=lambda case: case.patient):
        cases = list(group)
        cine = read_dicom_cine(cases[0].image)
        started = time.perf_counter()
        labels = segmenter.segment(cine.array, cine.affine)
        seconds = time.perf_counter() - started
        size = " x ".join(map(str, cine.array.shape))
        rate = f"{cine.heart_rate:g} beats a minute" if cine.heart_rate else "heart rate unknown"
        print(f"{patient}: {size}, {rate}, segmented in {seconds:.0f} s", *cine.notes, sep="\n  ")
        rows += score(cases, cine, labels, segmenter)
    report(rows)


def report(rows: list[Row]) -> None:
    print(
        f"\n{'':16}{'Dice':>8}{'where drawn':>14}{'drawn mL':>11}{'found mL':>11}{'drawn':>8}{'found':>7}{'apart':>7}"
    )
    for row in rows:
        values = f"{row.dice:8.3f}{row.dice_where_drawn:14.3f}{row.drawn_ml:11.1f}{row.found_ml:11.1f}"
        print(f"{row.case:16}{values}{row.drawn_frame:8d}{row.found_frame:7d}{row.apart:7d}")
    mean = [float(np.mean([getattr(row, name) for row in rows])) for name in ("dice", "dice_where_drawn")]
    print(f"{'mean':16}{mean[0]:8.3f}{mean[1]:14.3f}{'':37}{'at most':>8}{max(row.apart for row in rows):2d}")


if __name__ == "__main__":
    main()
