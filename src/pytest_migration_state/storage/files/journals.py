"""The journals of runs beside a document: what they hold, whether their runs are alive, and their end.

Whoever commits anything first takes over what journals hold, so that the order of the audit log is the order
of events. The document says up to which number that was done (``metadata.open_runs``, key ``journal``).
"""

from __future__ import annotations

import heapq
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain import events
from pytest_migration_state.domain.overtaken import may_shut, overtaken_by, written_late
from pytest_migration_state.domain.schema import raised_version
from pytest_migration_state.regular_files import despite_sharing, open_single
from pytest_migration_state.storage.files.atomic import remove, set_aside
from pytest_migration_state.storage.files.journal_lock import is_held, try_to_lock
from pytest_migration_state.storage.files.paths import unreadable
from pytest_migration_state.storage.identity import this_host
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
    from pytest_migration_state.types import JsonObject, Liveness


#: The ids that runs of this package have.
_MADE_HERE: Final = re.compile(r"[0-9a-f]{16}")


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


class _Journal(NamedTuple):
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
    """

    def __init__(
        self,
        paths: StatePaths,
        own: RunJournal | None = None,
        late: Callable[[Event, Document], Event] | None = None,
    ) -> None:
        self._own = own
        self._late = late
        self._found = list(_read(paths, own))

    def is_empty(self) -> bool:
        """Return True if there is nothing to take over, whatever the document says."""
        return not (self._found or (self._own and self._own.pending))

    def without_others(self) -> Journals:
        """Return the journal of the run that asks alone."""
        alone = object.__new__(Journals)
        alone._own, alone._late, alone._found = self._own, self._late, []
        return alone

    def take(self, document: Document, log: AuditLogFile) -> list[Taken]:
        """Apply the events that are not in the log yet to ``document``, and return them in order.

        :param log: the log, at its end.
        """
        by_run = dict(self._selected(document))
        lasts = {run_id: chosen.records[-1].number for run_id, chosen in by_run.items() if chosen.records}
        in_order = heapq.merge(
            *([(run_id, record) for record in chosen.records] for run_id, chosen in by_run.items()),
            key=lambda one: one[1].timestamp,
        )
        since = _Since(log, [record for chosen in by_run.values() for record in chosen.records])
        if "unlogged_changes" in document.metadata:
            # Only the document holds some changes, and nothing says when they came.
            since.know_nothing()
        contrary = _contrary(by_run)
        taken = []
        for run_id, record in in_order:
            event = record.event
            if not since.is_nothing_after(record):
                if run_id not in document.open_runs and since.is_there(record, run_id):
                    # Somebody took it over before the run was forgotten, and its mark with it.
                    if self._own:
                        self._own.drop(record.number)
                    continue
                event = self._as_it_counts(record, run_id, document, since)
            if run_id in contrary:
                event = overtaken_by(event, contrary[run_id])
            if record.number == lasts[run_id] and run_id in document.open_runs:
                event = _with_mark(event, run_id, record.number)
            encoded = record.encoded if event is record.event else None
            taken.append(Taken(run_id, event, record.timestamp, record.number, encoded))
            events.apply(document, event.data, record.timestamp)
        for run_id, chosen in by_run.items():
            if chosen.lost:
                taken.append(_loss(document, run_id, chosen.lost))
                events.apply(document, taken[-1].event.data, taken[-1].timestamp)
        return taken

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
            if chosen.lost and _is_alive(journal.path):
                # The run still has in memory what cannot be read.
                chosen = chosen._replace(records=before_damage(chosen, mark), lost=0)
            yield journal.run_id, chosen

    def _as_it_counts(self, record: Record, run_id: str, document: Document, since: _Since) -> Event:
        """Return the event of a record as it counts behind everything that the log holds."""
        if since.is_unknown(record):
            if self._own and run_id == self._own.run_id and self._late:
                return self._late(record.event, document)
            return written_late(record.event, document, {}, run_id)
        return overtaken_by(record.event, since.data_of_others(record, run_id))


def _contrary(by_run: Mapping[str, Selection]) -> dict[str, list[JsonObject]]:
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


class _Since:
    """What the log got after records were written.

    :param log: the log, at its end.
    """

    def __init__(self, log: AuditLogFile, records: list[Record]) -> None:
        self._end = log.offset if log.is_open else -1
        self._entries: list[tuple[int, str | None, JsonObject]] = []
        oldest = min((record.log_size for record in records if record.log_size >= 0), default=self._end)
        if oldest < self._end:
            self._entries = list(log.entries_from(oldest))

    def know_nothing(self) -> None:
        """Note that the log does not tell all that came after records."""
        self._end = -1

    def is_nothing_after(self, record: Record) -> bool:
        """Return True if the log got nothing after a record: nearly always."""
        return not self._entries and 0 <= record.log_size <= self._end

    def is_unknown(self, record: Record) -> bool:
        """Return True if the log cannot be read, or is not the one that the record's writer saw."""
        return not 0 <= record.log_size <= self._end

    def is_there(self, record: Record, run_id: str) -> bool:
        """Return True if the log got the event of a record behind it, as an entry of its run."""
        return any(
            offset >= record.log_size and other == run_id and _is_same(data, record.event.data)
            for offset, other, data in self._entries
        )

    def data_of_others(self, record: Record, run_id: str) -> Iterator[JsonObject]:
        """Yield the data of each entry of others that the log got after a record."""
        for offset, other, data in self._entries:
            if offset >= record.log_size and other != run_id:
                yield data


def _is_same(one: JsonObject, other: JsonObject) -> bool:
    """Return True if two entries have the same effect, but for the mark of a journal."""
    return {**one, "metadata": None} == {**other, "metadata": None}


def _read(paths: StatePaths, own: RunJournal | None) -> Iterator[_Journal]:
    for run_id, path in paths.journals():
        if own is None or path != own.path:
            try:
                content = _content(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                yield _Journal(run_id, path, [], error)
                continue
            if content:
                yield _Journal(run_id, path, decode_records(content)[0])


def _content(path: Path) -> bytes:
    """Return the content of a journal.

    :raises OSError: it cannot be read, or it is a link or no regular file.
    """

    def content() -> bytes:
        with os.fdopen(open_single(path), "rb") as file:
            return file.read()

    return despite_sharing(content)


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


def _loss(document: Document, run_id: str, lost: int) -> Taken:
    """Return the event that says that records of a dead run can no longer be read: the gate stays shut."""
    what = f"the journal of run {run_id} was damaged: {counted(lost, 'result')} of it cannot be read"
    metadata = {"lost_entries": what, **raised_version(document.metadata)}
    return Taken(run_id, events.recovered(f"{what[0].upper()}{what[1:]}", metadata=metadata), utc_now(), 0)


def _is_alive(path: Path) -> bool:
    """Return True unless the run of a journal is certainly dead."""
    try:
        return is_held(path)
    except OSError:
        return True


# --- liveness -----------------------------------------------------------------------------------------------


def liveness_of(paths: StatePaths, runs: Mapping[str, JsonObject]) -> dict[str, Liveness]:
    """Return whether each of these open runs is alive, by id."""
    return {run_id: _liveness(paths, run_id, run) for run_id, run in runs.items()}


def _liveness(paths: StatePaths, run_id: str, run: object) -> Liveness:
    fields = as_object(run)
    if fields.get("finished_at"):
        return "dead"
    path = paths.journal(run_id)
    if path is None:
        return "unknown"
    try:
        if is_held(path):
            return "alive"
    except OSError:
        return "unknown"
    # Elsewhere a lock may not be seen here, as in some network file systems.
    return "dead" if fields.get("host") == this_host() else "unknown"


# --- the end of dead journals -------------------------------------------------------------------------------


def remove_dead(paths: StatePaths, own: RunJournal | None, document: Document) -> Iterator[str]:
    """Remove the journals of dead runs whose events the document holds.

    Yield what was kept of them, in words. Where a journal cannot be removed, its events are passed over from
    now on. Call this only while the state lock is held.
    """
    for run_id, path in paths.journals():
        if own is None or path != own.path:
            with suppress(OSError):
                yield from _remove_if_dead(paths, run_id, path, document)


def _remove_if_dead(paths: StatePaths, run_id: str, path: Path, document: Document) -> Iterator[str]:
    run = document.open_runs.get(run_id)
    if run is not None and as_object(run).get("host") != this_host():
        return
    descriptor = despite_sharing(lambda: open_single(path, writable=True))
    try:
        if not try_to_lock(descriptor):
            return
        content = _content(path)
        lines, torn = decode_records(content)
        left = select(lines, mark_of(document, run_id))
        if run is None and (None in lines or torn or not _MADE_HERE.fullmatch(run_id)):
            # It may be somebody's own file.
            return
        if run is not None and left.records:
            # They came in between. The next command takes them over.
            return
        if left.records or left.lost or torn or None in lines:
            yield _kept(run_id, set_aside(paths.document, "journal", content), run, torn)
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
    remove(path)


def _kept(run_id: str, name: str, run: object, torn: bytes) -> str:
    what = f"The journal of run {run_id} is kept in '{name}'"
    if run is None:
        return f"{what}: the run is on record no longer (it was settled, forgotten or replaced)"
    return f"{what}: its last line is torn" if torn else f"{what}: it was damaged"
