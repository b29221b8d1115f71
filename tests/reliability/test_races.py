"""Recorder against completer: the gate and the transition are one step."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from processes import Child, start
from writers import in_validation, no_check, quiet, recorder_at, tracker_at

from pytest_migration_state.core import events
from pytest_migration_state.core.document import new_document
from pytest_migration_state.core.errors import GateBlockedError
from pytest_migration_state.core.events import outstanding
from pytest_migration_state.core.gate import evaluate
from pytest_migration_state.core.journal import Journal
from pytest_migration_state.core.store import Store
from pytest_migration_state.core.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Pair:
    """Two processes that begin each race together, for as many as there are."""

    def __init__(self, one: Callable[[], object], other: Callable[[], object]) -> None:
        self._go = [os.pipe() for _ in range(2)]
        self._done = os.pipe()
        self._children: list[Child] = [start(partial(self._serve, *item)) for item in enumerate((one, other))]

    def _serve(self, number: int, work: Callable[[], object]) -> None:
        while os.read(self._go[number][0], 1) == b"!":
            work()
            os.write(self._done[1], b".")

    def race(self) -> None:
        for _, begin in self._go:
            os.write(begin, b"!")
        for _ in self._children:
            assert os.read(self._done[0], 1) == b"."

    def close(self) -> None:
        for child in self._children:
            child.kill()
        for descriptor in (*self._go[0], *self._go[1], *self._done):
            os.close(descriptor)


def _template(state: Path) -> None:
    tracker = in_validation(state)
    tracker.commit([{"operation": "add_validation_result", "component": "c", "test_name": "1", "passed": True}])
    tracker.close()


def _complete(state: Path) -> None:
    tracker = tracker_at(state)
    with suppress(GateBlockedError):
        tracker.commit([{"operation": "set_phase", "phase": "Completed"}])
    tracker.close()


def _plan_and_fail(state: Path, *, planned: bool) -> None:
    """A run of one test, which fails."""
    run = recorder_at(state, "run")
    run.open(no_check, {})
    if not planned:
        run.plan([outstanding(utc_now(), ("c", "2"), "pending")])
    run.verdict(("c", "2"), passed=False, error_message="no")
    run.finish(1, {"failed": 1}, 0.0)
    run.close()
    assert run.failure is None


def _gate_when_completed(state: Path) -> bool | None:
    """Was the gate open for the transition to Completed, as the log tells it; ``None``: there was none."""
    journal = Journal(state.with_name("migration-audit.log"))
    journal.open(writable=False)
    document = new_document(None, "", "")
    for entry in journal.read_new():
        if entry.data.get("phase") == "Completed":
            journal.close()
            return evaluate(document).open
        document = events.apply(document, entry.data, entry.timestamp)
    journal.close()
    return None


def test_planned_run_against_completer(folder: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]) -> None:
    """A run whose plan is on record and that fails: whoever comes first, the migration is not completed."""
    state, template = folder / "work" / "migration-state.json", folder / "template"
    _template(template / state.name)
    store_run = recorder_at(template / state.name, "planner")
    store_run.open(no_check, {})
    store_run.plan([outstanding(utc_now(), ("c", "2"), "pending")])
    store_run.close()
    pair = Pair(partial(_plan_and_fail, state, planned=True), partial(_complete, state))
    count = rounds(500, 5000)
    blocked_by: dict[str, int] = {}
    for _ in range(count):
        shutil.rmtree(state.parent, ignore_errors=True)
        shutil.copytree(template, state.parent)
        pair.race()
        document = Store(state, notify=quiet).read()
        assert document.phase == "Validation"
        assert not document.verdicts["c", "2"]["passed"]
        log = state.with_name("migration-audit.log").read_text()
        first = "the run" if log.index('"ValidationResult","details":"Test \'2\'') < log.index('"GateBlocked"') else "the completer"
        blocked_by[first] = blocked_by.get(first, 0) + 1
    pair.close()
    figures(f"{count} races of a planned run against a completer: 0 completed with a failure on record; first was {blocked_by}")


def test_unplanned_run_against_completer(folder: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]) -> None:
    """A run that begins at the same time: Completed is reached before its plan was on record, or not at all."""
    state, template = folder / "work" / "migration-state.json", folder / "template"
    _template(template / state.name)
    pair = Pair(partial(_plan_and_fail, state, planned=False), partial(_complete, state))
    count = rounds(500, 5000)
    completed = 0
    for _ in range(count):
        shutil.rmtree(state.parent, ignore_errors=True)
        shutil.copytree(template, state.parent)
        pair.race()
        was_open = _gate_when_completed(state)
        assert was_open is not False
        completed += was_open is True
        assert Store(state, notify=quiet).read().phase == ("Completed" if was_open else "Validation")
    pair.close()
    figures(f"{count} races of a new run against a completer: {completed} completed before the run had begun, 0 with a failure on record")
