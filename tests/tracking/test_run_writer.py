"""The writes of a run while its tests run: lines of its journal, and groups of them in the log."""

from __future__ import annotations

import errno
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from filelock import lock_descriptor, unlock_descriptor

from pytest_migration_state import MigrationTracker
from pytest_migration_state.domain.policy import Policy
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.storage.files import run_journal, run_log
from pytest_migration_state.storage.files.state_files import StateFiles
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.tracking.run_writer import RunWriter
from state_files import DOCUMENT, in_validation, log_of, read
from windows_files import on_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state in Validation."""
    in_validation(tmp_path / DOCUMENT)
    return tmp_path / DOCUMENT


@pytest.fixture
def run(path: Path) -> Iterator[RunWriter]:
    """A run that has started and recorded a verdict."""
    begun = RunWriter(path, "7f3c", notify=lambda _: None)
    begun.open(lambda _: None, {})
    record(begun, "0")
    yield begun
    begun.close()


@pytest.fixture
def holds(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """A list with one item for each time that the state's lock was taken."""
    taken: list[None] = []
    hold = StateFiles.hold

    @contextmanager
    def counted(files: StateFiles, **how: Any) -> Iterator[bool]:
        taken.append(None)
        with hold(files, **how) as created:
            yield created

    monkeypatch.setattr(StateFiles, "hold", counted)
    return taken


def journal_of(path: Path) -> Path:
    return path.with_name(f"{DOCUMENT}.run-7f3c")


def record(run: RunWriter, *names: str) -> None:
    """Record a verdict for each name."""
    for name in names:
        run.verdict(Verdict(("c", name), passed=True))


def tracker(path: Path) -> MigrationTracker:
    return MigrationTracker(path, notify=lambda _: None)


def verdicts(path: Path) -> list[str]:
    """Return the names of the recorded tests, as a reader of document and log finds them."""
    return [name for _, name in FileStore(path, notify=lambda _: None).read().verdicts]


def test_a_verdict_is_one_line_of_the_journal(path: Path, run: RunWriter, holds: list[None]) -> None:
    """Readers see each verdict at once, and the log gets groups of them."""
    run.plan(RunPlan([]))
    record(run, "0")
    holds.clear()
    names = [str(number) for number in range(100)]
    size = log_of(path).stat().st_size
    for name in names[1:10]:
        record(run, name)
        assert verdicts(path)[-1] == name
    assert not holds
    assert log_of(path).stat().st_size == size
    assert len(journal_of(path).read_bytes().splitlines()) == 10
    record(run, *names[10:])
    run.gate(Policy())
    assert len(holds) == 1
    assert journal_of(path).read_bytes() == b""
    assert names == [name for _, name in run.document.verdicts]
    run.finish(0, {})
    run.close()
    assert not journal_of(path).exists()
    assert names == [verdict["test_name"] for verdict in read(path)["validation_results"]]
    assert "open_runs" not in read(path)["metadata"]
    assert tracker(path).verify().sound


def test_a_group_says_up_to_where_the_journal_was_taken_over(path: Path, run: RunWriter) -> None:
    record(run, "1", "2")
    run.gate(Policy())
    assert [entry.details for entry in tracker(path).read_audit(last=3)] == [
        f"Test '{name}' for 'c': PASSED" for name in "012"
    ]
    assert tracker(path).read().open_runs["7f3c"]["journal"] == 3


def test_groups_come_about_every_second(path: Path, run: RunWriter, holds: list[None]) -> None:
    """Scripts that read only the document are never further behind."""
    record(run, "1")
    assert read(path)["validation_results"] == []
    time.sleep(1.05)
    record(run, "2")
    assert len(holds) == 1
    assert [verdict["test_name"] for verdict in read(path)["validation_results"]] == ["0", "1", "2"]
    record(run, "3")
    assert len(holds) == 1


def test_who_commits_first_takes_over_what_the_journal_holds(path: Path, run: RunWriter) -> None:
    """The order of the log is the order of events. The run does not write them again."""
    record(run, "1")
    tracker(path).add_validation_result("c", "other", passed=True)
    record(run, "2")
    tracker(path).add_native_process("c", process_id=7)
    record(run, "3")
    run.finish(0, {})
    assert verdicts(path) == ["0", "1", "other", "2", "3"]
    log = [(entry.action, entry.run_id) for entry in tracker(path).read_audit()]
    stale = [name for (_, name), verdict in tracker(path).read().verdicts.items() if "stale_since" in verdict]
    assert stale == ["0", "1", "other", "2"]
    ours = ("ValidationResult", "7f3c")
    assert log[-7:-1] == [
        ours, ours, ("ValidationResult", None), ours, ("ProcessStarted", None), ours,
    ]  # fmt: skip


def _another_writer(path: Path) -> None:
    tracker(path).add_validation_result("c", "other", passed=True)


def _powershell_logs_a_line(path: Path) -> None:
    with log_of(path).open("ab") as log:
        log.write(b'{"timestamp":"2026-01-15T09:00:00Z","level":"INFO","action":"a","details":"d"}\r\n')


CHANGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "another writer": (_another_writer, ["0", "other", "1", "2"]),
    "a line of PowerShell": (_powershell_logs_a_line, ["0", "1", "2"]),
}
if not on_windows():  # an open file cannot be deleted there
    CHANGES |= {
        "a lock file deleted": (lambda path: path.with_name(f"{DOCUMENT}.lock").unlink(), ["0", "1", "2"]),
        "a log deleted": (lambda path: log_of(path).unlink(), ["0", "1", "2"]),
        "a journal deleted": (lambda path: journal_of(path).unlink(), ["0", "1", "2"]),
    }


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_changes_by_others_are_found_before_a_group_is_written(
    path: Path, run: RunWriter, change: Callable[[Path], object], expected: list[str]
) -> None:
    change(path)
    record(run, "1", "2")
    run.gate(Policy())
    assert run.failure is None
    assert expected == verdicts(path)
    assert expected == [name for _, name in run.document.verdicts]
    record(run, "3")
    assert journal_of(path).read_bytes().count(b"\n") == 1


def test_a_group_does_not_wait_long_for_the_lock(
    path: Path, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its verdicts are in the journal: readers see them, and a later group takes them over."""
    monkeypatch.setattr("pytest_migration_state.storage.files.run_log._PATIENCE", 0.05)
    with path.with_name(f"{DOCUMENT}.lock").open("r+b") as lock:
        assert lock_descriptor(lock.fileno(), blocking=False)
        run._open_log._group_due_at = 0.0  # type: ignore[attr-defined]  # a group is due
        record(run, "1")
        assert run.failure is None
        assert verdicts(path) == ["0", "1"]
        unlock_descriptor(lock.fileno())
    run.finish(0, {})
    assert [verdict["test_name"] for verdict in read(path)["validation_results"]] == ["0", "1"]


def test_without_a_journal_a_verdict_waits_for_the_lock(
    path: Path, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict that could not be written in time is written with the next one."""

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, path.with_name(f"{DOCUMENT}.lock").open("r+b") as lock:
        assert lock_descriptor(lock.fileno(), blocking=False)
        patch.setattr(run._log, "_timeout", 0.05)
        patch.setattr(run_journal, "os_write", refuse)
        record(run, "1")
        assert "still locked" in str(run.failure)
        assert verdicts(path) == ["0"]
        assert [event.details for event in run.unrecorded] == ["Test '1' for 'c': PASSED"]
        unlock_descriptor(lock.fileno())
    monkeypatch.setattr("pytest_migration_state.storage.files.run_log._RETRY_INTERVAL", 0.0)
    record(run, "2")
    assert run.failure is None
    assert run.unrecorded == []
    assert verdicts(path) == ["0", "1", "2"]


@pytest.mark.parametrize(("cost", "wait"), [(0.01, 1.0), (0.1, 1.0), (0.5, 5.0), (3.0, 30.0)])
def test_a_group_waits_a_second_or_ten_times_its_cost(
    cost: float, wait: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_log, "monotonic", lambda: 100.0 + cost)
    assert run_log._due(100.0) == pytest.approx(100.0 + cost + wait)
