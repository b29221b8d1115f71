"""Help and version: every command has an example that works, and no module is loaded needlessly."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import outstanding, walk

from pytest_migration_state import __version__
from pytest_migration_state.cli import arguments
from pytest_migration_state.cli.parser import parse
from pytest_migration_state.cli.registry import COMMANDS
from pytest_migration_state.domain import events, phases
from pytest_migration_state.domain.policy import ALLOWABLE, SETTINGS

if TYPE_CHECKING:
    from commandline import Run

BACKUPS = Path(__file__).parents[1] / "data" / "powershell" / "backup" / "volume-failed" / "backups"
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
    "accept": "Approve-MigrationRecord",
    "import-backup": "Import-MigrationBackup",
    "powershell": "itself: . (migration-state powershell)",
    "completion": "none",
}


def test_every_command_has_a_tested_example() -> None:
    """A new command has an example, which is tested below."""
    assert sorted(POWERSHELL) == sorted(command.name for command in COMMANDS)
    assert [command.name for command in COMMANDS if not command.examples] == []


def test_help_names_every_command(run: Run) -> None:
    """The main help lists each command with a description, and the exit statuses."""
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    named = re.findall(r"^    ([a-z-]+)(?: \([a-z, ]+\))? +[A-Z]", out, re.MULTILINE)
    assert sorted(named) == sorted(POWERSHELL)
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
        shutil.rmtree(folder)
        folder.mkdir()
        _prepare(run, folder, example)
        # An absolute path in an example is one of this test's folder.
        arguments = shlex.split(example.replace(" /mnt/", f" {folder}/mnt/"))
        assert arguments[0] == command
        assert run(*arguments).status == 0, example


def _prepare(run: Run, folder: Path, example: str) -> None:
    """Make what an example needs: a state in Validation whose gate is open, and the files that it names."""
    os.chdir(folder)
    (folder / "operations.jsonl").write_text('{"operation": "set_error", "message": "m"}\n')
    for backups in ("backups", "mnt/backups"):
        _save_backup(folder / backups)
    if example.startswith("init"):
        return
    walk(run)
    run("result", "guardian-hive", "native_execution_test", "--passed")
    run("result", "guardian-hive", "tests/test_old.py::test_a", "--passed")
    if "--allow skipped" in example:
        outstanding(folder, {"test_name": "t.py::test_a", "reason": "skipped"})
    if "BackupInProgress" in example:
        run("init", "--force")
    if example.startswith("accept"):
        (folder / "migration-audit.log").unlink()


def _save_backup(folder: Path) -> None:
    """Copy a sample backup whose first container is safe, and make it the only one of the manifest."""
    shutil.copytree(BACKUPS, folder)
    path = folder / "backup-manifest.json"
    text = path.read_text(encoding="utf-8")
    manifest = json.loads(text.replace("/srv/migration/backups", folder.as_posix()))
    del manifest["containers"][1:]
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_version_is_that_of_the_package(run: Run) -> None:
    """The version is the package's."""
    assert run("--version") == (0, f"migration-state {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["phase", "--help"], ["phase", "Done"], ["sho"], []],
    ids=" ".join,
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
    assert arguments.LEVELS == events.LEVELS
    assert {setting.name: setting.choices for setting in SETTINGS}["allow"] == ALLOWABLE


def test_every_setting_of_the_policy_is_an_option() -> None:
    """The commands that ask the gate have an option for each setting."""
    for command in ("phase Completed", "gate"):
        options = vars(parse(command.split()))
        assert {setting.name for setting in SETTINGS} <= options.keys()
