"""What a run of tests writes: its plan, each verdict as it falls, and its end.

A run keeps the document in memory and appends to the log under the lock; the document is replaced now and then, so that
the cost stays linear in the number of tests.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.core import events, operations
from pytest_migration_state.core.document import collecting_runs
from pytest_migration_state.core.errors import GateBlockedError, MigrationStateError, StateDamagedError
from pytest_migration_state.core.gate import COLLECTION, evaluate
from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.store import Store
from pytest_migration_state.core.text import storable, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pytest_migration_state.core.document import Document, JsonObject, Key
    from pytest_migration_state.core.events import Event
    from pytest_migration_state.core.gate import GateResult, Policy

#: The shortest time between two checkpoints of a run, in seconds, and how many times its own cost one must wait.
CHECKPOINT_INTERVAL: Final = 1.0
CHECKPOINT_SHARE: Final = 10
#: After a failure the state is tried again no sooner than this, in seconds: the tests must not wait for it each time.
_RETRY_INTERVAL: Final = 1.0
#: How many validations one line of the plan holds: lines stay short enough to be read.
_PLAN_PIECE: Final = 500


class RunRecorder:
    """The writer of one run.

    :param path: the state; created where there is none.
    :param run_id: the run's id in log and document.
    :param notify: called with a sentence about what a person should know although the work goes on.
    :ivar failure: why the last write failed; ``None`` where it did not.
    """

    def __init__(self, path: Path, run_id: str, *, notify: Callable[[str], None]) -> None:
        self.path = path
        self.run_id = run_id
        self._waiting: list[tuple[Event, str]] = []
        # Written to a document in memory only, because the log does not take them and the disk no document.
        self._doubtful: list[tuple[Event, str]] = []
        self.failure: MigrationStateError | None = None
        self._selection = ""
        self._migration_id: str | None = None
        self._store = Store(path, run_id=run_id, notify=notify)
        self._timeout = self._store.lock_timeout
        self._tried_at = 0.0
        self._checkpoint_due_at = 0.0

    @property
    def document(self) -> Document:
        """The state as this run last saw it."""
        return self._store.document

    def open(self, check: Callable[[Document], None], where: JsonObject, selection: str = "all tests") -> bool:
        """Begin the run on the state; gives whether it had to be created.

        :param check: called with the state under the lock; raises to refuse the run before anything of it is written.
        :param where: who runs it and where, for the log.
        :param selection: what it was asked to run, as a digest: a run of the same that was killed is made up for by this one.
        """
        with self._store.held(create=True) as created:
            check(self.document)
            self._selection = selection
            self._store.append(events.run_started(utc_now(), self.run_id, where, selection))
            self._migration_id = self.document.metadata.get("migration_id")
            self._checkpoint()
        return created

    def _make_sure(self) -> None:
        """See that it still is the migration that the run began on.

        :raises StateDamagedError: another one was begun in its place.
        """
        if self.document.metadata.get("migration_id") != self._migration_id:
            raise StateDamagedError(str(self.path), "another migration was begun here while the tests ran; run them again for that one")

    def plan(self, entries: list[JsonObject], collected: Iterable[str] = ()) -> None:
        """Put on the books, and on the disk, what the run is about to do.

        :param entries: outstanding validations. A deselected one counts only if nothing is known of it yet.
        :param collected: files (node ids) that could be collected: an earlier collection error of theirs is settled.
        """
        with self._store.held(reuse=True):
            self._make_sure()
            known = self.document
            # A deselected test that is known keeps what is known of it.
            entries = [
                entry
                for entry in entries
                if entry["reason"] != "deselected" or not _is_known(known, (entry["component"], entry["test_name"]))
            ]
            failing = {entry["test_name"] for entry in entries if entry["component"] == COLLECTION}
            failed_before = {name for component, name in known.outstanding if component == COLLECTION} - failing
            gone = [(COLLECTION, name) for name in collected if name in failed_before] if failed_before else []
            # What this run selects, a killed run of the same would have selected.
            collecting = collecting_runs(known)
            runs: JsonObject = {run_id: None for run_id, run in collecting.items() if run["collecting"] == self._selection}
            if self.run_id in collecting:
                runs[self.run_id] = {"collecting": None}
            if entries or gone or runs:
                for start in range(0, max(len(entries), 1), _PLAN_PIECE):
                    first = start == 0
                    piece = entries[start : start + _PLAN_PIECE]
                    self._store.stage(events.planned(piece, gone if first else (), runs if first else None))
                self._store.commit()
                self._checkpoint()

    @property
    def unrecorded(self) -> list[Event]:
        """What could not be written yet. Each later write tries again, in order."""
        return [event for event, _ in (*self._doubtful, *self._waiting)]

    def record(self, event: Event, now: str) -> None:
        """Write an event of ``now``. Never raises for the state's sake: see :attr:`unrecorded` and :attr:`failure`."""
        self._waiting.append((event, now))
        if self.failure is None:
            if len(self._waiting) == 1 and self._store.append_next(event, now):
                self._waiting.clear()
                if time.monotonic() < self._checkpoint_due_at:
                    return
            self._flush(self._timeout)
        elif time.monotonic() - self._tried_at > _RETRY_INTERVAL:
            self._flush(0.0)

    def verdict(self, key: Key, passed: bool, error_message: str | None, **more: Any) -> None:
        """Record a verdict of this run. ``more``: see :func:`~pytest_migration_state.core.events.verdict_given`."""
        now = utc_now()
        component, test_name = key
        message = None if error_message is None else storable(error_message)
        self.record(events.verdict_given(now, component, test_name, passed, message, more), now)

    def skip(self, key: Key, reason: str, node_id: str) -> None:
        """Record that a planned validation was skipped."""
        now = utc_now()
        self.record(events.skipped(events.outstanding(now, key, "skipped", storable(reason), node_id)), now)

    def _flush(self, timeout: float) -> None:
        self._store.lock_timeout = timeout
        try:
            with self._store.held(reuse=True):
                self._make_sure()
                for event, timestamp in self._waiting:
                    self._store.stage(event, timestamp=timestamp)
                self._store.commit()
                if self._store.is_log_failing:
                    # The document is the only place for them, and there they must be before they count as recorded.
                    self._doubtful.extend(self._waiting)
                    self._waiting.clear()
                    self._checkpoint()
                self._waiting.clear()
                self._doubtful.clear()
                if time.monotonic() >= self._checkpoint_due_at:
                    self._checkpoint()
            self.failure = None
        except MigrationStateError as error:
            self.failure = error
        finally:
            self._tried_at = time.monotonic()

    def _checkpoint(self) -> None:
        began = time.monotonic()
        self._store.checkpoint()
        now = time.monotonic()
        self._checkpoint_due_at = now + max(CHECKPOINT_INTERVAL, CHECKPOINT_SHARE * (now - began))

    def gate(self, policy: Policy) -> GateResult:
        """The gate on the state as this run last saw it."""
        return evaluate(self.document, policy, state=str(self.path))

    def complete(self, policy: Policy) -> GateResult:
        """Move Validation → Completed if the gate is open, in one hold of the lock.

        :raises MigrationStateError: the phase does not allow it, or the state cannot be used.
        """
        self._store.lock_timeout = self._timeout
        with self._store.held():
            self._make_sure()
            try:
                event = operations.set_phase(self.document, utc_now(), Phase.COMPLETED, policy=policy, state=str(self.path))
            except GateBlockedError as error:
                event = events.gate_blocked(error.blockers)
            self._store.append(event)
            self._checkpoint()
            return self.gate(policy)

    def finish(self, exit_status: int, counts: dict[str, int], seconds: float) -> None:
        """Write what is left and the run's end, and bring all of it to the disk. Never raises for the state's sake."""
        self._waiting.append((events.run_finished(self.run_id, exit_status, counts, seconds), utc_now()))
        self._checkpoint_due_at = 0.0
        self._flush(self._timeout)

    def close(self) -> None:
        """Let go of the files."""
        self._store.close()


def _is_known(document: Document, key: Key) -> bool:
    return key in document.verdicts or key in document.outstanding
