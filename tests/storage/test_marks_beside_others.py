"""Marks of verdicts beside other programs: a newer process makes them stale, an override stays marked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state import MigrationTracker, Policy
from state_files import DOCUMENT, in_validation, log_of, read

if TYPE_CHECKING:
    from pathlib import Path

HIVE = "guardian-hive"
EARLY, MIDDLE, LATE = "2099-01-15T09:00:00Z", "2099-01-15T10:00:00Z", "2099-01-15T11:00:00Z"


@pytest.fixture
def tracker(tmp_path: Path) -> MigrationTracker:
    in_validation(tmp_path / DOCUMENT).close()
    tracker = MigrationTracker(tmp_path / DOCUMENT, notify=lambda _: None)
    tracker.add_validation_result(HIVE, "old", passed=True)
    return tracker


def add(content: dict[str, Any], path: Path, *, process: str | None = None, **passed_at: str | None) -> None:
    """Write the document with a process and passed results, as another program does."""
    if process:
        content["native_processes_started"].append({"name": HIVE, "started_at": process})
    for test_name, time in passed_at.items():
        result = {"component": HIVE, "test_name": test_name, "passed": True, "error_message": ""}
        content["validation_results"].append({**result, "tested_at": time})
    path.write_text(json.dumps(content), encoding="utf-8")


def stale(tracker: MigrationTracker) -> list[set[str]]:
    """The stale tests: as read, after our next entry, and in the state that the log alone tells."""
    found = []
    for step in (
        lambda: None,
        lambda: tracker.write_audit("Note", "on record"),
        lambda: tracker.verify().problems and pytest.fail("not sound"),
        tracker.path.unlink,
    ):
        step()
        blockers = tracker.gate().blockers
        found.append({str(blocker.test_name) for blocker in blockers if blocker.kind == "stale"})
    return found


def test_verdict_on_record_is_stale(tracker: MigrationTracker) -> None:
    """The order of entries decides, not the clock of the other program."""
    add(read(tracker.path), tracker.path, process="2020-01-15T09:00:00Z")
    assert stale(tracker) == [{"old"}] * 4
    tracker.write_audit("Note", "rebuilt")
    assert read(tracker.path)["metadata"]["version"] == "2.0"


def test_line_alone_makes_it_stale(tracker: MigrationTracker) -> None:
    line = {"timestamp": EARLY, "level": "INFO", "action": "ProcessStarted"}
    with log_of(tracker.path).open("a", encoding="utf-8") as log:
        log.write(json.dumps({**line, "details": f"Native process '{HIVE}' started"}) + "\n")
    assert stale(tracker) == [{"old"}] * 4


def test_times_decide_between_what_came_together(tracker: MigrationTracker) -> None:
    add(read(tracker.path), tracker.path, process=MIDDLE, before=EARLY, after=LATE, never=None, old=LATE)
    assert stale(tracker) == [{"before", "never"}] * 4


def test_pass_of_a_writer_that_does_not_know_the_process_is_refused(tracker: MigrationTracker) -> None:
    """It may be about the process before. One that knows the newer process counts."""
    known_to_it = read(tracker.path)
    tracker.add_native_process(HIVE)
    add(known_to_it, tracker.path, old=LATE)
    assert stale(tracker)[:3] == [{"old"}] * 3
    assert "record it again" in log_of(tracker.path).read_text(encoding="utf-8")
    tracker.write_audit("Note", "rebuilt")
    add(read(tracker.path), tracker.path, old="2099-01-15T12:00:00Z")
    assert stale(tracker) == [set[str]()] * 4


def test_mark_of_an_override_is_not_removed_by_hand(tracker: MigrationTracker) -> None:
    """It is what every report shows of a failure that was set to passed."""
    document = read(tracker.path)
    mark = {"tested_at": EARLY, "overridden": {"by": "jane", "at": EARLY, "reason": None}}
    marked = {**document["validation_results"][0], **mark}
    said = []
    for verdict in (marked, {key: value for key, value in marked.items() if key != "overridden"}):
        document["validation_results"] = [verdict]
        tracker.path.write_text(json.dumps(document), encoding="utf-8")
        said = [problem.message for problem in tracker.verify().problems]
        tracker.write_audit("Note", "on record")
        document = read(tracker.path)
        assert document["validation_results"] == [marked]
    assert any(message.startswith("'overridden' of 'old'") for message in said)


def test_failure_of_a_run_is_not_made_an_expected_one_by_hand(tracker: MigrationTracker) -> None:
    """An expected failure may be allowed, and only pytest says that a failure is expected."""
    tracker.add_validation_result(HIVE, "old", passed=False)
    document = read(tracker.path)
    document["validation_results"][0]["outcome"] = "xfailed"
    tracker.path.write_text(json.dumps(document), encoding="utf-8")
    assert not tracker.gate(Policy(allow=["xfailed"])).open
    tracker.write_audit("Note", "on record")
    assert "outcome" not in read(tracker.path)["validation_results"][0]
    assert "refused FAILED of test 'old'" in log_of(tracker.path).read_text(encoding="utf-8")
