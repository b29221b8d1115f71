"""An error that was cleared, beside what other programs do: it stays cleared, and a new one counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from test_changes import commit, external

from powershell_writer import PowerShellWriter
from pytest_migration_state import MigrationTracker
from pytest_migration_state.verification import verify
from state_files import DOCUMENT, edit, in_validation, lines, log_of, read, sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a writer: nobody else writes here."""
    monkeypatch.setattr(verify, "SECOND_LOOK", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state in Validation with an error of another program, as its document and its line tell it."""
    in_validation(tmp_path / DOCUMENT)
    PowerShellWriter(tmp_path / DOCUMENT).error("the disk is full")
    return tmp_path / DOCUMENT


def clear(path: Path) -> None:
    MigrationTracker(path, notify=lambda _: None).clear_error()


def error_of(path: Path) -> str | None:
    """The error that readers see. The record is sound."""
    tracker = MigrationTracker(path, notify=lambda _: None)
    assert tracker.verify().problems == ()
    error = tracker.state.error
    return error.message if error else None


def actions(path: Path) -> list[str | None]:
    return [entry.action for entry in MigrationTracker(path).read_audit()[5:]]


def test_an_error_of_another_program_is_put_on_record_and_cleared(path: Path) -> None:
    """It is cleared in the state, and its history is in the log."""
    clear(path)
    assert error_of(path) is None
    assert read(path)["error"] is None
    assert actions(path) == ["Error", "ExternalChange", "ErrorCleared"]


def test_a_cleared_error_stays_cleared_through_changes_and_a_recovery(path: Path) -> None:
    """Cleared, verified, changed by another program, verified, and rebuilt from the log."""
    clear(path)
    assert error_of(path) is None
    PowerShellWriter(path).container("proxy", "abc")
    assert error_of(path) is None
    commit(path)
    assert error_of(path) is None
    path.unlink()
    assert MigrationTracker(path, notify=lambda _: None).state.error is None
    commit(path)
    assert error_of(path) is None
    assert [one["name"] for one in read(path)["docker_containers_removed"]] == ["proxy"]


def test_a_document_that_was_read_before_does_not_bring_it_back(path: Path) -> None:
    """Another program writes what it read before the error was cleared, with a change of its own."""
    commit(path)
    other = PowerShellWriter(path)
    copy = other.read()
    clear(path)
    copy["docker_containers_removed"] = [{"name": "proxy", "id": "a", "removed_at": copy["last_updated"]}]
    other._write(copy)
    other.write_audit("ContainerProcessed", "Container 'proxy' (a) marked as removed")
    assert read(path)["error"]["message"] == "the disk is full"
    assert error_of(path) is None
    commit(path)
    assert error_of(path) is None
    assert read(path)["error"] is None
    assert [one["name"] for one in read(path)["docker_containers_removed"]] == ["proxy"]


@pytest.mark.parametrize("begin", [in_validation, lambda path: PowerShellWriter(path).initialize()])
def test_its_line_may_come_after_it_was_cleared(tmp_path: Path, begin: Callable[[Path], object]) -> None:
    """Other programs write their line behind their document. It tells nothing new, and is no problem."""
    path = tmp_path / DOCUMENT
    begin(path)
    other = PowerShellWriter(path)
    late: list[tuple[Any, ...]] = []
    other.write_audit = lambda *line: late.append(line)  # type: ignore[method-assign]
    other.error("the disk is full")
    clear(path)
    PowerShellWriter(path).write_audit(*late[0])
    assert error_of(path) is None
    commit(path)
    assert error_of(path) is None
    assert len(external(path)) == 1


@pytest.mark.parametrize("message", ["the disk is full", "another"])
@pytest.mark.parametrize("is_line_alone", [False, True], ids=["document", "line alone"])
def test_an_error_after_it_counts(path: Path, message: str, *, is_line_alone: bool) -> None:
    """Also one in the same words, and also one that only a line tells."""
    clear(path)
    before = path.read_bytes()
    PowerShellWriter(path).error(message)
    if is_line_alone:
        path.write_bytes(before)
    commit(path)
    assert error_of(path) == message
    clear(path)
    assert error_of(path) is None


def test_an_error_removed_by_hand_stays(path: Path) -> None:
    """Only our own entry clears it: what another program removes from the document stays on record."""
    commit(path)
    edit(path, error=None)
    commit(path)
    assert error_of(path) == "the disk is full"


def test_an_error_put_back_by_hand_is_reported(path: Path) -> None:
    """A cleared error that an old copy brings back is a difference, until the next entry of ours."""
    clear(path)
    other = read(path)
    other["error"] = {"message": "the disk is full", "occurred_at": "2026-01-15T09:00:00Z"}
    edit(path, **other)
    (problem,) = MigrationTracker(path).verify().problems
    assert problem.message.startswith("the document says that the error is 'the disk is full', but line 8,")
    commit(path)
    assert error_of(path) == "the disk is full"


def test_the_error_of_an_old_state_is_cleared(tmp_path: Path) -> None:
    """A document of other programs is taken over with its error, which is then cleared."""
    path = sample("7.6/validation-with-failures", tmp_path)
    message = read(path)["error"]["message"]
    clear(path)
    assert error_of(path) is None
    assert log_of(path).read_text("utf-8").count(f"Error cleared: {message}") == 1
    path.unlink()
    commit(path)
    assert error_of(path) is None


def test_where_there_is_no_error_nothing_is_recorded(tmp_path: Path) -> None:
    """The log and the document stay as they are."""
    path = tmp_path / DOCUMENT
    in_validation(path)
    before = lines(path), path.read_bytes()
    clear(path)
    assert (lines(path), path.read_bytes()) == before
