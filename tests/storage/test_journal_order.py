"""Verdicts in a journal, what came later without the log saying so, and files that are no journals."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from journaled import (
    KEY,
    OTHER,
    RUN,
    begun,
    blockers,
    full_disk,
    journal_of,
    kept,
    killed,
    line_in_the_commit,
    log_busy,
    tracker,
    verdict,
)

from pytest_migration_state.domain.policy import Policy
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import StateLockedError
from pytest_migration_state.storage.files.lock import StateLock
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.tracking import run_writer
from state_files import log_of, read
from windows_files import on_windows

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_migration_state.tracking.run_writer import RunWriter

# --- what only the document holds ---------------------------------------------------------------------------


def test_a_failure_that_only_the_document_holds_stays(path: Path, run: RunWriter) -> None:
    """The log could not take it. Nothing says whether the pass in the journal came before or after it."""
    run.verdict(verdict())
    with log_busy():
        tracker(path).add_validation_result(*KEY, passed=False)
    assert blockers(path) == ["failed", "outstanding"]
    run.finish(0, {})
    assert run.failure is None
    assert blockers(path) == ["failed"]


def test_a_process_that_only_the_document_holds_stays(path: Path, run: RunWriter) -> None:
    run.verdict(verdict())
    with log_busy():
        tracker(path).add_native_process(KEY[0])
    run.finish(0, {})
    assert blockers(path) == ["no_verdicts", "outstanding"]


def test_a_beginning_that_only_the_document_holds_ends_the_run(path: Path, run: RunWriter) -> None:
    run.verdict(verdict())
    with log_busy():
        tracker(path).initialize(force=True)
    run.finish(0, {})
    assert "its migration was replaced by a new one" in str(run.failure)
    assert read(path)["validation_results"] == []


def test_what_was_taken_from_another_run_is_not_written_late(path: Path, run: RunWriter) -> None:
    """The disk is full for a while, and the other run goes on."""
    with closing(begun(path, OTHER, ("other", "x"))) as writer:
        run.verdict(verdict())
        with full_disk():
            writer.verdict(Verdict(("other", "x"), passed=True, run_id=OTHER))
            writer.retry()
            assert writer.failure is not None
        run.verdict(verdict(passed=False))
        run.finish(1, {})
        writer.finish(0, {})
        assert writer.failure is None
    assert blockers(path) == ["failed"]
    assert tracker(path).verify().sound


def test_a_mark_never_goes_back(path: Path, run: RunWriter) -> None:
    with closing(begun(path, OTHER, ("other", "x"))) as writer:
        run.verdict(verdict(test_name="a"))
        with full_disk():
            writer.verdict(Verdict(("other", "x"), passed=True, run_id=OTHER))
            writer.retry()
        for name in ("b", "c", KEY[1]):
            run.verdict(verdict(test_name=name))
        run.gate(Policy())
        writer.finish(0, {})
        assert tracker(path).read().open_runs[RUN]["journal"] == 4
        run.finish(0, {})
    assert blockers(path) == []


def test_what_a_completion_reloads_keeps_what_the_log_could_not_take(path: Path, run: RunWriter) -> None:
    run.verdict(verdict(test_name="x"))
    run.gate(Policy())
    with full_disk(journal=False):
        run.verdict(verdict(passed=False))
        run.retry()
        run._open_log._flush(0.1)  # type: ignore[attr-defined]  # a group is due
        assert run.failure is not None
    assert not run.complete(Policy()).open
    run.finish(1, {})
    assert blockers(path) == ["failed"]


# --- the order of two writers -------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["a pass", "a failure"])
@pytest.mark.parametrize("clock", ["back", "stopped"])
def test_no_clock_decides_between_two_runs(
    path: Path, run: RunWriter, first: str, clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = ["2026-11-30T10:00:02.000Z", "2026-11-30T10:00:00.000Z"]
    if clock == "stopped":
        times = times[:1] * 2
    with closing(begun(path, OTHER)) as other:
        monkeypatch.setattr(run_writer, "utc_now", lambda: times.pop(0))
        writers = {"a pass": (run, True, RUN), "a failure": (other, False, OTHER)}
        for which in sorted(writers, key=lambda name: name != first):
            writer, passed, run_id = writers[which]
            writer.verdict(verdict(passed=passed, run_id=run_id))
        monkeypatch.undo()
        tracker(path).write_audit("Notice", "somebody commits")
        assert "failed" in blockers(path)
        other.finish(1, {})
        run.finish(0, {})
    # The pass counts for nothing, so that its run has none.
    assert blockers(path) == ["failed", "outstanding"]


def test_what_became_known_later_was_not_known(path: Path, run: RunWriter) -> None:
    """A failure comes after a pass that only memory holds, and then a line in the middle of the commit."""
    with full_disk():
        run.verdict(verdict(test_name="first"))
        run.verdict(verdict())
    tracker(path).add_validation_result(*KEY, passed=False)
    with line_in_the_commit(path):
        run.finish(0, {})
    assert "failed" in blockers(path)


def test_a_late_pass_does_not_settle_a_later_skip(path: Path, run: RunWriter) -> None:
    with full_disk():
        run.verdict(verdict())
    with closing(begun(path, OTHER)) as other:
        other.skip(KEY, "no database", KEY[1])
        other.finish(0, {})
    run.finish(0, {})
    assert run.failure is None
    assert blockers(path) == ["no_verdicts", "outstanding"]


def test_a_verdict_after_the_end_waits_for_the_lock(
    path: Path, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody takes over the journal of a run that has ended."""
    run.verdict(verdict())
    run.finish(0, {})

    def refuse(lock: StateLock) -> None:
        raise StateLockedError(str(lock.path), 0.0, "another process")

    with monkeypatch.context() as patch:
        patch.setattr(StateLock, "acquire", refuse)
        run.verdict(verdict(passed=False))
        assert isinstance(run.failure, StateLockedError)
        assert [event.action for event in run.unrecorded] == ["ValidationResult"]
    run.retry()
    assert run.failure is None
    assert blockers(path) == ["failed"]


# --- runs that are forgotten --------------------------------------------------------------------------------


def test_a_forgotten_run_loses_nothing_and_says_nothing_of_damage(path: Path, run: RunWriter) -> None:
    run.verdict(verdict())
    run.gate(Policy())
    tracker(path).forget_validation("(collection)", f"run {RUN}", "it takes too long")
    run.verdict(verdict(test_name="x"))
    run.finish(0, {})
    assert blockers(path) == []


def test_what_was_taken_over_with_a_forgotten_run_is_not_written_again(path: Path, run: RunWriter) -> None:
    run.verdict(verdict(passed=False))
    tracker(path).forget_validation("(collection)", f"run {RUN}", "it takes too long")
    tracker(path).add_validation_result(*KEY, passed=True, reason="checked by hand")
    run.finish(1, {})
    assert run.failure is None
    assert blockers(path) == []


def test_an_interrupted_verdict_leaves_no_gap(path: Path, run: RunWriter) -> None:
    """Ctrl-C comes when it is noted, and not yet in the file."""

    class Interrupted(list[object]):
        def append(self, one: object) -> None:
            super().append(one)
            raise KeyboardInterrupt

    journal = run._open_log._journal  # type: ignore[attr-defined]
    journal._noted = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        run.verdict(verdict())
    journal._noted = list(journal._noted)
    run.withdraw(KEY, "interrupted", KEY[1])
    run.finish(2, {})
    assert blockers(path) == ["no_verdicts", "outstanding"]


# --- files that are no journals, and files that are gone ----------------------------------------------------


@pytest.mark.skipif(on_windows(), reason="links need a right there")
@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("target", ["somebody's file", "log", "document"])
def test_a_link_in_place_of_a_journal_is_left_alone(path: Path, target: str, hard: bool) -> None:
    victim = {"log": log_of(path), "document": path}.get(target, path.parent / "precious.txt")
    if not victim.exists():
        victim.write_text("precious", encoding="utf-8")
    link = journal_of(path, OTHER)
    link.hardlink_to(victim) if hard else link.symlink_to(victim)
    before = victim.read_bytes()
    if hard and target == "log":
        # A log with a second name is refused, whatever that name is.
        return
    tracker(path).write_audit("Notice", "somebody commits")
    assert victim.read_bytes().startswith(before if target != "document" else b"{")
    assert link.is_symlink() != hard


@pytest.mark.parametrize("name", ["2026-01-15", "junk", OTHER])
def test_a_file_that_is_no_journal_is_left_alone(path: Path, name: str) -> None:
    copy = journal_of(path, name)
    copy.write_bytes(path.read_bytes())
    tracker(path).write_audit("Notice", "somebody commits")
    assert b'"phase"' in copy.read_bytes()
    assert not kept(path)


def test_a_folder_named_as_a_journal_hinders_nobody(path: Path) -> None:
    journal_of(path, OTHER).mkdir()
    tracker(path).initialize(force=True)
    with closing(begun(path)) as run:
        run.verdict(verdict())
        run.finish(0, {})
        assert run.failure is None


@pytest.mark.skipif(on_windows(), reason="an open file cannot be replaced there")
@pytest.mark.parametrize("how", ["closed", "replaced"])
def test_a_run_that_loses_its_journal_locks_it_again(path: Path, run: RunWriter, how: str) -> None:
    """A test closes every file of its process; an editor saves a file by renaming another one."""
    run.verdict(verdict(test_name="x"))
    if how == "closed":
        descriptor = run._open_log._journal._descriptor  # type: ignore[attr-defined]
        os.close(descriptor)
    else:
        copy = path.parent / "copy"
        copy.write_bytes(journal_of(path).read_bytes())
        copy.replace(journal_of(path))
    run.verdict(verdict())
    run.gate(Policy())
    with closing(FileStore(path, notify=print)) as store:
        assert store.liveness_of(store.read().open_runs) == {RUN: "alive"}
    run.verdict(verdict(passed=False))
    assert "failed" in blockers(path)
    killed(run)
    assert "failed" in blockers(path)


@pytest.mark.skipif(on_windows(), reason="a descriptor there is no file of the system")
def test_a_file_with_the_number_and_identity_of_the_journal_is_not_written_to(
    path: Path, run: RunWriter
) -> None:
    """A file system gives the inode number of a file that is gone to the next one."""
    journal = run._open_log._journal  # type: ignore[attr-defined]
    other = path.parent / "other.txt"
    other.write_text("user data", encoding="utf-8")
    os.close(journal._descriptor)
    descriptor = os.open(other, os.O_RDWR)
    try:
        found = os.fstat(descriptor)
        journal._descriptor, journal._identity = descriptor, (found.st_dev, found.st_ino)
        run.verdict(verdict())
        assert other.read_text("utf-8") == "user data"
    finally:
        os.close(descriptor)
    run.finish(0, {})
    assert run.failure is None
    assert blockers(path) == []


@pytest.mark.skipif(on_windows(), reason="an open file cannot be removed there")
def test_a_log_that_is_lost_before_a_completion_takes_nothing_with_it(path: Path, run: RunWriter) -> None:
    """The group was in the log, and not in the document yet."""
    run.verdict(verdict(passed=False))
    run.gate(Policy())
    assert read(path)["validation_results"] == []
    log_of(path).unlink()
    tracker(path).write_audit("Notice", "somebody begins a new log")
    assert not run.complete(Policy()).open
    run.finish(1, {})
    assert run.failure is None
    assert blockers(path) == ["log", "failed"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_forked_child_leaves_the_journal_alone(path: Path, run: RunWriter) -> None:
    """It does not remove it when it closes the run that it has inherited, and it does not unlock it."""
    run.verdict(verdict())
    child = os.fork()
    if not child:
        run.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert journal_of(path).read_bytes().count(b"\n") == 1
    with closing(FileStore(path, notify=print)) as store:
        assert store.liveness_of(store.read().open_runs) == {RUN: "alive"}
    run.finish(0, {})
    assert run.failure is None
    assert blockers(path) == []
