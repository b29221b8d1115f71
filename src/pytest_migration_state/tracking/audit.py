"""The audit log as it is shown: the state's own log, and the lines that may be about another state."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.facts import time_of
from pytest_migration_state.storage.records import no_object_in_words, unassigned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_migration_state.storage.base import StateStore
    from pytest_migration_state.storage.records import Line

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def audit_lines(store: StateStore, warn: Callable[[str], None], last: int | None = None) -> list[Line]:
    """Return the lines that are JSON objects, the oldest first.

    Lines of other programs that may be about another state of the folder are marked, and stand among the
    others by their time.

    :param warn: called with one sentence for each other line that is met.
    :param last: the number of lines, counted from the end; ``None`` or 0: all. The logs are then read from
        their end, as far as is needed.
    """
    if not last:
        return list(heapq.merge(_own_lines(store, warn), store.foreign_lines(), key=_time))
    own = _own_lines(store, warn, backwards=True)
    newest = heapq.merge(store.foreign_lines(backwards=True), own, key=_time, reverse=True)
    return list(islice(newest, last))[::-1]


def _own_lines(store: StateStore, warn: Callable[[str], None], *, backwards: bool = False) -> Iterator[Line]:
    has_neighbours = bool(store.other_documents())
    try:
        for line in store.audit_lines(backwards=backwards):
            if line.content is None:
                if line.raw.strip():
                    warn(f"{store.log_address}: line {line.number}: {_damage_of(line)}")
            elif line.hash is None and has_neighbours:
                yield unassigned(line, store.log_name)
            else:
                yield line
    except FileNotFoundError:
        warn(f"{store.log_address}: there is no audit log")


def _damage_of(line: Line) -> str:
    return line.damage or no_object_in_words(line.raw)


def _time(line: Line) -> datetime:
    return time_of((line.content or {}).get("timestamp")) or _NEVER
