"""A cohort in which every study lies there in another way, and what is said of its results."""

from __future__ import annotations

import shutil
from pathlib import Path

from CardiacSegLib.images import Image, write_image
from CardiacSegLib.phantom import PhantomOptions, make_phantom
from dicoms_made import a_scan, write_cine
from layouts_made import mnms_row, write_camus_patient, write_mnms_cine, write_table
from phantoms import COARSE, write_acdc_patient

#: Of :func:`write_mixed_cohort`, as the table has them.
MIXED = (
    *("acdc/patient001", "acdc/patient002", "camus/patient0001_2CH", "dicom/first", "dicom/second"),
    *("files/P1/sa", "files/P2", "files/heart", "mnms/A0S9V9"),
)
BROKEN = ("acdc/patient003", "files/broken")


def a_cine(seed: int = 3, frames: int = 3, slices: int = 4) -> Image:
    phantom = make_phantom(PhantomOptions(frames=frames, slices=slices, seed=seed, **COARSE))
    return Image(phantom.image, phantom.affine)


def write_mixed_cohort(root: Path) -> None:
    """Nine studies that are sound, in six ways, and two that are not."""
    for number in (1, 2, 3):
        write_acdc_patient(root / "acdc" / f"patient{number:03d}", number)
    next((root / "acdc" / "patient003").glob("*_frame02.nii.gz")).unlink()
    write_camus_patient(root / "camus", "patient0001", views=["2CH"])
    write_mnms_cine(root / "mnms", "A0S9V9")
    write_table(root / "mnms" / "info.csv", [mnms_row("A0S9V9")])
    phantom = a_scan(frames=3, slices=4)
    write_cine(root / "dicom" / "first", phantom, StudyInstanceUID="1.2.3.1")
    in_series = {"name": lambda level, frame: f"series{level}/{frame}.dcm"}
    write_cine(root / "dicom" / "second", phantom, StudyInstanceUID="1.2.3.2", **in_series)
    cine, files = a_cine(), root / "files"
    (files / "P1").mkdir(parents=True)
    write_image(files / "P1" / "sa.nii.gz", cine)
    write_image(files / "heart.nrrd", Image(cine.array[..., 0], cine.affine))
    write_image(files / "heart_seg.nii.gz", Image(cine.array[..., 0], cine.affine))  # named as labels: no study
    for frame, phase in enumerate(("ED", "ES")):
        write_image(files / f"P2_{phase}.nii.gz", Image(cine.array[..., frame], cine.affine))
    (files / "broken.nii.gz").write_bytes((files / "P1" / "sa.nii.gz").read_bytes()[:2000])


def write_alike(folder: Path, count: int, image: Image) -> None:
    """Many studies that differ in their names alone."""
    folder.mkdir(parents=True)
    write_image(folder / "study000.nii.gz", image)
    for number in range(1, count):
        shutil.copy(folder / "study000.nii.gz", folder / f"study{number:03d}.nii.gz")


def results_of(output: Path) -> list[Path]:
    """What says of each study that it is done."""
    return sorted((output / "studies").rglob("measures.json"))


def bytes_of(output: Path) -> dict[str, bytes]:
    """The tables and all labels, by their relative paths."""
    files = [output / "measures.csv", output / "failed.csv", *(output / "studies").rglob("labels*.nii.gz")]
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in files}
