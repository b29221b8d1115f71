"""A state on disk as a store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from pytest_migration_state.errors import StateDamagedError
from pytest_migration_state.storage import liveness
from pytest_migration_state.storage.base import DEFAULT_TIMEOUT, Commit
from pytest_migration_state.storage.files import neighbours
from pytest_migration_state.storage.files.audit_log import AuditLogFile, read_lines
from pytest_migration_state.storage.files.document_file import READ_PAUSE, DocumentFile
from pytest_migration_state.storage.files.paths import StatePaths
from pytest_migration_state.storage.files.recovery import bring_up_to_date
from pytest_migration_state.storage.files.run_log import FileRunLog
from pytest_migration_state.storage.files.state_files import StateFiles
from pytest_migration_state.storage.identity import this_actor
from pytest_migration_state.storage.records import author_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.errors import StateNotFoundError
    from pytest_migration_state.storage.base import Decide, DecideBeginning
    from pytest_migration_state.storage.records import Line
    from pytest_migration_state.types import JsonObject, Liveness

#: How often document and log are read again, because a writer came in between.
_READ_ATTEMPTS: Final = 5


class FileStore:
    """The store of a state whose document is the file at ``path``; see :class:`~pytest_migration_state.storage.base.StateStore`.

    :param path: the document. A symbolic link is followed; log and lock are beside what it leads to.
    :param run_id: the run that the entries belong to, or ``None``.
    :param lock_timeout: how long to wait for the lock, in seconds.
    :param notify: called with a sentence about what a person should know although the work goes on.
    """

    def __init__(
        self,
        path: Path,
        *,
        run_id: str | None = None,
        lock_timeout: float = DEFAULT_TIMEOUT,
        notify: Callable[[str], None],
    ) -> None:
        self._paths = StatePaths(path)
        self._lock_timeout = lock_timeout
        self._notify = notify
        self._document_file = DocumentFile(self._paths)
        self._files = self._open_files(run_id)

    def _open_files(self, run_id: str | None) -> StateFiles:
        return StateFiles(self._paths, author_fields(run_id, this_actor()), self._lock_timeout, self._notify)

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
                return self._read_once()
            except StateDamagedError as error:
                # Document and log are read one after the other, and a writer may come in between. A document
                # that is damaged by itself was waited for already.
                if not attempts or error.path == self.address:
                    raise
                time.sleep(READ_PAUSE)

    def _read_once(self) -> Document:
        log = AuditLogFile(self._paths.log)
        try:
            loaded = self._document_file.read()
            try:
                log.open(writable=False)
            except OSError as error:
                reason = f"the audit log cannot be read ({error.strerror})"
                self._notify(f"{self._paths.log}: {reason}; only the document is known")
            document, _ = bring_up_to_date(self._paths, log, loaded.document if loaded else None)
            return document
        finally:
            log.close()

    def checkpoint(self) -> Document | None:
        """Return the document without what the log has behind it; ``None`` if there is none."""
        loaded = self._document_file.read()
        return loaded.document if loaded else None

    def audit_lines(self) -> Iterator[Line]:
        """Yield every line of the audit log in order."""
        return read_lines(self._paths.log)

    def foreign_lines(self) -> Iterator[Line]:
        """Yield lines of other programs that stand in another log and may be about this state."""
        return neighbours.foreign_lines(self._paths)

    def other_documents(self) -> list[Document]:
        """Return the other states whose lines other programs may have written to this state's log."""
        return neighbours.other_documents(self._paths)

    def not_found(self) -> StateNotFoundError:
        """Return the error that there is no state."""
        return self._paths.not_found()

    def process_fields(self) -> JsonObject:
        """Return host, process id and start of this process."""
        return liveness.this_process()

    def liveness_of(self, runs: Mapping[str, JsonObject]) -> dict[str, Liveness]:
        """Return whether each of these open runs is alive, by id."""
        return liveness.liveness_of(runs)

    # --- writing --------------------------------------------------------------------------------------------

    def beginning(self, now: str) -> Event:
        """Return the event that begins a new migration."""
        return self._files.beginning(now)

    def commit(self, decide: Decide, *, create: bool = False) -> Commit:
        """Write the events that ``decide`` returns for the state as it is now: all of them or none."""
        files = self._files
        with files.hold(create=create) as created:
            files.stage(*decide(files.document))
            files.commit()
            files.checkpoint()
            return Commit(files.document, created)

    def initialize(self, decide: DecideBeginning) -> Commit:
        """Write the events that ``decide`` returns, of which the first begins a migration, whatever is there."""
        files = self._files
        with files.hold_for_beginning() as exists:
            files.stage(*decide(exists))
            files.commit()
            files.checkpoint()
            return Commit(files.document, created=not exists)

    def begin_run(self, run_id: str, decide: Decide) -> tuple[FileRunLog, bool]:
        """Begin a run with the events that ``decide`` returns; it raises to refuse the run."""
        files = self._open_files(run_id)
        log = FileRunLog(files, run_id)
        try:
            return log, log.begin(decide)
        except BaseException:
            log.close()
            raise

    def close(self) -> None:
        """Close the files. A closed store opens them again when it is used."""
        self._files.close()
