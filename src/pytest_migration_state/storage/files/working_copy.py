"""The state of one set of files in memory: loaded, changed, committed, and checkpointed.

The commit protocol (every writer, under the lock): bring the document up to date (the checkpoint, and every
entry of the log after ``metadata.audit``), decide, append the entries (the commit point), replace the
document now or later. This module decides nothing.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import TYPE_CHECKING

from pytest_migration_state.domain import events
from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.errors import (
    StateDamagedError,
    StateNotFoundError,
    StateWriteError,
)
from pytest_migration_state.storage.files.atomic import sweep
from pytest_migration_state.storage.files.audit_log import NewLinesError
from pytest_migration_state.storage.files.checkpoint import ATTEMPTS, Checkpoint
from pytest_migration_state.storage.files.dead_journals import remove_dead
from pytest_migration_state.storage.files.journals import Journals, mark_of
from pytest_migration_state.storage.files.log_writer import LogWriter, OthersTakenError
from pytest_migration_state.storage.files.owner import Naming
from pytest_migration_state.storage.files.recovery import bring_up_to_date, replay
from pytest_migration_state.storage.identity import this_platform
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.base import Decide
    from pytest_migration_state.storage.files.journals import Taken
    from pytest_migration_state.storage.files.lock import StateLock
    from pytest_migration_state.storage.files.paths import StatePaths
    from pytest_migration_state.storage.files.recovery import UpToDate
    from pytest_migration_state.storage.files.run_journal import RunJournal
    from pytest_migration_state.storage.records import Author


class WorkingCopy:
    """The state in memory, and its files. Use it only while the state lock is held.

    :param author: who writes here.
    :param notify: called with a warning, one sentence, while the work goes on.
    :ivar document: the state as it was last brought up to date.
    :ivar lock: the state lock.
    :ivar journal: the journal of the run that writes here.
    """

    def __init__(
        self, paths: StatePaths, author: Author, lock: StateLock, notify: Callable[[str], None]
    ) -> None:
        self.paths = paths
        self.document: Document
        self.lock = lock
        self._log = LogWriter(paths, author, notify)
        self._checkpoint = Checkpoint(paths, self._log, lock.timeout)
        self._is_loaded = False
        # Events that are applied and not committed; whether one of them replaces another migration.
        self._staged: list[tuple[Event, str]] = []
        self._replaces_existing = False
        self.journal: RunJournal | None = None
        # The events of journals that are applied and not in the log yet.
        self._taken: Sequence[Taken] = ()
        # Not while the log cannot be written: the document alone must not hold what other runs still record.
        self._takes_from_others = True
        # What other programs did: applied, and not on record yet.
        self._external: UpToDate | None = None
        self._naming = Naming(paths)

    @property
    def is_log_failing(self) -> bool:
        """True if the log cannot be written, so that only the document holds the newest events."""
        return self._log.has_failed

    def _catch_up(self) -> bool:
        """Bring the document in memory up to date. Return False if it must be loaded again."""
        journals = self._read_journals()
        self._note_known()
        try:
            if not self._follow_log():
                return False
            if self._checkpoint.is_changed() and not self._log.has_failed:
                # It may be that of a writer that could not write the log.
                return False
            self._take(journals)
            self._log_repairs()
        except NewLinesError:
            return False
        return True

    def _follow_log(self) -> bool:
        """Bring the document in memory up to date from the log. Return False if it must be loaded again."""
        log = self._log
        try:
            if log.has_failed:
                log.reopen(self.document)
            elif not log.file.is_current():
                # The log was deleted, cut or replaced. Keep what was written to it since the last checkpoint.
                log.keep_as_unlogged()
                if os.path.lexists(self.paths.document):
                    return False
                # The document is gone too: memory holds the whole state.
                log.reopen(self.document)
            elif log.file.has_grown:
                replay(self.document, log.file.read_new())
                # There may be an unfinished line of a killed writer, or the log was cut: the document on disk
                # shows which. Or another program has added a line.
                return not (log.file.has_new_bytes() or log.has_lines_of_others)
        except OSError as error:
            log.fail(error)
        except StateDamagedError:
            # It is another log: load what the files hold now, and apply what only memory holds on top of it.
            log.keep_as_unlogged()
            return False
        return True

    def _load(self, create: bool) -> bool:
        """Load the state. Return True if it had to be created.

        Events that are not in the log are kept, and applied on top.
        """
        with contextlib.closing(self._checkpoint.attempts()) as attempts:
            for _ in attempts:
                with contextlib.suppress(NewLinesError):
                    return self._load_once(create)
        raise self._always_changing()

    def _always_changing(self) -> StateWriteError:
        reason = "another program writes to the state all the time; stop it, then try again"
        return StateWriteError(str(self.paths.shown), reason)

    def _load_once(self, create: bool) -> bool:
        log = self._log
        journals = self._read_journals()
        self._note_known()
        self._forget_uncommitted()
        self._naming.check()
        log.gap = None
        unlogged_of = self.document.migration_id if log.unlogged else None
        sweep(self.paths.document.parent, self.paths.document.name, self.paths.log.name)
        log.open()
        try:
            # What the log could not take comes before what journals hold now.
            first = None if log.unlogged else journals
            found = bring_up_to_date(self.paths, log.file, self._checkpoint.read, first)
        except StateNotFoundError:
            if not create:
                raise
            self.stage(self.beginning(utc_now()))
            self._is_loaded = True
            return True
        document = self.document = found.to_write()
        self._naming.seen(log.file.offset)
        log.gap = found.gap
        self._external = found if found.change else None
        self._taken = found.taken
        log.loaded()
        if not self._checkpoint.has_document:
            name, absence = self.paths.document.name, self._checkpoint.absence
            log.add_repair(f"The document '{name}' was {absence} and has been rebuilt from this log")
        self._checkpoint.keep_found(found)
        if document.migration_id != unlogged_of:
            # Their migration was set aside, with everything known about it.
            log.unlogged = []
        log.apply_unlogged(document)
        if first is None:
            self._take(journals.without_others() if log.unlogged else journals)
        self._is_loaded = True
        self._log_repairs()
        return False

    # --- journals -------------------------------------------------------------------------------------------

    def use_journal(self, journal: RunJournal) -> None:
        """Write as the run of this journal."""
        self.journal = journal
        self._log.own_run = journal.run_id

    def _read_journals(self) -> Journals:
        """Return what journals hold. This comes before the log is read.

        A run empties its journal when the log has what it held.
        """
        return Journals(self.paths, self.journal, self._log.late, others=self._takes_from_others)

    def _take(self, journals: Journals) -> None:
        """Apply what journals hold and the log does not."""
        if not journals.is_empty():
            self._taken = [*self._taken, *journals.take(self.document, self._log.file)]

    def _note_known(self) -> None:
        """Note what the run that writes here knew when its pending events happened."""
        for record in self.journal.take_unseen() if self.journal else ():
            # Nothing is known any more of what was known before an interrupt.
            if self._is_loaded:
                self._log.note_known(record.event, self.document)

    # --- memory ---------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        """Reset the in-memory state."""
        self._forget_uncommitted()
        self._log.reset()

    def _forget_uncommitted(self) -> None:
        """Forget what is applied to the document and not committed: it has to be loaded again."""
        self._is_loaded = self._replaces_existing = False
        self._staged = []
        self._taken = ()
        self._external = None

    def _log_repairs(self) -> None:
        """Write messages about a gap or repairs to the log, if there are any."""
        if self._log.has_something_to_say:
            self.commit()
            self.checkpoint()

    # --- writing --------------------------------------------------------------------------------------------

    def beginning(self, now: str) -> Event:
        """Return the event that begins a new migration."""
        return events.initialized(now, uuid.uuid4().hex, this_platform(), self.paths.document.name)

    def stage(self, *new_events: Event, timestamp: str | None = None) -> None:
        """Apply events to :attr:`document` without writing anything yet.

        :param timestamp: when they happened; ``None`` for now.
        """
        timestamp = timestamp or utc_now()
        for event in self._naming.named(new_events, self._log.file.offset):
            if "initialize" in event.data:
                self._stage_beginning(timestamp)
            events.apply(self.document, event.data, timestamp)
            self._staged.append((event, timestamp))

    def _stage_beginning(self, timestamp: str) -> None:
        """Prepare for a new migration, even if a state exists. The commit sets an older document aside."""
        if not self._log.file.is_open:
            self._log.open_at_end()
        self._replaces_existing = True
        self._external = None
        self.document = new_document(timestamp, "", "")

    def decide(self, decide: Decide) -> bool:
        """Commit the events that ``decide`` returns. Call this only while the lock is held.

        :returns: whether there were any.
        :raises StateWriteError: as :meth:`commit_again`.
        """
        return self.commit_again(lambda: self.stage(*decide(self.document)))

    def commit_again(self, stage: Callable[[], None]) -> bool:
        """Call ``stage`` to stage events, and commit them. Call this only while the lock is held.

        Where another program writes in between, the state is read again, and ``stage`` is called again.

        :returns: whether there were any.
        :raises StateWriteError: another program writes all the time; nothing was committed.
        """
        with contextlib.closing(self._checkpoint.attempts()) as attempts:
            for attempt, _ in enumerate(attempts):
                if attempt:
                    self._load(create=True)
                stage()
                has_staged = bool(self._staged)
                try:
                    self.commit()
                except NewLinesError:
                    continue
                else:
                    return has_staged
        raise self._always_changing()

    def commit(self) -> None:
        """Append an entry for each staged event, all in one write. Call this only while the lock is held.

        What other programs did comes first, in an entry of its own. If the log cannot be written, the events
        are kept for the document, with a warning.

        :raises NewLinesError: another program wrote since the state was read; nothing was committed.
        :raises StateWriteError: the document that a new migration replaces cannot be set aside.
        """
        if self._replaces_existing:
            if aside := self._checkpoint.set_aside():
                self._log.tell(f"the earlier document is kept as {aside}")
            self._replaces_existing = False
            self._append_behind_new_lines()
            return
        if any(event.data.get("phase") == Phase.COMPLETED for event, _ in self._staged):
            with self._checkpoint.unchanged():
                self._append()
            return
        self._append()

    def _append_behind_new_lines(self) -> None:
        """Append behind the lines that other programs add: they are about the migration that is replaced."""
        for _ in range(ATTEMPTS):
            self._log.skip_new_lines()
            with contextlib.suppress(NewLinesError):
                return self._append()
        raise self._always_changing()

    def _append(self) -> None:
        if self._taken and not self._staged:
            first, *others = self._taken
            event = self._naming.named_in_one(first.event, self._log.file.offset)
            if event is not first.event:
                self._taken = [first._replace(event=event, encoded=None), *others]
        try:
            self._log.write(self.document, self._taken, self._on_record(), self._staged)
        except OthersTakenError:
            self._takes_from_others = False
            raise
        if self.journal:
            numbers = [one.number for one in self._taken if one.run_id == self.journal.run_id]
            self.journal.hand_over(max(mark_of(self.document, self.journal.run_id), *numbers, 0))
        self._staged.clear()
        self._taken = ()
        self._external = None

    def _on_record(self) -> list[tuple[Event, str]]:
        """Return the event that puts what other programs did on record."""
        external = self._external
        if external is None or external.change is None:
            return []
        if external.replaced is not None:
            self._checkpoint.keep(external.replaced)
        return [(external.change.to_event(), utc_now())]

    def checkpoint(self) -> None:
        """Replace the document by :attr:`document` and flush both files to the disk.

        Call this only while the lock is held.

        :raises StateWriteError: the document could not be written. What is in the log is not lost.
        """
        if self._external or self._taken:
            self.decide(lambda _: ())
        self._flush_log()
        file = self._log.file
        read_to = file.head, file.offset
        try:
            self.document = self._checkpoint.write(self.document, self.lock.timeout)
        except BaseException:
            # What other programs wrote was read, and is in no document yet: load the state again.
            self._is_loaded = self._is_loaded and read_to == (file.head, file.offset)
            raise
        if not self._log.has_failed:
            for kept in remove_dead(self.paths, self.journal, self.document):
                self._log.add_repair(kept)
        if self._log.has_something_to_say and not self._log.has_failed:
            self.decide(lambda _: ())
            self.checkpoint()

    def _flush_log(self) -> None:
        if not self._log.file.is_open or self._log.has_failed:
            return
        try:
            self._log.file.flush()
        except OSError as error:
            # The operating system counts the pages that it could not write as written from now on: a second
            # attempt would prove nothing. The document holds the effect of these entries, and is flushed
            # separately.
            refused = f"The disk refused to flush this log ({error.strerror})"
            self._log.add_repair(f"{refused}: lines before this one may be missing on it")
            self.decide(lambda _: ())
