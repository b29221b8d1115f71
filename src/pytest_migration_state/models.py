"""The state as users see it: frozen, typed, with times as :class:`~datetime.datetime` in UTC.

This module is loaded only when a :class:`MigrationState` is requested. The shape of a document is checked in
:mod:`~pytest_migration_state.domain.document`; a document that passes there is valid here too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pytest_migration_state.domain.override import mark_of
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.text import parse_time


def _moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    time = parse_time(value)
    try:
        return time.astimezone(UTC)
    except OverflowError:
        # The first and the last representable day cannot be converted to another time zone.
        return time


def _message(value: object) -> object:
    """Return ``None`` for an empty message: PowerShell writes one for a passed test."""
    return value or None


def _text(value: object) -> object:
    """Return an empty string for null: other tools write it for an unknown path."""
    return "" if value is None else value


def _override(value: object) -> object:
    return mark_of({"overridden": value})


Moment = Annotated[datetime, BeforeValidator(_moment)]
Message = Annotated[str | None, BeforeValidator(_message)]


class _Record(BaseModel):
    """A frozen record. Unknown keys are kept (``model_extra``)."""

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

    :ivar process_id: its id in the operating system, or ``None`` if unknown.
    :ivar started_at: when it was recorded as started, UTC.
    """

    name: str
    process_id: int | None = None
    started_at: Moment | None = None


class Override(_Record):
    """The mark of a verdict that no run recorded, in place of a failure that a run did record.

    :ivar by: who recorded it, ``user@host``.
    :ivar at: when, UTC.
    :ivar reason: why, or ``None`` if no reason was given.
    """

    by: str | None = None
    at: Moment | None = None
    reason: str | None = None


class ValidationResult(_Record):
    """The newest verdict of one validation.

    :ivar passed: the verdict.
    :ivar error_message: why it failed, or ``None``.
    :ivar tested_at: when the test ended, UTC.
    :ivar outcome: pytest's name for it (``passed``, ``failed``, ``xfailed``), or ``None`` if pytest did not
        record it.
    :ivar duration_seconds: setup, call and teardown together, in seconds.
    :ivar run_id: the run that recorded it, or ``None``.
    :ivar attempts: how often the test was run in that run, or ``None`` for once.
    :ivar stale_since: when a newer process of the component was recorded, UTC; ``None`` if the verdict is
        about the newest one.
    :ivar overridden: by whom, when and why it was recorded in place of a failure of a run, or ``None``.
    :ivar detail: the end of the traceback and the captured output of a failed test, or ``None``.
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
    stale_since: Moment | None = None
    overridden: Annotated[Override | None, BeforeValidator(_override)] = None
    detail: str | None = None


class OutstandingValidation(_Record):
    """A validation that is known and has no valid verdict.

    :ivar reason: why it has none.
    :ivar since: when it became outstanding, UTC.
    :ivar detail: more about the reason, or ``None``.
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
    """The metadata of a state.

    :ivar platform: ``windows``, ``linux`` or ``macos``.
    :ivar revision: how often the document was changed.
    """

    version: str | None = Field(default=None, coerce_numbers_to_str=True)
    migration_type: str | None = None
    platform: str | None = None
    migration_id: str | None = None
    revision: int | None = None
    audit: AuditPosition | None = None


class MigrationState(_Record):
    """The state of a migration: a snapshot that does not change.

    :ivar started_at: when the migration was initialized, UTC.
    :ivar completed_at: when it reached Completed or RolledBack, UTC; ``None`` before.
    :ivar last_updated: when the newest change was made, UTC.
    :ivar data_preserved: where each piece of data was saved, by key.
    :ivar validation_results: the verdicts. If another tool recorded several for one validation, the last
        counts.
    :ivar rollback_available: whether → RolledBack is allowed.
    :ivar error: the error that an operator recorded with ``set_error``.
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
    """One line of the audit log. Lines of other programs have only the first four fields, and ``log``.

    :ivar timestamp: when it was written, UTC.
    :ivar level: INFO, WARNING or ERROR.
    :ivar seq: the entry's number, counted from 1.
    :ivar run_id: the run that it belongs to, or ``None``.
    :ivar actor: who wrote it, ``user@host``.
    :ivar data: what it changed in the document.
    :ivar hash: the SHA-256 that chains it to the entry before, in lower-case hex.
    :ivar log: the log in which it is, if it may be about another state of the folder; ``None`` if it is not.
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
    log: str | None = None

    @classmethod
    def of(cls, line: dict[str, Any]) -> AuditEntry:
        """Return the entry in ``line``.

        Values of another type, written by another tool, are kept as they are.
        """
        try:
            return cls.model_validate(line)
        except ValidationError:
            return cls.model_construct(None, **line)
