"""The results of a run's tests, from reports to recorded verdicts.

Report → attempt → verdict → event: only this module turns a test's reports into a verdict.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.recording.attempts import Attempt, is_worse, short_reason, will_be_repeated
from pytest_migration_state.recording.xdist_protocol import CRASHED
from pytest_migration_state.text import counted, to_printable, to_storable
from pytest_migration_state.types import Blocker, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pytest

    from pytest_migration_state.domain.policy import Policy
    from pytest_migration_state.domain.verdict import Outcome
    from pytest_migration_state.recording.merged_plan import MergedPlan
    from pytest_migration_state.tracking.run_writer import RunWriter
    from pytest_migration_state.types import JsonObject, Key

_NO_END: Final = "no report of its end reached us"


class Results:
    """The results of a run's tests. Tests are identified by their names in the plan.

    :ivar counts: the number of verdicts that this run has recorded, by outcome.
    :ivar flaky: validations that passed only after a rerun, with the number of attempts.
    :ivar without_verdict: the planned validations that have no verdict from this run.
    :ivar notices: messages about results, for users.
    """

    def __init__(
        self, run: RunWriter, plan: MergedPlan, notices: list[str], *, on_every_worker: bool
    ) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.flaky: dict[Key, int] = {}
        self.without_verdict: set[Key] = set()
        self.notices = notices
        self._run = run
        self._plan = plan
        self._on_every_worker = on_every_worker
        # By test and, under --dist=each, worker slot. Kept after the end of a test: if a test runs twice in
        # one run, the worse result counts.
        self._attempts: dict[tuple[str, object], Attempt] = {}
        # The recorded outcome of each test that has ended. It may get worse until the session is over.
        self._recorded: dict[str, Outcome] = {}
        # The reason why a test is in doubt even if it passed.
        self._doubts: dict[str, str] = {}
        # The tests that ran and were left without a verdict.
        self._withdrawn: set[str] = set()

    def expect(self, entries: Iterable[JsonObject]) -> None:
        """Expect a verdict for each planned validation that is pending."""
        pending = (entry for entry in entries if entry["reason"] == "pending")
        self.without_verdict.update(key_of(entry) for entry in pending)

    # --- reports --------------------------------------------------------------------------------------------

    def add_report(
        self, name: str, report: pytest.TestReport, slot: object, before: dict[str, Any] | None
    ) -> bool:
        """Add a report of a test.

        :param before: the result of earlier reports, if the test was marked only now (see :class:`Attempt`).
        :returns: True if the test has to be finished now: its worker died, or it got worse after its end.
        """
        attempt = self._attempts.get((name, slot))
        if attempt is None:
            if name not in self._plan.tests:
                return False
            attempt = self._begin_attempt(name, slot, before)
        attempt.add(report)
        recorded = self._recorded.get(name)
        if recorded is None:
            return report.when == CRASHED
        if will_be_repeated(report):
            self._take_back(name, recorded)
            return False
        return report.when == CRASHED or is_worse(attempt.outcome, recorded)

    def _begin_attempt(self, name: str, slot: object, before: dict[str, Any] | None) -> Attempt:
        attempt = self._attempts[name, slot] = Attempt.continued(before) if before else Attempt()
        if self._on_every_worker:
            # A worker's reports count even if the test was not in its plan, or the plan is missing.
            self._plan.slots[name].add(slot)
        return attempt

    def doubt(self, name: str, report: pytest.TestReport) -> None:
        """Put a test in doubt, because a fixture failed that it may share with the test of ``report``."""
        failure = f"a fixture that it may share failed when '{report.nodeid}' ran ({short_reason(report)})"
        self.put_in_doubt([name], failure)

    def put_in_doubt(self, names: Iterable[str], failure: str) -> None:
        """Leave these tests without a verdict if they passed or pass later: their fixture may have failed."""
        why = f"in doubt: {failure}"
        for name in names:
            self._doubts.setdefault(name, why)
            if self._recorded.get(name) == "passed":
                self._take_back(name, "passed")
                self._withdraw(name, why)

    # --- the end of a test ----------------------------------------------------------------------------------

    def finish_reported(self, node_id: str) -> Iterable[str]:
        """Return the tests that have ended when pytest reports the end of ``node_id``."""
        alike = self._plan.alike.get(node_id)
        if alike is None and not self._on_every_worker:
            return (node_id,)
        # It may have been the end on one of several workers, or of another test with the same node id.
        return [name for name in alike or (node_id,) if self._is_over(name)]

    def _is_over(self, name: str) -> bool:
        """Return True if the teardown of a test was reported, on every worker that runs the test."""
        return all(
            attempt is not None and attempt.is_over and attempt.outcome is not None
            for attempt in self._attempts_of(name)
        )

    def _attempts_of(self, name: str) -> list[Attempt | None]:
        """Return the attempt on each worker that runs the test; ``None`` if a worker has not reported."""
        slots: Iterable[object] = (None,)
        if self._on_every_worker:
            slots = self._plan.slots.get(name, ())
        return [self._attempts.get((name, slot)) for slot in slots]

    def finish(self, name: str) -> Attempt | None:
        """Record the result of a test that has ended: once, and again if it gets worse.

        :returns: the recorded result; ``None`` if there is nothing new.
        """
        attempt = self._result_of(name)
        if attempt is None:
            return None
        outcome = attempt.outcome
        if not is_worse(outcome, self._recorded.get(name)):
            return None
        if outcome == "passed" and name in self._doubts:
            self._withdraw(name, self._doubts[name])
            return None
        self._record(name, attempt, outcome)
        if outcome == "passed" and not self._on_every_worker:
            # The recorded outcome is enough if the test runs again. This saves memory in a large run.
            del self._attempts[name, None]
        return attempt

    def finish_unreported(self, name: str) -> Attempt | None:
        """Finish a test that has run without a report of its end: its result so far counts if it is final.

        :returns: the recorded result; ``None`` if there is nothing new.
        """
        attempt = self._attempts.get((name, None))
        if attempt is None or name in self._recorded:
            return None
        if attempt.is_enough:
            return self.finish(name)
        if attempt.outcome is not None:
            self._withdraw(name, _NO_END)
        return None

    def finish_rest(self, *, was_interrupted: bool) -> None:
        """Finish the tests whose end was not reported.

        Some plugins do not call ``pytest_runtest_logfinish``.
        """
        for name in self._unrecorded_tests():
            if self._has_final_result(name):
                self.finish(name)
            elif not was_interrupted and not self._on_every_worker:
                self._withdraw(name, self._attempts[name, None].reason or _NO_END)

    def _unrecorded_tests(self) -> list[str]:
        """Return the tests that have reported something, but have no recorded result."""
        reported = dict.fromkeys(name for name, _ in self._attempts)
        return [name for name in reported if name not in self._recorded]

    def _has_final_result(self, name: str) -> bool:
        """Return True if every worker that runs the test has reported a final result."""
        return all(attempt is not None and attempt.is_enough for attempt in self._attempts_of(name))

    def _result_of(self, name: str) -> Attempt | None:
        """Return the result of a test so far; if each test runs on every worker, the worst result counts."""
        if not self._on_every_worker:
            return self._attempts.get((name, None))
        worst = Attempt()
        for attempt in self._attempts_of(name):
            if attempt is not None:
                worst.absorb(attempt)
        return worst

    # --- recording ------------------------------------------------------------------------------------------

    def _record(self, name: str, attempt: Attempt, outcome: Outcome) -> None:
        """Record the result of a test, and replace an earlier result of this run."""
        keys = self._plan.tests[name]
        earlier = self._recorded.get(name)
        if earlier is not None:
            self.counts[earlier] -= len(keys)
        self._recorded[name] = outcome
        node_id = self._plan.node_id(name)
        for key in keys:
            self.counts[outcome] += 1
            self.without_verdict.discard(key)
            if outcome == "skipped":
                self._run.skip(key, attempt.reason or "", node_id)
            else:
                self._write_verdict(key, node_id, attempt, outcome)

    def _write_verdict(self, key: Key, node_id: str, attempt: Attempt, outcome: Outcome) -> None:
        passed = outcome == "passed"
        was_repeated = attempt.number > 1
        self.flaky.pop(key, None)
        if was_repeated and passed:
            self.flaky[key] = attempt.number
        verdict = Verdict(
            key=key,
            passed=passed,
            error_message=attempt.reason,
            outcome=outcome,
            duration_seconds=attempt.duration,
            run_id=self._run.run_id,
            attempts=attempt.number if was_repeated else None,
            node_id=to_storable(node_id) if node_id != key[1] else None,
            detail=attempt.detail,
        )
        self._run.verdict(verdict)

    def _take_back(self, name: str, recorded: Outcome) -> None:
        """Discard the recorded result of a test, and expect a new verdict."""
        del self._recorded[name]
        for key in self._plan.tests[name]:
            self.counts[recorded] -= 1
            self.without_verdict.add(key)
            self.flaky.pop(key, None)

    def _withdraw(self, name: str, why: str) -> None:
        """Record once that a test has no verdict that counts."""
        if name in self._withdrawn:
            return
        self._withdrawn.add(name)
        node_id = self._plan.node_id(name)
        for key in self._plan.tests[name]:
            self._run.withdraw(key, why, node_id)
        self.notices.append(f"'{node_id}' has no verdict ({why}); run it again")

    # --- the result of the run ------------------------------------------------------------------------------

    def loss(self) -> str | None:
        """Return the reason why a run that pytest calls successful is not; ``None`` if it is."""
        if not self._plan.is_planned:
            return "the run ended before it was known which tests it would run"
        if failed := self.counts["failed"]:
            return f"{counted(failed, 'validation')} failed, although pytest calls the run successful"
        if missing := len(self.without_verdict):
            verb = "has" if missing == 1 else "have"
            return f"{counted(missing, 'selected validation')} did not run to the end and {verb} no verdict"
        return None

    def own_blockers(self, policy: Policy) -> Sequence[Blocker]:
        """Return the results of this run that prevent completion, whatever other runs recorded."""
        blockers = []
        for name, outcome in self._recorded.items():
            if outcome == "passed" or outcome in policy.allow:
                continue
            kind = "outstanding" if outcome == "skipped" else outcome
            for component, test_name in self._plan.tests[name]:
                which = f"'{to_printable(test_name)}' of '{to_printable(component)}'"
                message = f"{which} {outcome} in this run, whatever another recorded since"
                blockers.append(Blocker(kind, component, test_name, message, "run it again"))
        return blockers
