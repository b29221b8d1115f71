"""One state on disk: the document as checkpoint, the audit log as write-ahead log, and the lock that ties them.

The commit protocol (every writer, under the lock): bring the document up to date (the checkpoint, and every entry of the
log behind ``metadata.audit``), decide, append the entry (the commit point), replace the document now or later. The store
decides nothing; that is the caller's part between :meth:`Store.held` and :meth:`Store.append`.

Other programs write the document and the log without our lock (PowerShell above all), so a checkpoint makes sure under a
lock on the document itself that it still is the one that was read, and starts again from what it finds where it is not.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import sys
import threading
import time
import uuid
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_migration_state.core import events
from pytest_migration_state.core.checkpoint import READ_PAUSE, Checkpoint, unreadable
from pytest_migration_state.core.document import Document, new_document
from pytest_migration_state.core.errors import (
    MigrationStateError,
    StateDamagedError,
    StateNotFoundError,
    StateWriteError,
)
from pytest_migration_state.core.files import sweep
from pytest_migration_state.core.journal import Journal
from pytest_migration_state.core.lines import Position, continues, event_of, signature
from pytest_migration_state.core.lock import DEFAULT_TIMEOUT, StateLock
from pytest_migration_state.core.text import storable, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_migration_state.core.checkpoint import Found
    from pytest_migration_state.core.events import Event
    from pytest_migration_state.core.lines import Entry

#: How often a checkpoint begins again because another program changed the document in the meantime.
_CHECKPOINT_ATTEMPTS: Final = 100

#: What a document of another tool is given when we first write it.
_ADOPTED: Final = ("version", "migration_type", "platform", "migration_id", "revision")


def audit_log_name(document_name: str) -> str:
    """The audit log's name: the stem of the document's without a final ``-state``, and ``-audit.log``."""
    return Path(document_name).stem.removesuffix("-state") + "-audit.log"


def this_actor() -> str:
    """Who writes: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return storable(f"{user}@{socket.gethostname()}")


def this_platform() -> str:
    return {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")


_stores: Final[weakref.WeakSet[Store]] = weakref.WeakSet()


def _after_fork() -> None:
    """In the child: locks belong to open files, and those of the parent are open here too. Neither may use the other's."""
    for store in list(_stores):
        store.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Store:
    """A state on disk, for one user of it.

    :param path: the document. A symbolic link is followed first; log and lock stand beside what it leads to.
    :param run_id: the run that the entries belong to, or ``None``.
    :param lock_timeout: how long to wait for the lock, in seconds.
    :param notify: called with a sentence about what a person should know although the work goes on.
    :ivar document: the state as it was last brought up to date. Only to be read or changed while the lock is held.
    """

    def __init__(
        self,
        path: Path,
        *,
        run_id: str | None = None,
        lock_timeout: float = DEFAULT_TIMEOUT,
        notify: Callable[[str], None],
    ) -> None:
        self.path = path
        self.document_path = Path(os.path.realpath(path))
        if not self.document_path.name:
            raise StateDamagedError(str(path), "this is a folder; name the state file in it, such as migration-state.json")
        self.log_path = self.document_path.with_name(audit_log_name(self.document_path.name))
        self.document: Document
        self._notify = notify
        self._signature = signature(run_id, this_actor())
        self._lock = StateLock(self.document_path.with_name(self.document_path.name + ".lock"), lock_timeout)
        self._journal = Journal(self.log_path)
        self._checkpoint = Checkpoint(self.document_path, path)
        self._mutex = threading.RLock()
        self._is_loaded = False
        # Does the log hold all that is known here, with nothing to be said of the log itself?
        self._is_settled = False
        # What the document on disk was when it was read or written: its digest, and the last entry it contains.
        self._digest: bytes | None = None
        self._anchor = Position(0, "")
        # What the document on disk does not hold yet: lines of the log as they were written there (a large run keeps many of
        # them, and bytes are nothing to the garbage collector), and events, with their timestamps, that the log does not hold.
        self._fresh: list[bytes] = []
        self._unlogged: list[tuple[Event, str]] = []
        # Events that are applied and not committed; whether one of them begins a migration in the place of another.
        self._staged: list[tuple[Event, str]] = []
        self._sets_aside = False
        self._log_failed = False
        # In words, what the log has lost, and what was mended, and the log does not say yet.
        self._gap: str | None = None
        self._repairs: list[str] = []
        _stores.add(self)

    @property
    def lock_timeout(self) -> float:
        """How long to wait for the lock, in seconds."""
        return self._lock.timeout

    @lock_timeout.setter
    def lock_timeout(self, seconds: float) -> None:
        self._lock.timeout = seconds

    @property
    def is_log_failing(self) -> bool:
        """Does the log not take entries, so that the document alone holds the newest?"""
        return self._log_failed

    # --- reading without the lock -----------------------------------------------------------------------------------

    def read(self) -> Document:
        """The state as it is now, without the lock and without changing anything.

        :raises StateNotFoundError: there is none.
        :raises StateDamagedError: document or log cannot be used.
        :raises StateVersionError: written by a newer version of the format.
        """
        attempts = 5
        while True:
            attempts -= 1
            try:
                return self._read_once()
            except StateDamagedError as error:
                # Document and log are read one after the other, and a writer may come in between. What is amiss with the
                # document alone was waited out already.
                if not attempts or error.path == str(self.path):
                    raise
                time.sleep(READ_PAUSE)

    def read_checkpoint(self) -> Document | None:
        """The document as it stands on the disk, without what the log has behind it; ``None`` where there is none."""
        found = self._checkpoint.read()
        return found.document if found else None

    def _read_once(self) -> Document:
        journal = Journal(self.log_path)
        try:
            found = self._checkpoint.read()
            try:
                journal.open(writable=False)
            except OSError as error:
                self._notify(f"{self.log_path}: the audit log cannot be read ({error.strerror}); the document alone is all that is known")
            document, _ = self._bring_up_to_date(journal, found)
            return document
        finally:
            journal.close()

    # --- holding the lock -------------------------------------------------------------------------------------------

    @contextmanager
    def held(self, *, create: bool = False, reuse: bool = False) -> Iterator[bool]:
        """Hold the lock with :attr:`document` up to date; gives whether the state had to be created.

        A state that had to be created is staged: it is on the disk with the first commit, and where none follows it never was.

        :param create: create the state (and its folder) where there is none.
        :param reuse: keep the document of the last time and read only what came into the log since: what a recorder does
            for each verdict. Changes that other programs made to the document are found at the next checkpoint.
        :raises MigrationStateError: of every kind of :meth:`read`, and when the lock or the files cannot be had.
        """
        with self._mutex:
            self._is_settled = False
            if not self._is_loaded:
                self._prepare(create)
            with self._lock:
                created = False
                try:
                    if not reuse:
                        self._forget()
                    if not (self._is_loaded and self._catch_up()):
                        created = self._load(create)
                    yield created
                except MigrationStateError:
                    raise
                except BaseException:
                    # Interrupted anywhere, by Ctrl-C or a test's time limit: files and memory may be out of step.
                    self._is_loaded = False
                    raise
                finally:
                    if self._staged:
                        self._is_loaded = False

    def _prepare(self, create: bool) -> None:
        """Refuse what needs no lock to be refused, and make the folder."""
        try:
            if os.path.isdir(self.document_path):
                raise self._checkpoint.is_folder()
            if create:
                os.makedirs(self.document_path.parent, exist_ok=True)
            elif not (_is_there(self.document_path) or _is_there(self.log_path)):
                raise self.not_found()
        except OSError as error:
            reason = f"its folder cannot be {'created' if create else 'reached'} ({error.strerror})"
            raise StateWriteError(str(self.path), reason) from error

    def not_found(self) -> StateNotFoundError:
        """The error that there is no state."""
        return StateNotFoundError(str(self.path), "there is no migration state here; begin one with 'migration-state init'")

    def _catch_up(self) -> bool:
        """Bring the document of the last time up to date from the log; false where it must be loaded anew."""
        try:
            if self._log_failed:
                self._reopen_log()
            elif not self._journal.is_current():
                # The log was deleted, cut or exchanged under us. What we wrote to it since the last checkpoint is ours to keep.
                self._unlogged, self._fresh = self._unwritten(), []
                if os.path.lexists(self.document_path):
                    return False
                # The document is gone too: what is held here is the whole state.
                self._reopen_log()
            elif self._journal.has_grown:
                self.document = _replay(self.document, self._journal.read_new())
                if self._journal.has_news():
                    # A killed writer's unfinished line, or a log that was cut: the document on disk knows which.
                    return False
            self._tell_repairs()
        except OSError as error:
            self._log_is_lost(error)
        except StateDamagedError:
            # It is not the log that we knew: the files tell what there is now, and what only we know goes on top of it.
            self._unlogged, self._fresh = self._unwritten(), []
            return False
        return True

    def _load(self, create: bool) -> bool:
        """Read the state anew; gives whether it had to be begun. What the log has never taken is kept, and put on top."""
        self._is_loaded = self._sets_aside = False
        self._staged, self._gap, self._repairs = [], None, []
        belongs_to = self.document.metadata.get("migration_id") if self._unlogged else None
        sweep(self.document_path.parent, self.document_path.name, self.log_path.name)
        found = self._checkpoint.read()
        self._open_log()
        try:
            self.document, self._gap = self._bring_up_to_date(self._journal, found)
        except StateNotFoundError:
            if not create:
                raise
            self.stage_beginning()
            self._is_loaded = True
            return True
        self._fresh = []
        self._digest = found.digest if found else None
        rebuilt = found is None
        if rebuilt:
            self._repairs.append(f"The document '{self.document_path.name}' was missing and has been rebuilt from this log")
        adopted = self.document.audit is None and not rebuilt
        self._anchor = Position(*(self.document.audit or self._journal.head)) if not rebuilt else Position(0, "")
        if self.document.metadata.get("migration_id") != belongs_to:
            # The migration that they are about was set aside with all that was known of it.
            self._unlogged = []
        self.document = _applied(self.document, self._unlogged)
        self._is_loaded = True
        self._tell_repairs()
        if adopted:
            self._adopt()
        return False

    def _forget(self) -> None:
        """Hold nothing of an earlier time."""
        self._is_loaded = self._sets_aside = False
        self._fresh, self._unlogged, self._staged, self._gap, self._repairs = [], [], [], None, []

    def _mend_log(self) -> None:
        """Set aside what a killed writer left unfinished at the log's end."""
        if torn := self._journal.mend_tail():
            self._repairs.append(f"A torn last line was set aside in '{torn}'")

    def _tell_repairs(self) -> None:
        """Say in the log what it has lost and what had to be mended."""
        if self._repairs or self._gap:
            self.append()
            self.checkpoint()

    def _adopt(self) -> None:
        """Give the document of another tool what it lacks, so that entries can be replayed onto it."""
        model = new_document(None, uuid.uuid4().hex, this_platform()).metadata
        for key in _ADOPTED:
            self.document.metadata.setdefault(key, model[key])
        self.checkpoint()

    # --- reading the files ------------------------------------------------------------------------------------------

    def _bring_up_to_date(self, journal: Journal, found: Found | None) -> tuple[Document, str | None]:
        """The document with what the log has behind it, and in words what the log lacks."""
        if found is None:
            return self._rebuilt(journal), None
        document = found.document
        try:
            if document.audit is None:
                journal.seek_last()
                return document, None
            if not journal.is_open and os.path.lexists(self.log_path):
                # It can be neither written nor read, as a warning has said: the document is all that there is.
                journal.head = Position(*document.audit)
                return document, None
            gap = journal.seek(Position(*document.audit), document.metadata.get("migration_id"))
            return _replay(document, journal.read_new()) if journal.is_open else document, gap
        except OSError as error:
            raise unreadable(self.log_path, error) from error

    def _rebuilt(self, journal: Journal) -> Document:
        """The document as the log alone tells it.

        :raises StateDamagedError: the log does not tell all of it.
        """
        try:
            entries = journal.read_new() if journal.is_open else []
        except OSError as error:
            raise unreadable(self.log_path, error) from error
        if not entries:
            if not journal.is_open and os.path.lexists(self.log_path):
                raise self._cannot_rebuild("cannot be read")
            raise self.not_found()
        begun = [index for index, entry in enumerate(entries) if "initialize" in entry.data]
        if not begun:
            raise self._cannot_rebuild("does not reach back to its beginning")
        owner = entries[begun[-1]].data["initialize"].get("state")
        if owner != self.document_path.name:
            reason = f"its audit log {self.log_path.name} is that of {owner} in the same folder; give this state another name"
            raise StateDamagedError(str(self.path), reason)
        told = entries[begun[-1] :]
        if any(continues(entry.data) or "unlogged_changes" in entry.data.get("metadata", {}) for entry in told):
            raise self._cannot_rebuild("has lost entries, or was not writable at times")
        return _replay(new_document(None, "", ""), told)

    def _cannot_rebuild(self, why: str) -> StateDamagedError:
        reason = f"the document is gone, and its audit log {self.log_path.name}, which it could be rebuilt from, {why}"
        return StateDamagedError(
            str(self.path), f"{reason}; restore the document from a copy, or begin anew with 'migration-state init --force'"
        )

    def _open_log(self) -> None:
        self._log_failed = False
        # The one that was open may be deleted by now.
        self._journal.close()
        try:
            if self._journal.open(writable=_is_there(self.log_path)):
                self._mend_log()
        except OSError as error:
            self._log_is_lost(error)
            if not self._journal.is_open:
                with contextlib.suppress(OSError):
                    self._journal.open(writable=False)

    def _open_log_at_end(self) -> None:
        self._open_log()
        try:
            self._journal.seek_last()
        except OSError as error:
            raise unreadable(self.log_path, error) from error

    # --- writing ----------------------------------------------------------------------------------------------------

    def stage_beginning(self) -> None:
        """Stage a new migration, whatever is there. An older document is set aside by the commit."""
        if not self._journal.is_open:
            self._open_log_at_end()
        self._sets_aside = True
        self._anchor = self._journal.head
        now = utc_now()
        self.document = new_document(now, "", "")
        self.stage(events.initialized(now, uuid.uuid4().hex, this_platform(), self.document_path.name))

    @contextmanager
    def held_for_beginning(self) -> Iterator[bool]:
        """Hold the lock whatever the state is like; gives whether there is neither a document nor a log of one."""
        with self._mutex:
            self._prepare(create=True)
            with self._lock:
                self._forget()
                self._open_log_at_end()
                yield not (os.path.lexists(self.document_path) or self._journal.head.seq)
                self._is_loaded = True

    def append(self, *news: Event) -> None:
        """:meth:`stage` and :meth:`commit`. Only while the lock is held."""
        self.stage(*news)
        self.commit()

    def stage(self, *news: Event, timestamp: str | None = None) -> None:
        """Apply events to :attr:`document` without writing anything yet.

        :param timestamp: when they happened, where that is not now.
        """
        timestamp = timestamp or utc_now()
        for event in news:
            self.document = events.apply(self.document, event.data, timestamp)
            self._staged.append((event, timestamp))

    def discard(self) -> None:
        """Take back what is staged: the document is read anew."""
        self._load(create=False)

    def commit(self) -> None:
        """Append an entry for each staged event, all in one write.

        A log that cannot be written stops nothing: the events are kept for the document, with a warning.

        :raises StateWriteError: the document that a new migration replaces cannot be set aside.
        """
        if self._sets_aside:
            aside = self._checkpoint.set_aside()
            self._digest = aside[1] if aside else None
            if aside:
                self._notify(f"{self.path}: the earlier document is kept as {aside[0]}")
            self._sets_aside = False
        if not self._try_to_log():
            self._unlogged.extend(self._staged)
        self._staged.clear()

    def append_next(self, event: Event, timestamp: str) -> bool:
        """Commit an event the short way, without holding the lock before: what a recorder does for each verdict.

        Whoever changes the state appends to the log. So where the log still ends with what this store wrote to it, a moment
        ago and with nothing left to be said, :attr:`document` is up to date, and nothing needs to be read or looked at.

        :returns: false where that is not so, or not sure; nothing was done then, and the long way (:meth:`held`, :meth:`stage`
            and :meth:`commit`) finds out how things are.
        """
        with self._mutex:
            if not (self._is_settled and self._is_loaded):
                return False
            try:
                if not self._lock.take_again() or (line := self._journal.append_next(event, timestamp, self._signature)) is None:
                    return False
                self.document = events.apply(self.document, event.data, timestamp)
                self._fresh.append(line)
            except OSError:
                return False
            except BaseException:
                # Interrupted anywhere: log and memory may be out of step.
                self._is_loaded = False
                raise
            finally:
                try:
                    self._lock.release()
                except BaseException:
                    # Interrupted in that: nobody must find it held until the next verdict.
                    self._lock.release()
                    raise
            return True

    def _try_to_log(self) -> bool:
        """Log what is staged, before it what the log would not take earlier, and before that what it must say of itself."""
        try:
            if self._log_failed or not self._journal.is_open:
                self._reopen_log()
            about = [(event, utc_now()) for event in self._about_the_log()]
            if every := [*about, *self._unlogged, *self._staged]:
                self._fresh += self._journal.append(every, self._signature)[len(about) :]
        except (OSError, StateDamagedError) as error:
            self._log_is_lost(error if isinstance(error, OSError) else error.reason)
            return False
        self._gap, self._repairs = None, []
        if about or self._unlogged:
            self.document = _applied(self.document, about)
            self._unlogged.clear()
        self._is_settled = True
        return True

    def _about_the_log(self) -> list[Event]:
        about = []
        if self._gap:
            head = self._journal.head
            about.append(events.recovered(f"{self._gap}; the document holds their effect", continues={"seq": head.seq, "hash": head.hash}))
        about += [events.recovered(repair) for repair in self._repairs]
        for event in about:
            self._notify(f"{self.log_path}: {event.details}")
        if missing := self.document.metadata.get("unlogged_changes"):
            details = f"{missing} changes stand in the document alone: the log could not be written when they were made"
            about.append(events.recovered(details, metadata={"unlogged_changes": None}))
        return about

    def _reopen_log(self) -> None:
        """Go on with the log that is there now, from the entry that the document contains.

        :raises OSError: it cannot be written.
        :raises StateDamagedError: it is damaged, or belongs to something else.
        """
        head = self._journal.head
        try:
            self._journal.open(writable=True)
            self._mend_log()
            if head.seq:
                gap = self._journal.seek(head, self.document.metadata.get("migration_id"))
                self._gap = self._gap or gap
            else:
                self._journal.seek_last()
            self.document = _replay(self.document, self._journal.read_new())
        except BaseException:
            self._journal.close()
            self._journal.head = head
            raise
        self._log_failed = False

    def _log_is_lost(self, error: OSError | str) -> None:
        if not self._log_failed:
            reason = error if isinstance(error, str) else error.strerror or error
            self._notify(f"{self.log_path}: the audit log cannot be written ({reason}); the document is written directly")
        self._log_failed, self._is_settled = True, False

    def checkpoint(self) -> None:
        """Replace the document by :attr:`document` and flush both files to the disk. Only while the lock is held.

        :raises StateWriteError: the document could not be written. What is in the log is not lost.
        """
        if self._journal.is_open and not self._log_failed:
            try:
                self._journal.flush()
            except OSError as error:
                # The pages that could not be written count as written from now on: trying again would prove nothing. The
                # document holds the effect of these entries, and is flushed by itself.
                self._repairs.append(f"The disk refused to flush this log ({error.strerror}): lines before this one may be missing on it")
                self.append()
        try:
            for _ in range(_CHECKPOINT_ATTEMPTS):
                if self._try_to_replace():
                    return
                self._merge()
        except OSError as error:
            reason = f"the document cannot be written ({error.strerror or error})"
            if self._fresh and not self._unlogged:
                # The commit point is behind us: who is told that nothing was done would do it twice.
                reason += "; what was asked for stands in the audit log and counts, and the next command that can write brings the document up to date"
            raise StateWriteError(str(self.path), reason) from error
        except RecursionError as error:
            reason = "the document is nested too deep to be written back; take out of it what another tool nested so deep"
            raise StateWriteError(str(self.path), reason) from error
        raise StateWriteError(str(self.path), "another program changes the document all the time; stop it, then try again")

    def _try_to_replace(self) -> bool:
        metadata = self.document.metadata
        metadata["audit"] = {"seq": self._journal.head.seq, "hash": self._journal.head.hash}
        counted = metadata.get("unlogged_changes")
        if self._unlogged:
            metadata["unlogged_changes"] = (counted or 0) + len(self._unlogged)
        try:
            digest = self._checkpoint.replace(self.document, self._digest, self._lock.timeout)
        except BaseException:
            if self._unlogged:
                # They are counted anew when it is tried again.
                metadata["unlogged_changes"] = counted
            raise
        if digest is None:
            return False
        self._digest, self._anchor = digest, self._journal.head
        self._fresh.clear()
        self._unlogged.clear()
        return True

    def _merge(self) -> None:
        """Another program wrote the document: bring what it wrote up to date with all that we know."""
        self._is_settled = False
        found = self._checkpoint.read()
        if found is None:
            # It was deleted. What we hold is the whole state.
            self._digest = None
            return
        document = found.document
        journal = Journal(self.log_path)
        has_all = False
        try:
            # A document that names no entry is an edit of one that did not name one when we read it.
            anchor = Position(*document.audit) if document.audit else self._anchor
            if self._journal.is_open and not self._log_failed:
                # Nothing, unless somebody deleted the lock file: the document must not name an entry before its last one.
                self._journal.read_new()
            if journal.open(writable=False):
                has_all = not journal.seek(anchor, self.document.metadata.get("migration_id"))
                document = _replay(document, journal.read_new())
        except OSError as error:
            self._log_is_lost(error)
        finally:
            journal.close()
        document = _applied(document, self._unlogged if has_all else self._unwritten())
        for key in _ADOPTED:
            document.metadata.setdefault(key, self.document.metadata.get(key))
        self.document, self._digest = document, found.digest

    def _unwritten(self) -> list[tuple[Event, str]]:
        """The events that the document on disk does not hold, with their timestamps, wherever they stand."""
        return [*map(event_of, self._fresh), *self._unlogged]

    def close(self) -> None:
        """Let go of the files."""
        with self._mutex, contextlib.suppress(OSError):
            self._journal.close()
            self._lock.close()
            self._is_loaded = False

    def let_go(self) -> None:
        """:meth:`close`, and forget who was using it: what a forked child does with the store of its parent."""
        self._mutex = threading.RLock()
        self.close()
        self._forget()


def _replay(document: Document, entries: list[Entry]) -> Document:
    for entry in entries:
        document = events.apply(document, entry.data, entry.timestamp)
    return document


def _applied(document: Document, news: list[tuple[Event, str]]) -> Document:
    for event, timestamp in news:
        document = events.apply(document, event.data, timestamp)
    return document


def _is_there(path: Path) -> bool:
    """Does it exist?

    :raises OSError: that cannot be told.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True
