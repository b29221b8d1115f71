"""The plugin object of a recorded run, in the single process or on xdist's controller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state.domain.advice import Advice
from pytest_migration_state.domain.commands import ShellCommands
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.runs import run_in_words
from pytest_migration_state.errors import MigrationStateError, with_notes
from pytest_migration_state.recording import report_tags
from pytest_migration_state.recording.collection import CollectionWatch
from pytest_migration_state.recording.completion import Completion
from pytest_migration_state.recording.controller import Controller
from pytest_migration_state.recording.environment import environment_info
from pytest_migration_state.recording.guard import ANYTHING, guarded
from pytest_migration_state.recording.merged_plan import MergedPlan
from pytest_migration_state.recording.nested import RecordingProcess
from pytest_migration_state.recording.plan import as_keys
from pytest_migration_state.recording.results import Results
from pytest_migration_state.recording.running import RunningTests
from pytest_migration_state.recording.selection import selection_of
from pytest_migration_state.recording.stash import says_success, tracker_key
from pytest_migration_state.reports import pytest_summary
from pytest_migration_state.text import error_in_words, to_printable
from pytest_migration_state.tracking.run_writer import RunWriter, new_run_id
from pytest_migration_state.tracking.tracker import MigrationTracker
from pytest_migration_state.types import fix_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.policy import Policy
    from pytest_migration_state.recording.attempts import Attempt
    from pytest_migration_state.recording.plan import Plan
    from pytest_migration_state.types import Key


class RecorderPlugin:
    """Records one run.

    :param passive: the reason why nothing is recorded ("under --collect-only"), or ``None``.
    :ivar problems: problems of the recording, as sentences; if there is one, the run exits with at least 1.
    :ivar notices: messages for users that do not affect the exit status.
    :ivar has_reported: True if the problems have been printed.
    """

    def __init__(self, config: pytest.Config, path: Path, policy: Policy, *, passive: str | None) -> None:
        self.process = RecordingProcess()
        self.problems: list[str] = []
        self.notices: list[str] = []
        self.has_reported = False
        self._config = config
        self._passive = passive
        self._run = RunWriter(path, new_run_id(), notify=self.notices.append)
        self._completion = Completion(policy, is_wanted=config.option.migration_complete)
        self._earlier_runs: list[str] = []
        # Set when the session starts, unless the run is passive. Only one of _running and _controller is set.
        self._plan: MergedPlan | None = None
        self._results: Results | None = None
        self._running: RunningTests | None = None
        self._controller: Controller | None = None
        self._was_interrupted = False
        self._is_finished = False

    @property
    def path(self) -> Path:
        """The path of the migration state."""
        return self._run.path

    def add_problem(self, problem: str) -> None:
        """Add a problem that is reported once, at the end."""
        if problem not in self.problems:
            self.problems.append(problem)

    # --- the start ------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self._passive:
            return
        config, run = self._config, self._run
        selection = selection_of(config)
        try:
            created = run.open(self._check, environment_info(), selection.digest, selection.full)
        except pytest.UsageError as error:
            raise pytest.UsageError(to_printable(with_notes(error))) from error
        except (MigrationStateError, OSError) as error:
            raise pytest.UsageError(f"--migration-state: {to_printable(with_notes(error))}") from error
        self.notices += [f"{self.path}: created"] if created else []
        self.process.mark(run.run_id, self.path)
        tracker = MigrationTracker(self.path, run_id=run.run_id, notify=self.notices.append)
        config.add_cleanup(tracker.close)
        config.stash[tracker_key] = lambda: tracker
        on_every_worker = self._watch_tests(config)
        self._plan = MergedPlan(selection, on_every_worker=on_every_worker)
        self._results = Results(run, self._plan, self.notices, on_every_worker=on_every_worker)
        if self._controller is not None:
            self._plan.workers = self._controller.workers

    def _watch_tests(self, config: pytest.Config) -> bool:
        """Register the plugins that watch the tests; return True if every xdist worker runs all tests."""
        if not config.pluginmanager.hasplugin("dsession"):
            watch = CollectionWatch(config)
            self._running = RunningTests(watch, self._when_ended, self._when_added)
            config.pluginmanager.register(watch, "migration_state_collection")
            config.pluginmanager.register(self._running, "migration_state_running")
            return False
        self._controller = controller = Controller(
            config,
            self.process,
            {"path": str(self.path), "run_id": self._run.run_id},
            record_plan=self._record_plan,
            add_test=self._add_test,
            when_ended=self._when_ended,
            add_problem=self.add_problem,
            notices=self.notices,
        )
        config.pluginmanager.register(controller, "migration_state_controller")
        return controller.plans.on_every_worker

    def _check(self, document: Document) -> None:
        """Refuse a run that could not succeed, before anything is written."""
        liveness = self._run.liveness_of(document)
        self._earlier_runs = [
            run_in_words(run_id, run, liveness[run_id]) for run_id, run in document.open_runs.items()
        ]
        if document.phase is Phase.ROLLED_BACK:
            message, steps = Advice(ShellCommands(str(self.path))).on_phase(document.phase)
            raise pytest.UsageError(f"--migration-state: {self.path}: {message}; {fix_of(steps)}")
        self._completion.check(document, self.path)

    @guarded
    def pytest_report_header(self) -> list[str]:
        if self._passive:
            return [f"migration state: {to_printable(str(self.path))}: nothing is recorded {self._passive}"]
        if self._plan is None:
            return []
        document = self._run.document
        gate = None
        if document.phase is Phase.COMPLETED:
            gate = self._run.gate(self._completion.policy)
        return pytest_summary.header(self.path, document, self._earlier_runs, gate)

    # --- the plan -------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if self._running is not None:
            self._running.watch.finish(session)
            self._running.begin(session)
            self._record_plan(self._running.watch.plan, None)

    def _record_plan(self, plan: Plan, slot: object) -> None:
        """Record a plan as outstanding validations."""
        assert self._plan is not None
        merged = self._plan
        entries = merged.add(plan, slot)
        run_plan = RunPlan(entries, merged.collected(plan), merged.look(plan), is_whole=merged.is_planned)
        self._write_plan(run_plan)

    def _write_plan(self, plan: RunPlan) -> None:
        assert self._results is not None
        self._results.expect(plan.entries)
        if not self.process.is_current:
            return
        try:
            settled = self._run.plan(plan)
        except MigrationStateError as error:
            self.add_problem(f"the plan could not be recorded: {error}")
            return
        what = "it is settled by this run, which was asked to run the same tests"
        self.notices += [f"{run}; {what}" for run in settled]

    # --- the tests ------------------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Called three times per test: @guarded would cost more than the work. A forked process may run this,
        # because nothing is written here.
        try:
            running = self._running
            if running is not None and not running.is_plain(report):
                running.tag_safely(report)
            self._add_report(report)
        except ANYTHING as error:
            self.add_problem(error_in_words(error))

    def _add_report(self, report: pytest.TestReport) -> None:
        plan, results = self._plan, self._results
        if plan is None or results is None:
            return
        name, before = report.nodeid, None
        if tag := report.__dict__.get(report_tags.TAG):
            name, before = tag.get(report_tags.TEST, name), tag.get(report_tags.BEFORE)
            self._apply_tag(tag, name, report)
        slot = None
        if self._controller is not None:
            slot = self._controller.slot_of(report)
            if self._controller.lacks_plan_of(report):
                plan.add_unknown(report.nodeid)
        if results.add_report(name, report, slot, before):
            self._finish_guarded(name)

    def _apply_tag(self, tag: dict[str, Any], name: str, report: pytest.TestReport) -> None:
        """Record the problem, the validations and the tests in doubt that the tag of a report names."""
        assert self._results is not None
        if problem := tag.get(report_tags.PROBLEM):
            self.add_problem(problem)
        if keys := tag.get(report_tags.KEYS):
            self._add_test(name, as_keys(keys))
        for doubtful in tag.get(report_tags.IN_DOUBT, ()):
            self._results.doubt(doubtful, report)

    def _add_test(self, name: str, keys: list[Key]) -> None:
        """Plan a test that was marked only while it ran."""
        assert self._plan is not None
        if entries := self._plan.add_test(name, keys):
            self._write_plan(RunPlan(entries, is_whole=False))

    @guarded
    def _when_added(self, name: str, keys: list[Key]) -> None:
        """Plan a test that was marked while it ran, and then ended the run."""
        self._add_test(name, keys)

    @guarded
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        if self._results is not None:
            for name in self._results.finish_reported(nodeid):
                self._finish_test(name)

    @guarded
    def _when_ended(self, name: str) -> None:
        """Finish a test whose item has run, even if no report of its end was received."""
        if self._results is not None and (attempt := self._results.finish_unreported(name)):
            self._report_if_late(name, attempt)

    @guarded
    def _finish_guarded(self, name: str) -> None:
        self._finish_test(name)

    def _finish_test(self, name: str) -> None:
        assert self._results is not None
        if attempt := self._results.finish(name):
            self._report_if_late(name, attempt)

    def _report_if_late(self, name: str, attempt: Attempt) -> None:
        """Report a result that was recorded too late to affect the exit status and the gate."""
        if self._is_finished:
            reason = attempt.reason or "no reason given"
            self.add_problem(f"'{name}' {attempt.outcome} after the end of the session: {reason}")

    # --- the end --------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Finish the run after all other plugins, but before the terminal plugin prints the summary."""
        try:
            yield
        except BaseException as error:
            # pytest ignores this error, and its cause may be the teardown of a fixture that tests share.
            what = error_in_words(error)
            self.problems.append(f"the session did not end well: {what}")
            if self._running is not None and self._results is not None:
                failure = f"a fixture that it may share failed at the end of the session ({what})"
                self._results.put_in_doubt(self._running.in_doubt(None), failure)
            raise
        finally:
            self._finish(session)

    @guarded
    def _finish(self, session: pytest.Session) -> None:
        plan, results = self._plan, self._results
        if plan is None or results is None:
            return
        results.finish_rest(was_interrupted=self._was_interrupted)
        self._run.retry()
        if says_success(session.exitstatus) and (loss := results.loss()):
            self.add_problem(loss)
        problem = next(iter(self.problems), None)
        self._completion.complete(self._run, results, problem, session.exitstatus)
        self._is_finished = True
        status = self._raised(session.exitstatus)
        is_refused = plan.is_refused and not plan.is_planned
        self._run.finish(int(status), dict(results.counts), is_refused=is_refused)
        if self._run.failure:
            self.problems.append(f"not everything could be recorded: {self._run.failure}")
        session.exitstatus = self._raised(status)

    def _raised(self, status: int | pytest.ExitCode) -> int | pytest.ExitCode:
        """Return the exit status, raised to a failure if the run is not sound."""
        is_wrong = says_success(status) and not self.is_sound
        return pytest.ExitCode.TESTS_FAILED if is_wrong else status

    @property
    def is_sound(self) -> bool:
        """True if the run did everything that was requested. If not, its exit status is at least 1."""
        return bool(self._passive) or self.why_not_sound is None

    @property
    def why_not_sound(self) -> str | None:
        """The reason why the run is not sound; ``None`` if it did everything that was requested."""
        if not self.process.is_current:
            return "this process was forked from the one that records, so nothing that it ran is recorded"
        if self._results is None:
            return "the session did not begin, and nothing is recorded"
        if not self._is_finished:
            return "the session did not come to its end"
        if self.problems:
            return self.problems[0]
        return self._results.loss() or self._completion.why_not_done

    def pytest_keyboard_interrupt(self) -> None:
        """Note an interrupt; pytest calls this for ``pytest.exit`` too."""
        self._was_interrupted = True

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note an internal error, also of an xdist worker, after which the other workers may go on."""
        self._was_interrupted = True
        error = excinfo.exconly(tryshort=True)[:500]
        self.add_problem(f"an internal error ended the run, or a worker: {error}")

    @guarded
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._results is None:
            return
        summary = pytest_summary.RunSummary(
            judged=self._completion.judged(self._run),  # reads the state again
            document=self._run.document,
            context=self._run.context(self._run.document),
            policy=self._completion.policy,
            address=str(self.path.absolute()),
            flaky=self._results.flaky,
            notices=list(dict.fromkeys(self.notices)),
            problems=self.problems,
            unrecorded=[event.details for event in self._run.unrecorded],
            completion=self._completion.sentence,
        )
        pytest_summary.write(summary, terminalreporter)
        self.has_reported = True

    def pytest_unconfigure(self) -> None:
        if not self.process.is_current:
            return
        self.process.unmark()
        self._run.close()
        if self._controller is not None:
            self._controller.plans.remove()
        if self._results is not None and not self._is_finished:
            self.add_problem("the session did not come to its end")
        if not self.has_reported:
            sentences = [*self.problems, *filter(None, [self._completion.sentence])]
            self.has_reported = bool(sentences)
            pytest_summary.write_fallback(sentences)
