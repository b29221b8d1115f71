"""Whether the migration can be rolled back, as other programs set it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_migration_state.domain.beside.change import LINE_ALONE, NOT_KNOWN
from pytest_migration_state.domain.beside.past import Entry

if TYPE_CHECKING:
    from pytest_migration_state.domain.beside.case import Case
    from pytest_migration_state.domain.beside.change import Change
    from pytest_migration_state.types import JsonObject

_KEY = "rollback_available"


def add_rollback(case: Case, change: Change) -> None:
    """Add what other programs said about whether the migration can be rolled back."""
    past = _Past(case)
    lines = [said.value for said in case.tail if said.kind == "rollback"]
    if not case.past:
        past.lines.update(lines)
    new = _new_value(case, past)
    if new is not None:
        past.known[new] += 1
    told = {value for value in lines if past.lines[value] > past.known[value]}
    available = case.state.rollback_available
    if new is False or False in told:
        available = False
    elif new and past.shut <= case.knows:
        available = True
    if available != case.state.rollback_available:
        change.data[_KEY] = available
    if not available and (new or True in told):
        change.refuse(_KEY, value=True, why=NOT_KNOWN if new else LINE_ALONE)


def _new_value(case: Case, past: _Past) -> bool | None:
    """Return the value in the document if another program set it, and it is not on record."""
    if case.found is None or case.base is None:
        return None
    found = case.found.rollback_available
    is_new = found != case.base.rollback_available and found not in past.after_base
    return found if is_new else None


class _Past:
    """What is on record of the flag.

    :ivar shut: the last entry that made rollback unavailable.
    :ivar known: how often other programs set each value since our last entry about it, on record.
    :ivar lines: the number of their lines about each value since then.
    :ivar after_base: the values that entries after the base set or refused.
    """

    def __init__(self, case: Case) -> None:
        self.shut = 0
        self.known: Counter[bool] = Counter()
        self.lines: Counter[bool] = Counter()
        self.after_base: set[bool] = set()
        for item in case.past:
            if isinstance(item, Entry):
                self._add(item, is_after_base=item.seq > case.base_seq)
            elif item.kind == "rollback":
                self.lines[item.value] += 1

    def _add(self, entry: Entry, *, is_after_base: bool) -> None:
        values = _values_in(entry.data)
        if False in values:
            self.shut = entry.seq
        if entry.is_external:
            values += [value for refused in entry.data.get("refused", ()) for value in _values_in(refused)]
            self.known.update(values)
            if is_after_base:
                self.after_base.update(values)
        elif values:
            self.known.clear()
            self.lines.clear()


def _values_in(data: JsonObject) -> list[bool]:
    return [data[_KEY]] if _KEY in data else []
