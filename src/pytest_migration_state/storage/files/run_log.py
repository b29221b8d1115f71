"""The writer of one run on files: a line of its journal for each verdict, and groups of them for the log.

A run keeps the document in memory. From time to time it brings the log up to date with its journal, and then
the document with the log: the cost stays linear in the number of tests.
"""

from __future__ import annotations

from time import monotonic  # bound here: a test may replace time.monotonic
from typing import TYPE_CHECKING, Final

from pytest_migration_state.errors import (
    MigrationStateError,
    StateDamagedError,
    StateLockedError,
    StateWriteError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.base import Decide
    from pytest_migration_state.storage.files.run_journal import RunJournal
    from pytest_migration_state.storage.files.state_files import StateFiles
    from pytest_migration_state.types import JsonObject

#: The shortest time between two groups, and between two checkpoints, in seconds; and the same as a multiple
#: of the duration of the last one. The longer one applies.
INTERVAL: Final = 1.0
SHARE: Final = 10
#: How long a group waits for the state lock, in seconds, while the journal holds its events: the tests must
#: not wait for other writers.
_PATIENCE: Final = 1.0
#: The shortest time between a failure and the next attempt to write, in seconds: the tests must not wait at
#: every verdict.
_RETRY_INTERVAL: Final = 1.0


class FileRunLog:
    """The writer of one run; see :class:`~pytest_migration_state.storage.base.RunLog`."""

    def __init__(self, files: StateFiles, run_id: str, journal: RunJournal) -> None:
        self.failure: MigrationStateError | None = None
        self._files = files
        self._run_id = run_id
        self._journal = journal
        files.use_journal(journal)
        self._timeout = files.lock.timeout
        # The last event, until it is written.
        self._last: tuple[Event, str] | None = None
        self._is_finished = False
        self._tried_at = 0.0
        self._group_due_at = 0.0
        self._checkpoint_due_at = 0.0

    @property
    def document(self) -> Document:
        """The state as this run last saw it. What only its journal holds is not in it."""
        return self._files.document

    @property
    def unrecorded(self) -> list[Event]:
        """The events that could not be written yet. Each later write tries again, in order."""
        journal = self._journal
        # Nobody takes over what comes after the end that is on record.
        has_ended = self._is_finished and self._last is None
        records = [*journal.handed, *journal.pending] if has_ended else journal.at_risk()
        last = [self._last[0]] if self._last else []
        return [record.event for record in records] + last

    def begin(self, decide: Decide) -> bool:
        """Write the first events; return True if the state had to be created."""

        def decide_and_open(document: Document) -> Sequence[Event]:
            decided = decide(document)
            if self._run_id in document.open_runs:
                raise StateWriteError(str(self._files.paths.shown), f"a run {self._run_id} is open already")
            try:
                self._journal.open()
            except OSError as error:
                reason = f"the journal of the run cannot be created ({error.strerror or error})"
                raise StateWriteError(str(self._journal.path), reason) from error
            self._journal.migration_id = document.migration_id
            return decided

        with self._files.hold(create=True) as created:
            with self._files.paths.noting_absence(absent=created):
                self._files.decide(decide_and_open)
            self._checkpoint()
        self._group_due_at = self._checkpoint_due_at
        return created

    def commit(self, decide: Decide, *, reload: bool = False) -> None:
        """Write the events that ``decide`` returns, and flush them to the disk."""
        self._files.lock.timeout = self._timeout
        with self._files.hold(reuse=not reload, keep=True):
            has_events = self._commit(lambda: self._files.stage(*decide(self.document)))
            if has_events or self._files.is_log_failing:
                self._checkpoint()
            self._journal.settle()

    def record_verdict(self, verdict: JsonObject, now: str) -> None:
        """Write a verdict of ``now``."""
        self._journal.add_verdict(verdict, now, self._files.log_size())
        self._flush_if_due()

    def record(self, event: Event, now: str) -> None:
        """Write another event of ``now``."""
        self._journal.add(event, now, self._files.log_size())
        self._flush_if_due()

    def _flush_if_due(self) -> None:
        if self.failure is not None:
            if monotonic() - self._tried_at > _RETRY_INTERVAL:
                self._flush(0.0)
        elif self._is_finished or not self._journal.is_whole:
            self._flush(self._timeout)
        elif monotonic() >= self._group_due_at:
            self._flush(min(_PATIENCE, self._timeout))

    def retry(self) -> None:
        """Try once more to write what could not be written yet."""
        if self.unrecorded or self.failure:
            self._flush(self._timeout)

    def finish(self, event: Event, now: str) -> None:
        """Write the last event, and flush everything to the disk."""
        self._last = event, now
        self._is_finished = True
        self._flush(self._timeout)

    def close(self) -> None:
        """Close the files. The run is no longer alive, even if its end could not be recorded."""
        self._journal.remove()
        self._files.close()

    def _check_migration(self) -> None:
        """Check that the state still holds the migration on which the run began.

        :raises StateDamagedError: another migration was begun in its place.
        """
        if self.document.migration_id != self._journal.migration_id:
            reason = (
                "its migration was replaced by a new one during the run; the verdicts until then stay with "
                "the old one. Run the tests again for the new one"
            )
            raise StateDamagedError(str(self._files.paths.shown), reason)

    def _commit(self, stage: Callable[[], None]) -> bool:
        """Commit what journals hold and the events that ``stage`` stages, if the migration is still the same.

        :returns: whether ``stage`` staged any.
        """

        def stage_if_same() -> None:
            self._check_migration()
            stage()

        return self._files.commit_again(stage_if_same)

    def _flush(self, timeout: float) -> None:
        """Try to bring the log up to date with the journal, and the document if that is due.

        :param timeout: how long to wait for the state lock, in seconds.
        """
        files, began = self._files, monotonic()
        files.lock.timeout = timeout
        try:
            with files.hold(reuse=True, keep=True):
                self._commit(lambda: None)
                is_due = self._is_finished or monotonic() >= self._checkpoint_due_at
                if files.is_log_failing or (self._last is None and is_due):
                    self._checkpoint()
                self._journal.settle()
                if self._last:
                    last, timestamp = self._last
                    self._commit(lambda: files.stage(last, timestamp=timestamp))
                    self._last = None
                    self._checkpoint()
            self.failure = None
        except MigrationStateError as error:
            is_locked = isinstance(error, StateLockedError)
            can_wait = is_locked and not self._is_finished and not self.unrecorded
            self.failure = None if can_wait else error
        finally:
            self._tried_at = monotonic()
            self._group_due_at = _due(began)

    def _checkpoint(self) -> None:
        began = monotonic()
        self._files.checkpoint()
        self._check_migration()
        self._checkpoint_due_at = _due(began)


def _due(began: float) -> float:
    """Return when something is due again that began then and has just ended."""
    now = monotonic()
    return now + max(INTERVAL, SHARE * (now - began))
