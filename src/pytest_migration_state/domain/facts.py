"""The values in a document, by slot and by words, so that they can be compared with what the log says."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_migration_state.domain.events import describe
from pytest_migration_state.domain.schema import APPENDED
from pytest_migration_state.text import parse_time

if TYPE_CHECKING:
    from datetime import datetime

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject, Key

#: A place for one value: its kind, and the names that distinguish it from others of its kind.
Slot = tuple[str, ...]

#: Sentinel: the document has no value for this slot.
ABSENT: Final[Any] = object()
PHASE: Final = ("phase",)
ROLLBACK: Final = ("rollback_available",)
ERROR: Final = ("error",)
COMPLETED_AT: Final = ("completed_at",)
STARTED_AT: Final = ("started_at",)
MIGRATION: Final = ("migration_id",)


class DocumentFacts(NamedTuple):
    """The values in a document, by slot and by words."""

    slots: dict[Slot, Any]
    items: dict[Slot, list[JsonObject]]

    @classmethod
    def of(cls, document: Document) -> DocumentFacts:
        """Return the values in ``document``."""
        fields = document.fields
        slots: dict[Slot, Any] = {
            PHASE: fields["phase"],
            ROLLBACK: document.rollback_available,
            ERROR: fields["error"],
            COMPLETED_AT: fields["completed_at"],
            STARTED_AT: fields["started_at"],
            MIGRATION: document.migration_id,
        }
        slots.update((("data", normalize_dates(key)), path) for key, path in fields["data_preserved"].items())
        slots.update((slot_of("verdict", key), verdict) for key, verdict in document.verdicts.items())
        slots.update((slot_of("outstanding", key), entry) for key, entry in document.outstanding.items())
        items: dict[Slot, list[JsonObject]] = {}
        for kind in APPENDED:
            for item in fields[kind]:
                items.setdefault((kind, normalize_dates(item_in_words(kind, item))), []).append(item)
        return cls(slots, items)


def item_in_words(kind: str, item: JsonObject) -> str:
    """Return an item of a list in the words of the line about it."""
    shape = APPENDED[kind]
    return describe(shape.action, *(item.get(key) for key in shape.worded))


_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?")


def normalize_dates(text: str) -> str:
    """Return ``text`` with its dates in one format.

    PowerShell 7 converts a string that looks like a date, and writes it back in another format.
    """
    return _DATE_TIME.sub(lambda found: _normalized(found[0]), text)


def _normalized(text: str) -> str:
    time = time_of(text)
    try:
        return time.astimezone(UTC).isoformat() if time else text
    except OverflowError:
        # The first and the last representable day cannot be converted to another time zone.
        return text


def time_of(text: object) -> datetime | None:
    """Return the time that ``text`` names, or ``None``."""
    try:
        return parse_time(text) if isinstance(text, str) else None
    except ValueError:
        return None


def is_later(verdict: JsonObject, process: JsonObject) -> bool:
    """Return True if the times say that a verdict came after the start of a process."""
    tested, started = time_of(verdict.get("tested_at")), time_of(process.get("started_at"))
    return tested is not None and started is not None and tested > started


def slot_of(kind: str, key: Key) -> Slot:
    """Return the slot of a validation.

    :param kind: ``verdict`` or ``outstanding``.
    """
    return (kind, normalize_dates(key[0]), normalize_dates(key[1]))
