"""The command ``cardiacseg``: the engine from a shell, one module a command.

Exit code 0 means that everything asked for was written; 1 that something was not, with a line that says what and why;
2 that the command line itself was wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from CardiacSegLib import __version__
from CardiacSegLib.cli import batch, crossvalidate, dataset, dicom, ensemble, evaluate, models, phantom, segment, train
from CardiacSegLib.cli.report import Report
from CardiacSegLib.errors import CardiacSegError

#: In the order of the help. Each has ``add_parser(commands, common)`` and ``run(options, report)``, the exit code.
_COMMANDS = (segment, batch, dicom, models, phantom, dataset, evaluate, train, crossvalidate, ensemble)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text
    options = _parser().parse_args(arguments)
    report = Report(options.events)
    try:
        return options.run(options, report)
    except CardiacSegError as error:
        report.error(error)
    except KeyboardInterrupt:
        report.error(CardiacSegError("stopped; files written before are whole, nothing is half written"))
    except OSError as error:  # a name that is too long, a place that may not be looked at
        place = f"{error.filename}: " if error.filename else ""
        report.error(CardiacSegError(f"{place}{error.strerror or error}; choose another path"))
    except MemoryError:
        report.error(CardiacSegError("not enough memory; close other programs or give a smaller image"))
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cardiacseg", description="Segment the heart in cardiac MR.")
    parser.add_argument("--version", action="version", version=f"cardiacseg {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--events", action="store_true", help="print one JSON event a line instead of text for people")
    for command in _COMMANDS:
        command.add_parser(commands, common)
    return parser
