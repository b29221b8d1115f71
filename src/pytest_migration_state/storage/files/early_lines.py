"""Lines in the log of a migration that has not begun: the operators' four keys, as other programs write them.

The migration that begins later continues that log, and its first entry covers them.
"""

from __future__ import annotations

import errno
import os
from contextlib import closing
from typing import TYPE_CHECKING

from pytest_migration_state.storage.files.log_file import LogFile, os_write
from pytest_migration_state.storage.records import encode_head

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_migration_state.domain.events import Event


def append_line(path: Path, event: Event, now: str) -> None:
    """Append a line to a log in which there is no entry yet. Call this only while the state lock is held.

    :raises OSError: it cannot be written; nothing was.
    :raises StateDamagedError: the log is UTF-16.
    """
    with closing(LogFile(path)) as log:
        log.open_to_write()
        log.lock()
        size = log.size()
        try:
            line = (b"" if log.begins_line(size) else b"\n") + encode_head(event, now) + b"}\n"
            _write(log, line)
        except OSError:
            os.ftruncate(log.descriptor, size)
            raise
        finally:
            log.unlock()


def _write(log: LogFile, line: bytes) -> None:
    if os_write(log.descriptor, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(log.path))
    log.flush()
