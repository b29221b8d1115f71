"""A state on disk as a store."""

from __future__ import annotations

import os
import time
from contextlib import closing
from time import monotonic  # bound at import: a test may replace time.monotonic
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain import events
from pytest_migration_state.domain.document import new_document
from pytest_migration_state.errors import (
    InvalidArgumentError,
    MigrationStateError,
    StateDamagedError,
    StateNotFoundError,
    StateWriteError,
)
from pytest_migration_state.importing import importing
from pytest_migration_state.storage.base import DEFAULT_TIMEOUT, Commit
from pytest_migration_state.storage.files import neighbours, owner
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.dead_journals import liveness_of
from pytest_migration_state.storage.files.document_file import READ_PAUSE, DocumentFile
from pytest_migration_state.storage.files.journals import Journals
from pytest_migration_state.storage.files.lock import StateLock
from pytest_migration_state.storage.files.log_file import refuse_utf16
from pytest_migration_state.storage.files.log_lines import lines_with, read_lines
from pytest_migration_state.storage.files.paths import StatePaths
from pytest_migration_state.storage.files.recovery import bring_up_to_date
from pytest_migration_state.storage.files.run_journal import RunJournal
from pytest_migration_state.storage.files.run_log import FileRunLog
from pytest_migration_state.storage.files.state_files import StateFiles
from pytest_migration_state.storage.identity import this_actor, this_host
from pytest_migration_state.storage.records import Author
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.base import Decide, DecideBeginning
    from pytest_migration_state.storage.records import Line
    from pytest_migration_state.types import JsonObject, Liveness

# Bound at import: a test may replace os.getpid and not restore it.
_getpid: Final = os.getpid
#: How often document and log are read if a writer changes them in between.
_READ_ATTEMPTS: Final = 5


class FileStore:
    """The store of a state whose document is a file.

    See :class:`~pytest_migration_state.storage.base.StateStore`.

    :param path: the document. A symbolic link is followed; log and lock are beside its target.
    :param run_id: the run that the entries belong to, or ``None``.
    :param lock_timeout: how long to wait for the lock, in seconds.
    :param notify: called with a warning, one sentence, while the work goes on.
    """

    def __init__(
        self,
        path: Path,
        *,
        run_id: str | None = None,
        lock_timeout: float = DEFAULT_TIMEOUT,
        notify: Callable[[str], None],
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self._paths = StatePaths(path)
        self._lock_timeout = lock_timeout
        self._notify = notify
        self._on_wait = on_wait or notify
        self._document_file = DocumentFile(self._paths, lock_timeout)
        self._files = self._open_files(run_id)

    def _open_files(self, run_id: str | None) -> StateFiles:
        return StateFiles(self._paths, Author(run_id, this_actor()), self._new_lock(), self._notify)

    def _new_lock(self) -> StateLock:
        return StateLock(self._paths.lock, self._lock_timeout, self._on_wait)

    @property
    def address(self) -> str:
        """The path of the document, as it was given."""
        return str(self._paths.shown)

    @property
    def log_name(self) -> str:
        """The file name of the audit log."""
        return self._paths.log.name

    @property
    def log_address(self) -> str:
        """The path of the audit log."""
        return str(self._paths.log)

    # --- reading without the lock ---------------------------------------------------------------------------

    def read(self) -> Document:
        """Return the state as it is now."""
        attempts = _READ_ATTEMPTS
        while True:
            attempts -= 1
            try:
                return self._read_once(self._notify)
            except StateDamagedError as error:
                # Document and log are read one after the other, and a writer may change them in between. For
                # a damaged document, reading has waited already.
                if not attempts or error.path == self.address:
                    raise
                time.sleep(READ_PAUSE)

    def _read_once(self, notify: Callable[[str], None]) -> Document:
        # Before the log: runs empty them when the log has what they hold.
        journals = Journals(self._paths)
        owner.check(self._paths)
        log = AuditLogFile(self._paths.log)
        try:
            try:
                log.open_to_read()
            except OSError as error:
                reason = f"the audit log cannot be read ({error.strerror})"
                notify(f"{self._paths.log}: {reason}; only the document is known")
            return bring_up_to_date(self._paths, log, self._document_file.read, journals).document
        finally:
            log.close()

    def checkpoint(self) -> Document | None:
        """Return the document without later entries of the log; ``None`` if there is no document."""
        owner.check(self._paths)
        loaded = self._document_file.read()
        return loaded.document if loaded else None

    def audit_lines(self, *, backwards: bool = False) -> Iterator[Line]:
        """Return every line of the audit log, in order or the last first."""
        refuse_utf16(self._paths.log)
        return read_lines(self._paths.log, backwards=backwards)

    def lines_with(self, actions: Sequence[str]) -> Iterator[Line]:
        """Yield the lines of the newest part of the audit log with one of these actions, in order."""
        return lines_with(self._paths.log, actions)

    def foreign_lines(self, *, backwards: bool = False) -> Iterator[Line]:
        """Yield the lines of other programs in another log that may be about this state."""
        return neighbours.foreign_lines(self._paths, backwards=backwards)

    def other_documents(self) -> list[Document]:
        """Return the other states whose lines other programs may have written to this state's log."""
        return neighbours.other_documents(self._paths)

    def not_found(self) -> StateNotFoundError:
        """Return the error for a missing state."""
        return self._paths.not_found()

    def process_fields(self) -> JsonObject:
        """Return host and id of this process."""
        return {"host": this_host(), "process_id": _getpid()}

    def liveness_of(self, runs: Mapping[str, JsonObject]) -> dict[str, Liveness]:
        """Return whether each of these open runs is alive, by id."""
        return liveness_of(self._paths, runs)

    # --- writing --------------------------------------------------------------------------------------------

    def beginning(self, now: str) -> Event:
        """Return the event that begins a new migration."""
        return self._files.beginning(now)

    def commit(self, decide: Decide, *, create: bool = False) -> Commit:
        """Write the events that ``decide`` returns for the state as it is now: all of them or none."""
        files = self._files
        self._rehearse(decide, create=create)
        with files.hold(create=create) as created:
            with self._paths.noting_absence(absent=created):
                files.decide(decide)
            files.checkpoint()
            return Commit(files.document, created)

    def initialize(self, decide: DecideBeginning) -> Commit:
        """Write the events that ``decide`` returns, the first of which begins a migration."""
        files = self._files
        if not os.path.lexists(self._paths.lock):
            self._paths.check()
            owner.check(self._paths)
            decide(self._is_begun())
        with files.hold_for_beginning() as exists:
            files.stage(*decide(exists))
            files.commit()
            files.checkpoint()
            return Commit(files.document, created=not exists)

    def write_early(self, event: Event) -> bool:
        """Write a line to the log of a migration that has not begun. Return False if it has begun."""
        # Loaded here: a run and a command have no use for it.
        with importing:
            from pytest_migration_state.storage.files.early_lines import append_line

        self._paths.check()
        lock = self._new_lock()
        with closing(lock), lock.before(monotonic() + self._lock_timeout):
            owner.check(self._paths)
            if self._is_begun():
                return False
            try:
                append_line(self._paths.log, event, utc_now())
            except OSError as error:
                reason = f"it cannot be written ({error.strerror or error})"
                raise StateWriteError(str(self._paths.log), reason) from error
            return True

    def begin_run(self, run_id: str, decide: Decide) -> tuple[FileRunLog, bool]:
        """Begin a run with the events that ``decide`` returns. ``decide`` may raise to refuse the run."""
        self._rehearse(decide, create=True)
        files = self._open_files(run_id)
        path = self._paths.journal(run_id)
        if path is None:
            raise InvalidArgumentError("run_id", run_id, "a run's id has letters, digits, '-' and '_'")
        log = FileRunLog(files, run_id, RunJournal(path, run_id, self._paths.document))
        try:
            return log, log.begin(decide)
        except BaseException:
            log.close()
            raise

    def _rehearse(self, decide: Decide, *, create: bool) -> None:
        """Call ``decide`` without the lock if there is no lock file: a refused command leaves none behind."""
        if os.path.lexists(self._paths.lock):
            return
        self._paths.check()
        try:
            self._rehearse_alone(decide, create=create)
        except MigrationStateError:
            # Another writer may have begun the state at this moment. Then the lock decides.
            if not os.path.lexists(self._paths.lock):
                raise

    def _rehearse_alone(self, decide: Decide, *, create: bool) -> None:
        absent = False
        try:
            document = self._read_once(notify=lambda _: None)
        except StateNotFoundError:
            if not create:
                raise
            absent = True
            now = utc_now()
            document = new_document(now, "", "")
            events.apply(document, self.beginning(now).data, now)
        with self._paths.noting_absence(absent=absent):
            decide(document)

    def _is_begun(self) -> bool:
        """Return True if there is a document, or a log of one."""
        if os.path.lexists(self._paths.document):
            return True
        log = AuditLogFile(self._paths.log)
        try:
            return log.open_to_read() and log.find_last_entry() is not None
        except OSError:
            return False
        finally:
            log.close()

    def close(self) -> None:
        """Close the files. A closed store opens them again when it is used."""
        self._files.close()
