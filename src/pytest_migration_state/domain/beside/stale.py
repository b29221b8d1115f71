"""Verdicts that become stale because another program recorded a newer process of their component.

Between entries the order of the log decides (see :mod:`pytest_migration_state.domain.staleness`). Within one
change of another program its times decide; where they show nothing, a verdict is stale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.advice import BACKUP
from pytest_migration_state.domain.facts import is_later
from pytest_migration_state.domain.schema import raised_version
from pytest_migration_state.domain.staleness import becoming_stale, is_stale
from pytest_migration_state.types import key_of

if TYPE_CHECKING:
    from pytest_migration_state.domain.beside.case import Case
    from pytest_migration_state.domain.beside.change import Change
    from pytest_migration_state.types import JsonObject, Key

#: Since when a verdict is stale if nothing says when the process was started.
_UNKNOWN: Final = "1970-01-01T00:00:00Z"


def add_stale(case: Case, change: Change) -> None:
    """Mark the verdicts of each component of which a process is added. This rule comes after the others.

    A verdict that was on record before is stale. One that comes with the process is stale unless its time is
    later.
    """
    brought = _brought(case, change)
    marks: dict[str, JsonObject] = {}
    for process in change.data.get("native_processes_started", ()):
        name = process["name"]
        later = sorted(
            key[1] for key, verdict in brought.items() if key[0] == name and is_later(verdict, process)
        )
        before = {key: one for key, one in (case.state.verdicts | brought).items() if key[1] not in later}
        if becoming_stale(before, name):
            mark = {"component": name, "since": process.get("started_at") or _UNKNOWN}
            marks[name] = {**mark, "but": later} if later else mark
    if marks:
        change.data["stale"] = list(marks.values())
        if raised := raised_version(case.state.metadata):
            change.data["metadata"] = change.data.get("metadata", {}) | raised


def _brought(case: Case, change: Change) -> dict[Key, JsonObject]:
    """Return the verdicts that come with the change."""
    data = change.data
    results = [*data.get("failed_meanwhile", ()), *data.get("validation_results", ())]
    begun = {} if case.past else case.state.verdicts
    return begun | {key_of(one): one for one in results}


def mark_by_time(content: JsonObject) -> None:
    """Mark the stale verdicts in a document of another program that is taken over, by their times."""
    newest = {process["name"]: process for process in content["native_processes_started"]}
    content["validation_results"] = [_marked(one, newest) for one in content["validation_results"]]
    if any(is_stale(verdict) for verdict in content["validation_results"]):
        content["metadata"].update(raised_version(content["metadata"]))


def _marked(verdict: JsonObject, newest: dict[str, JsonObject]) -> JsonObject:
    process = newest.get(verdict["component"])
    if process is None or verdict["test_name"] == BACKUP or is_stale(verdict) or is_later(verdict, process):
        return verdict
    return {**verdict, "stale_since": process.get("started_at") or _UNKNOWN}
