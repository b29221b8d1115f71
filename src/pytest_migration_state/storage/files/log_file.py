"""The bytes of the audit log: opened, searched from the end, locked against other programs, and flushed."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from filelock import unlock_descriptor

from pytest_migration_state.storage.files.atomic import close_own, fstat, identity, is_open_on, stat_at
from pytest_migration_state.storage.files.lock import acquire_descriptor
from pytest_migration_state.storage.records import DamagedLineError, parse_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_migration_state.storage.records import Line

# Bound at import: a test may replace them.
os_write: Final = os.write
os_read: Final = os.read
os_seek: Final = os.lseek
#: How long another program may keep the log open for an append of its own before ours is given up, in
#: seconds.
_APPEND_PATIENCE: Final = 10.0
# Opening a pipe in the log's place would otherwise block until its other end is opened.
_OPEN_FLAGS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


class LogFile:
    """An open audit log, and a position in it.

    :ivar offset: the position, in bytes.
    :ivar has_grown: whether there was more behind the position when :meth:`is_current` looked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._path = os.fspath(path)
        self.offset = 0
        self.has_grown = False
        self.descriptor = -1
        self._identity = (0, 0)
        self._patience = _APPEND_PATIENCE

    def open(self, *, writable: bool) -> bool:
        """Open the log at its start. Return False if there is none and ``writable`` does not ask for one.

        :raises OSError: it cannot be opened; nothing has changed.
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
            raise OSError(errno.EINVAL, "it is not a regular file")
        self.close()
        self.descriptor = descriptor
        self._identity = identity(found)
        return True

    def close(self) -> None:
        """Close the file."""
        # Clear the attribute first: if interrupted between the two steps, a second close could hit a reused
        # descriptor.
        descriptor = self.descriptor
        self.descriptor = -1
        close_own(descriptor, self._identity)
        self.offset = 0

    def __del__(self) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether the file is open."""
        return self.descriptor >= 0

    @property
    def is_own(self) -> bool:
        """Whether the descriptor is still open on this file: a test may close every descriptor of its process."""
        return is_open_on(self.descriptor, self._identity)

    def is_current(self) -> bool:
        """Return True if the open file is still the one at the path, and not shorter than it was."""
        return self.is_own and self.is_at_path()

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
        """Return True if there is more, or less, than the position says."""
        return self.size() != self.offset

    # --- reading --------------------------------------------------------------------------------------------

    def size(self) -> int:
        """Return the size of the file in bytes."""
        return fstat(self.descriptor).st_size

    def read(self, start: int, end: int | None = None) -> bytes:
        """Return the bytes from ``start`` to ``end`` (``None``: to the end of the file)."""
        if end is None:
            end = self.size()
        pieces = []
        os_seek(self.descriptor, start, os.SEEK_SET)
        while start < end and (piece := os_read(self.descriptor, end - start)):
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    def find_last(self, token: bytes, wanted: Callable[[Line], bool]) -> tuple[int, Line] | None:
        """Return offset and content of the last whole line with ``token`` in it that is ``wanted``.

        The file is read backwards from its end.
        """
        size = self.size()
        reach = 1 << 16
        while True:
            start = max(0, size - reach)
            content = self.read(start, size)
            for begin, raw in _lines_with(token, content, is_start=start == 0):
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
        """Return the offset behind the last line that has an end."""
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

        :raises OSError: another program has the log open for an append of its own, and does not finish.
        """
        if not acquire_descriptor(self.descriptor, self._patience):
            # Do not wait as long again each time: a run of tests must not wait for it at every verdict.
            self._patience = 0.0
            raise OSError(errno.EAGAIN, "another program keeps it locked")
        self._patience = _APPEND_PATIENCE

    def unlock(self) -> None:
        """Release the lock. Errors are ignored; closing the file releases it too."""
        try:  # noqa: SIM105  # suppress() costs more than the system call, and this is done at every verdict
            unlock_descriptor(self.descriptor)
        except OSError:
            pass

    def flush(self) -> None:
        """Flush the log to the disk.

        :raises OSError: the disk refused. What was written since the last flush may be lost with the
            machine's power.
        """
        os.fsync(self.descriptor)


def _lines_with(token: bytes, content: bytes, *, is_start: bool) -> Iterator[tuple[int, bytes]]:
    """Yield offset and bytes of each whole line in ``content`` with ``token`` in it, the last first.

    :param is_start: whether ``content`` begins at a line.
    """
    end = content.rfind(b"\n") + 1
    while (found := content.rfind(token, 0, end)) >= 0:
        begin = content.rfind(b"\n", 0, found) + 1
        if begin == 0 and not is_start:
            return
        yield begin, content[begin : content.index(b"\n", found)]
        end = begin
