"""The operations on a migration by name: what each may be given, when it is refused, and the event that it becomes.

The methods of :class:`~pytest_migration_state.core.tracker.MigrationTracker`, the commands of the command line and the
lines of ``apply`` are these functions and nothing else, so that the three cannot drift apart. Pure: each decides on the
document that it is handed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_migration_state.core import events
from pytest_migration_state.core.document import clashing_key
from pytest_migration_state.core.errors import GateBlockedError, InvalidArgumentError, MigrationStateError
from pytest_migration_state.core.gate import evaluate
from pytest_migration_state.core.phases import FINAL_PHASES, Phase, check_transition
from pytest_migration_state.core.text import storable

if TYPE_CHECKING:
    from pytest_migration_state.core.document import Document
    from pytest_migration_state.core.events import Event
    from pytest_migration_state.core.gate import Policy


def _name(argument: str, value: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(argument, value, "it must be text")
    if not value.strip():
        raise InvalidArgumentError(argument, value, "it must not be empty")
    return storable(value)


def _text(argument: str, value: str | None) -> str:
    if value is not None and not isinstance(value, str):
        raise InvalidArgumentError(argument, value, "it must be text")
    return storable(value or "")


def _truth(argument: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgumentError(argument, value, "it must be true or false")
    return value


def set_phase(
    document: Document,
    now: str,
    phase: str,
    *,
    force: bool = False,
    reason: str | None = None,
    policy: Policy | None = None,
    state: str = "STATE",
) -> Event:
    current, requested = document.phase, Phase.of(phase)
    refusal: MigrationStateError | None = None
    try:
        check_transition(current, requested, rollback_available=document.rollback_available)
        if requested is Phase.COMPLETED and not (result := evaluate(document, policy, state=state)).open:
            raise GateBlockedError(result.blockers)
    except MigrationStateError as error:
        if not force:
            raise
        refusal = error
    forced = _text("reason", reason) if refusal else None
    return events.phase_changed(now, current, requested, final=requested in FINAL_PHASES, forced=forced)


def add_processed_container(document: Document, now: str, name: str, container_id: str) -> Event:
    return events.container_removed(now, _name("name", name), _name("container_id", container_id))


def add_preserved_data(document: Document, now: str, key: str, backup_path: str) -> Event:
    key = _name("key", key)
    if other := clashing_key(document.fields["data_preserved"], key):
        raise InvalidArgumentError("key", key, f"'{other}' is there already, and PowerShell could not tell the two apart")
    return events.data_preserved(key, _name("backup_path", backup_path))


def add_native_process(document: Document, now: str, name: str, process_id: int | None = None) -> Event:
    if process_id is not None and (type(process_id) is not int or process_id <= 0):
        raise InvalidArgumentError("process_id", process_id, "it must be a whole number above 0")
    return events.process_started(now, _name("name", name), process_id)


def add_validation_result(
    document: Document, now: str, component: str, test_name: str, passed: bool, error_message: str | None = None
) -> Event:
    passed = _truth("passed", passed)
    message = _text("error_message", error_message) or None
    return events.verdict_given(now, _name("component", component), _name("test_name", test_name), passed, message)


def set_rollback_availability(document: Document, now: str, available: bool) -> Event:
    return events.rollback_set(_truth("available", available))


def set_error(document: Document, now: str, message: str) -> Event:
    return events.error_set(now, _name("message", message))


def forget_validation(document: Document, now: str, component: str, test_name: str, reason: str) -> Event:
    key = _name("component", component), _name("test_name", test_name)
    if key not in document.verdicts and key not in document.outstanding:
        raise InvalidArgumentError(
            "test_name", test_name, f"'{component}' has neither a verdict nor an outstanding validation of this name"
        )
    return events.forgotten(*key, _name("reason", reason))


def write_audit(document: Document, now: str, action: str, details: str, level: str = "INFO") -> Event:
    if level not in events.LEVELS:
        raise InvalidArgumentError("level", level, f"it is one of {', '.join(events.LEVELS)}")
    return events.Event(_name("action", action), _text("details", details), {}, level)
