"""What can go wrong with a migration state, as exceptions that carry their data.

::

    MigrationStateError
    ├── InvalidTransitionError     the phase cannot follow the current one
    ├── GateBlockedError           Validation → Completed while the gate is shut
    ├── RollbackUnavailableError   → RolledBack while rollback is unavailable
    ├── InvalidArgumentError       an argument that no state may hold (also a ValueError)
    ├── StateExistsError           initialize() without force on an existing state
    ├── StateNotFoundError         there is no state at this path
    ├── StateDamagedError          the document or the log cannot be used as it is
    ├── StateVersionError          written by a newer version of the format
    ├── StateLockedError           another process held the lock for too long
    └── StateWriteError            the operating system refused a write

``str(error)`` is one sentence for a person. The data that it is made of are the arguments and
attributes of the exception, so each survives pickling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_migration_state.core.gate import Blocker

__all__ = [
    "GateBlockedError",
    "InvalidArgumentError",
    "InvalidTransitionError",
    "MigrationStateError",
    "MigrationStateWarning",
    "RollbackUnavailableError",
    "StateDamagedError",
    "StateExistsError",
    "StateLockedError",
    "StateNotFoundError",
    "StateVersionError",
    "StateWriteError",
]

#: How much of a value that cannot be used its error shows, in characters: a person must find the sentence's end.
_SHOWN: Final = 200


class MigrationStateWarning(UserWarning):
    """Something to know about a state that could still be used (a log begun again, a torn line set aside)."""


class MigrationStateError(Exception):
    """Base of every error of this package.

    :ivar position: which operation of several could not be carried out, counted from 1; ``None`` where it is about none.
    """

    position: int | None = None


class InvalidTransitionError(MigrationStateError):
    """The requested phase cannot follow the current one.

    :ivar current: the phase that the migration is in.
    :ivar requested: the phase that was asked for.
    :ivar allowed: the phases that may follow ``current``.
    """

    def __init__(self, current: str, requested: str, allowed: Sequence[str]) -> None:
        super().__init__(current, requested, tuple(allowed))
        self.current, self.requested, self.allowed = current, requested, tuple(allowed)

    def __str__(self) -> str:
        legal = ", ".join(self.allowed) or "none, it is final"
        return f"Invalid phase transition from '{self.current}' to '{self.requested}'. Valid transitions: {legal}"


class GateBlockedError(MigrationStateError):
    """Validation → Completed was refused.

    :ivar blockers: every reason, as :class:`~pytest_migration_state.core.gate.Blocker`.
    """

    def __init__(self, blockers: Sequence[Blocker]) -> None:
        super().__init__(tuple(blockers))
        self.blockers = tuple(blockers)

    def __str__(self) -> str:
        first = self.blockers[0].message
        more = len(self.blockers) - 1
        rest = f" (and {more} more: see 'migration-state gate')" if more else ""
        return f"The gate to Completed is shut: {first}{rest}"


class RollbackUnavailableError(MigrationStateError):
    """→ RolledBack was refused because ``rollback_available`` is false.

    :ivar current: the phase that the migration is in.
    """

    def __init__(self, current: str) -> None:
        super().__init__(current)
        self.current = current

    def __str__(self) -> str:
        return (
            f"Rollback from '{self.current}' is marked as unavailable. If it is possible after all, say "
            "'migration-state rollback available' first, or force the transition with a reason"
        )


class InvalidArgumentError(MigrationStateError, ValueError):
    """An argument that no state may hold.

    :ivar argument: the argument's name.
    :ivar value: what was given, as text.
    :ivar reason: why it is refused and what to give instead.
    """

    def __init__(self, argument: str, value: object, reason: str) -> None:
        super().__init__(argument, str(value), reason)
        self.argument, self.value, self.reason = argument, str(value), reason

    def __str__(self) -> str:
        shown = self.value if len(self.value) <= _SHOWN else f"{self.value[:_SHOWN]}…"
        return f"{self.argument} {shown!r} cannot be used: {self.reason}"


class _PathError(MigrationStateError):
    """An error about one file.

    :ivar path: the file.
    :ivar reason: what is the matter, and the way out.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class StateExistsError(_PathError):
    """A state is there already and ``force`` was not given."""


class StateNotFoundError(_PathError):
    """There is no state at this path."""


class StateDamagedError(_PathError):
    """The document or the log cannot be used as it is. Nothing was changed."""


class StateVersionError(_PathError):
    """The document was written by a newer version of the format. Nothing was changed."""


class StateWriteError(_PathError):
    """The operating system refused a write. What the state held before is whole."""


class StateLockedError(MigrationStateError):
    """Another process held the lock for longer than the timeout.

    :ivar path: the lock file.
    :ivar timeout: how long was waited, in seconds.
    :ivar holder: the last known holder (process id, host, command), or ``None``.
    """

    def __init__(self, path: str, timeout: float, holder: str | None) -> None:
        super().__init__(str(path), timeout, holder)
        self.path, self.timeout, self.holder = str(path), timeout, holder

    def __str__(self) -> str:
        who = f"the last known holder is {self.holder}" if self.holder else "the holder is not known"
        return f"{self.path}: still locked after {self.timeout:g} s; {who}. Let it finish or stop it, then try again"
