"""The bytes of the audit log: opened, searched from the end, locked against other programs, and flushed."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Final

from filelock import unlock_descriptor

from pytest_migration_state.errors import StateDamagedError
from pytest_migration_state.regular_files import despite_sharing, open_own, open_regular, open_to_read
from pytest_migration_state.storage.files.atomic import (
    OWNERS,
    close_own,
    fstat,
    identity,
    is_open_on,
    keep_access,
    stat_at,
)
from pytest_migration_state.storage.files.paths import log_in_utf16
from pytest_migration_state.storage.files.waiting import shut_out_others
from pytest_migration_state.storage.journal_records import UNKNOWN_SIZE
from pytest_migration_state.storage.records import DamagedLineError, Line, parse_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


# Bound at import: a test may replace them.
os_write: Final = os.write
os_read: Final = os.read
os_seek: Final = os.lseek
#: How long to wait for another program that keeps the log locked for its own append, in seconds.
_APPEND_PATIENCE: Final = 3.0
#: How much of the log is looked at to tell its encoding, in bytes.
_BEGINNING: Final = 64


class LogFile:
    """An open audit log, and a position in it.

    :ivar offset: the position, in bytes.
    :ivar torn_to: how far the file extended when a torn end was removed, since it was opened; 0 if none was.
    :ivar has_grown: whether the file extended beyond the position at the last call of :meth:`is_at_path`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._path = os.fspath(path)
        self.offset = 0
        self.has_grown = False
        self.torn_to = 0
        self.descriptor = -1
        self._identity = (0, 0)
        self._patience = _APPEND_PATIENCE

    def open_to_write(self, like: Path | None = None) -> None:
        """Open the log at its start, to append to it. It is created if it is missing.

        :param like: a file whose owner, group and mode a new log is given.
        :raises OSError: it cannot be opened, or it is a link or no regular file; nothing has changed.
        :raises StateDamagedError: it is UTF-16.
        """
        descriptor, is_new = despite_sharing(lambda: open_own(self.path, append=True))
        if is_new and like:
            with contextlib.suppress(OSError):
                keep_access(descriptor, like, more=OWNERS)
        self._use(descriptor)

    def open_to_read(self) -> bool:
        """Open the log at its start. Return False if there is none.

        :raises OSError: it cannot be opened, or it is no regular file; nothing has changed.
        :raises StateDamagedError: it is UTF-16.
        """
        try:
            descriptor = despite_sharing(lambda: open_regular(self.path))
        except FileNotFoundError:
            return False
        self._use(descriptor)
        return True

    def _use(self, descriptor: int) -> None:
        """Use an open file.

        :raises StateDamagedError: it is UTF-16: its entries would seem to be lost.
        """
        self.close()
        self.descriptor = descriptor
        self._identity = identity(fstat(descriptor))
        try:
            _check_encoding(self.path, self.read(0, min(self.size(), _BEGINNING)))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        # Clear the attribute first: if interrupted between the two steps, a second close could hit a reused
        # descriptor.
        descriptor = self.descriptor
        self.descriptor = -1
        close_own(descriptor, self._identity)
        self.offset = self.torn_to = 0

    def __del__(self) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """True if the file is open."""
        return self.descriptor >= 0

    @property
    def is_own(self) -> bool:
        """True if the descriptor is still open on this file.

        A test may close every descriptor of its process.
        """
        return is_open_on(self.descriptor, self._identity)

    def own_size(self) -> int:
        """Return the size of the file in bytes; -1 if the descriptor is no longer open on it."""
        try:
            found = fstat(self.descriptor)
        except OSError:
            return UNKNOWN_SIZE
        return found.st_size if (found.st_dev, found.st_ino) == self._identity else UNKNOWN_SIZE

    def is_current(self) -> bool:
        """Return True if the open file is still the one at the path, and not shorter than it was.

        A log that was emptied may have grown again beyond the position, which is then within a line.
        """
        return self.is_own and self.is_at_path() and (not self.has_grown or self.begins_line(self.offset))

    def begins_line(self, offset: int) -> bool:
        """Return True if a line begins at ``offset``."""
        return offset == 0 or self.read(offset - 1, offset) == b"\n"

    def is_at_path(self) -> bool:
        """Return True if the file at the path is this one, and not shorter than the position."""
        try:
            found = stat_at(self._path)
        except OSError:
            return False
        size = found.st_size
        self.has_grown = size > self.offset
        return size >= self.offset and identity(found) == self._identity

    def has_new_bytes(self) -> bool:
        """Return True if the file does not end at the position."""
        return self.size() != self.offset

    # --- reading --------------------------------------------------------------------------------------------

    def size(self) -> int:
        """Return the size of the file in bytes."""
        return fstat(self.descriptor).st_size

    def read(self, start: int, end: int | None = None) -> bytes:
        """Return the bytes from ``start`` to ``end`` (``None``: to the end of the file)."""
        return despite_sharing(lambda: self._read(start, self.size() if end is None else end))

    def _read(self, start: int, end: int) -> bytes:
        pieces = []
        os_seek(self.descriptor, start, os.SEEK_SET)
        while start < end and (piece := os_read(self.descriptor, end - start)):
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    def find_last(
        self, token: bytes, wanted: Callable[[Line], bool], *others: bytes
    ) -> tuple[int, Line] | None:
        """Return offset and content of the last complete line that contains ``token`` and is ``wanted``.

        The file is read backwards from its end.

        :param others: other tokens; a line that contains one of them is looked at too.
        """
        size = self.size()
        reach = 1 << 16
        while True:
            start = max(0, size - reach)
            content = self.read(start, size)
            for begin, raw in _lines_with((token, *others), content, is_start=start == 0):
                try:
                    line = parse_line(raw)
                except DamagedLineError:
                    continue
                if wanted(line):
                    return start + begin, line
            if start == 0:
                return None
            reach *= 16

    def find_last_entry(self) -> tuple[int, Line] | None:
        """Return offset and content of the last entry written by this package that can be read."""
        return self.find_last(b'"hash":"', lambda line: line.hash is not None)

    def find_entry(self, seq: int) -> tuple[int, Line] | None:
        """Return offset and content of the last entry with this sequence number."""
        return self.find_last(
            b'"seq":%d,' % seq, lambda line: line.content is not None and line.content.get("seq") == seq
        )

    def end_of_lines(self) -> int:
        """Return the offset after the last line end."""
        size = self.size()
        reach = 1 << 12
        while True:
            start = max(0, size - reach)
            found = self.read(start, size).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            if start == 0:
                return 0
            reach *= 16

    # --- writing --------------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Lock the log against PowerShell, which appends at an offset that it measured before.

        :raises OSError: another program keeps the log locked for its own append, and does not finish.
        """
        if not shut_out_others(self.descriptor, self._patience):
            # Do not wait as long the next time: a run of tests must not wait at every verdict.
            self._patience = 0.0
            raise OSError(errno.EAGAIN, "another program keeps it locked")
        self._patience = _APPEND_PATIENCE

    def unlock(self) -> None:
        """Release the lock. Errors are ignored; closing the file releases it too."""
        with contextlib.suppress(OSError):
            unlock_descriptor(self.descriptor)

    def write_at_end(self, content: bytes, end: int) -> None:
        """Write at the end of the log. Call this only while it is locked.

        :param end: where the log ends.
        :raises OSError: it cannot be written; the log is as it was.
        """
        written = 0
        try:
            while written < len(content):
                written += os_write(self.descriptor, content[written:])
        except OSError:
            if written:
                os.ftruncate(self.descriptor, end)
            raise

    def flush(self) -> None:
        """Flush the log to the disk.

        :raises OSError: the disk refused. What was written since the last flush may be lost with the
            machine's power.
        """
        os.fsync(self.descriptor)


def refuse_utf16(path: Path) -> None:
    """Refuse a log that is UTF-16.

    :raises StateDamagedError: it is UTF-16.
    :raises OSError: it cannot be read.
    """
    with open_to_read(path) as file:
        _check_encoding(path, file.read(_BEGINNING))


def _check_encoding(path: Path, beginning: bytes) -> None:
    if in_utf16 := log_in_utf16(path, beginning):
        raise StateDamagedError(str(path), in_utf16)


def _lines_with(tokens: Sequence[bytes], content: bytes, *, is_start: bool) -> Iterator[tuple[int, bytes]]:
    """Yield offset and bytes of each complete line in ``content`` that contains a token, the last first.

    :param is_start: whether ``content`` begins at the start of a line.
    """
    end = content.rfind(b"\n") + 1
    while (found := max(content.rfind(token, 0, end) for token in tokens)) >= 0:
        begin = content.rfind(b"\n", 0, found) + 1
        if begin == 0 and not is_start:
            return
        yield begin, content[begin : content.index(b"\n", found)]
        end = begin
