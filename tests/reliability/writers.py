"""Writers and readers for the reliability tests, and the conditions that a state must meet afterwards."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from powershell_writer import PowerShellError, PowerShellWriter
from pytest_migration_state.domain.phases import TRANSITIONS, Phase
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import MigrationStateError, StateNotFoundError
from pytest_migration_state.storage.files.log_lines import read_lines
from pytest_migration_state.storage.files.run_log import FileRunLog
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.text import utc_now
from pytest_migration_state.tracking.run_writer import RunWriter
from pytest_migration_state.tracking.tracker import MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from processes import Words

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.verification.report import Problem

JsonObject = dict[str, Any]

#: The phases from the beginning to Validation.
TO_VALIDATION = (
    Phase.BACKUP_IN_PROGRESS,
    Phase.CONTAINER_TERMINATION,
    Phase.NATIVE_DEPLOYMENT,
    Phase.VALIDATION,
)


class Screen(PowerShellWriter):
    """Notes whether PowerShell reported on the screen that it could not write its line to the log.

    :ivar log_was_locked: True if it did.
    """

    log_was_locked = False

    def _open(self, path: Path, flags: int) -> int:
        try:
            return super()._open(path, flags)
        except PowerShellError:
            self.log_was_locked = self.log_was_locked or path == self.log
            raise


def quiet(_: str) -> None:
    """Ignore a notice."""


def no_check(_: Document) -> None:
    """Accept every state, for runs that refuse none."""


def tracker_at(path: Path, **more: Any) -> MigrationTracker:
    return MigrationTracker(path, create=True, notify=quiet, **more)


def run_at(path: Path, run_id: str) -> RunWriter:
    return RunWriter(path, run_id, notify=quiet)


def in_validation(path: Path) -> MigrationTracker:
    """Create a state in Validation."""
    tracker = tracker_at(path)
    for phase in TO_VALIDATION:
        tracker.commit([{"operation": "set_phase", "phase": phase}])
    return tracker


def write_by_api(
    path: Path, name: str, count: int, done: Callable[[int], object] = lambda number: number
) -> None:
    """Commit ``count`` operations through the API, and call ``done`` after each with its number, from 1."""
    tracker = tracker_at(path)
    for number in range(1, count + 1):
        tracker.commit([operation(name, number)])
        done(number)


def operation(name: str, number: int) -> JsonObject:
    """Return an operation with the name of its writer and its number; every third has the same kind."""
    match number % 3:
        case 0:
            return {"operation": "add_processed_container", "name": name, "container_id": str(number)}
        case 1:
            return {
                "operation": "add_validation_result",
                "component": name,
                "test_name": str(number),
                "passed": True,
            }
        case _:
            return {"operation": "add_preserved_data", "key": f"{name}:{number}", "backup_path": "/backups"}


def write_as_run(
    path: Path,
    name: str,
    count: int,
    done: Callable[[int], object] = lambda number: number,
    *,
    planned: int | None = None,
) -> None:
    """Write like a pytest run with ``count`` verdicts.

    :param planned: the number of planned verdicts; ``None`` for all.
    """
    run = run_at(path, name)
    run.open(no_check, {})
    if planned is None:
        planned = count
    entries = [outstanding(utc_now(), (name, str(number)), "pending") for number in range(1, planned + 1)]
    run.plan(RunPlan(entries))
    for number in range(1, count + 1):
        run.verdict(Verdict((name, str(number)), passed=True, run_id=name))
        assert run.failure is None, run.failure
        done(number)
    run.finish(0, {"passed": count})
    assert run.failure is None, run.failure
    run.close()


def leave_journal(path: Path, name: str, count: int, *, failed: int = 0) -> Path:
    """Leave the files as a run leaves them that is killed after ``count`` verdicts, all in its journal.

    :param failed: how many more verdicts it records, which are failed.
    :returns: the journal.
    """
    run = run_at(path, name)
    run.open(no_check, {})
    numbers = range(1, count + failed + 1)
    run.plan(RunPlan([outstanding(utc_now(), (name, str(number)), "pending") for number in numbers]))
    for number in numbers:
        run.verdict(Verdict((name, str(number)), passed=number <= count, run_id=name))
    log = run._log
    assert isinstance(log, FileRunLog)
    log._files.close()
    return path.with_name(f"{path.name}.run-{name}")


def written(document: Document, name: str) -> list[int]:
    """Return the sorted numbers of the writes of ``name`` that the state contains, duplicates included."""
    return sorted(
        [int(test_name) for component, test_name in document.verdicts if component == name]
        + [int(item["id"]) for item in document.fields["docker_containers_removed"] if item["name"] == name]
        + [
            int(key.removeprefix(f"{name}:"))
            for key in document.fields["data_preserved"]
            if key.startswith(f"{name}:")
        ]
    )


def read_over_and_over(path: Path, words: Words) -> None:
    """Read repeatedly without the lock, through the library and the bare file, and report problems."""
    most, reads = 0, 0
    while True:
        try:
            document = FileStore(path, notify=quiet).read()
            known = (
                len(document.verdicts)
                + len(document.fields["docker_containers_removed"])
                + len(document.fields["data_preserved"])
            )
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


#: Parts of the messages of the kind ``missing``, each with its own kind: a loss that the log reports itself
#: differs from one that it does not report.
_MISSING = {
    "as it says itself": "loss_reported",
    "lines were removed": "lines_removed",
    "its end was cut off": "end_cut_off",
    "is gone, and with it": "log_missing",
    "the document is missing": "document_missing",
}


def kind_of(problem: Problem) -> str:
    """Return the kind of a problem, and for a missing thing the kind of that thing."""
    if problem.kind != "missing":
        return problem.kind
    return next(kind for words, kind in _MISSING.items() if words in problem.message)


def kinds_found(tracker: MigrationTracker) -> set[str]:
    """Return the kinds of problems (see :func:`kind_of`) that ``verify`` reports."""
    return {kind_of(problem) for problem in tracker.verify().problems}


def assert_sound(path: Path) -> None:
    """Assert an unbroken chain, a document that fits the log, legal transitions, and no temporary files."""
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
