"""The events of a run of tests. Everything here is pure; the time is passed in."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_migration_state.domain.events import Event
from pytest_migration_state.domain.schema import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_migration_state.types import JsonObject, Key


def run_started(
    now: str,
    run_id: str,
    process: JsonObject,
    environment: JsonObject,
    selection: str,
    full: str | None = None,
) -> Event:
    """Return the event that records the start of a run. The run blocks the gate until its plan is recorded.

    :param process: host, process id and start time, from which others learn whether the run is alive.
    :param environment: versions, commit and CI job, for readers of the log.
    :param selection: a digest of what it was asked to run.
    :param full: the same without the options that narrow it down, if that differs.
    """
    run = {"started_at": now, **process, "selection": selection, "collecting": selection}
    if full and full != selection:
        run["full"] = full
    data = {**process, **environment, "metadata": {"open_runs": {run_id: run}}}
    return Event("RunStarted", f"Run {run_id} started", data)


def run_finished(
    now: str, run_id: str, exit_status: int, counts: dict[str, int], seconds: float, *, has_planned: bool
) -> Event:
    """Return the event that records the end of a run.

    A run without a plan stays open, because it is unknown which tests are missing.

    :param seconds: the duration of the run, in seconds.
    """
    words = ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "nothing recorded"
    run = None
    level = "INFO"
    if not has_planned:
        words = "it ended before it was known which tests it would run"
        run = {"finished_at": now, "exit_status": exit_status}
        level = "WARNING"
    details = f"Run {run_id} finished with exit status {exit_status} after {seconds:.1f} s: {words}"
    data: JsonObject = {
        "exit_status": exit_status,
        "counts": counts,
        "seconds": round(seconds, 3),
        "metadata": {"open_runs": {run_id: run}},
    }
    return Event("RunFinished", details, data, level)


def outstanding(
    now: str, key: Key, reason: str, detail: str | None = None, node_id: str | None = None
) -> JsonObject:
    """Return an outstanding validation as the document holds it.

    :param node_id: the node id of its test; stored if it differs from the name of the validation.
    """
    entry: JsonObject = {"component": key[0], "test_name": key[1], "reason": reason, "since": now}
    if detail:
        entry["detail"] = detail
    if node_id is not None and node_id != key[1]:
        entry["node_id"] = node_id
    return entry


def planned(
    entries: Iterable[JsonObject],
    gone: Iterable[Key] = (),
    metadata: JsonObject | None = None,
    settled: Iterable[str] = (),
) -> Event:
    """Return the event that records a plan, or a part of one.

    :param entries: the validations that become outstanding.
    :param gone: the validations that are no longer outstanding: files that could be collected again.
    :param metadata: the change of the document's metadata that belongs to it.
    :param settled: the ids of the earlier runs that this run replaces.
    """
    entries = list(entries)
    counts = Counter(entry["reason"] for entry in entries)
    words = ", ".join(f"{counts[reason]} {reason}" for reason in REASONS if counts[reason]) or "nothing new"
    words += "".join(f"; run {run_id} is settled by this run" for run_id in settled)
    data: JsonObject = {"outstanding_validations": entries}
    if forgotten := [{"component": component, "test_name": test_name} for component, test_name in gone]:
        data["forgotten"] = forgotten
    if metadata:
        data["metadata"] = metadata
    return Event("ValidationPlanned", f"Validations planned: {words}", data)


def left_without_verdict(entry: JsonObject) -> Event:
    """Return the event for a validation that ran without a verdict that counts; ``detail`` says why."""
    details = f"Test '{entry['test_name']}' for '{entry['component']}': no verdict ({entry['detail']})"
    return Event("ValidationPlanned", details, {"outstanding_validations": [entry]}, "WARNING")


def skipped(entry: JsonObject) -> Event:
    """Return the event for a planned validation that was skipped. It remains without a verdict."""
    reason = entry.get("detail") or "no reason given"
    details = f"Test '{entry['test_name']}' for '{entry['component']}': SKIPPED ({reason})"
    return Event("ValidationSkipped", details, {"outstanding_validations": [entry]}, "WARNING")
