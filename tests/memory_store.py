"""A store in memory, for tests of the layers above a store. It loses races on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_migration_state.domain import events
from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.errors import StateNotFoundError
from pytest_migration_state.storage.base import Commit
from pytest_migration_state.storage.records import (
    GENESIS_HASH,
    Author,
    Line,
    Position,
    encode_entry,
    encode_event,
    parse_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.errors import MigrationStateError
    from pytest_migration_state.storage.base import Decide, DecideBeginning
    from pytest_migration_state.types import JsonObject, Liveness

NOW = "2026-01-15T09:00:00.000Z"


class MemoryStore:
    """A state in memory; see :class:`~pytest_migration_state.storage.base.StateStore`.

    :ivar rivals: events of other writers, each committed just before a commit of this store, which is then
        decided again.
    :ivar asked: the number of times that a decision was asked for.
    """

    address = log_name = log_address = "memory"

    def __init__(self) -> None:
        self.document: Document | None = None
        self.rivals: list[Decide] = []
        self.asked = 0
        self._lines: list[bytes] = []
        self._head = Position(0, GENESIS_HASH)

    def read(self) -> Document:
        if self.document is None:
            raise self.not_found()
        return self.document

    def checkpoint(self) -> Document | None:
        return self.document.copy() if self.document else None

    def commit(self, decide: Decide, *, create: bool = False) -> Commit:
        created = self.document is None
        if created:
            if not create:
                raise self.not_found()
            self.write([self.beginning(NOW)])
        while True:
            self.asked += 1
            decided = decide(self.read().copy())
            if not self.rivals:
                break
            self.write(self.rivals.pop(0)(self.read().copy()))
        self.write(decided)
        return Commit(self.read(), created)

    def initialize(self, decide: DecideBeginning) -> Commit:
        exists = self.document is not None
        self.write(decide(exists))
        return Commit(self.read(), created=not exists)

    def write_early(self, event: Event) -> bool:
        if self.document is not None:
            return False
        self._lines.append(encode_event(event, NOW).head + b"}")
        return True

    def beginning(self, now: str) -> Event:
        return events.initialized(now, "7f3c", "linux", "memory")

    def begin_run(self, run_id: str, decide: Decide) -> tuple[MemoryRunLog, bool]:  # noqa: ARG002
        commit = self.commit(decide, create=True)
        return MemoryRunLog(self), commit.created

    def write(self, decided: Sequence[Event]) -> None:
        """Append events to the log and apply them."""
        for event in decided:
            author = Author(None, "ci@runner").encoded()
            line, self._head = encode_entry(encode_event(event, NOW), author, self._head)
            self._lines.append(line)
            if self.document is None:
                self.document = new_document(None, "", "")
            events.apply(self.document, event.data, NOW)
            self.document.metadata["audit"] = {"seq": self._head.seq, "hash": self._head.hash}

    def process_fields(self) -> JsonObject:
        return {"host": "runner", "process_id": 1}

    def liveness_of(self, runs: Mapping[str, JsonObject]) -> dict[str, Liveness]:
        return dict.fromkeys(runs, "unknown")

    def audit_lines(self, *, backwards: bool = False) -> Iterator[Line]:
        lines = [parse_line(line.removesuffix(b"\n"), number) for number, line in enumerate(self._lines, 1)]
        yield from reversed(lines) if backwards else lines

    def lines_with(self, actions: Sequence[str]) -> Iterator[Line]:
        for line in self.audit_lines():
            if line.content and line.content.get("action") in actions:
                yield line

    def foreign_lines(self, *, backwards: bool = False) -> Iterator[Line]:  # noqa: ARG002  # there are none
        yield from ()

    def other_documents(self) -> list[Document]:
        return []

    def not_found(self) -> StateNotFoundError:
        return StateNotFoundError(self.address, "there is no migration state here")

    def close(self) -> None:
        """Nothing is open."""


class MemoryRunLog:
    """The writer of a run in memory; see :class:`~pytest_migration_state.storage.base.RunLog`."""

    failure: MigrationStateError | None = None

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.unrecorded: list[Event] = []

    @property
    def document(self) -> Document:
        return self._store.read()

    def commit(self, decide: Decide, *, reload: bool = False) -> None:  # noqa: ARG002
        self._store.commit(decide)

    def record_verdict(self, verdict: JsonObject, now: str) -> None:
        self.record(events.verdict_event(verdict), now)

    def record(self, event: Event, now: str) -> None:  # noqa: ARG002  # every entry has the same time
        self._store.write([event])

    def retry(self) -> None:
        """Nothing fails."""

    def finish(self, event: Event, now: str) -> None:
        self.record(event, now)

    def close(self) -> None:
        """Nothing is open."""
