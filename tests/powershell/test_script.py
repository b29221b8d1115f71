"""``MigrationState.ps1`` and its module against the operations that they request, without PowerShell."""

from __future__ import annotations

import inspect
import re

import pytest

import powershell_text as script
from pytest_migration_state import MigrationTracker, Phase, __version__
from pytest_migration_state.cli import powershell_requests
from pytest_migration_state.cli.main import main
from pytest_migration_state.domain.events import LEVELS
from pytest_migration_state.domain.operations import OPERATIONS
from pytest_migration_state.domain.policy import ALLOWABLE, SETTINGS

#: The contract: each function's parameters in their order, a switch with '?', a mandatory one with '!', one
#: that is taken from the properties of objects in the pipeline with '|'.
KNOWN = {
    "Initialize-MigrationState": "StatePath Force?",
    "Set-MigrationPhase": "StatePath NewPhase! Force? Reason Require Allow",
    "Add-ProcessedContainer": "StatePath ContainerName!| ContainerId!| InputObject",
    "Add-PreservedData": "StatePath DataKey!| BackupPath!| InputObject",
    "Add-NativeProcess": "StatePath ProcessName!| ProcessId| InputObject",
    "Add-ValidationResult": "StatePath Component!| TestName!| Passed!| ErrorMessage| Reason| InputObject",
    "Remove-ValidationResult": "StatePath Component!| TestName| Reason! InputObject",
    "Set-RollbackAvailability": "StatePath Available!",
    "Set-MigrationError": "StatePath ErrorMessage! Clear?!",
    "Approve-MigrationRecord": "StatePath By! Reason!",
    "Import-MigrationBackup": "StatePath ManifestPath! Root",
    "Write-MigrationAuditLog": "StatePath Action! Details! Level",
    "Get-MigrationState": "StatePath",
    "Get-MigrationAuditLog": "StatePath Last",
    "Get-MigrationGate": "StatePath Require Allow",
    "Test-MigrationState": "StatePath PassThru?",
}
FUNCTIONS = script.functions()


def named(function: script.Function) -> str:
    return function.name


def shape(parameter: script.Parameter) -> str:
    marks = (parameter.type == "switch", "?"), (parameter.is_mandatory, "!"), (parameter.is_piped, "|")
    return parameter.name + "".join(mark for applies, mark in marks if applies)


def test_functions_have_the_parameters_of_the_contract() -> None:
    """The functions and their parameters are those that users know."""
    shapes = {function.name: " ".join(map(shape, function.parameters)) for function in FUNCTIONS.values()}
    assert shapes == KNOWN


def test_every_operation_and_command_is_requested_by_one_function() -> None:
    """Every operation is requested by exactly one function, and so is every other command."""
    operations = [operation for function in FUNCTIONS.values() for operation in function.operations]
    # Write-MigrationAuditLog has a command of its own: it works before there is a state.
    assert sorted([*operations, "write_audit"]) == sorted(OPERATIONS)
    commands = [function.command for function in FUNCTIONS.values() if function.command]
    assert sorted([*commands, "apply"]) == sorted(powershell_requests.COMMANDS)


@pytest.mark.parametrize(
    ("function", "operation"),
    [(function, operation) for function in FUNCTIONS.values() for operation in function.operations],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_request_has_valid_arguments(function: script.Function, operation: str) -> None:
    """A request has all required arguments, and no unknown ones."""
    _, required, optional = OPERATIONS[operation]
    always = function.operations[operation]
    assert {*required} <= always
    sent = always | function.sometimes
    assert sent <= {*required, *optional}
    method = inspect.signature(getattr(MigrationTracker, operation))
    # In place of a policy, a request has its settings.
    assert sent - {setting.name for setting in SETTINGS} <= {*method.parameters}


def test_valid_values_are_those_of_the_state() -> None:
    """The valid values of parameters are those of the state."""
    values = {
        f"{function.name} {one.name}": one.values
        for function in FUNCTIONS.values()
        for one in function.parameters
        if one.values
    }
    phases = tuple(Phase)
    assert values == {
        "Set-MigrationPhase NewPhase": phases,
        "Set-MigrationPhase Allow": ALLOWABLE,
        "Write-MigrationAuditLog Level": LEVELS,
        "Get-MigrationGate Allow": ALLOWABLE,
    }
    listed = ", ".join(f"'{phase}'" for phase in phases)
    assert f"$phases = {listed}\n" in script.text()


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=named)
def test_help_is_complete(function: script.Function) -> None:
    """Each function's help has a synopsis, each parameter in order, and an example that calls it."""
    assert re.findall(r"\.(SYNOPSIS|DESCRIPTION)\n", function.help)[0] == "SYNOPSIS"
    assert re.findall(r"\.PARAMETER (\w+)\n +\S", function.help) == [
        parameter.name for parameter in function.parameters
    ]
    examples = re.findall(r"\.EXAMPLE\n +(.+)\n", function.help)
    assert examples
    assert all(function.name in example for example in examples)


def test_module_exports_these_functions() -> None:
    """The module's manifest names every function for users; the version is the package's."""
    manifest = script.PATH.with_suffix(".psd1").read_text(encoding="ascii")
    exported = re.search(r"FunctionsToExport = @\((.*?)\)", manifest, re.DOTALL)
    assert exported
    assert re.findall(r"'([\w-]+)'", exported[1]) == [*KNOWN]
    assert f"ModuleVersion = '{__version__}'\n" in manifest
    assert "PowerShellVersion = '5.1'\n" in manifest
    assert "CompatiblePSEditions = @('Desktop', 'Core')\n" in manifest


@pytest.mark.parametrize("suffix", [".ps1", ".psm1", ".psd1", ".format.ps1xml"])
def test_windows_powershell_can_read_it(suffix: str) -> None:
    """The files suit Windows PowerShell 5.1: ASCII only, and no operators of PowerShell 7."""
    content = script.PATH.with_name(f"MigrationState{suffix}").read_bytes()
    assert content.isascii()
    assert not content.startswith(b"\xef\xbb\xbf")
    code = re.sub(r"<#.*?#>|#.*|'[^']*'|\"[^\"\n]*\"", "", content.decode(), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"\?\?|\?\.|&&|\|\||\s\?\s|-Parallel|-AsHashtable", code) == []


@pytest.mark.parametrize(("options", "name"), [((), ".ps1"), (("--module",), ".psd1")])
def test_path_is_printed(capsys: pytest.CaptureFixture[str], options: tuple[str, ...], name: str) -> None:
    """``migration-state powershell`` prints the path of the script, with ``--module`` that of the module."""
    assert main(["powershell", *options]) == 0
    path = script.PATH.with_suffix(name)
    assert capsys.readouterr().out == f"{path}\n"
    assert path.is_absolute()
    assert path.is_file()
