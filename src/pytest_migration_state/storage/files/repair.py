"""Repairing the end of an audit log whose writer was killed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_migration_state.storage.files import log_file
from pytest_migration_state.storage.files.atomic import set_aside
from pytest_migration_state.storage.records import DamagedLineError, is_whole, parse_line, part_of

if TYPE_CHECKING:
    from pytest_migration_state.storage.files.log_file import LogFile


def repair_tail(log: LogFile) -> str | None:
    """Repair what a killed writer left at the end: a line without an end, or a part of a commit.

    :returns: the name of the file that it was set aside in; ``None`` if nothing had to be.
    :raises OSError: it cannot be written.
    """
    if _unfinished(log) is None:
        return None
    try:
        log.lock()
        # Look again under the lock: another program may have been in the middle of its line.
        end, size = log.end_of_lines(), log.size()
        if end < size and is_whole(log.read(end)):
            log_file.os_write(log.descriptor, b"\n")
        start = _unfinished(log)
        if start is None:
            return None
        rest = log.read(start)
        try:
            foreign = [raw for raw in rest.split(b"\n")[:-1] if parse_line(raw).hash is None]
        except DamagedLineError:
            # A killed writer does not leave this behind. Reading the log reports the damage.
            return None
        aside = set_aside(log.path, "torn", rest)
        log.torn_to = log.size()
        os.ftruncate(log.descriptor, start)
        log_file.os_write(log.descriptor, b"".join(raw + b"\n" for raw in foreign))
        return aside
    finally:
        log.unlock()


def _unfinished(log: LogFile) -> int | None:
    """Return the offset at which the unfinished end of the log begins; ``None`` if the end is complete."""
    last = log.find_last_entry()
    if last and (part := part_of(last[1])).number < part.total:
        first = log.find_entry(last[1].position.seq - part.number + 1)
        return (first or last)[0]
    end = log.end_of_lines()
    return end if end < log.size() else None
