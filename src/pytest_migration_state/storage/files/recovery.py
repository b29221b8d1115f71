"""Bringing a document up to date from the audit log, and rebuilding a lost one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_migration_state.domain import events
from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.errors import StateDamagedError
from pytest_migration_state.storage.files.paths import unreadable
from pytest_migration_state.storage.records import Position, gap_position

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.files.audit_log import AuditLogFile
    from pytest_migration_state.storage.files.paths import StatePaths
    from pytest_migration_state.storage.records import Entry


def replay(document: Document, entries: Iterable[Entry]) -> None:
    """Apply entries of the log to ``document``."""
    for entry in entries:
        events.apply(document, entry.data, entry.timestamp)


def apply_all(document: Document, dated_events: Iterable[tuple[Event, str]]) -> None:
    """Apply events with their timestamps to ``document``."""
    for event, timestamp in dated_events:
        events.apply(document, event.data, timestamp)


def bring_up_to_date(
    paths: StatePaths, log: AuditLogFile, document: Document | None
) -> tuple[Document, str | None]:
    """Return the document with what the log has behind it, and what the log lacks, in words.

    :param document: the document as it was read; ``None`` if there is none, and it is rebuilt.
    :raises StateNotFoundError: there is neither a document nor a log.
    :raises StateDamagedError: the log cannot be used.
    """
    if document is None:
        return _rebuilt(paths, log), None
    try:
        if document.audit is None:
            log.seek_last()
            return document, None
        if not log.is_open and os.path.lexists(paths.log):
            # The log can be neither written nor read, as a warning has said: only the document is left.
            log.head = Position(*document.audit)
            return document, None
        gap = log.seek(Position(*document.audit), document.migration_id)
        if log.is_open:
            replay(document, log.read_new())
    except OSError as error:
        raise unreadable(paths.log, error) from error
    return document, gap


def _rebuilt(paths: StatePaths, log: AuditLogFile) -> Document:
    """Return the document as the log alone tells it.

    :raises StateDamagedError: the log does not tell all of it.
    """
    try:
        entries = log.read_new() if log.is_open else []
    except OSError as error:
        raise unreadable(paths.log, error) from error
    if not entries:
        if not log.is_open and os.path.lexists(paths.log):
            raise _cannot_rebuild(paths, "cannot be read")
        raise paths.not_found()
    begun = [index for index, entry in enumerate(entries) if "initialize" in entry.data]
    if not begun:
        raise _cannot_rebuild(paths, "does not reach back to its beginning")
    owner = entries[begun[-1]].data["initialize"].get("state")
    if owner != paths.document.name:
        reason = f"its audit log {paths.log.name} is that of {owner} in the same folder; give this state another name"
        raise StateDamagedError(str(paths.shown), reason)
    entries = entries[begun[-1] :]
    if any(
        gap_position(entry.data) or "unlogged_changes" in entry.data.get("metadata", {}) for entry in entries
    ):
        raise _cannot_rebuild(paths, "has lost entries, or was not writable at times")
    document = new_document(None, "", "")
    replay(document, entries)
    return document


def _cannot_rebuild(paths: StatePaths, why: str) -> StateDamagedError:
    missing = (
        f"the document is gone, and its audit log {paths.log.name}, which it could be rebuilt from, {why}"
    )
    fix = "restore the document from a copy, or begin again with 'migration-state init --force'"
    return StateDamagedError(str(paths.shown), f"{missing}; {fix}")
