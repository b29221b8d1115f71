"""The audit log as a file: append-only, read on from a position, mended where a writer was killed.

What stands in a line is the business of :mod:`~pytest_migration_state.core.lines`, what an entry means that of
:mod:`~pytest_migration_state.core.events`.
"""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from filelock import unlock_descriptor

from pytest_migration_state.core.document import decode_object
from pytest_migration_state.core.errors import StateDamagedError, StateWriteError
from pytest_migration_state.core.files import close_own, fstat, identity, is_open_on, replace, stat_at, write_temporary
from pytest_migration_state.core.lines import (
    BOM,
    GENESIS,
    NO_LINE_END,
    DamagedLineError,
    Entry,
    Line,
    Position,
    chained_hash,
    continues,
    encode_entry,
    parse_line,
    part_of,
    without_hash,
)
from pytest_migration_state.core.lock import acquire_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_migration_state.core.document import JsonObject
    from pytest_migration_state.core.events import Event

# Bound here: a test may replace them.
os_write: Final = os.write
os_read: Final = os.read
os_seek: Final = os.lseek
#: How long another program may keep the log open for an append of its own before ours is given up, in seconds.
_APPEND_PATIENCE: Final = 10.0
# A pipe in the log's place would keep whoever opens it waiting for the other end.
_OPEN_FLAGS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_WAY_OUT: Final = (
    "Nothing was changed. 'migration-state verify' names every such line; restore the log from a copy, or move it away: "
    "the document then stands as its last checkpoint left it and a new log is begun"
)


class Journal:
    """A position in one audit log, and what is needed to go on from there.

    :ivar head: the last entry of ours before the position.
    :ivar has_grown: was there more behind the position when :meth:`is_current` looked?
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._path = os.fspath(path)
        self.head = Position(0, GENESIS)
        self.has_grown = False
        self._descriptor = -1
        self._identity = (0, 0)
        self._offset = 0
        self._between = b""
        self._patience = _APPEND_PATIENCE

    # --- the file ---

    def open(self, *, writable: bool) -> bool:
        """Open the log anew, at its start; false where there is none and ``writable`` does not ask for one.

        :raises OSError: it cannot be opened; then everything is as it was.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT if writable else os.O_RDONLY
        try:
            descriptor = os.open(self.path, flags | _OPEN_FLAGS, 0o666)
        except FileNotFoundError:
            if writable:
                raise
            return False
        found = fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no regular file")
        self.close()
        self._descriptor, self._identity = descriptor, identity(found)
        return True

    def close(self) -> None:
        # Given up before it is closed: an interrupt in between must not have it closed twice, when it may be another file's.
        descriptor, self._descriptor = self._descriptor, -1
        close_own(descriptor, self._identity)
        self.head, self._offset, self._between = Position(0, GENESIS), 0, b""

    def __del__(self) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        return self._descriptor >= 0

    def is_current(self) -> bool:
        """Is the file that is open still the one at the path, and no shorter than it was?"""
        return is_open_on(self._descriptor, self._identity) and self._is_at_path()

    def _is_at_path(self) -> bool:
        try:
            found = stat_at(self._path)
        except OSError:
            return False
        size = found.st_size
        self.has_grown = size > self._offset
        return size >= self._offset and identity(found) == self._identity

    def has_news(self) -> bool:
        return fstat(self._descriptor).st_size != self._offset

    def _read(self, start: int, end: int | None = None) -> bytes:
        """The bytes from ``start`` to ``end`` (to the end of the file where that is ``None``)."""
        end = fstat(self._descriptor).st_size if end is None else end
        pieces = []
        os_seek(self._descriptor, start, os.SEEK_SET)
        while start < end and (piece := os_read(self._descriptor, end - start)):
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    def damaged(self, offset: int, reason: str) -> StateDamagedError:
        """The error about the line that begins at ``offset``."""
        number = self._read(0, offset).count(b"\n") + 1
        return StateDamagedError(str(self.path), f"line {number}: {reason}. {_WAY_OUT}")

    # --- where to begin ---

    def seek(self, audit: Position, migration_id: str | None) -> str | None:
        """Go to just behind the entry ``audit``.

        :returns: ``None``, or in words what is missing: a log that is gone or ends before that entry. Then the position is
            the end of the log, and numbers go on from ``audit``.
        :raises StateDamagedError: the log belongs to something else, or has lost an entry in its middle.
        """
        if audit.seq == 0:
            return None
        if not self.is_open:
            self.head = audit
            return f"the audit log is gone: entries 1 to {audit.seq} are missing"
        if found := self._find_last(
            b'"seq":%d,' % audit.seq, lambda line: line.content is not None and line.content.get("seq") == audit.seq
        ):
            offset, line = found
            if line.hash != audit.hash:
                raise self.damaged(offset, f"entry {audit.seq} is not the one that the document names: the log belongs to another state")
            self.head, self._offset = audit, offset + len(line.raw) + 1
            return None
        if found := self._find_last(
            b'"continues":', lambda line: line.content is not None and continues(line.content.get("data", {})) == audit
        ):
            # The writer that began the log again was killed before it replaced the document.
            self.head, self._offset = audit, found[0]
            return None
        last = self._find_last(b'"hash":"', lambda line: line.hash is not None)
        last_seq = last[1].content["seq"] if last and last[1].content else 0
        if last and last_seq > audit.seq:
            raise self.damaged(last[0], f"entry {last_seq} stands here, but entry {audit.seq}, which the document names, is missing")
        self._check_owner(migration_id)
        self.head, self._offset = audit, self._end_of_lines()
        return f"the audit log has lost entries {last_seq + 1} to {audit.seq}"

    def _check_owner(self, migration_id: str | None) -> None:
        found = self._find_last(b'"initialize":', lambda line: line.content is not None and "initialize" in line.content.get("data", {}))
        if found and found[1].content and found[1].content["data"]["initialize"].get("migration_id") != migration_id:
            raise self.damaged(found[0], "the log tells of another migration than the document")

    def seek_last(self) -> None:
        """Go to the end, to write on behind the last entry of ours that can be read, whatever else the log holds."""
        if not self.is_open:
            return
        start = 0
        if found := self._find_last(b'"hash":"', lambda line: line.hash is not None):
            offset, line = found
            assert line.content is not None and line.hash is not None
            self.head, start = Position(line.content["seq"], line.hash), offset + len(line.raw) + 1
        self._offset = self._end_of_lines()
        self._between = self._read(start, self._offset)

    def _find_last(self, token: bytes, wanted: Callable[[Line], bool]) -> tuple[int, Line] | None:
        """Offset and content of the last whole line with ``token`` in it that is ``wanted``; read from the end backwards."""
        size = fstat(self._descriptor).st_size
        reach = 1 << 16
        while True:
            start = max(0, size - reach)
            content = self._read(start, size)
            end = content.rfind(b"\n") + 1
            while (found := content.rfind(token, 0, end)) >= 0:
                begin = content.rfind(b"\n", 0, found) + 1
                if begin == 0 and start > 0:
                    break
                raw = content[begin : content.index(b"\n", found)]
                try:
                    line = parse_line(raw)
                except DamagedLineError:
                    line = None
                if line and wanted(line):
                    return start + begin, line
                end = begin
            if start == 0:
                return None
            reach *= 16

    def _end_of_lines(self) -> int:
        """The offset behind the last line that has an end."""
        size = fstat(self._descriptor).st_size
        reach = 1 << 12
        while True:
            start = max(0, size - reach)
            found = self._read(start, size).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            if start == 0:
                return 0
            reach *= 16

    # --- reading on ---

    def read_new(self) -> list[Entry]:
        """The entries behind the position that are whole, checked against the chain. The position moves behind them.

        :raises StateDamagedError: a line is not what it was when it was written.
        """
        content = self._read(self._offset)
        entries: list[Entry] = []
        # Entries of a commit whose last one is still to come, and the position before them.
        waiting: list[Entry] = []
        before = self.head, self._offset, self._between
        for raw in content.split(b"\n")[:-1]:
            try:
                line = parse_line(raw)
                if line.hash is not None:
                    waiting.append(self._follow(line))
                else:
                    self._between += raw + b"\n"
            except DamagedLineError as error:
                raise self.damaged(self._offset, str(error)) from None
            self._offset += len(raw) + 1
            if line.hash is not None and (part := part_of(line)).number == part.total:
                entries += waiting
                waiting = []
            if not waiting:
                before = self.head, self._offset, self._between
        self.head, self._offset, self._between = before
        return entries

    def _follow(self, line: Line) -> Entry:
        assert line.content is not None and line.hash is not None
        seq, data = line.content["seq"], line.content["data"]
        # A log that lost entries says so in the entry that comes next, which is chained to the last one lost.
        named = continues(data)
        previous, between = (named, b"") if named and named.seq > self.head.seq else (self.head, self._between)
        if seq != previous.seq + 1:
            raise DamagedLineError(f"entry {seq} follows entry {previous.seq}: lines were dropped, doubled or moved")
        if chained_hash(previous.hash, between, without_hash(line.raw)) != line.hash:
            raise DamagedLineError(f"the hash of entry {seq} does not fit: it, or a line between it and the entry before, was changed")
        self.head, self._between = Position(seq, line.hash), b""
        return Entry(self.head, line.content["action"], line.content["timestamp"], data)

    # --- writing ---

    def mend_tail(self) -> str | None:
        """Deal with what a killed writer left at the end: a line without end, or a part of what it committed together.

        :returns: the name of the file that it was set aside in; ``None`` where nothing had to be.
        :raises OSError: it cannot be written.
        """
        if self._unfinished() is None:
            return None
        try:
            self._take_lock()
            # Not before the lock is held: it may have been another program in the middle of its line.
            end, size = self._end_of_lines(), fstat(self._descriptor).st_size
            if end < size and _is_whole(self._read(end)):
                os_write(self._descriptor, b"\n")
            if (start := self._unfinished()) is None:
                return None
            rest = self._read(start)
            try:
                foreign = [raw for raw in rest.split(b"\n")[:-1] if parse_line(raw).hash is None]
            except DamagedLineError:
                # More is amiss here than a killed writer: reading on says what.
                return None
            aside = self._set_aside(rest)
            os.ftruncate(self._descriptor, start)
            os_write(self._descriptor, b"".join(raw + b"\n" for raw in foreign))
            return aside
        finally:
            self._give_back()

    def _unfinished(self) -> int | None:
        """The offset from which on the log was not written to its end; ``None`` where it was."""
        last = self._find_last(b'"hash":"', lambda line: line.hash is not None)
        if last and last[1].content and (part := part_of(last[1])).number < part.total:
            seq = last[1].content["seq"] - part.number + 1
            first = self._find_last(b'"seq":%d,' % seq, lambda line: line.content is not None and line.content.get("seq") == seq)
            return (first or last)[0]
        end = self._end_of_lines()
        return end if end < fstat(self._descriptor).st_size else None

    def _set_aside(self, torn: bytes) -> str:
        aside = self.path.with_name(f"{self.path.name}.torn-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        replace(write_temporary(self.path, [torn]), aside)
        return aside.name

    def append(self, events: Sequence[tuple[Event, str]], signed: JsonObject) -> list[bytes]:
        """Append an entry for each event and its timestamp, all in one write: the commit point. Gives the lines written.

        :raises OSError: they could not be written; the log is as it was.
        :raises StateWriteError: another writer appended entries of its own, although the lock is held.
        """
        try:
            self._take_lock()
            if self.has_news():
                self._take_foreign()
            lines, head, between, total = [], self.head, self._between, len(events)
            for number, (event, timestamp) in enumerate(events, 1):
                if "continues" in event.data:
                    between = b""
                line, head = encode_entry(event, timestamp, signed, head, between, (number, total))
                lines.append(line)
                between = b""
            self._write(b"".join(lines), head)
            return lines
        finally:
            self._give_back()

    def append_next(self, event: Event, timestamp: str, signed: JsonObject) -> bytes | None:
        """Append one entry if the log is still in its place and ends at the position.

        :returns: the line written; ``None`` where it is not so, and nothing was done.
        :raises OSError: it could not be written; the log is as it was.
        """
        if not is_open_on(self._descriptor, self._identity):
            return None
        try:
            self._take_lock()
            if not self._is_at_path() or self.has_grown:
                return None
            line, head = encode_entry(event, timestamp, signed, self.head, self._between)
            self._write(line, head)
            return line
        finally:
            self._give_back()

    def _take_foreign(self) -> None:
        """Step over what other programs appended since we looked. No entries of ours: those are written under the state's lock."""
        content = self._read(self._offset)
        if _holds_entry(content):
            # The lock excludes nobody any more, and what is about to be written was decided without knowing these.
            reason = "another writer came in between, as when the lock file is deleted while it is held; nothing was written, try again"
            raise StateWriteError(str(self.path), reason)
        if not content.endswith(b"\n"):
            # Its writer measured the log's end before we did and is done: our line must not become a part of it.
            os_write(self._descriptor, b"\n")
            content += b"\n"
        self._between += content
        self._offset += len(content)

    def _write(self, content: bytes, head: Position) -> None:
        """Write lines whose last is the entry ``head``."""
        written = 0
        try:
            written = os_write(self._descriptor, content)
            while written < len(content):
                written += os_write(self._descriptor, content[written:])
        except OSError:
            if written:
                os.ftruncate(self._descriptor, self._offset)
            raise
        self.head, self._between = head, b""
        self._offset += written

    def _take_lock(self) -> None:
        """Keep PowerShell from appending, which writes at an offset that it measured before.

        :raises OSError: another program has the log open for a write of its own, and does not finish.
        """
        if not acquire_descriptor(self._descriptor, self._patience):
            # Not as long again each time: a run of tests must not wait for it at every verdict.
            self._patience = 0.0
            raise OSError(errno.EAGAIN, "another program keeps it locked")
        self._patience = _APPEND_PATIENCE

    def _give_back(self) -> None:
        """What was written is written: a lock that cannot be given back ends when the log is closed."""
        try:  # noqa: SIM105  # suppress() costs more than the system call, and this is done at every verdict
            unlock_descriptor(self._descriptor)
        except OSError:
            pass

    def flush(self) -> None:
        """Flush the log to the disk.

        :raises OSError: the disk refused. What was written since the last flush may be lost with the machine's power.
        """
        os.fsync(self._descriptor)


def _is_whole(torn: bytes) -> bool:
    """Is this line all there but for its end?"""
    try:
        parse_line(torn)
        decode_object(torn.removeprefix(BOM).strip())
    except ValueError:
        return False
    return True


def _holds_entry(content: bytes) -> bool:
    try:
        return any(parse_line(raw).hash is not None for raw in content.split(b"\n"))
    except DamagedLineError:
        return True


def read_lines(path: Path) -> Iterator[Line]:
    """Every line of the log at ``path`` in order. A damaged entry of ours has ``damage`` set, a last line without end too.

    :raises OSError: it cannot be read.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = parse_line(raw.removesuffix(b"\n"), number)
            except DamagedLineError as error:
                line = Line(number, raw.removesuffix(b"\n"), None, None, str(error))
            yield line if raw.endswith(b"\n") else line._replace(damage=NO_LINE_END)
