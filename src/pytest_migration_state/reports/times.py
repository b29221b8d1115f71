"""Times and durations in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from pytest_migration_state.text import counted, in_utc, parse_time

#: Each unit with its length in seconds, the longest first.
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def when(time: object) -> str:
    """Return a time in UTC, and how long ago it was."""
    if not isinstance(time, str):
        return "not known"
    seconds = (now() - parse_time(time)).total_seconds()
    words = in_utc(time)
    return f"{words} ({ago(seconds)})" if seconds >= 0 else words


def ago(seconds: float) -> str:
    """Return in words how long ago something was."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{counted(int(seconds // length), unit)} ago"
    return "just now"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as ``2h5min``. Less than a second is ``0s``."""
    rest = max(0, int(seconds))
    for position, (unit, length) in enumerate(_UNITS):
        if rest >= length or length == 1:
            words = f"{rest // length}{unit}"
            below = _UNITS[position + 1 : position + 2]
            # Seconds say nothing beside minutes that a person can use.
            if below and below[0][0] != "s" and (smaller := rest % length // below[0][1]):
                words += f"{smaller}{below[0][0]}"
            return words
    raise AssertionError
