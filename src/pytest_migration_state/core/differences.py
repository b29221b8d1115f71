"""The document beside the account of the log: what it lacks, and what it holds that no line tells of."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.core.account import (
    ABSENT,
    ANYTHING,
    COMPLETED_AT,
    ERROR,
    LISTS,
    MIGRATION,
    PHASE,
    ROLLBACK,
    STARTED_AT,
    is_beginning,
    moment,
    plain,
)
from pytest_migration_state.core.chain import Problem
from pytest_migration_state.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.core.account import Account, Claim, Holdings, Slot
    from pytest_migration_state.core.document import JsonObject

#: Slots that every document has: what stands in them need not be told by any line.
_SINGLE: Final = frozenset({PHASE, ROLLBACK, ERROR, COMPLETED_AT, STARTED_AT, MIGRATION})
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
_BY_WHOM: Final = ": it was edited by hand, or by a program that writes no log or could not write its line"


def differences(account: Account, held: Holdings, others: list[Holdings]) -> Iterator[Problem]:
    """Where the document does not hold what the log tells, or holds more.

    :param others: what other states hold whose lines may stand in the same log.
    """
    account.leave_out_earlier()
    slots = dict(held.slots)
    for slot, claims in account.claims.items():
        yield from _compare(slot, claims, slots.pop(slot, ABSENT), others)
    if account.is_whole:
        for slot, value in slots.items():
            if slot not in _SINGLE:
                yield Problem("unexplained", None, f"the document says that {_says(slot, value)}, and no line tells of it{_BY_WHOM}")
    items = dict(held.items)
    for slot, claims in account.items.items():
        yield from _compare_items(slot, claims, items.pop(slot, []), others, is_whole=account.is_whole)
    if account.is_whole:
        for slot, surplus in items.items():
            yield from (_unexplained_item(slot) for _ in surplus)
    for claim in account.later_beginnings:
        if not any(is_beginning(claim.time, other.slots[STARTED_AT]) for other in others):
            message = f"another program began a migration here, but the document is of the one that began in line {account.begun_at}"
            yield Problem("effect_missing", claim.line, f"line {claim.line}: {message}; it was put back")


def _compare(slot: Slot, claims: list[Claim], actual: Any, others: list[Holdings]) -> Iterator[Problem]:
    if _agrees(slot, claims[-1], actual):
        return
    binding = [claim for claim in claims if claim.binds and not (others and not claim.ours and _may_be_of(others, slot))]
    if not binding:
        return
    last = binding[-1]
    # Two writers at once may leave their lines in one order and their changes in the other.
    newest = max(binding, key=lambda claim: (moment(claim.time) or _NEVER, claim.line))
    optional = [claim for claim in claims if claim not in binding and (claim.line == 0 or claim.line > last.line)]
    if any(_agrees(slot, claim, actual) for claim in (last, newest, *optional)):
        return
    told, held = _says(slot, last.value), _says(slot, actual)
    if actual is ABSENT or any(_agrees(slot, claim, actual) for claim in binding):
        yield _missing(last, f"{told}, but the document says that {held}")
    else:
        message = f"the document says that {held}, but line {last.line}, the last about it, says that {told}{_BY_WHOM}"
        yield Problem("unexplained", last.line, message)


def _same(expected: object, actual: object) -> bool:
    """The same, for a reader? Other tools write an empty text for none, and times in their own way."""
    if isinstance(expected, str) and isinstance(actual, str):
        return expected == actual or plain(expected) == plain(actual)
    return (expected or None) == (actual or None)


#: What of one of our claims the document must hold just so.
_COMPARED: Final = {
    "verdict": ("passed", "outcome", "error_message", "tested_at"),
    "outstanding": ("reason", "since"),
    "error": ("message", "occurred_at"),
}


def _agrees(slot: Slot, claim: Claim, actual: Any) -> bool:
    expected = claim.value
    if expected is ABSENT or actual is ABSENT:
        return expected is actual
    if expected is ANYTHING:
        return True
    if expected is None or actual is None or slot[0] not in _COMPARED:
        return _same(expected, actual)
    fields = _COMPARED[slot[0]] if claim.ours else _COMPARED[slot[0]][:1]
    return all(_same(expected.get(field), actual.get(field)) for field in fields)


def _may_be_of(others: list[Holdings], slot: Slot) -> bool:
    """May a line of another program about ``slot`` be about one of the other states?"""
    return any(slot in _SINGLE or slot in other.slots or slot in other.items for other in others)


def _compare_items(
    slot: Slot, claims: list[Claim], items: list[JsonObject], others: list[Holdings], *, is_whole: bool
) -> Iterator[Problem]:
    """Pair the lines with the items that they tell of; what is left over on either side is reported."""
    by_time: dict[datetime, list[JsonObject]] = {}
    for item in items:
        by_time.setdefault(_item_time(slot, item), []).append(item)
    unpaired = []
    for claim in claims:
        at = by_time.get(_item_time(slot, claim.value), []) if claim.ours else []
        if found := [item for item in at if _same_item(claim.value, item)]:
            at.remove(found[0])
        else:
            unpaired.append(claim)
    # An item is in the document before its line is in the log: the newest one before the line is the line's.
    left = [(time, item) for time in sorted(by_time) for item in by_time[time]]
    rest = []
    for claim in unpaired:
        told = moment(claim.time) or _END_OF_TIME
        if not claim.ours and (newest := bisect_right(left, told, key=itemgetter(0))):
            del left[newest - 1]
        else:
            rest.append(claim)
    # The others by their number alone: clocks are set back, and times are edited.
    for claim in rest:
        if left:
            left.pop()
            if claim.ours:
                message = f"the document tells another time or number of it than this line ({_shown(slot[1])}){_BY_WHOM}"
                yield Problem("unexplained", claim.line, f"line {claim.line}: {message}")
        elif claim.binds and (claim.ours or not _may_be_of(others, slot)):
            yield _missing(claim, f"{_shown(slot[1])}, but the document does not hold it")
    if is_whole:
        yield from (_unexplained_item(slot) for _ in left)


def _same_item(told: JsonObject, item: JsonObject) -> bool:
    return all(_same(value, item.get(key)) for key, value in told.items())


def _item_time(slot: Slot, item: JsonObject) -> datetime:
    return moment(item.get(LISTS[slot[0]])) or _NEVER


def _missing(claim: Claim, message: str) -> Problem:
    if claim.ours:
        return Problem("effect_missing", claim.line, f"line {claim.line}: {message}: it was edited by hand, or an older one was put back")
    lost = "the change was lost when an older document was put back, or undone by hand; make it again if it still holds"
    return Problem("effect_missing", claim.line, f"line {claim.line}, of another program: {message}: {lost}")


def _unexplained_item(slot: Slot) -> Problem:
    return Problem("unexplained", None, f'the document holds "{_shown(slot[1])}", and no line tells of it{_BY_WHOM}')


def _says(slot: Slot, value: Any) -> str:
    """What a value in a slot means, as a part of a sentence."""
    kind = slot[0]
    if kind in _SAYS:
        return _SAYS[kind][value is None or value is False].format(_shown(value))
    if kind == "error":
        return f"the error is '{_shown(value.get('message'))}'" if value else "there is no error"
    if kind == "data":
        name = f"data '{_shown(slot[1])}'"
        return f"there is no {name}" if value is ABSENT else f"{name} is preserved at '{_shown(value)}'"
    name = f"'{_shown(slot[2])}' of '{_shown(slot[1])}'"
    if kind == "outstanding":
        return f"{name} is not outstanding" if value is ABSENT else f"{name} is outstanding ({value['reason']} since {value.get('since')})"
    return f"{name} has no verdict" if value is ABSENT else f"{name} {_verdict(value)}"


#: What a document says where it has a value, and where it has none or "false".
_SAYS: Final = {
    "phase": ("the phase is {}", "there is no phase"),
    "rollback_available": ("rollback is available", "rollback is unavailable"),
    "completed_at": ("the migration ended at {}", "the migration has not ended"),
    "started_at": ("the migration began at {}", "the migration has no beginning"),
}


def _verdict(value: JsonObject) -> str:
    why = f" ({_shown(value['error_message'])})" if value.get("error_message") else ""
    at = f" at {value['tested_at']}" if value.get("tested_at") else ""
    return f"{'passed' if value['passed'] else 'failed'}{why}{at}"


def _shown(text: object) -> str:
    shown = printable(str(text))
    return shown if len(shown) <= 200 else f"{shown[:200]}…"
