"""What made a result, as it is recorded with everything that CardiacSeg writes about an image.

The same input, weights, turns and clean-up through the same runtime on the same device, in the same precision on as
many threads, give the same labels, bit for bit; so all of these are recorded. Nothing here says on whose computer, in
which folder or on which day it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from CardiacSegLib import __version__
from CardiacSegLib.bundles import RUN_BUNDLE, Bundle, read_metadata
from CardiacSegLib.inference.devices import Machine


@dataclass(frozen=True)
class Provenance:
    """What made a result. "", 0 and None stand for what is not known or means nothing.

    Attributes:
        model: its name, without its place.
        sha256: hexadecimal, of the file that the weights were read from: ``model.onnx`` by OpenVINO, else ``model.pt``.
        runtime: the program that ran the network, with its version.
        device: what it ran on: "cpu", "mps", or the CUDA device and what its maker calls it.
        precision: of the network's arithmetic, such as "bfloat16".
        threads: of the processor that computed; None on a graphics card.
        turns: over how many turned copies of the image the probabilities were averaged.
        cleanup: whether each structure was left in one piece and without holes.
        seconds: from the image in memory to the result.
        version: of CardiacSeg.
    """

    model: str = ""
    sha256: str = ""
    runtime: str = ""
    device: str = ""
    precision: str = ""
    threads: int | None = None
    turns: int | None = None
    cleanup: bool | None = None
    seconds: float | None = None
    version: str = field(default=__version__)

    def timed(self, seconds: float) -> Provenance:
        """The same of a result that took so many seconds."""
        return replace(self, seconds=round(seconds, 3))

    @property
    def how(self) -> str:
        """By what the image was labeled, and how thoroughly, in words; "" where no network did it."""
        if not self.runtime:
            return ""
        words = f"{self.runtime} on {Machine('', self.device, self.precision, self.threads).described}"
        return f"{words}, {turns_in_words(self.turns or 1)}" + (", without clean-up" if self.cleanup is False else "")

    def fields(self) -> dict[str, Any]:
        """As JSON keeps it; what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value not in ("", None)}

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> Provenance:
        """What :meth:`fields` gave; a field of another version of CardiacSeg is left out."""
        return cls(**{"version": "", **{name: fields[name] for name in cls.__dataclass_fields__ if name in fields}})

    def lines(self) -> dict[str, str]:
        """The same for people: what each line of a page is called, and what stands there."""
        software = f"CardiacSeg {self.version}" if self.version else ""
        lines = {
            "Model": self.model,
            "Weights": f"SHA-256 {self.sha256}" if self.sha256 else "",
            "Made by": ", ".join(filter(None, (software, self.how))),
            "Segmented in": "" if self.seconds is None else f"{self.seconds:.1f} s",
        }
        return {name: text for name, text in lines.items() if text}


def turns_in_words(turns: int) -> str:
    """How thoroughly an image was looked at."""
    return "a single pass" if turns == 1 else f"the mean over {turns} turned copies"


def provenance_of(
    bundle: Bundle | None, machine: Machine, turns: int | None = None, cleanup: bool | None = None
) -> Provenance:
    """What a result is made by: the one place that knows which file a runtime reads its weights from.

    Args:
        bundle: of the model; None where the network is not one that lies on disk.
        machine: what the network runs on.
        turns, cleanup: see :class:`Provenance`.
    """
    if bundle is None:
        name = weights = ""
    else:
        name, weights = name_of_model(bundle), bundle.onnx_hash if machine.runtime == "OpenVINO" else bundle.hash
    return Provenance(
        model=name,
        sha256=weights,
        runtime=" ".join(filter(None, (machine.runtime, _version_of(machine.runtime.lower())))),
        device=machine.device,
        precision=machine.precision,
        threads=machine.threads,
        turns=turns,
        cleanup=cleanup,
    )


def name_of_model(bundle: Bundle) -> str:
    """What a model is called; that of a run lies in a folder that every run has."""
    if bundle.name != RUN_BUNDLE:
        return bundle.name
    return str(read_metadata(bundle.folder).get("name") or "") or bundle.folder.parent.name


@cache
def _version_of(package: str) -> str:
    try:
        return version(package)
    except (PackageNotFoundError, ValueError):
        return ""
