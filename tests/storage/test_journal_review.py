"""What a run that is interrupted, busy files and other writers in between do to verdicts in a journal."""

from __future__ import annotations

import errno
import os
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from journaled import (
    KEY,
    OTHER,
    RUN,
    appended_in_between,
    begun,
    blockers,
    full_disk,
    journal_of,
    killed,
    line_in_the_commit,
    log_busy,
    tracker,
    verdict,
)

from powershell_writer import PowerShellWriter
from pytest_migration_state import MigrationTracker, StateDamagedError
from pytest_migration_state.domain import overtaken
from pytest_migration_state.domain.policy import Policy
from pytest_migration_state.errors import StateWriteError
from pytest_migration_state.storage.files import journals, run_journal, working_copy
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.dead_journals import remove_dead
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.storage.journal_records import VerdictRecord
from state_files import log_of, read
from windows_files import on_windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.tracking.run_writer import RunWriter

#: The open files of this process, on Linux.
FILES = Path("/proc/self/fd")


@contextmanager
def interrupted(owner: object, name: str) -> Iterator[None]:
    """Ctrl-C comes when this function is called."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, stop)
        with pytest.raises(KeyboardInterrupt):
            yield


def flush(run: RunWriter) -> None:
    """Have a run write a group now."""
    run._open_log._flush(1.0)  # type: ignore[attr-defined]


# --- what others recorded meanwhile -------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["a failure", "a withdrawal"])
def test_nothing_of_the_run_stands_for_the_failure_of_others(path: Path, run: RunWriter, first: str) -> None:
    """A late pass would replace it otherwise."""
    if first == "a failure":
        run.verdict(verdict(passed=False))
    else:
        run.withdraw(KEY, "in doubt", KEY[1])
    run.verdict(verdict())
    with log_busy():
        tracker(path).add_validation_result(*KEY, passed=False)
    assert "failed" in blockers(path)
    run.finish(0, {})
    assert "failed" in blockers(path)


def test_a_failure_in_memory_does_not_stand_for_the_failure_of_others(path: Path, run: RunWriter) -> None:
    with full_disk():
        run.verdict(verdict(passed=False))
        run.verdict(verdict())
        run.retry()
    tracker(path).add_validation_result(*KEY, passed=False)
    run.finish(0, {})
    assert "failed" in blockers(path)


@pytest.mark.parametrize("has_journal", [False, True])
def test_a_line_of_others_does_not_hide_what_only_the_document_holds(path: Path, has_journal: bool) -> None:
    with closing(begun(path)) as run:
        if has_journal:
            run.verdict(verdict())
        with log_busy():
            tracker(path).add_validation_result(*KEY, passed=False)
        PowerShellWriter(path).write_audit("ContainerProcessed", "Container 'n' (id) marked as removed")
        assert "failed" in blockers(path)
        run.finish(0, {})
    assert "failed" in blockers(path)


@pytest.mark.parametrize("what", ["a process", "a failure"])
def test_what_the_tests_of_a_run_record_themselves_comes_from_no_journal(
    path: Path, run: RunWriter, what: str
) -> None:
    """They use the fixture, whose entries have the id of the run. Under xdist it is another process."""
    with (
        closing(MigrationTracker(path, run_id=RUN, notify=lambda _: None)) as fixture,
        appended_in_between(run, verdict()),
    ):
        if what == "a process":
            fixture.add_native_process(KEY[0])
        else:
            fixture.add_validation_result(*KEY, passed=False)
    run.finish(0, {})
    assert {"a process": "outstanding", "a failure": "failed"}[what] in blockers(path)


def test_a_size_within_a_torn_line_hides_nothing(
    path: Path, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The torn line is removed, and an entry stands where it ended."""
    with log_of(path).open("ab") as log:
        log.write(b'{"timestamp":"2026-01-15T09:14:00.123Z","level":"INFO","action":"ValidationResult","det')
    begin = journals.Journals.__init__
    late = [verdict()]

    def then_a_pass(*arguments: object, **more: bool) -> None:
        begin(*arguments, **more)  # type: ignore[arg-type]
        if late:
            run.verdict(late.pop())

    with monkeypatch.context() as patch:
        patch.setattr(journals.Journals, "__init__", then_a_pass)
        tracker(path).add_validation_result(*KEY, passed=False)
    assert "failed" in blockers(path)
    run.finish(0, {})
    assert "failed" in blockers(path)


# --- interrupts ---------------------------------------------------------------------------------------------


def test_an_interrupt_while_events_are_made_loses_none(path: Path, run: RunWriter) -> None:
    run.verdict(verdict())
    run.gate(Policy())
    run.verdict(verdict(passed=False))
    with interrupted(VerdictRecord, "to_record"):
        flush(run)
    run.finish(2, {})
    assert run.failure is None
    assert "failed" in blockers(path)


def test_what_came_after_an_interrupt_was_not_known(path: Path, run: RunWriter) -> None:
    run.verdict(verdict())
    with interrupted(AuditLogFile, "append"):
        flush(run)
    with log_busy():
        tracker(path).add_validation_result(*KEY, passed=False)
    with line_in_the_commit(path):
        run.finish(0, {})
    assert "failed" in blockers(path)


# --- journals of other runs ---------------------------------------------------------------------------------


@pytest.mark.skipif(on_windows(), reason="an open file has no second name there")
def test_an_unreadable_journal_of_another_run_doubles_nothing(path: Path, run: RunWriter) -> None:
    """It may hold a failure: everybody refuses to go on without it."""
    with closing(begun(path, OTHER, ("other", "x"))) as other:
        run.verdict(verdict(passed=False))
        run.gate(Policy())
        copy = path.parent / "backup"
        copy.hardlink_to(journal_of(path, OTHER))
        run.verdict(verdict(test_name="b"))
        flush(run)
        assert isinstance(run.failure, StateDamagedError)
        copy.unlink()
        run.finish(1, {})
        assert run.failure is None
        other.finish(0, {})
    assert log_of(path).read_text("utf-8").count('"action":"ValidationResult"') == 2


def test_a_run_that_dies_while_its_journal_is_taken_over_hides_no_damage(
    path: Path, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.verdict(verdict())
    run.verdict(verdict(passed=False))
    content = journal_of(path).read_bytes()
    journal_of(path).write_bytes(content.replace(b'"passed":false', b'"passed":fals3'))

    def dies(*arguments: object) -> object:
        killed(run)
        return remove_dead(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(working_copy, "remove_dead", dies)
        tracker(path).write_audit("Notice", "somebody commits")
    assert blockers(path) == ["log"]
    for _ in range(2):
        tracker(path).write_audit("Notice", "somebody commits")
    assert log_of(path).read_text("utf-8").count('"Recovered"') == 2  # the loss, and the copy that is kept
    assert blockers(path) == ["log"]


def test_a_run_of_version_0_1_0_may_be_alive(path: Path, run: RunWriter) -> None:
    """It has no journal, and no lock that says so."""
    with closing(FileStore(path, notify=print)) as store:
        runs = store.read().open_runs
        old = {**runs[RUN], "process_start": "4711"}
        assert store.liveness_of({"a5": old, RUN: runs[RUN]}) == {"a5": "unknown", RUN: "alive"}
    assert run.failure is None


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not FILES.is_dir(), reason="files are counted there")
def test_a_journal_that_cannot_be_locked_again_leaves_no_file_open(path: Path, run: RunWriter) -> None:
    journal = run._open_log._journal  # type: ignore[attr-defined]
    os.close(journal._descriptor)

    def refuse(_: int) -> None:
        raise BlockingIOError(errno.EAGAIN, "another program has locked it")

    before = len(list(FILES.iterdir()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_journal, "lock", refuse)
        for _ in range(5):
            run.verdict(verdict())
    assert len(list(FILES.iterdir())) <= before
    assert run.failure is None
    assert len(read(path)["metadata"]["open_runs"]) == 1


def test_the_end_of_a_run_is_written_once(path: Path, run: RunWriter) -> None:
    """Its checkpoint fails, and is tried again."""
    run.verdict(verdict())

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pytest_migration_state.storage.files.document_file.write_temporary", refuse)
        run.finish(0, {})
        assert isinstance(run.failure, StateWriteError)
    run.retry()
    assert run.failure is None
    assert log_of(path).read_text("utf-8").count('"RunFinished"') == 1
    assert "open_runs" not in read(path)["metadata"]


def test_only_entries_that_concern_a_verdict_are_compared_with_it(
    path: Path, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of others may stand behind it."""
    compared = []
    shuts = overtaken._shuts

    def counted(data: dict[str, object], one: dict[str, object]) -> bool:
        compared.append(one["test_name"])
        return shuts(data, one)

    monkeypatch.setattr(overtaken, "_shuts", counted)
    others = [
        {
            "operation": "add_validation_result",
            "component": "c",
            "test_name": str(number),
            "passed": number > 0,
        }
        for number in range(300)
    ]
    with appended_in_between(run, verdict()):
        tracker(path).apply(others)
    run.verdict(verdict(test_name="x"))
    run.finish(0, {})
    assert compared == []
    assert blockers(path) == ["failed"]
