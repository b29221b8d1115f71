"""Times and durations in words."""

from __future__ import annotations

from datetime import UTC, datetime

from pytest_migration_state.text import counted, in_utc, parse_time


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
    minutes, seconds = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours}h" if hours else f"{days}d"
    if hours:
        return f"{hours}h{minutes}min" if minutes else f"{hours}h"
    return f"{minutes}min" if minutes else f"{seconds}s"
