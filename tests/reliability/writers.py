"""What the writers and readers of the reliability tests do, and what must be true of a state afterwards."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pytest_migration_state.core.errors import MigrationStateError, StateNotFoundError
from pytest_migration_state.core.events import outstanding
from pytest_migration_state.core.journal import read_lines
from pytest_migration_state.core.phases import TRANSITIONS, Phase
from pytest_migration_state.core.run import RunRecorder
from pytest_migration_state.core.store import Store
from pytest_migration_state.core.text import utc_now
from pytest_migration_state.core.tracker import MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from processes import Words

    from pytest_migration_state.core.document import Document

JsonObject = dict[str, Any]

#: The way from the beginning to Validation.
TO_VALIDATION = (Phase.BACKUP_IN_PROGRESS, Phase.CONTAINER_TERMINATION, Phase.NATIVE_DEPLOYMENT, Phase.VALIDATION)


def quiet(_: str) -> None:
    """For notices that are not the subject."""


def no_check(_: Document) -> None:
    """For runs that refuse no state."""


def tracker_at(path: Path, **more: Any) -> MigrationTracker:
    return MigrationTracker(path, create=True, notify=quiet, **more)


def recorder_at(path: Path, run_id: str) -> RunRecorder:
    return RunRecorder(path, run_id, notify=quiet)


def in_validation(path: Path) -> MigrationTracker:
    """A state in Validation."""
    tracker = tracker_at(path)
    for phase in TO_VALIDATION:
        tracker.commit([{"operation": "set_phase", "phase": phase}])
    return tracker


def write_by_api(path: Path, name: str, count: int, done: Callable[[int], object] = lambda number: number) -> None:
    """``count`` operations of every kind through the API: after each, ``done`` is called with its number from 1."""
    tracker = tracker_at(path)
    for number in range(1, count + 1):
        tracker.commit([operation(name, number)])
        done(number)


def operation(name: str, number: int) -> JsonObject:
    """The operation of this number: every third of one kind, each telling whose it is and which."""
    match number % 3:
        case 0:
            return {"operation": "add_processed_container", "name": name, "container_id": str(number)}
        case 1:
            return {"operation": "add_validation_result", "component": name, "test_name": str(number), "passed": True}
        case _:
            return {"operation": "add_preserved_data", "key": f"{name}:{number}", "backup_path": "/backups"}


def write_as_run(
    path: Path, name: str, count: int, done: Callable[[int], object] = lambda number: number, *, planned: int | None = None
) -> None:
    """A run with ``count`` verdicts, all of them planned or the first so many: what a pytest run writes."""
    run = recorder_at(path, name)
    run.open(no_check, {})
    run.plan([outstanding(utc_now(), (name, str(number)), "pending") for number in range(1, (count if planned is None else planned) + 1)])
    for number in range(1, count + 1):
        run.verdict((name, str(number)), passed=True, error_message=None, run_id=name)
        assert run.failure is None, run.failure
        done(number)
    run.finish(0, {"passed": count}, 0.0)
    assert run.failure is None, run.failure
    run.close()


def written(document: Document, name: str) -> list[int]:
    """The numbers of the operations and verdicts of ``name`` that the state holds, sorted; one that is there twice is there twice."""
    return sorted(
        [int(test_name) for component, test_name in document.verdicts if component == name]
        + [int(item["id"]) for item in document.fields["docker_containers_removed"] if item["name"] == name]
        + [int(key.removeprefix(f"{name}:")) for key in document.fields["data_preserved"] if key.startswith(f"{name}:")]
    )


def read_over_and_over(path: Path, words: Words) -> None:
    """A reader without the lock: through the library, and of the bare file as any script would. Says what is wrong."""
    most, reads = 0, 0
    while True:
        try:
            document = Store(path, notify=quiet).read()
            known = len(document.verdicts) + len(document.fields["docker_containers_removed"]) + len(document.fields["data_preserved"])
            if known < most:
                words.say(f"wrong the state went back from {most} to {known}")
            most = known
        except StateNotFoundError:
            pass
        except MigrationStateError as error:
            words.say(f"wrong {error}")
        try:
            json.loads(path.read_bytes())
        except FileNotFoundError:
            pass
        except ValueError as error:
            words.say(f"wrong the bare document cannot be read: {error}")
        reads += 1
        if reads % 16 == 0:
            words.say("reads 16")


def assert_sound(path: Path) -> None:
    """An unbroken chain, a document that holds what the log tells, legal transitions only, and nothing left lying about."""
    report = tracker_at(path).verify()
    assert report.sound, report.problems
    phases = [Phase.NOT_STARTED]
    for line in read_lines(path.with_name("migration-audit.log")):
        data = line.content and line.content.get("data")
        if isinstance(data, dict) and "initialize" in data:
            phases.append(Phase.NOT_STARTED)
        elif isinstance(data, dict) and "phase" in data:
            phases.append(Phase(data["phase"]))
    for one, other in pairwise(phases):
        assert other is Phase.NOT_STARTED or other in TRANSITIONS[one]
    assert not [entry.name for entry in path.parent.iterdir() if ".tmp-" in entry.name]
