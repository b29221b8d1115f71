"""Turning a checked backup into an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_migration_state.domain import events
from pytest_migration_state.domain.advice import BACKUP
from pytest_migration_state.domain.operations import add_preserved_data, add_validation_result
from pytest_migration_state.text import to_storable

if TYPE_CHECKING:
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.importers.backup.finding import BackupResult


def import_backup(document: Document, now: str, result: BackupResult) -> Event:
    """Return the event that records the backup of one container.

    :raises InvalidArgumentError: the key of its data differs from an existing one only in case, or its folder
        is a longer path than what is stored.
    """
    preserved = None
    if result.passed:
        preserved = add_preserved_data(document, now, f"{result.container}-backup", result.folder)
    reasons = "; ".join(result.reasons)
    verdict = add_validation_result(document, now, result.container, BACKUP, result.passed, reasons)
    checked = {"files": result.files, "bytes": result.size}
    return events.backup_imported(to_storable(result.folder), verdict, preserved, checked)
