"""Containers and processes recorded by other programs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_migration_state.domain.beside.identity import identity, meaning
from pytest_migration_state.domain.beside.past import Said
from pytest_migration_state.domain.facts import item_in_words, normalize_dates, time_of
from pytest_migration_state.domain.schema import APPENDED

if TYPE_CHECKING:
    from collections.abc import Hashable

    from pytest_migration_state.domain.beside.case import Case
    from pytest_migration_state.domain.beside.change import Change
    from pytest_migration_state.types import JsonObject


def add_items(case: Case, change: Change) -> None:
    """Add the containers and processes that the document holds, or that only a line tells of."""
    for name in APPENDED:
        _List(case, name).add_to(change)


class _List:
    """One list of the document."""

    def __init__(self, case: Case, name: str) -> None:
        self._case = case
        self._name = name
        self._shape = APPENDED[name]
        self._known = {self._key(item): item for item in case.state.fields[name]}

    def _key(self, item: JsonObject) -> Hashable:
        """Return what makes an item the same one: its name, id and time."""
        return tuple(meaning(item.get(key)) for key in self._shape.types)

    def _words(self, item: JsonObject) -> str:
        return normalize_dates(item_in_words(self._name, item))

    def add_to(self, change: Change) -> None:
        added = self._from_document(change)
        for item in added:
            change.add_item(self._name, item)
        for said in self._told_by_lines(added):
            item = {**said.value, self._shape.time: said.timestamp}
            change.add_item(self._name, item, from_line=True)

    def _from_document(self, change: Change) -> list[JsonObject]:
        case = self._case
        if case.found is None:
            return []
        known_by_line = [
            item
            for entry in case.entries
            for item in entry.data.get("from_lines", ())
            if item in entry.data.get(self._name, ())
        ]
        added: dict[Hashable, JsonObject] = {}
        for item in case.found.fields[self._name]:
            known = self._known.get(self._key(item))
            if known is not None:
                if identity(item) != identity(known) and self._is_newly_annotated(item):
                    pair = {"list": self._name, "before": known, "after": item}
                    change.add_item("changed_items", pair)
            elif same := self._same_by_line(item, known_by_line):
                known_by_line.remove(same)
            else:
                added[self._key(item)] = item
        return list(added.values())

    def _is_newly_annotated(self, item: JsonObject) -> bool:
        """Return True if the document has keys of an item that the base has not."""
        assert self._case.base is not None
        return all(identity(item) != identity(before) for before in self._case.base.fields[self._name])

    def _same_by_line(self, item: JsonObject, known_by_line: list[JsonObject]) -> JsonObject | None:
        """Return the item known from its line alone that is this one."""
        time = time_of(item.get(self._shape.time))
        for other in known_by_line:
            written = time_of(other.get(self._shape.time))
            if self._words(other) == self._words(item) and time and written and time <= written:
                return other
        return None

    def _told_by_lines(self, added: list[JsonObject]) -> list[Said]:
        """Return the lines about an item that no document held."""
        case = self._case
        on_record = Counter(map(self._words, added))
        lines: Counter[str] = Counter()
        for item in case.past or case.tail:
            if isinstance(item, Said):
                lines[item.about[1] if item.kind == "item" and item.about[0] == self._name else ""] += 1
            elif item.is_external:
                on_record.update(map(self._words, item.data.get(self._name, ())))
                adopted = item.data.get("adopted", {}).get(self._name, ())
                on_record.update(
                    self._words(one) for one in adopted if case.is_line_owed(item, self._name, one)
                )
        told: list[Said] = []
        for words in dict.fromkeys(said.about[1] for said in case.tail if said.about[:1] == (self._name,)):
            mine = [said for said in case.tail if said.about == (self._name, words)]
            surplus = max(0, lines[words] - on_record[words])
            told += mine[max(0, len(mine) - surplus) :]
        return told
