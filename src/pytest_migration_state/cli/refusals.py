"""Exit statuses, and how errors become one of them and sentences."""

from __future__ import annotations

from pytest_migration_state.cli import output
from pytest_migration_state.cli.errors import LineError, UsageError

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from typing import Final

    from pytest_migration_state.errors import GateBlockedError
    from pytest_migration_state.types import JsonObject

DONE: Final = 0
REFUSED: Final = 1
WRONG_USAGE: Final = 2
UNUSABLE: Final = 3
INTERRUPTED: Final = 130


class Refusal:
    """An error in words.

    :ivar status: the exit status.
    :ivar lines: what is wrong, and what to do; more lines list several reasons.
    """

    def __init__(self, error: Exception) -> None:
        where = ""
        if isinstance(error, LineError):
            where, error = f"line {error.number}: ", error.cause
        self.status = _status_of(error)
        first, *more = _in_words(error)
        self.lines = [where + first, *more]

    def to_object(self) -> JsonObject:
        """Return the error as a JSON object."""
        from pytest_migration_state.text import to_printable

        message = "\n".join(map(to_printable, self.lines))
        return {"error": {"message": message, "exit_status": self.status}}


def _status_of(error: Exception) -> int:
    from pytest_migration_state import errors

    match error:
        case errors.GateBlockedError() | errors.InvalidTransitionError() | errors.RollbackUnavailableError():
            return REFUSED
        case errors.StateExistsError() | errors.NothingToAcceptError():
            return REFUSED
        case errors.InvalidArgumentError() | UsageError():
            return WRONG_USAGE
        case _:
            return UNUSABLE


def _in_words(error: Exception) -> list[str]:
    from pytest_migration_state import errors

    match error:
        case errors.GateBlockedError():
            return _gate_blocked(error)
        case errors.MigrationStateError() | UsageError() | output.OutputError():
            return [errors.with_notes(error)]
        case OSError():
            return [f"{error.filename or 'the operating system'}: {error.strerror or error}"]
        case _:
            return [_unexpected(error)]


def _gate_blocked(error: GateBlockedError) -> list[str]:
    from pytest_migration_state.errors import with_notes
    from pytest_migration_state.reports.records import listed

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
