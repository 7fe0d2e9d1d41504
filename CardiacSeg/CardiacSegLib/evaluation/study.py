"""A model against the reference labels of a whole data set: scores and files of every case, in one folder.

The folder holds all that is needed to look at a case again: ``images``, ``references`` and ``predictions``, each with a
file ``CASE.nii.gz`` on the grid of the image, labels numbered as the model numbers them; and ``cases.csv``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.evaluation.tables import FOLDERS, IMAGES, PREDICTIONS, REFERENCES, TABLE, CaseRow, write_cases
from CardiacSegLib.evaluation.validation import CaseScore, Segmenter
from CardiacSegLib.files import make_folder
from CardiacSegLib.images import write_image, write_labels
from CardiacSegLib.jobs.events import Listener


def evaluate_cases(segmenter: Segmenter, cases: Sequence[Case], output: Path, events: Listener) -> list[CaseScore]:
    """Segment cases, compare them with their reference labels, and write both down.

    Args:
        segmenter: the model.
        cases: cases whose labels hold every structure of the model.
        output: gets the files of each case and ``cases.csv``, the worst case first; what an earlier evaluation put
            there is replaced.
        events: told of each case.

    Returns:
        All cases, the worst first.

    Raises:
        CardiacSegError: where no case can be compared, or one cannot be read or segmented; it names the case.
    """
    usable = [case for case in cases if set(segmenter.convention) <= set(case.convention)]
    if not usable:
        raise CardiacSegError(
            f"no case has labels for all of {', '.join(segmenter.convention)}; choose a model of the structures that "
            "are labeled"
        )
    for name in FOLDERS:
        make_folder(output / name)
    scores = []
    for number, case in enumerate(usable, 1):
        events.stage("case", f"{case.name} ({number} of {len(usable)})")
        scores.append(_score(segmenter, case, output))
        events.progress(number / len(usable))
    scores.sort(key=lambda score: score.mean)
    write_cases(output / TABLE, [_row(score) for score in scores])
    return scores


def _score(segmenter: Segmenter, case: Case, output: Path) -> CaseScore:
    image, truth = read_case(case, segmenter.convention)
    try:
        labels = segmenter.segment(image.array, image.affine)
    except CardiacSegError as error:  # the segmenter knows the array, not the file
        raise CardiacSegError(f"{case.image}: {error}") from error
    file = f"{case.name}.nii.gz"
    write_image(output / IMAGES / file, image)
    write_labels(output / REFERENCES / file, truth, image, segmenter.convention)
    write_labels(output / PREDICTIONS / file, labels, image, segmenter.convention)
    return CaseScore(case, dice_scores(labels, truth, segmenter.convention))


def _row(score: CaseScore) -> CaseRow:
    case = score.case
    return CaseRow(case.name, case.patient, case.phase, case.group, dict(score.dice))
