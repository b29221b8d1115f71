"""The writer of one run on files: an entry per verdict, and the document from time to time.

A run keeps the document in memory and appends to the log under the lock. The document is replaced only from
time to time, so that the cost stays linear in the number of tests.
"""

from __future__ import annotations

from time import monotonic  # bound here: a test may replace time.monotonic
from typing import TYPE_CHECKING, Final

from pytest_migration_state.errors import MigrationStateError, StateDamagedError
from pytest_migration_state.storage import liveness

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.base import Decide
    from pytest_migration_state.storage.files.state_files import StateFiles

#: The shortest time between two checkpoints of a run, in seconds, and the same as a multiple of the duration
#: of the last checkpoint; the longer one applies.
CHECKPOINT_INTERVAL: Final = 1.0
CHECKPOINT_SHARE: Final = 10
#: The shortest time between a failure and the next attempt to write, in seconds: the tests must not wait at
#: every verdict.
_RETRY_INTERVAL: Final = 1.0


class FileRunLog:
    """The writer of one run; see :class:`~pytest_migration_state.storage.base.RunLog`."""

    def __init__(self, files: StateFiles, run_id: str) -> None:
        self.failure: MigrationStateError | None = None
        self._files = files
        self._run_id = run_id
        self._migration_id: str | None = None
        self._timeout = files.lock.timeout
        self._waiting: list[tuple[Event, str]] = []
        # Written only to a document in memory, because neither the log nor the disk takes them.
        self._doubtful: list[tuple[Event, str]] = []
        self._tried_at = 0.0
        self._checkpoint_due_at = 0.0

    @property
    def document(self) -> Document:
        """The state as this run last saw it."""
        return self._files.document

    @property
    def unrecorded(self) -> list[Event]:
        """The events that could not be written yet. Each later write tries again, in order."""
        return [event for event, _ in (*self._doubtful, *self._waiting)]

    def begin(self, decide: Decide) -> bool:
        """Write the first events; return True if the state had to be created."""
        with self._files.hold(create=True) as created:
            with self._files.paths.noting_absence(absent=created):
                self._files.decide(decide)
            liveness.begin_here(self._run_id)
            self._migration_id = self.document.migration_id
            self._checkpoint()
        return created

    def commit(self, decide: Decide, *, reload: bool = False) -> None:
        """Write the events that ``decide`` returns, and flush them to the disk."""
        self._files.lock.timeout = self._timeout
        with self._files.hold(reuse=not reload):
            if self._commit(lambda: self._files.stage(*decide(self.document))):
                self._checkpoint()

    def record(self, event: Event, now: str) -> None:
        """Write an event of ``now``."""
        self._files.note_known(event)
        self._waiting.append((event, now))
        if self.failure is None:
            if len(self._waiting) == 1 and self._files.try_append(event, now):
                self._waiting.clear()
                if monotonic() < self._checkpoint_due_at:
                    return
            self._flush(self._timeout)
        elif monotonic() - self._tried_at > _RETRY_INTERVAL:
            self._flush(0.0)

    def retry(self) -> None:
        """Try once more to write what could not be written yet."""
        if self._waiting or self.failure:
            self._flush(self._timeout, new=0)

    def finish(self, event: Event, now: str) -> None:
        """Write the last event, and flush everything to the disk."""
        self._waiting.append((event, now))
        self._checkpoint_due_at = 0.0
        self._flush(self._timeout)

    def close(self) -> None:
        """Close the files. The run is no longer alive, even if its end could not be recorded."""
        liveness.end_here(self._run_id)
        self._files.close()

    def _check_migration(self) -> None:
        """Check that the state still holds the migration on which the run began.

        :raises StateDamagedError: another migration was begun in its place.
        """
        if self.document.migration_id != self._migration_id:
            reason = (
                "its migration was replaced by a new one during the run; the verdicts until then stay with "
                "the old one. Run the tests again for the new one"
            )
            raise StateDamagedError(str(self._files.paths.shown), reason)

    def _commit(self, stage: Callable[[], None]) -> bool:
        """Commit the events that ``stage`` stages, if the migration is still the one of this run."""

        def stage_if_same() -> None:
            self._check_migration()
            stage()

        return self._files.commit_again(stage_if_same)

    def _stage_waiting(self, new: int) -> None:
        late = len(self._waiting) - new
        for event, timestamp in self._waiting[:late]:
            self._files.stage_late(event, timestamp)
        for event, timestamp in self._waiting[late:]:
            self._files.stage(event, timestamp=timestamp)

    def _flush(self, timeout: float, new: int = 1) -> None:
        """Try to write the waiting events.

        :param new: how many of them, at the end, happened at this moment.
        """
        files = self._files
        files.lock.timeout = timeout
        try:
            with files.hold(reuse=True):
                self._commit(lambda: self._stage_waiting(new))
                if files.is_log_failing:
                    # Only the document can hold them, and they count as recorded only after it was written.
                    self._doubtful.extend(self._waiting)
                    self._waiting.clear()
                    self._checkpoint()
                self._waiting.clear()
                self._doubtful.clear()
                if monotonic() >= self._checkpoint_due_at:
                    self._checkpoint()
            self.failure = None
        except MigrationStateError as error:
            self.failure = error
        finally:
            self._tried_at = monotonic()

    def _checkpoint(self) -> None:
        began = monotonic()
        self._files.checkpoint()
        self._check_migration()
        now = monotonic()
        self._checkpoint_due_at = now + max(CHECKPOINT_INTERVAL, CHECKPOINT_SHARE * (now - began))
