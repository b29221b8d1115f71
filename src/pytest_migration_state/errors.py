"""The exceptions of this package. Each carries its data.

::

    MigrationStateError
    ├── InvalidTransitionError     the phase cannot follow the current one
    ├── GateBlockedError           Validation → Completed while the gate is shut
    ├── RollbackUnavailableError   → RolledBack while rollback is unavailable
    ├── NothingToAcceptError       accept_record() on a state whose record is whole
    ├── InvalidArgumentError       an argument that no state may hold (also a ValueError)
    ├── StateExistsError           initialize() without force on an existing state
    ├── StateNotFoundError         there is no state at this path
    ├── StateDamagedError          the document or the log cannot be used as it is
    ├── StateVersionError          written by a newer version of the format
    ├── StateLockedError           another process held the lock for too long
    └── StateWriteError            the operating system refused a write

``str(error)`` is one sentence for a person. Its data are the arguments and attributes of the exception, so
that each survives pickling.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from pytest_migration_state.types import Blocker

__all__ = [
    "GateBlockedError",
    "InvalidArgumentError",
    "InvalidTransitionError",
    "MigrationStateError",
    "MigrationStateWarning",
    "NothingToAcceptError",
    "RollbackUnavailableError",
    "StateDamagedError",
    "StateExistsError",
    "StateLockedError",
    "StateNotFoundError",
    "StateVersionError",
    "StateWriteError",
]

#: The number of characters of an invalid value that its error shows: the reason after it must stay visible.
_SHOWN: Final = 200


def with_notes(error: BaseException, sentence: str | None = None) -> str:
    """Return the sentence of an exception with the notes that were added to it.

    :param sentence: the sentence, if it is not that of the exception itself.
    """
    return "; ".join([sentence or str(error), *getattr(error, "__notes__", ())])


class MigrationStateWarning(UserWarning):
    """A warning about a state that can still be used (a new log was begun, a torn line was set aside)."""


class MigrationStateError(Exception):
    """Base of every error of this package.

    :ivar position: the position of the failed operation among several, counted from 1, or ``None``.
    """

    position: int | None = None


class InvalidTransitionError(MigrationStateError):
    """The requested phase cannot follow the current one.

    :ivar current: the phase that the migration is in.
    :ivar requested: the requested phase.
    :ivar allowed: the phases that may follow ``current``.
    """

    def __init__(self, current: str, requested: str, allowed: Sequence[str]) -> None:
        super().__init__(current, requested, tuple(allowed))
        self.current, self.requested, self.allowed = current, requested, tuple(allowed)

    def __str__(self) -> str:
        legal = ", ".join(self.allowed) or "none, it is final"
        transition = f"Invalid phase transition from '{self.current}' to '{self.requested}'"
        return f"{transition}. Valid transitions: {legal}"


class GateBlockedError(MigrationStateError):
    """Validation → Completed was refused.

    :ivar blockers: every reason, as :class:`~pytest_migration_state.Blocker`.
    """

    def __init__(self, blockers: Sequence[Blocker]) -> None:
        super().__init__(tuple(blockers))
        self.blockers = tuple(blockers)

    def __str__(self) -> str:
        first = self.blockers[0]
        sentence = f"The gate to Completed is shut: {first.message}; {first.fix}"
        if more := len(self.blockers) - 1:
            sentence += f" (and {more} more: see 'migration-state gate')"
        return sentence


class RollbackUnavailableError(MigrationStateError):
    """→ RolledBack was refused because ``rollback_available`` is false.

    :ivar current: the phase that the migration is in.
    """

    def __init__(self, current: str) -> None:
        super().__init__(current)
        self.current = current

    def __str__(self) -> str:
        return (
            f"Rollback from '{self.current}' is marked as unavailable. If it is possible after all, mark it "
            "as available first (command 'rollback available'), or force the transition with a reason"
        )


class NothingToAcceptError(MigrationStateError):
    """Nothing is wrong with the record of a state, so nothing can be accepted."""

    def __str__(self) -> str:
        return (
            "There is nothing to accept: the audit log is whole, and the document says what it says. "
            "What a test, a person or another program recorded is not accepted, but recorded again"
        )


class InvalidArgumentError(MigrationStateError, ValueError):
    """An argument that no state may hold.

    :ivar argument: the argument's name.
    :ivar value: its value as a string.
    :ivar reason: why it is refused, and what is expected.
    """

    def __init__(self, argument: str, value: object, reason: str) -> None:
        super().__init__(argument, str(value), reason)
        self.argument, self.value, self.reason = argument, str(value), reason

    def __str__(self) -> str:
        shown = self.value[:_SHOWN]
        if shown != self.value:
            shown += "…"
        return f"{self.argument} {shown!r} cannot be used: {self.reason}"


class _PathError(MigrationStateError):
    """An error about one file.

    :ivar path: the file.
    :ivar reason: what is wrong, and what to do.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class StateExistsError(_PathError):
    """There is a state already and ``force`` was not given."""


class StateNotFoundError(_PathError):
    """There is no state at this path."""


class StateDamagedError(_PathError):
    """The document or the log cannot be used as it is. Nothing was changed."""


class StateVersionError(_PathError):
    """The document was written by a newer version of the format. Nothing was changed."""


class StateWriteError(_PathError):
    """The operating system refused a write. The state is as it was before."""


class StateLockedError(MigrationStateError):
    """Another process held the lock for longer than the timeout.

    :ivar path: the lock file.
    :ivar timeout: how long the wait was, in seconds.
    :ivar holder: who holds it, in words; ``None`` if that is not certain.
    """

    def __init__(self, path: str, timeout: float, holder: str | None) -> None:
        super().__init__(str(path), timeout, holder)
        self.path, self.timeout, self.holder = str(path), timeout, holder

    def __str__(self) -> str:
        who = "it is not known who holds it"
        if self.holder:
            who = f"{self.holder} holds it"
        waited = f"{self.path}: still locked after {self.timeout:g} s"
        return f"{waited}; {who}. Let it finish or stop it, then try again"
