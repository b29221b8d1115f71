"""A run against a completer: the gate and the transition are one atomic step."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from processes import Child, start
from writers import in_validation, no_check, quiet, run_at, tracker_at

from pytest_migration_state.domain import events
from pytest_migration_state.domain.document import new_document
from pytest_migration_state.domain.gate import evaluate
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import GateBlockedError
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Pair:
    """Two processes that start each race at the same time."""

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
    tracker.commit(
        [{"operation": "add_validation_result", "component": "c", "test_name": "1", "passed": True}]
    )
    tracker.close()


def _complete(state: Path) -> None:
    tracker = tracker_at(state)
    with suppress(GateBlockedError):
        tracker.commit([{"operation": "set_phase", "phase": "Completed"}])
    tracker.close()


def _plan_and_fail(state: Path, *, planned: bool) -> None:
    """Record a run of one test, which fails."""
    run = run_at(state, "run")
    run.open(no_check, {})
    if not planned:
        run.plan(RunPlan([outstanding(utc_now(), ("c", "2"), "pending")]))
    run.verdict(Verdict(("c", "2"), passed=False, error_message="no"))
    run.finish(1, {"failed": 1})
    run.close()
    assert run.failure is None


def _gate_when_completed(state: Path) -> bool | None:
    """Return True if the gate was open at the logged transition to Completed; ``None`` if there is none."""
    log = AuditLogFile(state.with_name("migration-audit.log"))
    log.open_to_read()
    document = new_document(None, "", "")
    for entry in log.read_new():
        if entry.data.get("phase") == "Completed":
            log.close()
            return evaluate(document).open
        events.apply(document, entry.data, entry.timestamp)
    log.close()
    return None


def test_planned_failing_run_prevents_completion(
    folder: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """If a run fails whose plan was recorded before the race, the migration is never completed."""
    state, template = folder / "work" / "migration-state.json", folder / "template"
    _template(template / state.name)
    planner = run_at(template / state.name, "planner")
    planner.open(no_check, {})
    planner.plan(RunPlan([outstanding(utc_now(), ("c", "2"), "pending")]))
    planner.close()
    pair = Pair(partial(_plan_and_fail, state, planned=True), partial(_complete, state))
    count = rounds(500, 5000)
    blocked_by: dict[str, int] = {}
    for _ in range(count):
        shutil.rmtree(state.parent, ignore_errors=True)
        shutil.copytree(template, state.parent)
        pair.race()
        document = FileStore(state, notify=quiet).read()
        assert document.phase == "Validation"
        assert not document.verdicts["c", "2"]["passed"]
        log = state.with_name("migration-audit.log").read_text()
        first = (
            "the run"
            if log.index('"ValidationResult","details":"Test \'2\'') < log.index('"GateBlocked"')
            else "the completer"
        )
        blocked_by[first] = blocked_by.get(first, 0) + 1
    pair.close()
    figures(
        f"{count} races of a planned run against a completer: 0 completed with a failure on record; "
        f"first was {blocked_by}"
    )


def test_completion_precedes_the_plan_of_a_run_or_fails(
    folder: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """If a run begins during the race, Completed is reached before its plan is recorded, or not at all."""
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
        assert FileStore(state, notify=quiet).read().phase == ("Completed" if was_open else "Validation")
    pair.close()
    figures(
        f"{count} races of a new run against a completer: {completed} completed before the run had started, "
        "0 with a failure on record"
    )
