"""Records of a run's journal, the same in every store: one line for each event of the run.

Each line is checked by itself (CRC-32), and numbered from 1. Numbers go on when the journal is emptied. No
line depends on another one, so that writing it takes nobody's lock. Everything here is pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from pytest_migration_state.domain.events import Event, verdict_event
from pytest_migration_state.json_codec import decode_object
from pytest_migration_state.storage.records import Encoded, encode_head

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_migration_state.types import JsonObject

_CHECK: Final = re.compile(rb',"check":"([0-9a-f]{8})"\}\Z')
#: The size of a log that could not be looked at.
UNKNOWN_SIZE: Final = -1


class Record(NamedTuple):
    """One event of a run that may not be in the audit log yet.

    :ivar number: counted from 1.
    :ivar log_size: the size of the audit log, in bytes, when it happened: what the log got behind that came
        later.
    :ivar encoded: the event as JSON, where its writer still has it.
    """

    number: int
    log_size: int
    event: Event
    timestamp: str
    encoded: Encoded | None = None


class VerdictRecord(NamedTuple):
    """One verdict of a run that may not be in the audit log yet: as it is written, and nothing more.

    :ivar number: see :class:`Record`.
    :ivar log_size: see :class:`Record`.
    :ivar json: the verdict as JSON.
    """

    number: int
    log_size: int
    verdict: JsonObject
    timestamp: str
    json: bytes

    def to_record(self) -> Record:
        """Return the record of the event that the verdict becomes."""
        event = verdict_event(self.verdict)
        encoded = Encoded(encode_head(event, self.timestamp), b'{"validation_results":[%b]}' % self.json)
        return Record(self.number, self.log_size, event, self.timestamp, encoded)


def encode_verdict(json: bytes, number: int, log_size: int) -> bytes:
    """Return the line of a verdict, with its line end."""
    return _with_check(b'{"number":%d,"log_size":%d,"verdict":%b' % (number, log_size, json))


def encode_record(encoded: Encoded, number: int, log_size: int) -> bytes:
    """Return the line of a record, with its line end."""
    return _with_check(
        b'%b,"number":%d,"log_size":%d,"data":%b' % (encoded.head, number, log_size, encoded.data)
    )


def _with_check(body: bytes) -> bytes:
    return b'%b,"check":"%08x"}\n' % (body, crc32(body))


def decode_records(content: bytes) -> tuple[list[Record | None], bytes]:
    """Return the records in a journal, ``None`` for each damaged line, and a last line without an end."""
    *lines, torn = content.split(b"\n")
    return [_decoded(line) for line in lines], torn


def _decoded(line: bytes) -> Record | None:
    check = _CHECK.search(line)
    if not check or int(check[1], 16) != crc32(line[: check.start()]):
        return None
    try:
        found = decode_object(line)
        number, log_size = found["number"], found["log_size"]
        if verdict := found.get("verdict"):
            return Record(number, log_size, verdict_event(verdict), verdict["tested_at"])
        event = Event(found["action"], found["details"], found["data"], found["level"])
        return Record(number, log_size, event, found["timestamp"])
    except (ValueError, KeyError, TypeError):
        return None


class Selection(NamedTuple):
    """The records of a journal that are not in the audit log yet.

    :ivar missing: how many of them, at least, are missing before or between them.
    :ivar damaged: how many damaged lines stand behind them.
    """

    records: list[Record]
    missing: int = 0
    damaged: int = 0


def select(lines: Iterable[Record | None], taken: int) -> Selection:
    """Return the records behind number ``taken``, however many of them are damaged."""
    found: list[Record] = []
    missing = damaged = 0
    for record in lines:
        if record is None:
            damaged += 1
        elif record.number <= taken:
            damaged = 0
        else:
            missing += record.number - taken - 1
            found.append(record)
            taken = record.number
            damaged = 0
    return Selection(found, missing, damaged)


def before_damage(selection: Selection, taken: int) -> list[Record]:
    """Return the records behind number ``taken`` up to the first that is missing."""
    return [
        record for expected, record in enumerate(selection.records, taken + 1) if record.number == expected
    ]
