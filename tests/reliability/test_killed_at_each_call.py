"""Each operation is killed at its n-th system call, n counting up, and each of its calls fails once."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from system_calls import failed_at_each_call, killed_at_each_call, needs_strace
from writers import (
    assert_sound,
    in_validation,
    kind_of,
    leave_journal,
    no_check,
    operation,
    quiet,
    run_at,
    tracker_at,
)

from pytest_migration_state.domain.policy import Policy
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import GateBlockedError, MigrationStateError, StateNotFoundError
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from writers import JsonObject

pytestmark = pytest.mark.usefixtures("_strace")


@pytest.fixture(scope="module")
def _strace() -> None:
    needs_strace()


@dataclass
class Scenario:
    """An operation on a state.

    :ivar prepare: creates the initial state.
    :ivar work: the operation.
    :ivar steps: the number of intermediate states; 1 is all or nothing.
    :ivar problems: the kinds of problems that ``verify`` may report afterwards, killed or not.
    """

    prepare: Callable[[Path], object]
    work: Callable[[Path], object]
    steps: int = 1
    problems: frozenset[str] = frozenset()


def _nothing(_: Path) -> None:
    pass


def _folder(path: Path) -> None:
    path.parent.mkdir()


def _some(path: Path) -> None:
    tracker = in_validation(path)
    for number in range(1, 7):
        tracker.commit([operation("before", number)])


def _verdict(path: Path) -> None:
    tracker_at(path).commit(
        [{"operation": "add_validation_result", "component": "new", "test_name": "1", "passed": True}]
    )


def _three(path: Path) -> None:
    tracker_at(path).commit([operation("new", number) for number in range(1, 4)])


def _complete(path: Path) -> None:
    tracker_at(path).commit([{"operation": "set_phase", "phase": "Completed"}])


def _begin_again(path: Path) -> None:
    tracker_at(path).initialize(force=True)


def _run(path: Path) -> None:
    run = run_at(path, "run-1")
    run.open(no_check, {})
    run.plan(RunPlan([outstanding(utc_now(), ("new", str(number)), "pending") for number in range(1, 4)]))
    for number in range(1, 4):
        run.verdict(Verdict(("new", str(number)), passed=True))
    result = run.complete(Policy())
    run.finish(0, {"passed": 3})
    if run.failure or not result.open:
        raise run.failure or GateBlockedError(result.blockers)


def _run_that_loses_its_log(path: Path) -> None:
    run = run_at(path, "run-1")
    run.open(no_check, {})
    for number in range(1, 4):
        run.verdict(Verdict(("new", str(number)), passed=True))
    path.with_name("migration-audit.log").unlink()
    run.verdict(Verdict(("new", "4"), passed=True))
    run.finish(0, {"passed": 4})
    if run.failure:
        raise run.failure


def _torn(path: Path) -> None:
    _some(path)
    log = path.with_name("migration-audit.log")
    line = log.read_bytes().splitlines()[-1]
    with log.open("ab") as file:
        file.write(line[: len(line) // 2])


def _torn_commit(path: Path) -> None:
    """Leave two of the three entries of one commit."""
    _some(path)
    document, log = path.read_bytes(), path.with_name("migration-audit.log")
    _three(path)
    path.write_bytes(document)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))


def _without_document(path: Path) -> None:
    _some(path)
    path.unlink()


def _without_log(path: Path) -> None:
    _some(path)
    path.with_name("migration-audit.log").unlink()


def _of_another_tool(path: Path) -> None:
    _some(path)
    document = json.loads(path.read_bytes())
    del document["metadata"], document["outstanding_validations"]
    path.write_text(json.dumps(document))
    path.with_name("migration-audit.log").unlink()


def _dead_journal(path: Path) -> None:
    _some(path)
    leave_journal(path, "dead", 3)


def _torn_journal(path: Path) -> None:
    _some(path)
    journal = leave_journal(path, "dead", 3)
    journal.write_bytes(journal.read_bytes()[:-9])


def _damaged_journal(path: Path) -> None:
    _some(path)
    journal = leave_journal(path, "dead", 3)
    journal.write_bytes(journal.read_bytes().replace(b'"passed":true', b'"passed":tru3', 1))


SCENARIOS = {
    "create": Scenario(_folder, _verdict),
    "create_folder": Scenario(_nothing, _verdict),
    "verdict": Scenario(_some, _verdict),
    "three_at_once": Scenario(_some, _three),
    "complete": Scenario(_some, _complete),
    "begin_again": Scenario(_some, _begin_again),
    # Started, planned, three verdicts, completed, finished.
    "run": Scenario(_some, _run, steps=7),
    # Started, four verdicts, finished. Between the loss and the next verdict, only the run knows the first
    # three.
    "run_that_loses_its_log": Scenario(
        _some, _run_that_loses_its_log, steps=7, problems=frozenset({"loss_reported", "log_missing"})
    ),
    "torn_line": Scenario(_torn, _verdict),
    "torn_commit": Scenario(_torn_commit, _three),
    "document_lost": Scenario(_without_document, _verdict),
    "log_lost": Scenario(_without_log, _verdict, problems=frozenset({"loss_reported"})),
    "dead_journal": Scenario(_dead_journal, _verdict),
    "dead_journal_before_a_run": Scenario(_dead_journal, _run, steps=7),
    "dead_journal_before_a_beginning": Scenario(_dead_journal, _begin_again),
    "torn_journal": Scenario(_torn_journal, _verdict),
    "damaged_journal": Scenario(_damaged_journal, _verdict),
    "of_another_tool": Scenario(_of_another_tool, _verdict, problems=frozenset({"unexplained"})),
}


class Bench:
    """The state under test, reset for each step."""

    def __init__(self, folder: Path, scenario: Scenario) -> None:
        self.scenario = scenario
        self._template = folder / "template"
        self.state = folder / "work" / "migration-state.json"
        scenario.prepare(self._template / self.state.name)
        self.reset()
        self.before = self.seen()
        scenario.work(self.state)
        self.after = self.seen()

    def reset(self) -> None:
        shutil.rmtree(self.state.parent, ignore_errors=True)
        if self._template.exists():
            shutil.copytree(self._template, self.state.parent)

    def work(self) -> None:
        self.scenario.work(self.state)

    def seen(self) -> JsonObject | None:
        """Return the state without the fields that depend on the time, or ``None`` if there is none."""
        try:
            found = FileStore(self.state, notify=quiet).read().to_object()
        except StateNotFoundError:
            return None
        for item in (
            *found["validation_results"],
            *found["docker_containers_removed"],
            *found["outstanding_validations"],
        ):
            for key in ("tested_at", "removed_at", "since"):
                item.pop(key, None)
        found["completed_at"] = bool(found["completed_at"])
        found["metadata"] = sorted(found["metadata"].get("open_runs", ()))
        return {key: value for key, value in found.items() if key not in {"started_at", "last_updated"}}

    def check(self, *, problems: frozenset[str] = frozenset()) -> JsonObject | None:
        """Assert that the file is complete and the next writer succeeds; return the state before it."""
        allowed = self.scenario.problems | problems
        if self.state.exists():
            json.loads(self.state.read_bytes())
        seen = self.seen()
        tracker_at(self.state).commit([])
        if seen is not None:
            assert self.seen() == seen
        found = tracker_at(self.state).verify().problems
        assert not [problem for problem in found if kind_of(problem) not in allowed]
        if not allowed:
            assert_sound(self.state)
        assert not list(self.state.parent.glob("*.tmp-*"))
        return seen


@pytest.mark.parametrize("name", SCENARIOS)
def test_kill_at_any_call_leaves_no_partial_operation(
    name: str, folder: Path, figures: Callable[[str], None]
) -> None:
    """Whichever system call the process is killed at, the operation is done or not, and others continue."""
    bench = Bench(folder, SCENARIOS[name])
    seen: list[JsonObject | None] = []
    kills = 0
    for _ in killed_at_each_call(bench.work, reset=bench.reset):
        kills += 1
        found = bench.check()
        if found not in seen:
            seen.append(found)
    # A newly created, empty state is one more step.
    ways = [found for found in seen if found not in (bench.before, bench.after)]
    assert len(ways) <= bench.scenario.steps - 1 + (bench.before is None), ways
    figures(
        f"{name}: killed at {kills} system calls, each time the state before or after it "
        f"({len(ways)} steps on the way)"
    )


FAILURES = [("fsync", "EIO"), ("write", "ENOSPC"), ("write", "EIO"), ("openat", "EMFILE"),
            ("openat", "EACCES"), ("ftruncate", "EIO"), ("?rename", "EIO"), ("?rename", "EACCES"),
            ("flock", "ENOLCK"), ("fchmod", "EPERM"), ("read", "EIO")]  # fmt: skip
_REFUSED = 3


@pytest.mark.parametrize(("call", "error"), FAILURES)
@pytest.mark.parametrize("name", ["create", "verdict", "three_at_once", "run", "torn_line", "begin_again"])
def test_failure_of_any_call_loses_nothing_acknowledged(
    name: str, call: str, error: str, folder: Path, figures: Callable[[str], None]
) -> None:
    """Whichever system call fails, every acknowledged change is kept, and a refusal is a clear error."""
    bench = Bench(folder, SCENARIOS[name])
    # A log that could not be written or flushed notes that, and lacks the entries.
    problems = {"unlogged_changes", "loss_reported"}
    if name == "begin_again":
        problems.add("unexplained")

    def work() -> None:
        try:
            bench.work()
        except MigrationStateError:
            os._exit(_REFUSED)

    done = refused = 0
    for _, status in failed_at_each_call(work, call, error, reset=bench.reset):
        assert status in {0, _REFUSED}
        found = bench.check(problems=frozenset(problems))
        if status == 0:
            done += 1
            assert found == bench.after
        else:
            refused += 1
            assert (
                bench.scenario.steps > 1 or found in (bench.before, bench.after, None) or bench.before is None
            )
    if done + refused:
        figures(
            f"{name}: {done + refused} x {call.strip('?')} failed with {error}: "
            f"{done} done all the same, {refused} refused, 0 lost"
        )


def test_failed_flush_is_not_repeated(state: Path) -> None:
    """If the disk refuses to flush the log, the log notes it once, and the document contains the effect."""
    _some(state)
    statuses = list(failed_at_each_call(lambda: _verdict(state), "fsync", "EIO", reset=lambda: None))
    # A failed flush of the log is tolerated. For the document and its folder it is an error.
    assert [status for _, status in statuses] == [0, 1, 1]
    log = state.with_name("migration-audit.log").read_text()
    assert log.count("The disk refused to flush this log (Input/output error)") == 1
