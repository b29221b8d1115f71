"""The command line's entry, and the one place where errors become exit statuses."""

from __future__ import annotations

from pytest_migration_state.cli import output
from pytest_migration_state.cli.commands import LineError, UsageError
from pytest_migration_state.cli.parser import PROGRAM, parse

TYPE_CHECKING = False  # as in the package itself: typing is not loaded
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from pytest_migration_state.core.errors import GateBlockedError

DONE: Final = 0
REFUSED: Final = 1
WRONG_USAGE: Final = 2
UNUSABLE: Final = 3
INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit status.

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
    except Exception as error:  # noqa: BLE001  # no traceback reaches a user; what is unforeseen says where it happened
        return _report(error)
    return status


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = parse(arguments)
    except SystemExit:  # help and version
        return DONE
    status: int = options.command(options)
    return status


def _report(error: Exception, where: str = "") -> int:
    from pytest_migration_state.core import errors

    status, sentence, *more = WRONG_USAGE, str(error)
    match error:
        case errors.GateBlockedError():
            status = REFUSED
            sentence, *more = _gate_blocked(error)
        case errors.InvalidTransitionError() | errors.RollbackUnavailableError() | errors.StateExistsError():
            status = REFUSED
        case errors.InvalidArgumentError() | UsageError():
            pass
        case errors.MigrationStateError() | output.OutputError():
            status = UNUSABLE
        case OSError():
            status, sentence = UNUSABLE, f"{error.filename or 'the operating system'}: {error.strerror or error}"
        case _:
            status, sentence = UNUSABLE, _unforeseen(error)
    output.complain(f"{PROGRAM}: error: {where}{sentence}", *more)
    return status


def _gate_blocked(error: GateBlockedError) -> list[str]:
    from pytest_migration_state.cli.render import listed

    if len(error.blockers) == 1:
        return [str(error)]
    return [f"The gate to Completed is shut: {len(error.blockers)} blockers", *listed([blocker.message for blocker in error.blockers])]


def _unforeseen(error: Exception) -> str:
    from pathlib import Path
    from traceback import extract_tb

    frame = extract_tb(error.__traceback__)[-1]
    return f"unforeseen {type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno} ({error}); please report it"
