"""Where the network runs, and in which precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from CardiacSegLib.errors import CardiacSegError

if TYPE_CHECKING:
    import torch

#: What a person can ask for; known without torch.
DEVICES = ("auto", "cuda", "mps", "cpu")


@dataclass(frozen=True)
class Machine:
    """What a network runs on, as it is told and recorded; never the name of a computer.

    Attributes:
        runtime: "OpenVINO" or "torch".
        device: "cpu", "mps", or the CUDA device with what its maker calls it.
        precision: such as "bfloat16".
        threads: of the processor that compute; None on a graphics card.
    """

    runtime: str
    device: str
    precision: str = ""
    threads: int | None = None

    @property
    def described(self) -> str:
        """The device in words."""
        precision = f" in {self.precision}" if self.precision else ""
        if self.threads is None:
            return f"{self.device}{precision}"
        return f"{self.threads} thread{'s'[: self.threads != 1]} of a {self.device.upper()}{precision}"


@dataclass(frozen=True)
class Device:
    """A torch device with the precision that is fast on it."""

    torch: torch.device
    precision: torch.dtype

    @classmethod
    def choose(cls, name: str = "auto") -> Device:
        """The device of that name; "auto" takes CUDA, then Apple MPS, then the CPU.

        Raises:
            CardiacSegError: for an unknown name, or a device that this machine does not have.
        """
        import torch

        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        check_name(name)
        kind, _, number = name.partition(":")
        if kind == "cuda" and not torch.cuda.is_available():
            raise CardiacSegError(f"device '{name}': this torch sees no CUDA device; use --device cpu")
        if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
            raise CardiacSegError(f"device '{name}': there are {torch.cuda.device_count()} CUDA devices; use cuda:0")
        if kind == "mps" and not torch.backends.mps.is_available():
            raise CardiacSegError(f"device '{name}': this torch sees no Apple GPU; use --device cpu")
        return cls(torch.device(name), _precision(kind))

    def autocast(self) -> torch.autocast:
        """Context in which a network's forward pass runs in the device's precision."""
        import torch

        return torch.autocast(self.torch.type, self.precision, enabled=self.precision != torch.float32)

    @property
    def described(self) -> str:
        """The kind of machine, without its name: processor threads and precision, or the GPU."""
        import torch

        if self.torch.type == "cuda":
            return torch.cuda.get_device_name(self.torch)
        return self.machine.described

    @property
    def machine(self) -> Machine:
        """The same as it is recorded."""
        import torch

        kind = self.torch.type
        if kind == "cuda":
            return Machine("torch", f"{self.torch} ({torch.cuda.get_device_name(self.torch)})", self._precision_name)
        return Machine("torch", kind, self._precision_name, torch.get_num_threads() if kind == "cpu" else None)

    @property
    def _precision_name(self) -> str:
        return str(self.precision).rpartition(".")[2]


def check_name(name: str) -> None:
    """Raise CardiacSegError where no device can have this name."""
    kind, colon, number = name.partition(":")
    if kind not in DEVICES or (colon and (kind == "auto" or not number.isdecimal())):
        raise CardiacSegError(f"device '{name}' is not known; choose one of {', '.join(DEVICES)}")


def _precision(kind: str) -> torch.dtype:
    import torch

    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # bfloat16 without the instructions for it is emulated, and many times slower than float32.
    return torch.bfloat16 if kind == "cpu" and _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself (AVX512-BF16 or AMX)."""
    import torch

    if hasattr(torch.cpu, "get_capabilities"):  # torch 2.13 and later
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
