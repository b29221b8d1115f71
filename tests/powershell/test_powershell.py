"""The functions of ``MigrationState.ps1`` as operators' scripts use them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from powershell_runner import LONG, quoted
from pytest_migration_state import MigrationTracker
from pytest_migration_state.domain.keys import in_one_case

if TYPE_CHECKING:
    from powershell_runner import PowerShell

DATA = Path(__file__).parents[1] / "data" / "powershell"
TEXTS = [
    """it said "no", 'no' and `no`""",
    "$HOME costs $(Get-Date) 5$ %PATH% {0}",
    "first\r\nsecond\n\tthird",
    "ação, 中文, 🚀",
    'C:\\backups\\"quoted\\"\\',
    "--json",
]


@pytest.mark.deep
@pytest.mark.sample  # the example suite of operators is a whole migration, too
def test_whole_migration_works(powershell: PowerShell) -> None:
    """A whole migration works as in operators' scripts. Functions without a return value print nothing."""
    printed = powershell("""
        (Initialize-MigrationState).phase
        (Set-MigrationPhase -NewPhase BackupInProgress).phase
        Add-PreservedData -DataKey 'guardian-hive-config' -BackupPath 'backups/guardian-hive/config.json'
        (Set-MigrationPhase -NewPhase containertermination).phase
        Add-ProcessedContainer -ContainerName 'guardian-hive' -ContainerId 'abc123'
        $null = Set-MigrationPhase -NewPhase NativeDeployment
        Add-NativeProcess -ProcessName 'guardian-hive' -ProcessId 12345
        Add-NativeProcess -ProcessName 'worker-aider'
        $null = Set-MigrationPhase -NewPhase Validation
        Set-MigrationError -ErrorMessage 'full'
        Set-MigrationError -Clear
        Set-MigrationError -Clear
        "error: '$((Get-MigrationState).error)'"
        try { Set-MigrationError -Clear -ErrorMessage 'slow' } catch { 'not both' }
        try { Set-MigrationError -Clear:$false } catch { ("$_" -split ':')[0] }
        Set-MigrationError migration-state.json 'slow'
        Set-RollbackAvailability -Available $false
        Write-MigrationAuditLog -Action 'Notice' -Details 'almost done' -Level warning
        $failure = @{ Component = 'guardian-hive'; TestName = 'native'; ErrorMessage = 'it answers 500' }
        Add-ValidationResult @failure -Passed $false
        "open: $((Get-MigrationGate).open)"
        "blockers: $((Get-MigrationGate -Require 'worker-aider').blockers.kind -join ', ')"
        Add-ValidationResult -Component 'guardian-hive' -TestName 'native' -Passed $true
        "open: $((Get-MigrationGate).open)"
        $state = Set-MigrationPhase -NewPhase Completed
        "$($state.phase) $($state.docker_containers_removed.Count) $($state.validation_results[0].passed)"
        (Get-MigrationState).data_preserved.'guardian-hive-config'
        (Get-MigrationAuditLog -Last 1).details
        (Get-MigrationAuditLog).Count
    """)
    assert printed == [
        "NotStarted",
        "BackupInProgress",
        "ContainerTermination",
        "error: ''",
        "not both",
        "There is nothing to do with -Clear",
        "open: False",
        "blockers: failed, missing_component",
        "open: True",
        "Completed 1 True",
        "backups/guardian-hive/config.json",
        "Transitioned from 'Validation' to 'Completed'",
        "17",
    ]
    state = powershell.document()
    assert [process.get("process_id") for process in state["native_processes_started"]] == [12345, None]
    assert (state["error"]["message"], state["rollback_available"]) == ("slow", False)
    assert MigrationTracker(powershell.folder / "migration-state.json").verify().sound


@LONG
def test_text_is_stored_unchanged(powershell: PowerShell) -> None:
    """Text is stored and returned unchanged."""
    printed = powershell(f"""
        $null = Initialize-MigrationState
        foreach ($text in {", ".join(map(quoted, TEXTS))}) {{
            Add-PreservedData -DataKey $text -BackupPath $text
            Write-MigrationAuditLog -Action 'Notice' -Details $text
        }}
        $log = (Get-MigrationAuditLog | Where-Object action -eq 'Notice').details
        $state = (Get-MigrationState).data_preserved.PSObject.Properties
        foreach ($back in $log, $state.Name, $state.Value) {{
            foreach ($text in $back) {{ [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($text)) }}
        }}
    """)
    assert [base64.b64decode(line).decode() for line in printed] == TEXTS * 3
    assert powershell.document()["data_preserved"] == {text: text for text in TEXTS}


@LONG
def test_keys_that_powershell_does_not_distinguish_are_one(powershell: PowerShell) -> None:
    """All of them: a document with two such keys stops every function."""
    printed = powershell("""
        $first = New-Object 'Collections.Generic.Dictionary[string,int]' ([StringComparer]::OrdinalIgnoreCase)
        foreach ($number in @(0..0xD7FF) + @(0xE000..0xFFFF)) {
            $character = [string][char]$number
            if ($first.ContainsKey($character)) { "$($first[$character]) $number" }
            else { $first[$character] = $number }
        }
    """)
    alike = [tuple(map(chr, map(int, line.split()))) for line in printed]
    assert ("A", "a") in alike
    # PowerShell's tables may be newer than Python's.
    known = [pair for pair in alike if all(unicodedata.category(character) != "Cn" for character in pair)]
    assert [pair for pair in known if in_one_case(pair[0]) != in_one_case(pair[1])] == []


@LONG
def test_key_that_powershell_reserves_is_refused(powershell: PowerShell) -> None:
    """Every function would fail on the document."""
    printed = powershell("""
        $null = Initialize-MigrationState
        foreach ($name in 'psbase', 'PSAdapted', 'psextended', 'psobject', 'pstypenames') {
            try { ConvertFrom-Json -InputObject "{`"$name`":1}"; 'read' } catch { 'not read' }
            try { Add-PreservedData -DataKey $name -BackupPath '/b' } catch { "$_" }
        }
        (Get-MigrationState).phase
        (Get-MigrationAuditLog).Count
    """)
    refusals = [line for line in printed if "PowerShell reserves this name" in line]
    assert (printed.count("not read"), len(refusals), printed[-2:]) == (5, 5, ["NotStarted", "1"])


@LONG
def test_text_from_a_file_is_a_plain_string(powershell: PowerShell) -> None:
    """A string with properties that Get-Content added is sent as a plain string."""
    (powershell.folder / "message.txt").write_text("disk full\n", encoding="ascii")
    powershell("""
        $null = Initialize-MigrationState
        Set-MigrationError -ErrorMessage (Get-Content message.txt)
    """)
    assert powershell.document()["error"]["message"] == "disk full"


@LONG
def test_state_path_is_the_parameter_the_variable_or_the_default(powershell: PowerShell) -> None:
    """The state is the -StatePath, as a PowerShell path, else $env:MIGRATION_STATE, else the default."""
    powershell(
        """
        $null = New-PSDrive -Name Work -PSProvider FileSystem -Root (Get-Location).ProviderPath
        $null = Initialize-MigrationState -StatePath 'Work:/drive.json'
        $null = New-Item -ItemType Directory 'deep'
        Set-Location -LiteralPath 'deep'
        $null = Initialize-MigrationState '../positional.json'
        $null = Initialize-MigrationState
        """,
        MIGRATION_STATE="by-environment.json",
    )
    folder = powershell.folder
    for name in ("drive.json", "positional.json", "deep/by-environment.json"):
        assert json.loads((folder / name).read_bytes())["phase"] == "NotStarted"


@LONG
def test_functions_over_other_commands_work(powershell: PowerShell) -> None:
    """An unsafe backup is a warning and a failure, a record is approved, and -Allow allows."""
    backup = DATA / "backup" / "volume-failed" / "backups"
    printed = powershell(f"""
        $null = Initialize-MigrationState
        Set-Location -LiteralPath '{backup}'
        $found = Import-MigrationBackup '{powershell.state}' -ManifestPath backup-manifest.json -Root . 3>&1
        Set-Location -LiteralPath '{powershell.folder}'
        $backups = @($found | Where-Object {{ $_ -isnot [System.Management.Automation.WarningRecord] }})
        ($backups | Sort-Object container | ForEach-Object {{ "$($_.container) $($_.passed)" }}) -join ', '
        $unsafe = @($backups | Where-Object {{ -not $_.passed }})
        @($unsafe | ForEach-Object {{ $_.reasons }}).Count -eq ($found.Count - $backups.Count)
        try {{ Approve-MigrationRecord -By 'me' -Reason 'r' }}
        catch {{ ($_.FullyQualifiedErrorId -split ',')[0] }}
        Remove-Item migration-audit.log
        Set-MigrationError -ErrorMessage 'm' -WarningAction SilentlyContinue
        @((Get-MigrationGate).blockers.kind) -contains 'log'
        Approve-MigrationRecord -By 'me' -Reason 'the old disk'
        @((Get-MigrationGate).blockers.kind) -contains 'log'
        (Get-MigrationGate).accepted[0].by
        foreach ($phase in 'BackupInProgress', 'ContainerTermination', 'NativeDeployment', 'Validation') {{
            $null = Set-MigrationPhase -NewPhase $phase
        }}
        Add-NativeProcess -ProcessName 'web'
        Add-ValidationResult -Component 'web' -TestName 't' -Passed $true
        Add-NativeProcess -ProcessName 'web'
        @((Get-MigrationGate).blockers.kind) -contains 'stale'
        @((Get-MigrationGate -Allow 'STALE').blockers.kind) -contains 'stale'
    """)
    assert printed == [
        "guardian-hive True, worker-aider False",
        "True",
        "NothingToAcceptError",
        "True",
        "False",
        "me",
        "True",
        "False",
    ]


@LONG
def test_each_function_has_help(powershell: PowerShell) -> None:
    """Get-Help knows each function."""
    printed = powershell(
        "(Get-Help Set-MigrationPhase).Synopsis; (Get-Help Set-MigrationPhase -Parameter "
        "Reason).description.Text"
    )
    assert printed == [
        "Moves the migration to a phase and returns its state, a hashtable.",
        "Why, for the audit log.",
    ]


@LONG
def test_concurrent_scripts_lose_nothing(powershell: PowerShell) -> None:
    """Two scripts and a recorded run that use one state at the same time lose nothing."""
    powershell("$null = Initialize-MigrationState")
    tests = "\n".join(
        f"@pytest.mark.migration_component('web')\ndef test_{number}(): pass" for number in range(50)
    )
    (powershell.folder / "test_web.py").write_text(f"import pytest\n{tests}\n", encoding="ascii")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--migration-state=migration-state.json",
        "test_web.py",
    ]
    scripts = [
        powershell.start(
            "foreach ($n in 1..10) "
            f"{{ Add-ProcessedContainer -ContainerName \"{name}-$n\" -ContainerId 'x' }}"
        )
        for name in ("a", "b")
    ]
    run = subprocess.run(
        command, cwd=powershell.folder, capture_output=True, text=True, timeout=120, check=False
    )
    for script in scripts:
        out, err = script.communicate(timeout=120)
        assert script.returncode == 0, out + err
    assert run.returncode == 0, run.stdout + run.stderr
    tracker = MigrationTracker(powershell.folder / "migration-state.json")
    state = tracker.state
    assert sorted(container.name for container in state.docker_containers_removed) == sorted(
        f"{name}-{n}" for name in "ab" for n in range(1, 11)
    )
    assert sum(result.passed for result in state.validation_results) == 50
    assert tracker.verify().sound
