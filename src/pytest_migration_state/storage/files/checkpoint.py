"""Replacing the document, with what other programs wrote to it meanwhile.

Other programs write the document and the log without the state lock (PowerShell above all), so a checkpoint
makes sure under a lock on the document itself that it still is the one that was read, and starts again from
what it finds if not.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pytest_migration_state.errors import StateWriteError
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.document_file import DocumentFile
from pytest_migration_state.storage.files.recovery import apply_all, replay
from pytest_migration_state.storage.records import Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.storage.files.document_file import LoadedDocument
    from pytest_migration_state.storage.files.log_writer import LogWriter
    from pytest_migration_state.storage.files.paths import StatePaths

#: What a document of another tool is given when this package first writes it.
ADOPTED: Final = ("version", "migration_type", "platform", "migration_id", "revision")


class Checkpoint:
    """The document on disk, as it was last read or written. Only to be used while the state lock is held.

    :ivar position: the last entry that the document on disk contains.
    """

    def __init__(self, paths: StatePaths, log: LogWriter) -> None:
        self.position = Position(0, "")
        self._file = DocumentFile(paths)
        self._shown = str(paths.shown)
        self._log = log
        self._digest: bytes | None = None

    def read(self) -> LoadedDocument | None:
        """Return the document on disk; ``None`` if there is none.

        :raises StateDamagedError: it cannot be used (also ``StateVersionError``).
        """
        loaded = self._file.read()
        self._digest = loaded.digest if loaded else None
        return loaded

    def set_aside(self) -> str | None:
        """Keep a copy of the document, whatever it holds, and return its name; ``None`` if there is no document.

        :raises StateWriteError: the copy cannot be written.
        """
        name, self._digest = self._file.set_aside() or (None, None)
        return name

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the operating system refuses into sentences.

        :raises StateWriteError: the document could not be written. What is in the log is not lost.
        """
        try:
            yield
        except OSError as error:
            reason = f"the document cannot be written ({error.strerror or error})"
            if self._log.holds_uncheckpointed:
                # The events are already committed to the log. Say so, or the caller would retry them.
                reason += (
                    "; what was asked for is in the audit log and counts, and the next command that can write "
                    "brings the document up to date"
                )
            raise StateWriteError(self._shown, reason) from error
        except RecursionError as error:
            reason = "the document is too deeply nested to be written back; remove what another tool nested so deeply"
            raise StateWriteError(self._shown, reason) from error

    def try_to_replace(self, document: Document, patience: float) -> bool:
        """Replace the document on disk; return False if another program changed it, and nothing was done.

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
            if self._log.unlogged:
                # They are counted again with the next attempt.
                metadata["unlogged_changes"] = counted_before
            raise
        if digest is None:
            return False
        self._digest = digest
        self.position = head
        self._log.checkpointed()
        return True

    def merged(self, known: Document) -> Document:
        """Return what another program wrote, brought up to date with everything known here."""
        self._log.fast_path_ok = False
        loaded = self._file.read()
        if loaded is None:
            # It was deleted. Memory holds the whole state.
            self._digest = None
            return known
        document = loaded.document
        log = AuditLogFile(self._log.path)
        has_all = False
        try:
            # A document that names no entry is an edit of one that did not name one when it was read.
            anchor = Position(*document.audit) if document.audit else self.position
            if self._log.file.is_open and not self._log.has_failed:
                # Nothing, unless the lock file was deleted: the document must not name an entry before its
                # last.
                self._log.file.read_new()
            if log.open(writable=False):
                has_all = not log.seek(anchor, known.migration_id)
                replay(document, log.read_new())
        except OSError as error:
            self._log.fail(error)
        finally:
            log.close()
        apply_all(document, self._log.unlogged if has_all else self._log.uncheckpointed())
        for key in ADOPTED:
            document.metadata.setdefault(key, known.metadata.get(key))
        # Not before it is merged: a document that could not be merged must not be replaced by the next
        # attempt.
        self._digest = loaded.digest
        return document
