"""The plugin object of a recorded run: in the one process, or on xdist's controller."""

from __future__ import annotations

import collections
import functools
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import pytest

from pytest_migration_state import plugin
from pytest_migration_state.core import events
from pytest_migration_state.core.document import Document, open_runs
from pytest_migration_state.core.errors import MigrationStateError
from pytest_migration_state.core.gate import COLLECTION
from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.run import RunRecorder
from pytest_migration_state.core.text import printable, storable
from pytest_migration_state.core.tracker import MigrationTracker
from pytest_migration_state.recording import summary
from pytest_migration_state.recording.collection import CollectionWatch, Plan
from pytest_migration_state.recording.environment import whereabouts
from pytest_migration_state.recording.verdicts import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pytest_migration_state.core.document import JsonObject, Key
    from pytest_migration_state.core.gate import GateResult, Policy

#: The component of a crashed worker's test that cannot be tied to one.
UNKNOWN = "(unknown)"


P = ParamSpec("P")


def guarded(hook: Callable[Concatenate[Recorder, P], None]) -> Callable[Concatenate[Recorder, P], None]:
    """A hook that never ends the run: what goes wrong in it is told at the end, and the exit status shows it.

    A process that a test forked runs the hooks too; it is not the run, and records nothing.
    """

    @functools.wraps(hook)
    def guard(self: Recorder, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if os.getpid() != self.process_id:
            return
        try:
            hook(self, *args, **kwargs)
        except pytest.UsageError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, the tests go on
            self.problems.append(f"{type(error).__name__}: {error}")

    return guard


class Recorder:
    """Records one run.

    :param passive: the option under which nothing runs and so nothing is recorded, or ``None``.
    :ivar problems: what went wrong with the recording, in sentences; any makes the exit status at least 1.
    :ivar notices: what a person should know although the recording went on.
    :ivar counts: how many verdicts of each outcome this run gave.
    :ivar flaky: validations that passed only after a rerun, with the number of attempts.
    """

    def __init__(self, config: pytest.Config, path: Path, policy: Policy, *, complete: bool, passive: str | None) -> None:
        self.config, self.path, self.policy, self.passive = config, path, policy, passive
        self.process_id = os.getpid()
        self.problems: list[str] = []
        self.notices: list[str] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.flaky: list[tuple[Key, int]] = []
        self.gate: GateResult | None = None
        self.interrupted_runs: dict[str, JsonObject] = {}
        self.is_open = False
        self._has_told = False
        self._complete = complete
        self.completion: str | None = None
        run_id = secrets.token_hex(8)
        self.run = RunRecorder(path, run_id, clock=lambda: datetime.now(UTC), notify=self.notices.append)
        self.tracker = MigrationTracker(path, run_id=run_id, notify=self.notices.append)
        self._began = time.monotonic()
        self._watch: CollectionWatch | None = None
        self._plans = Path()
        self._tests: dict[str, list[Key]] = {}
        self._planned: set[Key] = set()
        self._without_verdict: set[Key] = set()
        self._attempts: dict[str, dict[str, Attempt]] = {}
        # Under xdist's --dist=each a test runs once on every worker, and its verdict is the worst of them.
        self._expected: collections.Counter[str] = collections.Counter()
        self._ended: collections.Counter[str] = collections.Counter()
        self._on_every_worker = config.getoption("dist", "no") == "each"

    # --- the start --------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self.passive:
            return
        try:
            created = self.run.open(self._check, whereabouts())
        except (MigrationStateError, OSError) as error:
            raise pytest.UsageError(f"--migration-state: {printable(str(error))}") from error
        if created:
            self.notices.append(f"{self.path}: created")
        self.is_open = True
        self.config.stash[plugin.tracker_key] = self.tracker
        if self._distributes():
            self._plans = Path(tempfile.mkdtemp(prefix="migration-plans-"))
        else:
            self._watch = CollectionWatch(self.config)
            self.config.pluginmanager.register(self._watch, "migration_state_collection")

    def _distributes(self) -> bool:
        return self.config.pluginmanager.hasplugin("dsession")

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

    def pytest_report_header(self) -> list[str]:
        return summary.header(self)

    # --- the plan ---------------------------------------------------------------------------------------------------

    def pytest_collection_finish(self) -> None:
        if self._watch is not None:
            self._take(self._watch.plan)
            self._watch.plan = Plan()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell one of xdist's workers what it needs to know."""
        if self.is_open:
            node.workerinput["migration_state"] = {"path": str(self.path), "run_id": self.run.run_id, "plans": str(self._plans)}

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        worker = node.gateway.id
        try:
            plan = Plan.from_object(json.loads((self._plans / f"{worker}.json").read_bytes()))
        except (OSError, ValueError) as error:
            self.problems.append(f"the plan of worker {worker} could not be read ({error}); tests on other machines cannot be recorded")
            return
        self._take(plan)

    @guarded
    def _take(self, plan: Plan) -> None:
        """Put a plan on the books. Each of xdist's workers has one, and most say the same."""
        now, entries = self.run.now, []
        for node_id, keys in plan.tests.items():
            self._expected[node_id] += 1
            self._tests[node_id] = keys
            entries += [events.outstanding(now, key, "pending", None, node_id) for key in keys if key not in self._planned]
            self._planned.update(keys)
        for node_id, keys in plan.deselected.items():
            entries += [events.outstanding(now, key, "deselected", None, node_id) for key in keys if key not in self._planned]
        for reason, files in (("collection_error", plan.failed), ("skipped", plan.skipped)):
            entries += [events.outstanding(now, (COLLECTION, storable(file)), reason, storable(detail)) for file, detail in files.items()]
        self._without_verdict.update((entry["component"], entry["test_name"]) for entry in entries if entry["reason"] == "pending")
        try:
            self.run.plan(entries, map(storable, plan.collected))
        except MigrationStateError as error:
            self.problems.append(f"the plan could not be recorded: {error}")

    # --- the tests --------------------------------------------------------------------------------------------------

    @guarded
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        node_id = report.nodeid
        if report.when == "???":  # type: ignore[comparison-overlap]  # xdist's own report of a test whose worker died
            self._worker_died(report)
        elif node_id in self._tests:
            workers = self._attempts.setdefault(node_id, {})
            worker = report.node.gateway.id if self._on_every_worker else ""
            if worker not in workers:
                workers[worker] = Attempt()
            workers[worker].add(report)

    def _worker_died(self, report: pytest.TestReport) -> None:
        attempt = Attempt()
        attempt.add(report)
        if attempt.outcome is None:  # it will be run again
            self._attempts.pop(report.nodeid, None)
            return
        self._attempts.setdefault(report.nodeid, {})["(crashed)"] = attempt
        keys = self._tests.get(report.nodeid, [(UNKNOWN, storable(report.nodeid))])
        self._give(report.nodeid, keys, attempt)

    @guarded
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        keys = self._tests.get(nodeid)
        if keys is None:
            return
        if self._on_every_worker:
            self._ended[nodeid] += 1
            if self._ended[nodeid] < self._expected[nodeid]:
                return
        attempt = Attempt()
        for other in self._attempts.pop(nodeid, {}).values():
            attempt.absorb(other)
        self._give(nodeid, keys, attempt)

    def _give(self, node_id: str, keys: list[Key], attempt: Attempt) -> None:
        """Record what a test that has ended says of its validations."""
        if attempt.outcome is None:
            return
        for key in keys:
            self._without_verdict.discard(key)
            self.counts[attempt.outcome] += 1
            if attempt.outcome == "skipped":
                self.run.skip(key, attempt.reason or "", node_id)
                continue
            passed = attempt.outcome == "passed"
            more: JsonObject = {"outcome": attempt.outcome, "duration_seconds": round(attempt.duration, 6), "run_id": self.run.run_id}
            if attempt.number > 1:
                more["attempts"] = attempt.number
                if passed:
                    self.flaky.append((key, attempt.number))
            if node_id != key[1]:
                more["node_id"] = storable(node_id)
            self.run.verdict(key, passed, attempt.reason, **more)

    # --- the end ----------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Inside the terminal's wrapper, which prints the summary, and around everybody else."""
        try:
            yield
        finally:
            self._finish(session)

    @guarded
    def _finish(self, session: pytest.Session) -> None:
        if not self.is_open:
            return
        status = int(session.exitstatus)
        lost = self._without_verdict and status == pytest.ExitCode.OK
        if lost:
            count = len(self._without_verdict)
            self.problems.append(
                f"{count} selected validation{'s' * (count > 1)} did not run to the end and {'have' if count > 1 else 'has'} no verdict"
            )
        if self._complete:
            status = max(status, self._try_to_complete(status))
        self.gate = self.run.gate(self.policy)
        self.run.finish(max(status, int(bool(self.problems))), dict(self.counts), time.monotonic() - self._began)
        if self.run.failure:
            self.problems.append(f"not everything could be recorded: {self.run.failure}")
        if status == pytest.ExitCode.OK and self.problems:
            status = int(pytest.ExitCode.TESTS_FAILED)
        session.exitstatus = max(session.exitstatus, status)

    def _try_to_complete(self, status: int) -> int:
        """Complete the migration if that can be answered for; gives the least exit status that says what came of it."""
        if status not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            self.completion = f"not completed: the run ended with exit status {status} before its tests had run"
        elif self.problems or self.run.failure:
            self.completion = "not completed: not everything could be recorded"
        else:
            try:
                if self.run.complete(self.policy).open:
                    self.completion = "completed: the migration is in phase Completed"
                    return 0
                self.completion = "not completed: the gate is shut"
            except MigrationStateError as error:
                self.completion = f"not completed: {error}"
        return int(pytest.ExitCode.TESTS_FAILED)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.is_open:
            self._has_told = True
            summary.write(self, terminalreporter)

    def pytest_unconfigure(self) -> None:
        self.run.close()
        self.tracker.close()
        if self._plans != Path():
            shutil.rmtree(self._plans, ignore_errors=True)
        if self.problems and not self._has_told and os.getpid() == self.process_id:
            # pytest prints no summary after an internal error, with --no-summary and with -p no:terminal.
            for problem in self.problems:
                sys.stderr.write(f"migration-state: {printable(problem)}\n")
