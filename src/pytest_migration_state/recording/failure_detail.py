"""The detail of a failed verdict: why the test failed, for a reader who does not have the run's output."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pytest_migration_state.redaction import redact
from pytest_migration_state.text import end_of, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

#: The longest detail that is stored, in bytes of UTF-8.
LIMIT: Final = 4096
_MARK: Final = "[…]"
#: A smaller part of a section says nothing, in bytes.
_LEAST: Final = 64
#: How much of the end of a longer text is looked at, in characters: with control characters, and without.
_LOOK, _PLAIN_LOOK = 1 << 20, 1 << 17
#: How much of that is left out again, since a secret may begin before it.
_MARGIN: Final = 1 << 16
#: What follows the beginning of a title or a link, and of a colour or a movement.
_TEXT, _PARAMETERS = r"[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?", "[0-?]*[ -/]*[@-~]?"
#: A control character, with all of a sequence for a terminal that it begins.
_CONTROL: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    rf"(?:(?<=\x1b)(?:[]PX^_]{_TEXT}|\[{_PARAMETERS}|[ -/]*[0-~])"
    rf"|(?<=[\x90\x98\x9d-\x9f]){_TEXT}|(?<=\x9b){_PARAMETERS}|(?<=\r)\n)?"
)


def failure_detail(report: pytest.TestReport) -> str | None:
    """Return the end of a report's traceback and captured output; ``None`` if the report has no text.

    A report of any plugin is accepted. What cannot be read of it is left out.
    """
    traceback, sections = "", []
    with suppress(Exception):
        traceback = _prepared(report.longrepr)
    with suppress(Exception):
        named = [(first_line(_prepared(name)), _prepared(content)) for name, content in report.sections]
        sections = [section for section in named if section[1]]
    return _fitted(traceback, sections) or None


def readable(value: object) -> str:
    """Return a value of a report, of any type, as text; an empty one if it cannot be read."""
    if isinstance(value, tuple):
        return "\n".join(map(readable, value))
    try:
        return "" if value is None else str(value)
    except Exception:  # noqa: BLE001  # an object whose text cannot be read must not cost the verdict
        return ""


def _prepared(value: object) -> str:
    """Return a value of a report as text without secrets and control characters; of a long one, the end.

    Control characters are removed first: a colour may split a secret.
    """
    text = readable(value)
    plain = _CONTROL.sub(_line_end, text[-_LOOK:])
    end = redact(plain[-_PLAIN_LOOK:])
    if len(text) > _LOOK or len(plain) > _PLAIN_LOOK:
        end = f"{_MARK}\n{end[_MARGIN:]}"
    end = end.encode("utf-8", "backslashreplace").decode().strip("\n")
    return "" if end.isspace() else end


def _line_end(found: re.Match[str]) -> str:
    """Return a line end in place of a carriage return, and nothing in place of others."""
    return "\n" if found[0].startswith("\r") else ""


def _fitted(traceback: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return traceback and sections within the limit: at least half of it is for the traceback."""
    output = "\n".join(f"{_heading(name)}{content}" for name, content in sections)
    room_for_both = LIMIT - 1 if traceback and output else LIMIT
    traceback = end_of(traceback, max(LIMIT // 2, room_for_both - _size(output)), _MARK)
    room = room_for_both - _size(traceback)
    if _size(output) > room:
        output = _end_of_sections(sections, room)
    return "\n".join(filter(None, [traceback, output]))


def _end_of_sections(sections: Sequence[tuple[str, str]], room: int) -> str:
    """Return the last sections, and the end of the one before them below its heading.

    :param room: the size of the result, in bytes; too small for all of them.
    """
    blocks: list[str] = []
    room -= _size(f"{_MARK}\n")
    for name, content in reversed(sections):
        heading, size = _heading(name), _size(content)
        room -= _size(heading)
        if room < min(size, _LEAST):
            blocks.append(_MARK)
            break
        blocks.append(heading + end_of(content, room, _MARK))
        if room < size:
            break
        room -= size + 1
    return "\n".join(reversed(blocks))


def _heading(name: str) -> str:
    return f"--- {name} ---\n"


def _size(text: str) -> int:
    return len(text.encode())
