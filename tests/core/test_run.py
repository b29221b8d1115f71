"""What a run writes while its tests run: the short way of a verdict, and when the long way is taken."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from filelock import lock_descriptor, unlock_descriptor
from state_files import DOCUMENT, in_validation, log_of, read

from pytest_migration_state import MigrationTracker
from pytest_migration_state.core.run import RunRecorder
from pytest_migration_state.core.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state in Validation."""
    in_validation(tmp_path / DOCUMENT)
    return tmp_path / DOCUMENT


@pytest.fixture
def run(path: Path) -> Iterator[RunRecorder]:
    """A run that has begun, and has given a verdict: what follows may take the short way."""
    begun = RunRecorder(path, "7f3c", notify=lambda _: None)
    begun.open(lambda _: None, {})
    give(begun, "0")
    yield begun
    begun.close()


@pytest.fixture
def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """An entry for each time that a store was held: brought up to date, with a look at every file."""
    taken: list[None] = []
    held = Store.held

    @contextmanager
    def counted(store: Store, **how: Any) -> Iterator[bool]:
        taken.append(None)
        with held(store, **how) as created:
            yield created

    monkeypatch.setattr(Store, "held", counted)
    return taken


def give(run: RunRecorder, *names: str) -> None:
    for name in names:
        run.verdict(("c", name), passed=True, error_message=None)


def tracker(path: Path) -> MigrationTracker:
    return MigrationTracker(path, notify=lambda _: None)


def verdicts(path: Path) -> list[str]:
    """What a reader finds at this moment, log included."""
    return [name for _, name in Store(path, notify=lambda _: None).read().verdicts]


def test_verdicts_take_the_short_way(path: Path, run: RunRecorder, long_ways: list[None]) -> None:
    """Each is there for readers when it was given, and hardly one of them has to look at more than the log's end."""
    names = [str(number) for number in range(100)]
    for name in names[1:]:
        give(run, name)
        assert verdicts(path)[-1] == name
    # The lock file's place is looked at every half second.
    assert len(long_ways) < 30
    assert names == verdicts(path)
    assert names == [name for _, name in run.document.verdicts]
    run.finish(0, {}, 0.0)
    assert names == [verdict["test_name"] for verdict in read(path)["validation_results"]]
    assert tracker(path).verify().sound


def _others_write(path: Path) -> None:
    tracker(path).add_validation_result("c", "theirs", passed=True)


def _powershell_logs(path: Path) -> None:
    with log_of(path).open("ab") as log:
        log.write(b'{"timestamp":"2026-01-15T09:00:00Z","level":"INFO","action":"a","details":"d"}\r\n')


CHANGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "another writer": (_others_write, ["0", "theirs", "1", "2"]),
    "a line of PowerShell": (_powershell_logs, ["0", "1", "2"]),
    "a lock file deleted": (lambda path: path.with_name(f"{DOCUMENT}.lock").unlink(), ["0", "1", "2"]),
    "a log deleted": (lambda path: log_of(path).unlink(), ["0", "1", "2"]),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_what_others_did_is_found_before_a_verdict_is_written(
    path: Path, run: RunRecorder, change: Callable[[Path], object], expected: list[str]
) -> None:
    """The short way is closed then; the long one brings the state up to date, and the short one is open again."""
    change(path)
    give(run, "1", "2")
    assert run.failure is None
    assert expected == verdicts(path)
    assert expected == [name for _, name in run.document.verdicts]


def test_a_lock_that_is_held_is_waited_for(path: Path, run: RunRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short way does not wait, the long one does; what could not be written is written with the next verdict."""
    with path.with_name(f"{DOCUMENT}.lock").open("r+b") as lock:
        assert lock_descriptor(lock.fileno(), blocking=False)
        monkeypatch.setattr(run, "_timeout", 0.05)
        give(run, "1")
        assert "still locked" in str(run.failure)
        assert verdicts(path) == ["0"]
        unlock_descriptor(lock.fileno())
    monkeypatch.setattr("pytest_migration_state.core.run._RETRY_INTERVAL", 0.0)
    give(run, "2")
    assert run.failure is None
    assert verdicts(path) == ["0", "1", "2"]


def test_a_lock_not_looked_at_for_a_while_is_looked_at(run: RunRecorder, long_ways: list[None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock file that was moved away shows at its path alone."""
    monkeypatch.setattr("pytest_migration_state.core.lock._LOOK_AGAIN", -1.0)
    give(run, "1", "2", "3")
    assert len(long_ways) == 3


def test_the_document_follows_by_about_a_second(path: Path, run: RunRecorder) -> None:
    """Scripts that read the document alone are never further behind, however short the way of a verdict is."""
    give(run, "1")
    assert read(path)["validation_results"] == []
    time.sleep(1.05)
    give(run, "2")
    assert [verdict["test_name"] for verdict in read(path)["validation_results"]] == ["0", "1", "2"]
