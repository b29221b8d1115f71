"""The results in a document, and those of a late document of a migration that was replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_migration_state.domain.beside.identity import identity
from pytest_migration_state.domain.beside.past import Entry, same_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.domain.beside.case import Case
    from pytest_migration_state.domain.beside.identity import Identity
    from pytest_migration_state.domain.beside.past import Logged
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject, Key

#: The results of one validation in the order of a document, by the name that PowerShell cannot change.
Results = dict["Key", list["JsonObject"]]


def results_of(document: Document) -> Results:
    """Return every result in a document."""
    found: Results = {}
    for verdict in document.all_verdicts():
        found.setdefault(same_name((verdict["component"], verdict["test_name"])), []).append(verdict)
    return found


def late_failures(case: Case) -> Iterator[tuple[Key, JsonObject]]:
    """Yield the failures in a late document of a replaced migration that are nowhere on record."""
    if case.stray is None:
        return
    on_record = set(_ever_on_record(case.everything))
    before = results_of(case.stray.before)
    for key, results in results_of(case.stray.document).items():
        new = _behind(results, before.get(key, []), on_record)
        if failures := [verdict for verdict in new if not verdict["passed"]]:
            yield key, failures[-1]


def _behind(
    results: list[JsonObject], before: list[JsonObject], on_record: set[Identity]
) -> list[JsonObject]:
    identities = [identity(result) for result in results]
    last = identity(before[-1]) if before else None
    start = identities.index(last) + 1 if last in identities else 0
    old = [index for index, found in enumerate(identities) if index >= start and found in on_record]
    return results[old[-1] + 1 if old else start :]


def _ever_on_record(everything: list[Logged]) -> Iterator[Identity]:
    for item in everything:
        if isinstance(item, Entry):
            data = item.data
            refused = [one["verdict"] for one in data.get("refused", ()) if "verdict" in one]
            adopted = data.get("adopted", {}).get("validation_results", ())
            for key in ("validation_results", "failed_meanwhile", "superseded"):
                yield from map(identity, data.get(key, ()))
            yield from map(identity, (*refused, *adopted))
