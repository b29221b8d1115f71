"""The audit log's lines: what they look like, how they are chained, and what reading them says of damage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from state_files import FOREIGN

from pytest_migration_state import StateDamagedError
from pytest_migration_state.core.events import Event
from pytest_migration_state.core.journal import Journal, read_lines
from pytest_migration_state.core.lines import GENESIS, DamagedLineError, Position, encode_entry, event_of, parse_line, signature

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = "2026-01-15T09:14:00.123Z"
SIGNED = signature("7f3c", "ci@runner-7")
EVENT = Event("ValidationResult", "Test 't' for 'ção': PASSED", {"x": 1.5})


def journal(path: Path) -> Journal:
    opened = Journal(path)
    opened.open(writable=True)
    return opened


def test_an_entry_is_a_line_of_json_with_the_contracts_keys_in_order() -> None:
    """Four keys that operators have, ours behind them, the hash last; non-ASCII as it is."""
    line, position = encode_entry(EVENT, NOW, SIGNED, Position(41, "ab" * 32), b"")
    body = (
        '{"timestamp":"2026-01-15T09:14:00.123Z","level":"INFO","action":"ValidationResult","details":"Test \'t\' for \'ção\': PASSED",'
        '"seq":42,"run_id":"7f3c","actor":"ci@runner-7","data":{"x":1.5}'
    )
    digest = hashlib.sha256(("ab" * 32 + body + "}").encode()).hexdigest()
    assert f'{body},"hash":"{digest}"}}\n'.encode() == line
    assert Position(42, digest) == position
    assert list(json.loads(line)) == ["timestamp", "level", "action", "details", "seq", "run_id", "actor", "data", "hash"]


def test_the_hash_covers_the_lines_of_others_in_between(tmp_path: Path) -> None:
    """Byte for byte, with their own line ends and BOM."""
    path = tmp_path / "a.log"
    written = journal(path)
    written.append([(EVENT, NOW)], SIGNED)
    foreign = b"\xef\xbb\xbf" + FOREIGN + b"\r\nno JSON at all\n"
    with path.open("ab") as log:
        log.write(foreign)
    first = written.head
    written.append([(EVENT, NOW)], SIGNED)
    last = path.read_bytes().split(b"\n")[-2]
    body = last[: last.rindex(b',"hash"')] + b"}"
    assert hashlib.sha256(first.hash.encode() + foreign + body).hexdigest() == written.head.hash
    again = journal(path)
    assert [entry.position.seq for entry in again.read_new()] == [1, 2]
    assert written.head == again.head


def test_events_that_are_committed_together_count_together(tmp_path: Path) -> None:
    """A writer killed between them has written none."""
    path = tmp_path / "a.log"
    journal(path).append([(EVENT, NOW)] * 3, SIGNED)
    whole = path.read_bytes()
    counts = []
    for lines in range(4):
        path.write_bytes(b"".join(line + b"\n" for line in whole.split(b"\n")[:lines]))
        counts.append(len(journal(path).read_new()))
    assert counts == [0, 0, 0, 3]


def test_an_event_is_known_again_from_its_line() -> None:
    """A recorder keeps lines in place of events."""
    for event in (EVENT, Event("a", "\udc80", {"x": ["\ud800", None, {"y": 10**30}]}, "WARNING")):
        line, _ = encode_entry(event, NOW, SIGNED, Position(41, "ab" * 32), b"", (2, 3))
        assert event_of(line) == (event, NOW)


def test_the_short_way_appends_the_same_line(tmp_path: Path) -> None:
    """Where nothing stands behind the position, it is the long way without the looking."""
    long, short = journal(tmp_path / "long.log"), journal(tmp_path / "short.log")
    for _ in range(3):
        assert long.append([(EVENT, NOW)], SIGNED) == [short.append_next(EVENT, NOW, SIGNED)]
    assert long.head == short.head
    assert (tmp_path / "long.log").read_bytes() == (tmp_path / "short.log").read_bytes()


def _other_appends(path: Path) -> None:
    with path.open("ab") as log:
        log.write(FOREIGN + b"\n")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a line of others": _other_appends,
    "an unfinished line": lambda path: path.write_bytes(path.read_bytes() + b"{"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "moved away": lambda path: path.rename(path.with_suffix(".old")),
    "another in its place": lambda path: Path(shutil.copy(path, path.with_suffix(".new"))).replace(path),
}


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be deleted or moved there")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_short_way_is_closed_where_the_log_is_not_as_it_was(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """Then nothing is written: the caller has to look what happened."""
    path = tmp_path / "a.log"
    written = journal(path)
    assert written.append_next(EVENT, NOW, SIGNED)
    change(path)
    head, content = written.head, {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert written.append_next(EVENT, NOW, SIGNED) is None
    assert head == written.head
    assert content == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_lines_of_others_are_told_from_ours() -> None:
    """Ours have a number and a hash; everything else is somebody's line."""
    ours, _ = encode_entry(EVENT, NOW, SIGNED, Position(0, GENESIS), b"")
    lines = [parse_line(raw) for raw in (ours[:-1], FOREIGN, b"\xef\xbb\xbf" + FOREIGN + b"\r", b"text", b"", b"[1]")]
    assert [(line.content is not None, line.hash is not None) for line in lines] == [
        (True, True),
        (True, False),
        (True, False),
        (False, False),
        (False, False),
        (False, False),
    ]


DAMAGED = {
    "cut": lambda line: line[:-20],
    "a hash too short": lambda line: line.replace(b'"hash":"', b'"hash":"0'),
    "no hash": lambda line: line[: line.index(b',"hash"')] + b"}",
    "a number that is a text": lambda line: line.replace(b'"seq":1', b'"seq":"1"'),
    "a number that is true": lambda line: line.replace(b'"seq":1', b'"seq":true'),
    "data that is a list": lambda line: line.replace(b'{"x":1.5}', b"[]"),
    "a doubled key": lambda line: line.replace(b'"seq":1', b'"seq":1,"seq":1'),
    "CRLF": lambda line: line + b"\r",
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_was_an_entry_is_not_taken_for_a_line_of_others(damage: object) -> None:
    """Else damage would go by in silence."""
    line, _ = encode_entry(EVENT, NOW, SIGNED, Position(0, GENESIS), b"")
    assert callable(damage)
    with pytest.raises(DamagedLineError):
        parse_line(damage(line[:-1]))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"1.5", b"2.5"), lines[2]], "line 2: the hash of entry 2 does not fit"),
        (lambda lines: [lines[0], lines[2]], "line 2: entry 3 follows entry 1: lines were dropped, doubled or moved"),
        (lambda lines: [lines[0], lines[0], lines[1]], "line 2: entry 1 follows entry 1"),
        (lambda lines: [lines[0], FOREIGN, lines[1]], "line 3: the hash of entry 2 does not fit"),
        (lambda lines: [lines[0], lines[1][:50] + lines[1][60:], lines[2]], "line 2: it"),
        (lambda lines: [lines[0], lines[1][:-9], lines[2]], "line 2: it was an entry of ours and is no JSON object any more"),
    ],
    ids=["changed", "dropped", "doubled", "put in", "shortened", "cut"],
)
def test_damage_names_its_line(tmp_path: Path, damage: object, sentence: str) -> None:
    """And the way out."""
    path = tmp_path / "a.log"
    for _ in range(3):
        again = journal(path)
        again.read_new()
        again.append([(EVENT, NOW)], SIGNED)
    assert callable(damage)
    path.write_bytes(b"".join(line + b"\n" for line in damage(path.read_bytes().split(b"\n")[:-1])))
    with pytest.raises(StateDamagedError) as caught:
        journal(path).read_new()
    assert caught.value.reason.startswith(sentence), caught.value.reason
    assert "Nothing was changed. 'migration-state verify' names every such line" in caught.value.reason


def test_every_line_is_read_whatever_it_holds(tmp_path: Path) -> None:
    """For the commands that print or verify the log."""
    path = tmp_path / "a.log"
    ours, _ = encode_entry(EVENT, NOW, SIGNED, Position(0, GENESIS), b"")
    path.write_bytes(ours + FOREIGN + b"\r\n" + ours[:-30] + b"\ntext\n" + ours[:-1])
    found = [(line.number, line.content is not None, line.hash is not None, bool(line.damage)) for line in read_lines(path)]
    assert found == [
        (1, True, True, False),
        (2, True, False, False),
        (3, False, False, True),
        (4, False, False, False),
        (5, True, True, True),
    ]


def test_a_lone_surrogate_of_another_tool_is_written_as_its_escape(tmp_path: Path) -> None:
    """No UTF-8 file can hold it otherwise."""
    path = tmp_path / "a.log"
    journal(path).append([(Event("a", "\udc80", {"x": "\ud800"}), NOW)], SIGNED)
    assert [(line.content["details"], line.content["data"]) for line in read_lines(path) if line.content] == [("\udc80", {"x": "\ud800"})]
