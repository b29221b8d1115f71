"""What the functions do when something is refused, is not there, or does not answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from powershell_runner import LONG
from powershell_text import PATH

if TYPE_CHECKING:
    from pathlib import Path

    from powershell_runner import PowerShell

STRICT = """
    $ErrorActionPreference = 'Stop'
    $PSNativeCommandUseErrorActionPreference = $true
    Set-StrictMode -Version Latest
"""


@pytest.mark.parametrize("preferences", ["", pytest.param(STRICT, marks=LONG)], ids=["default", "stop"])
def test_refusal_is_a_terminating_error(preferences: str, powershell: PowerShell) -> None:
    """A refusal is a terminating error with one sentence that ends with the script and the line."""
    printed = powershell(f"""
        {preferences}
        try {{ Set-MigrationError -ErrorMessage 'x' }} catch {{ $_.Exception.Message }}
        $null = Initialize-MigrationState
        try {{ $null = Initialize-MigrationState }} catch {{ $_.Exception.Message }}
        try {{ $null = Set-MigrationPhase -NewPhase Completed; 'not reached' }}
        catch {{ $_.Exception.Message }}
        try {{ $null = Set-MigrationPhase -NewPhase Nowhere; 'not reached' }} catch {{ 'no such phase' }}
        try {{ $null = Set-MigrationPhase Completed; 'not reached' }} catch {{ ("$_" -split ' write ')[1] }}
        try {{ $null = Get-MigrationState -StatePath 'Nowhere:/s.json' }} catch {{ $_.Exception.Message }}
        try {{ $null = Get-MigrationState -StatePath 'Env:/s.json' }} catch {{ $_.Exception.Message }}
        (Initialize-MigrationState -Force -WarningAction SilentlyContinue).phase
    """)
    script = powershell.folder / "script-1.ps1"
    line = 4 + len(preferences.splitlines())
    assert printed[0] == (
        f"Migration state not found. Please initialize first: there is no '{powershell.state}' "
        f"({script}, line {line})"
    )
    assert "there is a migration state already; use it, or set it aside with -Force" in printed[1]
    assert printed[2].startswith(
        "Invalid phase transition from 'NotStarted' to 'Completed'. Valid transitions: BackupInProgress "
        f"({script}, line "
    )
    assert printed[3:5] == ["no such phase", "Set-MigrationPhase -NewPhase Completed"]
    assert printed[5].startswith("The path 'Nowhere:/s.json' cannot be used: ")
    assert printed[6].startswith("The path 'Env:/s.json' cannot be used: it names no file, but something of ")
    assert printed[7] == "NotStarted"


@LONG
def test_refusal_ends_a_script(powershell: PowerShell) -> None:
    """An uncaught refusal ends a script, also one that does not stop at errors."""
    done = powershell.fails("""
        $null = Initialize-MigrationState
        $null = Set-MigrationPhase -NewPhase Completed
        'not reached'
    """)
    assert done.returncode != 0
    assert "Invalid phase transition from 'NotStarted' to 'Completed'" in " ".join(done.stderr.split())
    assert "not reached" not in done.stdout


GOING_ON = {
    "SilentlyContinue": ("", "-ErrorAction SilentlyContinue"),
    "Ignore": ("", "-ErrorAction Ignore"),
    "preference": ("$ErrorActionPreference = 'SilentlyContinue'", ""),
}


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("module", [False, True], ids=["dotted", "module"])
@pytest.mark.parametrize(("preference", "option"), GOING_ON.values(), ids=GOING_ON)
def test_caller_that_goes_on_after_errors(
    powershell: PowerShell, preference: str, option: str, *, module: bool
) -> None:
    """Where the caller asked for it the script goes on: nothing done, nothing returned, and $? is false."""
    inner = powershell.script(
        f"""
        {preference}
        $found = Set-MigrationPhase -StatePath 'mistyped.json' -NewPhase BackupInProgress {option}
        "$? $($null -eq $found)"
        $found = Set-MigrationPhase -NewPhase Completed {option}; "$? $($null -eq $found)"
        $found = Initialize-MigrationState {option}; "$? $($null -eq $found)"
        Add-PreservedData -DataKey ' ' -BackupPath x {option}; "$?"
        $found = Test-MigrationState -StatePath 'Nowhere:/s.json' {option}; "$? $($null -eq $found)"
        $found = Import-MigrationBackup -ManifestPath 'Nowhere:/m.json' {option}; "$? $($null -eq $found)"
        $found = Get-MigrationGate -StatePath 'Nowhere:/s.json' {option}; "$? $($null -eq $found)"
        """,
        "inner.ps1",
    )
    load = f"Import-Module '{PATH.with_suffix('.psd1')}'" if module else f". '{PATH}'"
    printed = powershell(f"$null = Initialize-MigrationState\n& '{inner}'\n'reached'", load=load)
    assert printed == [*["False True"] * 3, "False", *["False True"] * 3, "reached"]
    assert not (powershell.folder / "mistyped.json").exists()
    assert powershell.document()["phase"] == "NotStarted"


@LONG
def test_shut_gate_refuses_completed(powershell: PowerShell) -> None:
    """A shut gate refuses Completed with every blocker and what to type; -Force and -Reason override it."""
    printed = powershell("""
        $null = Initialize-MigrationState
        foreach ($phase in 'BackupInProgress', 'ContainerTermination', 'NativeDeployment', 'Validation') {
            $null = Set-MigrationPhase -NewPhase $phase
        }
        try { $null = Set-MigrationPhase -NewPhase Completed } catch { $_.Exception.Message }
        '---'
        Add-ValidationResult -Component 'a' -TestName 'it''s one' -Passed $false
        Add-ValidationResult -Component 'b' -TestName 'two' -Passed $false
        try { $null = Set-MigrationPhase -NewPhase Completed } catch { $_.Exception.Message }
        '---'
        try { $null = Set-MigrationPhase -NewPhase Completed -Require c }
        catch { ($_.FullyQualifiedErrorId -split ',')[0] }
        $null = Set-MigrationPhase -NewPhase Completed -Force -Reason 'accepted by the owner'
        (Get-MigrationAuditLog -Last 1).details
    """)
    state = f"'{powershell.state}'"
    assert printed[0].startswith(
        "The gate to Completed is shut: no validation has a verdict yet; run the marked tests: "
        f"pytest '--migration-state={powershell.state}', or record what you see: "
        f"Add-ValidationResult -StatePath {state} -Component NAME"
    )
    assert printed[2] == "The gate to Completed is shut: 2 blockers"
    assert printed[3].startswith(
        "  - 'it's one' of 'a' failed; fix it, then check it and record what you see: "
    )
    assert (
        f"Add-ValidationResult -StatePath {state} -Component a -TestName 'it''s one' -Passed $true"
        in printed[3]
    )
    assert f"Remove-ValidationResult -StatePath {state} -Component b -TestName two -Reason TEXT" in printed[4]
    assert printed[5].startswith(
        f"For a list: (Get-MigrationGate -StatePath {state}).blockers | Format-List "
    )
    assert printed[6].startswith("(")
    assert printed[-2] == "GateBlockedError"
    assert printed[-1] == "Transitioned from 'Validation' to 'Completed' (forced: accepted by the owner)"


@LONG
def test_reading_without_a_state_warns(powershell: PowerShell) -> None:
    """Without a state reading warns, and nobody is told that there are no blockers or no problems."""
    printed = powershell("""
        $ErrorActionPreference = 'Stop'
        "$(@(Get-MigrationState 3>&1)[0])"
        $null -eq (Get-MigrationState -WarningAction SilentlyContinue)
        try { Get-MigrationGate } catch { ($_.FullyQualifiedErrorId -split ',')[0] }
        try { Test-MigrationState -PassThru } catch { ($_.FullyQualifiedErrorId -split ',')[0] }
        @(Get-MigrationAuditLog -WarningAction SilentlyContinue).Count
        Test-MigrationState -WarningAction SilentlyContinue
        Test-Path migration-state.json
    """)
    assert printed[0] == f"Migration state file not found: {powershell.state}"
    assert printed[1:] == ["True", *["StateNotFoundError"] * 2, "0", "False", "False"]


# --- answers that are not ours ------------------------------------------------------------------------------

#: Another program of that name, for a POSIX shell and for Windows.
OTHERS = {
    "crash": ("exit 1", "exit /b 1"),
    "silent success": ("exit 0", "exit /b 0"),
    "a document": (
        """echo '{"phase": "Completed", "open": true, "blockers": []}'""",
        """echo {"phase": "Completed", "open": true, "blockers": []}""",
    ),
    "half an answer": (
        """echo '{"answer": {"phase": "Completed", "open": true, "sound": true}}'""",
        """echo {"answer": {"phase": "Completed", "open": true, "sound": true}}""",
    ),
    "traceback": (
        "echo 'ImportError: no module' >&2; exit 1",
        "echo ImportError: no module>&2\nexit /b 1",
    ),
    "a number": ("echo 5", "echo 5"),
    "a line that cannot be read": (
        """echo '{"answer": {"a": 1, "A": 2}}'; echo '{"end": 1}'""",
        """echo {"answer": {"a": 1, "A": 2}}\necho {"end": 1}""",
    ),
}
CALLS = (
    "Get-MigrationState",
    "Get-MigrationGate",
    "Get-MigrationAuditLog",
    "Test-MigrationState",
    "Initialize-MigrationState",
    "Set-MigrationPhase -NewPhase Validation",
    "Add-ValidationResult -Component a -TestName b -Passed $true",
)


def test_answer_that_is_not_ours_is_an_error(powershell: PowerShell) -> None:
    """What another program or a crashed one prints is never an answer: not "shut", not $null, not a state."""
    folders = [powershell.another_command(name, shell, batch) for name, (shell, batch) in OTHERS.items()]
    listed = ", ".join(f"'{folder}'" for folder in folders)
    calls = "\n".join(
        f"try {{ $found = {call}; 'taken' }} catch {{ $_.Exception.Message }}" for call in CALLS
    )
    printed = powershell(f"""
        Set-StrictMode -Version Latest
        $path = $env:PATH
        foreach ($folder in {listed}) {{
            $env:PATH = $folder + [IO.Path]::PathSeparator + $path
            {calls}
        }}
    """)
    assert len(printed) == len(OTHERS) * len(CALLS)
    assert all("without an answer, so nothing is known of the migration state: " in line for line in printed)
    assert "exit status 1" in printed[0]
    assert any("It said: ImportError: no module" in line for line in printed)


@LONG
def test_command_that_is_missing_or_cannot_be_started_is_reported(powershell: PowerShell) -> None:
    """If the command is not on the path or cannot be started, one sentence says what to do."""
    moved = powershell.another_command("moved", "", "exit /b 1")
    if sys.platform != "win32":
        _lose_interpreter(moved / "migration-state")
    printed = powershell(f"""
        $path = $env:PATH
        $env:PATH = ''
        try {{ Initialize-MigrationState }} catch {{ $_.Exception.Message }}
        $env:PATH = '{moved}' + [IO.Path]::PathSeparator + $path
        try {{ Initialize-MigrationState }} catch {{ $_.Exception.Message }}
    """)
    assert printed[0].startswith(
        "The command 'migration-state' is not on the PATH; install it with 'python -m pip install "
        "pytest-migration-state'"
    )
    assert "reinstall it with 'python -m pip install --force-reinstall pytest-migration-state'" in printed[1]


def _lose_interpreter(program: Path) -> None:
    """Make a program one of a virtual environment that was moved."""
    program.write_text(f"#!{program.parent}/no/python\n", encoding="utf-8")
