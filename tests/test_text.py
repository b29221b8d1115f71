"""Text of unknown origin, and times written by other tools."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from pytest_migration_state.text import (
    TEXT_LIMIT,
    end_of,
    in_utc,
    numbered,
    parse_time,
    to_printable,
    to_storable,
    to_storable_message,
    utc_now,
    utc_text,
)

STORED: dict[str, tuple[str, str]] = {
    "plain": ("plain", "plain"),
    "not ASCII": ("preservação 🐝", "preservação 🐝"),
    "line ends and controls": ("a\nb\x1b[1m\x00", "a\nb\x1b[1m\x00"),
    "a lone surrogate": ("a\udc80b", "a\\udc80b"),
    "as long as it may be": ("x" * TEXT_LIMIT, "x" * TEXT_LIMIT),
}


@pytest.mark.parametrize(("text", "expected"), STORED.values(), ids=STORED.keys())
def test_text_is_stored_unchanged_where_possible(text: str, expected: str) -> None:
    """Only characters that UTF-8 cannot encode are escaped."""
    assert expected == to_storable(text)


@pytest.mark.parametrize(
    "text",
    ["x" * 5000, "🐝" * 2000, "\udc80" * 3000, "x" * 20_000_000],
    ids=["ASCII", "wide", "surrogates", "20 MB"],
)
def test_long_text_is_cut_with_a_mark(text: str) -> None:
    """It is cut to 4 KiB of UTF-8 including the mark, never within a character."""
    cut = to_storable(text)
    assert len(cut.encode()) <= TEXT_LIMIT
    assert re.search(rf" …\[cut: {len(text)} characters, sha256 [0-9a-f]{{16}}\]\Z", cut)


@pytest.mark.parametrize(
    "middle", ["x" * 5000, "🐝" * 2000, "\udc80" * 3000], ids=["ASCII", "wide", "surrogates"]
)
def test_long_message_keeps_its_beginning_and_its_end(middle: str) -> None:
    """The first line is what reports show; the last one of a traceback is the error."""
    text = f"é first\n{middle}\nlast é"
    cut = to_storable_message(text)
    assert len(cut.encode()) <= TEXT_LIMIT
    assert cut.startswith("é first\n")
    assert cut.endswith("\nlast é")
    assert re.search(rf" …\[cut: {len(text)} characters, sha256 [0-9a-f]{{16}}\]… ", cut)
    assert cut == to_storable_message(cut)


@pytest.mark.parametrize(("text", "expected"), STORED.values(), ids=STORED.keys())
def test_short_message_is_stored_like_a_name(text: str, expected: str) -> None:
    """Only what is too long differs."""
    assert expected == to_storable_message(text)


ENDS: dict[str, tuple[str, int, str]] = {
    "as long as it may be": ("x" * 20, 20, "x" * 20),
    "at a line start": ("one\ntwo\nthree\nfour", 15, "[…]\nfour"),
    "at a line start that is just the limit": ("one\ntwo\nthree\nfour", 16, "[…]\nthree\nfour"),
    "within a line": ("one\n" + "x" * 30, 20, "[…]\n" + "x" * 14),
    "within a line, when little is behind it": ("x" * 30 + "\nend", 20, "[…]\n" + "x" * 10 + "\nend"),
    "never within a character": ("🐝" * 10, 20, "[…]\n" + "🐝" * 3),
    "a lone surrogate": ("a\udc80b", 10, "a\\udc80b"),
    "nothing": ("", 10, ""),
}


@pytest.mark.parametrize(("text", "limit", "expected"), ENDS.values(), ids=ENDS.keys())
def test_end_of_a_text_is_cut_at_a_line_start(text: str, limit: int, expected: str) -> None:
    """The end has at most the given number of bytes, with a line for what is missing."""
    assert expected == end_of(text, limit, "[…]")
    assert len(expected.encode()) <= limit


def test_long_texts_with_a_common_beginning_stay_different() -> None:
    """Names are cut too, and must stay unique."""
    assert to_storable("x" * 5000 + "a") != to_storable("x" * 5000 + "b")


PRINTED: dict[str, tuple[str, str]] = {
    "plain": ("it's plain: 100 %", "it's plain: 100 %"),
    "not ASCII": ("preservação 🐝 日本", "preservação 🐝 日本"),
    "a line end": ("a\nb", "a\\nb"),
    "CR and tab": ("a\r\tb", "a\\r\\tb"),
    "ANSI": ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
    "OSC": ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    "C1": ("\x9b31m", "\\x9b31m"),
    "NUL": ("a\x00b", "a\\x00b"),
    "bidirectional": ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
    "zero width": ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
    "line separators": ("a\u2028b\u2029c\u0085", "a\\u2028b\\u2029c\\x85"),
    "a lone surrogate": ("a\ud800", "a\\ud800"),
    "a tag beyond the BMP": ("a\U000e0041", "a\\U000e0041"),
    "GitHub": ("::error::x", "\\::error::x"),
    "GitHub after spaces": ("  ::error::x", "\\  ::error::x"),
    "GitHub in the middle": ("a ::error::x", "a ::error::x"),
    "GitHub's older form": ("a ##[error]x", "a #\\#[error]x"),
    "Azure": ("##vso[task.complete]", "#\\#vso[task.complete]"),
    "TeamCity": ("##teamcity[buildStop]", "#\\#teamcity[buildStop]"),
    "a heading": ("## heading", "## heading"),
}


@pytest.mark.parametrize(("text", "expected"), PRINTED.values(), ids=PRINTED.keys())
def test_printed_text_contains_no_control_sequence(text: str, expected: str) -> None:
    """It is safe for a terminal and a CI service, and is always one line."""
    assert expected == to_printable(text)
    expected.encode()


TIMES: dict[str, tuple[str, datetime]] = {
    "Z": ("2026-01-15T09:00:00Z", datetime(2026, 1, 15, 9, tzinfo=UTC)),
    "milliseconds": ("2026-01-15T09:00:00.123Z", datetime(2026, 1, 15, 9, 0, 0, 123_000, tzinfo=UTC)),
    "seven digits": ("2026-01-15T09:00:00.1234567Z", datetime(2026, 1, 15, 9, 0, 0, 123_456, tzinfo=UTC)),
    "trailing zeros gone": ("2026-01-15T09:00:00.1Z", datetime(2026, 1, 15, 9, 0, 0, 100_000, tzinfo=UTC)),
    "an offset": (
        "2026-01-15T09:00:00.5-03:00",
        datetime(2026, 1, 15, 9, 0, 0, 500_000, tzinfo=timezone(timedelta(hours=-3))),
    ),
    "no offset is UTC": ("2026-01-15T09:00:00", datetime(2026, 1, 15, 9, tzinfo=UTC)),
    "a date": ("2026-01-15", datetime(2026, 1, 15, tzinfo=UTC)),
    "5.1's date": ("/Date(1700000000000)/", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
    "5.1's date before 1970": ("/Date(-1000)/", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
}


@pytest.mark.parametrize(("text", "expected"), TIMES.values(), ids=TIMES.keys())
def test_a_time_of_any_tool_is_parsed(text: str, expected: datetime) -> None:
    """It may have any offset, any number of digits, or the notation of PowerShell 5.1."""
    assert expected == parse_time(text)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01T00:00:00Z", "/Date(x)/", "/Date(99999999999999999)/", "12:00"]
)
def test_text_that_is_not_a_time_is_refused(text: str) -> None:
    """The error is always a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


IN_UTC: dict[str, tuple[str, str]] = {
    "milliseconds": ("2026-01-15T09:00:00.123Z", "2026-01-15T09:00:00.123Z"),
    "seconds": ("2026-01-15T09:00:00Z", "2026-01-15T09:00:00.000Z"),
    "an offset": ("2026-01-15T21:30:00.1234567-03:00", "2026-01-16T00:30:00.123Z"),
    "5.1's date": ("/Date(1700000000000)/", "2023-11-14T22:13:20.000Z"),
    "no offset": ("2026-01-15T09:00:00", "2026-01-15T09:00:00"),
    "a date": ("2026-01-15", "2026-01-15"),
    "no time": ("yesterday", "yesterday"),
    "nothing": ("", ""),
    "the first day elsewhere": ("0001-01-01T00:00:00+03:00", "0001-01-01T00:00:00+03:00"),
}


@pytest.mark.parametrize(("text", "expected"), IN_UTC.values(), ids=IN_UTC.keys())
def test_a_time_of_any_tool_is_printed_in_utc(text: str, expected: str) -> None:
    """Text that names no moment is printed as it is."""
    assert expected == in_utc(text)


@pytest.mark.parametrize(
    ("first", "last", "expected"), [(7, 7, "entry 7 is"), (7, 8, "entries 7 to 8 are")], ids=["one", "two"]
)
def test_a_range_of_one_is_no_range(first: int, last: int, expected: str) -> None:
    """It is written as one number, with the words for one."""
    assert expected == numbered(first, last, "entry {} is", "entries {} to {} are")


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    """It is UTC, with milliseconds and a Z."""
    moment = datetime(2026, 1, 15, 6, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=-3)))
    assert utc_text(moment) == "2026-01-15T09:00:00.123Z"


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (1_768_467_600_000_000_000, "2026-01-15T09:00:00.000Z"),
        (1_768_467_600_123_999_999, "2026-01-15T09:00:00.123Z"),
        (1_768_467_600_999_999_999, "2026-01-15T09:00:00.999Z"),
        (1_768_467_601_000_999_999, "2026-01-15T09:00:01.000Z"),
        (1_768_467_600_007_000_000, "2026-01-15T09:00:00.007Z"),
    ],
)
def test_the_current_time_is_cut_to_milliseconds(
    monkeypatch: pytest.MonkeyPatch, nanoseconds: int, expected: str
) -> None:
    """It is cut to milliseconds, also when the clock is set back."""
    monkeypatch.setattr("pytest_migration_state.text.time_ns", lambda: nanoseconds)
    assert utc_now() == expected


def test_the_current_time_is_that_of_the_system() -> None:
    """It lies between two readings of the system's clock."""
    before = datetime.now(UTC).replace(microsecond=0)
    assert before <= parse_time(utc_now()) <= datetime.now(UTC)
