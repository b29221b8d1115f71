"""The lines of a log, read from its end: the same lines, and no more of the file than is needed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

import pytest

from pytest_migration_state import MigrationTracker
from pytest_migration_state.storage.files import log_lines
from pytest_migration_state.storage.files.log_lines import lines_with, read_lines
from pytest_migration_state.storage.records import NO_LINE_END
from state_files import DOCUMENT, FOREIGN, in_validation

if TYPE_CHECKING:
    from pathlib import Path

_CONTENTS = {
    "nothing": b"",
    "one line": b'{"a":1}\n',
    "no line end": b'{"a":1}\n{"a":2}',
    "one line without an end": b'{"a":1}',
    "empty lines": b'\n\n{"a":1}\n\n',
    "line ends of Windows": b'{"a":1}\r\n{"a":2}\r\n',
    "a carriage return in a line": b'{"a":1}\rx\n{"a":2}\n',
    "a long line": b'{"a":1}\n{"a":"' + b"x" * 200 + b'"}\n{"a":3}\n',
    "what is no JSON": b'{"a":1}\nwords\n{"seq":1,\n{"a":2}\n',
    "no UTF-8": b'{"a":1}\n\xff\xfe\n{"a":2}\n',
}


@pytest.mark.parametrize("block", [1, 2, 7, 64, 1 << 16])
@pytest.mark.parametrize("content", _CONTENTS.values(), ids=_CONTENTS)
def test_the_lines_are_the_same_from_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, block: int
) -> None:
    """Wherever a block begins. Those that a message is about are numbered."""
    monkeypatch.setattr(log_lines, "_BLOCK", block)
    path = tmp_path / "log"
    path.write_bytes(content)
    lines = list(read_lines(path))
    backwards = [*read_lines(path, backwards=True)][::-1]
    assert [line._replace(number=0) for line in backwards] == [line._replace(number=0) for line in lines]
    told = [line.number for line in lines if line.damage or (line.content is None and line.raw.strip())]
    assert [line.number for line in backwards if line.number] == told


def test_a_last_line_without_an_end_is_damaged(tmp_path: Path) -> None:
    """Its writer is writing it, or was killed."""
    path = tmp_path / "log"
    path.write_bytes(b'{"a":1}\n{"a":2}')
    last, first = read_lines(path, backwards=True)
    assert (last.damage, first.damage) == (NO_LINE_END, None)


def test_a_missing_log_is_an_error(tmp_path: Path) -> None:
    """As from its start."""
    with pytest.raises(FileNotFoundError):
        next(read_lines(tmp_path / "log", backwards=True))


class _Counting(io.FileIO):
    """A file that counts the bytes that are read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size) or b""
        _Counting.count += len(content)
        return content


def test_the_last_lines_of_a_large_log_are_read_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten lines of a log of a gigabyte, which is a hole in the file here."""

    def open_counting(path: Path) -> BinaryIO:
        return _Counting(path)

    path = tmp_path / DOCUMENT
    tracker = in_validation(path)
    log = tracker.audit_log_path
    with log.open("r+b") as file:
        file.truncate(1 << 30)
        file.seek(0, io.SEEK_END)
        file.write(b"\n" + (FOREIGN + b"\n") * 10)
    monkeypatch.setattr(log_lines, "open_to_read", open_counting)
    entries = MigrationTracker(path).read_audit(last=10)
    assert len(entries) == 10
    assert _Counting.count < 1 << 18


# --- the lines with an action -------------------------------------------------------------------------------

PHASE = b'{"timestamp":"2026-01-15T09:00:00Z","level":"INFO","action":"PhaseTransition","details":"%d"}\n'
OTHER = PHASE.replace(b"PhaseTransition", b"Note").replace(b"%d", rb"\"PhaseTransition\"")


def details_of(path: Path) -> list[object]:
    """The details of the lines about transitions."""
    return [(line.content or {})["details"] for line in lines_with(path, ["PhaseTransition", "Initialize"])]


def test_lines_with_an_action_are_found_in_order(tmp_path: Path) -> None:
    """Whoever wrote them and however; a line that only mentions the action is none of them."""
    path = tmp_path / "migration-audit.log"
    spaced = b'\xef\xbb\xbf{ "action" : "Initialize", "details" : "spaced" }\r\n'
    path.write_bytes(PHASE % 1 + OTHER + b'no JSON "PhaseTransition"\n' + spaced + PHASE % 2)
    assert details_of(path) == ["1", "spaced", "2"]


def test_torn_last_line_with_an_action_is_read_as_far_as_it_is_there(tmp_path: Path) -> None:
    """A last line without a line end is whole or none."""
    path = tmp_path / "migration-audit.log"
    path.write_bytes(PHASE % 1 + (PHASE % 2)[:-1])
    assert details_of(path) == ["1", "2"]
    path.write_bytes(PHASE % 1 + (PHASE % 2)[:-9])
    assert details_of(path) == ["1"]


def test_only_the_newest_part_of_a_long_log_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that begins before it is not found."""
    monkeypatch.setattr(log_lines, "_SEARCHED", len(PHASE % 1) * 2 - 1)
    path = tmp_path / "migration-audit.log"
    path.write_bytes(PHASE % 1 + PHASE % 2 + PHASE % 3)
    assert details_of(path) == ["3"]
    path.write_bytes(PHASE % 1)
    assert details_of(path) == ["1"]


def test_empty_log_has_no_lines(tmp_path: Path) -> None:
    """And a missing one is an error."""
    path = tmp_path / "migration-audit.log"
    path.write_bytes(b"")
    assert details_of(path) == []
    with pytest.raises(FileNotFoundError):
        details_of(tmp_path / "missing.log")
