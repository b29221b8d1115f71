"""A migration that another program begins while one of our commands writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state import MigrationTracker
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.checkpoint import Checkpoint
from state_files import DOCUMENT, in_validation, log_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def tracker(tmp_path: Path, notices: list[str]) -> MigrationTracker:
    in_validation(tmp_path / DOCUMENT).close()
    return MigrationTracker(tmp_path / DOCUMENT, notify=notices.append)


def begin(path: Path) -> None:
    """Begin a migration as another program does."""
    path.write_text('{"phase": "NotStarted", "started_at": "2099-01-15T09:00:00Z"}', encoding="utf-8")


def add_line(path: Path) -> None:
    line = {"timestamp": "2099-01-15T09:00:01Z", "level": "INFO", "action": "Note", "details": "x"}
    with log_of(path).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def first(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, times: int, action: Callable[[], None]
) -> None:
    """Have ``action`` happen before each of the first calls of a method."""
    original, left = getattr(owner, name), iter(range(times))

    def method(*arguments: Any) -> Any:
        if next(left, None) is not None:
            action()
        return original(*arguments)

    monkeypatch.setattr(owner, name, method)


def test_beginning_found_at_the_checkpoint_is_told(
    tracker: MigrationTracker, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict of the command is that of a migration that is no more: it must not look like a success."""
    first(monkeypatch, Checkpoint, "write", 1, lambda: begin(tracker.path))
    tracker.add_validation_result("guardian-hive", "t", passed=False)
    kept, begun = notices
    assert "the earlier document is kept as migration-state.json.replaced-" in kept
    assert "initialized by another program; the migration before it was in phase Validation" in begun


def test_migration_is_kept_and_told_once_however_often_the_state_is_read(
    tracker: MigrationTracker, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tracker.path)
    first(monkeypatch, AuditLogFile, "append", 3, lambda: add_line(tracker.path))
    tracker.write_audit("Note", "x")
    assert len(notices) == len({*notices}) == 2
    assert len([*tracker.path.parent.glob("*.replaced-*")]) == 1
