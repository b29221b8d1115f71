"""The results of a run's tests: what each said, and what is recorded of it.

Report → attempt → verdict → event: this is the one place where a test's reports become a verdict.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.recording.attempts import Attempt, is_worse, short_reason, will_be_repeated
from pytest_migration_state.text import counted, to_printable, to_storable
from pytest_migration_state.types import Blocker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pytest

    from pytest_migration_state.domain.policy import Policy
    from pytest_migration_state.domain.verdict import Outcome
    from pytest_migration_state.recording.merged_plan import MergedPlan
    from pytest_migration_state.tracking.run_writer import RunWriter
    from pytest_migration_state.types import BlockerKind, JsonObject, Key

#: The phase of xdist's own report of a test whose worker died; pytest knows no such phase.
CRASHED = "???"
_NO_END = "no report of its end reached us"


class Results:
    """The results of a run's tests. A test is called by its name in the plan.

    :ivar counts: how many verdicts of each outcome this run has recorded.
    :ivar flaky: validations that passed only after a rerun, with the number of attempts.
    :ivar without_verdict: the planned validations that have no verdict of this run.
    :ivar notices: what users should know about results.
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
        # By test and, under --dist=each, worker slot. They are kept after the end of a test: whatever makes
        # it run twice in one run, the worse result counts.
        self._attempts: dict[tuple[str, object], Attempt] = {}
        # What was recorded of each test that has ended. It may get worse until the session is over.
        self._recorded: dict[str, Outcome] = {}
        # Why a test that passed is in doubt, and the tests that ran and were left without a verdict.
        self._doubts: dict[str, str] = {}
        self._withdrawn: set[str] = set()

    def expect(self, entries: Iterable[JsonObject]) -> None:
        """Expect a verdict of each planned validation that is pending."""
        pending = (entry for entry in entries if entry["reason"] == "pending")
        self.without_verdict.update((entry["component"], entry["test_name"]) for entry in pending)

    # --- reports --------------------------------------------------------------------------------------------

    def add_report(self, name: str, report: pytest.TestReport, slot: object, before: dict[str, Any]) -> bool:
        """Add a report of a test.

        :param before: what earlier reports of a test said that was marked only now (see :class:`Attempt`).
        :returns: True if the test has to be finished now: its worker died, or it got worse after its end.
        """
        attempt = self._attempts.get((name, slot))
        if attempt is None:
            if name not in self._plan.tests:
                return False
            attempt = self._attempts[name, slot] = Attempt(**before)
            if self._on_every_worker:
                # Whatever its plan said, or without one: what it reports counts.
                self._plan.slots[name].add(slot)
        attempt.add(report)
        recorded = self._recorded.get(name)
        if recorded is not None and will_be_repeated(report):
            self._take_back(name, recorded)
            return False
        return report.when == CRASHED or (recorded is not None and is_worse(attempt.outcome, recorded))

    def doubt(self, name: str, report: pytest.TestReport) -> None:
        """Put a test in doubt: a fixture that it may share with ``report``'s test failed after it."""
        failure = f"a fixture that it may share failed when '{report.nodeid}' ran ({short_reason(report)})"
        self.put_in_doubt([name], failure)

    def put_in_doubt(self, names: Iterable[str], failure: str) -> None:
        """Leave tests that passed without a verdict, because of a failure that they may have caused."""
        why = f"in doubt: {failure}"
        for name in names:
            self._doubts.setdefault(name, why)
            if self._recorded.get(name) == "passed":
                self._take_back(name, "passed")
                self._withdraw(name, why)

    # --- the end of a test ----------------------------------------------------------------------------------

    def finish_reported(self, node_id: str) -> Iterable[str]:
        """Yield the tests that have ended when pytest reports the end of ``node_id``."""
        for name in self._plan.alike.get(node_id, (node_id,)):
            slots: Iterable[object] = (None,)
            if self._on_every_worker:
                slots = self._plan.slots.get(name, ())
            elif node_id not in self._plan.alike:
                yield name
                continue
            # It may have been the end on another worker, or of another test with the same node id.
            if all(self._is_over(name, slot) for slot in slots):
                yield name

    def _is_over(self, name: str, slot: object) -> bool:
        attempt = self._attempts.get((name, slot))
        return attempt is not None and attempt.is_over and attempt.outcome is not None

    def finish(self, name: str) -> Attempt | None:
        """Record the result of a test that has ended: once, and again if it gets worse.

        :returns: what was recorded; ``None`` if there is nothing new.
        """
        attempt = self._worst(name) if self._on_every_worker else self._attempts.get((name, None))
        recorded = self._recorded.get(name)
        if attempt is None or attempt.outcome is None or not is_worse(attempt.outcome, recorded):
            return None
        if attempt.outcome == "passed" and name in self._doubts:
            self._withdraw(name, self._doubts[name])
            return None
        if recorded is not None:
            self.counts[recorded] -= len(self._plan.tests[name])
        self._recorded[name] = attempt.outcome
        self._write_verdicts(self._plan.node_id(name), self._plan.tests[name], attempt, attempt.outcome)
        if attempt.outcome == "passed" and not self._on_every_worker:
            # What was recorded is enough if it runs again in this run, which may be a large one.
            del self._attempts[name, None]
        return attempt

    def finish_unreported(self, name: str) -> Attempt | None:
        """Finish a test that has run, and whose end pytest did not report: what it said so far counts if it is final.

        :returns: what was recorded; ``None`` if there is nothing new.
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
        """Finish the tests whose end was not reported: some plugins never call ``pytest_runtest_logfinish``."""
        for name in dict.fromkeys(name for name, _ in self._attempts):
            if name in self._recorded:
                continue
            slots = self._plan.slots[name] if self._on_every_worker else (None,)
            attempts = [self._attempts.get((name, slot)) for slot in slots]
            if all(attempt is not None and attempt.is_enough for attempt in attempts):
                self.finish(name)
            elif not was_interrupted and not self._on_every_worker:
                (attempt,) = attempts
                self._withdraw(name, (attempt and attempt.reason) or _NO_END)

    def _worst(self, name: str) -> Attempt:
        """Return the worst of what every worker said of a test."""
        worst = Attempt()
        for slot in self._plan.slots[name]:
            if attempt := self._attempts.get((name, slot)):
                worst.absorb(attempt)
        return worst

    # --- recording ------------------------------------------------------------------------------------------

    def _write_verdicts(self, node_id: str, keys: list[Key], attempt: Attempt, outcome: Outcome) -> None:
        for key in keys:
            self.counts[outcome] += 1
            self.without_verdict.discard(key)
            if outcome == "skipped":
                self._run.skip(key, attempt.reason or "", node_id)
                continue
            passed = outcome == "passed"
            self.flaky.pop(key, None)
            if attempt.number > 1 and passed:
                self.flaky[key] = attempt.number
            verdict = Verdict(
                key=key,
                passed=passed,
                error_message=attempt.reason,
                outcome=outcome,
                duration_seconds=attempt.duration,
                run_id=self._run.run_id,
                attempts=attempt.number if attempt.number > 1 else None,
                node_id=to_storable(node_id) if node_id != key[1] else None,
            )
            self._run.verdict(verdict)

    def _take_back(self, name: str, recorded: Outcome) -> None:
        """Forget what this run recorded of a test."""
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

    # --- what became of the run -----------------------------------------------------------------------------

    def loss(self) -> str | None:
        """Return why a run that calls itself successful is not, in words; ``None`` if it is."""
        if not self._plan.is_planned:
            return "the run ended before it was known which tests it would run"
        if failed := self.counts["failed"]:
            return f"{counted(failed, 'validation')} failed, although pytest calls the run successful"
        if missing := len(self.without_verdict):
            verb = "has" if missing == 1 else "have"
            return f"{counted(missing, 'selected validation')} did not run to the end and {verb} no verdict"
        return None

    def own_blockers(self, policy: Policy) -> Sequence[Blocker]:
        """Return why this run does not vouch for Completed, whatever others recorded since of the tests that failed here."""
        blockers = []
        for name, outcome in self._recorded.items():
            if outcome == "passed" or outcome in policy.allow:
                continue
            kind: BlockerKind = "outstanding" if outcome == "skipped" else outcome
            for component, test_name in self._plan.tests[name]:
                which = f"'{to_printable(test_name)}' of '{to_printable(component)}'"
                message = f"{which} {outcome} in this run, whatever another recorded since"
                blockers.append(Blocker(kind, component, test_name, message, "run it again"))
        return blockers
