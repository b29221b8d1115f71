"""Open runs (runs of tests whose end is not recorded) and the validations that wait for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.policy import COLLECTION
from pytest_migration_state.text import to_printable
from pytest_migration_state.types import as_object

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject, Key, Liveness

#: The name of the files left out by a plugin that chose whole files. The digest of the selection follows it.
REST: Final = "everything else"


def runs_of(entry: JsonObject) -> list[str]:
    """Return the runs that will record the verdict of an outstanding validation, the newest first."""
    run_id = entry.get("run_id")
    runs = [run_id] if isinstance(run_id, str) else []
    return runs + _strings(entry["other_runs"]) if "other_runs" in entry else runs


def loses_verdict(entry: JsonObject, phase: object) -> bool:
    """Return True if a validation that becomes outstanding in this phase loses its verdict."""
    return entry["reason"] == "pending" and (phase != Phase.COMPLETED or bool(entry.get("detail")))


def projects_of(entry: JsonObject) -> set[str]:
    """Return the projects with an outstanding file of this name."""
    return set(_strings(entry.get("projects")))


def _strings(value: object) -> list[str]:
    """Return the strings in a list; none if another program has put something else in its place."""
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, str)]


def waiting_for(entry: JsonObject, run_ids: list[str]) -> JsonObject:
    """Return a pending validation that waits for the verdicts of these runs."""
    waiting = {key: value for key, value in entry.items() if key not in {"run_id", "other_runs"}}
    if run_ids:
        waiting["run_id"] = run_ids[0]
    if len(run_ids) > 1:
        waiting["other_runs"] = run_ids[1:]
    return waiting


def run_name(run_id: str) -> str:
    """Return the name under which an unfinished run is outstanding."""
    return f"run {run_id}"


def rest_name(selection: str) -> str:
    """Return the name under which the files that a plugin left out of this selection are outstanding."""
    return f"{REST} ({selection})"


def is_rest(key: Key) -> bool:
    """Return True if an outstanding validation stands for the files that a plugin left out."""
    return key[0] == COLLECTION and key[1].startswith(f"{REST} (")


def clash_name(first: str, second: str) -> str:
    """Return the name under which two tests are outstanding that claim one validation, by their node ids."""
    return f"{first} and {second}"


def clashing(key: Key) -> tuple[str, str] | None:
    """Return the node ids of two tests that claim one validation; ``None`` if this is no such entry."""
    if key[0] == COLLECTION:
        for found in re.finditer(" and ", key[1]):
            first, second = key[1][: found.start()], key[1][found.end() :]
            if "::" in first and "::" in second:
                return first, second
    return None


def run_in_words(run_id: str, run: object, liveness: Liveness) -> str:
    """Return an open run in words: where it runs or ran, since when, and whether it is alive."""
    fields = as_object(run)
    words = run_name(run_id)
    if fields.get("host"):
        words += f" on {fields['host']} (process {fields.get('process_id')})"
    if fields.get("started_at"):
        words += f", begun {fields['started_at']},"
    return to_printable(f"{words} {_what_became_of(fields, liveness)}")


def _what_became_of(run: JsonObject, liveness: Liveness) -> str:
    if run.get("finished_at"):
        return f"ended with exit status {run.get('exit_status')} before its plan was recorded"
    if liveness == "alive":
        return "is running now"
    words = "was killed" if liveness == "dead" else "has not finished; nothing is known of it"
    if run.get("collecting"):
        words += "; its plan is not recorded"
    return words
