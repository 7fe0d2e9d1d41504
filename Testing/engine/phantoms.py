"""Small phantoms, and phantoms written as a data set keeps its patients."""

from __future__ import annotations

from pathlib import Path

from CardiacSegLib.anatomy import ACDC, CANONICAL, relabel
from CardiacSegLib.images import Image, write_image, write_labels
from CardiacSegLib.phantom import PhantomOptions, make_phantom

#: A quarter of the pixels shows a heart to a small network just as well.
COARSE = {"spacing": (3.0, 3.0, 10.0), "size": (64, 64)}


def write_acdc_patient(folder: Path, seed: int, group: str = "NOR", **options: object) -> None:
    """Write a phantom as ACDC keeps a patient: Info.cfg, ED and ES frames, labels in ACDC's numbers."""
    phantom = make_phantom(
        PhantomOptions(**{"frames": 4, "slices": 4, "orientation": "ACDC", **COARSE, **options}, seed=seed)
    )
    folder.mkdir(parents=True)
    numbers = {"ED": phantom.ed_frame, "ES": phantom.es_frame}
    lines = [f"{phase}: {frame + 1}" for phase, frame in numbers.items()] + [f"Group: {group}", "NbFrame: 4"]
    (folder / "Info.cfg").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for frame in numbers.values():
        stem = folder / f"{folder.name}_frame{frame + 1:02d}"
        labels = relabel(phantom.labels[..., frame], CANONICAL, ACDC)
        image = Image(phantom.image[..., frame], phantom.affine)
        write_image(stem.with_name(f"{stem.name}.nii.gz"), image)
        write_labels(stem.with_name(f"{stem.name}_gt.nii.gz"), labels, image, ACDC)
