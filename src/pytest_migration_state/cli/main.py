"""The entry point of the command line, and the one place where errors become exit statuses."""

from __future__ import annotations

from pytest_migration_state.cli import output
from pytest_migration_state.cli.arguments import PROGRAM
from pytest_migration_state.cli.errors import LineError, UsageError
from pytest_migration_state.cli.parser import parse

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from pytest_migration_state.errors import GateBlockedError

DONE: Final = 0
REFUSED: Final = 1
WRONG_USAGE: Final = 2
UNUSABLE: Final = 3
INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    :param arguments: as typed after ``migration-state``; by default those of this process.
    """
    output.prepare()
    try:
        status = _run(arguments)
        output.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except LineError as error:
        return _report(error.cause, f"line {error.number}: ")
    except Exception as error:  # noqa: BLE001  # no traceback reaches a user
        return _report(error)
    return status


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = parse(arguments)
    except SystemExit:  # help and version
        return DONE
    status: int = options.run(options)
    return status


def _report(error: Exception, where: str = "") -> int:
    from pytest_migration_state import errors

    status, sentence, *more = WRONG_USAGE, errors.with_notes(error)
    match error:
        case errors.GateBlockedError():
            status = REFUSED
            sentence, *more = _gate_blocked(error)
        case errors.InvalidTransitionError() | errors.RollbackUnavailableError():
            status = REFUSED
        case errors.StateExistsError() | errors.NothingToAcceptError():
            status = REFUSED
        case errors.InvalidArgumentError() | UsageError():
            pass
        case errors.MigrationStateError() | output.OutputError():
            status = UNUSABLE
        case OSError():
            status, sentence = (
                UNUSABLE,
                f"{error.filename or 'the operating system'}: {error.strerror or error}",
            )
        case _:
            status, sentence = UNUSABLE, _unexpected(error)
    output.complain(f"{PROGRAM}: error: {where}{sentence}", *more)
    return status


def _gate_blocked(error: GateBlockedError) -> list[str]:
    from pytest_migration_state.errors import with_notes
    from pytest_migration_state.reports.terminal import listed

    if len(error.blockers) == 1:
        return [with_notes(error)]
    blockers = listed([f"{blocker.message}; {blocker.fix}" for blocker in error.blockers])
    sentence = f"The gate to Completed is shut: {len(error.blockers)} blockers"
    return [with_notes(error, sentence), *blockers]


def _unexpected(error: Exception) -> str:
    from pathlib import Path
    from traceback import extract_tb

    frame = extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}, line {frame.lineno}"
    return f"unexpected {type(error).__name__} in {where} ({error}); please report it"
