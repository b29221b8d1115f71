"""The plugin object of a recorded run: in the one process, or on xdist's controller."""

from __future__ import annotations

import collections
import functools
import hashlib
import itertools
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import pytest

from pytest_migration_state import plugin
from pytest_migration_state.core import events
from pytest_migration_state.core.document import Document, open_runs
from pytest_migration_state.core.errors import MigrationStateError
from pytest_migration_state.core.gate import COLLECTION
from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.run import RunRecorder
from pytest_migration_state.core.text import printable, storable, utc_now
from pytest_migration_state.core.tracker import MigrationTracker
from pytest_migration_state.recording import summary
from pytest_migration_state.recording.collection import CollectionWatch, Plan
from pytest_migration_state.recording.environment import whereabouts
from pytest_migration_state.recording.verdicts import Attempt
from pytest_migration_state.recording.worker import NOTICES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pytest_migration_state.core.document import JsonObject, Key
    from pytest_migration_state.core.gate import GateResult, Policy

#: The component of a crashed worker's test that cannot be tied to one.
UNKNOWN = "(unknown)"

#: The phase of xdist's own report of a test whose worker died; pytest knows no such phase.
CRASHED = "???"


P = ParamSpec("P")
R = TypeVar("R")

#: What a hook of ours must not let out: pytest-timeout may strike there too, while the state is locked.
_ANYTHING = (Exception, pytest.fail.Exception)


def guarded(hook: Callable[Concatenate[Recorder, P], R]) -> Callable[Concatenate[Recorder, P], R | None]:
    """A hook that never ends the run: what goes wrong in it is told at the end, and the exit status shows it.

    A process that a test forked runs the hooks too; it is not the run, and records nothing.
    """

    @functools.wraps(hook)
    def guard(self: Recorder, /, *args: P.args, **kwargs: P.kwargs) -> R | None:
        if os.getpid() != self.process_id:
            return None
        try:
            return hook(self, *args, **kwargs)
        except _ANYTHING as error:  # whatever it is, the tests go on
            self.went_wrong(error)
            return None

    return guard


class Recorder:
    """Records one run.

    :param passive: the option under which nothing runs and so nothing is recorded, or ``None``.
    :ivar problems: what went wrong with the recording, in sentences; any makes the exit status at least 1.
    :ivar notices: what a person should know although the recording went on.
    :ivar counts: how many verdicts of each outcome this run gave.
    :ivar flaky: validations that passed only after a rerun, with the number of attempts.
    :ivar completion: in words what came of ``--migration-complete``; ``None`` before that and without the option.
    """

    def __init__(self, config: pytest.Config, path: Path, policy: Policy, *, complete: bool, passive: str | None) -> None:
        self.config, self.path, self.policy, self.passive = config, path, policy, passive
        self.process_id = os.getpid()
        self.problems: list[str] = []
        self.notices: list[str] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.flaky: dict[Key, int] = {}
        self.gate: GateResult | None = None
        self.interrupted_runs: dict[str, JsonObject] = {}
        self.is_open = False
        self._is_planned = False
        self._is_finished = False
        self._has_told = False
        self._complete = complete
        self._is_completed = False
        self.completion: str | None = None
        run_id = secrets.token_hex(8)
        self.run = RunRecorder(path, run_id, notify=self.notices.append)
        self.tracker = MigrationTracker(path, run_id=run_id, notify=self.notices.append)
        self._began = time.monotonic()
        self._watch: CollectionWatch | None = None
        self._plans = Path()
        self._taken = b""
        self._lacks_a_plan = False
        self._tests: dict[str, list[Key]] = {}
        self._node_ids: dict[str, str] = {}
        self._uncollected: set[str] = set()
        self._planned: set[Key] = set()
        self._without_verdict: set[Key] = set()
        # By node id and, under --dist=each, the seat of the worker. They are kept when a test has ended: whatever makes it run
        # twice in one run, the worse counts.
        self._attempts: dict[tuple[str, object], Attempt] = {}
        # Under xdist's --dist=each a test runs once on every worker, and its verdict is the worst of them: the seats of those
        # that collected it or ran it.
        self._on_every_worker = False
        self._seats: dict[str, set[object]] = collections.defaultdict(set)

    def went_wrong(self, error: BaseException) -> None:
        """Have what went wrong with the recording told at the end."""
        problem = f"{type(error).__name__}: {error}"
        if problem not in self.problems:
            self.problems.append(problem)

    # --- the start --------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self.passive:
            return
        try:
            created = self.run.open(self._check, whereabouts(), self._selection())
        except (MigrationStateError, OSError) as error:
            raise pytest.UsageError(f"--migration-state: {printable(str(error))}") from error
        if created:
            self.notices.append(f"{self.path}: created")
        self.is_open = True
        self.config.stash[plugin.tracker_key] = lambda: self.tracker
        if self._distributes():
            self._on_every_worker = self.config.getoption("dist") == "each"
            self._plans = Path(tempfile.mkdtemp(prefix="migration-plans-"))
        else:
            self._watch = CollectionWatch(self.config)
            self.config.pluginmanager.register(self._watch, "migration_state_collection")

    def _selection(self) -> str:
        """A digest of what this run was asked to run, by which another run of the same is known. The words may hold secrets."""
        option = self.config.option
        asked = repr((str(self.config.rootpath), self.config.args, option.keyword, option.markexpr))
        return hashlib.sha256(asked.encode("utf-8", "backslashreplace")).hexdigest()[:16]

    def _distributes(self) -> bool:
        return self.config.pluginmanager.hasplugin("dsession")

    @property
    def is_sound(self) -> bool:
        """Did the run do all that it was asked to? Where not, its exit status is at least 1."""
        if not self.is_open or os.getpid() != self.process_id:
            return True
        return self._is_finished and not self.problems and (self._is_completed or not self._complete)

    def _check(self, document: Document) -> None:
        """Refuse what could not end well, before anything is written."""
        self.interrupted_runs = dict(open_runs(document))
        if document.phase is Phase.ROLLED_BACK:
            raise pytest.UsageError(
                f"--migration-state: {self.path}: the migration is rolled back, which is final; begin a new one with 'migration-state init --force'"
            )
        if self._complete and document.phase is not Phase.VALIDATION:
            raise pytest.UsageError(
                f"--migration-complete: {self.path}: the migration is in phase {document.phase} and can be completed only from Validation; "
                "see 'migration-state phase'"
            )

    @guarded
    def pytest_report_header(self) -> list[str]:
        return summary.header(self)

    # --- the plan ---------------------------------------------------------------------------------------------------

    @guarded
    def pytest_collection_finish(self) -> None:
        if self._watch is not None:
            self._take(self._watch.plan, None)
            self._watch.plan = Plan()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell one of xdist's workers what it needs to know."""
        if self.is_open:
            node.workerinput["migration_state"] = {"path": str(self.path), "run_id": self.run.run_id, "plans": str(self._plans)}

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    @guarded
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        worker = node.gateway.id
        try:
            content = (self._plans / f"{worker}.json").read_bytes()
            # Each of the workers has a plan, and most say the same.
            digest = hashlib.sha256(content).digest()
            if digest == self._taken and not self._on_every_worker:
                return
            plan = Plan.from_object(json.loads(content))
        except (OSError, ValueError) as error:
            self._lacks_a_plan = True
            self.problems.append(f"the plan of worker {worker} could not be read ({error}); tests on other machines cannot be recorded")
            return
        self._take(plan, _seat(node))
        self._taken = digest

    def _take(self, plan: Plan, seat: object) -> None:
        """Put a plan on the books."""
        self._is_planned = self._is_planned or plan.is_whole
        self._node_ids |= plan.node_ids
        now, entries = utc_now(), []
        for name, keys in plan.tests.items():
            node_id = self._node_ids.get(name, name)
            if self._on_every_worker:
                self._seats[name].add(seat)
            self._tests[name] = keys
            entries += [events.outstanding(now, key, "pending", None, node_id) for key in keys if key not in self._planned]
            self._planned.update(keys)
        for name, keys in plan.deselected.items():
            node_id = self._node_ids.get(name, name)
            entries += [events.outstanding(now, key, "deselected", None, node_id) for key in keys if key not in self._planned]
        self._uncollected |= plan.failed.keys() | plan.skipped.keys()
        for reason, files in (("collection_error", plan.failed), ("skipped", plan.skipped)):
            entries += [events.outstanding(now, (COLLECTION, storable(file)), reason, storable(detail)) for file, detail in files.items()]
        self._without_verdict.update((entry["component"], entry["test_name"]) for entry in entries if entry["reason"] == "pending")
        try:
            # What one worker could not collect is not settled by another that could.
            collected = (self._node_ids.get(name, name) for name in itertools.chain(plan.collected, plan.tests, plan.deselected))
            self.run.plan(entries, (storable(name) for name in collected if name not in self._uncollected))
        except MigrationStateError as error:
            self.problems.append(f"the plan could not be recorded: {error}")

    # --- the tests --------------------------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Three times a test, and a guard costs more than what is done here. A forked process may do it: it writes nothing.
        try:
            name = report.nodeid
            seat = _seat(report.node) if self._on_every_worker else None
            attempt = self._attempts.get((name, seat))
            if attempt is None:
                if name not in self._tests and not self._is_of_a_lost_plan(report):
                    return
                attempt = self._attempts[name, seat] = Attempt()
                if self._on_every_worker:
                    # Whatever its plan said, or if none came: what it reports counts.
                    self._seats[name].add(seat)
            attempt.add(report)
            if report.when == CRASHED and os.getpid() == self.process_id:
                self._end(name)
        except _ANYTHING as error:
            self.went_wrong(error)

    def _is_of_a_lost_plan(self, report: pytest.TestReport) -> bool:
        """Is it of a test whose worker died and whose plan never came, so that nobody knows what it validates?"""
        if report.when != CRASHED or not self._lacks_a_plan:
            return False
        self._tests[report.nodeid] = [(UNKNOWN, storable(report.nodeid))]
        return True

    @guarded
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        if self._on_every_worker:
            attempts = [self._attempts.get((nodeid, seat)) for seat in self._seats.get(nodeid, ())]
            if not all(attempt is not None and attempt.is_over for attempt in attempts):
                return
        self._end(nodeid)

    def _end(self, name: str) -> None:
        """Record what a test that has ended says of its validations.

        :param name: the node id that its reports have.
        """
        attempt = self._worst(name) if self._on_every_worker else self._attempts.get((name, None))
        if attempt is None or attempt.outcome is None:
            return
        self._give(self._node_ids.get(name, name), self._tests[name], attempt)
        if attempt.outcome == "passed" and not self._on_every_worker:
            # Nothing is better, so there is nothing to remember for another time in this run: it may be a large one.
            del self._attempts[name, None]

    def _worst(self, name: str) -> Attempt:
        """The worst of what every worker said of a test."""
        worst = Attempt()
        for seat in self._seats[name]:
            if attempt := self._attempts.get((name, seat)):
                worst.absorb(attempt)
        return worst

    def _give(self, node_id: str, keys: list[Key], attempt: Attempt) -> None:
        assert attempt.outcome is not None
        for key in keys:
            self.counts[attempt.outcome] += 1
            if attempt.outcome == "skipped":
                self.run.skip(key, attempt.reason or "", node_id)
                self._without_verdict.discard(key)
                continue
            passed = attempt.outcome == "passed"
            more: JsonObject = {"outcome": attempt.outcome, "duration_seconds": round(attempt.duration, 6), "run_id": self.run.run_id}
            if attempt.number > 1:
                more["attempts"] = attempt.number
                if passed:
                    self.flaky[key] = attempt.number
            if node_id != key[1]:
                more["node_id"] = storable(node_id)
            self.run.verdict(key, passed, attempt.reason, **more)
            self._without_verdict.discard(key)

    # --- the end ----------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Inside the terminal's wrapper, which prints the summary, and around everybody else."""
        try:
            yield
        except BaseException as error:
            # pytest ends without looking at it, and a fixture that was torn down only now may be what failed.
            self.problems.append(f"the session did not end well: {type(error).__name__}: {error}")
            raise
        finally:
            self._finish(session)

    @guarded
    def _finish(self, session: pytest.Session) -> None:
        if not self.is_open:
            return
        status = session.exitstatus
        if plugin.says_success(status):
            self._look_for_losses()
        if self._complete:
            self._try_to_complete(status)
        self.gate = self.run.gate(self.policy)
        self._is_finished = True
        status = self._raised(status)
        self.run.finish(int(status), dict(self.counts), time.monotonic() - self._began)
        if self.run.failure:
            self.problems.append(f"not everything could be recorded: {self.run.failure}")
        session.exitstatus = self._raised(status)

    def _look_for_losses(self) -> None:
        """A run that calls itself successful must have run what it selected."""
        if not self._is_planned:
            self.problems.append("the run ended before it was known which tests it would run")
        elif count := len(self._without_verdict):
            self.problems.append(
                f"{count} selected validation{'s' * (count > 1)} did not run to the end and {'have' if count > 1 else 'has'} no verdict"
            )

    def _raised(self, status: int | pytest.ExitCode) -> int | pytest.ExitCode:
        return pytest.ExitCode.TESTS_FAILED if plugin.says_success(status) and not self.is_sound else status

    def _try_to_complete(self, status: int | pytest.ExitCode) -> None:
        """Complete the migration if that can be answered for."""
        if status not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            self.completion = f"not completed: the run ended with exit status {int(status)}, without having run all of its tests"
        elif self.problems or self.run.failure:
            self.completion = f"not completed: {self.problems[0] if self.problems else self.run.failure}"
        else:
            try:
                self._is_completed = self.run.complete(self.policy).open
                self.completion = (
                    "completed: the migration is in phase Completed" if self._is_completed else "not completed: the gate is shut"
                )
            except MigrationStateError as error:
                self.completion = f"not completed: {error}"

    @pytest.hookimpl(optionalhook=True)
    @guarded
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what one of xdist's workers leaves to be told. One that was killed leaves nothing."""
        self.notices += getattr(node, "workeroutput", {}).get(NOTICES, ())

    @guarded
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.is_open:
            summary.write(self, terminalreporter)
            self._has_told = True

    def pytest_unconfigure(self) -> None:
        if os.getpid() != self.process_id:
            return
        self.run.close()
        self.tracker.close()
        if self._plans != Path():
            shutil.rmtree(self._plans, ignore_errors=True)
        if self.is_open and not self._is_finished:
            self.problems.append("the session did not come to its end")
        if not self._has_told:
            self._tell_in_short()

    def _tell_in_short(self) -> None:
        """pytest prints no summary after an internal error, with --no-summary and with -p no:terminal."""
        for problem in self.problems:
            sys.stderr.write(f"migration-state: {printable(problem)}\n")
        if self.completion:
            sys.stderr.write(f"migration-state: {printable(self.completion)}\n")


def _seat(node: Any) -> object:
    """What one of xdist's workers has in common with the one that replaces it when it crashes: the specification itself."""
    return id(node.gateway.spec)
