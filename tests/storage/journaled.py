"""Runs with verdicts in their journals, for tests: what they record, what comes in between, what is left."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from powershell_writer import PowerShellWriter
from pytest_migration_state import MigrationTracker
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.storage.files import document_file, log_file, run_journal
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.log_file import LogFile
from pytest_migration_state.text import utc_now
from pytest_migration_state.tracking.run_writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "7f3c7f3c7f3c7f3c"
KEY = ("guardian-hive", "test_it")
OTHER = "a5a5a5a5a5a5a5a5"


def begun(path: Path, run_id: str = RUN, *keys: tuple[str, str]) -> RunWriter:
    run = RunWriter(path, run_id, notify=lambda _: None)
    run.open(lambda _: None, {}, "all")
    run.plan(RunPlan([outstanding(utc_now(), key, "pending") for key in keys or (KEY,)]))
    return run


def verdict(*, passed: bool = True, test_name: str = KEY[1], run_id: str = RUN) -> Verdict:
    return Verdict((KEY[0], test_name), passed, run_id=run_id)


def journal_of(path: Path, run_id: str = RUN) -> Path:
    return path.with_name(f"{path.name}.run-{run_id}")


def kept(path: Path, kind: str = "journal") -> list[Path]:
    return list(path.parent.glob(f"{path.name}.{kind}-*"))


def tracker(path: Path) -> MigrationTracker:
    return MigrationTracker(path, notify=lambda _: None)


def killed(run: RunWriter) -> None:
    """Leave the files as a killed process leaves them."""
    log = run._log
    assert log is not None
    log._files.close()  # type: ignore[attr-defined]


def blockers(path: Path) -> list[str]:
    return [blocker.kind for blocker in tracker(path).gate().blockers]


# --- what comes in between --------------------------------------------------------------------------------


@contextmanager
def appended_in_between(run: RunWriter, late: Verdict) -> Iterator[None]:
    """Have a run record a verdict after another writer has read the journals, and before it appends."""
    waiting = [late]
    append = AuditLogFile.append

    def first_the_run(*arguments: object) -> list[bytes]:
        if waiting:
            run.verdict(waiting.pop())
        return append(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AuditLogFile, "append", first_the_run)
        yield
    assert not waiting


@contextmanager
def line_in_the_commit(path: Path) -> Iterator[None]:
    """Another program adds a line between reading and appending, once."""
    append = AuditLogFile.append
    waiting = [None]

    def after_a_line(*arguments: object) -> list[bytes]:
        if waiting:
            waiting.pop()
            PowerShellWriter(path).container("c", "id")
        return append(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AuditLogFile, "append", after_a_line)
        yield


@contextmanager
def log_busy() -> Iterator[None]:
    """Another program keeps the log locked for too long."""

    def refuse(_: LogFile) -> None:
        raise OSError(errno.EAGAIN, "another program keeps it locked")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LogFile, "lock", refuse)
        yield


@contextmanager
def full_disk(*, journal: bool = True) -> Iterator[None]:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_file, "os_write", refuse)
        patch.setattr(document_file, "write_temporary", refuse)
        if journal:
            patch.setattr(run_journal, "os_write", refuse)
        yield
