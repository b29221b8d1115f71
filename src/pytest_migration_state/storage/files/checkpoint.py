"""Replacing the document without losing what other programs wrote to it meanwhile.

Other programs, above all PowerShell, write the document and the log without the state lock. So a checkpoint
checks, under a lock on the document itself, that the document is still the one that was read. If it is not,
the checkpoint starts again from the document that it finds.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager, suppress
from time import monotonic  # bound here: a test may replace time.monotonic
from typing import TYPE_CHECKING, Final

from pytest_migration_state.errors import StateNotFoundError, StateWriteError
from pytest_migration_state.storage.files.atomic import set_aside
from pytest_migration_state.storage.files.audit_log import NewLinesError
from pytest_migration_state.storage.files.document_file import DocumentFile
from pytest_migration_state.storage.files.recovery import bring_up_to_date
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.storage.files.document_file import LoadedDocument
    from pytest_migration_state.storage.files.log_writer import LogWriter
    from pytest_migration_state.storage.files.paths import StatePaths
    from pytest_migration_state.storage.files.recovery import UpToDate
    from pytest_migration_state.types import JsonObject

#: How often something is tried again because another program wrote in the meantime.
ATTEMPTS: Final = 100
#: After how many attempts, or seconds, other programs are kept from writing the document.
_PATIENT_ATTEMPTS: Final = 50
_PATIENT_SECONDS: Final = 2.0
#: How long another program may keep the document locked, in seconds: a write takes it milliseconds, and
#: meanwhile every other writer waits for the state lock. Whoever may read the document can lock it.
_PATIENCE: Final = 3.0


class Checkpoint:
    """The document on disk, as it was last read or written. Use it only while the state lock is held.

    :param patience: how long to wait for a document that another program is writing, in seconds.
    """

    def __init__(self, paths: StatePaths, log: LogWriter, patience: float) -> None:
        self._paths = paths
        self._file = DocumentFile(paths, patience)
        self._shown = str(paths.shown)
        self._log = log
        self._digest: bytes | None = None
        # The bytes of the document that was read, if the remains of another one stand behind it.
        self._damaged: bytes | None = None
        # The migration of that document.
        self._migration_id: str | None = None
        # The migration that was kept last.
        self._kept = b""

    @property
    def has_document(self) -> bool:
        """True if there was a document when it was last read."""
        return self._digest is not None

    @property
    def absence(self) -> str:
        """Why there was none: ``missing``, or ``empty`` because of our lock."""
        return self._file.absence

    def is_changed(self) -> bool:
        """Return True if the document is certainly not as it was last read or written."""
        return self._file.is_changed()

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Keep other programs from writing the document.

        :raises NewLinesError: one has, since it was read.
        :raises StateWriteError: one keeps it locked.
        """
        with self._explained(), self._file.locked(_PATIENCE) as digest:
            if digest != self._digest:
                raise NewLinesError
            yield

    def attempts(self) -> Generator[None]:
        """Yield for each attempt to read the state and write before another program writes.

        A program that writes all the time is kept out of the document after a while. Close it at the end.
        """
        patient_until = monotonic() + _PATIENT_SECONDS
        with ExitStack() as stack:
            for attempt in range(ATTEMPTS):
                if attempt >= _PATIENT_ATTEMPTS or monotonic() > patient_until:
                    stack.enter_context(self._file.kept_from_others(_PATIENCE))
                yield

    def keep(self, replaced: Document) -> None:
        """Keep a migration that another program replaced, as its document would be, and say so.

        It is kept once, however often the state is read again before that is on record.

        :raises StateWriteError: it cannot be written.
        """
        content = b"".join(replaced.encoded())
        if content == self._kept:
            return
        try:
            name = set_aside(self._paths.document, "replaced", content)
        except OSError as error:
            reason = f"the migration that another program replaced cannot be kept ({error.strerror})"
            raise StateWriteError(self._shown, reason) from error
        self._kept = content
        self._log.tell(f"the earlier document is kept as {name}")

    def read(self) -> LoadedDocument | None:
        """Return the document on disk; ``None`` if there is none.

        :raises StateDamagedError: it cannot be used (also ``StateVersionError``).
        """
        loaded = self._file.read()
        self._digest = self._noted(loaded)
        return loaded

    def _noted(self, loaded: LoadedDocument | None) -> bytes | None:
        """Note what has to be kept of a document that was read, and return its digest."""
        self._damaged = self._migration_id = None
        if loaded is None:
            return None
        self._damaged, self._migration_id = loaded.damaged, loaded.document.migration_id
        return loaded.digest

    def keep_found(self, found: UpToDate) -> None:
        """Keep copies of what the document held besides the state that log and document tell.

        :raises StateWriteError: a copy cannot be written.
        """
        self._keep_damaged()
        self._keep_other_migration(found)

    def _keep_other_migration(self, found: UpToDate) -> None:
        """Keep a copy of a document that was read and is that of a migration that was replaced, and say so.

        Somebody has put it back: the log, which tells the state, goes on with the later migration.

        :raises StateWriteError: the copy cannot be written.
        """
        is_begun_by_others = found.change is not None and found.change.beginning is not None
        if is_begun_by_others or self._migration_id in {None, found.document.migration_id}:
            return
        self._migration_id = None
        if aside := self._file.set_aside():
            what = (
                "the document was that of an earlier migration, which a later one in its audit log replaced"
            )
            self._log.tell(f"{what}; it is kept as {aside[0]}")

    def set_aside(self) -> str | None:
        """Keep a copy of the document, whatever it holds.

        :returns: the name of the copy; ``None`` if there is no document.
        :raises StateWriteError: the copy cannot be written.
        """
        name, self._digest = self._file.set_aside() or (None, None)
        return name

    def _keep_damaged(self) -> None:
        """Keep a copy of a document that held remains of another one, and say so in the log.

        :raises StateWriteError: the copy cannot be written.
        """
        damaged, self._damaged = self._damaged, None
        if damaged is not None:
            name = self._file.keep(damaged, "damaged")
            held = "The document also held remains of another one (two programs wrote it at once)"
            self._log.add_repair(f"{held}; as found, it is kept in '{name}'")

    def write(self, document: Document, patience: float) -> Document:
        """Replace the document on disk, and return the new one: with what other programs wrote meanwhile.

        :param patience: how long another program may keep the document locked, in seconds; three at most.
        :raises StateWriteError: the document could not be written. What is in the log is not lost.
        """
        with self._explained(), closing(self.attempts()) as attempts:
            for _ in attempts:
                if self._try_to_replace(document, min(patience, _PATIENCE)):
                    return document
                with suppress(NewLinesError):
                    document = self._merged(document)
        reason = "another program changes the document all the time; stop it, then try again"
        raise StateWriteError(self._shown, reason)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Translate errors of the operating system into errors of this package.

        :raises StateWriteError: the document could not be written. What is in the log is not lost.
        """
        try:
            yield
        except OSError as error:
            reason = f"the document cannot be written ({error.strerror or error})"
            if self._log.holds_uncheckpointed:
                # The events are already committed to the log. Say so, or the caller would retry them.
                reason += (
                    "; what was asked for is in the audit log and counts, and the next command that can "
                    "write brings the document up to date"
                )
            raise StateWriteError(self._shown, reason) from error
        except RecursionError as error:
            reason = (
                "the document is too deeply nested to be written back; "
                "remove what another tool nested so deeply"
            )
            raise StateWriteError(self._shown, reason) from error

    def _try_to_replace(self, document: Document, patience: float) -> bool:
        """Replace the document on disk. Do nothing and return False if another program changed it.

        :param patience: how long another program may keep the document locked, in seconds.
        :raises OSError: the operating system refused.
        """
        metadata = document.metadata
        head = self._log.file.head
        metadata["audit"] = {"seq": head.seq, "hash": head.hash}
        counted_before = metadata.get("unlogged_changes")
        if self._log.unlogged:
            metadata["unlogged_changes"] = (counted_before or 0) + len(self._log.unlogged)
        try:
            digest = self._file.replace(document, self._digest, patience)
        except BaseException:
            # The next attempt counts them again.
            _set_count(metadata, counted_before)
            raise
        if digest is None:
            _set_count(metadata, counted_before)
            return False
        self._digest = digest
        self._log.checkpointed()
        return True

    def _merged(self, known: Document) -> Document:
        """Return the document that another program wrote, with everything known here.

        :raises NewLinesError: another program wrote again at this moment.
        """
        log = self._log
        loaded = self._file.read()
        if loaded is None:
            # It was deleted. Memory holds the whole state.
            self._digest = None
            return known
        if not log.file.is_open or log.has_failed:
            log.apply_uncheckpointed(loaded.document)
            document, self._digest = loaded.document, loaded.digest
        else:
            # Set the digest only after merging: the next attempt must not replace a document that could not
            # be merged.
            document, self._digest = self._reckoned(known)
        return document

    def _reckoned(self, known: Document) -> tuple[Document, bytes | None]:
        """Return the state that log and document tell, with what was found on record, and the digest."""
        digest: bytes | None = None

        def read() -> LoadedDocument | None:
            nonlocal digest
            loaded = self._file.read()
            digest = self._noted(loaded)
            return loaded

        try:
            found = bring_up_to_date(self._paths, self._log.file, read)
        except StateNotFoundError:
            return known, digest
        document = found.to_write()
        self.keep_found(found)
        if found.change:
            if found.replaced is not None:
                self.keep(found.replaced)
            self._log.write(document, [], [(found.change.to_event(), utc_now())], [])
        return document, digest


def _set_count(metadata: JsonObject, unlogged: int | None) -> None:
    """Set how many changes only the document holds; ``None`` if the log holds all of them."""
    if unlogged is None:
        metadata.pop("unlogged_changes", None)
    else:
        metadata["unlogged_changes"] = unlogged
