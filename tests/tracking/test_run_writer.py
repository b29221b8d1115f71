"""The writes of a run while its tests run: a verdict's fast path, and the conditions for the slow path."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from filelock import lock_descriptor, unlock_descriptor

from pytest_migration_state import MigrationTracker
from pytest_migration_state.domain.verdict import Verdict
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
    """A run that has started and recorded a verdict, so that the next one may take the fast path."""
    begun = RunWriter(path, "7f3c", notify=lambda _: None)
    begun.open(lambda _: None, {})
    record(begun, "0")
    yield begun
    begun.close()


@pytest.fixture
def slow_paths(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """A list with one item for each use of the slow path, which checks every file of the state."""
    taken: list[None] = []
    hold = StateFiles.hold

    @contextmanager
    def counted(files: StateFiles, **how: Any) -> Iterator[bool]:
        taken.append(None)
        with hold(files, **how) as created:
            yield created

    monkeypatch.setattr(StateFiles, "hold", counted)
    return taken


def record(run: RunWriter, *names: str) -> None:
    """Record a verdict for each name."""
    for name in names:
        run.verdict(Verdict(("c", name), passed=True))


def tracker(path: Path) -> MigrationTracker:
    return MigrationTracker(path, notify=lambda _: None)


def verdicts(path: Path) -> list[str]:
    """Return the names of the recorded tests, as a reader of document and log finds them."""
    return [name for _, name in FileStore(path, notify=lambda _: None).read().verdicts]


def test_verdicts_take_the_fast_path(path: Path, run: RunWriter, slow_paths: list[None]) -> None:
    """Readers see each verdict at once, and nearly all of them read only the log's end."""
    names = [str(number) for number in range(100)]
    for name in names[1:]:
        record(run, name)
        assert verdicts(path)[-1] == name
    # The path of the lock file is checked every half second.
    assert len(slow_paths) < 30
    assert names == verdicts(path)
    assert names == [name for _, name in run.document.verdicts]
    run.finish(0, {})
    assert names == [verdict["test_name"] for verdict in read(path)["validation_results"]]
    assert tracker(path).verify().sound


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
    }


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_changes_by_others_are_found_before_a_verdict_is_written(
    path: Path, run: RunWriter, change: Callable[[Path], object], expected: list[str]
) -> None:
    """The slow path then updates the state, and the fast path is available again."""
    change(path)
    record(run, "1", "2")
    assert run.failure is None
    assert expected == verdicts(path)
    assert expected == [name for _, name in run.document.verdicts]


def test_the_slow_path_waits_for_the_lock(
    path: Path, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict that could not be written in time is written with the next one."""
    with path.with_name(f"{DOCUMENT}.lock").open("r+b") as lock:
        assert lock_descriptor(lock.fileno(), blocking=False)
        monkeypatch.setattr(run._log, "_timeout", 0.05)
        record(run, "1")
        assert "still locked" in str(run.failure)
        assert verdicts(path) == ["0"]
        unlock_descriptor(lock.fileno())
    monkeypatch.setattr("pytest_migration_state.storage.files.run_log._RETRY_INTERVAL", 0.0)
    record(run, "2")
    assert run.failure is None
    assert verdicts(path) == ["0", "1", "2"]


def test_the_path_of_the_lock_file_is_checked_again(
    run: RunWriter, slow_paths: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its path shows that a lock file was moved away."""
    monkeypatch.setattr("pytest_migration_state.storage.files.lock._PATH_CHECK_INTERVAL", -1.0)
    record(run, "1", "2", "3")
    assert len(slow_paths) == 3


def test_the_document_is_about_a_second_behind(path: Path, run: RunWriter) -> None:
    """Scripts that read only the document are never further behind, also on the fast path."""
    record(run, "1")
    assert read(path)["validation_results"] == []
    time.sleep(1.05)
    record(run, "2")
    assert [verdict["test_name"] for verdict in read(path)["validation_results"]] == ["0", "1", "2"]
