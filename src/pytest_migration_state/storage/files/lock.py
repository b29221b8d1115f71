"""The lock that every writer of a state holds: filelock's native lock on the lock file.

One primitive serves all: :func:`filelock.lock_descriptor` on an open descriptor, which contends with
``filelock.FileLock`` on the same file and costs a run one system call a verdict. There is no soft lock to
fall back to: a file system without locks is an error.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
from pathlib import Path
from time import monotonic, sleep  # bound here: a test may replace time.monotonic
from typing import TYPE_CHECKING, Final

from filelock import lock_descriptor, unlock_descriptor

from pytest_migration_state.errors import StateLockedError, StateWriteError
from pytest_migration_state.storage.base import DEFAULT_TIMEOUT
from pytest_migration_state.storage.files.atomic import close_own, fstat, identity, is_open_on, stat_at
from pytest_migration_state.text import to_printable

if TYPE_CHECKING:
    from pytest_migration_state.storage.files.atomic import Identity

_LONGEST_PAUSE: Final = 0.02
# Windows locks the first byte of the file, and nobody else may read it then: the record of the holder is
# behind it.
_RECORD_AT: Final = 1
_RECORD_LIMIT: Final = 1024
#: Minimum interval between checks that the lock file is still at its path, in seconds. Deletion shows in
#: ``st_nlink``; a rename does not.
_PATH_CHECK_INTERVAL: Final = 0.5
#: How often the lock is taken again because the file was replaced meanwhile.
_ATTEMPTS: Final = 100


def acquire_descriptor(descriptor: int, timeout: float) -> bool:
    """Take the exclusive native lock on ``descriptor``; return False if it was still held after ``timeout`` seconds.

    :raises OSError: the file system does not support file locks.
    """
    if lock_descriptor(descriptor, blocking=False):
        return True
    deadline = monotonic() + timeout
    pause, paused = 0.0005, 0.0
    # The pauses are counted too: a test may have stopped the clock.
    while monotonic() < deadline and paused < timeout:
        # A random pause, so that many waiters do not stay in step with one that releases the lock and takes
        # it again.
        sleep(random.uniform(pause / 2, pause))  # noqa: S311  # a pause, no secret
        paused += pause / 2
        if lock_descriptor(descriptor, blocking=False):
            return True
        pause = min(pause * 2, _LONGEST_PAUSE)
    return False


class StateLock:
    """The lock file of one state, kept open between uses. Not for two threads at once.

    :param path: the lock file; created where it is missing, never deleted.
    :param timeout: how long to wait, in seconds.
    """

    def __init__(self, path: Path, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.path = path
        self.timeout = timeout
        self._descriptor = -1
        self._file: Identity = (0, 0)
        self._own_record: tuple[int, int] | None = None
        # When the open file was last seen at the path.
        self._found_at = -_PATH_CHECK_INTERVAL

    def __enter__(self) -> None:
        """Hold the lock.

        :raises StateLockedError: it was still held by another process after the timeout.
        :raises StateWriteError: the lock file cannot be opened, or the file system does not support file
            locks.
        """
        # Ctrl-C or a test's time limit may interrupt this anywhere, and the rest of this process must not
        # find it locked.
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

    def acquire(self) -> None:
        """Take the lock; see :meth:`__enter__`."""
        for _ in range(_ATTEMPTS):
            if self._try():
                return
            # The file was deleted or replaced: a lock on it excludes nobody.
            self.close()
        raise StateWriteError(
            str(self.path), "another program keeps replacing the lock file; stop it, then try again"
        )

    def try_reacquire(self) -> bool:
        """Try to take the lock without blocking.

        Return False if it is held, or if its path was not checked within 0.5 s.

        A lock file that was deleted within that time is not noticed: the log's own lock, and the look at the
        log under it, keep two writers apart even then. Call :meth:`release` afterwards in either case.

        :raises OSError: the file system does not support file locks.
        """
        return (
            monotonic() - self._found_at <= _PATH_CHECK_INTERVAL
            and is_open_on(self._descriptor, self._file)
            and lock_descriptor(self._descriptor, blocking=False)
        )

    def _try(self) -> bool:
        """Take the lock on the file at the path; return False if that file was replaced meanwhile."""
        if not is_open_on(self._descriptor, self._file):
            self.close()
            self._descriptor = self._open()
            self._file = identity(fstat(self._descriptor))
        try:
            taken = acquire_descriptor(self._descriptor, self.timeout)
        except OSError as error:
            self.close()
            raise StateWriteError(
                str(self.path), f"this file system does not support file locks ({error.strerror})"
            ) from error
        if not taken:
            raise StateLockedError(str(self.path), self.timeout, self._last_holder())
        found = fstat(self._descriptor)
        if not self._is_at_path(found):
            return False
        if (found.st_size, found.st_mtime_ns) != self._own_record:
            self._write_record()
        return True

    def release(self) -> None:
        """Release the lock.

        If that fails, the file is closed, which releases it too. Call it again if interrupted.
        """
        if is_open_on(self._descriptor, self._file):
            try:
                unlock_descriptor(self._descriptor)
            except OSError:
                self.close()

    def close(self) -> None:
        """Close the lock file."""
        # Clear the attribute first: if interrupted between the two steps, a second close could hit a reused
        # descriptor.
        descriptor, self._descriptor, self._own_record, self._found_at = (
            self._descriptor,
            -1,
            None,
            -_PATH_CHECK_INTERVAL,
        )
        close_own(descriptor, self._file)

    def __del__(self) -> None:
        self.close()

    def _open(self) -> int:
        flags = (
            os.O_RDWR
            | os.O_CREAT
            | getattr(os, "O_CLOEXEC", 0)
            | getattr(os, "O_NOFOLLOW", 0)
            | getattr(os, "O_BINARY", 0)
        )
        try:
            return os.open(self.path, flags, 0o666)
        except OSError as error:
            raise StateWriteError(
                str(self.path), f"the lock file cannot be opened for writing ({error.strerror})"
            ) from error

    def _is_at_path(self, found: os.stat_result) -> bool:
        if found.st_nlink == 0:
            return False
        now = monotonic()
        if now - self._found_at <= _PATH_CHECK_INTERVAL:
            return True
        self._found_at = now
        try:
            return identity(found) == identity(stat_at(self.path))
        except OSError:
            return False

    def _write_record(self) -> None:
        """Record who holds the lock. On a full disk the lock is held without a record."""
        command = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
        record = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "command": command}).encode()
        try:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, b" " * _RECORD_AT + record[: _RECORD_LIMIT - 1] + b"\n")
            found = fstat(self._descriptor)
            self._own_record = found.st_size, found.st_mtime_ns
        except OSError:
            self._own_record = None

    def _last_holder(self) -> str | None:
        try:
            os.lseek(self._descriptor, _RECORD_AT, os.SEEK_SET)
            record = json.loads(os.read(self._descriptor, _RECORD_LIMIT))
            return to_printable(f"process {record['pid']} on {record['host']} ({record['command']})")
        except (OSError, ValueError, KeyError, TypeError):
            return None
