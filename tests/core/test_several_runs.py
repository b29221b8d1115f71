"""Several runs of one validation: none settles what another has still to say, and the order of events decides, not clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state import Policy
from pytest_migration_state.core import events
from pytest_migration_state.core.document import new_document, open_runs, runs_of, waiting_for
from pytest_migration_state.core.gate import Context, evaluate

if TYPE_CHECKING:
    from pytest_migration_state.core.document import Document
    from pytest_migration_state.core.liveness import Liveness

NOW, EARLIER = "2026-01-15T09:14:00.000Z", "2026-01-15T09:13:00.000Z"
KEY = ("hive", "tests/test_x.py::t")


class Migration:
    """A document and what happens to it, in order."""

    def __init__(self, phase: str = "Validation") -> None:
        self.document: Document = new_document(NOW, "id", "linux")
        self.document.fields["phase"] = phase

    def then(self, event: events.Event) -> Migration:
        self.document = events.apply(self.document, event.data, NOW)
        return self

    def begin(self, run_id: str) -> Migration:
        process = {"host": "runner-7", "process_id": 42}
        started = self.then(events.run_started(NOW, run_id, process, {}, "4d5e"))
        return started.then(events.planned([], metadata={"open_runs": {run_id: {"collecting": None}}}))

    def plan(self, run_id: str, *others: str) -> Migration:
        return self.then(events.planned([waiting_for(events.outstanding(NOW, KEY, "pending"), [run_id, *others])]))

    def give(self, run_id: str | None, *, passed: bool = True, at: str = NOW) -> Migration:
        more = {"run_id": run_id} if run_id else None
        return self.then(events.verdict_given(at, *KEY, passed, None, more))

    def finish(self, run_id: str) -> Migration:
        return self.then(events.run_finished(NOW, run_id, 0, {}, 1.0, has_planned=True))

    def is_open(self, **lives: Liveness) -> bool:
        return evaluate(self.document, None, Context(liveness=lives)).open


def both() -> Migration:
    """Two runs that have both planned the validation."""
    return Migration().begin("a").plan("a").begin("b").plan("b", "a")


def test_each_run_gives_its_verdict() -> None:
    """It is settled when both have."""
    migration = both().give("b")
    assert runs_of(migration.document.outstanding[KEY]) == ["a"]
    assert not migration.finish("b").is_open(a="unknown")
    assert migration.give("a").finish("a").is_open()


@pytest.mark.parametrize("first", ["a", "b"])
def test_the_other_run_never_says_anything(first: str) -> None:
    """What a run that did not finish would have said is lost, and the gate stays shut."""
    assert not both().give(first).finish(first).is_open(a="dead", b="dead")


@pytest.mark.parametrize("first", ["a", "b"])
def test_the_other_run_ends_without_it(first: str) -> None:
    """It was stopped before that test: the verdict of the first is the newest there is."""
    other = {"a": "b", "b": "a"}[first]
    assert both().finish(other).give(first).finish(first).is_open()
    assert both().give(first).finish(other).finish(first).is_open()


def test_a_run_that_still_lives_keeps_the_gate_shut() -> None:
    """Its verdicts may get worse until it ends, whatever they are now; not so for who asks itself."""
    migration = Migration().begin("a").plan("a").give("a")
    assert not migration.is_open(a="alive")
    assert evaluate(migration.document, None, Context(liveness={"a": "alive"}, run_id="a")).open
    assert migration.is_open(a="dead")
    assert migration.is_open(a="unknown")


def test_clocks_settle_nothing_between_runs() -> None:
    """A skip that comes after a pass stands, although its clock says that it was earlier."""
    skip = events.skipped(events.outstanding(EARLIER, KEY, "skipped", "needs network"))
    migration = Migration().begin("a").begin("b").give("b").then(skip).finish("a").finish("b")
    assert not migration.is_open()
    assert evaluate(migration.document, Policy(allow=frozenset({"skipped"}))).open


@pytest.mark.parametrize(("at", "is_open"), [(NOW, True), (EARLIER, False)])
def test_clocks_decide_about_other_tools(at: str, is_open: bool) -> None:
    """A verdict that another tool put beside the outstanding validation counts if it is newer."""
    entry = events.outstanding("2026-01-15T09:13:30.000Z", KEY, "pending")
    migration = Migration().then(events.planned([entry]))
    migration.document.verdicts[KEY] = {"component": KEY[0], "test_name": KEY[1], "passed": True, "tested_at": at}
    assert migration.is_open() is is_open


def test_a_verdict_by_hand_settles_what_runs_have_left() -> None:
    """An operator who has looked knows more than a run that was killed."""
    assert both().give(None).is_open(a="dead", b="dead")


def test_a_completed_migration_is_validated_again() -> None:
    """It keeps its verdicts while a run goes on, and when that is killed; a failure counts."""
    migration = Migration().give("a")
    migration.document.fields["phase"] = "Completed"
    migration.begin("b").plan("b")
    assert migration.is_open(b="alive")
    assert migration.is_open(b="dead")
    assert not migration.give("b", passed=False).is_open()


def test_a_new_validation_of_a_completed_migration() -> None:
    """What never had a verdict has none now: that is said."""
    migration = Migration("Completed").then(events.verdict_given(NOW, "hive", "other", passed=True, error_message=None))
    assert not migration.begin("b").plan("b").is_open()


WORDS: dict[str, tuple[Liveness, dict[str, Any], str]] = {
    "alive": ("alive", {}, "is running now"),
    "dead": ("dead", {}, "was killed"),
    "unknown": ("unknown", {}, "has not finished; nothing is known of it"),
    "alive, collecting": ("alive", {"collecting": "4d5e"}, "is running now; let it finish, or: migration-state forget"),
    "dead, collecting": ("dead", {"collecting": "4d5e"}, "was killed, and it had not said which tests it would run; run the same again"),
    "unknown, collecting": (
        "unknown",
        {"collecting": "4d5e"},
        "has not finished; nothing is known of it, and it had not said which tests it would run; run the same again",
    ),
    "ended, collecting": (
        "dead",
        {"collecting": "4d5e", "finished_at": NOW, "exit_status": 2},
        "ended with exit status 2 before it was known which tests it would run; run the same again",
    ),
}


@pytest.mark.parametrize(("lives", "run", "words"), WORDS.values(), ids=WORDS.keys())
def test_a_blocker_says_what_is_known_of_the_run(lives: Liveness, run: dict[str, Any], words: str) -> None:
    """Where it is, since when, whether it lives, and what to do."""
    migration = Migration().begin("a").plan("a")
    migration.document.metadata["open_runs"]["a"].update(run)
    messages = [blocker.message for blocker in evaluate(migration.document, None, Context(liveness={"a": lives})).blockers]
    (message,) = [message for message in messages if words in message and (not run or message.startswith("run a"))][:1]
    assert f"run a on runner-7 (process 42), begun {NOW}, {words}" in message


def test_a_run_that_did_not_plan_stays_open() -> None:
    """Its end does not settle it; forgetting it does."""
    migration = Migration().then(events.run_started(NOW, "a", {}, {}, "4d5e"))
    migration.then(events.run_finished(NOW, "a", 2, {}, 1.0, has_planned=False)).give("b")
    assert [blocker.test_name for blocker in evaluate(migration.document).blockers] == ["run a"]
    assert migration.then(events.run_forgotten("a", "it was a typing error")).is_open()
    assert open_runs(migration.document) == {}
