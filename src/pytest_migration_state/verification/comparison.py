"""The document compared with the state expected from the log."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.domain import schema
from pytest_migration_state.domain.beside.identity import meaning
from pytest_migration_state.domain.events import PASSED_OR_FAILED
from pytest_migration_state.domain.expected_state import ANYTHING, is_beginning
from pytest_migration_state.domain.facts import (
    ABSENT,
    COMPLETED_AT,
    ERROR,
    MIGRATION,
    PHASE,
    ROLLBACK,
    STARTED_AT,
    normalize_dates,
    time_of,
)
from pytest_migration_state.domain.schema import APPENDED
from pytest_migration_state.text import shortened, to_printable
from pytest_migration_state.verification.report import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.expected_state import Claim, ExpectedState
    from pytest_migration_state.domain.facts import DocumentFacts, Slot
    from pytest_migration_state.types import JsonObject

#: Slots that every document has: their values need no line.
_SINGLE: Final = frozenset({PHASE, ROLLBACK, ERROR, COMPLETED_AT, STARTED_AT, MIGRATION})
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
_CAUSE: Final = ": it was edited by hand, or by a program that writes no log or could not write its line"
#: Fields compared exactly for entries written by this package.
_COMPARED: Final = {
    "verdict": ("passed", "outcome", "error_message", "tested_at"),
    "outstanding": ("reason", "since"),
    "error": ("message", "occurred_at"),
}


def differences(
    expected: ExpectedState, actual: DocumentFacts, neighbours: list[DocumentFacts]
) -> Iterator[Problem]:
    """Yield a problem for each difference between the document and the state expected from the log.

    :param neighbours: the other states whose lines may be in the same log.
    """
    expected.drop_claims_before_start()
    slots = dict(actual.slots)
    for slot, claims in expected.claims.items():
        yield from _compare(slot, claims, slots.pop(slot, ABSENT), neighbours)
    items = dict(actual.items)
    for slot, claims in expected.items.items():
        found = items.pop(slot, [])
        yield from _compare_items(slot, claims, found, neighbours, is_complete=expected.is_complete)
    if expected.is_complete:
        yield from _surplus(slots, items)
    yield from _other_beginnings(expected, neighbours)


def other_differences(expected: Document, actual: Document) -> Iterator[Problem]:
    """Yield a problem for each difference in the metadata, in unknown keys, and in the marks of verdicts."""
    names = [("metadata.", expected.metadata, actual.metadata), ("", _others(expected), _others(actual))]
    for prefix, before, after in names:
        for key in sorted((before.keys() | after.keys()) - {"audit", "unlogged_changes"}):
            if meaning(before.get(key)) != meaning(after.get(key)):
                message = f"'{_shown(prefix + key)}' of the document is not what the log tells"
                yield Problem("unexplained", None, message + _CAUSE)
    yield from _unmarked(expected, actual)


def _unmarked(expected: Document, actual: Document) -> Iterator[Problem]:
    """Yield the verdicts of which a mark or the detail is gone from the document or was changed."""
    for key, verdict in expected.verdicts.items():
        found = actual.verdicts.get(key, {})
        if not _same(verdict.get("tested_at"), found.get("tested_at")):
            continue
        for mark in ("stale_since", "overridden", "detail"):
            if meaning(verdict.get(mark)) != meaning(found.get(mark)):
                message = f"'{mark}' of {_shown(key[1])!r} for {_shown(key[0])!r} is not what the log tells"
                yield Problem("unexplained", None, message + _CAUSE)


def _others(document: Document) -> JsonObject:
    return {key: value for key, value in document.fields.items() if key not in schema.KEYS}


def _surplus(slots: dict[Slot, Any], items: dict[Slot, list[JsonObject]]) -> Iterator[Problem]:
    """Yield what the document holds and no line is about."""
    for slot, value in slots.items():
        if slot not in _SINGLE:
            message = f"the document says that {_says(slot, value)}, and no line explains it"
            yield Problem("unexplained", None, message + _CAUSE)
    for slot, surplus in items.items():
        yield from (_unexplained_item(slot) for _ in surplus)


def _other_beginnings(expected: ExpectedState, neighbours: list[DocumentFacts]) -> Iterator[Problem]:
    """Yield the migrations that other programs began later, here and in none of the neighbours."""
    for claim in expected.later_beginnings:
        if any(is_beginning(claim.time, other.slots[STARTED_AT]) for other in neighbours):
            continue
        message = (
            "another program began a migration here, but the document is that of the one "
            f"that began in line {expected.begun_at}; an older document was put back"
        )
        yield Problem("effect_missing", claim.line, f"line {claim.line}: {message}")


# --- single values ------------------------------------------------------------------------------------------


def _compare(
    slot: Slot, claims: list[Claim], actual: Any, neighbours: list[DocumentFacts]
) -> Iterator[Problem]:
    if _agrees(slot, claims[-1], actual):
        return
    binding = [claim for claim in claims if _is_binding(claim, slot, neighbours)]
    if not binding:
        return
    if not any(_agrees(slot, claim, actual) for claim in _valid_last(claims, binding)):
        yield _disagreement(slot, binding, actual)


def _disagreement(slot: Slot, binding: list[Claim], actual: Any) -> Problem:
    last = binding[-1]
    expected_words, actual_words = _says(slot, last.value), _says(slot, actual)
    if actual is ABSENT or any(_agrees(slot, claim, actual) for claim in binding):
        return _missing(last, f"{expected_words}, but the document says that {actual_words}")
    last_line = f"line {last.line}, the last about it, says that {expected_words}"
    return Problem(
        "unexplained", last.line, f"the document says that {actual_words}, but {last_line}{_CAUSE}"
    )


def _valid_last(claims: list[Claim], binding: list[Claim]) -> list[Claim]:
    """Return the claims of which each may be the last word about a slot.

    Two writers at once may leave their lines in one order and their changes in the other, and a foreign line
    after the last binding one may be about this state or about a neighbour.
    """
    last = binding[-1]
    newest = max(binding, key=lambda claim: (time_of(claim.time) or _NEVER, claim.line))
    optional = [
        claim for claim in claims if claim not in binding and (claim.line == 0 or claim.line > last.line)
    ]
    return [last, newest, *optional]


def _is_binding(claim: Claim, slot: Slot, neighbours: list[DocumentFacts]) -> bool:
    """Return True if the document must hold what a line says. A foreign line may be about a neighbour."""
    return claim.is_binding and (claim.is_entry or not _may_be_of(neighbours, slot))


def _may_be_of(neighbours: list[DocumentFacts], slot: Slot) -> bool:
    return any(slot in _SINGLE or slot in other.slots or slot in other.items for other in neighbours)


def _agrees(slot: Slot, claim: Claim, actual: Any) -> bool:
    expected = claim.value
    if expected is ABSENT or actual is ABSENT:
        return expected is actual
    if expected is ANYTHING:
        return True
    if expected is None or actual is None or slot[0] not in _COMPARED:
        return _same(expected, actual)
    return _agree_in_fields(slot, claim, actual)


def _agree_in_fields(slot: Slot, claim: Claim, actual: JsonObject) -> bool:
    expected, fields = claim.value, _COMPARED[slot[0]]
    if not claim.is_entry:
        fields = fields[:1]
    return all(_same(expected.get(field), actual.get(field)) for field in fields)


def _same(expected: object, actual: object) -> bool:
    """Return True if both mean the same.

    Other tools write an empty string for null, and times in other formats.
    """
    if isinstance(expected, str) and isinstance(actual, str):
        return expected == actual or normalize_dates(expected) == normalize_dates(actual)
    return (expected or None) == (actual or None)


# --- items of lists -----------------------------------------------------------------------------------------


def _compare_items(
    slot: Slot,
    claims: list[Claim],
    items: list[JsonObject],
    neighbours: list[DocumentFacts],
    *,
    is_complete: bool,
) -> Iterator[Problem]:
    """Pair lines with the items that they are about. Yield a problem for each that is left over."""
    unpaired, remaining = _pair_exactly(slot, claims, items)
    for claim in _pair_by_time(unpaired, remaining):
        # Pair the others by their number alone: clocks are set back, and times are edited.
        if remaining:
            remaining.pop()
            if claim.is_entry:
                message = f"the document has another time or number for it than this line ({_shown(slot[1])})"
                yield Problem("unexplained", claim.line, f"line {claim.line}: {message}{_CAUSE}")
        elif _is_binding(claim, slot, neighbours):
            yield _missing(claim, f"{_shown(slot[1])}, but the document does not hold it")
    if is_complete:
        yield from (_unexplained_item(slot) for _ in remaining)


def _pair_exactly(
    slot: Slot, claims: list[Claim], items: list[JsonObject]
) -> tuple[list[Claim], list[tuple[datetime, JsonObject]]]:
    """Return the claims and the items, by time, that are left without those that fit each other exactly."""
    by_time: dict[datetime, list[JsonObject]] = {}
    for item in items:
        by_time.setdefault(_item_time(slot, item), []).append(item)
    unpaired = [claim for claim in claims if not _take_exact(slot, claim, by_time)]
    return unpaired, [(time, item) for time in sorted(by_time) for item in by_time[time]]


def _take_exact(slot: Slot, claim: Claim, by_time: dict[datetime, list[JsonObject]]) -> bool:
    """Remove the item that an entry describes exactly. Return True if there was one."""
    if not claim.is_entry:
        return False
    at = by_time.get(_item_time(slot, claim.value), [])
    for item in at:
        if all(_same(value, item.get(key)) for key, value in claim.value.items()):
            at.remove(item)
            return True
    return False


def _pair_by_time(claims: list[Claim], items: list[tuple[datetime, JsonObject]]) -> list[Claim]:
    """Remove the item of each foreign line, and return the claims that are left.

    Other programs write an item to the document before its line to the log. So the newest item before a line
    belongs to that line.
    """
    left = []
    for claim in claims:
        written = time_of(claim.time) or _END_OF_TIME
        newest = bisect_right(items, written, key=itemgetter(0))
        if not claim.is_entry and newest:
            del items[newest - 1]
        else:
            left.append(claim)
    return left


def _item_time(slot: Slot, item: JsonObject) -> datetime:
    return time_of(item.get(APPENDED[slot[0]].time)) or _NEVER


# --- in words -----------------------------------------------------------------------------------------------

#: The sentence for a value, and the one for no value or "false".
_SENTENCES: Final = {
    "phase": ("the phase is {}", "there is no phase"),
    "rollback_available": ("rollback is available", "rollback is unavailable"),
    "completed_at": ("the migration ended at {}", "the migration has not ended"),
    "started_at": ("the migration began at {}", "the migration has no beginning"),
}


def _missing(claim: Claim, message: str) -> Problem:
    if claim.is_entry:
        where = f"line {claim.line}"
        cause = "it was edited by hand, or an older one was put back"
    else:
        where = f"line {claim.line}, of another program"
        cause = (
            "an older document was put back, or it was undone by hand; what shuts the gate or adds an item "
            "counts from its line alone; repeat any other change if it still holds"
        )
    return Problem("effect_missing", claim.line, f"{where}: {message}: {cause}")


def _unexplained_item(slot: Slot) -> Problem:
    return Problem(
        "unexplained", None, f'the document holds "{_shown(slot[1])}", and no line explains it{_CAUSE}'
    )


def _says(slot: Slot, value: Any) -> str:
    """Return the meaning of a value in a slot, as a part of a sentence."""
    kind = slot[0]
    if kind in _SENTENCES:
        return _SENTENCES[kind][value is None or value is False].format(_shown(value))
    if kind == "error":
        return f"the error is '{_shown(value.get('message'))}'" if value else "there is no error"
    if kind == "data":
        name = f"data '{_shown(slot[1])}'"
        return f"there is no {name}" if value is ABSENT else f"{name} is preserved at '{_shown(value)}'"
    return f"'{_shown(slot[2])}' of '{_shown(slot[1])}' {_validation_in_words(kind, value)}"


def _validation_in_words(kind: str, value: Any) -> str:
    if kind == "outstanding":
        if value is ABSENT:
            return "is not outstanding"
        return f"is outstanding ({value['reason']} since {value.get('since')})"
    return "has no verdict" if value is ABSENT else _verdict_in_words(value)


def _verdict_in_words(verdict: JsonObject) -> str:
    words = PASSED_OR_FAILED[verdict["passed"]].lower()
    if verdict.get("error_message"):
        words += f" ({_shown(verdict['error_message'])})"
    if verdict.get("tested_at"):
        words += f" at {verdict['tested_at']}"
    return words


def _shown(text: object) -> str:
    return shortened(to_printable(str(text)), 200)
