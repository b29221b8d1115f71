"""The state as users see it: frozen, typed, with times as :class:`~datetime.datetime` in UTC.

Loaded only when a :class:`MigrationState` is asked for. The shape of a document is checked in
:mod:`~pytest_migration_state.core.document`; what passes there passes here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.text import parse_time


def _moment(value: object) -> object:
    return parse_time(value).astimezone(UTC) if isinstance(value, str) else value


def _message(value: object) -> object:
    """PowerShell writes the error message of a passed test as an empty string."""
    return value or None


def _text(value: object) -> object:
    """Other tools leave null where a path is not known."""
    return "" if value is None else value


Moment = Annotated[datetime, BeforeValidator(_moment)]
Message = Annotated[str | None, BeforeValidator(_message)]


class _Record(BaseModel):
    """Keys that we do not know are kept (``model_extra``)."""

    model_config = ConfigDict(frozen=True, extra="allow")


class RemovedContainer(_Record):
    """A container that was taken out of service.

    :ivar id: the container's id, as the container engine prints it.
    :ivar removed_at: when it was recorded as removed, UTC.
    """

    name: str
    id: str | None = None
    removed_at: Moment | None = None


class NativeProcess(_Record):
    """A process that was started in place of a container.

    :ivar process_id: the operating system's id of it, where it is known.
    :ivar started_at: when it was recorded as started, UTC.
    """

    name: str
    process_id: int | None = None
    started_at: Moment | None = None


class ValidationResult(_Record):
    """The newest verdict of one validation.

    :ivar passed: the verdict.
    :ivar error_message: why it failed, where it did and a reason is known.
    :ivar tested_at: when the test ended, UTC.
    :ivar outcome: what pytest called it (``passed``, ``failed``, ``xfailed``), where pytest recorded it.
    :ivar duration_seconds: setup, call and teardown together, in seconds.
    :ivar run_id: the run that recorded it, where one did.
    :ivar attempts: how often the test was run in that run, where it was more than once.
    """

    component: str
    test_name: str
    passed: bool
    error_message: Message = None
    tested_at: Moment | None = None
    outcome: str | None = None
    duration_seconds: float | None = None
    run_id: str | None = None
    attempts: int | None = None


class OutstandingValidation(_Record):
    """A validation that is known and has no verdict.

    :ivar reason: why it has none.
    :ivar since: since when, UTC. A verdict that is newer settles it.
    :ivar detail: more about the reason, where there is something to say.
    """

    component: str
    test_name: str
    reason: Literal["pending", "deselected", "skipped", "collection_error"]
    since: Moment | None = None
    detail: str | None = None


class ErrorRecord(_Record):
    """The error that an operator recorded.

    :ivar occurred_at: when it was recorded, UTC.
    """

    message: str | None = None
    occurred_at: Moment | None = None


class AuditPosition(_Record):
    """The last entry of the audit log that a document contains.

    :ivar seq: the entry's number, counted from 1.
    :ivar hash: the entry's SHA-256, in lower-case hex.
    """

    seq: int
    hash: str


class Metadata(_Record):
    """What a state is, rather than where it stands.

    :ivar platform: ``windows``, ``linux`` or ``macos``.
    :ivar revision: how many changes the document has seen, counted from 1.
    """

    version: str | None = Field(default=None, coerce_numbers_to_str=True)
    migration_type: str | None = None
    platform: str | None = None
    migration_id: str | None = None
    revision: int | None = None
    audit: AuditPosition | None = None


class MigrationState(_Record):
    """Where a migration stands: a snapshot that no longer changes.

    :ivar started_at: when the migration was initialized, UTC.
    :ivar completed_at: when it reached Completed or RolledBack, UTC; ``None`` before.
    :ivar last_updated: when the newest change was made, UTC.
    :ivar data_preserved: where each piece of data was saved, by its key.
    :ivar validation_results: the verdicts. Another tool may have left several of one validation: the last counts.
    :ivar rollback_available: whether → RolledBack is allowed.
    :ivar error: what an operator recorded with ``set_error``.
    """

    phase: Phase
    started_at: Moment | None = None
    completed_at: Moment | None = None
    last_updated: Moment | None = None
    docker_containers_removed: tuple[RemovedContainer, ...] = ()
    data_preserved: dict[str, Annotated[str, BeforeValidator(_text)]] = Field(default_factory=dict)
    native_processes_started: tuple[NativeProcess, ...] = ()
    validation_results: tuple[ValidationResult, ...] = ()
    rollback_available: bool | None = True
    error: ErrorRecord | None = None
    metadata: Metadata = Metadata()
    outstanding_validations: tuple[OutstandingValidation, ...] = ()


class AuditEntry(_Record):
    """One line of the audit log. Those of other writers have the first four fields alone.

    :ivar timestamp: when it was written, UTC.
    :ivar level: INFO, WARNING or ERROR.
    :ivar seq: the entry's number, counted from 1.
    :ivar run_id: the run that it belongs to, where it belongs to one.
    :ivar actor: who wrote it, ``user@host``.
    :ivar data: what it changed in the document.
    :ivar hash: SHA-256 that chains it to the entry before it, in lower-case hex.
    """

    timestamp: Moment | None = None
    level: str | None = None
    action: str | None = None
    details: str | None = None
    seq: int | None = None
    run_id: str | None = None
    actor: str | None = None
    data: dict[str, Any] | None = None
    hash: str | None = None

    @classmethod
    def of(cls, line: dict[str, Any]) -> AuditEntry:
        """The entry that ``line`` holds. What another tool wrote in its own way (a time that is none) stays as it is."""
        try:
            return cls.model_validate(line)
        except ValidationError:
            return cls.model_construct(None, **line)
