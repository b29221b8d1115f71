"""The lines of a log, read without a lock: from the start, or from the end as far as is needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Final

from pytest_migration_state.regular_files import open_to_read
from pytest_migration_state.storage.records import NO_LINE_END, DamagedLineError, Line, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: How much is read at once, in bytes.
_BLOCK: Final = 1 << 16
#: How much of the end of a log is searched for an action, in bytes: some 50,000 entries.
_SEARCHED: Final = 1 << 24


def read_lines(path: Path, *, backwards: bool = False) -> Iterator[Line]:
    """Return every line of the log at ``path``, in order.

    ``damage`` is set for a damaged entry, and for a last line without a line end.

    :param backwards: whether the last comes first. Then only as much is read as is needed, and ``number`` is
        0, except for a line that is damaged or is no JSON object.
    :raises OSError: it cannot be read.
    """
    if backwards:
        return _backwards(path)
    return _forwards(path)


def _forwards(path: Path) -> Iterator[Line]:
    with open_to_read(path) as file:
        for number, raw in enumerate(file, 1):
            yield _line(raw, number)


def _backwards(path: Path) -> Iterator[Line]:
    with open_to_read(path) as file:
        for start, raw in _raw_backwards(file):
            line = _line(raw, 0)
            if line.damage or (line.content is None and raw.strip()):
                line = line._replace(number=_lines_before(file, start) + 1)
            yield line


def _raw_backwards(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the bytes of each line, with its line end, the last first."""
    start = file.seek(0, os.SEEK_END)
    # The last line may have no line end.
    line_end = b""
    # What was read of a line whose beginning was not.
    rest = b""
    reach = _BLOCK
    while start:
        start, end = max(0, start - reach), start
        file.seek(start)
        content = file.read(end - start) + rest
        lines = content.split(b"\n")
        reach *= 2  # for a line that is longer than this
        offset = start + len(content)
        if start:
            rest, *lines = lines
        for line in reversed(lines):
            offset -= len(line)
            if line or line_end:
                yield offset, line + line_end
            offset -= 1
            line_end, reach = b"\n", _BLOCK


def lines_with(path: Path, actions: Sequence[str]) -> Iterator[Line]:
    """Yield the lines at the end of the log at ``path`` that have one of these actions, in order.

    They are found without decoding the others, and in the last :data:`_SEARCHED` bytes only. Their ``number``
    is 0.

    :raises OSError: it cannot be read.
    """
    with open_to_read(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SEARCHED))
        content = file.read()
    first = content.find(b"\n") + 1 if size > _SEARCHED else 0
    starts: set[int] = set()
    for action in actions:
        token = b'"%s"' % action.encode()
        found = content.find(token, first)
        while found >= 0:
            starts.add(content.rfind(b"\n", 0, found) + 1)
            found = content.find(token, found + len(token))
    for start in sorted(starts):
        line = _line(content[start : content.find(b"\n", start) + 1 or None], 0)
        if line.content and line.content.get("action") in actions:
            yield line


def _lines_before(file: BinaryIO, offset: int) -> int:
    """Return the number of line ends before ``offset``."""
    file.seek(0)
    count = 0
    while offset > 0 and (block := file.read(min(offset, _BLOCK))):
        count += block.count(b"\n")
        offset -= len(block)
    return count


def _line(raw: bytes, number: int) -> Line:
    """Return a line of the log, decoded.

    :param raw: its bytes with the line end, if it has one.
    """
    content = raw.removesuffix(b"\n")
    try:
        line = parse_line(content, number)
    except DamagedLineError as error:
        line = Line(number, content, None, None, str(error))
    if not raw.endswith(b"\n"):
        return line._replace(damage=NO_LINE_END)
    return line
