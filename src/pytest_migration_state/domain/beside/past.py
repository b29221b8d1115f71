"""The log as the rules see it: entries of this package, and what the lines of other programs say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_migration_state.domain.events import AVAILABILITY, PASSED_OR_FAILED, WORDING, describe
from pytest_migration_state.domain.facts import normalize_dates, time_of
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.schema import APPENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from datetime import datetime

    from pytest_migration_state.types import JsonObject, Key

#: The action of the entry that puts the changes of other programs on record.
EXTERNAL: Final = "ExternalChange"


class Entry(NamedTuple):
    """An entry written by this package."""

    seq: int
    action: str
    timestamp: str
    data: JsonObject

    @property
    def is_external(self) -> bool:
        """True if it puts changes of other programs on record."""
        return self.action == EXTERNAL or "adopted" in self.data


class Line(NamedTuple):
    """A line of another program, decoded.

    :ivar number: its number, from 1; 0 if it is not known.
    """

    content: JsonObject
    number: int = 0


class Said(NamedTuple):
    """What a line of another program says.

    :ivar kind: ``initialize``, ``verdict``, ``phase``, ``rollback``, ``error``, ``item`` or ``data``.
    :ivar about: what it is about: the validation, the list and the words of an item, the key of data.
    :ivar value: the value that it says was set.
    :ivar timestamp: its timestamp, as it is written; ``None`` if that is no time.
    :ivar line: the number of the line, from 1.
    """

    kind: str
    about: tuple[str, ...]
    value: Any
    timestamp: str | None
    line: int

    @property
    def time(self) -> datetime | None:
        """The time of the line."""
        return time_of(self.timestamp)


#: One line of the log.
Logged = Entry | Said


def entries_of(log: list[Logged]) -> Iterator[Entry]:
    """Yield the entries of this package."""
    return (item for item in log if isinstance(item, Entry))


def said_in(log: list[Logged]) -> Iterator[Said]:
    """Yield what the lines of other programs say."""
    return (item for item in log if isinstance(item, Said))


def same_name(key: Key) -> Key:
    """Return the key under which a validation is known whatever PowerShell did to the dates in its name."""
    return normalize_dates(key[0]), normalize_dates(key[1])


# --- what a line says ---------------------------------------------------------------------------------------

_TRANSITION: Final = re.compile(WORDING["PhaseTransition"].format(r"(\w*)", r"(\w+)"))
_ROLLBACK_WORDS: Final = {
    describe("RollbackAvailability", words): value for value, words in AVAILABILITY.items()
}
_LIST_OF: Final = {shape.action: name for name, shape in APPENDED.items()}


def what_it_says(content: JsonObject, line: int, known: Container[Key | str]) -> Said | None:
    """Return what a line of another program says about the state; ``None`` if it says nothing about it.

    :param content: the line, decoded.
    :param known: the validations and keys of data by which quotes in names are told from those around them.
    """
    action, details, timestamp = content.get("action"), content.get("details"), content.get("timestamp")
    if not (isinstance(action, str) and isinstance(details, str)):
        return None
    found = _parsed(action, details, content.get("level"), known)
    if found is None:
        return None
    kind, about, value = found
    # The document could not be read with a text in place of a time.
    return Said(kind, about, value, timestamp if time_of(timestamp) else None, line)


_Parsed = tuple[str, tuple[str, ...], Any]


def _parsed(action: str, details: str, level: object, known: Container[Key | str]) -> _Parsed | None:
    found: _Parsed | None = None
    match action:
        case "Initialize" if details == WORDING["Initialize"]:
            found = "initialize", (), None
        case "Error" if level == "INFO":
            # PowerShell's Set-MigrationError writes level INFO; an operator's own entry changes nothing.
            found = "error", (), details
        case "PhaseTransition" if (words := _TRANSITION.match(details)) and words[2] in tuple(Phase):
            found = "phase", (), (words[1], words[2])
        case "RollbackAvailability" if details in _ROLLBACK_WORDS:
            found = "rollback", (), _ROLLBACK_WORDS[details]
        case "DataPreserved":
            found = _parsed_data(details, known)
        case "ValidationResult":
            found = _parsed_verdict(details, known)
        case _ if action in _LIST_OF and (item := _item(action, details)):
            found = "item", (_LIST_OF[action], normalize_dates(details)), item
    return found


def _parsed_data(details: str, known: Container[Key | str]) -> _Parsed | None:
    start, middle, end = WORDING["DataPreserved"].split("{}")
    pair = _split(details, start, middle, end, lambda key, _: key in known)
    return ("data", (pair[0],), pair[1]) if pair and pair[0] else None


def _parsed_verdict(details: str, known: Container[Key | str]) -> _Parsed | None:
    start, middle, end, _ = WORDING["ValidationResult"].split("{}")
    for passed, word in PASSED_OR_FAILED.items():
        pair = _split(
            details, start, middle, end + word, lambda test, component: same_name((component, test)) in known
        )
        if pair:
            return "verdict", (pair[1], pair[0]), passed
    return None


def _item(action: str, details: str) -> JsonObject | None:
    """Return as much of an item as the words of its line tell; ``None`` if they are other words."""
    name = _LIST_OF[action]
    keys = APPENDED[name].worded
    start, *middle, end = WORDING[action].split("{}")
    if not (details.startswith(start) and details.endswith(end)):
        return None
    named = [details[len(start) : len(details) - len(end)]]
    for separator in middle:
        # An id holds no bracket; a name may.
        named = [*named[:-1], *named[-1].rsplit(separator, 1)]
    return dict(zip(keys, named, strict=True)) if named[0] and len(named) == len(keys) else None


def _split(
    details: str, start: str, middle: str, end: str, is_known: Callable[[str, str], bool]
) -> tuple[str, str] | None:
    """Return the two names in a line's words.

    If quotes in them make the split ambiguous, known names are preferred.
    """
    if not (details.startswith(start) and details.endswith(end)):
        return None
    pieces = details[len(start) : len(details) - len(end)].split(middle)
    choices = [(middle.join(pieces[:cut]), middle.join(pieces[cut:])) for cut in range(1, len(pieces))]
    return next((pair for pair in choices if is_known(*pair)), choices[-1] if choices else None)
