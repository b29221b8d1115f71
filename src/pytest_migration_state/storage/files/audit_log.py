"""The audit log as a file: append-only, and read from a position onwards."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.beside.past import Entry
from pytest_migration_state.domain.beside.past import Line as ForeignLine
from pytest_migration_state.errors import StateDamagedError, StateWriteError
from pytest_migration_state.storage.files import log_file
from pytest_migration_state.storage.files.log_file import LogFile
from pytest_migration_state.storage.records import (
    GENESIS_HASH,
    DamagedLineError,
    Line,
    Position,
    chained_hash,
    encode_entry,
    gap_position,
    is_whole,
    parse_line,
    part_of,
    reports_gap,
    say_what_changed,
    without_hash,
)
from pytest_migration_state.text import numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_migration_state.storage.records import Encoded
    from pytest_migration_state.types import JsonObject

_FIX: Final = (
    "Nothing was changed. 'migration-state verify' names every such line; restore the log from a copy, or "
    "move it away: the document then stays as its last checkpoint left it, and a new log is begun"
)


class NewLinesError(Exception):
    """Another program has written since the state was read: read it again, and decide again."""


class AuditLogFile(LogFile):
    """An audit log with a position from which reading and writing continue.

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

    # --- seeking --------------------------------------------------------------------------------------------

    def seek(self, audit: Position, migration_id: str | None) -> str | None:
        """Go to the position after the entry ``audit``.

        :returns: ``None``, or what is missing, in words: the log is gone or ends before that entry. The
            position is then the end of the log, and sequence numbers continue from ``audit``.
        :raises StateDamagedError: the log belongs to another state, or has lost an entry in its middle.
        """
        self._between = b""
        if audit.seq == 0:
            return None
        if not self.is_open:
            self.head = audit
            missing = numbered(1, audit.seq, "entry {} is", "entries {} to {} are")
            return f"the audit log is gone: {missing} missing"
        if found := self.find_entry(audit.seq):
            offset, line = found
            if line.hash != audit.hash:
                reason = (
                    f"entry {audit.seq} is not the one that the document names: "
                    "the log belongs to another state"
                )
                raise self._damaged(offset, reason)
            self.head = audit
            self.offset = offset + len(line.raw) + 1
            return None
        if found := self._find_gap(audit):
            # The writer that began a new log was killed before it replaced the document.
            self.head = audit
            self.offset = found[0]
            return None
        if self._ends_in(audit):
            return None
        last = self.find_last_entry()
        last_seq = last[1].position.seq if last else 0
        if last and last_seq > audit.seq:
            reason = f"this is entry {last_seq}, but entry {audit.seq}, which the document names, is missing"
            raise self._damaged(last[0], reason)
        self._check_owner(migration_id)
        self.head = audit
        self.offset = self.end_of_lines()
        lost = numbered(last_seq + 1, audit.seq, "entry {}", "entries {} to {}")
        return f"the audit log has lost {lost}"

    def _ends_in(self, audit: Position) -> bool:
        """Go to the end, and return True, if the last line is this entry and lacks only its line end."""
        start = self.end_of_lines()
        rest = self.read(start)
        if not is_whole(rest) or parse_line(rest).hash != audit.hash:
            return False
        self.head = audit
        self.offset = start + len(rest)
        return True

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
        """Go to the end, to write after the last entry that can be read, whatever else the log holds."""
        if not self.is_open:
            return
        start = 0
        if found := self.find_last_entry():
            offset, line = found
            self.head = line.position
            start = offset + len(line.raw) + 1
        self.offset = self.end_of_lines()
        self._between = self.read(start, self.offset)

    # --- reading --------------------------------------------------------------------------------------------

    def read_all(self) -> list[Entry | ForeignLine]:
        """Return every line from the start, decoded, and move the position after them.

        :raises StateDamagedError: a line is not what it was when it was written.
        """
        self.offset, self._between = 0, b""
        self.head = Position(0, GENESIS_HASH)
        return self.read_more()

    def read_new(self) -> list[Entry]:
        """Return the complete entries after the position, and move the position after them.

        They are checked against the hash chain.

        :raises StateDamagedError: a line is not what it was when it was written.
        """
        return [line for line in self.read_more() if isinstance(line, Entry)]

    @property
    def ends_with_foreign_lines(self) -> bool:
        """True if lines of other programs between the last entry and the position say what was changed."""
        return say_what_changed(self._between)

    def read_more(self) -> list[Entry | ForeignLine]:
        """Return the complete lines after the position, decoded, and move the position after them.

        :raises StateDamagedError: a line is not what it was when it was written.
        """
        base, content = self.offset, self.read(self.offset)
        lines: list[Entry | ForeignLine] = []
        # Lines since the first entry of a commit whose last entry was not found yet.
        unfinished: list[Entry | ForeignLine] = []
        # The bytes between the head and the line that begins at ``end``: ``before``, and the content from
        # ``begin`` on.
        before, begin, end = self._between, 0, 0
        whole = self.head, before, begin, end
        try:
            for raw in content.split(b"\n")[:-1]:
                line = parse_line(raw)
                if line.hash is not None:
                    unfinished.append(self._follow(line, before + content[begin:end]))
                    before, begin = b"", end + len(raw) + 1
                elif line.content is not None:
                    (unfinished or lines).append(ForeignLine(line.content))
                end += len(raw) + 1
                if line.hash is not None and (part := part_of(line)).number == part.total:
                    lines += unfinished
                    unfinished = []
                if not unfinished:
                    whole = self.head, before, begin, end
        except DamagedLineError as error:
            raise self._damaged(base + end, str(error)) from None
        finally:
            self.head, before, begin, end = whole
            self.offset = base + end
            self._between = before + content[begin:end]
        return lines

    def _follow(self, line: Line, between: bytes) -> Entry:
        """Make an entry the head, and return it.

        :param between: the bytes between the head and it.
        """
        assert line.content is not None
        position, data = line.position, line.content["data"]
        # A log that lost entries says so in the next entry, which is chained to the last one lost.
        named = gap_position(data)
        previous = self.head
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
        return Entry(position.seq, line.content["action"], line.content["timestamp"], data)

    def entries_from(self, offset: int) -> Iterator[tuple[int, str | None, JsonObject]]:
        """Yield end, run and data of each entry that ends behind ``offset`` and before the position."""
        for raw in self.read(offset, self.offset).split(b"\n"):
            offset += len(raw) + 1
            with suppress(DamagedLineError):
                line = parse_line(raw)
                if line.hash is not None and line.content is not None:
                    yield offset, line.content.get("run_id"), line.content["data"]

    # --- writing --------------------------------------------------------------------------------------------

    def append(self, events: Sequence[tuple[Encoded, bytes]], lines_count: Callable[[], bool]) -> list[bytes]:
        """Append an entry for each event and its author, all in one write: the commit point.

        Return the lines.

        :param lines_count: whether lines of other programs that came since the last read count.
        :raises OSError: they could not be written; the log is as it was.
        :raises NewLinesError: such lines came, or one was overwritten; nothing was written.
        :raises StateWriteError: another writer appended entries, although the state lock is held.
        """
        try:
            self.lock()
            if self._is_overwritten():
                raise NewLinesError
            if self.has_new_bytes():
                self._skip_foreign_lines(lines_count)
            lines = []
            head, between, total = self.head, self._between, len(events)
            for number, (encoded, author) in enumerate(events, 1):
                if reports_gap(encoded):
                    between = b""
                line, head = encode_entry(encoded, author, head, between, (number, total))
                lines.append(line)
                between = b""
            self._write(b"".join(lines), head)
            return lines
        finally:
            self.unlock()

    def _is_overwritten(self) -> bool:
        """Return True if a line of another program behind the head is not what was read.

        Two PowerShells that measure the end of the log at the same time write to the same place. Both keep
        the log locked from then on, so nothing of it changes any more while this package has locked it.
        """
        between = self._between
        return bool(between) and self.read(self.offset - len(between), self.offset) != between

    def _skip_foreign_lines(self, lines_count: Callable[[], bool]) -> None:
        """Skip foreign lines appended since the last read, or raise if they count.

        They cannot be our entries, which need the state lock.
        """
        content = self.read(self.offset)
        if _holds_entry(content):
            # The lock no longer excludes other writers, and the new events were decided without knowledge of
            # these entries.
            reason = "another writer came in between, as when the lock file is deleted while it is held"
            raise StateWriteError(str(self.path), f"{reason}; nothing was written, try again")
        if say_what_changed(content) and lines_count():
            raise NewLinesError
        if not content.endswith(b"\n"):
            # Another program left a line without an end. It measured the end of the log before us and has
            # finished; our line must not become a part of its line.
            log_file.os_write(self.descriptor, b"\n")
            content += b"\n"
        self._between += content
        self.offset += len(content)

    def _write(self, content: bytes, head: Position) -> None:
        """Write lines, of which the last is the entry ``head``."""
        self.write_at_end(content, self.offset)
        self.head = head
        self._between = b""
        self.offset += len(content)


def _holds_entry(content: bytes) -> bool:
    try:
        return any(parse_line(raw).hash is not None for raw in content.split(b"\n"))
    except DamagedLineError:
        return True
