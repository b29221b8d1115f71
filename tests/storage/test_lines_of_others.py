"""Lines of other programs that no document can take as they are."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from powershell_writer import PowerShellError, PowerShellWriter
from pytest_migration_state import MigrationTracker
from pytest_migration_state.domain.events import Event
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.checkpoint import Checkpoint
from pytest_migration_state.storage.files.store import FileStore
from state_files import DOCUMENT, in_validation, log_of, read
from windows_files import on_windows

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_migration_state.domain.document import Document

COMPONENT, TEST = "guardian-hive", "native_execution_test"


@pytest.fixture
def tracker(tmp_path: Path) -> MigrationTracker:
    in_validation(tmp_path / DOCUMENT).close()
    return MigrationTracker(tmp_path / DOCUMENT, notify=lambda _: None)


def add_line(path: Path, action: str, details: str, timestamp: str = "2026-12-01T10:00:00Z") -> None:
    """Add a line as another program does."""
    entry = {"timestamp": timestamp, "level": "INFO", "action": action, "details": details}
    with log_of(path).open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")


@pytest.mark.parametrize(
    ("action", "details"),
    [
        ("Initialize", "Migration state initialized"),
        ("PhaseTransition", "Transitioned from 'Validation' to 'RolledBack'"),
        ("ValidationResult", f"Test '{TEST}' for '{COMPONENT}': FAILED"),
        ("ProcessStarted", f"Native process '{COMPONENT}' started"),
        ("ContainerProcessed", f"Container '{COMPONENT}' (abc) marked as removed"),
        ("Error", "the disk is full"),
    ],
)
def test_line_whose_time_is_none_leaves_a_document_that_can_be_read(
    tracker: MigrationTracker, action: str, details: str
) -> None:
    """A log that a script writes may hold the date of its country. What the line says counts, without it."""
    earlier = tracker.state
    add_line(tracker.path, action, details, "01/12/2026 10:00:00")
    before = tracker.state
    assert before != earlier
    tracker.write_audit("Note", "on record")
    after = tracker.state
    assert tracker.verify().sound
    tracker.path.unlink()
    for state in (before, after, tracker.state):
        assert state.phase == before.phase
        assert state.error == before.error
        assert state.validation_results == before.validation_results
        assert state.native_processes_started == before.native_processes_started


@pytest.mark.parametrize(
    ("action", "details"),
    [
        ("ProcessStarted", "Native process '' started"),
        ("ProcessStarted", "started by hand"),
        ("ContainerProcessed", "Container marked as removed"),
        ("ContainerProcessed", "all of them are gone"),
        ("DataPreserved", "Data '' preserved at '/backups'"),
    ],
)
def test_line_in_other_words_says_nothing(tracker: MigrationTracker, action: str, details: str) -> None:
    before = read(tracker.path)
    add_line(tracker.path, action, details)
    tracker.write_audit("Note", "x")
    after = read(tracker.path)
    for key in ("native_processes_started", "docker_containers_removed", "data_preserved"):
        assert after[key] == before[key]


def test_key_in_other_case_is_the_same_key(tracker: MigrationTracker) -> None:
    """PowerShell does not tell them apart, and could not read a document with both."""
    tracker.add_preserved_data("Config", "/old")
    add_line(tracker.path, "DataPreserved", "Data 'config' preserved at '/new'")
    tracker.write_audit("Note", "x")
    assert read(tracker.path)["data_preserved"] == {"Config": "/new"}


def test_key_that_powershell_tells_apart_is_another_key(tracker: MigrationTracker) -> None:
    """Its path is not taken for that of a key which only looks alike in upper case."""
    tracker.add_preserved_data("Straße", "/old")
    add_line(tracker.path, "DataPreserved", "Data 'Strasse' preserved at '/new'")
    tracker.write_audit("Note", "x")
    assert read(tracker.path)["data_preserved"] == {"Straße": "/old", "Strasse": "/new"}


def test_key_that_powershell_cannot_read_is_refused(tracker: MigrationTracker) -> None:
    """It is refused once, from the document and from its line. No object has such a key afterwards."""
    tracker.add_preserved_data("config", "/old")
    document = read(tracker.path)
    document["data_preserved"] |= {"PSBase": "/new", "more": "/more"}
    tracker.path.write_text(json.dumps(document), encoding="utf-8")
    assert tracker.state.data_preserved == {"config": "/old", "more": "/more"}
    tracker.write_audit("Note", "first")
    add_line(tracker.path, "DataPreserved", "Data 'PSBase' preserved at '/new'")
    add_line(tracker.path, "DataPreserved", "Data 'psobject' preserved at '/other'")
    tracker.write_audit("Note", "second")
    assert read(tracker.path)["data_preserved"] == {"config": "/old", "more": "/more"}
    why = "PowerShell reserves this name, and could not read the document; record it under another"
    assert [
        {"data": {"key": key, "backup_path": path}, "why": why}
        for key, path in (("PSBase", "/new"), ("psobject", "/other"))
    ] == [one for entry in tracker.read_audit() for one in (entry.data or {}).get("refused", ())]
    refused = [entry for entry in tracker.read_audit() if entry.action == "ExternalChange"]
    assert [entry.level for entry in refused] == ["WARNING", "WARNING"]
    assert f"refused data 'PSBase' ({why})" in str(refused[0].details)
    assert tracker.verify().sound


@pytest.mark.parametrize("before", ["a", 1, ["a"], None, {"x": 0}])
def test_object_in_place_of_another_value_of_the_metadata(tracker: MigrationTracker, before: object) -> None:
    for value in (before, {"x": 1}):
        document = read(tracker.path)
        document["metadata"]["site"] = value
        tracker.path.write_text(json.dumps(document), encoding="utf-8")
        tracker.write_audit("Note", "x")
    assert read(tracker.path)["metadata"]["site"] == {"x": 1}


# --- while this package writes ------------------------------------------------------------------------------


def overwrite_last_line(path: Path, details: str) -> None:
    """Write a line in place of the last one, as the second of two PowerShells that measured the same end."""
    *lines, last = log_of(path).read_bytes().splitlines(keepends=True)
    entry = {**json.loads(last), "details": details}
    line = json.dumps(entry).encode() + b"\n"
    log_of(path).write_bytes(b"".join(lines) + line + last[len(line) :])


@pytest.mark.parametrize("component", ["hive-2", "h"], ids=["as long", "shorter"])
def test_line_that_another_one_overwrites_while_it_is_read(tracker: MigrationTracker, component: str) -> None:
    """The next entry is chained to what stands in the log, and what it says counts."""
    add_line(tracker.path, "ValidationResult", "Test 'a' for 'hive-1': FAILED")
    decided: list[str] = []

    def decide(_: object) -> list[Event]:
        if not decided:
            overwrite_last_line(tracker.path, f"Test 'a' for '{component}': FAILED")
        decided.append(component)
        return [Event("Note", "x", {})]

    FileStore(tracker.path, notify=lambda _: None).commit(decide)
    assert len(decided) == 2
    # The end of a longer line is no entry, and is named.
    assert {problem.kind for problem in tracker.verify().problems} <= {"changed"}
    assert component in {verdict.component for verdict in tracker.state.validation_results}
    tracker.write_audit("Note", "still writable")


def test_line_that_comes_while_a_migration_is_begun_again(
    tracker: MigrationTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to the migration that ends here."""
    lock = AuditLogFile.lock
    added: list[bool] = []

    def lock_after_a_line(log: AuditLogFile) -> None:
        if not added:
            added.append(True)
            add_line(tracker.path, "ValidationResult", "Test 'a' for 'hive': FAILED")
        lock(log)

    monkeypatch.setattr(AuditLogFile, "lock", lock_after_a_line)
    assert tracker.initialize(force=True).validation_results == ()
    assert tracker.verify().sound


def test_line_that_comes_while_a_repair_is_logged(
    tracker: MigrationTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush that the disk refused is such a repair; what the line says is put on record with it."""
    write = Checkpoint.write
    added: list[bool] = []

    def write_before_a_line(checkpoint: Checkpoint, document: Document, patience: float) -> Document:
        written = write(checkpoint, document, patience)
        if not added:
            checkpoint._log.add_repair("Something was repaired")
            added.append(True)
            add_line(tracker.path, "ValidationResult", "Test 'a' for 'hive': FAILED")
        return written

    monkeypatch.setattr(Checkpoint, "write", write_before_a_line)
    tracker.write_audit("Note", "x")
    assert [verdict.component for verdict in tracker.state.validation_results] == ["hive"]
    assert log_of(tracker.path).read_text().count("Something was repaired") == 1
    assert tracker.verify().sound


def test_name_that_is_a_date_stays_the_one_on_record(tracker: MigrationTracker) -> None:
    """PowerShell 7 rewrites it in the document: one validation does not become two."""
    name = "2026-01-15T09:00:00.5000000Z"
    tracker.add_validation_result(COMPONENT, name, passed=True)
    other = PowerShellWriter(tracker.path)
    other.result(COMPONENT, name, "false", "it is down")
    other.container("another", "write")
    tracker.write_audit("Note", "on record")
    (result,) = tracker.state.validation_results
    assert (result.test_name, result.passed, result.error_message) == (name, False, "it is down")
    assert tracker.verify().problems == ()


def test_lines_in_other_words_do_not_stop_a_writer(tracker: MigrationTracker) -> None:
    """A program that adds them faster than the state is read would stop it for good."""
    decided: list[int] = []

    def decide(_: object) -> list[Event]:
        decided.append(len(decided))
        add_line(tracker.path, "Note", f"step {len(decided)}")
        return [Event("Note", "x", {})]

    FileStore(tracker.path, notify=lambda _: None).commit(decide)
    assert len(decided) == 1
    assert tracker.verify().sound


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot replace a file that is kept open")
@pytest.mark.skipif(on_windows(), reason="an open file cannot be replaced there, so nothing keeps it out")
def test_a_program_that_writes_all_the_time_is_kept_out_of_the_document(tracker: MigrationTracker) -> None:
    """Its calls fail for a moment, and say so: otherwise no writer that reads longer would ever finish."""
    refused: list[str] = []

    def decide(_: object) -> list[Event]:
        try:
            PowerShellWriter(tracker.path).result("theirs", "test", "true")
        except PowerShellError as error:
            refused.append(str(error))
        return [Event("Note", "x", {})]

    FileStore(tracker.path, notify=lambda _: None).commit(decide)
    assert len(refused) == 1
    assert "being used by another process" in refused[0]
    assert tracker.verify().sound
