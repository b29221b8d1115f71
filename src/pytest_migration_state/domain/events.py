"""Events: everything that can happen to a migration, with its wording and its effect on the document.

An event's ``data`` is a partial document: applied to the document before the event, it produces the document
after it. The table :data:`_EFFECTS` holds the effect of each key of ``data``. The table :data:`WORDING` holds
the details of each action that other programs write too. Replay and verification of the log use both. The
wording and the names of fields are those of the audit log that operators already have. Everything here is
pure; the time is passed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_migration_state.domain.runs import loses_verdict, runs_of, waiting_for
from pytest_migration_state.domain.schema import APPENDED, raised_version
from pytest_migration_state.domain.staleness import becoming_stale
from pytest_migration_state.text import first_line
from pytest_migration_state.types import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.phases import Phase
    from pytest_migration_state.domain.target import Target
    from pytest_migration_state.domain.verdict import Verdict
    from pytest_migration_state.types import Blocker, JsonObject, Key

LEVELS: Final = ("INFO", "WARNING", "ERROR")


class Event(NamedTuple):
    """An entry of the audit log before it is written.

    :ivar action: the kind of event.
    :ivar details: the event in words.
    :ivar data: the change to the document; empty if there is none.
    :ivar level: one of :data:`LEVELS`.
    """

    action: str
    details: str
    data: JsonObject
    level: str = "INFO"


# --- wording ------------------------------------------------------------------------------------------------

#: The details of the actions that PowerShell writes too, word for word.
WORDING: Final = {
    "Initialize": "Migration state initialized",
    "PhaseTransition": "Transitioned from '{}' to '{}'",
    "ContainerProcessed": "Container '{}' ({}) marked as removed",
    "DataPreserved": "Data '{}' preserved at '{}'",
    "ProcessStarted": "Native process '{}' started",
    "ValidationResult": "Test '{}' for '{}': {}",
    "RollbackAvailability": "Rollback set to {}",
}
PASSED_OR_FAILED: Final = {True: "PASSED", False: "FAILED"}
AVAILABILITY: Final = {True: "available", False: "unavailable"}


def describe(action: str, *values: object) -> str:
    """Return the details of an action of :data:`WORDING`."""
    return WORDING[action].format(*values)


# --- effect -------------------------------------------------------------------------------------------------


def apply(document: Document, data: JsonObject, timestamp: str) -> None:
    """Apply the ``data`` of an event that happened at ``timestamp`` to ``document``."""
    apply_effects(document, data)
    document.touch(timestamp)


def apply_effects(target: Target, data: JsonObject) -> None:
    """Apply each key of ``data``. A key without an effect is information for readers of the log."""
    for key, value in data.items():
        effect = _EFFECTS.get(key)
        if effect is not None:
            effect(target, value)


def _field(name: str) -> Callable[[Target, Any], None]:
    return lambda target, value: target.set_field(name, value)


def _items(name: str) -> Callable[[Target, Any], None]:
    def append(target: Target, items: list[JsonObject]) -> None:
        for item in items:
            target.append_item(name, item)

    return append


def _preserve(target: Target, paths: JsonObject) -> None:
    for key, path in paths.items():
        target.set_data(key, path)


def _verdicts(target: Target, verdicts: list[JsonObject]) -> None:
    """Record verdicts.

    A verdict settles its validation. If other unfinished runs have planned it too, it still waits for those.
    """
    for verdict in verdicts:
        key = key_of(verdict)
        target.set_verdict(key, verdict)
        entry = target.outstanding_entry(key)
        if entry is None:
            continue
        waiting = []
        if run_id := verdict.get("run_id"):
            waiting = [other for other in runs_of(entry) if other != run_id and other in target.open_runs]
        target.set_outstanding(key, waiting_for(entry, waiting) if waiting else None)


def _failed_meanwhile(target: Target, verdicts: list[JsonObject]) -> None:
    """Record failures whose writer did not know that the validation was outstanding: it stays so."""
    for verdict in verdicts:
        target.set_verdict(key_of(verdict), verdict)


def _change_items(target: Target, changes: list[JsonObject]) -> None:
    for change in changes:
        target.change_item(change["list"], change["before"], change["after"])


def _other_fields(target: Target, fields: JsonObject) -> None:
    for name, value in fields.items():
        target.set_field(name, value)


def _stale(target: Target, marks: list[JsonObject]) -> None:
    """Mark verdicts as stale. Entries of version 0.1.0 do not have this key: theirs are never stale."""
    for mark in marks:
        target.mark_stale(mark["component"], mark["since"], mark.get("but", ()))


def _outstanding(target: Target, entries: list[JsonObject]) -> None:
    """Record validations as outstanding. One that is about to run (``pending``) loses its verdict.

    In a Completed migration it keeps its verdict until the run records another, because validating again does
    not make the migration incomplete. There it loses the verdict only if it ran and ended without a verdict,
    for a reason that is recorded.
    """
    for entry in entries:
        key = key_of(entry)
        if loses_verdict(entry, target.phase):
            target.set_verdict(key, None)
        target.set_outstanding(key, entry)


def _forget(target: Target, validations: list[JsonObject]) -> None:
    for validation in validations:
        key = key_of(validation)
        target.set_verdict(key, None)
        target.set_outstanding(key, None)


_EFFECTS: Final[dict[str, Callable[[Target, Any], None]]] = {
    "initialize": lambda target, migration: target.begin(migration),
    "adopted": lambda target, content: target.adopt(content),
    "phase": _field("phase"),
    "completed_at": _field("completed_at"),
    "rollback_available": _field("rollback_available"),
    "error": _field("error"),
    **{name: _items(name) for name in APPENDED},
    "data_preserved": _preserve,
    "changed_items": _change_items,
    "other_fields": _other_fields,
    "failed_meanwhile": _failed_meanwhile,
    "stale": _stale,
    "validation_results": _verdicts,
    "outstanding_validations": _outstanding,
    "forgotten": _forget,
    "metadata": lambda target, patch: target.merge_metadata(patch),
}


# --- the events of operations -------------------------------------------------------------------------------


def initialized(now: str, migration_id: str, platform: str, state_name: str) -> Event:
    """Return the event that begins a migration.

    :param state_name: the name of the document, so that the log is not mistaken for that of another state in
        the folder.
    """
    new = {"state": state_name, "started_at": now, "migration_id": migration_id, "platform": platform}
    return Event("Initialize", describe("Initialize"), {"initialize": new})


def phase_changed(
    now: str,
    current: Phase,
    requested: Phase,
    *,
    final: bool,
    forced: str | None,
    metadata: JsonObject | None = None,
) -> Event:
    """Return the event that records a transition.

    :param forced: the reason of a transition that had to be forced (empty: none was given), else ``None``.
    :param metadata: the change of the document's metadata that belongs to it.
    """
    details = describe("PhaseTransition", current, requested)
    data: JsonObject = {"phase": requested.value, "completed_at": None}
    if final:
        data["completed_at"] = now
    if metadata:
        data["metadata"] = metadata
    if forced is None:
        return Event("PhaseTransition", details, data)
    return Event("PhaseTransition", f"{details} (forced: {forced or 'no reason given'})", data, "WARNING")


def container_removed(now: str, name: str, container_id: str) -> Event:
    """Return the event that records the removal of a container."""
    item = {"name": name, "id": container_id, "removed_at": now}
    return Event(
        "ContainerProcessed",
        describe("ContainerProcessed", name, container_id),
        {"docker_containers_removed": [item]},
    )


def data_preserved(key: str, backup_path: str) -> Event:
    """Return the event that records where data was saved."""
    return Event(
        "DataPreserved", describe("DataPreserved", key, backup_path), {"data_preserved": {key: backup_path}}
    )


def process_started(now: str, name: str, process_id: int | None, marks: JsonObject | None = None) -> Event:
    """Return the event that records the start of a native process.

    :param marks: the part of its data that marks verdicts as stale.
    """
    item: JsonObject = {"name": name}
    if process_id is not None:
        item["process_id"] = process_id
    item["started_at"] = now
    data = {"native_processes_started": [item], **(marks or {})}
    return Event("ProcessStarted", describe("ProcessStarted", name), data)


def stale_marks(document: Document, component: str, since: str) -> JsonObject:
    """Return the part of an event's data that marks verdicts as stale; empty if none of them becomes stale.

    :param component: the component of which a newer process is recorded.
    :param since: when it is recorded.
    """
    if not becoming_stale(document.verdicts, component):
        return {}
    data: JsonObject = {"stale": [{"component": component, "since": since}]}
    if raised := raised_version(document.metadata):
        data["metadata"] = raised
    return data


def verdict_recorded(now: str, verdict: Verdict) -> Event:
    """Return the event that records a verdict."""
    return verdict_event(verdict.to_object(now))


def verdict_event(verdict: JsonObject) -> Event:
    """Return the event that records a verdict as the document holds it."""
    word = PASSED_OR_FAILED[verdict["passed"]]
    details = describe("ValidationResult", verdict["test_name"], verdict["component"], word)
    return Event("ValidationResult", details, {"validation_results": [verdict]})


def verdict_overridden(key: Key, run_id: str | None, reason: str | None) -> Event:
    """Return the event that says that a passed verdict replaces the failure of a run. It changes nothing.

    :param run_id: that run; ``None`` if another verdict was recorded by hand in between.
    :param reason: why, or ``None``.
    """
    component, test_name = key
    run = "an earlier run" if run_id is None else f"run {run_id}"
    words = f"PASSED by hand over the failure of {run} ({reason or 'no reason given'})"
    overridden = {"component": component, "test_name": test_name, "run_id": run_id}
    return Event(
        "VerdictOverridden",
        f"Test '{test_name}' for '{component}': {words}",
        {"overridden": overridden},
        "WARNING",
    )


def backup_imported(folder: str, verdict: Event, preserved: Event | None, checked: JsonObject) -> Event:
    """Return the event that records a container's backup: its verdict and, if it passed, its folder.

    :param checked: the numbers of files and bytes that were read, for readers of the log.
    """
    container = verdict.data["validation_results"][0]["component"]
    data = {**verdict.data, "checked": checked}
    if preserved:
        data = preserved.data | data
    words = PASSED_OR_FAILED[preserved is not None]
    return Event("BackupImported", f"Backup of '{container}' at '{folder}': {words}", data)


def rollback_set(available: bool) -> Event:
    """Return the event that records whether the migration can be rolled back."""
    details = describe("RollbackAvailability", AVAILABILITY[available])
    return Event("RollbackAvailability", details, {"rollback_available": available})


def error_set(now: str, message: str) -> Event:
    """Return the event that records an error of the migration."""
    return Event("Error", message, {"error": {"message": message, "occurred_at": now}}, "ERROR")


def error_cleared(message: str) -> Event:
    """Return the event that takes an error off the record.

    :param message: that of the error.
    """
    return Event("ErrorCleared", f"Error cleared: {first_line(message)}", {"error": None})


def forgotten(component: str, test_name: str, reason: str) -> Event:
    """Return the event that removes a validation from the record."""
    details = f"Test '{test_name}' for '{component}' forgotten: {reason}"
    gone = {"component": component, "test_name": test_name}
    return Event("ValidationForgotten", details, {"forgotten": [gone]}, "WARNING")


def run_forgotten(run_id: str, reason: str) -> Event:
    """Return the event after which the gate no longer waits for an unfinished run."""
    data = {"metadata": {"open_runs": {run_id: None}}}
    return Event("ValidationForgotten", f"Run {run_id} forgotten: {reason}", data, "WARNING")


def gate_blocked(blockers: Sequence[Blocker]) -> Event:
    """Return the event that records a refused transition to Completed. It changes nothing."""
    kinds: dict[str, int] = {}
    for blocker in blockers:
        kinds[blocker.kind] = kinds.get(blocker.kind, 0) + 1
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    shown = [blocker.to_object() for blocker in blockers[:20]]
    return Event(
        "GateBlocked", f"Transition to 'Completed' refused: {counts}", {"blockers": shown}, "WARNING"
    )


def recovered(details: str, **data: Any) -> Event:
    """Return the event of a recovery; ``details`` says what was set aside, begun again or rebuilt."""
    return Event("Recovered", details, data, "WARNING")
