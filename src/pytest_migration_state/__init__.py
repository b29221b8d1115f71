"""Migrations validated by pytest, gated and audited.

Names are loaded when they are first used (PEP 562): pytest loads this package in every run of every project
that has it installed, and must not pay for what it does not use.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it for typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from pytest_migration_state.domain.gate import GateResult as GateResult
    from pytest_migration_state.domain.phases import Phase as Phase
    from pytest_migration_state.domain.policy import Policy as Policy
    from pytest_migration_state.errors import GateBlockedError as GateBlockedError
    from pytest_migration_state.errors import InvalidArgumentError as InvalidArgumentError
    from pytest_migration_state.errors import InvalidTransitionError as InvalidTransitionError
    from pytest_migration_state.errors import MigrationStateError as MigrationStateError
    from pytest_migration_state.errors import MigrationStateWarning as MigrationStateWarning
    from pytest_migration_state.errors import NothingToAcceptError as NothingToAcceptError
    from pytest_migration_state.errors import RollbackUnavailableError as RollbackUnavailableError
    from pytest_migration_state.errors import StateDamagedError as StateDamagedError
    from pytest_migration_state.errors import StateExistsError as StateExistsError
    from pytest_migration_state.errors import StateLockedError as StateLockedError
    from pytest_migration_state.errors import StateNotFoundError as StateNotFoundError
    from pytest_migration_state.errors import StateVersionError as StateVersionError
    from pytest_migration_state.errors import StateWriteError as StateWriteError
    from pytest_migration_state.models import AuditEntry as AuditEntry
    from pytest_migration_state.models import ErrorRecord as ErrorRecord
    from pytest_migration_state.models import Metadata as Metadata
    from pytest_migration_state.models import MigrationState as MigrationState
    from pytest_migration_state.models import NativeProcess as NativeProcess
    from pytest_migration_state.models import OutstandingValidation as OutstandingValidation
    from pytest_migration_state.models import RemovedContainer as RemovedContainer
    from pytest_migration_state.models import ValidationResult as ValidationResult
    from pytest_migration_state.tracking.tracker import MigrationTracker as MigrationTracker
    from pytest_migration_state.types import Blocker as Blocker
    from pytest_migration_state.verification.report import Problem as Problem
    from pytest_migration_state.verification.report import VerifyReport as VerifyReport

_MODULES = {
    "domain.phases": ("Phase",),
    "domain.gate": ("GateResult",),
    "domain.policy": ("Policy",),
    "errors": (
        "GateBlockedError", "InvalidArgumentError", "InvalidTransitionError", "MigrationStateError",
        "MigrationStateWarning", "NothingToAcceptError", "RollbackUnavailableError", "StateDamagedError",
        "StateExistsError", "StateLockedError", "StateNotFoundError", "StateVersionError", "StateWriteError",
    ),
    "models": (
        "AuditEntry", "ErrorRecord", "Metadata", "MigrationState", "NativeProcess", "OutstandingValidation",
        "RemovedContainer", "ValidationResult",
    ),
    "tracking.tracker": ("MigrationTracker",),
    "types": ("Blocker",),
    "verification.report": ("Problem", "VerifyReport"),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__version__ = "0.1.0"
__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604  # the names are in one place, above


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with import_module(f"{__name__}.importing").importing:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
