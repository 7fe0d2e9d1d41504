"""The one exception that a person is meant to read, and how it quotes others."""

from __future__ import annotations

from unicodedata import category

#: Unicode's categories of line breaks, other control characters, and halves of characters.
_NO_TEXT = ("Cc", "Cs", "Zl", "Zp")


def one_line(text: object, most: int = 160) -> str:
    """The beginning of what a library or a stranger says, as a message can quote it."""
    return " ".join(str(text).split())[:most]


class CardiacSegError(Exception):
    """Something the person can mend: one line that names the file or field, and the remedy.

    The command line prints the message without a traceback and exits with 1; the panel shows it as it is. Line breaks
    and other control characters, as the name of a file may have them, are shown as Python writes them.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__("".join(ascii(sign)[1:-1] if category(sign) in _NO_TEXT else sign for sign in message))
