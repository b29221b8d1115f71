"""Verdicts that are written later than they happened: they open nothing that was shut meanwhile.

Everything here is pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_migration_state.domain.advice import BACKUP
from pytest_migration_state.domain.events import Event
from pytest_migration_state.domain.facts import is_later
from pytest_migration_state.domain.runs import runs_of
from pytest_migration_state.types import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject, Key


class Shut(NamedTuple):
    """What keeps the gate shut for a validation.

    :ivar failures: its verdict, if it is failed; and those that it had before.
    :ivar waiting: its outstanding entry; and those that it had before.
    """

    failures: tuple[JsonObject, ...] = ()
    waiting: tuple[JsonObject, ...] = ()

    def and_before(self, other: Shut) -> Shut:
        """Return this and what kept the gate shut before."""
        return Shut(self.failures + other.failures, self.waiting + other.waiting)


def shut_now(event: Event, document: Document) -> dict[Key, Shut]:
    """Return what keeps the gate shut for each validation of an event, when it happens."""
    found = {}
    data = event.data
    for one in (*data.get("validation_results", ()), *data.get("outstanding_validations", ())):
        key = key_of(one)
        verdict, waiting = document.verdicts.get(key), document.outstanding.get(key)
        failures = (verdict,) if verdict and not verdict["passed"] else ()
        if failures or waiting:
            found[key] = Shut(failures, (waiting,) if waiting else ())
    return found


def written_late(
    event: Event, document: Document, known: Mapping[Key, Shut], run_id: str | None = None
) -> Event:
    """Return an event as it counts when it is written later than it happened.

    A pass does not replace a failure that somebody else recorded meanwhile, nor settle what became
    outstanding, whatever the times say. And it says nothing about a process that was started after its test.

    :param document: the state as it is now.
    :param known: what kept the gate shut when it happened.
    :param run_id: the run whose events are written in their order.
    """
    results = event.data.get("validation_results", ())
    overtaken = [verdict for verdict in results if _is_overtaken(verdict, document, known, run_id)]
    return _without(_without_withdrawals(event, document, known, run_id), overtaken)


def _without_withdrawals(
    event: Event, document: Document, known: Mapping[Key, Shut], run_id: str | None
) -> Event:
    """Return an event that withdraws no verdict in whose place somebody else recorded a failure meanwhile."""
    entries = event.data.get("outstanding_validations", ())
    kept = [
        entry
        for entry in entries
        if entry["reason"] != "pending" or not _has_foreign_failure(key_of(entry), document, known, run_id)
    ]
    if len(kept) == len(entries):
        return event
    return event._replace(data={**event.data, "outstanding_validations": kept})


def names_shut(data: JsonObject) -> Iterator[Key | str | None]:
    """Yield what an entry with this data may shut the gate for.

    That is a validation by its key, all validations of a component by its name, or everything (``None``).
    """
    if "initialize" in data or "adopted" in data:
        yield None
    for verdict in (*data.get("validation_results", ()), *data.get("failed_meanwhile", ())):
        if not verdict["passed"]:
            yield key_of(verdict)
    yield from map(key_of, data.get("outstanding_validations", ()))
    yield from (process["name"] for process in data.get("native_processes_started", ()))


def overtaken_by(event: Event, since: Iterable[JsonObject]) -> Event:
    """Return an event as it counts behind entries of others that the log got after it.

    A pass does not replace a later failure, nor settle what became outstanding later. It says nothing about
    a process that was recorded later.

    :param since: the data of each of those entries.
    """
    passes = [verdict for verdict in event.data.get("validation_results", ()) if verdict["passed"]]
    overtaken: list[JsonObject] = []
    for data in since if passes else ():
        overtaken += [one for one in passes if one not in overtaken and _shuts(data, one)]
    return _without(event, overtaken)


def _shuts(data: JsonObject, verdict: JsonObject) -> bool:
    """Return True if a later entry with this data shuts the gate for the validation of a verdict."""
    if "initialize" in data:
        return True
    # A document that was taken over holds what came before the verdict, too.
    adopted = data.get("adopted")
    found = adopted or data
    key = key_of(verdict)
    results = (*found.get("validation_results", ()), *found.get("failed_meanwhile", ()))
    if any(key_of(other) == key and not other["passed"] for other in results):
        return True
    if any(_is_waiting(entry, verdict) for entry in found.get("outstanding_validations", ())):
        return True
    processes = [
        process
        for process in found.get("native_processes_started", ())
        if process["name"] == verdict["component"] and not (adopted and is_later(verdict, process))
    ]
    return bool(processes) and verdict["test_name"] != BACKUP


def _is_waiting(entry: JsonObject, verdict: JsonObject) -> bool:
    """Return True if a validation that is outstanding does not wait for the run of a verdict alone."""
    return key_of(entry) == key_of(verdict) and runs_of(entry) != [verdict.get("run_id")]


def _without(event: Event, overtaken: list[JsonObject]) -> Event:
    """Return an event whose verdict counts for nothing if it was overtaken."""
    if not overtaken:
        return event
    results = event.data["validation_results"]
    data = {**event.data, "superseded": overtaken}
    data["validation_results"] = [verdict for verdict in results if verdict not in overtaken]
    meanwhile = "what shuts the gate, or a newer process, was recorded meanwhile"
    details = f"{event.details}, but it counts for nothing: {meanwhile}"
    return Event(event.action, details, data, "WARNING")


def _is_overtaken(
    verdict: JsonObject, document: Document, known: Mapping[Key, Shut], run_id: str | None
) -> bool:
    if verdict["passed"] and _is_of_earlier_process(verdict, document):
        return True
    key = key_of(verdict)
    # A failure of the run itself must not stand for it: a later pass of the run would replace it.
    if _has_foreign_failure(key, document, known, run_id):
        return True
    waiting = document.outstanding.get(key)
    is_waiting = waiting is not None and waiting not in known.get(key, Shut()).waiting
    return verdict["passed"] and waiting is not None and is_waiting and run_id not in runs_of(waiting)


def _has_foreign_failure(key: Key, document: Document, known: Mapping[Key, Shut], run_id: str | None) -> bool:
    """Return True if a validation has a failure that another writer recorded meanwhile."""
    current = document.verdicts.get(key)
    if current is None or current["passed"] or current in known.get(key, Shut()).failures:
        return False
    return run_id is None or current.get("run_id") != run_id


def _is_of_earlier_process(verdict: JsonObject, document: Document) -> bool:
    """Return True unless the times say that every process of the component was started before the test."""
    if verdict["test_name"] == BACKUP:
        return False
    processes = document.fields["native_processes_started"]
    own = [process for process in processes if process["name"] == verdict["component"]]
    return not all(is_later(verdict, process) for process in own)
