"""Many processes and threads of every kind write to one state concurrently, and no write is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from processes import run_all
from writers import TO_VALIDATION, assert_sound, operation, tracker_at, write_as_run, write_by_api, written

from pytest_migration_state.errors import InvalidTransitionError
from pytest_migration_state.storage.files.log_lines import read_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(("processes", "ci", "full"), [(16, 250, 250), (8, 500, 500)])
def test_every_write_counts(
    state: Path,
    processes: int,
    ci: int,
    full: int,
    rounds: Callable[[int, int], int],
    figures: Callable[[str], None],
) -> None:
    """Every write of a process is there exactly once, the chain is unbroken, and transitions are legal."""
    count = rounds(ci, full)
    began = time.monotonic()

    def mover() -> None:
        """Attempt every transition; each succeeds in one of the processes."""
        tracker = tracker_at(state)
        for phase in TO_VALIDATION:
            try:
                tracker.commit([{"operation": "set_phase", "phase": phase}])
            except InvalidTransitionError:
                continue

    def work(name: str, write: Callable[[Path, str, int], None]) -> None:
        mover()
        write(state, name, count)

    kinds = [write_as_run, write_by_api]
    run_all(partial(work, f"writer-{number}", kinds[number % 2]) for number in range(processes))
    document = tracker_at(state).read()
    for number in range(processes):
        assert written(document, f"writer-{number}") == list(range(1, count + 1))
    assert document.phase == "Validation"
    assert not document.outstanding
    assert_sound(state)
    entries = sum(line.hash is not None for line in read_lines(state.with_name("migration-audit.log")))
    seconds = time.monotonic() - began
    figures(
        f"{processes} processes x {count} writes: {processes * count} of {processes * count} there, "
        f"{entries} entries, {seconds:.1f} s"
    )


def test_every_write_of_threads_and_processes_counts(state: Path) -> None:
    """Threads that share a tracker, threads with one each, and processes: every write counts."""
    shared = tracker_at(state)

    def threads(name: str) -> None:
        def with_shared(number: int) -> None:
            for i in range(number * 30 + 1, number * 30 + 31):
                shared.commit([operation(f"{name}-shared", i)])

        workers = [threading.Thread(target=with_shared, args=[number]) for number in range(3)]
        workers += [
            threading.Thread(target=write_by_api, args=[state, f"{name}-{number}", 30]) for number in range(2)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    shared.commit([operation("before", 1)])
    # The children inherit a tracker that is in use, with its open files and its lock.
    run_all(partial(threads, f"process-{number}") for number in range(3))
    threads("parent")
    document = shared.read()
    for name in ("process-0", "process-1", "process-2", "parent"):
        assert written(document, f"{name}-shared") == list(range(1, 91))
        assert written(document, f"{name}-0") == written(document, f"{name}-1") == list(range(1, 31))
    assert_sound(state)


def test_every_write_of_the_command_line_counts(state: Path) -> None:
    """Commands, a run and an API user on one state: every write counts."""

    def commands(name: str) -> None:
        for number in range(1, 6):
            command = [
                sys.executable,
                "-m",
                "pytest_migration_state",
                "result",
                "-s",
                str(state),
                name,
                str(number),
                "--passed",
            ]
            subprocess.run(command, check=True, capture_output=True)

    run_all(
        [
            partial(commands, "command-0"),
            partial(commands, "command-1"),
            partial(write_as_run, state, "run", 300),
            partial(write_by_api, state, "api", 300),
        ]
    )
    document = tracker_at(state).read()
    assert written(document, "command-0") == written(document, "command-1") == list(range(1, 6))
    assert written(document, "run") == written(document, "api") == list(range(1, 301))
    assert_sound(state)


def test_second_creator_finds_the_state(folder: Path) -> None:
    """The second of two creators finds the state that the first one created."""
    for number in range(40):
        state = folder / str(number) / "migration-state.json"
        run_all(partial(write_by_api, state, name, 2) for name in ("one", "other"))
        lines = [line.content for line in read_lines(state.with_name("migration-audit.log")) if line.content]
        assert [line["action"] for line in lines].count("Initialize") == 1
        document = tracker_at(state).read()
        assert written(document, "one") == written(document, "other") == [1, 2]
