"""Events: everything that can happen to a migration, in words, and its effect on the document.

An event's ``data`` is a partial document: applied to the document before it, it gives the document after it.
Each key of ``data`` has its effect in one table, :data:`_EFFECTS`, and each action that other programs write
too has its wording in one table, :data:`WORDING`; replaying the log and verifying it use both. Words and
names of fields are those of the audit log that operators already have. Everything here is pure; the time is
passed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from pytest_migration_state.domain.runs import loses_verdict, runs_of, waiting_for

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.phases import Phase
    from pytest_migration_state.domain.verdict import Verdict
    from pytest_migration_state.types import Blocker, JsonObject, Key

LEVELS: Final = ("INFO", "WARNING", "ERROR")


class Event(NamedTuple):
    """A line of the audit log before it is written.

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


class Target(Protocol):
    """What events are applied to: a document, or the state that the log says a document should have."""

    @property
    def phase(self) -> str:
        """The current phase."""

    @property
    def open_runs(self) -> Container[str]:
        """The ids of the runs that began and did not end."""

    def begin(self, migration: JsonObject) -> None:
        """Begin another migration."""

    def set_field(self, name: str, value: Any) -> None:
        """Set a top-level key of the document."""

    def set_data(self, key: str, path: str | None) -> None:
        """Record where data was saved; ``None`` removes the key."""

    def append_item(self, name: str, item: JsonObject) -> None:
        """Append to a list of the document."""

    def set_verdict(self, key: Key, verdict: JsonObject | None) -> None:
        """Record a verdict in place of every other one of its validation; ``None`` removes them."""

    def outstanding_entry(self, key: Key) -> JsonObject | None:
        """Return what is outstanding of a validation."""

    def set_outstanding(self, key: Key, entry: JsonObject | None) -> None:
        """Record what is outstanding of a validation; ``None`` removes it."""

    def merge_metadata(self, patch: JsonObject) -> None:
        """Apply a JSON Merge Patch (RFC 7396) to the metadata."""


def apply(document: Document, data: JsonObject, timestamp: str) -> None:
    """Change ``document`` as an event with this ``data`` at ``timestamp`` does."""
    apply_effects(document, data)
    document.touch(timestamp)


def apply_effects(target: Target, data: JsonObject) -> None:
    """Apply each key of ``data``. A key without an effect is information for the reader of the log."""
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

    Each settles its validation, except for other unfinished runs that have it in their plan.
    """
    for verdict in verdicts:
        key = _key(verdict)
        target.set_verdict(key, verdict)
        entry = target.outstanding_entry(key)
        if entry is None:
            continue
        waiting = []
        if run_id := verdict.get("run_id"):
            waiting = [other for other in runs_of(entry) if other != run_id and other in target.open_runs]
        target.set_outstanding(key, waiting_for(entry, waiting) if waiting else None)


def _outstanding(target: Target, entries: list[JsonObject]) -> None:
    """Record validations as outstanding. One that is about to run (``pending``) loses its verdict.

    In a Completed migration it keeps its verdict until the run has recorded another: validating it again does
    not make the migration incomplete. A validation that ran and was left without a verdict, for a reason that
    is recorded, loses it there too.
    """
    for entry in entries:
        key = _key(entry)
        if loses_verdict(entry, target.phase):
            target.set_verdict(key, None)
        target.set_outstanding(key, entry)


def _forget(target: Target, validations: list[JsonObject]) -> None:
    for validation in validations:
        key = _key(validation)
        target.set_verdict(key, None)
        target.set_outstanding(key, None)


def _key(named: JsonObject) -> Key:
    return named["component"], named["test_name"]


_EFFECTS: Final[dict[str, Callable[[Target, Any], None]]] = {
    "initialize": lambda target, migration: target.begin(migration),
    "phase": _field("phase"),
    "completed_at": _field("completed_at"),
    "rollback_available": _field("rollback_available"),
    "error": _field("error"),
    "docker_containers_removed": _items("docker_containers_removed"),
    "native_processes_started": _items("native_processes_started"),
    "data_preserved": _preserve,
    "validation_results": _verdicts,
    "outstanding_validations": _outstanding,
    "forgotten": _forget,
    "metadata": lambda target, patch: target.merge_metadata(patch),
}


# --- the events of operations -------------------------------------------------------------------------------


def initialized(now: str, migration_id: str, platform: str, state_name: str) -> Event:
    """Return the beginning of a migration.

    :param state_name: the name of the document: the log must not be taken for that of another state in its
        folder.
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
    """Return a transition.

    :param forced: the reason of a transition that had to be forced (empty: none was given), else ``None``.
    :param metadata: what changes with it in the document's metadata.
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
    """Return the removal of a container."""
    item = {"name": name, "id": container_id, "removed_at": now}
    return Event(
        "ContainerProcessed",
        describe("ContainerProcessed", name, container_id),
        {"docker_containers_removed": [item]},
    )


def data_preserved(key: str, backup_path: str) -> Event:
    """Return that data was saved."""
    return Event(
        "DataPreserved", describe("DataPreserved", key, backup_path), {"data_preserved": {key: backup_path}}
    )


def process_started(now: str, name: str, process_id: int | None) -> Event:
    """Return the start of a native process."""
    item: JsonObject = {"name": name}
    if process_id is not None:
        item["process_id"] = process_id
    item["started_at"] = now
    return Event("ProcessStarted", describe("ProcessStarted", name), {"native_processes_started": [item]})


def verdict_recorded(now: str, verdict: Verdict) -> Event:
    """Return a verdict."""
    component, test_name = verdict.key
    details = describe("ValidationResult", test_name, component, PASSED_OR_FAILED[verdict.passed])
    return Event("ValidationResult", details, {"validation_results": [verdict.to_object(now)]})


def backup_imported(folder: str, verdict: Event, preserved: Event | None, checked: JsonObject) -> Event:
    """Return the backup of one container: its verdict and, if that is passed, its place, in one entry.

    :param checked: how much was read for it, for the reader of the log.
    """
    container = verdict.data["validation_results"][0]["component"]
    data = {**verdict.data, "checked": checked}
    if preserved:
        data = preserved.data | data
    words = PASSED_OR_FAILED[preserved is not None]
    return Event("BackupImported", f"Backup of '{container}' at '{folder}': {words}", data)


def rollback_set(available: bool) -> Event:
    """Return whether the migration can be rolled back."""
    details = describe("RollbackAvailability", AVAILABILITY[available])
    return Event("RollbackAvailability", details, {"rollback_available": available})


def error_set(now: str, message: str) -> Event:
    """Return an error of the migration."""
    return Event("Error", message, {"error": {"message": message, "occurred_at": now}}, "ERROR")


def forgotten(component: str, test_name: str, reason: str) -> Event:
    """Return that a validation was taken off the record."""
    details = f"Test '{test_name}' for '{component}' forgotten: {reason}"
    gone = {"component": component, "test_name": test_name}
    return Event("ValidationForgotten", details, {"forgotten": [gone]}, "WARNING")


def run_forgotten(run_id: str, reason: str) -> Event:
    """Return that an unfinished run is no longer waited for."""
    data = {"metadata": {"open_runs": {run_id: None}}}
    return Event("ValidationForgotten", f"Run {run_id} forgotten: {reason}", data, "WARNING")


def gate_blocked(blockers: Sequence[Blocker]) -> Event:
    """Return that the transition to Completed was refused. It changes nothing."""
    kinds: dict[str, int] = {}
    for blocker in blockers:
        kinds[blocker.kind] = kinds.get(blocker.kind, 0) + 1
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    shown = [blocker.to_object() for blocker in blockers[:20]]
    return Event(
        "GateBlocked", f"Transition to 'Completed' refused: {counts}", {"blockers": shown}, "WARNING"
    )


def recovered(details: str, **data: Any) -> Event:
    """Return that something was set aside, begun again or rebuilt; ``details`` says what."""
    return Event("Recovered", details, data, "WARNING")
