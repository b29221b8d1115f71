"""The files of one state, used by one thread of one process at a time, under the state lock."""

from __future__ import annotations

import contextlib
import os
import threading
from contextlib import contextmanager
from time import monotonic  # bound here: a test may replace time.monotonic
from typing import TYPE_CHECKING

from pytest_migration_state.errors import MigrationStateError, StateLockedError
from pytest_migration_state.storage.files.forks import reset_in_child
from pytest_migration_state.storage.files.working_copy import WorkingCopy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_migration_state.storage.files.lock import StateLock
    from pytest_migration_state.storage.files.paths import StatePaths
    from pytest_migration_state.storage.records import Author


class StateFiles(WorkingCopy):
    """The files of one state, for one user of them.

    :param author: who writes here.
    :param notify: called with a warning, one sentence, while the work goes on.
    """

    def __init__(
        self, paths: StatePaths, author: Author, lock: StateLock, notify: Callable[[str], None]
    ) -> None:
        super().__init__(paths, author, lock, notify)
        self._mutex = threading.RLock()
        reset_in_child(self)

    @contextmanager
    def _alone(self) -> Iterator[float]:
        """Keep the other threads of this process out. Yield the time until which to wait for the lock.

        :raises StateLockedError: another thread kept this one out until then.
        """
        timeout = self.lock.timeout
        deadline = monotonic() + timeout
        try:
            if not self._mutex.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX)):
                raise StateLockedError(str(self.paths.lock), timeout, "another thread of this process")
            yield deadline
        finally:
            self._leave()

    def _leave(self) -> None:
        """Let other threads in. An interrupt may have come before this one was in."""
        with contextlib.suppress(RuntimeError):
            self._mutex.release()

    @contextmanager
    def hold(self, *, create: bool = False, reuse: bool = False, keep: bool = False) -> Iterator[bool]:
        """Hold the lock with :attr:`document` up to date. Yield whether the state had to be created.

        A state that had to be created is only staged: the first commit writes it, and without a commit it
        does not come to exist.

        :param create: create the state (and its folder) if there is none.
        :param reuse: keep the document in memory and read only what was added to the log since, unless the
            document was changed too.
        :param keep: keep what the log could not take, as a run does. Another writer reports it as an error.
        :raises MigrationStateError: the state cannot be used, or the lock or the files cannot be opened.
        """
        with self._alone() as deadline:
            if not self._is_loaded:
                self.paths.prepare(create=create)
            with self.lock.before(deadline):
                created = False
                try:
                    self._takes_from_others = True
                    if not (reuse or keep):
                        self._reset()
                    if not (self._is_loaded and self._catch_up() and reuse):
                        created = self._load(create)
                    yield created
                except MigrationStateError:
                    raise
                except BaseException:
                    # Interrupted anywhere, by Ctrl-C or a test's time limit: files and memory may differ.
                    self._is_loaded = False
                    raise
                finally:
                    if self._staged or self._taken:
                        self._is_loaded = False

    @contextmanager
    def hold_for_beginning(self) -> Iterator[bool]:
        """Hold the lock even if the state is damaged. Yield whether there is a document or a log of one."""
        with self._alone() as deadline:
            self.paths.prepare(create=True)
            with self.lock.before(deadline):
                self._takes_from_others = True
                self._take_before_beginning()
                self._naming.check()
                self._log.open_at_end()
                yield os.path.lexists(self.paths.document) or self._log.file.head.seq > 0
                self._is_loaded = True

    def _take_before_beginning(self) -> None:
        """Put what journals hold on record before another migration begins. The old one may be damaged."""
        self._reset()
        if not self._read_journals().is_empty():
            with contextlib.suppress(MigrationStateError):
                if not self._load(create=False):
                    self.commit_again(lambda: None)
                    self.checkpoint()
        self._reset()

    def log_size(self) -> int:
        """Return the size of the log now, without the state lock; -1 if it is not known."""
        return self._log.file.own_size()

    # --- closing --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the files."""
        with self._mutex, contextlib.suppress(OSError):
            self._log.file.close()
            self.lock.close()
            if self.journal:
                self.journal.close()
            self._is_loaded = False

    def reset_after_fork(self) -> None:
        """Close the files and forget their users, as a forked child must do with the files of its parent."""
        self._mutex = threading.RLock()
        self.close()
        self._reset()
