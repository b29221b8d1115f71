"""The journals of runs beside a document, and what they hold.

Whoever commits anything first takes over what journals hold, so that the order of the audit log is the order
of events. The document says up to which number that was done (``metadata.open_runs``, key ``journal``).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

from pytest_migration_state.domain import events
from pytest_migration_state.domain.overtaken import overtaken_by, written_late
from pytest_migration_state.domain.schema import raised_version
from pytest_migration_state.regular_files import read_single
from pytest_migration_state.storage.files.journal_lock import liveness_by_lock
from pytest_migration_state.storage.files.journal_order import Since, contrary
from pytest_migration_state.storage.files.paths import unreadable
from pytest_migration_state.storage.journal_records import (
    Selection,
    before_damage,
    decode_records,
    select,
)
from pytest_migration_state.text import counted, utc_now
from pytest_migration_state.types import as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.files.audit_log import AuditLogFile
    from pytest_migration_state.storage.files.paths import StatePaths
    from pytest_migration_state.storage.files.run_journal import RunJournal
    from pytest_migration_state.storage.journal_records import Record
    from pytest_migration_state.storage.records import Encoded


class Taken(NamedTuple):
    """An event of a run that was taken over from its journal, to be written to the log.

    :ivar run_id: the run that recorded it.
    :ivar number: its number in the journal; 0 if it stands in none.
    :ivar encoded: the event as JSON, where that is known.
    """

    run_id: str
    event: Event
    timestamp: str
    number: int
    encoded: Encoded | None = None

    @property
    def dated(self) -> tuple[Event, str]:
        """The event and its time."""
        return self.event, self.timestamp


class Journal(NamedTuple):
    """A journal that was read.

    :ivar lines: its records; ``None`` for each damaged line.
    :ivar error: why it cannot be read.
    """

    run_id: str
    path: Path
    lines: list[Record | None]
    error: OSError | None = None


class Journals:
    """What the journals beside a document held when this was created: before log and document are read.

    :param own: the journal of the run that asks. Its pending events are known from memory.
    :param late: returns an event as it counts, for a document, if nothing says what came after it.
    :param others: whether to read the journals of other runs.
    """

    def __init__(
        self,
        paths: StatePaths,
        own: RunJournal | None = None,
        late: Callable[[Event, Document], Event] | None = None,
        *,
        others: bool = True,
    ) -> None:
        self._paths = paths
        self._own = own
        self._late = late
        self._found = list(_read(paths, own)) if others else []

    def is_empty(self) -> bool:
        """Return True if there is nothing to take over, whatever the document says."""
        return not (self._found or (self._own and self._own.pending))

    def without_others(self) -> Journals:
        """Return the journal of the run that asks alone."""
        return Journals(self._paths, self._own, self._late, others=False)

    def take(self, document: Document, log: AuditLogFile) -> list[Taken]:
        """Apply the events that are not in the log yet to ``document``, and return them in order.

        :param log: the log, at its end.
        """
        by_run = dict(self._selected(document))
        since = Since(log, [record for chosen in by_run.values() for record in chosen.records])
        if "unlogged_changes" in document.metadata:
            # Only the document holds some changes, and nothing says when they came.
            since.know_nothing()
        others = contrary(by_run)
        taken: list[Taken] = []
        for run_id, record in _in_order(by_run):
            if since.is_nothing_after(record):
                event = record.event
            elif run_id not in document.open_runs and since.is_there(record, run_id):
                # Somebody took it over before the run was forgotten, and its mark with it.
                self._drop(record)
                continue
            else:
                event = self._as_it_counts(record, run_id, document, since)
            if others is not None:
                event = overtaken_by(
                    event, (data for _, other, data in others.about(event) if other != run_id)
                )
            if record is by_run[run_id].records[-1] and run_id in document.open_runs:
                event = _with_mark(event, run_id, record.number)
            encoded = record.encoded if event is record.event else None
            taken.append(Taken(run_id, event, record.timestamp, record.number, encoded))
            events.apply(document, event.data, record.timestamp)
        for run_id, chosen in by_run.items():
            if lost := unreported_loss(chosen, document, run_id):
                taken.append(_loss(document, run_id, lost, chosen.damaged))
                events.apply(document, taken[-1].event.data, taken[-1].timestamp)
        return taken

    def _drop(self, record: Record) -> None:
        """Drop an event of the run that asks: the log holds it."""
        if self._own:
            self._own.drop(record.number)

    def _selected(self, document: Document) -> Iterator[tuple[str, Selection]]:
        """Yield the records of each journal that are not in the log yet."""
        own = self._own
        if own and own.pending and document.migration_id == own.migration_id:
            mark = mark_of(document, own.run_id)
            # Memory loses nothing.
            yield own.run_id, Selection([record for record in own.pending if record.number > mark])
        for journal in self._found:
            if journal.run_id not in document.open_runs:
                # Its run has ended or was settled, or it is about another migration.
                continue
            if journal.error:
                raise unreadable(journal.path, journal.error) from journal.error
            mark = mark_of(document, journal.run_id)
            chosen = select(journal.lines, mark)
            if (chosen.missing or chosen.damaged) and not self._is_dead(journal, document):
                # Its run still has in memory what cannot be read, as far as is known.
                chosen = Selection(before_damage(chosen, mark))
            yield journal.run_id, chosen

    @staticmethod
    def _is_dead(journal: Journal, document: Document) -> bool:
        """Return True if the run of a journal is certainly dead."""
        return liveness_by_lock(journal.path, document.open_runs.get(journal.run_id)) == "dead"

    def _as_it_counts(self, record: Record, run_id: str, document: Document, since: Since) -> Event:
        """Return the event of a record as it counts behind everything that the log holds."""
        if since.is_log_unknown(record):
            if self._own and run_id == self._own.run_id and self._late:
                return self._late(record.event, document)
            return written_late(record.event, document, {}, run_id)
        return overtaken_by(record.event, since.data_of_others(record, run_id))


def journals_of_others(paths: StatePaths, own: RunJournal | None) -> list[tuple[str, Path]]:
    """Return the id and the path of each journal beside the document, but that of the run that asks."""
    return [(run_id, path) for run_id, path in paths.journals() if own is None or path != own.path]


def _read(paths: StatePaths, own: RunJournal | None) -> Iterator[Journal]:
    for run_id, path in journals_of_others(paths, own):
        try:
            content = read_single(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Journal(run_id, path, [], error)
            continue
        if content:
            yield Journal(run_id, path, decode_records(content)[0])


def _in_order(by_run: Mapping[str, Selection]) -> Iterator[tuple[str, Record]]:
    """Return the records in the order of their times. Those of one run stay in their order."""
    by_time = [[(run_id, record) for record in chosen.records] for run_id, chosen in by_run.items()]
    return heapq.merge(*by_time, key=lambda one: one[1].timestamp)


def mark_of(document: Document, run_id: str) -> int:
    """Return the number up to which the journal of a run was taken over."""
    mark = as_object(document.open_runs.get(run_id)).get("journal")
    return mark if type(mark) is int else 0


def _with_mark(event: Event, run_id: str, number: int) -> Event:
    """Return an event that also says up to which number the journal of its run was taken over."""
    metadata = event.data.get("metadata", {})
    runs = {**metadata.get("open_runs", {}), run_id: {"journal": number}}
    return event._replace(data={**event.data, "metadata": {**metadata, "open_runs": runs}})


def without_lower_marks(event: Event, document: Document) -> Event:
    """Return an event that is applied again, without marks that are not news."""
    marks = event.data.get("metadata", {}).get("open_runs", {})
    stale = [
        run_id
        for run_id, run in marks.items()
        if run and run.keys() == {"journal"}
        if run_id not in document.open_runs or run["journal"] < mark_of(document, run_id)
    ]
    if not stale:
        return event
    kept = {run_id: run for run_id, run in marks.items() if run_id not in stale}
    return event._replace(data={**event.data, "metadata": {**event.data["metadata"], "open_runs": kept}})


def unreported_loss(chosen: Selection, document: Document, run_id: str) -> int:
    """Return how many records of a dead run can no longer be read, and no entry of the log says so."""
    reported: int = as_object(document.open_runs.get(run_id)).get("damaged", 0)
    return chosen.missing + max(0, chosen.damaged - reported)


def _loss(document: Document, run_id: str, lost: int, damaged: int) -> Taken:
    """Return the event that says that records of a dead run can no longer be read: the gate stays shut.

    :param damaged: how many damaged lines stand at the journal's end.
    """
    what = f"the journal of run {run_id} was damaged: {counted(lost, 'result')} of it cannot be read"
    runs = {run_id: {"damaged": damaged}}
    metadata = {"lost_entries": what, "open_runs": runs, **raised_version(document.metadata)}
    return Taken(run_id, events.recovered(f"{what[0].upper()}{what[1:]}", metadata=metadata), utc_now(), 0)
