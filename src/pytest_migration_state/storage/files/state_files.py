"""The files of one state under its lock: loaded, changed, committed, and checkpointed.

The commit protocol (every writer, under the lock): bring the document up to date (the checkpoint, and every
entry of the log behind ``metadata.audit``), decide, append the entries (the commit point), replace the
document now or later. Nothing is decided here.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain import events
from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.errors import (
    MigrationStateError,
    StateDamagedError,
    StateNotFoundError,
    StateWriteError,
)
from pytest_migration_state.storage.files.atomic import sweep
from pytest_migration_state.storage.files.checkpoint import ADOPTED, Checkpoint
from pytest_migration_state.storage.files.lock import StateLock
from pytest_migration_state.storage.files.log_writer import LogWriter
from pytest_migration_state.storage.files.recovery import apply_all, bring_up_to_date, replay
from pytest_migration_state.storage.identity import this_platform
from pytest_migration_state.storage.records import Position
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.files.paths import StatePaths
    from pytest_migration_state.types import JsonObject


#: How often a checkpoint begins again because another program changed the document in the meantime.
_CHECKPOINT_ATTEMPTS: Final = 100

_open_states: Final[weakref.WeakSet[StateFiles]] = weakref.WeakSet()


def _after_fork() -> None:
    """In the child: locks belong to open files, and the child shares those of the parent.

    It must use neither.
    """
    for files in list(_open_states):
        files.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class StateFiles:
    """The files of one state, for one user of them.

    :param author: who writes; see :func:`~pytest_migration_state.storage.records.author_fields`.
    :param notify: called with a sentence about what a person should know although the work goes on.
    :ivar document: the state as it was last brought up to date. Only to be read or changed while the lock is
        held.
    :ivar lock: the state lock.
    """

    def __init__(
        self, paths: StatePaths, author: JsonObject, lock_timeout: float, notify: Callable[[str], None]
    ) -> None:
        self.paths = paths
        self.document: Document
        self.lock = StateLock(paths.lock, lock_timeout)
        self._notify = notify
        self._log = LogWriter(paths.log, author, notify)
        self._checkpoint = Checkpoint(paths, self._log)
        self._mutex = threading.RLock()
        self._is_loaded = False
        # Events that are applied and not committed; whether one of them begins a migration in the place of
        # another.
        self._staged: list[tuple[Event, str]] = []
        self._replaces_existing = False
        _open_states.add(self)

    @property
    def is_log_failing(self) -> bool:
        """Whether the log takes no entries, so that only the document holds the newest."""
        return self._log.has_failed

    # --- holding the lock -----------------------------------------------------------------------------------

    @contextmanager
    def hold(self, *, create: bool = False, reuse: bool = False) -> Iterator[bool]:
        """Hold the lock with :attr:`document` up to date; yields whether the state had to be created.

        A state that had to be created is staged: it is on the disk with the first commit, and without one it
        never was.

        :param create: create the state (and its folder) if there is none.
        :param reuse: keep the document of the last time and read only what came into the log since: what a
            run does for each verdict. Changes that other programs made to the document are found at the next
            checkpoint.
        :raises MigrationStateError: the state cannot be used, or the lock or the files cannot be opened.
        """
        with self._mutex:
            self._log.fast_path_ok = False
            if not self._is_loaded:
                self.paths.prepare(create=create)
            with self.lock:
                created = False
                try:
                    if not reuse:
                        self._reset()
                    if not (self._is_loaded and self._catch_up()):
                        created = self._load(create)
                    yield created
                except MigrationStateError:
                    raise
                except BaseException:
                    # Interrupted anywhere, by Ctrl-C or a test's time limit: files and memory may differ.
                    self._is_loaded = False
                    raise
                finally:
                    if self._staged:
                        self._is_loaded = False

    @contextmanager
    def hold_for_beginning(self) -> Iterator[bool]:
        """Hold the lock whatever the state is like; yields whether there is a document or a log of one."""
        with self._mutex:
            self.paths.prepare(create=True)
            with self.lock:
                self._reset()
                self._log.open_at_end()
                yield os.path.lexists(self.paths.document) or self._log.file.head.seq > 0
                self._is_loaded = True

    def _catch_up(self) -> bool:
        """Bring the document of the last time up to date from the log; return False if it must be loaded again."""
        log = self._log
        try:
            if log.has_failed:
                log.reopen(self.document)
            elif not log.file.is_current():
                # The log was deleted, cut or exchanged. Keep what was written to it since the last
                # checkpoint.
                log.keep_as_unlogged()
                if os.path.lexists(self.paths.document):
                    return False
                # The document is gone too: memory holds the whole state.
                log.reopen(self.document)
            elif log.file.has_grown:
                replay(self.document, log.file.read_new())
                if log.file.has_new_bytes():
                    # A killed writer's unfinished line, or a log that was cut: the document on disk knows
                    # which.
                    return False
            self._log_repairs()
        except OSError as error:
            log.fail(error)
        except StateDamagedError:
            # It is another log: load what the files hold now, and put what only memory holds on top of it.
            log.keep_as_unlogged()
            return False
        return True

    def _load(self, create: bool) -> bool:
        """Load the state; return True if it had to be created.

        What the log has never taken is kept, and put on top.
        """
        log = self._log
        self._is_loaded = self._replaces_existing = False
        self._staged = []
        log.forget_messages()
        unlogged_of = self.document.migration_id if log.unlogged else None
        sweep(self.paths.document.parent, self.paths.document.name, self.paths.log.name)
        loaded = self._checkpoint.read()
        log.open()
        try:
            document, log.gap = bring_up_to_date(self.paths, log.file, loaded.document if loaded else None)
        except StateNotFoundError:
            if not create:
                raise
            self.stage(self.beginning(utc_now()))
            self._is_loaded = True
            return True
        self.document = document
        log.loaded()
        is_adopted = loaded is not None and document.audit is None
        self._checkpoint.position = Position(*(document.audit or log.file.head))
        if loaded is None:
            log.add_repair(
                f"The document '{self.paths.document.name}' was missing and has been rebuilt from this log"
            )
            self._checkpoint.position = Position(0, "")
        if document.migration_id != unlogged_of:
            # The migration that they are about was set aside with everything known about it.
            log.unlogged = []
        apply_all(document, log.unlogged)
        self._is_loaded = True
        self._log_repairs()
        if is_adopted:
            self._adopt()
        return False

    def _reset(self) -> None:
        """Reset the in-memory state."""
        self._is_loaded = self._replaces_existing = False
        self._staged = []
        self._log.reset()

    def _log_repairs(self) -> None:
        """Have the log say what it has lost and what was repaired."""
        if self._log.has_something_to_say:
            self.commit()
            self.checkpoint()

    def _adopt(self) -> None:
        """Give the document of another tool what it lacks, so that entries can be replayed onto it."""
        model = new_document(None, uuid.uuid4().hex, this_platform()).metadata
        for key in ADOPTED:
            self.document.metadata.setdefault(key, model[key])
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
        for event in new_events:
            if "initialize" in event.data:
                self._stage_beginning(timestamp)
            events.apply(self.document, event.data, timestamp)
            self._staged.append((event, timestamp))

    def _stage_beginning(self, timestamp: str) -> None:
        """Make room for a new migration, whatever is there. An older document is set aside by the commit."""
        if not self._log.file.is_open:
            self._log.open_at_end()
        self._replaces_existing = True
        self._checkpoint.position = self._log.file.head
        self.document = new_document(timestamp, "", "")

    def commit(self) -> None:
        """Append an entry for each staged event, all in one write. Only while the lock is held.

        A log that cannot be written stops nothing: the events are kept for the document, with a warning.

        :raises StateWriteError: the document that a new migration replaces cannot be set aside.
        """
        if self._replaces_existing:
            if aside := self._checkpoint.set_aside():
                self._notify(f"{self.paths.shown}: the earlier document is kept as {aside}")
            self._replaces_existing = False
        if not self._log.write(self.document, self._staged):
            self._log.unlogged.extend(self._staged)
        self._staged.clear()

    def try_append(self, event: Event, timestamp: str) -> bool:
        """Commit one event by the optimistic fast path, without holding the lock before.

        Every writer appends to the log. If the log still ends with our own last entry, the in-memory document
        is current and nothing has to be reloaded.

        :returns: False if that is not so, or not certain; nothing was done then, and the slow path
            (:meth:`hold`,
            :meth:`stage` and :meth:`commit`) finds out.
        """
        with self._mutex:
            if not (self._log.fast_path_ok and self._is_loaded):
                return False
            try:
                if not (self.lock.try_reacquire() and self._log.try_append(event, timestamp)):
                    return False
                events.apply(self.document, event.data, timestamp)
            except OSError:
                return False
            except BaseException:
                # Interrupted anywhere: log and memory may differ.
                self._is_loaded = False
                raise
            finally:
                try:
                    self.lock.release()
                except BaseException:
                    # Interrupted in that: nobody must find it held until the next verdict.
                    self.lock.release()
                    raise
            return True

    def checkpoint(self) -> None:
        """Replace the document by :attr:`document` and flush both files to the disk.

        Only while the lock is held.

        :raises StateWriteError: the document could not be written. What is in the log is not lost.
        """
        self._flush_log()
        with self._checkpoint.explained():
            for _ in range(_CHECKPOINT_ATTEMPTS):
                if self._checkpoint.try_to_replace(self.document, self.lock.timeout):
                    return
                self.document = self._checkpoint.merged(self.document)
        reason = "another program changes the document all the time; stop it, then try again"
        raise StateWriteError(str(self.paths.shown), reason)

    def _flush_log(self) -> None:
        if not self._log.file.is_open or self._log.has_failed:
            return
        try:
            self._log.file.flush()
        except OSError as error:
            # The pages that could not be written count as written from now on: a second try would prove
            # nothing. The document holds the effect of these entries, and is flushed by itself.
            refused = f"The disk refused to flush this log ({error.strerror})"
            self._log.add_repair(f"{refused}: lines before this one may be missing on it")
            self.commit()

    # --- closing --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the files."""
        with self._mutex, contextlib.suppress(OSError):
            self._log.file.close()
            self.lock.close()
            self._is_loaded = False

    def reset_after_fork(self) -> None:
        """Close the files, and forget who was using them: what a forked child does with the files of its parent."""
        self._mutex = threading.RLock()
        self.close()
        self._reset()
