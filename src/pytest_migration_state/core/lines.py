"""Lines of the audit log: what is in one, and how entries of ours are chained. Pure.

An entry of ours has a sequence number and a hash: SHA-256 over the hash of the entry before it, every byte since that
entry's line, and its own line without the hash. Lines of other writers (four keys, no hash) stand in between and are
covered by the hash of the next entry of ours.

Entries that are committed together say so (``"part":[1,3]``): they count when the last of them stands there, so that a
writer killed in the middle of its write leaves all of them or none.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

from pytest_migration_state.core.document import JsonObject, decode_object, encoded
from pytest_migration_state.core.events import Event

# Copied for each entry: OpenSSL looks the algorithm up whenever a digest is begun, which costs more than a line's bytes.
_SHA256: Final = hashlib.sha256()
#: The hash before the first entry.
GENESIS: Final = "0" * 64
#: Where a line states its hash.
HASH_AT_END: Final = re.compile(rb',"hash":"([0-9a-f]{64})"\}\Z')
#: What is wrong with a last line that is not ended.
NO_LINE_END: Final = "it has no line end: its writer was killed in it"
BOM: Final = b"\xef\xbb\xbf"


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
    text = raw.removeprefix(BOM).strip()
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
    digest = _SHA256.copy()
    digest.update(previous.encode() + between + body)
    return digest.hexdigest()


def without_hash(raw: bytes) -> bytes:
    """An entry's line without its hash: what the hash is computed of."""
    return HASH_AT_END.sub(b"}", raw)


def encode_entry(
    event: Event, timestamp: str, signed: JsonObject, previous: Position, between: bytes, part: tuple[int, int] = (1, 1)
) -> tuple[bytes, Position]:
    """An entry's line, with its line end, and its position.

    :param signed: who writes, see :func:`signature`.
    :param part: which one it is of how many that are committed together.
    """
    seq = previous.seq + 1
    if part[1] > 1:
        signed = {"part": part, **signed}
    action, details, data, level = event
    body = encoded({"timestamp": timestamp, "level": level, "action": action, "details": details, "seq": seq, **signed, "data": data})
    digest = chained_hash(previous.hash, between, body)
    return body[:-1] + b',"hash":"' + digest.encode() + b'"}\n', Position(seq, digest)


def event_of(line: bytes) -> tuple[Event, str]:
    """The event, and its timestamp, that :func:`encode_entry` made ``line`` of."""
    entry = decode_object(line)
    return Event(entry["action"], entry["details"], entry["data"], entry["level"]), entry["timestamp"]


def signature(run_id: str | None, actor: str) -> JsonObject:
    """Who writes, in the form that :func:`encode_entry` takes."""
    return {"run_id": run_id, "actor": actor}


def continues(data: JsonObject) -> Position | None:
    """The entry that one with this ``data`` follows where the log does not hold it any more."""
    named = data.get("continues")
    return Position(named["seq"], named["hash"]) if isinstance(named, dict) else None


class Part(NamedTuple):
    """Which entry it is of how many that were committed together."""

    number: int
    total: int


def part_of(line: Line) -> Part:
    match line.content and line.content.get("part"):
        case [int() as number, int() as total] if 1 <= number <= total:
            return Part(number, total)
        case _:
            return Part(1, 1)
