"""Nothing is installed: what was asked for is noted, and can fail as a test wants it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from .host import HOST


def load_requirements(path: str | Path) -> list[Requirement]:
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def pip_ensure(requirements: Sequence[Requirement] | str, **options: Any) -> None:
    texts = requirements.split() if isinstance(requirements, str) else [str(item) for item in requirements]
    _install(texts)


def pip_install(requirements: Sequence[str] | str, **options: Any) -> None:
    _install([requirements] if isinstance(requirements, str) else list(requirements))


def pip_uninstall(requirements: Sequence[str] | str, **options: Any) -> None:
    raise RuntimeError("the tests uninstall nothing")


def isPipInstallInProgress() -> bool:
    return HOST.is_installing


def _install(texts: list[str]) -> None:
    HOST.asked_to_install += texts
    if HOST.pip_error is not None:
        raise HOST.pip_error
