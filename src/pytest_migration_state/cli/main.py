"""The entry point of the command line, and the one place where errors become exit statuses."""

from __future__ import annotations

import sys
from contextlib import suppress

from pytest_migration_state.cli import output
from pytest_migration_state.cli.arguments import PROGRAM
from pytest_migration_state.cli.parser import parse
from pytest_migration_state.cli.refusals import DONE, INTERRUPTED, WRONG_USAGE, Refusal

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    :param arguments: as typed after ``migration-state``; by default those of this process.
    """
    output.prepare()
    if arguments is None:
        arguments = sys.argv[1:]
    try:
        status = _run(arguments)
        output.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # no traceback reaches a user
        return _report(error, in_json="--json" in arguments)
    return status


def _run(arguments: Sequence[str]) -> int:
    if not arguments:
        from pytest_migration_state.cli.short_help import TEXT

        output.lines(TEXT.splitlines())
        return WRONG_USAGE  # a script whose command is an empty variable must not look successful
    try:
        options = parse(arguments)
    except SystemExit:  # help and version
        return DONE
    status: int = options.run(options)
    return status


def _report(error: Exception, *, in_json: bool) -> int:
    """Print an error on standard error and, if JSON was asked for, on standard output too."""
    refusal = Refusal(error)
    first, *more = refusal.lines
    output.complain(f"{PROGRAM}: error: {first}", *more)
    if in_json:
        with suppress(output.OutputError):
            output.json_line(refusal.to_object())
    return refusal.status
