"""A run's failure that is replaced by hand leaves a mark with the verdict and an entry in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state import MigrationTracker
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.storage.identity import this_actor
from pytest_migration_state.text import utc_now
from pytest_migration_state.tracking.run_writer import RunWriter
from state_files import DOCUMENT, in_validation, lines, put_lines

if TYPE_CHECKING:
    from pathlib import Path

KEY = ("guardian-hive", "test_it")
BY_HAND = {"operation": "add_validation_result", "component": KEY[0], "test_name": KEY[1]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state in Validation, in which a run recorded a failure."""
    in_validation(tmp_path / DOCUMENT)
    run_test(tmp_path / DOCUMENT, passed=False)
    return tmp_path / DOCUMENT


def run_test(path: Path, *, passed: bool) -> None:
    """Record a run of the test."""
    run = RunWriter(path, "7f3c", notify=lambda _: None)
    run.open(lambda _: None, {})
    run.plan(RunPlan([outstanding(utc_now(), KEY, "pending")]))
    run.verdict(Verdict(KEY, passed=passed, run_id="7f3c"))
    run.finish(0, {})
    run.close()


def tracker(path: Path) -> MigrationTracker:
    return MigrationTracker(path, notify=lambda _: None)


def override_of(path: Path) -> dict[str, Any] | None:
    """Return the mark of the verdict, as a reader of document and log finds it."""
    found: dict[str, Any] | None = tracker(path).read().verdicts[KEY].get("overridden")
    return found


def overrides(path: Path) -> list[str | None]:
    """Return the details of the entries about overrides."""
    return [entry.details for entry in tracker(path).read_audit() if entry.action == "VerdictOverridden"]


def test_a_pass_by_hand_is_marked(path: Path) -> None:
    """The mark names who, when and why; the entry also names the run."""
    tracker(path).add_validation_result(*KEY, passed=True, reason="the test asks the old port")
    (verdict,) = tracker(path).state.validation_results
    assert verdict.overridden is not None
    assert (verdict.overridden.by, verdict.overridden.at) == (this_actor(), verdict.tested_at)
    assert verdict.overridden.reason == "the test asks the old port"
    words = "PASSED by hand over the failure of run 7f3c (the test asks the old port)"
    assert overrides(path) == [f"Test 'test_it' for 'guardian-hive': {words}"]
    last = tracker(path).read_audit()[-1]
    assert (last.level, last.actor) == ("WARNING", this_actor())
    assert tracker(path).verify().sound


def test_verdict_and_entry_count_together(path: Path) -> None:
    """If the writer was killed between the two, the failure still counts."""
    before = path.read_bytes()
    tracker(path).add_validation_result(*KEY, passed=True)
    assert b"VerdictOverridden" in lines(path)[-1]
    put_lines(path, lines(path)[:-1])
    path.write_bytes(before)
    assert not tracker(path).gate().open


def test_a_rebuilt_document_has_the_mark(path: Path) -> None:
    """The mark is part of the change in the log."""
    tracker(path).add_validation_result(*KEY, passed=True)
    before = override_of(path)
    path.unlink()
    assert before is not None
    assert before == override_of(path)


def test_a_run_s_verdict_has_no_mark(path: Path) -> None:
    """A run that passes takes the mark away."""
    tracker(path).add_validation_result(*KEY, passed=True)
    assert override_of(path) is not None
    run_test(path, passed=True)
    assert override_of(path) is None
    tracker(path).add_validation_result(*KEY, passed=True)
    assert override_of(path) is None


def test_a_failure_by_hand_in_between_does_not_hide_a_run_s(path: Path) -> None:
    """Failed by hand, then passed by hand: together, too, the pass is marked as its own."""
    tracker(path).apply([BY_HAND | {"passed": False}, BY_HAND | {"passed": True}])
    assert override_of(path) is not None
    words = "PASSED by hand over the failure of an earlier run (no reason given)"
    assert overrides(path) == [f"Test 'test_it' for 'guardian-hive': {words}"]


def test_a_repeated_pass_keeps_its_mark(path: Path) -> None:
    """A script that is run again does not remove the reason; a new reason replaces it."""
    tracker(path).add_validation_result(*KEY, passed=True, reason="OPS-7")
    first = override_of(path)
    tracker(path).add_validation_result(*KEY, passed=True)
    assert first == override_of(path)
    assert len(overrides(path)) == 1
    tracker(path).add_validation_result(*KEY, passed=True, reason="OPS-8")
    assert (override_of(path) or {})["reason"] == "OPS-8"
    assert len(overrides(path)) == 2


@pytest.mark.parametrize("passed", [True, False])
def test_a_reason_that_overrides_nothing_is_kept_in_the_log(path: Path, passed: bool) -> None:
    """Nothing is marked, and the reason is in the entry's data."""
    tracker(path).add_validation_result("agent-zero", "test_it", passed, reason="looked at by hand")
    last = tracker(path).read_audit()[-1]
    assert (last.action, (last.data or {})["reason"]) == ("ValidationResult", "looked at by hand")
    assert overrides(path) == []


@pytest.mark.parametrize("reason", ["", " "])
def test_an_empty_reason_is_none(path: Path, reason: str) -> None:
    """A script may hand on an empty text."""
    tracker(path).add_validation_result(*KEY, passed=True, reason=reason)
    assert (override_of(path) or {})["reason"] is None
