"""Help and version: every command has an example that works, and no module is loaded needlessly."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commandline import outstanding, walk

from pytest_migration_state import __version__
from pytest_migration_state.cli.commands import write
from pytest_migration_state.cli.parser import parse
from pytest_migration_state.domain import events, phases
from pytest_migration_state.domain.policy import ALLOWABLE, SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run

POWERSHELL = {
    "init": "Initialize-MigrationState",
    "phase": "Set-MigrationPhase",
    "container": "Add-ProcessedContainer",
    "data": "Add-PreservedData",
    "process": "Add-NativeProcess",
    "result": "Add-ValidationResult",
    "rollback": "Set-RollbackAvailability",
    "error": "Set-MigrationError",
    "show": "Get-MigrationState",
    "log": "Write-MigrationAuditLog",
    "audit": "Get-MigrationAuditLog",
    "gate": "Get-MigrationGate",
    "forget": "Remove-ValidationResult",
    "verify": "Test-MigrationState",
    "apply": "every function that writes",
}


def test_help_names_every_command(run: Run) -> None:
    """The main help lists each command with a description, and the exit statuses."""
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    named = re.findall(r"^    ([a-z-]+) +[A-Z]", out, re.MULTILINE)
    assert set(named) >= {*POWERSHELL}
    for line in ("0  done", "1  refused by the rules", "2  wrong usage", "3  the state cannot be used"):
        assert line in out


@pytest.mark.parametrize("command", POWERSHELL)
def test_each_example_in_the_help_works(run: Run, folder: Path, command: str) -> None:
    """The help of a command names its PowerShell function, and its examples work."""
    status, out, err = run(command, "--help")
    assert (status, err) == (0, "")
    assert f"PowerShell: {POWERSHELL[command]}\n" in out
    examples = re.findall(r"^  migration-state (.*)$", out, re.MULTILINE)
    assert examples
    for example in examples:
        for path in folder.iterdir():
            path.unlink()
        if command != "init":
            walk(run)
            run("result", "guardian-hive", "native_execution_test", "--passed")
        if "--allow skipped" in example:
            outstanding(folder, {"test_name": "t.py::test_a", "reason": "skipped"})
        if "BackupInProgress" in example:
            run("init", "--force")
        (folder / "operations.jsonl").write_text('{"operation": "set_error", "message": "m"}\n')
        arguments = shlex.split(example)
        assert arguments[0] == command
        assert run(*arguments).status == 0, example


def test_version_is_that_of_the_package(run: Run) -> None:
    """The version is the package's."""
    assert run("--version") == (0, f"migration-state {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["phase", "--help"], ["phase", "Done"]], ids=" ".join
)
def test_help_and_wrong_usage_load_no_tracker(arguments: list[str]) -> None:
    """Help, version and wrong usage are answered before the tracker, filelock or pydantic is loaded."""
    program = (
        "import sys\n"
        "from pytest_migration_state.cli import output\n"
        "from pytest_migration_state.cli.main import main\n"
        "output.complain = lambda *texts: None\n"
        f"main({arguments!r})\n"
        "heavy = {'pytest', 'pydantic_core', 'filelock', 'json', 'pathlib', "
        "'pytest_migration_state.tracking.tracker'} & sys.modules.keys()\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["show"], ["error", "m"], ["gate"], ["audit"]], ids=" ".join)
def test_a_command_loads_no_models(folder: Path, arguments: list[str]) -> None:
    """A command works on the document itself: pydantic and pytest are not loaded."""
    program = (
        "import sys\n"
        "from pytest_migration_state.cli.main import main\n"
        "main(['init'])\n"
        f"main({arguments!r})\n"
        "heavy = {'pytest', 'pydantic', 'pytest_migration_state.models'} & sys.modules.keys()\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_parser_accepts_the_values_of_the_domain() -> None:
    """Phases, levels and reasons that the parser accepts are those of the domain."""
    assert tuple(phases.Phase) == phases.PHASES
    assert write._LEVELS == events.LEVELS
    assert {setting.name: setting.choices for setting in SETTINGS}["allow"] == ALLOWABLE


def test_every_setting_of_the_policy_is_an_option() -> None:
    """The commands that ask the gate have an option for each setting."""
    for command in ("phase Completed", "gate"):
        options = vars(parse(command.split()))
        assert {setting.name for setting in SETTINGS} <= options.keys()
