"""Several runs of one validation: each waits for its own verdict, and events are ordered by the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state import Policy
from pytest_migration_state.domain import events, run_events
from pytest_migration_state.domain.document import new_document
from pytest_migration_state.domain.gate import Context, evaluate
from pytest_migration_state.domain.runs import runs_of, waiting_for
from pytest_migration_state.domain.verdict import Verdict

if TYPE_CHECKING:
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import Liveness

NOW, EARLIER = "2026-01-15T09:14:00.000Z", "2026-01-15T09:13:00.000Z"
KEY = ("hive", "tests/test_x.py::t")


class Migration:
    """A document to which events are applied in order."""

    def __init__(self, phase: str = "Validation") -> None:
        self.document: Document = new_document(NOW, "id", "linux")
        self.document.fields["phase"] = phase

    def then(self, event: events.Event) -> Migration:
        events.apply(self.document, event.data, NOW)
        return self

    def begin(self, run_id: str) -> Migration:
        process = {"host": "runner-7", "process_id": 42}
        started = self.then(run_events.run_started(NOW, run_id, process, {}, "4d5e"))
        return started.then(run_events.planned([], metadata={"open_runs": {run_id: {"collecting": None}}}))

    def plan(self, run_id: str, *others: str) -> Migration:
        return self.then(
            run_events.planned([waiting_for(run_events.outstanding(NOW, KEY, "pending"), [run_id, *others])])
        )

    def record(self, run_id: str | None, *, passed: bool = True, at: str = NOW) -> Migration:
        return self.then(events.verdict_recorded(at, Verdict(KEY, passed, run_id=run_id)))

    def finish(self, run_id: str) -> Migration:
        return self.then(run_events.run_finished(NOW, run_id, 0, {}, 1.0, has_planned=True))

    def is_open(self, **lives: Liveness) -> bool:
        return evaluate(self.document, None, Context(liveness=lives)).open


def both() -> Migration:
    """Two runs that have both planned the validation."""
    return Migration().begin("a").plan("a").begin("b").plan("b", "a")


def test_each_run_records_its_verdict() -> None:
    """The validation is settled when both runs have recorded theirs."""
    migration = both().record("b")
    assert runs_of(migration.document.outstanding[KEY]) == ["a"]
    assert not migration.finish("b").is_open(a="unknown")
    assert migration.record("a").finish("a").is_open()


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_run_that_never_finishes_keeps_the_gate_shut(first: str) -> None:
    """The verdict of the unfinished run is missing, and the gate stays shut."""
    assert not both().record(first).finish(first).is_open(a="dead", b="dead")


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_run_that_finishes_without_a_verdict_changes_nothing(first: str) -> None:
    """It was stopped before that test, so the verdict of the first run is the newest."""
    other = {"a": "b", "b": "a"}[first]
    assert both().finish(other).record(first).finish(first).is_open()
    assert both().record(first).finish(other).finish(first).is_open()


def test_a_run_that_is_alive_keeps_the_gate_shut() -> None:
    """Its verdicts may get worse until it ends. A run does not block itself."""
    migration = Migration().begin("a").plan("a").record("a")
    assert not migration.is_open(a="alive")
    assert evaluate(migration.document, None, Context(liveness={"a": "alive"}, run_id="a")).open
    assert migration.is_open(a="dead")
    assert migration.is_open(a="unknown")


def test_clocks_do_not_order_the_events_of_runs() -> None:
    """A skip recorded after a pass counts, although its timestamp is earlier."""
    skip = run_events.skipped(run_events.outstanding(EARLIER, KEY, "skipped", "needs network"))
    migration = Migration().begin("a").begin("b").record("b").then(skip).finish("a").finish("b")
    assert not migration.is_open()
    assert evaluate(migration.document, Policy(allow=frozenset({"skipped"}))).open


@pytest.mark.parametrize(("at", "is_open"), [(NOW, True), (EARLIER, False)])
def test_clocks_order_the_verdicts_of_other_tools(at: str, is_open: bool) -> None:
    """A verdict that another tool wrote counts if it is newer than the outstanding validation."""
    entry = run_events.outstanding("2026-01-15T09:13:30.000Z", KEY, "pending")
    migration = Migration().then(run_events.planned([entry]))
    migration.document.verdicts[KEY] = {
        "component": KEY[0],
        "test_name": KEY[1],
        "passed": True,
        "tested_at": at,
    }
    assert migration.is_open() is is_open


def test_a_verdict_by_hand_settles_what_runs_left_open() -> None:
    """An operator's verdict replaces the missing one of a run that was killed."""
    assert both().record(None).is_open(a="dead", b="dead")


def test_a_completed_migration_can_be_validated_again() -> None:
    """Its verdicts are kept during the run and when the run is killed; a failure counts."""
    migration = Migration().record("a")
    migration.document.fields |= {"phase": "Completed", "completed_at": NOW}
    migration.document.metadata["completed_with"] = {"at": NOW}
    migration.begin("b").plan("b")
    assert migration.is_open(b="alive")
    assert migration.is_open(b="dead")
    assert not migration.record("b", passed=False).is_open()


def test_a_new_validation_shuts_the_gate_of_a_completed_migration() -> None:
    """It has no earlier verdict that could be kept."""
    migration = Migration("Completed").then(
        events.verdict_recorded(NOW, Verdict(("hive", "other"), passed=True))
    )
    assert not migration.begin("b").plan("b").is_open()


WORDS: dict[str, tuple[Liveness, dict[str, Any], str]] = {
    "alive": ("alive", {}, "is running now"),
    "dead": ("dead", {}, "was killed"),
    "unknown": ("unknown", {}, "has not finished; nothing is known of it"),
    "alive, collecting": (
        "alive",
        {"collecting": "4d5e"},
        "is running now; let it finish, or: migration-state forget",
    ),
    "dead, collecting": (
        "dead",
        {"collecting": "4d5e"},
        "was killed; its plan is not recorded; run the same again",
    ),
    "unknown, collecting": (
        "unknown",
        {"collecting": "4d5e"},
        "has not finished; nothing is known of it; its plan is not recorded; run the same again",
    ),
    "ended, collecting": (
        "dead",
        {"collecting": "4d5e", "finished_at": NOW, "exit_status": 2},
        "ended with exit status 2 before its plan was recorded; run the same again",
    ),
}


@pytest.mark.parametrize(("lives", "run", "words"), WORDS.values(), ids=WORDS.keys())
def test_a_blocker_describes_the_run(lives: Liveness, run: dict[str, Any], words: str) -> None:
    """It contains the host, the start and the liveness of the run, and the remedy."""
    migration = Migration().begin("a").plan("a")
    migration.document.metadata["open_runs"]["a"].update(run)
    blockers = evaluate(migration.document, None, Context(liveness={"a": lives})).blockers
    messages = [f"{blocker.message}; {blocker.fix}" for blocker in blockers]
    (message,) = [
        message for message in messages if words in message and (not run or message.startswith("run a"))
    ][:1]
    assert f"run a on runner-7 (process 42), begun {NOW}, {words}" in message


def test_a_run_that_did_not_plan_stays_open() -> None:
    """Only ``forget`` settles it."""
    migration = Migration().then(run_events.run_started(NOW, "a", {}, {}, "4d5e"))
    migration.then(run_events.run_finished(NOW, "a", 2, {}, 1.0, has_planned=False)).record("b")
    assert [blocker.test_name for blocker in evaluate(migration.document).blockers] == ["run a"]
    assert migration.then(events.run_forgotten("a", "it was a typing error")).is_open()
    assert migration.document.open_runs == {}


def test_completion_by_another_program_ends_no_run() -> None:
    """Nothing says that the gate was open then: a run may have been going on."""
    planned = Migration().record("a").begin("b")
    process = {"host": "runner-7", "process_id": 42}
    collecting = Migration().record("a").then(run_events.run_started(NOW, "b", process, {}, "4d5e"))
    for migration in (planned, collecting):
        migration.document.fields |= {"phase": "Completed", "completed_at": NOW}
        assert not migration.is_open(b="alive")
    assert planned.is_open(b="dead")
    assert not collecting.is_open(b="dead")
