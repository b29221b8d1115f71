"""The order of what journals hold and what the log got meanwhile, where nobody wrote it down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.overtaken import names_shut
from pytest_migration_state.types import key_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.files.audit_log import AuditLogFile
    from pytest_migration_state.storage.journal_records import Record, Selection
    from pytest_migration_state.types import JsonObject, Key

#: The lists of an entry's data that name validations.
_ABOUT: Final = ("validation_results", "outstanding_validations")


class Later(NamedTuple):
    """An entry of the log, or an event, that may have come later than a record.

    :ivar end: where it ends in the log; 0 for an event that is not there.
    """

    end: int
    run_id: str | None
    data: JsonObject


class Shutting:
    """Entries, or events, by what they may shut the gate for: only a few of many concern a verdict."""

    def __init__(self) -> None:
        self._by_name: dict[Key | str | None, list[Later]] = {}

    def add(self, later: Later) -> None:
        """Add an entry, or an event."""
        for name in names_shut(later.data):
            self._by_name.setdefault(name, []).append(later)

    def about(self, event: Event) -> Iterator[Later]:
        """Yield what may shut the gate for the verdicts of an event."""
        for verdict in event.data.get("validation_results", ()) if self._by_name else ():
            for name in (key_of(verdict), verdict["component"], None):
                yield from self._by_name.get(name, ())


def contrary(by_run: Mapping[str, Selection]) -> Shutting | None:
    """Return the events that may shut the gate, if they are those of several runs.

    Nobody can say which came first: what shuts the gate counts.
    """
    if len(by_run) < 2:
        return None
    found = Shutting()
    for run_id, chosen in by_run.items():
        for record in chosen.records:
            found.add(Later(0, run_id, record.event.data))
    return found


class Since:
    """What the log got after records were written.

    :param log: the log, at its end.
    """

    def __init__(self, log: AuditLogFile, records: list[Record]) -> None:
        # With what stands behind the position and is no entry, or stood there: a torn line.
        self._end = max(log.size(), log.torn_to) if log.is_open else -1
        self._entries: list[Later] = []
        self._shutting = Shutting()
        self._by_key: dict[Key, list[Later]] = {}
        oldest = min((record.log_size for record in records if record.log_size >= 0), default=self._end)
        if oldest < log.offset <= self._end:
            self._entries = [Later(*entry) for entry in log.entries_from(oldest)]
            if not log.begins_line(oldest):
                # The end of the log was repaired meanwhile.
                self.know_nothing()
        for entry in self._entries:
            self._shutting.add(entry)
            for key in _keys(entry.data):
                self._by_key.setdefault(key, []).append(entry)

    def know_nothing(self) -> None:
        """Note that the log does not tell all that came after records."""
        self._end = -1

    def is_nothing_after(self, record: Record) -> bool:
        """Return True if the log got nothing after a record: nearly always."""
        return not self._entries and 0 <= record.log_size <= self._end

    def is_log_unknown(self, record: Record) -> bool:
        """Return True if the log cannot be read, or is not the one that the record's writer saw."""
        return not 0 <= record.log_size <= self._end

    def is_there(self, record: Record, run_id: str) -> bool:
        """Return True if the log got the event of a record behind it, as an entry of its run."""
        data = record.event.data
        return any(
            end > record.log_size and other == run_id and _is_same(found, data)
            for key in _keys(data)
            for end, other, found in self._by_key.get(key, ())
        )

    def data_of_others(self, record: Record, run_id: str) -> Iterator[JsonObject]:
        """Yield the data of entries of others that the log got after a record and that concern it."""
        for end, other, data in self._shutting.about(record.event):
            if end > record.log_size and not (other == run_id and _is_of_journal(data, run_id)):
                yield data


def _keys(data: JsonObject) -> list[Key]:
    """Return the validations that an entry is about."""
    return [key_of(one) for name in _ABOUT for one in data.get(name, ())]


def _is_of_journal(data: JsonObject, run_id: str) -> bool:
    """Return True if an entry of a run can come from its journal, and not from its tests themselves."""
    results = data.get("validation_results", ())
    return "native_processes_started" not in data and all(one.get("run_id") == run_id for one in results)


def _is_same(one: JsonObject, other: JsonObject) -> bool:
    """Return True if two entries record the same."""
    return all(one.get(name) == other.get(name) for name in _ABOUT)
