"""The phases of a migration and the legal transitions between them."""

from __future__ import annotations

from enum import StrEnum

from pytest_migration_state.errors import (
    InvalidArgumentError,
    InvalidTransitionError,
    RollbackUnavailableError,
)

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from typing import Final


class Phase(StrEnum):
    """The phase of a migration. The document and the PowerShell functions use the same values."""

    NOT_STARTED = "NotStarted"
    BACKUP_IN_PROGRESS = "BackupInProgress"
    CONTAINER_TERMINATION = "ContainerTermination"
    NATIVE_DEPLOYMENT = "NativeDeployment"
    VALIDATION = "Validation"
    COMPLETED = "Completed"
    ROLLED_BACK = "RolledBack"

    @classmethod
    def of(cls, value: str) -> Phase:
        """Return the phase of this name.

        :raises InvalidArgumentError: there is no such phase.
        """
        try:
            return cls(value)
        except ValueError:
            raise InvalidArgumentError("phase", value, f"it must be one of {', '.join(cls)}") from None


#: The names of the phases, in their order.
PHASES: Final = tuple(phase.value for phase in Phase)
#: The one table of legal transitions, as the PowerShell functions have it.
TRANSITIONS: Final[dict[Phase, tuple[Phase, ...]]] = {
    Phase.NOT_STARTED: (Phase.BACKUP_IN_PROGRESS,),
    Phase.BACKUP_IN_PROGRESS: (Phase.CONTAINER_TERMINATION, Phase.ROLLED_BACK),
    Phase.CONTAINER_TERMINATION: (Phase.NATIVE_DEPLOYMENT, Phase.ROLLED_BACK),
    Phase.NATIVE_DEPLOYMENT: (Phase.VALIDATION, Phase.ROLLED_BACK),
    Phase.VALIDATION: (Phase.COMPLETED, Phase.ROLLED_BACK),
    Phase.COMPLETED: (Phase.ROLLED_BACK,),
    Phase.ROLLED_BACK: (),
}

#: Reaching one of these sets ``completed_at``.
FINAL_PHASES: Final = frozenset({Phase.COMPLETED, Phase.ROLLED_BACK})


def check_transition(current: Phase, requested: Phase, *, rollback_available: bool) -> None:
    """Refuse a transition that the table or ``rollback_available`` forbids. The gate is not considered.

    :raises InvalidTransitionError: ``requested`` cannot follow ``current``.
    :raises RollbackUnavailableError: it could, but rollback is unavailable.
    """
    if requested not in TRANSITIONS[current]:
        raise InvalidTransitionError(
            current.value, requested.value, [phase.value for phase in TRANSITIONS[current]]
        )
    if requested is Phase.ROLLED_BACK and not rollback_available:
        raise RollbackUnavailableError(current.value)
