"""When two values are the same although another program wrote one of them in its own way."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.domain.facts import normalize_dates
from pytest_migration_state.json_codec import to_json_bytes

if TYPE_CHECKING:
    from collections.abc import Hashable

    from pytest_migration_state.types import JsonObject

#: An object by what it means.
Identity = frozenset[tuple[str, "Hashable"]]

_normalized = lru_cache(maxsize=4096)(normalize_dates)


def meaning(value: Any) -> Hashable:
    """Return what a value means, whoever wrote it: dates in one notation, "" and empty lists as nothing."""
    if isinstance(value, str):
        return _normalized(value) or None
    if isinstance(value, dict):
        return frozenset((key, meaning(item)) for key, item in value.items() if meaning(item) is not None)
    if isinstance(value, list):
        return tuple(map(meaning, value)) or None
    if value is None or isinstance(value, bool | int | float):
        return value
    return to_json_bytes(value)


#: What this package notes in a verdict when it puts it on record, or later.
_NOTES: Final = frozenset({"stale_since", "overridden"})


def identity(item: JsonObject) -> Identity:
    """Return what an object means, without the notes of this package."""
    meanings = ((key, meaning(value)) for key, value in item.items() if key not in _NOTES)
    return frozenset(pair for pair in meanings if pair[1] is not None)
