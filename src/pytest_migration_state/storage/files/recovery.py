"""Bringing a document up to date from the audit log, and rebuilding a lost one.

Where the document is as this package wrote it and no other program has added lines, the entries after the one
that it names are applied to it. Otherwise the whole log is read, and log and document are reckoned together
(see :mod:`pytest_migration_state.domain.beside.reckoning`).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from pytest_migration_state.domain import events
from pytest_migration_state.domain.beside.past import Entry, Line
from pytest_migration_state.domain.beside.reckoning import fold, is_whole, reckon, take_over
from pytest_migration_state.domain.commands import as_operand
from pytest_migration_state.errors import StateDamagedError
from pytest_migration_state.storage.files import neighbours
from pytest_migration_state.storage.files.paths import unreadable
from pytest_migration_state.storage.identity import this_platform
from pytest_migration_state.storage.records import Position
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_migration_state.domain.beside.change import Change
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.storage.files.audit_log import AuditLogFile
    from pytest_migration_state.storage.files.document_file import LoadedDocument
    from pytest_migration_state.storage.files.journals import Journals, Taken
    from pytest_migration_state.storage.files.paths import StatePaths

    #: Applies the events of journals that are not in the log yet to a document, and returns them.
    Take = Callable[[Document], Sequence[Taken]]


def replay(document: Document, entries: Iterable[Entry]) -> None:
    """Apply entries of the log to ``document``."""
    for entry in entries:
        events.apply(document, entry.data, entry.timestamp)


class UpToDate(NamedTuple):
    """A state as log and document tell it together.

    :ivar document: the state.
    :ivar change: what other programs did and is not on record yet; ``None`` if nothing is.
    :ivar replaced: the migration that another program replaced by the present one, if that is such a change.
    :ivar gap: what the log lacks, in words; ``None`` if nothing is lost.
    :ivar taken: events of journals that are not in the log yet.
    """

    document: Document
    change: Change | None = None
    replaced: Document | None = None
    gap: str | None = None
    taken: Sequence[Taken] = ()

    def to_write(self) -> Document:
        """Return the state as it is with that change on record."""
        if self.change and self.change.is_adoption:
            for key, value in self.change.data["adopted"]["metadata"].items():
                self.document.metadata.setdefault(key, value)
            self.document.touch(utc_now())
        return self.document


def bring_up_to_date(
    paths: StatePaths,
    log: AuditLogFile,
    read: Callable[[], LoadedDocument | None],
    journals: Journals | None = None,
) -> UpToDate:
    """Return the state that the log and the document tell together. The log's position is then its end.

    :param read: reads the document; ``None`` if there is none, so that it is rebuilt. Called again if other
        programs write at the same time.
    :param journals: the journals of runs. What they hold stands behind our last entry, and before what other
        programs did and is not on record yet.
    :raises StateNotFoundError: there is neither a document nor a log.
    :raises StateDamagedError: the log cannot be used.
    """

    def take(document: Document) -> Sequence[Taken]:
        return () if journals is None or journals.is_empty() else journals.take(document, log)

    try:
        return _without_reckoning(paths, log, read(), take) or _reckoned(paths, log, read, take)
    except OSError as error:
        raise unreadable(paths.log, error) from error


def _without_reckoning(  # noqa: PLR0911  # one for each way in which document and log can stand together
    paths: StatePaths, log: AuditLogFile, loaded: LoadedDocument | None, take: Take
) -> UpToDate | None:
    """Return the state if the document and the entries after the one that it names tell it.

    :returns: ``None`` if the whole log has to be read.
    """
    if loaded is None or (loaded.document.audit is None and log.is_open):
        return None
    document = loaded.document
    if not log.is_open and os.path.lexists(paths.log):
        # The log can be neither written nor read, as a warning has said: only the document is left.
        log.head = Position(*(document.audit or log.head))
        return UpToDate(document, taken=take(document))
    if document.audit is None:
        return _taken_over(document, take)
    if gap := log.seek(Position(*document.audit), document.migration_id):
        document.note_lost_entries(gap)
        return _taken_over(document, take, gap=gap)
    if log.is_open:
        replay(document, log.read_new())
    if not loaded.fits or (log.ends_with_foreign_lines and lines_count(paths)):
        return None
    if "unlogged_changes" in document.metadata:
        return _taken_over(document, take)
    return UpToDate(document, taken=take(document))


def _taken_over(
    document: Document, take: Take, lines: Sequence[Line] = (), gap: str | None = None
) -> UpToDate:
    taken = take(document)
    whole, change, _ = take_over(document, lines, now=utc_now(), platform=this_platform())
    # A reader invents no values, except for the version that stale verdicts need.
    version = whole.metadata["version"]
    whole.fields["metadata"] = document.metadata | {"version": version}
    whole.fields["last_updated"] = document.fields["last_updated"]
    return UpToDate(whole, change, gap=gap, taken=taken)


def lines_count(paths: StatePaths) -> bool:
    """Return True if the lines of other programs in the log are about this state and no other one."""
    return neighbours.is_log_of_others(paths) and not neighbours.other_documents(paths)


def _reckoned(
    paths: StatePaths, log: AuditLogFile, read: Callable[[], LoadedDocument | None], take: Take
) -> UpToDate:
    """Return the state as the whole log and the document tell it.

    :raises StateDamagedError: the document is missing, and the log does not hold all of it.
    """
    lines, loaded = _read_both(paths, log, read)
    entries = [line for line in lines if isinstance(line, Entry)]
    if not lines_count(paths):
        lines = [*entries]
    if loaded is None:
        _check_can_rebuild(paths, log, entries)
    elif not is_whole(entries) or "unlogged_changes" in loaded.document.metadata:
        document = loaded.document
        after = document.audit[0] if document.audit else 0
        replay(document, [entry for entry in entries if entry.seq > after])
        return _taken_over(document, take, _tail_of(lines))
    taken = take(fold(entries))
    if taken:
        lines = _with_taken(lines, entries[-1], taken)
    found, fits = (loaded.document, loaded.fits) if loaded else (None, False)
    reckoned = reckon(lines, found, fits=fits, now=utc_now(), platform=this_platform())
    replaced = reckoned.ours if reckoned.change.beginning is not None else None
    return UpToDate(reckoned.document, reckoned.change or None, replaced, taken=taken)


def _with_taken(lines: list[Entry | Line], last: Entry, taken: Sequence[Taken]) -> list[Entry | Line]:
    """Return the log with the events of journals behind our last entry, as they will stand there."""
    end = lines.index(last) + 1
    new = [
        Entry(seq, event.action, timestamp, event.data)
        for seq, (_, event, timestamp, *_) in enumerate(taken, last.seq + 1)
    ]
    return [*lines[:end], *new, *lines[end:]]


def _read_both(
    paths: StatePaths, log: AuditLogFile, read: Callable[[], LoadedDocument | None]
) -> tuple[list[Entry | Line], LoadedDocument | None]:
    """Return the lines of the log, and the document.

    The log is read first: other programs write the document before their line.

    :raises StateDamagedError: the log lacks entries that the document names.
    """
    if not log.is_open:
        # It may have been begun a moment ago.
        with contextlib.suppress(OSError):
            log.open_to_read()
    lines = log.read_all() if log.is_open else []
    loaded = read()
    while loaded and loaded.document.audit and loaded.document.audit[0] > log.head.seq:
        # Read without the lock: a checkpoint of another writer came in between.
        if not (more := log.read_more()):
            raise StateDamagedError(str(paths.log), "it lacks what the document holds; try again")
        lines += more
    return lines, loaded


def _tail_of(lines: Sequence[Entry | Line]) -> list[Line]:
    """Return the lines of other programs behind our last entry."""
    entries = [index for index, line in enumerate(lines) if isinstance(line, Entry)]
    return [line for line in lines[entries[-1] + 1 if entries else 0 :] if isinstance(line, Line)]


def _check_can_rebuild(paths: StatePaths, log: AuditLogFile, entries: list[Entry]) -> None:
    """Check that the log alone holds the whole state.

    :raises StateNotFoundError: there is no entry, and so no state.
    :raises StateDamagedError: it does not hold all of it.
    """
    if not entries:
        if not log.is_open and os.path.lexists(paths.log):
            raise _cannot_rebuild(paths, "cannot be read")
        raise paths.not_found()
    if not any("initialize" in entry.data or "adopted" in entry.data for entry in entries):
        raise _cannot_rebuild(paths, "does not reach back to its beginning")
    if not is_whole(entries):
        raise _cannot_rebuild(paths, "has lost entries, or was not writable at times")


def _cannot_rebuild(paths: StatePaths, why: str) -> StateDamagedError:
    missing = (
        f"the document is gone, and its audit log {paths.log.name}, which it could be rebuilt from, {why}"
    )
    begin = f"migration-state init --force -s {as_operand(str(paths.shown))}"
    fix = f"restore the document from a copy, or begin again: {begin}"
    return StateDamagedError(str(paths.shown), f"{missing}; {fix}")
