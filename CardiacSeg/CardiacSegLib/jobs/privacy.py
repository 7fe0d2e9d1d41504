"""What no log may tell: where the person's home folder is, which mostly says who that is.

Logs and events that stay on the disk call it ``~``. A result event is no log: it answers whoever asked, who needs the
paths as they are and gave them in the first place.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

#: What continues the name of a folder, so that /home/anna is not found in /home/annabel or in /mnt/home/anna.
_BEFORE, _AFTER = r"(?<![\w.\\/-])", r"(?![\w.-])"


def without_home(text: str) -> str:
    """A text in which every path into the home folder begins with ``~``."""
    for place in _home_folders():
        text = re.sub(_BEFORE + re.escape(place) + _AFTER, "~", text)
    return text


def _home_folders() -> list[str]:
    """How the home folder may be written: with links or without, with either slash, with slashes that are escaped."""
    try:
        home = Path.home()
    except RuntimeError:  # an account without one
        return []
    places = [place for place in (home, Path(os.path.realpath(home))) if len(place.parts) > 1]
    written = (form for place in places for form in (str(place), place.as_posix(), str(place).replace("\\", "\\\\")))
    return sorted(set(written), key=len, reverse=True)


def keep_home_out_of_logs() -> None:
    """Let what Python itself prints in this process, tracebacks and warnings, call the home folder ``~``."""
    sys.excepthook = _print_exception
    warnings.formatwarning = _shortened(warnings.formatwarning)


def _print_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(without_home("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr, flush=True)


def _shortened(formatted: Callable[..., str]) -> Callable[..., str]:
    def short(*arguments: Any, **options: Any) -> str:
        return without_home(formatted(*arguments, **options))

    return short
