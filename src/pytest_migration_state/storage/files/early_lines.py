"""Lines in the log of a migration that has not begun: the operators' four keys, as other programs write them.

The migration that begins later continues that log, and its first entry covers them.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from pytest_migration_state.storage.files.log_file import LogFile
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
        end = log.size()
        line_end = b"" if log.begins_line(end) else b"\n"
        try:
            log.write_at_end(line_end + encode_head(event, now) + b"}\n", end)
            log.flush()
        except OSError:
            # The disk may have refused it after it was written.
            os.ftruncate(log.descriptor, end)
            raise
        finally:
            log.unlock()
