"""``MigrationState.ps1`` against the operations and commands that it calls, without PowerShell."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import powershell_text as script
import pytest

from pytest_migration_state import MigrationTracker, Phase
from pytest_migration_state.cli.main import main
from pytest_migration_state.cli.parser import parse
from pytest_migration_state.domain.events import LEVELS
from pytest_migration_state.domain.operations import OPERATIONS
from pytest_migration_state.domain.policy import ALLOWABLE

if TYPE_CHECKING:
    from pathlib import Path

#: The contract: each function's parameters in their order, a switch with '?', a mandatory one with '!'.
KNOWN = {
    "Initialize-MigrationState": "StatePath Force?",
    "Set-MigrationPhase": "StatePath NewPhase! Force? Reason",
    "Add-ProcessedContainer": "StatePath ContainerName! ContainerId!",
    "Add-PreservedData": "StatePath DataKey! BackupPath!",
    "Add-NativeProcess": "StatePath ProcessName! ProcessId",
    "Add-ValidationResult": "StatePath Component! TestName! Passed! ErrorMessage Reason",
    "Set-RollbackAvailability": "StatePath Available!",
    "Set-MigrationError": "StatePath ErrorMessage!",
    "Approve-MigrationRecord": "StatePath By! Reason!",
    "Write-MigrationAuditLog": "StatePath Action! Details! Level",
    "Get-MigrationState": "StatePath",
    "Get-MigrationAuditLog": "StatePath Last",
    "Get-MigrationGate": "StatePath Require Allow",
}
FUNCTIONS = script.functions()
WRITING = [function for function in FUNCTIONS.values() if function.request]
READING = [function for function in FUNCTIONS.values() if not function.request]
#: A value of each type that a parameter may have.
VALUES: dict[str, object] = {"string": "text", "bool": True, "switch": True, "int": 7}


def named(function: script.Function) -> str:
    return function.name


def shape(function: script.Function) -> str:
    marks = {True: "!", False: ""}
    return " ".join(
        parameter.name + ("?" if parameter.type == "switch" else marks[parameter.is_mandatory])
        for parameter in function.parameters
    )


def test_functions_have_the_parameters_of_the_contract() -> None:
    """The functions and their parameters are those that users know."""
    assert {function.name: shape(function) for function in FUNCTIONS.values()} == KNOWN


def test_every_operation_is_sent_by_one_function() -> None:
    """Every operation that has a function is sent by exactly one."""
    sent = [function.request["operation"].strip("'") for function in WRITING]
    assert sorted([*sent, "forget_validation"]) == sorted(OPERATIONS)


@pytest.mark.parametrize("function", WRITING, ids=named)
def test_request_has_valid_arguments(function: script.Function) -> None:
    """A request has all required arguments, no unknown ones, and each from an existing variable."""
    operation = function.request["operation"].strip("'")
    _, required, optional = OPERATIONS[operation]
    always, sometimes = {*function.request} - {"operation"}, {*function.more}
    assert {*required} <= always
    assert always | sometimes <= {*required, *optional}
    assert always | sometimes <= {*inspect.signature(getattr(MigrationTracker, operation)).parameters}
    known = {parameter.name for parameter in function.parameters} | {"phase"}
    for value in [*function.request.values(), *function.more.values()]:
        assert {*re.findall(r"\$(\w+)", value)} <= known


@pytest.mark.parametrize("function", WRITING, ids=named)
def test_request_is_carried_out(function: script.Function, tmp_path: Path) -> None:
    """The request of a function, with values of its parameters' types, is carried out."""
    operation = function.request["operation"].strip("'")
    types = {f"${parameter.name}": parameter for parameter in function.parameters}

    def sent(value: str) -> object:
        if value.startswith("'"):
            return value.strip("'")
        if value == "$phase":
            return types["$NewPhase"].values[1]
        parameter = types[value.removeprefix("[bool]").removesuffix(".ToUpperInvariant()")]
        return parameter.values[0] if parameter.values else VALUES[parameter.type]

    notices: list[str] = []
    tracker = MigrationTracker(tmp_path / "migration-state.json", notify=notices.append)
    tracker.initialize()
    request: dict[str, Any] = {
        key: sent(value) for key, value in {**function.request, **function.more}.items()
    }
    if operation == "accept_record":
        tracker.audit_log_path.unlink()
    tracker.apply([request])
    assert tracker.read_audit()[-1].action != "Initialize" or operation == "initialize"


@pytest.mark.parametrize("function", READING, ids=named)
def test_command_and_its_options_exist(function: script.Function) -> None:
    """A function that reads runs an existing command with existing options."""
    more = {
        "Get-MigrationAuditLog": ["--last", "7"],
        "Get-MigrationGate": ["--require=web", "--allow=skipped"],
    }
    options = parse([*function.command, *more.get(function.name, []), "-s", "state.json"])
    assert (options.json, options.state) == (True, "state.json")


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


def test_windows_powershell_can_read_it() -> None:
    """The script suits Windows PowerShell 5.1: it is ASCII only, and uses no operators of PowerShell 7."""
    content = script.PATH.read_bytes()
    assert content.isascii()
    assert not content.startswith(b"\xef\xbb\xbf")
    code = re.sub(r"<#.*?#>|#.*|'[^']*'|\"[^\"\n]*\"", "", script.text(), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"\?\?|\?\.|&&|\|\||\s\?\s|-Parallel|-AsHashtable", code) == []


def test_path_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """``migration-state powershell`` prints the path of the script."""
    assert main(["powershell"]) == 0
    assert capsys.readouterr().out == f"{script.PATH}\n"
    assert script.PATH.is_absolute()
    assert script.PATH.is_file()
