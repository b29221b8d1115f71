"""Text from outside, made safe to store and to print; counts and times as text."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from time import time_ns
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

#: The longest name, message or path that is stored, in bytes of UTF-8.
TEXT_LIMIT: Final = 4096
#: How much of the end of a longer message is stored, in bytes of UTF-8.
_END_OF_MESSAGE: Final = 1024


def to_storable(text: str) -> str:
    """Return a name as it is stored: encodable in UTF-8, and cut to 4 KiB with a mark.

    Lone surrogates, which no UTF-8 file can hold, are escaped (``\\udc80``). The mark of a cut text holds a
    digest of the whole, so that two long names with the same beginning stay two names.
    """
    return _storable(text, end=0)


def to_storable_message(text: str) -> str:
    """Return a message as it is stored: like a name, but the end of a longer one is kept too.

    The last lines of a traceback or a log say what went wrong.
    """
    return _storable(text, end=_END_OF_MESSAGE)


def _storable(text: str, end: int) -> str:
    """Return ``text`` as it is stored.

    :param end: how much of the end of a longer text is kept behind the mark, in bytes.
    """
    if len(text) <= TEXT_LIMIT and text.isascii():
        return text
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= TEXT_LIMIT:
        return encoded.decode()
    mark = f" …[cut: {len(text)} characters, sha256 {hashlib.sha256(encoded).hexdigest()[:16]}]"
    if end:
        mark += "… "
    first, last = encoded[: TEXT_LIMIT - len(mark.encode()) - end], encoded[len(encoded) - end :]
    return first.decode("utf-8", "ignore") + mark + last.decode("utf-8", "ignore")


def end_of(text: str, limit: int, mark: str) -> str:
    """Return the end of ``text`` as it is stored, below a line with a mark if something is missing.

    The end begins at the start of a line, unless that leaves less than half of the room.

    :param limit: the size of the result, in bytes of UTF-8; more than that of the line with the mark.
    """
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= limit:
        return encoded.decode()
    room = limit - len(f"{mark}\n".encode())
    begin = len(encoded) - room
    line = encoded.find(b"\n", begin - 1) + 1
    if line and len(encoded) - line >= room // 2:
        begin = line
    return f"{mark}\n{encoded[begin:].decode('utf-8', 'ignore')}"


# A CI service reads its commands from what a program prints: GitHub at the start of a line, Azure and
# GitHub's older form anywhere in it, TeamCity at the start.
_CI_COMMAND: Final = re.compile(r"^(?=\s*::)|(?<=#)(?=#(?:vso)?\[|#teamcity\[)")
_NOT_PRINTED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def to_printable(text: str) -> str:
    """Return ``text`` on one line that no terminal and no CI service takes for an instruction.

    Control and format characters (ANSI, OSC, bidirectional marks, line ends) are escaped as ``\\x1b`` or
    ``\\u202e``.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(_escaped(character) for character in text)
    return _CI_COMMAND.sub(r"\\", text)


def _escaped(character: str) -> str:
    if character == "\n":
        return "\\n"
    if unicodedata.category(character) in _NOT_PRINTED:
        return character.encode("unicode_escape", "backslashreplace").decode()
    return character


def first_line(text: str, limit: int = 200) -> str:
    """Return the first line of ``text``, at most ``limit`` characters of it, with a mark if there is more."""
    first, _, rest = text.strip().partition("\n")
    return first[:limit] + (" …" if rest or len(first) > limit else "")


def shortened(text: str, limit: int) -> str:
    """Return ``text``, cut to ``limit`` characters with a mark."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def error_in_words(error: BaseException) -> str:
    """Return the type and the message of an exception."""
    return f"{type(error).__name__}: {error}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: "1 blocker", "2 blockers".

    :param plural: the plural of ``noun``, if it is not formed with an s.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def numbered(first: int, last: int, one: str, several: str) -> str:
    """Return numbers in words: ``numbered(7, 9, "line {}", "lines {} to {}")`` is "lines 7 to 9".

    :param one: the words for a single number, with a place for it.
    :param several: the words for a range, with a place for its first and its last number.
    """
    return one.format(first) if first == last else several.format(first, last)


def and_more(items: Sequence[T], limit: int, what: str = "") -> tuple[Sequence[T], list[str]]:
    """Return the first ``limit`` items, and a list with the words "and N more" (empty if there are no more).

    :param what: the text after the words.
    """
    if len(items) <= limit:
        return items, []
    return items[:limit], [f"and {len(items) - limit} more{what}"]


def utc_text(time: datetime) -> str:
    """Return a time as the files store it: UTC, ISO 8601 with ``Z``, milliseconds."""
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    return time.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def utc_now() -> str:
    """Return the current time in the format of :func:`utc_text`.

    The text is cached for one millisecond: a run needs it at every verdict, often twice in a millisecond.
    """
    return _text_of_millisecond(time_ns() // 1_000_000)


@lru_cache(maxsize=1)
def _text_of_millisecond(number: int) -> str:
    return utc_text(datetime.fromtimestamp(number / 1000, UTC))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DOTNET_DATE: Final = re.compile(r"/Date\((-?\d{1,15})\)/")


def parse_time(text: str) -> datetime:
    """Return the time that ``text`` names, whichever tool wrote it.

    Any offset and any number of digits are accepted, and so is ``/Date(ms)/`` of Windows PowerShell 5.1
    (milliseconds since 1970). A time without an offset is taken as UTC.

    :raises ValueError: ``text`` is not a time.
    """
    time = _as_written(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def in_utc(text: str) -> str:
    """Return the time that ``text`` names in the format of :func:`utc_text`.

    Text that is not a time, and a time without an offset, is returned as it is.
    """
    try:
        time = _as_written(text)
        return utc_text(time) if time.tzinfo else text
    except (ValueError, OverflowError):  # the first and the last day may not exist in another zone
        return text


def _as_written(text: str) -> datetime:
    """Return the time that ``text`` names, without an offset if it has none."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        if not (match := _DOTNET_DATE.fullmatch(text)):
            raise
    try:
        return _EPOCH + timedelta(milliseconds=int(match[1]))
    except OverflowError as error:
        raise ValueError(str(error)) from None
