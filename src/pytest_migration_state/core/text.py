"""Text from outside, made safe to store and to print; times as text."""

from __future__ import annotations

import hashlib
import re
import time
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

#: What one name or message may take in the files, in bytes of UTF-8.
TEXT_LIMIT: Final = 4096


def storable(text: str) -> str:
    """``text`` in the form in which it is stored: encodable, and cut to 4 KiB with a mark.

    Lone surrogates, which no UTF-8 file can hold, are escaped (``\\udc80``). The mark of a cut text holds a digest of the
    whole, so that two long names that begin alike stay two names.
    """
    if len(text) <= TEXT_LIMIT and text.isascii():
        return text
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) > TEXT_LIMIT:
        mark = f" …[cut: {len(text)} characters, sha256 {hashlib.sha256(encoded).hexdigest()[:16]}]".encode()
        return encoded[: TEXT_LIMIT - len(mark)].decode("utf-8", "ignore") + mark.decode()
    return encoded.decode()


# A CI service reads its commands from what a program prints: GitHub at the start of a line, Azure and GitHub's older
# form anywhere in it, TeamCity at the start.
_CI_COMMAND: Final = re.compile(r"^(?=\s*::)|(?<=#)(?=#(?:vso)?\[|#teamcity\[)")
_NOT_PRINTED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str) -> str:
    """``text`` on one line that no terminal and no CI service takes for an instruction.

    Control and format characters (ANSI, OSC, bidirectional marks, line ends) are escaped as ``\\x1b`` or ``\\u202e``.
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


def utc_text(moment: datetime) -> str:
    """``moment`` as the files have it: UTC, ISO 8601 with ``Z``, milliseconds."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def utc_now() -> str:
    """This moment, as :func:`utc_text`. A run asks for it at every verdict, often several times in a millisecond."""
    return _text_of_millisecond(time.time_ns() // 1_000_000)


@lru_cache(maxsize=1)
def _text_of_millisecond(number: int) -> str:
    return utc_text(datetime.fromtimestamp(number / 1000, UTC))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DOTNET_DATE: Final = re.compile(r"/Date\((-?\d{1,15})\)/")


def parse_time(text: str) -> datetime:
    """The moment that ``text`` names, whatever tool wrote it: any offset, any number of digits, 5.1's ``/Date(ms)/``.

    A time without an offset is taken as UTC.

    :raises ValueError: it names none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        if not (match := _DOTNET_DATE.fullmatch(text)):
            raise
        try:
            return _EPOCH + timedelta(milliseconds=int(match[1]))
        except OverflowError as error:
            raise ValueError(str(error)) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
