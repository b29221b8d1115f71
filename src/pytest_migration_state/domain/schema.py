"""The shape of a state document: the type of each key, and the meaning of a missing key.

The variants that other tools write are accepted: ``null`` for a list, a bare object for a list of one, and
Windows PowerShell 5.1's ``{"value": […], "Count": N}``. The shape is checked here by hand and not by
:mod:`~pytest_migration_state.models`, because loading pydantic's models takes longer than everything else in
a command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.text import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_migration_state.types import JsonObject

#: The version of the document format that this package writes.
FORMAT_VERSION: Final = "1.0"
#: The version of a document with something that the gate needs and that version 1 would pass over, such as
#: ``stale_since`` or ``lost_entries``. It is the newest version that this package knows.
NEWEST_VERSION: Final = "2.0"
#: The reasons for which a validation is outstanding.
REASONS: Final = ("pending", "deselected", "skipped", "collection_error")
#: The keys of a document in their order in the file.
KEYS: Final = (
    "phase", "started_at", "completed_at", "last_updated", "docker_containers_removed", "data_preserved",
    "native_processes_started", "validation_results", "rollback_available", "error", "metadata",
    "outstanding_validations",
)  # fmt: skip


class NewerVersionError(ValueError):
    """The major version of the document is higher than that of :data:`NEWEST_VERSION`."""


# --- types of values ----------------------------------------------------------------------------------------


class _Type(NamedTuple):
    """The type of a value.

    :ivar name: what is expected, in words.
    :ivar accepts: whether a value has this type.
    """

    name: str
    accepts: Callable[[object], bool]


def _is_time(value: object) -> bool:
    if value is None:
        return True
    if not isinstance(value, str):
        return False
    try:
        parse_time(value)
    except ValueError:
        return False
    return True


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_override(value: object) -> bool:
    """Return True for the mark of an override, also one that PowerShell wrote as text."""
    if not isinstance(value, dict):
        return value is None or isinstance(value, str)
    return (
        _OPTIONAL_STRING.accepts(value.get("by"))
        and _TIME.accepts(value.get("at"))
        and _OPTIONAL_STRING.accepts(value.get("reason"))
    )


def _is_integer(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and type(value) is not bool and value % 1 == 0)


_STRING: Final = _Type("a string", lambda value: isinstance(value, str))
_OPTIONAL_STRING: Final = _Type("a string or null", lambda value: value is None or isinstance(value, str))
_TIME: Final = _Type("a time (ISO 8601) or null", _is_time)
_NUMBER: Final = _Type("a number or null", _is_number)
_INTEGER: Final = _Type("an integer or null", _is_integer)
_BOOLEAN: Final = _Type("true or false", lambda value: isinstance(value, bool))
_OVERRIDE: Final = _Type("an object with 'by', 'at' and 'reason', or null", _is_override)
_REASON: Final = _Type(f"one of {', '.join(REASONS)}", REASONS.__contains__)


class _Item(NamedTuple):
    """The shape of the objects in a list.

    :ivar types: the type of each known key.
    :ivar required: the keys that must be present; the others may be missing or null.
    :ivar time: the key of an item's time, in a list that events append to.
    :ivar action: the action of the log line about an item of such a list.
    :ivar worded: the keys of the values that the line names.
    """

    types: dict[str, _Type]
    required: frozenset[str]
    time: str = ""
    action: str = ""
    worded: tuple[str, ...] = ()


_ITEMS: Final[dict[str, _Item]] = {
    "docker_containers_removed": _Item(
        {"name": _STRING, "id": _OPTIONAL_STRING, "removed_at": _TIME}, frozenset({"name"}),
        time="removed_at", action="ContainerProcessed", worded=("name", "id"),
    ),
    "native_processes_started": _Item(
        {"name": _STRING, "process_id": _INTEGER, "started_at": _TIME}, frozenset({"name"}),
        time="started_at", action="ProcessStarted", worded=("name",),
    ),
    "validation_results": _Item(
        {
            "component": _STRING, "test_name": _STRING, "passed": _BOOLEAN, "error_message": _OPTIONAL_STRING,
            "tested_at": _TIME, "outcome": _OPTIONAL_STRING, "duration_seconds": _NUMBER,
            "run_id": _OPTIONAL_STRING, "attempts": _INTEGER, "stale_since": _TIME, "overridden": _OVERRIDE,
            "detail": _OPTIONAL_STRING,
        },
        frozenset({"component", "test_name", "passed"}),
    ),
    "outstanding_validations": _Item(
        {
            "component": _STRING, "test_name": _STRING, "reason": _REASON, "since": _TIME,
            "detail": _OPTIONAL_STRING,
        },
        frozenset({"component", "test_name", "reason"}),
    ),
}  # fmt: skip
#: The keys of a document that hold lists.
LISTS: Final = tuple(_ITEMS)
#: The lists that events append to.
APPENDED: Final = {name: item for name, item in _ITEMS.items() if item.time}


# --- checking -----------------------------------------------------------------------------------------------


def complete(fields: JsonObject) -> None:
    """Check the known keys of a decoded document, and add the missing ones with their initial values.

    :raises ValueError: a known key has a value of another type; the message names both.
    :raises NewerVersionError: the document was written by a newer version of the format.
    """
    _complete_metadata(fields)
    _check_phase(fields.get("phase"))
    for key in ("started_at", "completed_at", "last_updated"):
        _check("", key, fields.setdefault(key, None), _TIME)
    if fields.setdefault("rollback_available", True) not in (True, False, None):
        raise ValueError(f"'rollback_available' is {fields['rollback_available']!r}; expected true or false")
    _check_error(fields.setdefault("error", None))
    preserved = fields["data_preserved"] = fields.get("data_preserved") or {}
    if not isinstance(preserved, dict) or not all(map(_OPTIONAL_STRING.accepts, preserved.values())):
        raise ValueError("'data_preserved' is not an object of strings")
    for key in LISTS:
        fields[key] = _as_list(key, fields.get(key))
        _check_items(key, fields[key])


def _complete_metadata(fields: JsonObject) -> None:
    if fields.get("metadata") is None:
        fields["metadata"] = {}
    metadata = fields["metadata"]
    if not isinstance(metadata, dict):
        raise ValueError(f"'metadata' is {metadata!r}; expected an object")
    _check_version(metadata.get("version"))
    _check_metadata(metadata)


def _check_phase(phase: object) -> None:
    if phase not in tuple(Phase):
        raise ValueError(f"'phase' is {phase!r}; expected one of {', '.join(Phase)}")


def _check(where: str, key: str, value: object, expected: _Type) -> None:
    if not expected.accepts(value):
        raise ValueError(f"'{where}{key}' is {value!r}; expected {expected.name}")


def _check_version(version: object) -> None:
    if version is None:
        return
    major = str(version).partition(".")[0]
    if not major.isdecimal():
        raise ValueError(f"'metadata.version' is {version!r}; expected a version such as {FORMAT_VERSION}")
    if int(major) > int(NEWEST_VERSION.partition(".")[0]):
        raise NewerVersionError(str(version))


def raised_version(metadata: JsonObject) -> JsonObject:
    """Return the change of the metadata after which programs that know only version 1 refuse the document."""
    newest_major = NEWEST_VERSION.partition(".")[0]
    is_raised = str(metadata.get("version")).partition(".")[0] == newest_major
    return {} if is_raised else {"version": NEWEST_VERSION}


def _check_metadata(metadata: JsonObject) -> None:
    audit = metadata.get("audit")
    if audit is not None and not _is_position(audit):
        raise ValueError(f"'metadata.audit' is {audit!r}; expected an object with 'seq' and 'hash'")
    revision = metadata.get("revision")
    if revision is not None and type(revision) is not int:
        raise ValueError(f"'metadata.revision' is {revision!r}; expected an integer")


def _is_position(audit: object) -> bool:
    if not isinstance(audit, dict):
        return False
    return type(audit.get("seq")) is int and audit["seq"] >= 0 and isinstance(audit.get("hash"), str)


def _check_error(error: object) -> None:
    if error is None:
        return
    is_valid = (
        isinstance(error, dict)
        and _OPTIONAL_STRING.accepts(error.get("message"))
        and _TIME.accepts(error.get("occurred_at"))
    )
    if not is_valid:
        raise ValueError(f"'error' is {error!r}; expected null or an object with 'message' and 'occurred_at'")


def _as_list(key: str, value: object) -> list[Any]:
    """Return a list, whichever variant another tool wrote."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"'{key}' is {value!r}; expected a list")
    if value.keys() == {"value", "Count"} and isinstance(value["value"], list):
        return value["value"]
    return [value] if value else []


def _check_items(key: str, items: list[Any]) -> None:
    types, required = _ITEMS[key].types, _ITEMS[key].required
    checks = types.items()
    for item in items:
        if not isinstance(item, dict) or not item.keys() >= required:
            where = f"{key}[{_index(items, item)}]"
            expected = ", ".join(sorted(required))
            raise ValueError(f"'{where}' is {str(item)[:80]!r}; expected an object with {expected}")
        for name, expected_type in checks:
            value = item.get(name)
            if value is None and name not in required:
                continue
            if not expected_type.accepts(value):
                _check(f"{key}[{_index(items, item)}].", name, value, expected_type)


def _index(items: list[Any], item: object) -> int:
    return next(index for index, other in enumerate(items) if other is item)
