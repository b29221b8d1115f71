"""Verdicts that could not be written when they happened, not even to the journal of their run.

What others recorded meanwhile stays.
"""

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
from pytest_migration_state.errors import StateLockedError, StateWriteError
from pytest_migration_state.storage.files import document_file, log_file, run_journal
from pytest_migration_state.storage.files.lock import StateLock
from pytest_migration_state.text import utc_now
from pytest_migration_state.tracking.run_writer import RunWriter
from state_files import DOCUMENT, in_validation, log_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

TEST = ("guardian-hive", "test_it")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / DOCUMENT
    in_validation(path).close()
    return path


def no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def lock_held() -> Iterator[None]:
    """Another process holds the state's lock for too long, and the journal cannot be written."""

    def refuse(_: StateLock) -> None:
        raise StateLockedError("migration-state.json.lock", 0.0, "another process")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StateLock, "acquire", refuse)
        patch.setattr(run_journal, "os_write", no_space)
        yield


@contextmanager
def full_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_file, "os_write", no_space)
        patch.setattr(run_journal, "os_write", no_space)
        patch.setattr(document_file, "write_temporary", no_space)
        yield


def another_program(path: Path) -> None:
    PowerShellWriter(path).result(*TEST, "false", "seen by an operator")


def another_run(path: Path) -> None:
    other = RunWriter(path, "other", notify=lambda _: None)
    other.open(lambda _: None, {})
    other.verdict(Verdict(TEST, passed=False, run_id="other"))
    other.finish(1, {})
    other.close()


def beginning_a_run(path: Path) -> RunWriter:
    run = RunWriter(path, "run", notify=lambda _: None)
    run.open(lambda _: None, {})
    run.plan(RunPlan([outstanding(utc_now(), TEST, "pending")]))
    return run


@pytest.mark.parametrize("meanwhile", [another_program, another_run])
@pytest.mark.parametrize("obstacle", [lock_held, full_disk])
def test_a_pass_that_is_written_late_does_not_replace_a_failure_that_came_meanwhile(
    path: Path, obstacle: Callable[[], AbstractContextManager[None]], meanwhile: Callable[[Path], None]
) -> None:
    run = beginning_a_run(path)
    with obstacle():
        run.verdict(Verdict(TEST, passed=True, run_id="run"))
        assert run.failure is not None
    meanwhile(path)
    run.finish(0, {})
    run.close()
    assert run.failure is None
    tracker = MigrationTracker(path)
    (verdict,) = tracker.state.validation_results
    assert not verdict.passed
    assert not tracker.gate().open
    # What another program did is put on record behind what the run did.
    is_overtaken = meanwhile is another_run or obstacle is full_disk
    assert ("PASSED, but it counts for nothing" in log_of(path).read_text()) == is_overtaken
    assert tracker.verify().sound


def a_process_by_powershell(path: Path) -> None:
    PowerShellWriter(path).process(TEST[0], "222")


def a_process_by_us(path: Path) -> None:
    MigrationTracker(path).add_native_process(TEST[0], process_id=222)


@pytest.mark.parametrize("meanwhile", [a_process_by_powershell, a_process_by_us])
@pytest.mark.parametrize("obstacle", [lock_held, full_disk])
def test_a_pass_that_is_written_late_says_nothing_about_a_process_that_came_meanwhile(
    path: Path, obstacle: Callable[[], AbstractContextManager[None]], meanwhile: Callable[[Path], None]
) -> None:
    """It was about the process before. That of another component does not matter."""
    MigrationTracker(path).add_native_process(TEST[0], process_id=111)
    run = beginning_a_run(path)
    with obstacle():
        run.verdict(Verdict(TEST, passed=True, run_id="run"))
    MigrationTracker(path).add_native_process("other", process_id=333)
    meanwhile(path)
    run.finish(0, {})
    run.close()
    assert run.failure is None
    tracker = MigrationTracker(path)
    assert not tracker.gate().open
    is_overtaken = meanwhile is a_process_by_us or obstacle is full_disk
    assert ("or a newer process, was recorded meanwhile" in log_of(path).read_text()) == is_overtaken
    assert [bool(one.stale_since) for one in tracker.state.validation_results] == [True] * (not is_overtaken)
    assert tracker.verify().sound


@pytest.mark.parametrize("obstacle", [lock_held, full_disk])
def test_a_pass_that_is_written_late_counts_for_the_process_that_it_knew(
    path: Path, obstacle: Callable[[], AbstractContextManager[None]]
) -> None:
    MigrationTracker(path).add_native_process(TEST[0], process_id=111)
    run = beginning_a_run(path)
    with obstacle():
        run.verdict(Verdict(TEST, passed=True, run_id="run"))
    run.finish(0, {})
    run.close()
    assert MigrationTracker(path).gate().open


@pytest.mark.parametrize("obstacle", [lock_held, full_disk])
def test_a_pass_that_is_written_late_replaces_the_failure_that_it_knew(
    path: Path, obstacle: Callable[[], AbstractContextManager[None]]
) -> None:
    """The run itself recorded it, or somebody else did before."""
    another_program(path)
    run = RunWriter(path, "run", notify=lambda _: None)
    run.open(lambda _: None, {})
    with obstacle():
        run.verdict(Verdict(TEST, passed=True, run_id="run"))
    run.finish(0, {})
    run.close()
    assert [verdict.passed for verdict in MigrationTracker(path).state.validation_results] == [True]


def test_a_run_that_cannot_begin_leaves_nothing_that_waits_for_it(path: Path) -> None:
    """The log takes its beginning and the document cannot be written, as in a folder that is read-only."""
    MigrationTracker(path).add_validation_result("c", "t", passed=True)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_file, "write_temporary", refuse)
        run = RunWriter(path, "run", notify=lambda _: None)
        with pytest.raises(StateWriteError):
            run.open(lambda _: None, {})
        run.close()
    tracker = MigrationTracker(path)
    assert [entry.action for entry in tracker.read_audit(last=2)] == ["RunStarted", "RunFinished"]
    assert not tracker.read().open_runs
    assert tracker.gate().open
