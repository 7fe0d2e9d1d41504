"""What the person in front of the application would answer and see, for a test to set and to read."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass
class SlicerHost:
    """The application seen from a test.

    Attributes:
        confirm: the answer to questions; No, as in Slicer's testing mode, until a test says otherwise.
        chosen_path: what a file dialog answers; nothing chosen where empty.
        chosen_text: what an input dialog answers; canceled where None.
        pip_error: raised when packages are installed.
        is_installing: whether another installation seems to run.
        messages: texts that were shown, each with its kind: info, warning, error, question or box.
        file_dialogs: titles of the file dialogs that were opened.
        asked_to_install: requirements, in order.
        opened_urls: what was opened in a browser or a file manager.
        requests: what the layout was asked for, as (name, arguments).
        exceptions: raised in slots and observers, where Slicer prints them; a test that expects one takes it out.
    """

    confirm: bool = False
    chosen_path: str = ""
    chosen_text: str | None = None
    pip_error: Exception | None = None
    is_installing: bool = False
    messages: list[tuple[str, str]] = field(default_factory=list)
    file_dialogs: list[str] = field(default_factory=list)
    asked_to_install: list[str] = field(default_factory=list)
    opened_urls: list[str] = field(default_factory=list)
    requests: list[tuple[str, tuple]] = field(default_factory=list)
    exceptions: list[BaseException] = field(default_factory=list)

    def reset(self) -> None:
        """As if the application had just started."""
        fresh = SlicerHost()
        for item in fields(self):
            setattr(self, item.name, getattr(fresh, item.name))

    def texts(self, kind: str) -> list[str]:
        """The messages of a kind, in order."""
        return [text for found, text in self.messages if found == kind]


HOST = SlicerHost()
