"""The protocol of a store. Callers know only this protocol, and no file, folder or database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.errors import MigrationStateError, StateNotFoundError
    from pytest_migration_state.storage.records import Line
    from pytest_migration_state.types import JsonObject, Liveness

#: How long a writer waits for another, in seconds.
DEFAULT_TIMEOUT: Final = 60.0

#: A function that returns the events that change a document, or raises to change nothing. It is pure and must
#: not change the document: a store calls it again if another writer committed first.
Decide = Callable[["Document"], "Sequence[Event]"]
#: The same for the beginning of a migration. Its argument says whether there is a state already.
DecideBeginning = Callable[[bool], "Sequence[Event]"]


class Commit(NamedTuple):
    """The result of a commit.

    :ivar document: the state after it.
    :ivar created: whether the state had to be created for it.
    """

    document: Document
    created: bool


class RunLog(Protocol):
    """The writer of one run of tests. It is used by one thread at a time."""

    @property
    def document(self) -> Document:
        """The state as this run last saw it."""

    @property
    def failure(self) -> MigrationStateError | None:
        """The reason why the last event could not be written; ``None`` if it could."""

    @property
    def unrecorded(self) -> list[Event]:
        """The events that could not be written yet. Each later write tries again, in order."""

    def commit(self, decide: Decide, *, reload: bool = False) -> None:
        """Write the events that ``decide`` returns, and flush them to the disk.

        :param reload: reload the whole state first, to include the changes of other programs.
        :raises MigrationStateError: the state cannot be used, or another migration was begun in its place.
        """

    def record_verdict(self, verdict: JsonObject, now: str) -> None:
        """Write a verdict of ``now``, as the document holds it.

        Never raises because of the state: see :attr:`unrecorded` and :attr:`failure`.
        """

    def record(self, event: Event, now: str) -> None:
        """Write another event of ``now``.

        Never raises because of the state: see :attr:`unrecorded` and :attr:`failure`.
        """

    def retry(self) -> None:
        """Try once more to write what could not be written yet. Never raises because of the state."""

    def finish(self, event: Event, now: str) -> None:
        """Write the last event, and flush everything to the disk. Never raises because of the state."""

    def close(self) -> None:
        """Close the files. The run is no longer alive, even if its end could not be recorded."""


class StateStore(Protocol):
    """The store of one state. Threads may share it."""

    @property
    def address(self) -> str:
        """The address of the state, as a person would type it."""

    @property
    def log_name(self) -> str:
        """The name of the audit log, for messages about it."""

    @property
    def log_address(self) -> str:
        """The address of the audit log."""

    def read(self) -> Document:
        """Return the state as it is now, without waiting for writers and without changing anything.

        :raises StateNotFoundError: there is none.
        :raises StateDamagedError: document or log cannot be used.
        :raises StateVersionError: it was written by a newer version of the format.
        """

    def commit(self, decide: Decide, *, create: bool = False) -> Commit:
        """Write the events that ``decide`` returns for the state as it is now: all of them or none.

        :param create: create the state if there is none. If ``decide`` then refuses, none is created, and a
            note of the error says so.
        :raises MigrationStateError: as :meth:`read`, or another writer or the operating system prevents it;
            nothing was changed. Whatever ``decide`` raises is passed on.
        """

    def initialize(self, decide: DecideBeginning) -> Commit:
        """Write the events that ``decide`` returns, the first of which begins a migration.

        An existing state is set aside, even one that can no longer be read.
        """

    def beginning(self, now: str) -> Event:
        """Return the event that begins a new migration in this store."""

    def write_early(self, event: Event) -> bool:
        """Write a line of four keys to the log of a migration that has not begun.

        :returns: False if it has begun, and nothing was written.
        :raises MigrationStateError: the log cannot be written, or is that of another state.
        """

    def begin_run(self, run_id: str, decide: Decide) -> tuple[RunLog, bool]:
        """Begin a run with the events that ``decide`` returns.

        ``decide`` may raise to refuse the run before anything is written.

        :returns: the run's writer, and whether the state had to be created.
        """

    def process_fields(self) -> JsonObject:
        """Return host and id of this process, as its runs record them."""

    def liveness_of(self, runs: Mapping[str, JsonObject]) -> dict[str, Liveness]:
        """Return whether each of these open runs is alive, by id."""

    def close(self) -> None:
        """Close the files. A closed store opens them again when it is used."""

    # --- for verification and readers of the log ---

    def checkpoint(self) -> Document | None:
        """Return the document without later entries of the log; ``None`` if there is no document."""

    def audit_lines(self, *, backwards: bool = False) -> Iterator[Line]:
        """Yield every line of the audit log in order. ``damage`` says what is wrong with a damaged one.

        :param backwards: whether the last comes first. Then only as much is read as is needed, and only lines
            that are damaged or no JSON objects are numbered.
        :raises FileNotFoundError: there is no log.
        :raises OSError: it cannot be read.
        """

    def lines_with(self, actions: Sequence[str]) -> Iterator[Line]:
        """Yield the lines of the audit log with one of these actions, in order.

        Of a long log, only the newest part may be looked through.

        :raises OSError: the log cannot be read, or there is none.
        """

    def foreign_lines(self, *, backwards: bool = False) -> Iterator[Line]:
        """Yield the lines of other programs in another log that may be about this state.

        :param backwards: whether the last comes first.
        """

    def other_documents(self) -> list[Document]:
        """Return the other states whose lines other programs may have written to this state's log."""

    def not_found(self) -> StateNotFoundError:
        """Return the error for a missing state."""
