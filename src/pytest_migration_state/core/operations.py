"""The operations on a migration by name: what each may be given, when it is refused, and the event that it becomes.

The methods of :class:`~pytest_migration_state.core.tracker.MigrationTracker`, the commands of the command line and the
lines of ``apply`` are these functions and nothing else, so that the three cannot drift apart. Pure: each decides on the
document that it is handed.

A request is an operation's name and its arguments in one mapping, as a line of JSON can hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.core import events
from pytest_migration_state.core.document import clashing_key, open_runs
from pytest_migration_state.core.errors import GateBlockedError, InvalidArgumentError, MigrationStateError
from pytest_migration_state.core.gate import BACKUP, COLLECTION, RESERVED, Context, Policy, evaluate, run_name
from pytest_migration_state.core.phases import FINAL_PHASES, Phase, check_transition
from pytest_migration_state.core.text import storable

if TYPE_CHECKING:
    from pytest_migration_state.core.backup import Finding
    from pytest_migration_state.core.document import Document, JsonObject
    from pytest_migration_state.core.events import Event

#: The operations that a request may name, each with the arguments that it must be given and those that it may be given.
OPERATIONS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "initialize": ((), ("force",)),
    "set_phase": (("phase",), ("force", "reason", "require", "allow")),
    "add_processed_container": (("name", "container_id"), ()),
    "add_preserved_data": (("key", "backup_path"), ()),
    "add_native_process": (("name",), ("process_id",)),
    "add_validation_result": (("component", "test_name", "passed"), ("error_message",)),
    "set_rollback_availability": (("available",), ()),
    "set_error": (("message",), ()),
    "forget_validation": (("component", "test_name", "reason"), ()),
    "write_audit": (("action", "details"), ("level",)),
}
#: Windows counts processes in 32 bits, and no other system counts further.
_HIGHEST_PROCESS_ID: Final = 2**32 - 1


def checked(request: Mapping[str, Any]) -> tuple[str, JsonObject]:
    """The operation that ``request`` names, and its arguments. ``None`` counts as not given.

    :raises InvalidArgumentError: there is no such operation, or an argument is missing or unknown. What the arguments hold
        is judged by the operation.
    """
    if not isinstance(request, Mapping):
        raise InvalidArgumentError("operation", request, "it must be an object with 'operation' and its arguments")
    arguments = {name: value for name, value in request.items() if value is not None}
    operation = arguments.pop("operation", None)
    if operation is None:
        raise InvalidArgumentError("operation", "", f"it is missing; it is one of {', '.join(OPERATIONS)}")
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise InvalidArgumentError("operation", operation, f"it is one of {', '.join(OPERATIONS)}")
    required, optional = OPERATIONS[operation]
    for name in required:
        if name not in arguments:
            raise InvalidArgumentError("operation", operation, f"its argument '{name}' is missing")
    for name in request:
        if name != "operation" and name not in required and name not in optional:
            known = ", ".join(required + optional)
            raise InvalidArgumentError("operation", operation, f"it has no argument {str(name)[:80]!r}; its arguments are {known}")
    return operation, arguments


def gate_policy(require: object = (), allow: object = ()) -> Policy:
    """The policy that two lists of texts make: components that must have a verdict, and reasons that may pass.

    :raises InvalidArgumentError: one is no list of texts, or a reason cannot be allowed.
    """
    return Policy(tuple(_names("require", require)), frozenset(_names("allow", allow)))


def _name(argument: str, value: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(argument, value, "it must be text")
    if not value.strip():
        raise InvalidArgumentError(argument, value, "it must not be empty")
    return storable(value)


def component_name(argument: str, value: str) -> str:
    """The name of a component, as it is stored.

    :raises InvalidArgumentError: it is empty, or one of those under which we keep records of our own.
    """
    name = _name(argument, value)
    if name.strip() in RESERVED:
        raise InvalidArgumentError(argument, value, "the name is reserved for what belongs to no component; choose another")
    return name


def _text(argument: str, value: str | None) -> str:
    if value is not None and not isinstance(value, str):
        raise InvalidArgumentError(argument, value, "it must be text")
    return storable(value or "")


def _names(argument: str, value: object) -> list[str]:
    if not isinstance(value, list | tuple):
        raise InvalidArgumentError(argument, value, "it must be a list of texts")
    return [_name(argument, name) for name in value]


def truth(argument: str, value: bool) -> bool:
    """``value``, if it is true or false.

    :raises InvalidArgumentError: it is something else.
    """
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
    context: Context | None = None,
) -> Event:
    current, requested = document.phase, Phase.of(phase)
    force, reason = truth("force", force), _text("reason", reason)
    refusal: MigrationStateError | None = None
    try:
        check_transition(current, requested, rollback_available=document.rollback_available)
        if requested is Phase.COMPLETED and not (result := evaluate(document, policy, context)).open:
            raise GateBlockedError(result.blockers)
    except MigrationStateError as error:
        if not force:
            raise
        refusal = error
    forced = reason if refusal else None
    metadata: JsonObject = {}
    if requested is Phase.COMPLETED and not refusal and policy and policy != Policy():
        metadata["completed_with"] = policy.to_object()
    elif "completed_with" in document.metadata:
        metadata["completed_with"] = None
    return events.phase_changed(now, current, requested, final=requested in FINAL_PHASES, forced=forced, metadata=metadata)


def add_processed_container(document: Document, now: str, name: str, container_id: str) -> Event:
    return events.container_removed(now, _name("name", name), _name("container_id", container_id))


def add_preserved_data(document: Document, now: str, key: str, backup_path: str) -> Event:
    key = _name("key", key)
    if other := clashing_key(document.fields["data_preserved"], key):
        raise InvalidArgumentError("key", key, f"'{other}' is there already, and PowerShell could not tell the two apart")
    return events.data_preserved(key, _name("backup_path", backup_path))


def add_native_process(document: Document, now: str, name: str, process_id: int | None = None) -> Event:
    if process_id is not None and (type(process_id) is not int or not 0 < process_id <= _HIGHEST_PROCESS_ID):
        raise InvalidArgumentError("process_id", process_id, f"it must be a whole number from 1 to {_HIGHEST_PROCESS_ID}")
    return events.process_started(now, _name("name", name), process_id)


def add_validation_result(
    document: Document, now: str, component: str, test_name: str, passed: bool, error_message: str | None = None
) -> Event:
    passed = truth("passed", passed)
    message = _text("error_message", error_message) or None
    return events.verdict_given(now, component_name("component", component), _name("test_name", test_name), passed, message)


def set_rollback_availability(document: Document, now: str, available: bool) -> Event:
    return events.rollback_set(truth("available", available))


def set_error(document: Document, now: str, message: str) -> Event:
    return events.error_set(now, _name("message", message))


def forget_validation(document: Document, now: str, component: str, test_name: str, reason: str) -> Event:
    key = _name("component", component), _name("test_name", test_name)
    for run_id in open_runs(document):
        if key == (COLLECTION, run_name(run_id)):
            return events.run_forgotten(run_id, _name("reason", reason))
    if key not in document.verdicts and key not in document.outstanding:
        raise InvalidArgumentError(
            "test_name", test_name, f"'{component}' has neither a verdict nor an outstanding validation of this name"
        )
    return events.forgotten(*key, _name("reason", reason))


def write_audit(document: Document, now: str, action: str, details: str, level: str = "INFO") -> Event:
    if level not in events.LEVELS:
        raise InvalidArgumentError("level", level, f"it is one of {', '.join(events.LEVELS)}")
    return events.Event(_name("action", action), _text("details", details), {}, level)


def import_backup(document: Document, now: str, finding: Finding) -> Event:
    """Not for requests: what it is given is found in files, see :mod:`~pytest_migration_state.core.backup`."""
    preserved = add_preserved_data(document, now, f"{finding.container}-backup", finding.folder) if finding.passed else None
    verdict = add_validation_result(document, now, finding.container, BACKUP, finding.passed, "; ".join(finding.reasons))
    return events.backup_imported(storable(finding.folder), verdict, preserved, {"files": finding.files, "bytes": finding.size})
