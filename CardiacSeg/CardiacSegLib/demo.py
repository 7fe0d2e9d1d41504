"""``make demo``: a heart, from the image to the ejection fraction, through the nodes that Slicer works with.

Without a file it is the beating phantom, whose truth is known; with ``--input`` it is the person's own image.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import DEFAULT_MODEL
from CardiacSegLib.cli.measures import table_rows, write_table
from CardiacSegLib.clinical.page import write_study_page
from CardiacSegLib.clinical.study import StudyMeasures, measure_study
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.files import make_folder
from CardiacSegLib.images import Image, read_image, stem_of, write_image, write_labels
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.mrml.segmentations import SegmentationLogic, labels_from_segmentation_node
from CardiacSegLib.mrml.storage import create_scene, save_segmentation
from CardiacSegLib.mrml.volumes import add_volume_node, image_from_volume_node
from CardiacSegLib.phantom import make_phantom
from CardiacSegLib.pictures import contour_picture


@dataclass(frozen=True)
class Study:
    """What the demonstration works on; ``truth`` is labels of the image's shape where they are known."""

    name: str
    image: Image
    truth: np.ndarray | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m CardiacSegLib.demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--input", type=Path, help="a volume or a cine; without it a phantom is made")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for the results")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name, or folder of a bundle")
    options = parser.parse_args(arguments)
    try:
        make_folder(options.output)
        study = read_study(options.input) if options.input else make_study()
        run(study, Segmenter.load(options.model), options.output)
    except CardiacSegError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def make_study() -> Study:
    """The phantom with its truth."""
    phantom = make_phantom()
    return Study("phantom", Image(phantom.image, phantom.affine, frame_times=phantom.frame_times), phantom.labels)


def read_study(path: Path) -> Study:
    """A person's own image."""
    return Study(stem_of(path), read_image(path))


def run(study: Study, segmenter: Segmenter, folder: Path) -> None:
    """Segment every phase through MRML nodes, measure, write and say what came out."""
    started = time.perf_counter()
    nodes = segment_nodes(study, segmenter)
    seconds = time.perf_counter() - started
    labels = np.stack([labels_from_segmentation_node(node, volume) for volume, node in nodes], axis=-1)
    image = study.image
    labels = labels.reshape(image.array.shape)
    measures = measure_study(labels, image.affine, frame_times=image.frame_times, heart_rate=image.heart_rate)
    phases = measures.phases

    names = (f"{study.name}_labels.nii.gz", "measures.csv", "contours.png", "study.html")
    files = [folder / name for name in names]
    write_labels(files[0], labels, image, CANONICAL)
    write_table(files[1], table_rows(study.name, measures))
    contour_picture(image.array, labels, image.affine, files[2], frames=tuple(phases.items()))
    facts = {"Made by": segmenter.how, "Segmented in": f"{seconds:.1f} s"}
    write_study_page(measures, files[3], title=study.name, pictures={"Contours": files[2]}, facts=facts)
    for phase, frame in phases.items():
        stem = f"{study.name}_{phase}" if phase else study.name
        files.append(save_segmentation(nodes[frame][1], folder / f"{stem}.seg.nrrd"))
        if image.array.ndim == 4:  # of a volume the person has the file already
            files.append(folder / f"{stem}.nii.gz")
            write_image(files[-1], Image(image_from_volume_node(nodes[frame][0])[0], image.affine))
    print(f"{study.name}: {len(nodes)} phase(s) segmented in {seconds:.1f} s, {seconds / len(nodes):.2f} s each")
    _print_measures(measures)
    if study.truth is not None:
        _print_dice(labels, study.truth, phases)
    _print_files(files)


def segment_nodes(study: Study, segmenter: Segmenter) -> list[tuple[Any, Any]]:
    """A volume node and its segmentation node for each phase, in a scene such as Slicer's."""
    scene = create_scene()
    logic = SegmentationLogic(segmenter)
    cine = study.image.array.reshape(*study.image.array.shape[:3], -1)
    volumes = [
        add_volume_node(scene, cine[..., frame], study.image.affine, f"{study.name} {frame + 1}")
        for frame in range(cine.shape[3])
    ]
    return [(volume, logic.segment(volume)) for volume in volumes]


def _print_measures(measures: StudyMeasures) -> None:
    print()
    for row in measures.rows:
        if row.value is not None:
            print(f"  {row.structure:4} {row.measure:32} {row.value:8.1f} {row.unit}")
    for line in measures.warnings:
        print(f"  {line}")


def _print_dice(labels: np.ndarray, truth: np.ndarray, phases: Mapping[str, int]) -> None:
    print("\nDice against the phantom's own truth")
    for phase, frame in phases.items():
        scores = dice_scores(labels[..., frame], truth[..., frame], CANONICAL)
        print(f"  {phase:4} " + "   ".join(f"{name} {score:.3f}" for name, score in scores.items()))


def _print_files(files: Sequence[Path]) -> None:
    print("\nWritten")
    for path in files:
        print(f"  {path}")
    segmentation = next(path for path in files if path.name.endswith(".seg.nrrd"))
    print(f"\nLook at {files[3]} first; drag {segmentation} and its image into 3D Slicer to edit it.")
    print("Your own heart: make demo INPUT=heart.nii.gz. Research use, not a medical device.")


if __name__ == "__main__":
    sys.exit(main())
