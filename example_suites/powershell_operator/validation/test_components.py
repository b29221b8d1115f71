"""Each native process does the work of its container, including what the container left behind."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_migration_state import MigrationTracker

LIMIT = 5.0  # seconds within which a job must be done

#: For each component a job, and its result by the settings of the container.
JOBS = {
    "guardian-hive": ("run docker", "run DENIED"),
    "worker-aider": ("one container", "one process"),
    "agent-zero": ("the next goal", "the next step"),
}


def for_each_component(test_name: str) -> pytest.MarkDecorator:
    """Run a test once for each component, and record its verdicts under this name."""
    marks = {name: pytest.mark.migration_component(name, test_name=test_name) for name in JOBS}
    return pytest.mark.parametrize("component", [pytest.param(name, marks=marks[name]) for name in JOBS])


def folder_of(component: str, tracker: MigrationTracker) -> Path:
    """Return the folder of a process, which must be ready and healthy."""
    path = tracker.state.data_preserved[f"{component}-data"]
    assert path is not None
    ready = Path(path) / "ready.json"
    assert ready.exists(), "the process is not ready"
    status = json.loads(ready.read_text(encoding="utf-8"))["status"]
    assert status == "healthy", status
    return Path(path)


def result_of(folder: Path, job: str) -> str:
    """Wait for the result of a job, and return it."""
    result = folder / "results" / job
    deadline = time.monotonic() + LIMIT
    while not result.exists():
        assert time.monotonic() < deadline, f"{job} has no result after {LIMIT:g} s"
        time.sleep(0.02)
    return result.read_text(encoding="utf-8")


@for_each_component("does_a_job")
def test_does_a_job(component: str, migration_state: MigrationTracker) -> None:
    """A new job is done with the settings of the container."""
    folder = folder_of(component, migration_state)
    job, result = JOBS[component]
    (folder / "results" / "new.txt").unlink(missing_ok=True)  # of an earlier run
    unfinished = folder / "jobs" / "new.unfinished"
    unfinished.write_text(job, encoding="utf-8")
    unfinished.replace(unfinished.with_suffix(".txt"))
    assert result_of(folder, "new.txt") == result


@for_each_component("does_the_job_left_by_the_container")
def test_does_the_job_left_by_the_container(component: str, migration_state: MigrationTracker) -> None:
    """The job that was waiting when the container was removed has been done."""
    assert result_of(folder_of(component, migration_state), "left.txt").startswith("left by the ")
