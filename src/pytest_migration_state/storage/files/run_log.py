"""The writer of one run on files: an entry a verdict, the document now and then.

A run keeps the document in memory and appends to the log under the lock; the document is replaced now and
then, so that the cost stays linear in the number of tests.
"""

from __future__ import annotations

from time import monotonic  # bound here: a test may replace time.monotonic
from typing import TYPE_CHECKING, Final

from pytest_migration_state.errors import MigrationStateError, StateDamagedError
from pytest_migration_state.storage import liveness

if TYPE_CHECKING:
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.base import Decide
    from pytest_migration_state.storage.files.state_files import StateFiles

#: The shortest time between two checkpoints of a run, in seconds, and how many times its own cost one must
#: wait.
CHECKPOINT_INTERVAL: Final = 1.0
CHECKPOINT_SHARE: Final = 10
#: After a failure the state is tried again no sooner than this, in seconds: the tests must not wait for it
#: each time.
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
            self._files.stage(*decide(self.document))
            self._files.commit()
            liveness.begin_here(self._run_id)
            self._migration_id = self.document.migration_id
            self._checkpoint()
        return created

    def commit(self, decide: Decide, *, reload: bool = False) -> None:
        """Write the events that ``decide`` returns, and have them on the disk."""
        self._files.lock.timeout = self._timeout
        with self._files.hold(reuse=not reload):
            self._check_migration()
            if new_events := decide(self.document):
                self._files.stage(*new_events)
                self._files.commit()
                self._checkpoint()

    def record(self, event: Event, now: str) -> None:
        """Write an event of ``now``."""
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
            self._flush(self._timeout)

    def finish(self, event: Event, now: str) -> None:
        """Write the last event, and have everything on the disk."""
        self._waiting.append((event, now))
        self._checkpoint_due_at = 0.0
        self._flush(self._timeout)

    def close(self) -> None:
        """Close the files. Whatever became of the run, it is no longer alive."""
        liveness.end_here(self._run_id)
        self._files.close()

    def _check_migration(self) -> None:
        """Make sure that it still is the migration that the run began on.

        :raises StateDamagedError: another one was begun in its place.
        """
        if self.document.migration_id != self._migration_id:
            reason = "the state was reinitialized during the run; run the tests again for the new migration"
            raise StateDamagedError(str(self._files.paths.shown), reason)

    def _flush(self, timeout: float) -> None:
        files = self._files
        files.lock.timeout = timeout
        try:
            with files.hold(reuse=True):
                self._check_migration()
                for event, timestamp in self._waiting:
                    files.stage(event, timestamp=timestamp)
                files.commit()
                if files.is_log_failing:
                    # Only the document can hold them, and there they must be before they count as recorded.
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
        now = monotonic()
        self._checkpoint_due_at = now + max(CHECKPOINT_INTERVAL, CHECKPOINT_SHARE * (now - began))
