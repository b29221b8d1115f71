"""The example suite powershell_operator, run as an operator runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from native_processes import still_running

from powershell_runner import LONG
from pytest_migration_state import MigrationTracker, Phase

if TYPE_CHECKING:
    from powershell_runner import PowerShell

SCRIPT = Path(__file__).parents[2] / "example_suites" / "powershell_operator" / "Migrate.ps1"
COMPONENTS = ["agent-zero", "guardian-hive", "worker-aider"]
TESTS = ["does_a_job", "does_the_job_left_by_the_container", "starts"]


def actions(tracker: MigrationTracker) -> list[str]:
    """What the log says of the migration, without the single results."""
    return [
        entry.action for entry in tracker.read_audit() if entry.action in {"GateBlocked", "Error", "Window"}
    ]


def test_script_is_ascii() -> None:
    """Windows PowerShell 5.1 reads a script without a byte order mark as ANSI."""
    assert SCRIPT.read_bytes().isascii()


def test_migration_completes(powershell: PowerShell) -> None:
    """A refused completion is repaired and repeated. Nothing keeps running."""
    done = powershell.run_file(SCRIPT, "-Work", "work")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    tracker = MigrationTracker(powershell.folder / "work" / "migration-state.json")
    state = tracker.state
    assert state.phase is Phase.COMPLETED
    assert state.error is None
    assert {(one.component, one.test_name) for one in state.validation_results} == {
        (component, test) for component in COMPONENTS for test in TESTS
    }
    assert all(result.passed for result in state.validation_results)
    assert sorted(container.name for container in state.docker_containers_removed) == COMPONENTS
    assert sorted(state.data_preserved) == [
        f"{component}-{kind}" for component in COMPONENTS for kind in ("backup", "data")
    ]
    # The worker was started again after its repair.
    started = [process.name for process in state.native_processes_started]
    assert sorted(started) == [*COMPONENTS, "worker-aider"]
    assert still_running(state) == []
    assert actions(tracker) == ["Window", "GateBlocked"]
    assert tracker.verify().sound
    assert "  - 'does_a_job' of 'worker-aider' failed: AssertionError: there is no folder " in done.stdout
    assert "    -> fix it, then run: pytest " in done.stdout
    assert "The phase is Completed; the record is sound: True" in done.stdout


@LONG
def test_component_that_cannot_be_repaired_is_rolled_back(powershell: PowerShell) -> None:
    """Error and reason are on record, and nothing keeps running."""
    done = powershell.run_file(SCRIPT, "-Work", "work", "-Fail", "guardian-hive")
    assert (done.returncode, done.stderr) == (1, ""), done.stdout + done.stderr
    tracker = MigrationTracker(powershell.folder / "work" / "migration-state.json")
    state = tracker.state
    assert state.phase is Phase.ROLLED_BACK
    assert state.error is not None
    assert state.error.message == "Validation failed for guardian-hive"
    failed = {one.component: one.error_message for one in state.validation_results if not one.passed}
    assert list(failed) == ["guardian-hive"]
    assert still_running(state) == []
    assert actions(tracker) == ["Window", "GateBlocked", "GateBlocked", "Error"]
    (last,) = tracker.read_audit(last=1)
    assert last.data is not None
    assert (last.action, last.data["reason"]) == ("PhaseTransition", "Validation failed for guardian-hive")
    assert "The phase is RolledBack; the record is sound: True" in done.stdout


def test_what_if_leaves_nothing(powershell: PowerShell) -> None:
    """-WhatIf says what would be done, and creates no file."""
    done = powershell.run_file(SCRIPT, "-Work", "work", "-Fail", "agent-zero", "-WhatIf")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert [line for line in said if not line.startswith("What if: ")] == []
    for phase in ("BackupInProgress", "ContainerTermination", "NativeDeployment", "Validation", "Completed"):
        assert sum(f'"Move to the phase {phase}"' in line for line in said) == 1
    assert sum('"Start the process"' in line for line in said) == len(COMPONENTS)
    assert list(powershell.folder.iterdir()) == []
