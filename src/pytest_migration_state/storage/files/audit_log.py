"""The audit log as a file: append-only, and read on from a position."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from pytest_migration_state.errors import StateDamagedError, StateWriteError
from pytest_migration_state.storage.files import log_file
from pytest_migration_state.storage.files.log_file import LogFile
from pytest_migration_state.storage.records import (
    GENESIS_HASH,
    NO_LINE_END,
    DamagedLineError,
    Entry,
    Line,
    Position,
    chained_hash,
    encode_entry,
    gap_position,
    parse_line,
    part_of,
    without_hash,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.types import JsonObject

_FIX: Final = (
    "Nothing was changed. 'migration-state verify' names every such line; restore the log from a copy, or move it away: "
    "the document then stays as its last checkpoint left it, and a new log is begun"
)


class AuditLogFile(LogFile):
    """A position in one audit log, and what is needed to go on from there.

    :ivar head: the last entry written by this package before the position.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.head = Position(0, GENESIS_HASH)
        # The bytes of other programs' lines between the head and the position.
        self._between = b""

    def close(self) -> None:
        """Close the file."""
        super().close()
        self.head = Position(0, GENESIS_HASH)
        self._between = b""

    def _damaged(self, offset: int, reason: str) -> StateDamagedError:
        """Return the error about the line that begins at ``offset``."""
        number = self.read(0, offset).count(b"\n") + 1
        return StateDamagedError(str(self.path), f"line {number}: {reason}. {_FIX}")

    # --- where to begin -------------------------------------------------------------------------------------

    def seek(self, audit: Position, migration_id: str | None) -> str | None:
        """Go to the position behind the entry ``audit``.

        :returns: ``None``, or what is missing, in words: the log is gone or ends before that entry. The
            position is then the end of the log, and sequence numbers go on from ``audit``.
        :raises StateDamagedError: the log belongs to something else, or has lost an entry in its middle.
        """
        if audit.seq == 0:
            return None
        if not self.is_open:
            self.head = audit
            return f"the audit log is gone: entries 1 to {audit.seq} are missing"
        if found := self.find_entry(audit.seq):
            offset, line = found
            if line.hash != audit.hash:
                reason = f"entry {audit.seq} is not the one that the document names: the log belongs to another state"
                raise self._damaged(offset, reason)
            self.head = audit
            self.offset = offset + len(line.raw) + 1
            return None
        if found := self._find_gap(audit):
            # The writer that began the log again was killed before it replaced the document.
            self.head = audit
            self.offset = found[0]
            return None
        last = self.find_last_entry()
        last_seq = last[1].position.seq if last else 0
        if last and last_seq > audit.seq:
            reason = f"this is entry {last_seq}, but entry {audit.seq}, which the document names, is missing"
            raise self._damaged(last[0], reason)
        self._check_owner(migration_id)
        self.head = audit
        self.offset = self.end_of_lines()
        return f"the audit log has lost entries {last_seq + 1} to {audit.seq}"

    def _find_gap(self, audit: Position) -> tuple[int, Line] | None:
        def reports_it(line: Line) -> bool:
            return line.content is not None and gap_position(line.content.get("data", {})) == audit

        return self.find_last(b'"continues":', reports_it)

    def _check_owner(self, migration_id: str | None) -> None:
        def begins(line: Line) -> bool:
            return line.content is not None and "initialize" in line.content.get("data", {})

        found = self.find_last(b'"initialize":', begins)
        if (
            found
            and found[1].content
            and found[1].content["data"]["initialize"].get("migration_id") != migration_id
        ):
            raise self._damaged(found[0], "the audit log belongs to a different migration")

    def seek_last(self) -> None:
        """Go to the end, to write on behind the last entry that can be read, whatever else the log holds."""
        if not self.is_open:
            return
        start = 0
        if found := self.find_last_entry():
            offset, line = found
            self.head = line.position
            start = offset + len(line.raw) + 1
        self.offset = self.end_of_lines()
        self._between = self.read(start, self.offset)

    # --- reading on -----------------------------------------------------------------------------------------

    def read_new(self) -> list[Entry]:
        """Return the whole entries behind the position, checked against the chain, and move the position behind them.

        :raises StateDamagedError: a line is not what it was when it was written.
        """
        content = self.read(self.offset)
        entries: list[Entry] = []
        # Entries of a commit whose last one is still to come, and the position before them.
        unfinished: list[Entry] = []
        before = self.head, self.offset, self._between
        for raw in content.split(b"\n")[:-1]:
            try:
                line = parse_line(raw)
                if line.hash is None:
                    self._between += raw + b"\n"
                else:
                    unfinished.append(self._follow(line))
            except DamagedLineError as error:
                raise self._damaged(self.offset, str(error)) from None
            self.offset += len(raw) + 1
            if line.hash is not None and (part := part_of(line)).number == part.total:
                entries += unfinished
                unfinished = []
            if not unfinished:
                before = self.head, self.offset, self._between
        self.head, self.offset, self._between = before
        return entries

    def _follow(self, line: Line) -> Entry:
        assert line.content is not None
        position, data = line.position, line.content["data"]
        # A log that lost entries says so in the next entry, which is chained to the last one lost.
        named = gap_position(data)
        previous, between = self.head, self._between
        if named and named.seq > self.head.seq:
            previous, between = named, b""
        if position.seq != previous.seq + 1:
            reason = (
                f"entry {position.seq} follows entry {previous.seq}: lines were dropped, doubled or moved"
            )
            raise DamagedLineError(reason)
        if chained_hash(previous.hash, between, without_hash(line.raw)) != position.hash:
            reason = f"the hash of entry {position.seq} does not fit: it, or a line before it, was changed"
            raise DamagedLineError(reason)
        self.head = position
        self._between = b""
        return Entry(position, line.content["action"], line.content["timestamp"], data)

    # --- writing --------------------------------------------------------------------------------------------

    def append(self, events: Sequence[tuple[Event, str]], author: JsonObject) -> list[bytes]:
        """Append an entry for each event and its timestamp, all in one write: the commit point.

        Return the lines.

        :raises OSError: they could not be written; the log is as it was.
        :raises StateWriteError: another writer appended entries, although the state lock is held.
        """
        try:
            self.lock()
            if self.has_new_bytes():
                self._skip_foreign_lines()
            lines = []
            head, between, total = self.head, self._between, len(events)
            for number, (event, timestamp) in enumerate(events, 1):
                if "continues" in event.data:
                    between = b""
                line, head = encode_entry(event, timestamp, author, head, between, (number, total))
                lines.append(line)
                between = b""
            self._write(b"".join(lines), head)
            return lines
        finally:
            self.unlock()

    def try_append(self, event: Event, timestamp: str, author: JsonObject) -> bytes | None:
        """Append one entry if the log is still in its place and ends at the position.

        :returns: the line; ``None`` if nothing was done.
        :raises OSError: it could not be written; the log is as it was.
        """
        if not self.is_own:
            return None
        try:
            self.lock()
            if not self.is_at_path() or self.has_grown:
                return None
            line, head = encode_entry(event, timestamp, author, self.head, self._between)
            self._write(line, head)
            return line
        finally:
            self.unlock()

    def _skip_foreign_lines(self) -> None:
        """Skip foreign lines appended since the last read.

        They cannot be our entries, which need the state lock.
        """
        content = self.read(self.offset)
        if _holds_entry(content):
            # The lock excludes nobody any more, and what is about to be written was decided without knowing
            # these.
            reason = "another writer came in between, as when the lock file is deleted while it is held"
            raise StateWriteError(str(self.path), f"{reason}; nothing was written, try again")
        if not content.endswith(b"\n"):
            # Its writer measured the log's end before us and has finished: our line must not become a part of
            # it.
            log_file.os_write(self.descriptor, b"\n")
            content += b"\n"
        self._between += content
        self.offset += len(content)

    def _write(self, content: bytes, head: Position) -> None:
        """Write lines whose last is the entry ``head``."""
        written = 0
        try:
            written = log_file.os_write(self.descriptor, content)
            while written < len(content):
                written += log_file.os_write(self.descriptor, content[written:])
        except OSError:
            if written:
                os.ftruncate(self.descriptor, self.offset)
            raise
        self.head = head
        self._between = b""
        self.offset += written


def _holds_entry(content: bytes) -> bool:
    try:
        return any(parse_line(raw).hash is not None for raw in content.split(b"\n"))
    except DamagedLineError:
        return True


def read_lines(path: Path) -> Iterator[Line]:
    """Yield every line of the log at ``path`` in order.

    A damaged entry has ``damage`` set, a last line without end too.

    :raises OSError: it cannot be read.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            content = raw.removesuffix(b"\n")
            try:
                line = parse_line(content, number)
            except DamagedLineError as error:
                line = Line(number, content, None, None, str(error))
            yield line if raw.endswith(b"\n") else line._replace(damage=NO_LINE_END)
