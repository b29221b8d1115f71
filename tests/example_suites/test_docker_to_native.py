"""The example suite docker_to_native, run as an operator runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from native_processes import still_running

from pytest_migration_state import MigrationTracker, Phase

SUITE = Path(__file__).parents[2] / "example_suites" / "docker_to_native"
COMPONENTS = ["agent-zero", "guardian-hive", "worker-aider"]
#: The reason for the rollback when a component is broken. For agent-zero, the backup is damaged.
REASONS = {
    "agent-zero": "No safe backup of agent-zero; no container was removed",
    "guardian-hive": "Validation failed for guardian-hive",
    "worker-aider": "Validation failed for worker-aider",
}


def command(work: Path, *options: str) -> list[str]:
    return [sys.executable, str(SUITE / "migrate.py"), "--work", str(work), *options]


def migrate(work: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(work, *options), capture_output=True, text=True, encoding="utf-8", timeout=60, check=False
    )


def tracker_of(work: Path) -> MigrationTracker:
    return MigrationTracker(work / "migration-state.json")


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_migration_completes(tmp_path: Path) -> None:
    """Three sound components open the gate. Nothing keeps running, and the suite's folder is unchanged."""
    before = content(SUITE)
    done = migrate(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    state = tracker_of(tmp_path).state
    assert state.phase is Phase.COMPLETED
    assert sorted({result.component for result in state.validation_results}) == COMPONENTS
    # For each component at least three tests and the backup.
    assert all(
        sum(result.component == name for result in state.validation_results) >= 4 for name in COMPONENTS
    )
    assert all(result.passed for result in state.validation_results)
    assert sorted(container.name for container in state.docker_containers_removed) == COMPONENTS
    assert {f"{name}-backup" for name in COMPONENTS} <= state.data_preserved.keys()
    assert state.error is None
    assert sorted(process.name for process in state.native_processes_started) == COMPONENTS
    assert still_running(state) == []
    assert content(SUITE) == before


@pytest.mark.parametrize("component", COMPONENTS)
def test_broken_component_keeps_the_gate_shut(tmp_path: Path, component: str) -> None:
    """One damaged component keeps the gate shut.

    Its blockers are printed, the error is recorded, and the migration is rolled back.
    """
    done = migrate(tmp_path, "--break", component)
    assert done.returncode == 1, done.stdout + done.stderr
    tracker = tracker_of(tmp_path)
    *blockers, phase = tracker.gate().blockers
    assert phase.message == "the migration is rolled back, which is final"
    assert {blocker.component for blocker in blockers} == {component}
    printed = [line.removeprefix("  - ") for line in done.stdout.splitlines() if line.startswith("  - ")]
    # Before the rollback, an earlier phase than Validation may be a blocker beside these.
    assert printed[: len(blockers)] == [blocker.message for blocker in blockers]
    state = tracker.state
    assert state.phase is Phase.ROLLED_BACK
    assert state.error is not None
    assert state.error.message == REASONS[component]
    assert state.error.message in done.stdout
    assert still_running(state) == []


def test_work_folder_in_use_is_refused(tmp_path: Path) -> None:
    """A work folder that is not empty is refused with one sentence and left unchanged."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    done = migrate(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == f"The work folder cannot be used: {tmp_path} is no empty folder; "
        "name an empty or a new one, or leave --work out\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_interrupted_migration_stops_every_process(tmp_path: Path, number: signal.Signals) -> None:
    """If it is interrupted while pytest runs, it stops every process and says so, without a traceback."""
    with subprocess.Popen(
        command(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "running the tests" in line:
                break
        # A terminal sends it to the whole process group.
        os.killpg(process.pid, number)
        rest = process.stdout.read()
    assert process.returncode == 130, rest
    assert "interrupted" in rest
    assert "Traceback" not in rest
    tracker = tracker_of(tmp_path)
    assert tracker.state.phase is Phase.VALIDATION
    assert [entry.action for entry in tracker.read_audit(last=1)] == ["Interrupted"]
    assert still_running(tracker.state) == []
