"""The one exception that a person is meant to read."""

from __future__ import annotations


class CardiacSegError(Exception):
    """Something the person can mend: one line that names the file or field, and the remedy.

    The command line prints the message without a traceback and exits with 1; the panel shows it as it is.
    """
