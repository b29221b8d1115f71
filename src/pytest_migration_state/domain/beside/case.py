"""What the rules decide on: the log, the state that our entries tell, and the document with its base."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_migration_state.domain.beside.past import entries_of, said_in, same_name
from pytest_migration_state.domain.facts import item_in_words, normalize_dates, time_of
from pytest_migration_state.domain.schema import APPENDED
from pytest_migration_state.types import key_of

if TYPE_CHECKING:
    from pytest_migration_state.domain.beside.past import Entry, Logged, Said
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject

#: The key of a verdict's time, as in the lists of items.
_TIME_OF = {"verdict": "tested_at", **{name: shape.time for name, shape in APPENDED.items()}}


class Stray(NamedTuple):
    """A late document of a migration that was replaced.

    :ivar before: what its writer had before it.
    """

    document: Document
    before: Document


@dataclass(slots=True)
class Case:
    """What the rules decide on.

    :ivar everything: the log.
    :ivar past: the part of it since the migration began; empty if other programs begin it just now.
    :ivar tail: the lines of other programs behind our last entry.
    :ivar state: what our entries tell.
    :ivar found: the document, if it is one of this migration and differs from what we wrote.
    :ivar base: what our entries up to the one that the document names tell.
    :ivar base_seq: the number of that entry; of the migration's beginning if it names none.
    :ivar knows: the last entry that the document's writer knew; -1 if it knew none.
    :ivar stray: a document of a migration that was replaced.
    :ivar holds_unlogged: whether the document holds changes of ours that the log could not take.
    :ivar not_compared: metadata of ours that cannot be compared.
    """

    everything: list[Logged]
    past: list[Logged]
    tail: list[Said]
    state: Document
    found: Document | None = None
    base: Document | None = None
    base_seq: int = 0
    knows: int = -1
    stray: Stray | None = None
    holds_unlogged: bool = False
    not_compared: frozenset[str] = frozenset()
    entries: list[Entry] = field(init=False)
    _owed: dict[int, list[tuple[str, JsonObject]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entries = list(entries_of(self.past))

    def is_line_owed(self, adoption: Entry, kind: str, item: JsonObject) -> bool:
        """Return True if the line about an item was still to come when its document was taken over.

        :param kind: ``verdict``, or the name of a list.
        """
        if adoption.seq not in self._owed:
            before = self.everything[: self.everything.index(adoption)]
            self._owed[adoption.seq] = without_lines(adoption.data["adopted"], list(said_in(before)))
        return any(kind == other and item is owed for other, owed in self._owed[adoption.seq])


def without_lines(content: JsonObject, lines: list[Said]) -> list[tuple[str, JsonObject]]:
    """Return the verdicts and items of a document whose lines are not among ``lines``.

    Each line that explains one is removed from ``lines``.
    """
    missing = []
    for kind, item in told(content):
        time = time_of(item.get(_TIME_OF[kind]))
        if line := next((line for line in lines if _explains(line, kind, item, time)), None):
            lines.remove(line)
        else:
            missing.append((kind, item))
    return missing


def told(content: JsonObject) -> list[tuple[str, JsonObject]]:
    """Return everything in a document about which other programs write a line of its own."""
    verdicts = [("verdict", verdict) for verdict in content["validation_results"]]
    return verdicts + [(name, item) for name in APPENDED for item in content[name]]


def _explains(line: Said, kind: str, item: JsonObject, time: Any) -> bool:
    if time is None or line.time is None or line.time < time:
        return False
    if kind == "verdict":
        names = same_name(key_of(item))
        return (
            line.kind == kind
            and same_name((line.about[0], line.about[1])) == names
            and (line.value == item["passed"])
        )
    return line.kind == "item" and line.about == (kind, normalize_dates(item_in_words(kind, item)))
