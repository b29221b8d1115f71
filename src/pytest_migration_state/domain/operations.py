"""The operations on a migration: their arguments, their refusals, and the events that they become.

The methods of :class:`~pytest_migration_state.MigrationTracker`, the commands of the command line and the
lines of ``apply`` all call these functions, so that the three cannot differ. Everything here is pure: each
function decides on the document that it receives.

A request is a mapping of an operation's name and its arguments, as a JSON object can hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_migration_state.domain import events, override
from pytest_migration_state.domain.acceptance import NOTHING_FOUND, record_accepted
from pytest_migration_state.domain.arguments import (
    require_bool,
    require_message,
    require_name,
    require_path,
    require_text,
)
from pytest_migration_state.domain.forgetting import forget
from pytest_migration_state.domain.gate import Context, evaluate
from pytest_migration_state.domain.keys import clashing_key, is_reserved
from pytest_migration_state.domain.phases import FINAL_PHASES, Phase, check_transition
from pytest_migration_state.domain.policy import RESERVED, SETTINGS, Policy
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import GateBlockedError, InvalidArgumentError, MigrationStateError

if TYPE_CHECKING:
    from pytest_migration_state.domain.acceptance import Findings
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.types import JsonObject

#: The operation that begins a migration. It needs no document, so it is decided by the tracker.
INITIALIZE: Final = "initialize"
#: The operation that records a verdict.
VERDICT: Final = "add_validation_result"
#: The operation that removes validations from the record.
FORGET: Final = "forget_validation"
#: The operation that accepts a state whose record is not whole.
ACCEPT: Final = "accept_record"
#: Windows numbers processes in 32 bits, and no other system uses more.
_HIGHEST_PROCESS_ID: Final = 2**32 - 1


# --- arguments ----------------------------------------------------------------------------------------------


def require_component(argument: str, value: object) -> str:
    """Return the name of a component as it is stored.

    :raises InvalidArgumentError: it is empty, or one of the names under which this package keeps its own
        records.
    """
    name = require_name(argument, value)
    if name.strip() in RESERVED:
        raise InvalidArgumentError(
            argument, value, "this name is reserved for what belongs to no component; choose another"
        )
    return name


# --- operations ---------------------------------------------------------------------------------------------


def set_phase(
    document: Document,
    now: str,
    phase: str,
    *,
    force: bool = False,
    reason: str | None = None,
    policy: Policy | None = None,
    context: Context | None = None,
) -> Event:
    """Return the event of a transition, or refuse it.

    :param force: overrides the table of transitions, the gate and ``rollback_available``.
    :param reason: why, for the log.
    :raises InvalidTransitionError: ``phase`` cannot follow the current one.
    :raises RollbackUnavailableError: → RolledBack while rollback is unavailable.
    :raises GateBlockedError: → Completed while the gate is shut.
    """
    current = document.phase
    requested = Phase.of(phase)
    force = require_bool("force", force)
    reason = require_text("reason", reason)
    is_refused = False
    try:
        _check_phase(document, requested, policy, context)
    except MigrationStateError:
        if not force:
            raise
        is_refused = True
    metadata: JsonObject = {}
    if requested is Phase.COMPLETED:
        is_past_the_gate = is_refused and not evaluate(document, policy, context)
        rules = (policy or Policy()).to_object()
        metadata["completed_with"] = {"at": now, **rules, "forced": None}
        if is_past_the_gate:
            metadata["completed_with"]["forced"] = reason or ""
    elif "completed_with" in document.metadata:
        metadata["completed_with"] = None
    forced = reason if is_refused else None
    is_final = requested in FINAL_PHASES
    event = events.phase_changed(now, current, requested, final=is_final, forced=forced, metadata=metadata)
    if reason and not is_refused:
        event.data["reason"] = reason
    return event


def _check_phase(
    document: Document, requested: Phase, policy: Policy | None, context: Context | None
) -> None:
    """Check that a phase can follow the current one, and that the gate is open before Completed.

    :raises MigrationStateError: as :func:`set_phase`.
    """
    check_transition(document.phase, requested, rollback_available=document.rollback_available)
    if requested is Phase.COMPLETED:
        result = evaluate(document, policy, context)
        if not result.open:
            raise GateBlockedError(result.blockers)


def _set_phase(document: Document, now: str, *, context: Context | None = None, **arguments: Any) -> Event:
    settings = {setting.name: arguments.pop(setting.name, ()) for setting in SETTINGS}
    return set_phase(document, now, policy=Policy.of(settings), context=context, **arguments)


def add_processed_container(document: Document, now: str, name: str, container_id: str) -> Event:
    """Record that a container was removed."""
    return events.container_removed(
        now, require_name("name", name), require_name("container_id", container_id)
    )


def add_preserved_data(document: Document, now: str, key: str, backup_path: str) -> Event:
    """Record where data was saved.

    :raises InvalidArgumentError: PowerShell could not read the document with ``key``, which it reserves or
        which differs from an existing one only in case; or ``backup_path`` is longer than what is stored.
    """
    key = require_name("key", key)
    if is_reserved(key):
        reason = "PowerShell reserves this name, and could not read the document; choose another"
        raise InvalidArgumentError("key", key, reason)
    if other := clashing_key(document.fields["data_preserved"], key):
        reason = f"'{other}' already exists and differs only in case, which PowerShell does not distinguish"
        raise InvalidArgumentError("key", key, reason)
    return events.data_preserved(key, require_path("backup_path", backup_path))


def add_native_process(document: Document, now: str, name: str, process_id: int | None = None) -> Event:
    """Record that a native process was started. The verdicts on an earlier process become stale."""
    if process_id is not None and (type(process_id) is not int or not 0 < process_id <= _HIGHEST_PROCESS_ID):
        reason = f"it must be an integer from 1 to {_HIGHEST_PROCESS_ID}"
        raise InvalidArgumentError("process_id", process_id, reason)
    name = require_name("name", name)
    return events.process_started(now, name, process_id, events.stale_marks(document, name, now))


def add_validation_result(
    document: Document,
    now: str,
    component: str,
    test_name: str,
    passed: bool,
    error_message: str | None = None,
) -> Event:
    """Record a verdict."""
    return events.verdict_recorded(now, _verdict(component, test_name, passed, error_message))


def _verdict(component: str, test_name: str, passed: bool, error_message: str | None = None) -> Verdict:
    key = require_component("component", component), require_name("test_name", test_name)
    message = require_text("error_message", error_message) or None
    return Verdict(key, require_bool("passed", passed), message)


def _add_validation_result(
    document: Document, now: str, *, actor: str, reason: str | None = None, **arguments: Any
) -> list[Event]:
    """Record a verdict by hand. If it overrides the failure of a run, a second event says so.

    A reason that overrides nothing is kept in the entry, for readers of the log.
    """
    verdict = _verdict(**arguments)
    reason = require_text("reason", reason).strip() or None
    old = document.verdicts.get(verdict.key, {})
    mark = override.mark(old, actor, now, reason)
    recorded = events.verdict_recorded(now, verdict._replace(overridden=mark))
    if mark and verdict.passed and mark is not old.get("overridden"):
        return [recorded, events.verdict_overridden(verdict.key, old.get("run_id"), reason)]
    if reason:
        recorded.data["reason"] = reason
    return [recorded]


def set_rollback_availability(document: Document, now: str, available: bool) -> Event:
    """Record whether the migration can be rolled back."""
    return events.rollback_set(require_bool("available", available))


def set_error(document: Document, now: str, message: str) -> Event:
    """Record an error of the migration."""
    return events.error_set(now, require_message("message", message))


def clear_error(document: Document, now: str) -> list[Event]:
    """Take the error of the migration off the record. If there is none, nothing is recorded."""
    error = document.fields["error"]
    return [events.error_cleared(error.get("message") or "it had no message")] if error else []


def forget_validation(
    document: Document,
    now: str,
    component: str,
    test_name: str | Sequence[str],
    reason: str,
    *,
    context: Context | None = None,
) -> list[Event]:
    """Remove validations, or unfinished runs, from the record: all that are named, or none.

    :param test_name: a name or a pattern, or several of them. In a pattern ``*`` stands for any text and
        ``?`` for one character.
    :raises InvalidArgumentError: one of them means nothing that is on record.
    """
    component, tests = require_name("component", component), _test_names(test_name)
    return forget(document, component, tests, require_message("reason", reason), context or Context())


def _test_names(value: object) -> list[str]:
    if isinstance(value, str):
        return [require_name("test_name", value)]
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        raise InvalidArgumentError("test_name", value, "it must be a string or a list of strings")
    if not value:
        raise InvalidArgumentError("test_name", value, "it must name at least one test; '*' means every test")
    return [require_name("test_name", name) for name in value]


def accept_record(
    document: Document, now: str, by: str, reason: str, findings: Findings = NOTHING_FOUND
) -> Event:
    """Accept the state as the document has it, although its record is not whole.

    :param by: who accepts it.
    :param findings: what is wrong with the record.
    :raises NothingToAcceptError: nothing is wrong.
    """
    by, reason = require_name("by", by), require_message("reason", reason)
    return record_accepted(document, findings, now, by, reason)


def write_audit(document: Document, now: str, action: str, details: str, level: str = "INFO") -> Event:
    """Write an entry to the audit log."""
    return audit_entry(action, details, level)


def audit_entry(action: str, details: str, level: str = "INFO") -> Event:
    """Return an entry of a user's own for the audit log.

    :raises InvalidArgumentError: ``level`` is unknown, or ``action`` is empty.
    """
    if level not in events.LEVELS:
        raise InvalidArgumentError("level", level, f"it must be one of {', '.join(events.LEVELS)}")
    return events.Event(require_name("action", action), require_text("details", details), {}, level)


# --- requests -----------------------------------------------------------------------------------------------


class _Operation(NamedTuple):
    """An operation that a request may name.

    :ivar decide: returns its event or events, or raises.
    :ivar required: the arguments that it must have.
    :ivar optional: the arguments that it may have.
    """

    decide: Callable[..., Event | list[Event]] | None
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


#: Every operation that a request may name.
OPERATIONS: Final = {
    INITIALIZE: _Operation(None, (), ("force",)),
    "set_phase": _Operation(
        _set_phase, ("phase",), ("force", "reason", *(setting.name for setting in SETTINGS))
    ),
    "add_processed_container": _Operation(add_processed_container, ("name", "container_id")),
    "add_preserved_data": _Operation(add_preserved_data, ("key", "backup_path")),
    "add_native_process": _Operation(add_native_process, ("name",), ("process_id",)),
    VERDICT: _Operation(
        _add_validation_result, ("component", "test_name", "passed"), ("error_message", "reason")
    ),
    "set_rollback_availability": _Operation(set_rollback_availability, ("available",)),
    "set_error": _Operation(set_error, ("message",)),
    "clear_error": _Operation(clear_error),
    FORGET: _Operation(forget_validation, ("component", "test_name", "reason")),
    ACCEPT: _Operation(accept_record, ("by", "reason")),
    "write_audit": _Operation(write_audit, ("action", "details"), ("level",)),
}


class Request(NamedTuple):
    """A request whose operation exists and whose arguments are complete. The operation checks the values."""

    operation: str
    arguments: JsonObject

    def decide(
        self, document: Document, now: str, context_of: Callable[[Document], Context], actor: str
    ) -> list[Event]:
        """Return the events that the request becomes.

        :param context_of: returns the gate's context for a document.
        :param actor: who makes the request, as the entries of the log name it.
        :raises MigrationStateError: the operation refuses it.
        """
        decide = OPERATIONS[self.operation].decide
        assert decide is not None
        more: JsonObject = {}
        if self.operation in {"set_phase", FORGET}:
            more["context"] = context_of(document)
        elif self.operation == VERDICT:
            more["actor"] = actor
        decided = decide(document, now, **more, **self.arguments)
        return decided if isinstance(decided, list) else [decided]


def parse_request(request: Mapping[str, Any]) -> Request:
    """Return ``request`` with its names checked. An argument that is ``None`` counts as not given.

    :raises InvalidArgumentError: there is no such operation, or an argument is missing or unknown.
    """
    if not isinstance(request, Mapping):
        raise InvalidArgumentError(
            "operation", request, "it must be an object with 'operation' and its arguments"
        )
    arguments = {name: value for name, value in request.items() if value is not None}
    operation = _known_operation(arguments.pop("operation", None))
    _, required, optional = OPERATIONS[operation]
    if missing := [name for name in required if name not in arguments]:
        raise InvalidArgumentError("operation", operation, f"its argument '{missing[0]}' is missing")
    if unknown := [name for name in request if name not in ("operation", *required, *optional)]:
        known = ", ".join(required + optional)
        problem = f"it has no argument {str(unknown[0])[:80]!r}; its arguments are {known}"
        raise InvalidArgumentError("operation", operation, problem)
    return Request(operation, arguments)


def _known_operation(operation: object) -> str:
    """Return the name of an operation.

    :raises InvalidArgumentError: it is missing, or there is none of that name.
    """
    one_of = f"it must be one of {', '.join(OPERATIONS)}"
    if operation is None:
        raise InvalidArgumentError("operation", "", f"it is missing; {one_of}")
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise InvalidArgumentError("operation", operation, one_of)
    return operation
