"""The lines of the audit log: their form, their chain, and the errors for damaged ones."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from pytest_migration_state import StateDamagedError
from pytest_migration_state.domain.events import Event
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.log_lines import read_lines
from pytest_migration_state.storage.records import (
    GENESIS_HASH,
    Author,
    DamagedLineError,
    Position,
    encode_entry,
    encode_event,
    event_of,
    gap_position,
    parse_line,
)
from state_files import FOREIGN

if TYPE_CHECKING:
    from pathlib import Path

NOW = "2026-01-15T09:14:00.123Z"
SIGNED = Author("7f3c", "ci@runner-7").encoded()
EVENT = Event("ValidationResult", "Test 't' for 'ção': PASSED", {"x": 1.5})


def open_log(path: Path) -> AuditLogFile:
    opened = AuditLogFile(path)
    opened.open_to_write()
    return opened


def test_an_entry_is_a_line_of_json_with_its_keys_in_order() -> None:
    """First the keys of every program, then those of this package, the hash last. Non-ASCII is kept as is."""
    line, position = encode_entry(encode_event(EVENT, NOW), SIGNED, Position(41, "ab" * 32), b"")
    body = (
        '{"timestamp":"2026-01-15T09:14:00.123Z","level":"INFO","action":"ValidationResult",'
        "\"details\":\"Test 't' for 'ção': PASSED\","
        '"seq":42,"run_id":"7f3c","actor":"ci@runner-7","data":{"x":1.5}'
    )
    digest = hashlib.sha256(("ab" * 32 + body + "}").encode()).hexdigest()
    assert f'{body},"hash":"{digest}"}}\n'.encode() == line
    assert Position(42, digest) == position
    assert list(json.loads(line)) == [
        "timestamp",
        "level",
        "action",
        "details",
        "seq",
        "run_id",
        "actor",
        "data",
        "hash",
    ]


def test_the_hash_covers_the_foreign_lines_in_between(tmp_path: Path) -> None:
    """They are covered byte for byte, including their line ends and BOM."""
    path = tmp_path / "a.log"
    written = open_log(path)
    written.append([(encode_event(EVENT, NOW), SIGNED)], lambda: False)
    foreign = b"\xef\xbb\xbf" + FOREIGN + b"\r\nno JSON at all\n"
    with path.open("ab") as log:
        log.write(foreign)
    first = written.head
    written.append([(encode_event(EVENT, NOW), SIGNED)], lambda: False)
    last = path.read_bytes().split(b"\n")[-2]
    body = last[: last.rindex(b',"hash"')] + b"}"
    assert hashlib.sha256(first.hash.encode() + foreign + body).hexdigest() == written.head.hash
    again = open_log(path)
    assert [entry.seq for entry in again.read_new()] == [1, 2]
    assert written.head == again.head


def test_events_that_are_committed_together_count_together(tmp_path: Path) -> None:
    """If a writer is killed between them, none of them has an effect."""
    path = tmp_path / "a.log"
    open_log(path).append([(encode_event(EVENT, NOW), SIGNED)] * 3, lambda: True)
    whole = path.read_bytes()
    counts = []
    for lines in range(4):
        path.write_bytes(b"".join(line + b"\n" for line in whole.split(b"\n")[:lines]))
        counts.append(len(open_log(path).read_new()))
    assert counts == [0, 0, 0, 3]


def test_an_event_is_restored_from_its_line() -> None:
    """A run keeps lines instead of events."""
    for event in (EVENT, Event("a", "\udc80", {"x": ["\ud800", None, {"y": 10**30}]}, "WARNING")):
        line, _ = encode_entry(encode_event(event, NOW), SIGNED, Position(41, "ab" * 32), b"", (2, 3))
        assert event_of(line) == (event, NOW)


def test_foreign_lines_are_distinguished_from_entries() -> None:
    """Entries have a number and a hash; everything else is a foreign line."""
    entry, _ = encode_entry(encode_event(EVENT, NOW), SIGNED, Position(0, GENESIS_HASH), b"")
    lines = [
        parse_line(raw)
        for raw in (entry[:-1], FOREIGN, b"\xef\xbb\xbf" + FOREIGN + b"\r", b"text", b"", b"[1]")
    ]
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
    "a number that is text": lambda line: line.replace(b'"seq":1', b'"seq":"1"'),
    "a number that is true": lambda line: line.replace(b'"seq":1', b'"seq":true'),
    "data that is a list": lambda line: line.replace(b'{"x":1.5}', b"[]"),
    "a doubled key": lambda line: line.replace(b'"seq":1', b'"seq":1,"seq":1'),
    "CRLF": lambda line: line + b"\r",
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_entry_is_not_taken_for_a_foreign_line(damage: object) -> None:
    """Otherwise damage would go unnoticed."""
    line, _ = encode_entry(encode_event(EVENT, NOW), SIGNED, Position(0, GENESIS_HASH), b"")
    assert callable(damage)
    with pytest.raises(DamagedLineError):
        parse_line(damage(line[:-1]))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            lambda lines: [lines[0], lines[1].replace(b"1.5", b"2.5"), lines[2]],
            "line 2: the hash of entry 2 does not fit",
        ),
        (
            lambda lines: [lines[0], lines[2]],
            "line 2: entry 3 follows entry 1: lines were dropped, doubled or moved",
        ),
        (lambda lines: [lines[0], lines[0], lines[1]], "line 2: entry 1 follows entry 1"),
        (lambda lines: [lines[0], FOREIGN, lines[1]], "line 3: the hash of entry 2 does not fit"),
        (lambda lines: [lines[0], lines[1][:50] + lines[1][60:], lines[2]], "line 2: it"),
        (
            lambda lines: [lines[0], lines[1][:-9], lines[2]],
            "line 2: it was an entry and is no longer a JSON object",
        ),
    ],
    ids=["changed", "dropped", "doubled", "inserted", "shortened", "cut"],
)
def test_damage_names_its_line(tmp_path: Path, damage: object, sentence: str) -> None:
    """The error also says what to do."""
    path = tmp_path / "a.log"
    for _ in range(3):
        again = open_log(path)
        again.read_new()
        again.append([(encode_event(EVENT, NOW), SIGNED)], lambda: True)
    assert callable(damage)
    path.write_bytes(b"".join(line + b"\n" for line in damage(path.read_bytes().split(b"\n")[:-1])))
    with pytest.raises(StateDamagedError) as caught:
        open_log(path).read_new()
    assert caught.value.reason.startswith(sentence), caught.value.reason
    assert "Nothing was changed. 'migration-state verify' names every such line" in caught.value.reason


def test_every_line_is_read_whatever_it_contains(tmp_path: Path) -> None:
    """The commands that print or verify the log read damaged lines too."""
    path = tmp_path / "a.log"
    entry, _ = encode_entry(encode_event(EVENT, NOW), SIGNED, Position(0, GENESIS_HASH), b"")
    path.write_bytes(entry + FOREIGN + b"\r\n" + entry[:-30] + b"\ntext\n" + entry[:-1])
    found = [
        (line.number, line.content is not None, line.hash is not None, bool(line.damage))
        for line in read_lines(path)
    ]
    assert found == [
        (1, True, True, False),
        (2, True, False, False),
        (3, False, False, True),
        (4, False, False, False),
        (5, True, True, True),
    ]


def test_a_lone_surrogate_is_written_as_an_escape(tmp_path: Path) -> None:
    """UTF-8 cannot encode it otherwise."""
    path = tmp_path / "a.log"
    open_log(path).append([(encode_event(Event("a", "\udc80", {"x": "\ud800"}), NOW), SIGNED)], lambda: True)
    assert [(line.content["details"], line.content["data"]) for line in read_lines(path) if line.content] == [
        ("\udc80", {"x": "\ud800"})
    ]


@pytest.mark.parametrize("continues", [{}, {"seq": 1}, {"hash": "9f2c"}, 7, None])
def test_a_gap_that_names_no_entry_is_none(continues: object) -> None:
    """Only a line that was changed has it, and its hash does not fit."""
    assert gap_position({"continues": continues}) is None
