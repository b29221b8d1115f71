"""The lock that a run holds on its journal while it lives: the answer to the question whether it is alive.

On Windows locks are mandatory: the locked byte lies beyond every journal's end, so that others can read it.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from time import sleep  # bound here: a test may replace time.sleep
from typing import TYPE_CHECKING, Final

from pytest_migration_state.regular_files import despite_sharing, open_single
from pytest_migration_state.storage.identity import this_host
from pytest_migration_state.types import as_object

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_migration_state.types import Liveness

#: Where the locked byte lies on Windows.
_BEYOND_THE_END: Final = 0x7FFFFFFE
#: On Windows somebody else who asks at the same moment has the lock for an instant.
_ATTEMPTS: Final = 3 if sys.platform == "win32" else 1
_PAUSE: Final = 0.002

if sys.platform == "win32":
    import msvcrt

    def _try_to_lock(descriptor: int, *, shared: bool) -> bool:  # noqa: ARG001  # there is no shared one
        os.lseek(descriptor, _BEYOND_THE_END, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try_to_lock(descriptor: int, *, shared: bool) -> bool:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def try_to_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open journal, until it is closed. Return False if it is locked.

    :param shared: whether several may have the lock at once: those who only ask.
    :raises OSError: the file system does not support file locks.
    """
    for _ in range(_ATTEMPTS - 1):
        if _try_to_lock(descriptor, shared=shared):
            return True
        sleep(_PAUSE)
    return _try_to_lock(descriptor, shared=shared)


def lock(descriptor: int) -> None:
    """Lock a new journal, until it is closed.

    :raises OSError: the file system does not support file locks, or somebody else has locked it.
    """
    if not try_to_lock(descriptor):
        raise BlockingIOError(errno.EAGAIN, "another program has locked it")


def is_held(path: Path) -> bool:
    """Return True if a run holds the lock on its journal.

    :raises OSError: that cannot be found out.
    """
    try:
        descriptor = despite_sharing(lambda: open_single(path))
    except FileNotFoundError:
        return False
    try:
        return not try_to_lock(descriptor, shared=True)
    finally:
        with suppress(OSError):
            os.close(descriptor)


def liveness_by_lock(path: Path, run: object) -> Liveness:
    """Return whether an open run is alive, as far as the lock of its journal says so.

    :param run: the run, as the document holds it.
    """
    try:
        if is_held(path):
            return "alive"
    except OSError:
        return "unknown"
    fields = as_object(run)
    # Elsewhere a lock may not be seen here, as in some network file systems. A run of version 0.1.0 has none.
    is_known = fields.get("host") == this_host() and "process_start" not in fields
    return "dead" if is_known else "unknown"
