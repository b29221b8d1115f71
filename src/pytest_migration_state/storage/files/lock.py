"""The lock that every writer of a state holds: filelock's native lock on the lock file.

One primitive serves all: :func:`filelock.lock_descriptor` on an open descriptor, which contends with
``filelock.FileLock`` on the same file. There is no soft lock to fall back to: a file system without locks is
an error.

The file is never deleted. It is only written to if it is ours: a regular file with one name that is empty or
holds the record of a holder.
"""

from __future__ import annotations

import os
import sys
from time import monotonic, sleep  # bound here: a test may replace time.monotonic
from typing import TYPE_CHECKING, Final

from filelock import unlock_descriptor

from pytest_migration_state.errors import StateLockedError, StateWriteError
from pytest_migration_state.regular_files import despite_sharing, open_own
from pytest_migration_state.storage.base import DEFAULT_TIMEOUT
from pytest_migration_state.storage.files.atomic import (
    OWNERS,
    close_own,
    fstat,
    identity,
    is_open_on,
    keep_access,
    stat_at,
)
from pytest_migration_state.storage.files.holder import (
    RECORD_AT,
    RECORD_LIMIT,
    holder_in_words,
    is_record,
    own_record,
)
from pytest_migration_state.storage.files.waiting import COURTESY, wait_for_lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_migration_state.storage.files.atomic import Identity

#: How often the lock is taken again because the file was replaced meanwhile.
_ATTEMPTS: Final = 100


class StateLock:
    """The lock file of one state, kept open between uses. Two threads must not use it at once.

    :param path: the lock file; created if it is missing, never deleted.
    :param timeout: how long to wait, in seconds.
    :param notify: called after a second of waiting, with a sentence that names the holder.
    """

    def __init__(
        self,
        path: Path,
        timeout: float = DEFAULT_TIMEOUT,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.path = path
        self.timeout = timeout
        self._notify = notify
        self._deadline = 0.0
        self._descriptor = -1
        self._file: Identity = (0, 0)
        self._released_at = 0.0
        self._own_record: tuple[int, int] | None = None

    def before(self, deadline: float) -> StateLock:
        """Return this lock, to be held with ``with``.

        :param deadline: the time until which to wait for it, of :func:`time.monotonic`.
        """
        self._deadline = deadline
        return self

    def __enter__(self) -> None:
        """Take the lock.

        :raises StateLockedError: it was still held by another process after the timeout.
        :raises StateWriteError: the lock file cannot be opened, or the file system does not support file
            locks.
        """
        # Ctrl-C or a test's time limit may interrupt this anywhere, and the lock must not stay held for the
        # rest of this process.
        try:
            self.acquire()
        except BaseException:
            self.release()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self.release()
        except BaseException:
            self.release()
            raise
        self._released_at = monotonic()

    def acquire(self) -> None:
        """Take the lock; see :meth:`__enter__`."""
        for _ in range(_ATTEMPTS):
            if self._try():
                return
            # The file was deleted or replaced: a lock on it excludes no other writer.
            self.close()
        raise StateWriteError(
            str(self.path), "another program keeps replacing the lock file; stop it, then try again"
        )

    def _try(self) -> bool:
        """Take the lock on the file at the path. Return False if that file was replaced meanwhile."""
        if not is_open_on(self._descriptor, self._file):
            self.close()
            self._descriptor = self._open()
            self._file = identity(fstat(self._descriptor))
        self._wait()
        found = fstat(self._descriptor)
        if not self._is_at_path(found):
            return False
        if (found.st_size, found.st_mtime_ns) != self._own_record:
            self._write_record()
        return True

    def _wait(self) -> None:
        """Lock the open file.

        :raises StateLockedError: it was still locked by another process at the deadline.
        :raises StateWriteError: the file system does not support file locks.
        """
        # See the module "waiting".
        if (rest := self._released_at + COURTESY - monotonic()) > 0:
            sleep(rest)
        remaining = (self._deadline or monotonic() + self.timeout) - monotonic()
        try:
            is_held = wait_for_lock(self._descriptor, remaining, self._say_who_holds_it)
        except OSError as error:
            self.close()
            reason = f"this file system does not support file locks ({error.strerror})"
            raise StateWriteError(str(self.path), reason) from error
        if not is_held:
            raise StateLockedError(str(self.path), self.timeout, self._holder())

    def release(self) -> None:
        """Release the lock.

        If that fails, the file is closed, which releases it too. Call it again if interrupted.
        """
        if is_open_on(self._descriptor, self._file):
            try:
                if sys.platform != "linux" and self._own_record:
                    # Only Linux tells who holds a lock. Elsewhere the record must tell it.
                    self._own_record = None
                    os.ftruncate(self._descriptor, 0)
                unlock_descriptor(self._descriptor)
            except OSError:
                self.close()

    def close(self) -> None:
        """Close the lock file."""
        # Clear the attribute first: if interrupted between the two steps, a second close could hit a reused
        # descriptor.
        descriptor, self._descriptor, self._own_record = self._descriptor, -1, None
        close_own(descriptor, self._file)

    def __del__(self) -> None:
        self.close()

    def _open(self) -> int:
        """Open the lock file, which is created if it is missing; return its descriptor."""
        try:
            descriptor, is_new = despite_sharing(lambda: open_own(self.path))
        except OSError as error:
            raise self._unusable(error) from error
        try:
            if is_new:
                keep_access(descriptor, self.path.with_suffix(""), more=OWNERS)
            is_ours = _is_ours(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise self._unusable(error) from error
        if not is_ours:
            os.close(descriptor)
            reason = "this file is not the lock file of a migration state, and is left as it is"
            raise StateWriteError(str(self.path), f"{reason}; give the state another name")
        return descriptor

    def _unusable(self, error: OSError) -> StateWriteError:
        reason = f"the lock file cannot be opened for writing ({error.strerror or error})"
        return StateWriteError(str(self.path), reason)

    def _is_at_path(self, found: os.stat_result) -> bool:
        if found.st_nlink == 0:
            return False
        try:
            return identity(found) == identity(stat_at(self.path))
        except OSError:
            return False

    def _write_record(self) -> None:
        """Write the record of the holder. On a full disk the lock is held without a record."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, own_record())
            found = fstat(self._descriptor)
            self._own_record = found.st_size, found.st_mtime_ns
        except OSError:
            self._own_record = None

    def _holder(self) -> str | None:
        """Return who holds the lock, in words; ``None`` if that is not certain."""
        try:
            return holder_in_words(fstat(self._descriptor), _record(self._descriptor))
        except OSError:
            return None

    def _say_who_holds_it(self) -> None:
        holder = self._holder() or "another process"
        self._notify(f"{self.path}: waiting for the lock, which {holder} holds")


def _record(descriptor: int) -> bytes:
    os.lseek(descriptor, RECORD_AT, os.SEEK_SET)
    return os.read(descriptor, RECORD_LIMIT)


def _is_ours(descriptor: int) -> bool:
    """Return True if a lock file is empty or holds the record of a holder."""
    size = fstat(descriptor).st_size
    if size == 0:
        return True
    if not RECORD_AT < size <= RECORD_AT + RECORD_LIMIT or not is_record(_record(descriptor)):
        return False
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        # It is empty if a writer is about to replace its record.
        return os.read(descriptor, RECORD_AT) in (b"", b" " * RECORD_AT)
    except PermissionError:
        # Windows: somebody holds the lock, which covers this byte alone.
        return True
