"""The functions in the surroundings of real scripts: preferences, modules, language modes, runspaces."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING

import pytest

from powershell_runner import LONG
from powershell_text import PATH
from pytest_migration_state import MigrationTracker
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.text import utc_now
from pytest_migration_state.tracking.run_writer import RunWriter

if TYPE_CHECKING:
    from powershell_runner import PowerShell

MODULE = f"Import-Module '{PATH.with_suffix('.psd1')}'"
#: Each function that changes something.
CHANGES = """
    $found = @(
        Initialize-MigrationState
        Set-MigrationPhase -NewPhase BackupInProgress
        Add-ProcessedContainer -ContainerName c -ContainerId d
        [pscustomobject]@{ Name = 'c'; Id = 'd' } | Add-ProcessedContainer
        Add-PreservedData -DataKey k -BackupPath p
        Add-NativeProcess -ProcessName n
        Add-ValidationResult -Component c -TestName t -Passed $true
        Remove-ValidationResult -Component c -TestName t -Reason r
        Set-RollbackAvailability -Available $false
        Set-MigrationError -ErrorMessage m
        Set-MigrationError -Clear
        Approve-MigrationRecord -By b -Reason r
        Import-MigrationBackup -ManifestPath m.json
        Write-MigrationAuditLog -Action a -Details d
    )
    $found.Count
"""


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("load", [f". '{PATH}'", MODULE], ids=["dotted", "module"])
def test_what_if_of_a_script_changes_nothing(powershell: PowerShell, load: str) -> None:
    """-WhatIf of the calling script, or its preference, counts for every function that changes something."""
    inner = powershell.script(
        f"[CmdletBinding(SupportsShouldProcess = $true)] param()\n{CHANGES}", "inner.ps1"
    )
    printed = powershell(f"& '{inner}' -WhatIf\n$WhatIfPreference = $true\n{CHANGES}", load=load)
    told = [line for line in printed if line.startswith("What if: ")]
    assert len(told) == 28
    assert f'"Begin a migration" on target "{powershell.state}".' in told[0]
    assert [line for line in printed if line not in told] == ["0", "0"]
    assert sorted(path.name for path in powershell.folder.iterdir()) == ["inner.ps1", "script-2.ps1"]


@pytest.mark.parametrize("load", [MODULE, f". '{PATH}'"], ids=["module", "dotted"])
@LONG
def test_functions_leave_the_callers_surroundings_alone(powershell: PowerShell, load: str) -> None:
    """Exit status, encodings, environment and $Error stay; defaults and strictness of a script do no harm."""
    printed = powershell(
        """
        Set-StrictMode -Version Latest
        Test-Path Variable:global:LASTEXITCODE
        $PSDefaultParameterValues = @{
            'ConvertTo-Json:AsArray' = $true; 'ConvertTo-Json:Depth' = 1; 'Get-Command:All' = $true
            'Write-Warning:WarningAction' = 'Stop'; 'Select-Object:Last' = 1
            'ConvertFrom-Json:NoEnumerate' = $true; 'Get-Variable:Scope' = 'Global'
            'Add-Member:PassThru' = $true
        }
        $OutputEncoding = [Text.Encoding]::Unicode
        $before = [Console]::OutputEncoding.CodePage
        $null = Initialize-MigrationState
        Add-PreservedData -DataKey 'clé' -BackupPath '中'
        $null = Get-MigrationAuditLog
        Test-Path Variable:global:LASTEXITCODE
        $Error.Count
        $null = & migration-state no-such-command 2>&1
        try { $null = Initialize-MigrationState } catch { 'refused' }
        $LASTEXITCODE
        $before -eq [Console]::OutputEncoding.CodePage
        $OutputEncoding.WebName
        Test-Path Env:PYTHONIOENCODING
        & { $WhatIfPreference = $true; $null = Set-MigrationPhase -NewPhase BackupInProgress 6>$null }
        """,
        load=load,
    )
    assert [line for line in printed if not line.startswith("What if: ")] == [
        "False", "False", "0", "refused", "2", "True", "utf-16", "False",
    ]  # fmt: skip
    assert powershell.document()["phase"] == "NotStarted"
    assert powershell.document()["data_preserved"] == {"clé": "中"}


@LONG
def test_helpers_of_the_module_are_its_own(powershell: PowerShell) -> None:
    """A script's own functions do not replace the module's helpers, and those are not exported."""
    printed = powershell(
        """
        function Invoke-MigrationRequest { 'mine' }
        function Resolve-MigrationPath { 'mine' }
        (Initialize-MigrationState).phase
        (Get-Module MigrationState).Version.ToString()
        @((Get-Module MigrationState).ExportedFunctions.Keys).Count
        @(Get-Command -Module MigrationState | Where-Object Name -like '*-MigrationCall').Count
        """,
        load="Import-Module (migration-state powershell --module)",
    )
    assert printed == ["NotStarted", "0.1.0", "16", "0"]


CONSTRAINED = "$ExecutionContext.SessionState.LanguageMode = 'ConstrainedLanguage'"


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("load", [f". '{PATH}'", f"{MODULE} 3>$null"], ids=["dotted", "module"])
def test_constrained_language_mode(powershell: PowerShell, load: str) -> None:
    """Everything works in ConstrainedLanguage mode, as under AppLocker."""
    printed = powershell(
        """
        (Initialize-MigrationState -StatePath 'new/../deep.json')['phase']
        (Initialize-MigrationState)['metadata']['version']
        $null = Set-MigrationPhase -NewPhase BackupInProgress -Verbose
        Add-PreservedData -DataKey 'clé' -BackupPath '中' -WhatIf
        Add-PreservedData -DataKey 'clé' -BackupPath '中'
        ConvertFrom-Json '[{"Name": "a", "Id": "1"}, {"Name": "b", "Id": "2"}]' | Write-Output |
            Add-ProcessedContainer
        try { Set-MigrationPhase -NewPhase Completed } catch { ("$_" -split '\\.')[0] }
        $nothing = Set-MigrationPhase -NewPhase Completed -ErrorAction SilentlyContinue
        $null -eq $nothing
        Write-MigrationAuditLog -Action 'Notice' -Details 'x'
        (Get-MigrationAuditLog -Last 1).details
        (Get-MigrationGate).open
        Set-MigrationError 'migration-state.json' 'slow'
        Set-MigrationError -Clear
        try { Set-MigrationError -Clear:$false } catch { ("$_" -split ':')[0] }
        'a', 'b[1]', 'b[2]', 'c' | % { Add-ValidationResult -Component x -TestName $_ -Passed $true }
        Remove-ValidationResult -Component x -TestName 'a', 'b[*' -Reason r
        Remove-ValidationResult -Component x -Reason r
        (Get-MigrationState).validation_results.Count
        (Get-MigrationState).docker_containers_removed.Count
        Test-MigrationState
        """,
        load=f"{CONSTRAINED}\n{load}",
    )
    (told,) = (line for line in printed if line.startswith("What if: "))
    assert "Record that data 'clé' was preserved" in told
    assert [line for line in printed if line != told and not line.startswith("VERBOSE")] == [
        "NotStarted", "1.0", "Invalid phase transition from 'BackupInProgress' to 'Completed'", "True", "x",
        "False", "There is nothing to do with -Clear", "0", "2", "True",
    ]  # fmt: skip
    assert powershell.document()["data_preserved"] == {"clé": "中"}


@LONG
@pytest.mark.parametrize("load", [f". '{PATH}'", MODULE], ids=["dotted", "module"])
def test_warnings_are_no_answers(powershell: PowerShell, load: str) -> None:
    """A Write-Warning of the script's own that returns something, or one that stops, changes no answer."""
    printed = powershell(
        """
        function global:Write-Warning([string]$Message) { "WARN $Message" }
        $null = Initialize-MigrationState
        Remove-Item migration-audit.log
        if (-not (Test-MigrationState)) { 'not sound' }
        (Set-MigrationPhase -NewPhase BackupInProgress)['phase']
        (Get-MigrationState -StatePath 'nowhere.json')
        Remove-Item function:Write-Warning
        Remove-Item migration-audit.log
        $WarningPreference = 'Stop'
        Add-NativeProcess -ProcessName 'a'
        (Get-MigrationState).native_processes_started.Count
        """,
        load=load,
    )
    assert [line for line in printed if not line.startswith("WARNING: ")] == [
        "not sound",
        "BackupInProgress",
        "1",
    ]
    assert len([line for line in printed if line.startswith("WARNING: ")]) >= 1


@LONG
def test_verbose_and_confirm(powershell: PowerShell) -> None:
    """-Verbose says what was done. -Confirm asks; where nobody can be asked, nothing is done."""
    printed = powershell("""
        $null = Initialize-MigrationState
        $said = Add-NativeProcess -ProcessName 'a' -Verbose 4>&1
        @($said).Count; "$(@($said)[-1])"
        try { Add-NativeProcess -ProcessName 'b' -Confirm } catch { 'nobody to ask' }
        Add-NativeProcess -ProcessName 'c' -Confirm:$false
    """)
    assert printed == [
        "2", f"{powershell.state}: recorded (1); the phase is 'NotStarted'.", "nobody to ask",
    ]  # fmt: skip
    assert [one["name"] for one in powershell.document()["native_processes_started"]] == ["a", "c"]


@LONG
def test_types_and_times_are_those_of_the_old_functions(powershell: PowerShell) -> None:
    """Hashtables where scripts expect them, local times, and the log as a table."""
    printed = powershell(
        """
        $state = Initialize-MigrationState
        $state.GetType().Name; $state['phase']; $state.ContainsKey('phase'); $state['metadata']['version']
        $state = Set-MigrationPhase -NewPhase BackupInProgress
        $state.GetType().Name; $state['phase']
        Add-ProcessedContainer -ContainerName c -ContainerId d
        $found = Get-MigrationState
        $found.GetType().Name
        foreach ($time in $found.started_at, $found.docker_containers_removed[0].removed_at,
            $state['last_updated'], (Get-MigrationAuditLog)[0].timestamp) {
            $age = (Get-Date) - [datetime]$time
            [Math]::Abs($age.TotalMinutes) -lt 5
        }
        Set-StrictMode -Version Latest
        (Get-MigrationAuditLog | Out-String -Width 140).Trim() -split '\\r?\\n'
        """,
        TZ="America/Sao_Paulo",
    )
    table = printed[11:]
    assert printed[:7] == [
        "Hashtable",
        "NotStarted",
        "True",
        "1.0",
        "Hashtable",
        "BackupInProgress",
        "PSCustomObject",
    ]
    assert printed[7:11] == ["True"] * 4
    assert table[0].split() == ["timestamp", "level", "action", "details"]
    assert [line.split(maxsplit=4)[-1] for line in table[2:]][:1] == ["Migration state initialized"]
    assert len(table) == 5


def test_log_before_the_beginning(powershell: PowerShell) -> None:
    """An entry before Initialize-MigrationState goes into the log, and makes no state."""
    printed = powershell("""
        $said = Write-MigrationAuditLog -Action 'Notice' -Details 'ação' 3>&1
        "said: $said"
        Test-Path migration-state.json
        (Get-MigrationAuditLog).details
        $null = Initialize-MigrationState
        (Get-MigrationAuditLog).action -join ' '
        Test-MigrationState
        $said = Write-MigrationAuditLog -StatePath 'no/folder/state.json' -Action 'Notice' -Details 'x' 3>&1
        "$said" -like 'Failed to write audit log:*'
    """)
    assert printed == ["said: ", "False", "ação", "Notice Initialize", "True", "True"]


@LONG
def test_state_of_another_name_beside_the_old_functions(powershell: PowerShell) -> None:
    """Lines that the old functions wrote for a state of another name are among its entries."""
    line = (
        '{"timestamp":"2026-01-15T09:00:00Z","level":"INFO","action":"Old","details":"by the old functions"}'
    )
    (powershell.folder / "migration-audit.log").write_text(f"{line}\n", encoding="ascii")
    printed = powershell("""
        $null = Initialize-MigrationState -StatePath 'other.json'
        (Get-MigrationAuditLog -StatePath 'other.json').action -join ' '
    """)
    assert printed == ["Old Initialize"]


def test_detail_of_a_failure_survives_a_rewrite(powershell: PowerShell) -> None:
    """PowerShell reads the detail, and a script that rewrites the document with its own means keeps it."""
    detail = (
        "E   assert 'é' == \"中 🚀\"\n\ttab \\ `$x\n--- Captured stdout call ---\n[…]\n2026-01-15T09:00:00Z"
    )
    run = RunWriter(powershell.state, "7f3c", notify=lambda _: None)
    run.open(lambda _: None, {})
    run.plan(RunPlan([outstanding(utc_now(), ("c", "t"), "pending")]))
    run.verdict(Verdict(("c", "t"), passed=False, outcome="failed", run_id="7f3c", detail=detail))
    run.finish(1, {})
    run.close()
    printed = powershell("""
        [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes((Get-MigrationState).validation_results[0].detail))
        $document = Get-Content -Raw -Encoding utf8 migration-state.json | ConvertFrom-Json
        $document | ConvertTo-Json -Depth 10 | Set-Content -Encoding utf8 migration-state.json
        Add-PreservedData -DataKey k -BackupPath p
    """)
    assert base64.b64decode(printed[0]).decode() == detail
    (verdict,) = powershell.document()["validation_results"]
    assert verdict["detail"] == detail
    tracker = MigrationTracker(powershell.state)
    assert (detail, ()) == (tracker.state.validation_results[0].detail, tracker.verify().problems)
    assert "ExternalChange" not in {entry.action for entry in tracker.read_audit()}


@LONG
def test_long_message_of_a_failure_counts(powershell: PowerShell) -> None:
    """A failure with a message of 20 MB is recorded over an earlier pass, which would open the gate."""
    powershell("""
        $null = Initialize-MigrationState
        Add-ValidationResult -Component a -TestName t -Passed $true
        Add-ValidationResult -Component a -TestName t -Passed $false -ErrorMessage ('é' * 10MB)
    """)
    (verdict,) = powershell.document()["validation_results"]
    assert not verdict["passed"]
    assert verdict["error_message"].startswith("é" * 100)


@LONG
@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows PowerShell has no -Parallel; pwsh is tested elsewhere"
)
def test_parallel_runspaces(powershell: PowerShell) -> None:
    """Calls in parallel runspaces, with texts that no code page has, lose and garble nothing."""
    printed = powershell(f"""
        $null = Initialize-MigrationState
        1..24 | ForEach-Object -ThrottleLimit 8 -Parallel {{
            . '{PATH}'
            Add-PreservedData -DataKey "clé-中-$_" -BackupPath "ação-🚀-$_"
            [Console]::OutputEncoding.WebName
        }}
    """)
    assert printed == ["utf-8"] * 24
    expected = {f"clé-中-{number}": f"ação-🚀-{number}" for number in range(1, 25)}
    assert powershell.document()["data_preserved"] == expected
    assert MigrationTracker(powershell.state).verify().sound
