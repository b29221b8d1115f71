"""What can happen to a migration, as events, and what each does to the document.

An event's ``data`` is a partial document: applied to the document before it, it gives the document after it. Texts and
names of fields are those of the audit log that operators already have. Everything here is pure; the moment is passed in.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_migration_state.core.document import REASONS, Document, JsonObject, new_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_migration_state.core.document import Key
    from pytest_migration_state.core.gate import Blocker
    from pytest_migration_state.core.phases import Phase

LEVELS: Final = ("INFO", "WARNING", "ERROR")


class Event(NamedTuple):
    """One line of the audit log before it is written.

    :ivar action: the kind of event.
    :ivar details: the event in words.
    :ivar data: the change to the document; empty where there is none.
    :ivar level: one of :data:`LEVELS`.
    """

    action: str
    details: str
    data: JsonObject
    level: str = "INFO"


# --- the effect -------------------------------------------------------------------------------------------------------

_SET: Final = ("phase", "completed_at", "rollback_available", "error")
_MERGED: Final = ("data_preserved", "metadata")
_APPENDED: Final = ("docker_containers_removed", "native_processes_started")


def apply(document: Document, data: JsonObject, timestamp: str) -> Document:  # noqa: PLR0912  # a branch a kind of change
    """The document after an event with this ``data`` at ``timestamp``. ``document`` is changed and must not be used again.

    A key of ``data`` that is no key of the document is information for the reader of the log (who ran it, where).
    """
    if "initialize" in data:
        new = data["initialize"]
        audit = document.metadata.get("audit")
        document = new_document(new["started_at"], new["migration_id"], new["platform"])
        if audit:
            document.metadata["audit"] = audit
    for key, value in data.items():
        if key == "validation_results":
            for verdict in value:
                document.put_verdict(verdict)
        elif key == "outstanding_validations":
            for entry in value:
                document.put_outstanding(entry)
        elif key in _SET:
            document.fields[key] = value
        elif key in _MERGED:
            _merge(document.fields[key], value)
            if document.metadata.get("open_runs") == {}:
                del document.metadata["open_runs"]
        elif key in _APPENDED:
            document.fields[key].extend(value)
        elif key == "forgotten":
            for gone in value:
                document.forget((gone["component"], gone["test_name"]))
    fields = document.fields
    metadata = fields["metadata"]
    metadata["revision"] = (metadata.get("revision") or 0) + 1
    fields["last_updated"] = timestamp
    return document


def _merge(target: JsonObject, patch: JsonObject) -> None:
    """JSON Merge Patch (RFC 7396): objects are merged, ``null`` removes."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            # Into a dict of its own: the event keeps its data, and may have to be applied again.
            _merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


# --- the operations' events -------------------------------------------------------------------------------------------


def initialized(now: str, migration_id: str, platform: str, state_name: str) -> Event:
    """``state_name`` is the document's file name: the log must not be taken for that of another state in the folder."""
    new = {"state": state_name, "started_at": now, "migration_id": migration_id, "platform": platform}
    return Event("Initialize", "Migration state initialized", {"initialize": new})


def phase_changed(
    now: str, current: Phase, requested: Phase, *, final: bool, forced: str | None, metadata: JsonObject | None = None
) -> Event:
    """``forced`` is the reason of a transition that had to be forced (empty: none was given), else ``None``.

    :param metadata: what changes with it in the document's metadata.
    """
    details = f"Transitioned from '{current}' to '{requested}'"
    data: JsonObject = {"phase": requested.value, "completed_at": now if final else None}
    if metadata:
        data["metadata"] = metadata
    if forced is None:
        return Event("PhaseTransition", details, data)
    return Event("PhaseTransition", f"{details} (forced: {forced or 'no reason given'})", data, "WARNING")


def container_removed(now: str, name: str, container_id: str) -> Event:
    item = {"name": name, "id": container_id, "removed_at": now}
    return Event("ContainerProcessed", f"Container '{name}' ({container_id}) marked as removed", {"docker_containers_removed": [item]})


def data_preserved(key: str, backup_path: str) -> Event:
    return Event("DataPreserved", f"Data '{key}' preserved at '{backup_path}'", {"data_preserved": {key: backup_path}})


def process_started(now: str, name: str, process_id: int | None) -> Event:
    item: JsonObject = {"name": name}
    if process_id is not None:
        item["process_id"] = process_id
    item["started_at"] = now
    return Event("ProcessStarted", f"Native process '{name}' started", {"native_processes_started": [item]})


def verdict_given(
    now: str, component: str, test_name: str, passed: bool, error_message: str | None, more: JsonObject | None = None
) -> Event:
    """``more`` are the keys that a verdict may carry after the format's five."""
    verdict = {"component": component, "test_name": test_name, "passed": passed, "error_message": error_message, "tested_at": now}
    if more:
        verdict |= more
    details = f"Test '{test_name}' for '{component}': {'PASSED' if passed else 'FAILED'}"
    return Event("ValidationResult", details, {"validation_results": [verdict]})


def backup_imported(folder: str, verdict: Event, preserved: Event | None, checked: JsonObject) -> Event:
    """The backup of one container: its verdict and, where that is passed, where it is, in one entry.

    :param checked: what was read for it, for the reader of the log.
    """
    container, words = verdict.data["validation_results"][0]["component"], "PASSED" if preserved else "FAILED"
    data = {**(preserved.data if preserved else {}), **verdict.data, "checked": checked}
    return Event("BackupImported", f"Backup of '{container}' at '{folder}': {words}", data)


def rollback_set(available: bool) -> Event:
    words = "available" if available else "unavailable"
    return Event("RollbackAvailability", f"Rollback set to {words}", {"rollback_available": available})


def error_set(now: str, message: str) -> Event:
    return Event("Error", message, {"error": {"message": message, "occurred_at": now}}, "ERROR")


def forgotten(component: str, test_name: str, reason: str) -> Event:
    gone = {"component": component, "test_name": test_name}
    return Event("ValidationForgotten", f"Test '{test_name}' for '{component}' forgotten: {reason}", {"forgotten": [gone]}, "WARNING")


def run_forgotten(run_id: str, reason: str) -> Event:
    """A run that did not finish is waited for no longer."""
    return Event("ValidationForgotten", f"Run {run_id} forgotten: {reason}", {"metadata": {"open_runs": {run_id: None}}}, "WARNING")


def gate_blocked(blockers: Sequence[Blocker]) -> Event:
    """The transition was refused; nothing changes."""
    kinds: dict[str, int] = {}
    for blocker in blockers:
        kinds[blocker.kind] = kinds.get(blocker.kind, 0) + 1
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    shown = [blocker.to_object() for blocker in blockers[:20]]
    return Event("GateBlocked", f"Transition to 'Completed' refused: {counts}", {"blockers": shown}, "WARNING")


def recovered(details: str, **data: Any) -> Event:
    """Something was set aside, begun again or rebuilt; ``details`` says what."""
    return Event("Recovered", details, data, "WARNING")


# --- a run's events ---------------------------------------------------------------------------------------------------


def run_started(now: str, run_id: str, process: JsonObject, where: JsonObject, selection: str, full: str | None = None) -> Event:
    """Until its plan is there nobody knows what the run will run, and the gate waits for it.

    :param process: host, process id and start, by which it is known whether the run still lives.
    :param where: versions, commit and CI job, for the reader of the log.
    :param selection: what it was asked to run, as a digest.
    :param full: the same without what narrows it down, where that is something else.
    """
    run = {"started_at": now, **process, "selection": selection, "collecting": selection}
    if full and full != selection:
        run["full"] = full
    return Event("RunStarted", f"Run {run_id} started", {**process, **where, "metadata": {"open_runs": {run_id: run}}})


def run_finished(now: str, run_id: str, exit_status: int, counts: dict[str, int], seconds: float, *, has_planned: bool) -> Event:
    """The end of a run. One that never said what it would run stays open: nobody knows which tests are missing."""
    words = ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "nothing recorded"
    if not has_planned:
        words = "it ended before it was known which tests it would run"
    run = None if has_planned else {"finished_at": now, "exit_status": exit_status}
    data = {"exit_status": exit_status, "counts": counts, "seconds": round(seconds, 3), "metadata": {"open_runs": {run_id: run}}}
    level = "INFO" if has_planned else "WARNING"
    return Event("RunFinished", f"Run {run_id} finished with exit status {exit_status} after {seconds:.1f} s: {words}", data, level)


def outstanding(now: str, key: Key, reason: str, detail: str | None = None, node_id: str | None = None) -> JsonObject:
    """An outstanding validation. ``node_id`` where the test's name is not its node id."""
    entry: JsonObject = {"component": key[0], "test_name": key[1], "reason": reason, "since": now}
    if detail:
        entry["detail"] = detail
    if node_id is not None and node_id != key[1]:
        entry["node_id"] = node_id
    return entry


def planned(
    entries: Iterable[JsonObject], gone: Iterable[Key] = (), metadata: JsonObject | None = None, settled: Iterable[str] = ()
) -> Event:
    """What a run is about to do: ``entries`` come on record, ``gone`` (files that could be collected again) go.

    :param metadata: what changes with it in the document's metadata.
    :param settled: the earlier runs, by their id, in whose place it runs.
    """
    entries = list(entries)
    counts = Counter(entry["reason"] for entry in entries)
    words = ", ".join(f"{counts[reason]} {reason}" for reason in REASONS if counts[reason]) or "nothing new"
    words += "".join(f"; run {run_id} is settled by this run" for run_id in settled)
    data: JsonObject = {"outstanding_validations": entries}
    if away := [{"component": component, "test_name": test_name} for component, test_name in gone]:
        data["forgotten"] = away
    if metadata:
        data["metadata"] = metadata
    return Event("ValidationPlanned", f"Validations planned: {words}", data)


def left_without_verdict(entry: JsonObject) -> Event:
    """A validation that ran and has no verdict that counts: ``entry`` says why in its ``detail``."""
    details = f"Test '{entry['test_name']}' for '{entry['component']}': no verdict ({entry['detail']})"
    return Event("ValidationPlanned", details, {"outstanding_validations": [entry]}, "WARNING")


def skipped(entry: JsonObject) -> Event:
    """A planned validation that was skipped: it stays without a verdict."""
    details = f"Test '{entry['test_name']}' for '{entry['component']}': SKIPPED ({entry.get('detail') or 'no reason given'})"
    return Event("ValidationSkipped", details, {"outstanding_validations": [entry]}, "WARNING")
