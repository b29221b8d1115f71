"""The writer of a run of tests: its plan, each verdict when its test ends, and its end."""

from __future__ import annotations

import secrets
from contextlib import suppress
from time import monotonic  # bound at import: a test may replace time.monotonic
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain import events, operations, run_events
from pytest_migration_state.domain.gate import Context, GateResult, evaluate
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.run_plan import RunPlan, planned, settled_runs
from pytest_migration_state.domain.runs import run_in_words, waiting_for
from pytest_migration_state.errors import GateBlockedError, MigrationStateError, StateWriteError
from pytest_migration_state.storage.opening import located, open_store
from pytest_migration_state.text import to_storable_message, utc_now

__all__ = ["RunWriter", "located"]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.domain.policy import Policy
    from pytest_migration_state.domain.verdict import Verdict
    from pytest_migration_state.storage.base import RunLog
    from pytest_migration_state.types import Blocker, JsonObject, Key, Liveness


#: pytest's exit status for a run that did not begin (``pytest.ExitCode.USAGE_ERROR``).
_REFUSED: Final = 4


class RunWriter:
    """The writer of one run.

    :param path: the state; created if there is none.
    :param run_id: the id of the run in log and document.
    :param notify: called with a warning, one sentence, while the work goes on.
    :ivar is_refused: whether pytest refused its arguments, so that it ran nothing; known at the end.
    """

    def __init__(self, path: Path, run_id: str, *, notify: Callable[[str], None]) -> None:
        self.path = path
        self.run_id = run_id
        self.is_refused = False
        self._selection = ""
        self._began = monotonic()
        self._store = open_store(path, run_id=run_id, notify=notify)
        self._log: RunLog | None = None

    @property
    def _open_log(self) -> RunLog:
        assert self._log is not None, "open() comes first"
        return self._log

    @property
    def document(self) -> Document:
        """The state as this run last saw it."""
        return self._open_log.document

    @property
    def failure(self) -> MigrationStateError | None:
        """The reason why the last write failed; ``None`` if it did not."""
        return self._log.failure if self._log else None

    @property
    def unrecorded(self) -> list[Event]:
        """The events that could not be written yet. Each later write tries again, in order."""
        return self._log.unrecorded if self._log else []

    def open(
        self,
        check: Callable[[Document], None],
        environment: JsonObject,
        selection: str = "all tests",
        full: str | None = None,
    ) -> bool:
        """Begin the run on the state; return True if it had to be created.

        :param check: called with the state; raises to refuse the run before anything of it is written.
        :param environment: versions, commit and CI job, for the log.
        :param selection: a digest of what the run was asked to run. This run settles an unfinished run with
            the same digest.
        :param full: the same without the options that narrow it down (``--lf``). A run of that looks at more
            files, and settles this run too.
        """

        def decide(document: Document) -> list[Event]:
            check(document)
            return [
                run_events.run_started(
                    utc_now(), self.run_id, self._store.process_fields(), environment, selection, full
                )
            ]

        self._selection = selection
        try:
            self._log, created = self._store.begin_run(self.run_id, decide)
        except StateWriteError:
            self._take_back()
            raise
        return created

    def _take_back(self) -> None:
        """End a run that could not begin, if its beginning is on record: nothing waits for it."""

        def decide(document: Document) -> list[Event]:
            if self.run_id not in document.open_runs:
                return []
            return [run_events.run_finished(utc_now(), self.run_id, _REFUSED, {}, 0.0, has_planned=True)]

        with suppress(MigrationStateError):
            self._store.commit(decide)

    # --- the plan -------------------------------------------------------------------------------------------

    def plan(self, plan: RunPlan) -> list[str]:
        """Record the plan of the run, and flush it to the disk.

        :returns: the earlier runs that this run settles, in words.
        """
        settled_in_words: list[str] = []

        def decide(document: Document) -> list[Event]:
            others = {run_id: run for run_id, run in document.open_runs.items() if run_id != self.run_id}
            liveness = self._store.liveness_of(others)
            settled = settled_runs(document, plan, self._selection, liveness)
            settled_in_words[:] = [
                run_in_words(run_id, run, liveness[run_id]) for run_id, run in settled.items()
            ]
            return planned(document, utc_now(), plan, self.run_id, settled, liveness)

        self._open_log.commit(decide)
        return settled_in_words

    # --- the tests ------------------------------------------------------------------------------------------

    def verdict(self, verdict: Verdict) -> None:
        """Record a verdict of this run. Never raises because of the state: see :attr:`unrecorded`."""
        now = utc_now()
        if verdict.error_message is not None:
            verdict = verdict._replace(error_message=to_storable_message(verdict.error_message))
        self._open_log.record_verdict(verdict.to_object(now), now)

    def skip(self, key: Key, reason: str, node_id: str) -> None:
        """Record that a planned validation was skipped."""
        now = utc_now()
        entry = run_events.outstanding(now, key, "skipped", to_storable_message(reason), node_id)
        self._open_log.record(run_events.skipped(entry), now)

    def withdraw(self, key: Key, why: str, node_id: str) -> None:
        """Record that a planned validation has no verdict that counts.

        An earlier verdict of this run is withdrawn.
        """
        now = utc_now()
        entry = run_events.outstanding(now, key, "pending", to_storable_message(why), node_id)
        self._open_log.record(run_events.left_without_verdict(waiting_for(entry, [self.run_id])), now)

    def retry(self) -> None:
        """Try once more to write what could not be written yet. Never raises because of the state."""
        self._open_log.retry()

    # --- the end --------------------------------------------------------------------------------------------

    def gate(self, policy: Policy) -> GateResult:
        """Return the gate's result on the state as it is now, or as it was seen last if it cannot be read."""
        with suppress(MigrationStateError):
            self._open_log.commit(lambda _: [])
        return evaluate(self.document, policy, self.context(self.document))

    def liveness_of(self, document: Document) -> dict[str, Liveness]:
        """Return whether each open run of a document is alive, by id."""
        return self._store.liveness_of(document.open_runs)

    def context(self, document: Document) -> Context:
        """Return the gate's context for a document."""
        return Context(str(self.path), self.liveness_of(document), self.run_id)

    def complete(self, policy: Policy, own: Sequence[Blocker] = ()) -> GateResult:
        """Move Validation → Completed if the gate is open. A Completed migration is only judged.

        :param own: the blockers of this run itself, besides those of the gate.
        :raises MigrationStateError: the phase does not allow it, or the state cannot be used.
        """
        results: list[GateResult] = []

        def decide(document: Document) -> list[Event]:
            context = self.context(document)
            if document.phase is Phase.COMPLETED:
                results[:] = [_with(evaluate(document, policy, context).blockers, own)]
                return []
            try:
                event = operations.set_phase(
                    document, utc_now(), Phase.COMPLETED, policy=policy, context=context
                )
                results[:] = [GateResult(tuple(own))]
            except GateBlockedError as error:
                results[:] = [_with(error.blockers, own)]
            return [event if results[0].open else events.gate_blocked(results[0].blockers)]

        self._open_log.commit(decide, reload=True)
        return results[0]

    def finish(self, exit_status: int, counts: dict[str, int], *, is_refused: bool = False) -> None:
        """Write what is not written yet and the end of the run, and flush everything to the disk.

        Never raises because of the state.

        :param is_refused: whether pytest refused its arguments, so that it would have run nothing.
        """
        now = utc_now()
        seconds = monotonic() - self._began
        self.is_refused = is_refused
        has_planned = is_refused or self.run_id not in self.document.collecting_runs
        event = run_events.run_finished(
            now, self.run_id, exit_status, counts, seconds, has_planned=has_planned
        )
        self._open_log.finish(event, now)

    def close(self) -> None:
        """Close the files. The run is no longer alive, even if its end could not be recorded."""
        if self._log:
            self._log.close()
        self._store.close()


def new_run_id() -> str:
    """Return an id for a new run."""
    return secrets.token_hex(8)


def _with(blockers: Sequence[Blocker], own: Sequence[Blocker]) -> GateResult:
    """Return the gate's blockers, and those of the run that concern other validations."""
    known = {(blocker.component, blocker.test_name) for blocker in blockers}
    return GateResult(
        (*blockers, *(blocker for blocker in own if (blocker.component, blocker.test_name) not in known))
    )
