"""The results in a document, and those of a late document of a migration that was replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_migration_state.domain.beside.identity import identity
from pytest_migration_state.domain.beside.past import Entry, same_name
from pytest_migration_state.types import key_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from pytest_migration_state.domain.beside.case import Case
    from pytest_migration_state.domain.beside.identity import Identity
    from pytest_migration_state.domain.beside.past import Logged
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject, Key

#: The results of one validation in the order of a document, by the name that PowerShell cannot change.
Results = dict["Key", list["JsonObject"]]


def results_of(document: Document | None) -> Results:
    """Return every result in a document, if there is one."""
    found: Results = {}
    for verdict in document.all_verdicts() if document else ():
        found.setdefault(same_name(key_of(verdict)), []).append(verdict)
    return found


def late_failures(case: Case) -> Iterator[tuple[Key, JsonObject]]:
    """Yield the failures in a late document of a replaced migration that are nowhere on record."""
    if case.stray is None:
        return
    on_record = set(_ever_on_record(case.everything))
    before = results_of(case.stray.before)
    for key, results in results_of(case.stray.document).items():
        new = new_results(results, before.get(key, []), on_record, on_record)
        if failures := [verdict for verdict in new if not verdict["passed"]]:
            yield key, failures[-1]


def new_results(
    results: list[JsonObject],
    base: list[JsonObject],
    known: Container[Identity],
    later: Container[Identity],
) -> list[JsonObject]:
    """Return the results of a document that are not on record: those behind the last one that is.

    :param base: the results of the document that its writer had before.
    :param known: the results on record.
    :param later: those that were recorded after the base; used where the base's last result is found.
    """
    identities = [identity(result) for result in results]
    start = 0
    if base and (last := identity(base[-1])) in identities:
        start = identities.index(last) + 1
        known = later
    for index in range(start, len(identities)):
        if identities[index] in known:
            start = index + 1
    return results[start:]


def _ever_on_record(everything: list[Logged]) -> Iterator[Identity]:
    for item in everything:
        if isinstance(item, Entry):
            data = item.data
            refused = [one["verdict"] for one in data.get("refused", ()) if "verdict" in one]
            adopted = data.get("adopted", {}).get("validation_results", ())
            for key in ("validation_results", "failed_meanwhile", "superseded"):
                yield from map(identity, data.get(key, ()))
            yield from map(identity, (*refused, *adopted))
