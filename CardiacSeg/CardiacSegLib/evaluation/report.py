"""Pages about evaluations: how well a model does, and what one does better than another.

All comes from the files of the folder; nothing is segmented or measured again, and no torch is needed.
"""

from __future__ import annotations

from pathlib import Path

from CardiacSegLib.evaluation import comparison_parts, report_parts
from CardiacSegLib.evaluation.comparison import COMPARISON, read_comparison
from CardiacSegLib.evaluation.results import Evaluation
from CardiacSegLib.evaluation.tables import REPORT
from CardiacSegLib.pages import write_page

COMPARISON_REPORT = "comparison.html"


def write_report(folder: Path) -> Path:
    """Write ``report.html`` and ``animation.gif`` from the files of an evaluation.

    Args:
        folder: as :mod:`CardiacSegLib.evaluation.tables` describes it. What is not there, such as volumes, ROC curves
            or images, is left out of the page.

    Returns:
        The page, one file that needs no other.

    Raises:
        CardiacSegError: naming the file that is missing, damaged, or cannot be written.
    """
    evaluation = Evaluation.read(Path(folder))
    return write_page(evaluation.folder / REPORT, "evaluation.html", **report_parts.parts(evaluation))


def write_comparison(folder: Path) -> Path:
    """Write ``comparison.html`` from the files of a comparison.

    Args:
        folder: with ``comparison.json`` and a folder for each model.

    Returns:
        The page, one file that needs no other.

    Raises:
        CardiacSegError: naming the file that is missing, damaged, or cannot be written.
    """
    folder = Path(folder)
    comparison = read_comparison(folder / COMPARISON)
    evaluations = {name: Evaluation.read(folder / name) for name in comparison["models"]}
    parts = comparison_parts.parts(comparison, evaluations)
    return write_page(folder / COMPARISON_REPORT, "comparison.html", **parts)
