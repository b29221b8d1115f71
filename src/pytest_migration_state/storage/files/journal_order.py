"""The order of what journals hold and what the log got meanwhile, where nobody wrote it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_migration_state.domain.overtaken import may_shut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_migration_state.storage.files.audit_log import AuditLogFile
    from pytest_migration_state.storage.journal_records import Record, Selection
    from pytest_migration_state.types import JsonObject


def contrary(by_run: Mapping[str, Selection]) -> dict[str, list[JsonObject]]:
    """Return, by run, the data of other runs' events that shut the gate, if there are several runs.

    Nobody can say which came first: what shuts the gate counts.
    """
    if len(by_run) < 2:
        return {}
    shutting = {
        run_id: [record.event.data for record in chosen.records if may_shut(record.event.data)]
        for run_id, chosen in by_run.items()
    }
    return {
        run_id: [data for other, found in shutting.items() if other != run_id for data in found]
        for run_id in by_run
    }


class Since:
    """What the log got after records were written.

    :param log: the log, at its end.
    """

    def __init__(self, log: AuditLogFile, records: list[Record]) -> None:
        # With what stands behind the position and is no entry, or stood there: a torn line.
        self._end = max(log.size(), log.torn_to) if log.is_open else -1
        self._entries: list[tuple[int, str | None, JsonObject]] = []
        oldest = min((record.log_size for record in records if record.log_size >= 0), default=self._end)
        if oldest < log.offset <= self._end:
            self._entries = list(log.entries_from(oldest))
            if not log.begins_line(oldest):
                # The end of the log was repaired meanwhile.
                self.know_nothing()

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
        return any(
            end > record.log_size and other == run_id and _is_same(data, record.event.data)
            for end, other, data in self._entries
        )

    def data_of_others(self, record: Record, run_id: str) -> Iterator[JsonObject]:
        """Yield the data of each entry of others that the log got after a record."""
        for end, other, data in self._entries:
            if end > record.log_size and not (other == run_id and _is_of_journal(data, run_id)):
                yield data


def _is_of_journal(data: JsonObject, run_id: str) -> bool:
    """Return True if an entry of a run can come from its journal, and not from its tests themselves."""
    results = data.get("validation_results", ())
    return "native_processes_started" not in data and all(one.get("run_id") == run_id for one in results)


def _is_same(one: JsonObject, other: JsonObject) -> bool:
    """Return True if two entries record the same."""
    return all(one.get(key) == other.get(key) for key in ("validation_results", "outstanding_validations"))
