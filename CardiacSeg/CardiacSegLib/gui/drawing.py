"""Drawing by a process while the application lives on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from CardiacSegLib.gui.section import POLL_INTERVAL_MS, makeTimer
from CardiacSegLib.jobs.commands import EngineCommand
from CardiacSegLib.jobs.studies import StudyInput, start_drawing


class Drawing:
    """Draws one thing at a time; a new one takes the place of one that is not ready.

    Args:
        onDrawn: called when it is ready, with the folder of relative paths and what :meth:`start` was to remember.
        onFailed: called with what went wrong, in one line.
    """

    def __init__(self, onDrawn: Callable[[Path, Any], None], onFailed: Callable[[str], None]) -> None:
        self._onDrawn, self._onFailed = onDrawn, onFailed
        self._command: EngineCommand | None = None
        self._memory: Any = None
        self._timer = makeTimer(POLL_INTERVAL_MS, self.onTimer)

    @property
    def isBusy(self) -> bool:
        """Whether something is being drawn."""
        return self._command is not None

    def start(self, study: StudyInput, memory: Any = None, **wishes: Any) -> None:
        """Begin to draw; ``wishes`` are those of :func:`CardiacSegLib.jobs.studies.start_drawing`.

        Raises:
            CardiacSegError: where it cannot be begun.
        """
        self.close()
        self._command, self._memory = start_drawing(study, **wishes), memory
        self._timer.start()

    def onTimer(self) -> None:
        """See whether it is ready."""
        command = self._command
        if command.is_running:
            return
        error, self._command = command.error, None
        self._timer.stop()
        try:
            if error:
                self._onFailed(error)
            else:
                self._onDrawn(command.folder, self._memory)
        finally:
            command.close()

    def close(self) -> None:
        """Draw no more."""
        self._timer.stop()
        if self._command is not None:
            self._command.close()
            self._command = None
