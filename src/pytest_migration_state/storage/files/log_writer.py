"""The writing side of the audit log: what is in it, what it would not take, and what it must say of itself."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pytest_migration_state.domain import events
from pytest_migration_state.errors import StateDamagedError
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.paths import exists, unreadable
from pytest_migration_state.storage.files.recovery import apply_all, replay
from pytest_migration_state.storage.files.repair import repair_tail
from pytest_migration_state.storage.records import event_of
from pytest_migration_state.text import counted, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.types import JsonObject


class LogWriter:
    """Writes the events of one state to its audit log. Only to be used while the state lock is held.

    :param author: who writes; see :func:`~pytest_migration_state.storage.records.author_fields`.
    :param notify: called with a sentence about what a person should know although the work goes on.
    :ivar file: the log.
    :ivar has_failed: whether the log takes no entries, so that only the document holds the newest.
    :ivar fast_path_ok: whether every event in memory is in the log and no ``Recovered`` entry is pending.
    :ivar unlogged: events that the log could not take, with their timestamps.
    :ivar gap: what the log has lost and does not say yet, in words.
    """

    def __init__(self, path: Path, author: JsonObject, notify: Callable[[str], None]) -> None:
        self.path = path
        self.file = AuditLogFile(path)
        self.has_failed = False
        self.fast_path_ok = False
        self.unlogged: list[tuple[Event, str]] = []
        self.gap: str | None = None
        # Encoded lines that the checkpoint does not hold yet: bytes, so that the garbage collector ignores
        # them.
        self._uncheckpointed: list[bytes] = []
        # Repairs that the log does not say yet.
        self._repairs: list[str] = []
        self._author = author
        self._notify = notify

    # --- opening --------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the log if there is one, for writing where that is allowed, and repair its end."""
        self.has_failed = False
        # The one that was open may be deleted by now.
        self.file.close()
        try:
            if self.file.open(writable=exists(self.path)):
                self._repair_tail()
        except OSError as error:
            self.fail(error)
            if not self.file.is_open:
                with contextlib.suppress(OSError):
                    self.file.open(writable=False)

    def open_at_end(self) -> None:
        """Open the log, and go to its end.

        :raises StateDamagedError: it cannot be read.
        """
        self.open()
        try:
            self.file.seek_last()
        except OSError as error:
            raise unreadable(self.path, error) from error

    def reopen(self, document: Document) -> None:
        """Go on with the log that is at the path now, from the entry that ``document`` contains.

        :raises OSError: it cannot be written.
        :raises StateDamagedError: it is damaged, or belongs to something else.
        """
        head = self.file.head
        try:
            self.file.open(writable=True)
            self._repair_tail()
            if head.seq:
                gap = self.file.seek(head, document.migration_id)
                self.gap = self.gap or gap
            else:
                self.file.seek_last()
            replay(document, self.file.read_new())
        except BaseException:
            self.file.close()
            self.file.head = head
            raise
        self.has_failed = False

    def _repair_tail(self) -> None:
        if torn := repair_tail(self.file):
            self.add_repair(f"A torn last line was set aside in '{torn}'")

    # --- writing --------------------------------------------------------------------------------------------

    def write(self, document: Document, staged: list[tuple[Event, str]]) -> bool:
        """Log events that are applied to ``document``, and before them what is pending.

        Return False if the log fails.

        Pending is what the log could not take earlier and, before that, what it must say of itself; the
        latter is applied to ``document`` here.
        """
        try:
            if self.has_failed or not self.file.is_open:
                self.reopen(document)
            about = [(event, utc_now()) for event in self._about_itself(document)]
            if pending := [*about, *self.unlogged, *staged]:
                self._uncheckpointed += self.file.append(pending, self._author)[len(about) :]
        except OSError as error:
            self.fail(error)
            return False
        except StateDamagedError as error:
            self.fail(error.reason)
            return False
        self.gap = None
        self._repairs = []
        if about or self.unlogged:
            apply_all(document, about)
            self.unlogged.clear()
        self.fast_path_ok = True
        return True

    def try_append(self, event: Event, timestamp: str) -> bool:
        """Log one event if the log still ends with our own last entry. Return False if nothing was done.

        :raises OSError: it could not be written.
        """
        line = self.file.try_append(event, timestamp, self._author)
        if line is None:
            return False
        self._uncheckpointed.append(line)
        return True

    def _about_itself(self, document: Document) -> list[Event]:
        about = []
        if self.gap:
            head = self.file.head
            details = f"{self.gap}; the document holds their effect"
            about.append(events.recovered(details, continues={"seq": head.seq, "hash": head.hash}))
        about += [events.recovered(repair) for repair in self._repairs]
        for event in about:
            self._notify(f"{self.path}: {event.details}")
        if missing := document.metadata.get("unlogged_changes"):
            details = (
                f"{counted(missing, 'change')} only in the document: the log was not writable at the time"
            )
            about.append(events.recovered(details, metadata={"unlogged_changes": None}))
        return about

    def add_repair(self, sentence: str) -> None:
        """Have the log say that something was repaired."""
        self._repairs.append(sentence)

    @property
    def has_something_to_say(self) -> bool:
        """Whether the log has lost something or was repaired, and does not say so yet."""
        return bool(self._repairs or self.gap)

    def fail(self, error: OSError | str) -> None:
        """Note that the log takes no entries, and say so once."""
        if not self.has_failed:
            reason = error if isinstance(error, str) else error.strerror or error
            self._notify(
                f"{self.path}: the audit log cannot be written ({reason}); the document is written directly"
            )
        self.has_failed = True
        self.fast_path_ok = False

    # --- what the document on disk does not hold ------------------------------------------------------------

    def uncheckpointed(self) -> list[tuple[Event, str]]:
        """Return the events, with their timestamps, that the document on disk does not hold, logged or not."""
        return [*map(event_of, self._uncheckpointed), *self.unlogged]

    @property
    def holds_uncheckpointed(self) -> bool:
        """Whether there are events in the log, and nowhere else, that the document on disk does not hold."""
        return bool(self._uncheckpointed) and not self.unlogged

    def keep_as_unlogged(self) -> None:
        """Treat what was written to a log that is gone as not logged."""
        self.unlogged = self.uncheckpointed()
        self._uncheckpointed = []

    def checkpointed(self) -> None:
        """Note that the document on disk holds everything."""
        self._uncheckpointed.clear()
        self.unlogged.clear()

    def forget_messages(self) -> None:
        """Forget what the log was to say of itself: the state is loaded anew."""
        self.gap = None
        self._repairs = []

    def loaded(self) -> None:
        """Note that the document was loaded with all that the log holds."""
        self._uncheckpointed = []

    def reset(self) -> None:
        """Reset the in-memory state."""
        self._uncheckpointed = []
        self.unlogged = []
        self.forget_messages()
