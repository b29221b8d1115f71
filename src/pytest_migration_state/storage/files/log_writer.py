"""The writing side of the audit log, with the events and messages that it does not contain yet."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pytest_migration_state.domain import events
from pytest_migration_state.domain.overtaken import Shut, shut_now, written_late
from pytest_migration_state.domain.schema import raised_version
from pytest_migration_state.errors import StateDamagedError
from pytest_migration_state.storage.files.audit_log import AuditLogFile, NewLinesError
from pytest_migration_state.storage.files.journals import Taken, without_lower_marks
from pytest_migration_state.storage.files.paths import exists, unreadable
from pytest_migration_state.storage.files.recovery import lines_count, replay
from pytest_migration_state.storage.files.repair import repair_tail
from pytest_migration_state.storage.records import encode_event, event_of
from pytest_migration_state.text import counted, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.files.paths import StatePaths
    from pytest_migration_state.storage.records import Author, Encoded
    from pytest_migration_state.types import Key


class OthersTakenError(NewLinesError):
    """The log cannot be written, and what was taken from journals of other runs stays there: read again."""


class LogWriter:
    """The writer of one state's audit log. Use it only while the state lock is held.

    :param author: who writes here.
    :param notify: called with a warning, one sentence, while the work goes on.
    :ivar file: the log.
    :ivar has_failed: whether the log cannot be written, so that only the document holds the newest events.
    :ivar own_run: the run whose journal this writer empties, or ``None``.
    :ivar unlogged: events that the log could not take, with their timestamps.
    :ivar gap: a message about lost entries that is not in the log yet.
    """

    def __init__(self, paths: StatePaths, author: Author, notify: Callable[[str], None]) -> None:
        self.path = paths.log
        self._paths = paths
        self.file = AuditLogFile(paths.log)
        self._document_path = paths.document
        self.has_failed = False
        self.own_run: str | None = None
        self.unlogged: list[tuple[Event, str]] = []
        self.gap: str | None = None
        # Encoded lines that the checkpoint does not contain yet: bytes, so that the garbage collector ignores
        # them.
        self._uncheckpointed: list[bytes] = []
        # Those of the unlogged events that were written to a log that was gone afterwards.
        self._written_before: list[tuple[Event, str]] = []
        # What kept the gate shut for the passes of this writer when they happened.
        self._shut_when_noted: dict[Key, Shut] = {}
        # Messages about repairs that are not in the log yet.
        self._repairs: list[str] = []
        self._author = author
        self._notify = notify

    # --- opening --------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the log if there is one, for writing where that is allowed, and repair its end."""
        self.has_failed = False
        # The file that was open may be deleted by now.
        self.file.close()
        try:
            if exists(self.path):
                self.file.open_to_write(self._document_path)
                self._repair_tail()
        except OSError as error:
            self.fail(error)
            if not self.file.is_open:
                with contextlib.suppress(OSError):
                    self.file.open_to_read()

    def open_at_end(self) -> None:
        """Open the log, and go to its end.

        :raises StateDamagedError: it cannot be read.
        """
        self.open()
        self._seek_last()

    def reopen(self, document: Document) -> None:
        """Continue with the log that is at the path now, from the last entry that ``document`` contains.

        :raises NewLinesError: another program has added lines to it, or another writer entries that come
            before the unlogged events.
        :raises OSError: it cannot be written.
        :raises StateDamagedError: it is damaged, or belongs to another state.
        """
        head = self.file.head
        try:
            self.file.open_to_write(self._document_path)
            self._repair_tail()
            if head.seq:
                gap = self.file.seek(head, document.migration_id)
                self.gap = self.gap or gap
                if gap is None:
                    self._forget_written_before()
            else:
                self.file.seek_last()
            self._replay_new(document)
            self._check_new_lines()
        except BaseException:
            self.file.close()
            self.file.head = head
            raise
        self.has_failed = False

    def _replay_new(self, document: Document) -> None:
        """Apply new entries to a document that has the unlogged events already, which come after them.

        :raises NewLinesError: there are entries that would come too late.
        """
        new = self.file.read_new()
        if new and self.unlogged:
            raise NewLinesError
        replay(document, new)

    def _repair_tail(self) -> None:
        if torn := repair_tail(self.file):
            self.add_repair(f"A torn last line was set aside in '{torn}'")

    # --- writing --------------------------------------------------------------------------------------------

    @property
    def has_lines_of_others(self) -> bool:
        """True if lines of other programs that count stand behind the last entry that was read."""
        return self.file.ends_with_foreign_lines and lines_count(self._paths)

    def _check_new_lines(self) -> None:
        """Raise if other programs have added lines that count.

        :raises NewLinesError: they have.
        """
        if self.has_lines_of_others:
            raise NewLinesError

    def skip_new_lines(self) -> None:
        """Pass over the lines that other programs added since the log was read: a new migration begins.

        :raises StateDamagedError: it cannot be read.
        """
        if self.file.is_open:
            self._seek_last()

    def _seek_last(self) -> None:
        try:
            self.file.seek_last()
        except OSError as error:
            raise unreadable(self.path, error) from error

    def write(
        self,
        document: Document,
        taken: Sequence[Taken],
        external: list[tuple[Event, str]],
        staged: list[tuple[Event, str]],
    ) -> None:
        """Log events that are already applied to ``document``, and pending ones before them.

        Pending are the entries about the log itself (gaps and repairs), which are applied to ``document``
        here; the events that were taken from journals; what other programs did; and then the events that the
        log could not take earlier. If the log cannot be written, all of them are kept for the document.

        :raises NewLinesError: another program has added lines since the log was read.
        :raises OthersTakenError: the log cannot be written, and events of other runs were taken.
        """
        try:
            if self.has_failed or not self.file.is_open:
                self.reopen(document)
            about = [(event, utc_now()) for event in self._about_itself(document)]
            if pending := [*about, *self._in_order(taken, external), *staged]:
                lines = self.file.append(self._encoded(pending), lambda: lines_count(self._paths))
                self._uncheckpointed += lines[len(about) :]
        except (OSError, StateDamagedError) as error:
            self.fail(error if isinstance(error, OSError) else error.reason)
            if document.metadata.get("unlogged_changes"):
                # Whoever can write the log takes the whole document over.
                external = []
            if any(one.run_id != self.own_run for one in taken):
                # The journals of other runs still hold what was taken from them.
                raise OthersTakenError from error
            in_order = [*self._in_order(taken, external), *staged]
            self.unlogged = [one.dated if isinstance(one, Taken) else one for one in in_order]
            self._tell(external)
            return
        self._tell(external)
        self.gap = None
        self._repairs = []
        # A document that is taken over has its own number of changes, whatever stands before it in the log.
        is_taken_over = any("adopted" in event.data for event, _ in external)
        for event, timestamp in about:
            events.apply_effects(document, event.data)
            if not is_taken_over:
                document.touch(timestamp)
        self.unlogged.clear()

    def _in_order(
        self, taken: Sequence[Taken], external: list[tuple[Event, str]]
    ) -> list[Taken | tuple[Event, str]]:
        """Return the events of others, of journals, and those that the log could not take, in their order."""
        if self.unlogged:
            # They were applied before what was taken from journals since then.
            return [*external, *self.unlogged, *taken]
        return [*taken, *external]

    def _encoded(self, pending: list[Taken | tuple[Event, str]]) -> list[tuple[Encoded, bytes]]:
        """Return events with their authors: whoever writes them, and in case of journals their own runs."""
        own = self._author.encoded()
        authors: dict[str, bytes] = {}
        encoded = []
        for one in pending:
            if isinstance(one, Taken):
                if one.run_id not in authors:
                    authors[one.run_id] = self._author._replace(run_id=one.run_id).encoded()
                encoded.append((one.encoded or encode_event(*one.dated), authors[one.run_id]))
            else:
                encoded.append((encode_event(*one), own))
        return encoded

    def _tell(self, external: list[tuple[Event, str]]) -> None:
        """Warn of what other programs did that must not go unnoticed."""
        for event, _ in external:
            if event.level == "WARNING":
                self.tell(event.details)

    def tell(self, sentence: str) -> None:
        """Warn of something about the state."""
        self._notify(f"{self._paths.shown}: {sentence}")

    def _about_itself(self, document: Document) -> list[Event]:
        about = []
        if self.gap:
            head = self.file.head
            details = f"{self.gap}; the document holds their effect"
            lost = {"lost_entries": self.gap, **raised_version(document.metadata)}
            continues = {"seq": head.seq, "hash": head.hash}
            about.append(events.recovered(details, continues=continues, metadata=lost))
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
        """Add a message about a repair, to be written to the log."""
        if sentence not in self._repairs:
            self._repairs.append(sentence)

    @property
    def has_something_to_say(self) -> bool:
        """True if a message about a gap or a repair is not in the log yet."""
        return bool(self._repairs or self.gap)

    def fail(self, error: OSError | str) -> None:
        """Note that the log cannot be written, and warn about it once."""
        if not self.has_failed:
            reason = error if isinstance(error, str) else error.strerror or error
            self._notify(
                f"{self.path}: the audit log cannot be written ({reason}); the document is written directly"
            )
        self.has_failed = True

    # --- what the document on disk does not hold ------------------------------------------------------------

    def note_known(self, event: Event, document: Document) -> None:
        """Note what is known of the state when an event happens: it may be written later."""
        for key, shut in shut_now(event, document).items():
            self._shut_when_noted[key] = shut.and_before(self._shut_when_noted.get(key, Shut()))

    def late(self, event: Event, document: Document) -> Event:
        """Return an event of this writer as it counts when it is written later than it happened."""
        return without_lower_marks(
            written_late(event, document, self._shut_when_noted, self.own_run), document
        )

    def apply_unlogged(self, document: Document) -> None:
        """Apply the unlogged events to a document that was read again, as they count now."""
        self.unlogged = self._applied_late(self.unlogged, document)

    def apply_uncheckpointed(self, document: Document) -> None:
        """Apply every event that the document on disk does not hold, as it counts now."""
        self._applied_late(map(event_of, self._uncheckpointed), document)
        self.apply_unlogged(document)

    def _applied_late(
        self, dated_events: Iterable[tuple[Event, str]], document: Document
    ) -> list[tuple[Event, str]]:
        applied = []
        for dated in dated_events:
            event = self.late(dated[0], document)
            events.apply(document, event.data, dated[1])
            # The same object, where nothing has changed: it is compared by identity.
            applied.append(dated if event is dated[0] else (event, dated[1]))
        return applied

    @property
    def holds_uncheckpointed(self) -> bool:
        """True if the log holds events that the document on disk does not, and no event is unlogged."""
        return bool(self._uncheckpointed) and not self.unlogged

    def keep_as_unlogged(self) -> None:
        """Treat the events that were written to a log that is gone as not logged."""
        self._written_before = [*map(event_of, self._uncheckpointed)]
        self.unlogged = [*self._written_before, *self.unlogged]
        self._uncheckpointed = []

    def _forget_written_before(self) -> None:
        """Note that the log that was gone is there again."""
        found = {id(dated) for dated in self._written_before}
        self.unlogged = [dated for dated in self.unlogged if id(dated) not in found]
        self._written_before = []

    def checkpointed(self) -> None:
        """Note that the document on disk holds everything."""
        self._uncheckpointed.clear()
        self.unlogged.clear()
        self._shut_when_noted.clear()

    def loaded(self) -> None:
        """Note that the document was loaded with everything in the log."""
        self._uncheckpointed = []

    def reset(self) -> None:
        """Reset the in-memory state."""
        self._uncheckpointed = []
        self.unlogged = []
        self._shut_when_noted = {}
        self.gap = None
        self._repairs = []
