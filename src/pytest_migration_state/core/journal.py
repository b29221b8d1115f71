"""The audit log: JSON Lines, append-only, chained by hashes, and the write-ahead log of the state.

An entry of ours has a sequence number and a hash: SHA-256 over the hash of the entry before it, every byte since that
entry's line, and its own line without the hash. Lines of other writers (four keys, no hash) stand in between and are
covered by the hash of the next entry of ours.

Entries that are committed together say so (``"part":[1,3]``): they count when the last of them stands there, so that a
writer killed in the middle of its write leaves all of them or none.

This module knows lines and hashes; what an entry means is the business of :mod:`~pytest_migration_state.core.events`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from filelock import unlock_descriptor

from pytest_migration_state.core.document import JsonObject, decode_object, encodable
from pytest_migration_state.core.errors import StateDamagedError, StateWriteError
from pytest_migration_state.core.files import replace, write_temporary
from pytest_migration_state.core.lock import acquire_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_migration_state.core.events import Event

#: The hash before the first entry.
GENESIS: Final = "0" * 64
#: How long another program may keep the log open for an append of its own before ours is given up, in seconds.
_APPEND_PATIENCE: Final = 10.0
# A pipe in the log's place would keep whoever opens it waiting for the other end.
_OPEN_FLAGS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
#: Where a line states its hash.
HASH_AT_END: Final = re.compile(rb',"hash":"([0-9a-f]{64})"\}\Z')
#: What is wrong with a last line that is not ended.
NO_LINE_END: Final = "it has no line end: its writer was killed in it"
_BOM: Final = b"\xef\xbb\xbf"
_WAY_OUT: Final = (
    "Nothing was changed. 'migration-state verify' names every such line; restore the log from a copy, or move it away: "
    "the document then stands as its last checkpoint left it and a new log is begun"
)


class Position(NamedTuple):
    """An entry, by its sequence number and hash."""

    seq: int
    hash: str


class Entry(NamedTuple):
    """An entry of ours, as read."""

    position: Position
    action: str
    timestamp: str
    data: JsonObject


class Line(NamedTuple):
    """One line of the log, whoever wrote it.

    :ivar number: counted from 1.
    :ivar raw: its bytes without the line end.
    :ivar content: the JSON object that it holds; ``None`` where it holds none.
    :ivar hash: its hash, where it is an entry of ours.
    :ivar damage: in words what is wrong with an entry of ours; ``None`` where nothing is.
    """

    number: int
    raw: bytes
    content: JsonObject | None
    hash: str | None
    damage: str | None = None


class DamagedLineError(ValueError):
    """A line was an entry of ours and is not whole any more."""


def parse_line(raw: bytes, number: int = 0) -> Line:
    """Read one line.

    :raises DamagedLineError: it is, or was, an entry of ours and cannot be read as one.
    """
    text = raw.removeprefix(_BOM).strip()
    ours = b'"seq":' in text, b'"hash":"' in text
    try:
        content = decode_object(text)
    except ValueError as error:
        if any(ours):
            raise DamagedLineError(f"it was an entry of ours and is no JSON object any more ({error})") from None
        return Line(number, raw, None, None)
    if not any(ours) or not ({"seq", "hash"} & content.keys()):
        return Line(number, raw, content, None)
    digest = HASH_AT_END.search(raw)
    if not digest or type(content.get("seq")) is not int or not isinstance(content.get("data"), dict):
        raise DamagedLineError("it is an entry of ours whose number, data or hash was changed")
    return Line(number, raw, content, digest[1].decode())


def chained_hash(previous: str, between: bytes, body: bytes) -> str:
    """The hash of an entry: ``body`` is its line without the hash, ``between`` every byte since the entry before it."""
    return hashlib.sha256(previous.encode() + between + body).hexdigest()


def without_hash(raw: bytes) -> bytes:
    """An entry's line without its hash: what the hash is computed of."""
    return HASH_AT_END.sub(b"}", raw)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False).encode


def encode_entry(
    event: Event, timestamp: str, signature: str, previous: Position, between: bytes, part: tuple[int, int] = (1, 1)
) -> tuple[bytes, Position]:
    """An entry's line, with its line end, and its position.

    :param signature: run id and actor as JSON members.
    :param part: which one it is of how many that are committed together.
    """
    seq = previous.seq + 1
    if part[1] > 1:
        signature = f'"part":[{part[0]},{part[1]}],{signature}'
    body = encodable(
        f'{{"timestamp":"{timestamp}","level":"{event.level}","action":{_encode(event.action)},"details":{_encode(event.details)},'
        f'"seq":{seq},{signature},"data":{_encode(event.data)}'
    )
    digest = chained_hash(previous.hash, between, body + b"}")
    return body + b',"hash":"' + digest.encode() + b'"}\n', Position(seq, digest)


def signature(run_id: str | None, actor: str) -> str:
    """Who writes, in the form that :func:`encode_entry` takes."""
    return f'"run_id":{_encode(run_id)},"actor":{_encode(actor)}'


def continues(data: JsonObject) -> Position | None:
    """The entry that one with this ``data`` follows where the log does not hold it any more."""
    named = data.get("continues")
    return Position(named["seq"], named["hash"]) if isinstance(named, dict) else None


class _Part(NamedTuple):
    """Which entry it is of how many that were committed together."""

    number: int
    total: int


def _part(line: Line) -> _Part:
    match line.content and line.content.get("part"):
        case [int() as number, int() as total] if 1 <= number <= total:
            return _Part(number, total)
        case _:
            return _Part(1, 1)


class Journal:
    """A position in one audit log, and what is needed to go on from there.

    :ivar head: the last entry of ours before the position.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = Position(0, GENESIS)
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
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no regular file")
        self.close()
        self._descriptor, self._identity = descriptor, (found.st_dev, found.st_ino)
        return True

    def close(self) -> None:
        # Given up before it is closed: an interrupt in between must not have it closed twice, when it may be another file's.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        self.head, self._offset, self._between = Position(0, GENESIS), 0, b""

    def __del__(self) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        return self._descriptor >= 0

    def is_current(self) -> bool:
        """Is the file that is open still the one at the path, and no shorter than it was?"""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return self.is_open and (found.st_dev, found.st_ino) == self._identity and found.st_size >= self._offset

    def has_news(self) -> bool:
        return os.fstat(self._descriptor).st_size != self._offset

    def _read(self, start: int, end: int | None = None) -> bytes:
        """The bytes from ``start`` to ``end`` (to the end of the file where that is ``None``)."""
        end = os.fstat(self._descriptor).st_size if end is None else end
        pieces = []
        os.lseek(self._descriptor, start, os.SEEK_SET)
        while start < end and (piece := os.read(self._descriptor, end - start)):
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
        size = os.fstat(self._descriptor).st_size
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
        size = os.fstat(self._descriptor).st_size
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
            if line.hash is not None and (part := _part(line)).number == part.total:
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
        with self._locked():
            # Not before the lock is held: it may have been another program in the middle of its line.
            end, size = self._end_of_lines(), os.fstat(self._descriptor).st_size
            if end < size and _is_whole(self._read(end)):
                os.write(self._descriptor, b"\n")
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
            os.write(self._descriptor, b"".join(raw + b"\n" for raw in foreign))
            return aside

    def _unfinished(self) -> int | None:
        """The offset from which on the log was not written to its end; ``None`` where it was."""
        last = self._find_last(b'"hash":"', lambda line: line.hash is not None)
        if last and last[1].content and (part := _part(last[1])).number < part.total:
            seq = last[1].content["seq"] - part.number + 1
            first = self._find_last(b'"seq":%d,' % seq, lambda line: line.content is not None and line.content.get("seq") == seq)
            return (first or last)[0]
        end = self._end_of_lines()
        return end if end < os.fstat(self._descriptor).st_size else None

    def _set_aside(self, torn: bytes) -> str:
        aside = self.path.with_name(f"{self.path.name}.torn-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        replace(write_temporary(self.path, [torn]), aside)
        return aside.name

    def append(self, events: Sequence[tuple[Event, str]], signed: str) -> None:
        """Append an entry for each event and its timestamp, all in one write: the commit point.

        :raises OSError: they could not be written; the log is as it was.
        :raises StateWriteError: another writer appended entries of its own, although the lock is held.
        """
        with self._locked():
            if self.has_news():
                self._take_foreign()
            lines, head, between = [], self.head, self._between
            for number, (event, timestamp) in enumerate(events, 1):
                if continues(event.data):
                    between = b""
                line, head = encode_entry(event, timestamp, signed, head, between, (number, len(events)))
                lines.append(line)
                between = b""
            content = b"".join(lines)
            self._write(content)
            self.head, self._between = head, b""
            self._offset += len(content)

    def _take_foreign(self) -> None:
        """Step over what other programs appended since we looked. No entries of ours: those are written under the state's lock."""
        content = self._read(self._offset)
        if _holds_entry(content):
            # The lock excludes nobody any more, and what is about to be written was decided without knowing these.
            reason = "another writer came in between, as when the lock file is deleted while it is held; nothing was written, try again"
            raise StateWriteError(str(self.path), reason)
        if not content.endswith(b"\n"):
            # Its writer measured the log's end before we did and is done: our line must not become a part of it.
            os.write(self._descriptor, b"\n")
            content += b"\n"
        self._between += content
        self._offset += len(content)

    def _write(self, content: bytes) -> None:
        written = 0
        try:
            while written < len(content):
                written += os.write(self._descriptor, content[written:])
        except OSError:
            if written:
                os.ftruncate(self._descriptor, self._offset)
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep PowerShell from appending, which writes at an offset that it measured before."""
        try:
            if not acquire_descriptor(self._descriptor, self._patience):
                # Not as long again each time: a run of tests must not wait for it at every verdict.
                self._patience = 0.0
                raise OSError(errno.EAGAIN, "another program keeps it locked")
            self._patience = _APPEND_PATIENCE
            yield
        finally:
            # What was written is written. A lock that cannot be given back ends when the log is closed.
            with suppress(OSError):
                unlock_descriptor(self._descriptor)

    def flush(self) -> None:
        """Flush the log to the disk.

        :raises OSError: the disk refused. What was written since the last flush may be lost with the machine's power.
        """
        os.fsync(self._descriptor)


def _is_whole(torn: bytes) -> bool:
    """Is this line all there but for its end?"""
    try:
        parse_line(torn)
        decode_object(torn.removeprefix(_BOM).strip())
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
