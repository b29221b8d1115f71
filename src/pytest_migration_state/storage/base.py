"""What every store does. Whoever is above it knows this protocol and no file, folder or database."""

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

#: Returns the events that change a document, or raises to change nothing. It is pure and must not change the
#: document: a store asks again when another writer came first.
Decide = Callable[["Document"], "Sequence[Event]"]
#: The same where a migration begins, whatever is there: it is told whether there is a state already.
DecideBeginning = Callable[[bool], "Sequence[Event]"]


class Commit(NamedTuple):
    """What a commit did.

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
        """Why the last event could not be written; ``None`` if it could."""

    @property
    def unrecorded(self) -> list[Event]:
        """The events that could not be written yet. Each later write tries again, in order."""

    def commit(self, decide: Decide, *, reload: bool = False) -> None:
        """Write the events that ``decide`` returns, and have them on the disk.

        :param reload: read the whole state anew first, with what other programs changed meanwhile.
        :raises MigrationStateError: the state cannot be used, or another migration was begun in its place.
        """

    def record(self, event: Event, now: str) -> None:
        """Write an event of ``now``.

        Never raises because of the state: see :attr:`unrecorded` and :attr:`failure`.
        """

    def retry(self) -> None:
        """Try once more to write what could not be written yet. Never raises because of the state."""

    def finish(self, event: Event, now: str) -> None:
        """Write the last event, and have everything on the disk. Never raises because of the state."""

    def close(self) -> None:
        """Close the files. Whatever became of the run, it is no longer alive."""


class StateStore(Protocol):
    """Where one state lives. Threads may share a store."""

    @property
    def address(self) -> str:
        """Where the state is, as a person would type it."""

    @property
    def log_name(self) -> str:
        """What the audit log is called, for sentences about it."""

    @property
    def log_address(self) -> str:
        """Where the audit log is."""

    def read(self) -> Document:
        """Return the state as it is now, without waiting for writers and without changing anything.

        :raises StateNotFoundError: there is none.
        :raises StateDamagedError: document or log cannot be used.
        :raises StateVersionError: it was written by a newer version of the format.
        """

    def commit(self, decide: Decide, *, create: bool = False) -> Commit:
        """Write the events that ``decide`` returns for the state as it is now: all of them or none.

        :param create: create the state if there is none.
        :raises MigrationStateError: as :meth:`read`, or another writer or the operating system prevents it;
            nothing was changed. Whatever ``decide`` raises is passed on.
        """

    def initialize(self, decide: DecideBeginning) -> Commit:
        """Write the events that ``decide`` returns, of which the first begins a migration, whatever is there.

        An older state that can no longer be read is set aside too.
        """

    def beginning(self, now: str) -> Event:
        """Return the event that begins a new migration in this store."""

    def begin_run(self, run_id: str, decide: Decide) -> tuple[RunLog, bool]:
        """Begin a run with the events that ``decide`` returns; it raises to refuse the run before anything is written.

        :returns: the run's writer, and whether the state had to be created.
        """

    def process_fields(self) -> JsonObject:
        """Return what others need to learn whether a run of this process is alive: its host, id and start."""

    def liveness_of(self, runs: Mapping[str, JsonObject]) -> dict[str, Liveness]:
        """Return whether each of these open runs is alive, by id."""

    def close(self) -> None:
        """Close the files. A closed store opens them again when it is used."""

    # --- what verification and readers of the log need ---

    def checkpoint(self) -> Document | None:
        """Return the document without what the log has behind it; ``None`` if there is none."""

    def audit_lines(self) -> Iterator[Line]:
        """Yield every line of the audit log in order, with what is wrong with a damaged one.

        :raises FileNotFoundError: there is no log.
        :raises OSError: it cannot be read.
        """

    def foreign_lines(self) -> Iterator[Line]:
        """Yield lines of other programs that stand in another log and may be about this state."""

    def other_documents(self) -> list[Document]:
        """Return the other states whose lines other programs may have written to this state's log."""

    def not_found(self) -> StateNotFoundError:
        """Return the error that there is no state."""
