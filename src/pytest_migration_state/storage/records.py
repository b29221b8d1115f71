"""Records of the audit log, the same in every store: their lines, and the hash chain of their entries.

An entry written by this package has a sequence number and a hash: SHA-256 over the hash of the entry before
it, every byte since that entry's line, and its own line without the hash. Lines of other programs (four keys,
no hash) in between are covered by the hash of the next entry.

Entries that are committed together say so (``"part":[1,3]``): they count when the last of them is in the log,
so that a writer killed in the middle of its write leaves all of them or none. Everything here is pure.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.beside.past import what_it_says
from pytest_migration_state.domain.events import Event
from pytest_migration_state.json_codec import decode_object, strip_bom, to_json_bytes, utf16_of

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject

# Copied for each entry: looking the algorithm up costs OpenSSL more than hashing a line.
_SHA256: Final = hashlib.sha256()
#: The hash before the first entry.
GENESIS_HASH: Final = "0" * 64
#: The hash at the end of an entry's line.
HASH_AT_END: Final = re.compile(rb',"hash":"([0-9a-f]{64})"\}\Z')
#: What is wrong with a line or a file in UTF-16.
IS_UTF16: Final = "it is UTF-16, which other programs cannot read"
#: The damage of a last line without a line end.
NO_LINE_END: Final = "it has no line end: its writer was killed in it"


class Position(NamedTuple):
    """An entry, by its sequence number and hash."""

    seq: int
    hash: str


class Line(NamedTuple):
    """One line of the log, whoever wrote it.

    :ivar number: counted from 1.
    :ivar raw: its bytes without the line end.
    :ivar content: the JSON object in it; ``None`` if it is not one.
    :ivar hash: its hash, if it is an entry written by this package.
    :ivar damage: what is wrong with an entry written by this package, in words; ``None`` if nothing is.
    """

    number: int
    raw: bytes
    content: JsonObject | None
    hash: str | None
    damage: str | None = None

    @property
    def position(self) -> Position:
        """The position of an entry written by this package."""
        assert self.content is not None
        assert self.hash is not None
        return Position(self.content["seq"], self.hash)


def unassigned(line: Line, log_name: str) -> Line:
    """Return a line of another program marked as one that may be about another state.

    :param log_name: the log in which it is.
    """
    content = {**(line.content or {}), "log": log_name}
    return line._replace(raw=to_json_bytes(content), content=content)


class DamagedLineError(ValueError):
    """The error for a line that was an entry written by this package and is no longer whole."""


def parse_line(raw: bytes, number: int = 0) -> Line:
    """Return one line of the log, decoded.

    :raises DamagedLineError: it is, or was, an entry written by this package and cannot be read as one.
    """
    text = strip_bom(raw)
    looks_like_entry = b'"seq":' in text or b'"hash":"' in text
    try:
        content = decode_object(text)
    except ValueError as error:
        if looks_like_entry:
            raise DamagedLineError(f"it was an entry and is no longer a JSON object ({error})") from None
        return Line(number, raw, None, None)
    if not looks_like_entry or not ({"seq", "hash"} & content.keys()):
        return Line(number, raw, content, None)
    digest = HASH_AT_END.search(raw)
    if not digest or type(content.get("seq")) is not int or not isinstance(content.get("data"), dict):
        raise DamagedLineError("the entry was modified: its seq, data or hash is invalid")
    return Line(number, raw, content, digest[1].decode())


def no_object_in_words(raw: bytes) -> str:
    """Return why a line is not an entry and not a line of another program, either."""
    if utf16_of(raw):
        return f"{IS_UTF16}; append to the log with: Add-Content -Encoding utf8"
    return "it is not a JSON object"


def is_whole(raw: bytes) -> bool:
    """Return True if a line lacks nothing but its line end."""
    try:
        parse_line(raw)
        decode_object(strip_bom(raw))
    except ValueError:
        return False
    return True


def chained_hash(previous: str, between: bytes, body: bytes) -> str:
    """Return the hash of an entry.

    :param previous: the hash of the entry before it.
    :param between: every byte since that entry.
    :param body: its line without the hash.
    """
    digest = _SHA256.copy()
    digest.update(previous.encode() + between + body)
    return digest.hexdigest()


def without_hash(raw: bytes) -> bytes:
    """Return an entry's line without its hash, as the hash covers it."""
    return HASH_AT_END.sub(b"}", raw)


class Author(NamedTuple):
    """Who writes an entry.

    :ivar run_id: the run that it belongs to, or ``None``.
    :ivar actor: ``user@host``.
    """

    run_id: str | None
    actor: str

    def encoded(self) -> bytes:
        """Return the fields of the entry that say so, as JSON."""
        return to_json_bytes(self._asdict())[1:-1]


class Encoded(NamedTuple):
    """An event as JSON: the parts that journals and the log have in common.

    :ivar head: the operators' four keys, without the closing brace.
    :ivar data: the value of ``data``.
    """

    head: bytes
    data: bytes


def encode_event(event: Event, timestamp: str) -> Encoded:
    """Return an event as JSON."""
    return Encoded(encode_head(event, timestamp), to_json_bytes(event.data))


def encode_head(event: Event, timestamp: str) -> bytes:
    """Return the operators' four keys of an event as JSON, without the closing brace."""
    action, details, _, level = event
    head = {"timestamp": timestamp, "level": level, "action": action, "details": details}
    return to_json_bytes(head)[:-1]


def encode_entry(
    encoded: Encoded,
    author: bytes,
    previous: Position,
    between: bytes = b"",
    part: tuple[int, int] = (1, 1),
) -> tuple[bytes, Position]:
    """Return an entry's line, with its line end, and its position.

    :param author: who writes; see :meth:`Author.encoded`.
    :param part: its number, from 1, among the entries that are committed together, and their total.
    """
    seq = previous.seq + 1
    parts = b'"part":[%d,%d],' % part if part[1] > 1 else b""
    body = b'%b,"seq":%d,%b%b,"data":%b' % (encoded.head, seq, parts, author, encoded.data)
    digest = chained_hash(previous.hash, between, body + b"}")
    return b'%b,"hash":"%b"}\n' % (body, digest.encode()), Position(seq, digest)


def event_of(line: bytes) -> tuple[Event, str]:
    """Return the event, and its timestamp, that :func:`encode_entry` wrote as ``line``."""
    entry = decode_object(line)
    return Event(entry["action"], entry["details"], entry["data"], entry["level"]), entry["timestamp"]


def gap_position(data: JsonObject) -> Position | None:
    """Return the entry before a gap that an entry with this ``data`` reports; ``None`` if it reports none."""
    named = data.get("continues")
    if not isinstance(named, dict) or not named.keys() >= {"seq", "hash"}:
        return None
    return Position(named["seq"], named["hash"])


def reports_gap(encoded: Encoded) -> bool:
    """Return True if an event reports entries that are lost."""
    return b'"continues":{' in encoded.data and b'"action":"Recovered"' in encoded.head


class Part(NamedTuple):
    """The number of an entry among those that were committed together, and their total."""

    number: int
    total: int


def say_what_changed(lines: bytes) -> bool:
    """Return True if a line of another program says what it changed. An operator's own words do not."""
    for raw in lines.split(b"\n"):
        try:
            content = parse_line(raw).content
        except DamagedLineError:
            return True
        if content is not None and what_it_says(content, 0, ()):
            return True
    return False


def part_of(line: Line) -> Part:
    """Return the part of a commit that an entry is."""
    match line.content and line.content.get("part"):
        case [int() as number, int() as total] if 1 <= number <= total:
            return Part(number, total)
        case _:
            return Part(1, 1)
