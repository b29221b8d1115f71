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
from os import getpid  # bound here: a test may replace os.getpid, and leave it so
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import pytest

from pytest_migration_state import plugin
from pytest_migration_state.core import events
from pytest_migration_state.core.document import Document, open_runs
from pytest_migration_state.core.errors import MigrationStateError
from pytest_migration_state.core.gate import COLLECTION, UNKNOWN, Blocker
from pytest_migration_state.core.liveness import liveness_of
from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.run import Look, RunRecorder
from pytest_migration_state.core.text import printable, storable, utc_now
from pytest_migration_state.core.tracker import MigrationTracker
from pytest_migration_state.recording import running, summary
from pytest_migration_state.recording.collection import CollectionWatch, Plan, as_keys
from pytest_migration_state.recording.environment import whereabouts
from pytest_migration_state.recording.running import RunningTests
from pytest_migration_state.recording.selection import Selection, selection_of
from pytest_migration_state.recording.verdicts import Attempt, is_worse, short_reason, will_be_repeated
from pytest_migration_state.recording.worker import ADDED, ENDED, NOTICES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pytest_migration_state.core.document import JsonObject, Key
    from pytest_migration_state.core.gate import BlockerKind, GateResult, Policy
    from pytest_migration_state.core.liveness import Liveness
    from pytest_migration_state.recording.verdicts import Outcome

#: The phase of xdist's own report of a test whose worker died; pytest knows no such phase.
CRASHED = "???"


P = ParamSpec("P")
R = TypeVar("R")

#: Says to the processes that a run starts that they are inside it: its id, and the path of its document.
INSIDE_RUN = "MIGRATION_STATE_RUN"

#: What a hook of ours must not let out: pytest-timeout may strike there too, while the state is locked.
_ANYTHING = (Exception, pytest.fail.Exception)


def guarded(hook: Callable[Concatenate[Recorder, P], R]) -> Callable[Concatenate[Recorder, P], R | None]:
    """A hook that never ends the run: what goes wrong in it is told at the end, and the exit status shows it.

    A process that a test forked runs the hooks too; it is not the run, and records nothing.
    """

    @functools.wraps(hook)
    def guard(self: Recorder, /, *args: P.args, **kwargs: P.kwargs) -> R | None:
        if getpid() != self.process_id:
            return None
        try:
            return hook(self, *args, **kwargs)
        except _ANYTHING as error:  # whatever it is, the tests go on
            self.went_wrong(error)
            return None

    return guard


class Recorder:
    """Records one run.

    :param passive: why nothing is recorded ("under --collect-only"), or ``None``.
    :ivar problems: what went wrong with the recording, in sentences; any makes the exit status at least 1.
    :ivar notices: what a person should know although the recording went on.
    :ivar counts: how many verdicts of each outcome this run gave.
    :ivar flaky: validations that passed only after a rerun, with the number of attempts.
    :ivar has_told: was what went wrong told to the user?
    :ivar completion: in words what came of ``--migration-complete``; ``None`` before that and without the option.
    """

    def __init__(self, config: pytest.Config, path: Path, policy: Policy, *, complete: bool, passive: str | None) -> None:
        self.config, self.path, self.policy, self.passive = config, path, policy, passive
        self.process_id = getpid()
        self.problems: list[str] = []
        self.notices: list[str] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.flaky: dict[Key, int] = {}
        self.gate: GateResult | None = None
        self.interrupted_runs: dict[str, JsonObject] = {}
        self.liveness: dict[str, Liveness] = {}
        self.is_open = False
        self._is_planned = self._is_refused = False
        self._is_finished = False
        self.has_told = False
        self._complete = complete
        self._is_completed = False
        self.completion: str | None = None
        run_id = secrets.token_hex(8)
        self.run = RunRecorder(path, run_id, notify=self.notices.append)
        self.tracker = MigrationTracker(path, run_id=run_id, notify=self.notices.append)
        self._began = time.monotonic()
        self._selection = Selection("", "", "", chosen_by_plugin=False)
        self._outer_run: str | None = None
        # Of this process; under xdist the workers have their own.
        self._watch: CollectionWatch | None = None
        self._running: RunningTests | None = None
        self._was_interrupted = False
        self._plans: Path | None = None
        self._taken = b""
        self._lacks_a_plan = False
        # By the name of the test in the plan, as all that follows.
        self._tests: dict[str, list[Key]] = {}
        self._alike: dict[str, list[str]] = {}
        self._node_ids: dict[str, str] = {}
        self._uncollected: set[str] = set()
        self._planned: set[Key] = set()
        self._without_verdict: set[Key] = set()
        # By test and, under --dist=each, the seat of the worker. They are kept when a test has ended: whatever makes it run
        # twice in one run, the worse counts.
        self._attempts: dict[tuple[str, object], Attempt] = {}
        # What was recorded of each test that has ended. It may get worse until the session is over.
        self._given: dict[str, Outcome] = {}
        # Why a test that passed is in doubt.
        self._doubts: dict[str, str] = {}
        # The tests that ran and were left without a verdict.
        self._withdrawn: set[str] = set()
        # Under xdist's --dist=each a test runs once on every worker, and its verdict is the worst of them: the seats of those
        # that collected it or ran it.
        self._on_every_worker = False
        self._seats: dict[str, set[object]] = collections.defaultdict(set)
        self._workers: set[object] = set()
        self._whole_plans: set[object] = set()

    def went_wrong(self, error: BaseException) -> None:
        """Have what went wrong with the recording told at the end."""
        self._add_problem(f"{type(error).__name__}: {error}")

    def _add_problem(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    # --- the start --------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self.passive:
            return
        self._selection = selection_of(self.config)
        try:
            created = self.run.open(self._check, whereabouts(), self._selection.digest, self._selection.full)
        except (MigrationStateError, OSError) as error:
            raise pytest.UsageError(f"--migration-state: {printable(str(error))}") from error
        if created:
            self.notices.append(f"{self.path}: created")
        self.is_open = True
        self._outer_run = os.environ.get(INSIDE_RUN)
        os.environ[INSIDE_RUN] = f"{self.run.run_id} {os.path.realpath(self.path)}"
        self.config.stash[plugin.tracker_key] = lambda: self.tracker
        if self._distributes():
            self._on_every_worker = self.config.getoption("dist") == "each"
            self._plans = Path(tempfile.mkdtemp(prefix="migration-plans-"))
        else:
            self._watch = CollectionWatch(self.config)
            self._running = RunningTests(self._watch, self._when_ended, self._when_added)
            self.config.pluginmanager.register(self._watch, "migration_state_collection")
            self.config.pluginmanager.register(self._running, "migration_state_running")

    def _distributes(self) -> bool:
        return self.config.pluginmanager.hasplugin("dsession")

    @property
    def is_sound(self) -> bool:
        """Did the run do all that it was asked to? Where not, its exit status is at least 1."""
        return bool(self.passive) or self.why_not_sound is None

    @property
    def why_not_sound(self) -> str | None:
        """What the run was asked to do and has not done, in words; ``None`` where it has done all."""
        if getpid() != self.process_id:
            return "this process was forked from the one that records, so nothing that it ran is recorded"
        if not self._is_finished:
            return "the session did not come to its end" if self.is_open else "the session did not begin, and nothing is recorded"
        if self.problems:
            return self.problems[0]
        if loss := self._loss():
            return loss
        return (self.completion or "the migration is not completed") if self._complete and not self._is_completed else None

    def _check(self, document: Document) -> None:
        """Refuse what could not end well, before anything is written."""
        self.interrupted_runs = dict(open_runs(document))
        self.liveness = liveness_of(self.interrupted_runs)
        if document.phase is Phase.ROLLED_BACK:
            raise pytest.UsageError(
                f"--migration-state: {self.path}: the migration is rolled back, which is final; begin a new one with 'migration-state init --force'"
            )
        if self._complete and document.phase not in {Phase.VALIDATION, Phase.COMPLETED}:
            raise pytest.UsageError(
                f"--migration-complete: {self.path}: the migration is in phase {document.phase} and can be completed only from Validation; "
                "see 'migration-state phase'"
            )

    @guarded
    def pytest_report_header(self) -> list[str]:
        return summary.header(self)

    # --- the plan ---------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if self._watch is not None and self._running is not None:
            self._watch.finish(session)
            self._running.begin(session)
            self._take(self._watch.plan, None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell one of xdist's workers what it needs to know."""
        self._workers.add(_seat(node))
        if self.is_open:
            node.workerinput["migration_state"] = {"path": str(self.path), "run_id": self.run.run_id, "plans": str(self._plans)}

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    @guarded
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        worker = node.gateway.id
        assert self._plans is not None
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
        """Put a plan on record."""
        if plan.is_whole:
            self._whole_plans.add(seat)
            self._is_planned = not self._on_every_worker or self._whole_plans >= self._workers
        self._is_refused = self._is_refused or plan.is_refused
        self._node_ids |= plan.node_ids
        self._alike |= plan.alike
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
            # Should it be run in spite of that, what it says counts.
            self._tests.setdefault(name, keys)
            entries += [events.outstanding(now, key, "deselected", None, node_id) for key in keys if key not in self._planned]
        self._uncollected |= plan.failed.keys() | plan.skipped.keys()
        for reason, files in (("collection_error", plan.failed), ("skipped", plan.skipped)):
            entries += [events.outstanding(now, (COLLECTION, storable(file)), reason, storable(detail)) for file, detail in files.items()]
        self._without_verdict.update((entry["component"], entry["test_name"]) for entry in entries if entry["reason"] == "pending")
        try:
            # What one worker could not collect is not settled by another that could.
            collected = (self._node_ids.get(name, name) for name in itertools.chain(plan.collected, plan.tests, plan.deselected))
            names = [storable(name) for name in collected if name not in self._uncollected]
            settled = self.run.plan(entries, names, self._look(plan), is_whole=self._is_planned)
            self.notices += [f"{earlier}; it is settled by this run, which was asked to run the same tests" for earlier in settled]
        except MigrationStateError as error:
            self.problems.append(f"the plan could not be recorded: {error}")

    def _look(self, plan: Plan) -> Look:
        asked = self._selection
        return Look(
            selection=asked.full,
            files=plan.files,
            unseen={storable(name): digest for name, digest in plan.unseen.items()},
            chosen_by_plugin=asked.chosen_by_plugin,
            why=asked.narrowed_by or "left out by a plugin",
        )

    # --- the tests --------------------------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Three times a test, and a guard costs more than what is done here. A forked process may do it: it writes nothing.
        try:
            if self._running is not None:
                self._running.tag_safely(report)
            tag = report.__dict__.get(running.TAG)
            name = report.nodeid if tag is None else self._tagged(report, tag)
            seat = _seat(report.node) if self._on_every_worker else None
            attempt = self._attempts.get((name, seat))
            if attempt is None:
                if name not in self._tests and not self._is_of_a_lost_plan(report):
                    return
                attempt = self._attempts[name, seat] = Attempt(**(tag or {}).get(running.BEFORE, {}))
                if self._on_every_worker:
                    # Whatever its plan said, or if none came: what it reports counts.
                    self._seats[name].add(seat)
            attempt.add(report)
            given = self._given.get(name)
            if given is not None and will_be_repeated(report):
                self._take_back(name, given)
            elif report.when == CRASHED or (given is not None and is_worse(attempt.outcome, given)):
                self._end_here(name)
        except _ANYTHING as error:
            self.went_wrong(error)

    def _tagged(self, report: pytest.TestReport, tag: dict[str, Any]) -> str:
        """The test that a report is about which its node id alone does not tie to one."""
        name: str = tag.get(running.TEST, report.nodeid)
        if problem := tag.get(running.PROBLEM):
            self._add_problem(problem)
        if keys := tag.get(running.KEYS):
            self._add(name, as_keys(keys))
        for doubtful in tag.get(running.IN_DOUBT, ()):
            self._doubt(doubtful, report)
        return name

    def _add(self, name: str, keys: list[Key]) -> None:
        """Plan what a test that runs validates, which a marker said only now."""
        self._tests[name] = keys
        new = [key for key in keys if key not in self._planned]
        self._planned.update(new)
        self._without_verdict.update(new)
        if new and getpid() == self.process_id:
            now, node_id = utc_now(), self._node_ids.get(name, name)
            try:
                self.run.plan([events.outstanding(now, key, "pending", None, node_id) for key in new], is_whole=False)
            except MigrationStateError as error:
                self._add_problem(f"the plan could not be recorded: {error}")

    @guarded
    def _when_added(self, name: str, keys: list[Key]) -> None:
        """A test was marked while it ran, and ended the run."""
        self._add(name, keys)

    def _doubt(self, name: str, report: pytest.TestReport) -> None:
        """The fixture that failed after another test may have failed because of this one."""
        self._put_in_doubt(name, f"in doubt: a fixture that it may share failed when '{report.nodeid}' ran ({short_reason(report)})")

    def _put_in_doubt(self, name: str, why: str) -> None:
        self._doubts.setdefault(name, why)
        if self._given.get(name) == "passed":
            self._take_back(name, "passed")
            self._withdraw(name, why)

    def _take_back(self, name: str, given: Outcome) -> None:
        """Forget what was given of a test in this run."""
        del self._given[name]
        for key in self._tests[name]:
            self.counts[given] -= 1
            self._without_verdict.add(key)
            self.flaky.pop(key, None)

    def _withdraw(self, name: str, why: str) -> None:
        """Leave a test without a verdict, and say why; once."""
        if name in self._withdrawn:
            return
        self._withdrawn.add(name)
        node_id = self._node_ids.get(name, name)
        for key in self._tests[name]:
            self.run.withdraw(key, why, node_id)
        self.notices.append(f"'{node_id}' has no verdict ({why}); run it again")

    def _is_of_a_lost_plan(self, report: pytest.TestReport) -> bool:
        """Is it of a test whose worker died and whose plan never came, so that nobody knows what it validates?"""
        if report.when != CRASHED or not self._lacks_a_plan:
            return False
        self._tests[report.nodeid] = [(UNKNOWN, storable(report.nodeid))]
        return True

    @guarded
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        for name in self._alike.get(nodeid, (nodeid,)):
            if self._on_every_worker:
                is_its_end = all(self._is_over(name, seat) for seat in self._seats.get(name, ()))
            else:
                # It may have been the end of another of those that share the node id.
                is_its_end = nodeid not in self._alike or self._is_over(name, None)
            if is_its_end:
                self._end(name)

    def _is_over(self, name: str, seat: object) -> bool:
        attempt = self._attempts.get((name, seat))
        return attempt is not None and attempt.is_over and attempt.outcome is not None

    @guarded
    def _when_ended(self, name: str) -> None:
        """The item of this process has run, whether or not its end was reported."""
        self._end_unreported(name)

    def _end_unreported(self, name: str) -> None:
        """A test has run, and pytest did not say that it ended: what it said so far counts as far as it goes."""
        attempt = self._attempts.get((name, None))
        if attempt is None or name in self._given:
            return
        if attempt.is_enough:
            self._end(name)
        elif attempt.outcome is not None:
            self._withdraw(name, "no report of its end reached us")

    @guarded
    def _end_here(self, name: str) -> None:
        self._end(name)

    def _end(self, name: str) -> None:
        """Record what a test that has ended says of its validations; once, and again when it has become worse.

        :param name: the test, as the plan calls it.
        """
        attempt = self._worst(name) if self._on_every_worker else self._attempts.get((name, None))
        if attempt is None or not is_worse(attempt.outcome, self._given.get(name)):
            return
        if attempt.outcome == "passed" and name in self._doubts:
            self._withdraw(name, self._doubts[name])
            return
        if (given := self._given.get(name)) is not None:
            self.counts[given] -= len(self._tests[name])
        assert attempt.outcome is not None
        self._given[name] = attempt.outcome
        self._give(self._node_ids.get(name, name), self._tests[name], attempt)
        if self._is_finished:
            self._add_problem(f"'{name}' {attempt.outcome} after the end of the session: {attempt.reason or 'no reason given'}")
        if attempt.outcome == "passed" and not self._on_every_worker:
            # What was given says enough for another time in this run, which may be a large one.
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
            self.flaky.pop(key, None)
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
            what = f"{type(error).__name__}: {error}"
            self.problems.append(f"the session did not end well: {what}")
            for name in self._running.in_doubt(None) if self._running is not None else ():
                self._put_in_doubt(name, f"in doubt: a fixture that it may share failed at the end of the session ({what})")
            raise
        finally:
            self._finish(session)

    @guarded
    def _finish(self, session: pytest.Session) -> None:
        if not self.is_open:
            return
        status = session.exitstatus
        self._end_the_rest()
        self.run.write_waiting()
        if plugin.says_success(status) and (loss := self._loss()):
            self._add_problem(loss)
        self.gate = self.run.gate(self.policy)
        if self._complete:
            self._try_to_complete(status)
        self._is_finished = True
        status = self._raised(status)
        is_refused = self._is_refused and not self._is_planned
        self.run.finish(int(status), dict(self.counts), time.monotonic() - self._began, is_refused=is_refused)
        if self.run.failure:
            self.problems.append(f"not everything could be recorded: {self.run.failure}")
        session.exitstatus = self._raised(status)

    def pytest_keyboard_interrupt(self) -> None:
        """Also called for ``pytest.exit``."""
        self._was_interrupted = True

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Also called for an error on one of xdist's workers, after which the others may go on."""
        self._was_interrupted = True
        self._add_problem(f"an internal error ended the run, or a worker: {excinfo.exconly(tryshort=True)[:500]}")

    def _end_the_rest(self) -> None:
        """End the tests of whose end nobody told: plugins that run tests in their own way leave ``pytest_runtest_logfinish`` out."""
        for name in dict.fromkeys(name for name, _ in self._attempts):
            if name in self._given:
                continue
            seats = self._seats[name] if self._on_every_worker else (None,)
            attempts = [self._attempts.get((name, seat)) for seat in seats]
            if all(attempt is not None and attempt.is_enough for attempt in attempts):
                self._end(name)
            elif not self._was_interrupted and not self._on_every_worker:
                (attempt,) = attempts
                self._withdraw(name, (attempt and attempt.reason) or "no report of its end reached us")

    def _loss(self) -> str | None:
        """Why a run that calls itself successful is none, in words: what it selected did not all run, or failed."""
        if not self._is_planned:
            return "the run ended before it was known which tests it would run"
        if failed := self.counts["failed"]:
            return f"{failed} validation{'s' * (failed > 1)} failed, although pytest calls the run successful"
        if count := len(self._without_verdict):
            have = "s did not run to the end and have" if count > 1 else " did not run to the end and has"
            return f"{count} selected validation{have} no verdict"
        return None

    def _raised(self, status: int | pytest.ExitCode) -> int | pytest.ExitCode:
        return pytest.ExitCode.TESTS_FAILED if plugin.says_success(status) and not self.is_sound else status

    def _try_to_complete(self, status: int | pytest.ExitCode) -> None:
        """Complete the migration if that can be answered for."""
        if status not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            self.completion = f"not completed: the run ended with exit status {int(status)}, without having run all of its tests"
        elif self.problems or self.run.failure:
            self.completion = f"not completed: {self.problems[0] if self.problems else self.run.failure}"
        else:
            was_completed = self.run.document.phase is Phase.COMPLETED
            try:
                self.gate = self.run.complete(self.policy, self._own_blockers())
            except MigrationStateError as error:
                self.completion = f"not completed: {error}"
                return
            self._is_completed = self.gate.open
            if was_completed:
                result = "its gate is still open" if self.gate.open else "its gate is shut"
                self.completion = f"the migration was in phase Completed before, and {result}"
            elif self.gate.open:
                self.completion = "completed: the migration is in phase Completed"
            else:
                self.completion = "not completed: the gate is shut"

    def _own_blockers(self) -> list[Blocker]:
        """Why this run does not answer for Completed, whatever other runs have recorded since of the tests that did not pass here."""
        blockers = []
        for name, outcome in self._given.items():
            if outcome == "passed" or outcome in self.policy.allow:
                continue
            kind: BlockerKind = "outstanding" if outcome == "skipped" else outcome
            for component, test_name in self._tests[name]:
                message = f"'{printable(test_name)}' of '{printable(component)}' {outcome} in this run, whatever another recorded since"
                blockers.append(Blocker(kind, component, test_name, f"{message}; run it again"))
        return blockers

    @pytest.hookimpl(optionalhook=True)
    @guarded
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what one of xdist's workers leaves to be told. One that was killed leaves nothing."""
        output = getattr(node, "workeroutput", {})
        self.notices += output.get(NOTICES, ())
        for name, keys in output.get(ADDED, {}).items():
            self._add(name, as_keys(keys))
        for name in output.get(ENDED, ()):
            if not self._on_every_worker:
                self._end_unreported(name)

    @guarded
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.is_open:
            summary.write(self, terminalreporter)
            self.has_told = True

    def pytest_unconfigure(self) -> None:
        if getpid() != self.process_id:
            return
        if self.is_open:
            os.environ.pop(INSIDE_RUN, None)
            if self._outer_run is not None:
                os.environ[INSIDE_RUN] = self._outer_run
        self.run.close()
        self.tracker.close()
        if self._plans is not None:
            shutil.rmtree(self._plans, ignore_errors=True)
        if self.is_open and not self._is_finished:
            self._add_problem("the session did not come to its end")
        if not self.has_told:
            self._tell_in_short()

    def _tell_in_short(self) -> None:
        """pytest prints no summary after an internal error, with --no-summary and with -p no:terminal."""
        self.has_told = bool(self.problems or self.completion)
        for problem in self.problems:
            sys.stderr.write(f"migration-state: {printable(problem)}\n")
        if self.completion:
            sys.stderr.write(f"migration-state: {printable(self.completion)}\n")


def _seat(node: Any) -> object:
    """What one of xdist's workers has in common with the one that replaces it when it crashes: the specification itself."""
    return id(node.gateway.spec)
