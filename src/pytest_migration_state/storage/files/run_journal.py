"""A run's own journal: one private write for each event, until groups of them are in the audit log."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pytest_migration_state.json_codec import to_json_bytes
from pytest_migration_state.regular_files import FLAGS, open_single, read_single
from pytest_migration_state.storage.files.atomic import (
    OWNERS,
    close_own,
    fstat,
    identity,
    is_open_on,
    keep_access,
    remove,
    set_aside,
    stat_at,
)
from pytest_migration_state.storage.files.journal_lock import lock
from pytest_migration_state.storage.journal_records import (
    Record,
    VerdictRecord,
    encode_record,
    encode_verdict,
)
from pytest_migration_state.storage.records import encode_event

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.types import JsonObject

# Bound at import: a test may replace os.write.
os_write: Final = os.write


class RunJournal:
    """The journal of a run of this process. The run holds its lock from :meth:`open` to :meth:`close`.

    :param path: the journal; it must not exist.
    :param like: a file whose owner, group and mode it is given.
    :ivar migration_id: the migration that the run is about.
    :ivar handed: the events given to the log, until log or document certainly holds them.
    """

    def __init__(self, path: Path, run_id: str, like: Path) -> None:
        self.path = path
        self.run_id = run_id
        self.migration_id: str | None = None
        self._pending: list[Record] = []
        # Newer events, as they were noted: nothing is made of a verdict before it is needed.
        self._noted: list[Record | VerdictRecord] = []
        self.handed: list[Record] = []
        self._like = like
        self._descriptor = -1
        self._identity = (0, 0)
        self._size = 0
        self._number = 0
        # The number of the last record that was seen by :meth:`take_unseen`.
        self._seen_number = 0
        # The number of the last record that the file holds, with all before it that it has to hold.
        self._written = 0

    def open(self) -> None:
        """Create the journal, and lock it. Nothing is done if that was done before.

        A test may have closed the file, and another program may have put another one in its place.

        :raises OSError: it cannot be created or locked.
        """
        if self._is_at_path():
            return
        self.close()
        if self._identity != (0, 0) and (self._reopen() or not self._clear()):
            return
        self._create()

    def _reopen(self) -> bool:
        """Open and lock the journal again that this run has created. Return False if it is not there."""
        try:
            descriptor = open_single(self.path, writable=True)
        except FileNotFoundError:
            return False
        if identity(fstat(descriptor)) != self._identity:
            os.close(descriptor)
            return False
        try:
            lock(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def _clear(self) -> bool:
        """Move another file out of the way. Return False if something is there that is no file."""
        try:
            content = read_single(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        set_aside(self._like, "journal", content)
        remove(self.path)
        return True

    def _create(self) -> None:
        flags = FLAGS | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
        descriptor = os.open(self.path, flags, 0o666)
        try:
            lock(descriptor)
            with suppress(OSError):
                keep_access(descriptor, self._like, more=OWNERS)
        except BaseException:
            os.close(descriptor)
            remove(self.path)
            raise
        self._identity = identity(fstat(descriptor))
        self._descriptor = descriptor

    def _is_at_path(self) -> bool:
        try:
            return (
                is_open_on(self._descriptor, self._identity)
                and identity(stat_at(self.path)) == self._identity
            )
        except OSError:
            return False

    # --- writing --------------------------------------------------------------------------------------------

    @property
    def pending(self) -> list[Record]:
        """The events that were not handed over to the log yet."""
        if self._noted:
            made = [one.to_record() if isinstance(one, VerdictRecord) else one for one in self._noted]
            self._pending, self._noted = [*self._pending, *made], []
        return self._pending

    def add_verdict(self, verdict: JsonObject, timestamp: str, log_size: int) -> None:
        """Note a verdict of this moment. Never raises because of the file: see :attr:`is_whole`."""
        json = to_json_bytes(verdict)
        number = self._number + 1
        record = VerdictRecord(number, log_size, verdict, timestamp, json)
        self._add(record, encode_verdict(json, number, log_size))

    def add(self, event: Event, timestamp: str, log_size: int) -> None:
        """Note another event of this moment. Never raises because of the file: see :attr:`is_whole`."""
        encoded = encode_event(event, timestamp)
        number = self._number + 1
        record = Record(number, log_size, event, timestamp, encoded)
        self._add(record, encode_record(encoded, number, log_size))

    def _add(self, record: Record | VerdictRecord, line: bytes) -> None:
        """Note a record, and write its line."""
        number = record.number
        # An interrupt in between must leave no gap in the numbers.
        self._noted.append(record)
        self._number = number
        # A record without those before it would seem to have lost them.
        if self._written != number - 1:
            return
        descriptor = self._descriptor
        try:
            found = fstat(descriptor)
            # A test may have closed every file of its process, and opened others with their numbers.
            if (found.st_dev, found.st_ino) != self._identity or found.st_size != self._size:
                return
            written = os_write(descriptor, line)
            if written == len(line):
                self._written = number
                self._size += written
            else:
                os.ftruncate(descriptor, found.st_size)
        except OSError:
            return

    @property
    def is_whole(self) -> bool:
        """True if the file holds every event that is neither in the log nor in the document."""
        return self._written == self._number

    def at_risk(self) -> list[Record]:
        """Return the events that would be lost with this process."""
        is_there = self._is_at_path()
        return [*self.handed, *(one for one in self.pending if one.number > self._written or not is_there)]

    def take_unseen(self) -> list[Record]:
        """Return the pending events that were not returned before."""
        found = [record for record in self.pending if record.number > self._seen_number]
        self._seen_number = self._number
        return found

    def hand_over(self, number: int) -> None:
        """Note that the pending events up to this number were handed over to the log."""
        pending = self.pending
        self.handed += [record for record in pending if record.number <= number]
        self._pending = [record for record in pending if record.number > number]

    def drop(self, number: int) -> None:
        """Note that the log holds a pending event already."""
        self._pending = [record for record in self.pending if record.number != number]

    def settle(self) -> None:
        """Note that log or document hold all that was handed over, and empty the file.

        A file that is gone is created again. Call this only while the state lock is held.
        """
        self.handed = []
        if self.pending:
            return
        self._written = self._number
        with suppress(OSError):
            self.open()
            os.ftruncate(self._descriptor, 0)
            self._size = 0

    # --- the end --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file: the run is no longer alive. Others take over what the file still holds."""
        # Clear the attribute first: if interrupted between the two steps, a second close could hit a reused
        # descriptor.
        descriptor, self._descriptor = self._descriptor, -1
        close_own(descriptor, self._identity)

    def remove(self) -> None:
        """Close the file, and remove it if nothing in it is needed."""
        is_own = self._is_at_path()
        self.close()
        if is_own and not (self.pending or self.handed):
            with suppress(OSError):
                remove(self.path)
