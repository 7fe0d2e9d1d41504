"""What a data set holds, and what is wrong with which of its cases."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from CardiacSegLib.anatomy import LabelConvention, labels_text
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.datasets.layouts import find_cases, recognize
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.geometry import SliceView, voxel_spacing
from CardiacSegLib.pictures import Sample, sample_picture

#: Spacings beyond these, in millimeters, are rather a slip in a header than those of a scanner.
_IN_PLANE = (0.05, 5.0)
_BETWEEN_SLICES = (0.3, 25.0)
#: A person draws a structure in one piece on a slice, at times in a few; interpolation leaves dozens of crumbs.
_MOST_PIECES = 10


@dataclass(frozen=True)
class Finding:
    """Something odd: one line that names the file, and whether its case can be used nevertheless."""

    text: str
    usable: bool = True


@dataclass(frozen=True)
class CaseFacts:
    """What one case holds.

    Attributes:
        case: where it is.
        size: rows, columns and slices.
        spacing: between rows, between columns and between slices, in millimeters.
        spacing_known: False where the file says none; the spacing is then 1 mm.
        voxels: labeled voxels of each structure of the case's convention.
        pieces: how many pieces each of them has on the slice where it has most.
        digest: of the image's voxels; equal where the images are.
    """

    case: Case
    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    spacing_known: bool
    voxels: Mapping[str, int]
    pieces: Mapping[str, int]
    digest: bytes

    def amount(self, structure: str, unit: str) -> float:
        """How much of a structure is labeled, in the ``unit`` that a report chose."""
        rows, columns, slices = self.spacing
        return self.voxels[structure] * {"mL": rows * columns * slices / 1000, "cm2": rows * columns / 100}.get(unit, 1)


@dataclass(frozen=True)
class Spread:
    """The smallest, the middle and the largest of some numbers."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """None where there is no number."""
        found = list(values)
        return cls(float(min(found)), float(np.median(found)), float(max(found))) if found else None


@dataclass(frozen=True)
class DatasetReport:
    """What a folder holds.

    Attributes:
        folder: the folder, or the file that lists cases.
        layout: its name in :data:`~CardiacSegLib.datasets.layouts.LAYOUTS`.
        cases: all that there are.
        facts: of the cases that can be used.
        findings: what is odd, case by case; what concerns several cases comes last.
    """

    folder: Path
    layout: str
    cases: Sequence[Case]
    facts: Sequence[CaseFacts]
    findings: Sequence[Finding]

    def patients(self, **having: str) -> int:
        """How many patients have a case with such a ``group``, ``part`` or other attribute."""
        return len({case.patient for case in self.cases if _has(case, having)})

    def count(self, **having: str) -> int:
        """How many cases have such attributes."""
        return sum(_has(case, having) for case in self.cases)

    def values(self, attribute: str) -> list[str]:
        """The values that an attribute of a case takes here, sorted, "" among them."""
        return sorted({getattr(case, attribute) for case in self.cases})

    @property
    def conventions(self) -> list[str]:
        """The label conventions of the cases, as text."""
        return sorted({labels_text(case.convention) for case in self.cases})

    @property
    def structures(self) -> list[str]:
        """The structures that any case names."""
        return list(dict.fromkeys(name for case in self.cases for name in case.convention))

    @property
    def spacing_known(self) -> bool:
        return all(facts.spacing_known for facts in self.facts)

    @property
    def unit(self) -> str:
        """What amounts are given in: a single slice has no volume, a picture not even a spacing."""
        if not self.spacing_known:
            return "pixels"
        return "mL" if any(facts.size[2] > 1 for facts in self.facts) else "cm2"

    def labeled(self, structure: str, **having: str) -> list[CaseFacts]:
        """The usable cases in which a structure is labeled."""
        return [facts for facts in self.facts if facts.voxels.get(structure) and _has(facts.case, having)]

    def amounts(self, structure: str, **having: str) -> Spread | None:
        """How much of a structure is labeled in a case, in :attr:`unit`."""
        return Spread.of(facts.amount(structure, self.unit) for facts in self.labeled(structure, **having))

    def share(self, structure: str) -> float:
        """The share of a structure in all voxels of the cases whose labels name it, 0 to 1."""
        naming = [facts for facts in self.facts if structure in facts.voxels]
        voxels = sum(int(np.prod(facts.size)) for facts in naming)
        return sum(facts.voxels[structure] for facts in naming) / voxels if voxels else 0.0

    def unusable(self) -> list[Finding]:
        """The findings that keep a case from being used."""
        return [finding for finding in self.findings if not finding.usable]


def _has(case: Case, having: Mapping[str, str]) -> bool:
    return all(getattr(case, attribute) == value for attribute, value in having.items())


def examine_dataset(
    folder: Path,
    layout: str = "",
    labels: LabelConvention | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> DatasetReport:
    """Read every case of a data set, one at a time, and find what is there and what is wrong.

    Args:
        folder: the folder, or a file that lists cases.
        layout: a key of ``LAYOUTS``; recognized where it is empty.
        labels: which number means which structure, for layouts that do not say.
        progress: told the share that is read, 0 to 1.

    Raises:
        CardiacSegError: where the layout is not known or its files are not complete. What is wrong inside a file is a
            finding.
    """
    layout = layout or recognize(folder)
    cases = find_cases(folder, layout, labels)
    facts: list[CaseFacts] = []
    findings: list[Finding] = []
    for number, case in enumerate(cases, start=1):
        try:
            facts.append(examine_case(case))
            findings += _doubts(facts[-1])
        except CardiacSegError as error:
            findings.append(Finding(str(error), usable=False))
        progress(number / len(cases))
    findings += [*_repeated(facts), *_torn(cases), *_doubts_of_all(facts, folder)]
    return DatasetReport(Path(folder), layout, cases, facts, findings)


def examine_case(case: Case) -> CaseFacts:
    """The facts of a case.

    Raises:
        CardiacSegError: naming the file, where the case cannot be used.
    """
    numbers = {name: number for number, name in enumerate(case.convention, start=1)}
    image, labels = read_case(case, numbers)
    if image.array.min() == image.array.max():
        raise CardiacSegError(f"{case.image}: every voxel is {image.array.flat[0]:g}; export the image again")
    shape, view = image.array.shape, SliceView.of_stack(image.array.shape, image.affine)
    through, rows, columns = view.axes
    return CaseFacts(
        case=case,
        size=(shape[rows], shape[columns], shape[through]),
        spacing=(*view.spacing, round(float(voxel_spacing(image.affine)[through]), 6)),
        spacing_known=image.spacing_known,
        voxels={name: int(np.count_nonzero(labels == number)) for name, number in numbers.items()},
        pieces={name: _pieces(view.slices(labels == number)) for name, number in numbers.items()},
        digest=_digest(image.array),
    )


def _pieces(slices: np.ndarray) -> int:
    """The most pieces that a mask (slices, rows, columns) has on a slice; pixels that touch at a corner are one."""
    return max(int(ndimage.label(mask, np.ones((3, 3)))[1]) for mask in slices)


def _digest(array: np.ndarray) -> bytes:
    """The same for the same gray values, whatever the type that holds them."""
    values = np.ascontiguousarray(array, np.float32)
    return hashlib.blake2b(values.tobytes() + str(values.shape).encode(), digest_size=16).digest()


def _doubts(facts: CaseFacts) -> Iterator[Finding]:
    """What is odd in a case that can be used."""
    missing = [name for name, voxels in facts.voxels.items() if not voxels]
    if missing:
        nothing = len(missing) == len(facts.voxels)
        yield Finding(f"{facts.case.labels}: no {'structure' if nothing else ', no '.join(missing)} in it")
    rows, columns, slices = facts.spacing
    limits = [(rows, _IN_PLANE), (columns, _IN_PLANE)] + [(slices, _BETWEEN_SLICES)] * (facts.size[2] > 1)
    if not all(low <= spacing <= high for spacing, (low, high) in limits):
        shown = f"{rows:g} x {columns:g} x {slices:g} mm"
        yield Finding(f"{facts.case.image}: a spacing of {shown} is hardly true; set the true one in its header")


def _repeated(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Images that stand in the data set more than once."""
    first: dict[bytes, Case] = {}
    for case, digest in ((each.case, each.digest) for each in facts):
        before = first.setdefault(digest, case)
        if before is not case:
            apart = case.patient != before.patient
            remedy = "keep both patients on one side of a split" if apart else "check which of them it is"
            yield Finding(f"{case.image}: the same image as {before.image}; {remedy}")


def _torn(cases: Sequence[Case]) -> Iterator[Finding]:
    """Patients whom the data set itself puts on two sides."""
    parts: dict[str, set[str]] = defaultdict(set)
    image_of = {case.patient: case.image for case in cases}
    for case in cases:
        parts[case.patient].add(case.part or "no part")
    for patient, found in parts.items():
        if len(found) > 1:
            sides = " and in ".join(sorted(found))
            yield Finding(f"{image_of[patient]}: patient {patient} stands in {sides}; keep each on one side")


def _doubts_of_all(facts: Sequence[CaseFacts], folder: Path) -> Iterator[Finding]:
    """What is odd because every case has it, or many have."""
    if facts and all(each.spacing_known and each.spacing == (1.0, 1.0, 1.0) for each in facts):
        yield Finding(
            f"{folder}: every header says 1 x 1 x 1 mm, as it does where nobody knew; set the true spacing, or do not "
            "trust any amount"
        )
    crumbled = [(max(each.pieces.values()), each) for each in facts if max(each.pieces.values()) > _MOST_PIECES]
    if crumbled:
        pieces, worst = max(crumbled, key=lambda pair: pair[0])
        name = max(worst.pieces, key=worst.pieces.__getitem__)
        yield Finding(
            f"{worst.case.labels}: {name} lies in {pieces} pieces on one slice, and {len(crumbled) - 1} other cases "
            "are crumbled too; labels must be resampled to the nearest voxel, not interpolated"
        )


def draw_samples(report: DatasetReport, path: Path, count: int = 6) -> Path:
    """Write a PNG of a few cases with their labels.

    Raises:
        CardiacSegError: where no case can be used or the file cannot be written.
    """
    if not report.facts:
        raise CardiacSegError(f"{report.folder}: no case that could be drawn; see what is wrong with each")
    title = f"{report.folder.absolute().name} ({report.layout}): {report.count()} cases, {report.patients()} patients"
    return sample_picture([_sample(case) for case in choose_samples(report, count)], path, title=title)


def _sample(case: Case) -> Sample:
    image, labels = case.read()
    name = "   ".join(filter(None, (case.name, case.group)))
    return Sample(name, image.array, labels, image.affine, case.convention)


def choose_samples(report: DatasetReport, count: int) -> list[Case]:
    """A few usable cases: at ED where phases are known, in turn from each group or part, spread over its patients."""
    cases = [facts.case for facts in report.facts]
    cases = [case for case in cases if case.phase != "ES"] or cases
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.group or case.part].append(case)
    shares = _shares({name: len(members) for name, members in groups.items()}, min(count, len(cases)))
    return [case for name, share in sorted(shares.items()) for case in _spread_out(groups[name], share)]


def _shares(sizes: Mapping[str, int], count: int) -> Counter[str]:
    """How many to take of each group: one of each, then another, until there are enough."""
    shares: Counter[str] = Counter()
    while sum(shares.values()) < count:
        open_groups = [name for name in sizes if shares[name] < sizes[name]]
        shares[min(open_groups, key=lambda name: (shares[name], name))] += 1
    return shares


def _spread_out(cases: Sequence[Case], count: int) -> list[Case]:
    return [cases[int((number + 0.5) * len(cases) / count)] for number in range(count)]


def report_fields(report: DatasetReport) -> dict[str, Any]:
    """The report for programs, as plain values."""
    return {
        "folder": str(report.folder),
        "layout": report.layout,
        "patients": report.patients(),
        "cases": report.count(),
        "usable": len(report.facts),
        **{
            f"{attribute}s": {value: report.count(**{attribute: value}) for value in report.values(attribute)}
            for attribute in ("phase", "view", "group", "part")
        },
        "labels": report.conventions,
        "unit": report.unit,
        "structures": {name: _structure_fields(report, name) for name in report.structures},
        "findings": [asdict(finding) for finding in report.findings],
    }


def _structure_fields(report: DatasetReport, name: str) -> dict[str, Any]:
    amounts = report.amounts(name)
    return {
        "cases": len(report.labeled(name)),
        "share": report.share(name),
        "amount": asdict(amounts) if amounts else None,
    }
