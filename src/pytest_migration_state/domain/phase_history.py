"""The phases that a migration has passed through, as its log tells them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.events import WORDING
from pytest_migration_state.domain.facts import time_of
from pytest_migration_state.domain.phases import PHASES, Phase
from pytest_migration_state.types import as_object

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from pytest_migration_state.types import JsonObject

#: The actions of the entries that can change the phase.
ACTIONS: Final = ("Initialize", "PhaseTransition", "ExternalChange")
_TRANSITION: Final = re.compile(re.escape(WORDING["PhaseTransition"]).replace(r"\{\}", "(.*?)"))


class Stay(NamedTuple):
    """A time that a migration spent in one phase.

    :ivar since: when it began; ``None`` if the log does not say so.
    :ivar until: when it ended; ``None`` for the current phase.
    :ivar forced: why its transition was forced (empty: no reason was given); ``None`` if it was not.
    """

    phase: Phase
    since: datetime | None
    until: datetime | None = None
    forced: str | None = None


def stays(entries: Iterable[JsonObject], current: Phase, started_at: object) -> list[Stay]:
    """Return the times in each phase, the oldest first.

    :param entries: the entries of the log with one of :data:`ACTIONS`, the oldest first. Older ones may be
        missing.
    :param current: the phase of the document. If the log ends with another, nothing is known of it.
    :param started_at: when the migration began, as the document holds it.
    """
    found: list[Stay] = []
    for entry in entries:
        data = as_object(entry.get("data"))
        is_ours = "hash" in entry
        if entry.get("action") == "Initialize" and (not is_ours or "initialize" in data):
            found = []
            continue
        if is_ours and "phase" not in data:
            # Somebody's own entry, which changes nothing.
            continue
        phase = _phase_after(entry)
        if phase is None or (found and found[-1].phase is phase):
            continue
        before = _phase_before(entry)
        if not data and found and before is not found[-1].phase:
            # A late line of another program, which the state refused.
            continue
        at = time_of(entry.get("timestamp"))
        if not found and before:
            began = time_of(started_at) if before is Phase.NOT_STARTED else None
            found.append(Stay(before, began))
        if found:
            found[-1] = found[-1]._replace(until=at)
        found.append(Stay(phase, at, forced=_why_forced(entry)))
    if not found and current is Phase.NOT_STARTED:
        return [Stay(current, time_of(started_at))]
    if not found or found[-1].phase is not current:
        found.append(Stay(current, None))
    return found


def _phase_after(entry: JsonObject) -> Phase | None:
    data = as_object(entry.get("data"))
    named = data.get("phase") or _named_in(entry)[1]
    return Phase(named) if named in PHASES else None


def _phase_before(entry: JsonObject) -> Phase | None:
    named = _named_in(entry)[0]
    return Phase(named) if named in PHASES else None


def _named_in(entry: JsonObject) -> tuple[object, object]:
    """Return the phases that the details of a transition name."""
    details = entry.get("details")
    match = _TRANSITION.match(details) if isinstance(details, str) else None
    return (match[1], match[2]) if match else (None, None)


def _why_forced(entry: JsonObject) -> str | None:
    """Return why a transition was forced; ``None`` if it was not."""
    _, mark, reason = str(entry.get("details")).partition(" (forced: ")
    if entry.get("level") != "WARNING" or not mark:
        return None
    return reason.removesuffix(")")
