"""The functions of ``MigrationState.ps1``, run by every PowerShell that is on the path."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest
from powershell_text import PATH

from pytest_migration_state import MigrationTracker

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [
    """it said "no", 'no' and `no`""",
    "$HOME costs $(Get-Date) 5$ %PATH% {0}",
    "first\r\nsecond\n\tthird",
    "ação, 中文, 🚀",
    'C:\\backups\\"quoted\\"\\',
    "--json",
]


class PowerShell:
    """A PowerShell in the test's own folder, with this package's command on its path.

    :param program: ``pwsh``, or ``powershell`` for Windows PowerShell 5.1.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.folder = folder
        self._program = program
        self._environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("MIGRATION_STATE", "PYTHONIOENCODING")
        }
        self._environment["PATH"] = os.pathsep.join(
            (sysconfig.get_path("scripts"), self._environment["PATH"])
        )
        self._count = 0

    def start(
        self, script: str, *, load: str = ". (migration-state powershell)", **environment: str
    ) -> subprocess.Popen[str]:
        self._count += 1
        path = self.folder / f"script-{self._count}.ps1"
        # With a byte order mark: without it, 5.1 reads the text as ANSI.
        prepared = (
            f"[Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false\n{load}\n{script}\n"
        )
        path.write_text(prepared, encoding="utf-8-sig", newline="\r\n")
        options = [
            "-NoProfile",
            "-NonInteractive",
            *(["-ExecutionPolicy", "Bypass"] if sys.platform == "win32" else []),
            "-File",
        ]
        return subprocess.Popen(
            [self._program, *options, str(path)],
            cwd=self.folder,
            env={**self._environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    def fails(self, script: str, **options: str) -> subprocess.CompletedProcess[str]:
        running = self.start(script, **options)
        out, err = running.communicate(timeout=120)
        return subprocess.CompletedProcess(script, running.returncode, out, err)

    def __call__(self, script: str, **options: str) -> list[str]:
        """Run a script that must succeed, and return its output as lines."""
        done = self.fails(script, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "migration-state.json").read_bytes())
        return found


@pytest.fixture(params=["pwsh", "powershell"])
def powershell(request: pytest.FixtureRequest, tmp_path: Path) -> PowerShell:
    """See :class:`PowerShell`."""
    program = shutil.which(request.param)
    if program is None:
        pytest.skip(f"{request.param} is not on the path")
    folder = tmp_path / "with space"
    folder.mkdir()
    return PowerShell(program, folder)


def quoted(text: str) -> str:
    """Return ``text`` as a PowerShell expression."""
    encoded = base64.b64encode(text.encode()).decode()
    return f"([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('{encoded}')))"


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
        Set-MigrationError -ErrorMessage 'slow'
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
        "open: False",
        "blockers: failed, missing_component",
        "open: True",
        "Completed 1 True",
        "backups/guardian-hive/config.json",
        "Transitioned from 'Validation' to 'Completed'",
        "15",
    ]
    state = powershell.document()
    assert [process.get("process_id") for process in state["native_processes_started"]] == [12345, None]
    assert (state["error"]["message"], state["rollback_available"]) == ("slow", False)
    assert MigrationTracker(powershell.folder / "migration-state.json").verify().sound


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


def test_text_from_a_file_is_a_plain_string(powershell: PowerShell) -> None:
    """A string with properties that Get-Content added is sent as a plain string."""
    (powershell.folder / "message.txt").write_text("disk full\n", encoding="ascii")
    powershell("""
        $null = Initialize-MigrationState
        Set-MigrationError -ErrorMessage (Get-Content message.txt)
    """)
    assert powershell.document()["error"]["message"] == "disk full"


LONG = (pytest.mark.deep, pytest.mark.sample)
STRICT = """
    $ErrorActionPreference = 'Stop'
    $PSNativeCommandUseErrorActionPreference = $true
    Set-StrictMode -Version Latest
"""


@pytest.mark.parametrize("preferences", ["", pytest.param(STRICT, marks=LONG)], ids=["default", "stop"])
def test_refusal_is_a_terminating_error(preferences: str, powershell: PowerShell) -> None:
    """A refusal is a terminating error with the command's sentence, whatever the script's preferences."""
    printed = powershell(f"""
        {preferences}
        try {{ Set-MigrationError -ErrorMessage 'x' }} catch {{ $_.Exception.Message }}
        $null = Initialize-MigrationState
        try {{ $null = Initialize-MigrationState }} catch {{ $_.Exception.Message }}
        try {{ $null = Set-MigrationPhase -NewPhase Completed; 'not reached' }}
        catch {{ $_.Exception.Message }}
        try {{ $null = Set-MigrationPhase -NewPhase Nowhere; 'not reached' }} catch {{ 'no such phase' }}
        try {{ $null = Set-MigrationPhase Completed; 'not reached' }} catch {{ ("$_" -split ' write ')[1] }}
        (Initialize-MigrationState -Force -WarningAction SilentlyContinue).phase
    """)
    assert printed[0].startswith("Migration state not found. Please initialize first: '")
    assert "there is a migration state already" in printed[1]
    assert printed[2:] == [
        "Invalid phase transition from 'NotStarted' to 'Completed'. Valid transitions: BackupInProgress",
        "no such phase",
        "Set-MigrationPhase -NewPhase Completed",
        "NotStarted",
    ]


def test_refusal_ends_a_script(powershell: PowerShell) -> None:
    """An uncaught refusal ends a script that stops at errors."""
    done = powershell.fails("""
        $ErrorActionPreference = 'Stop'
        $null = Initialize-MigrationState
        $null = Set-MigrationPhase -NewPhase Completed
        'not reached'
    """)
    assert done.returncode != 0
    assert "Invalid phase transition from 'NotStarted' to 'Completed'" in " ".join(done.stderr.split())
    assert "not reached" not in done.stdout


@pytest.mark.deep
@pytest.mark.sample
def test_shut_gate_refuses_completed(powershell: PowerShell) -> None:
    """A shut gate refuses Completed with every blocker; -Force and -Reason override it on record."""
    printed = powershell("""
        $null = Initialize-MigrationState
        foreach ($phase in 'BackupInProgress', 'ContainerTermination', 'NativeDeployment', 'Validation') {
            $null = Set-MigrationPhase -NewPhase $phase
        }
        Add-ValidationResult -Component 'a' -TestName 'one' -Passed $false
        Add-ValidationResult -Component 'b' -TestName 'two' -Passed $false
        try { $null = Set-MigrationPhase -NewPhase Completed } catch { $_.Exception.Message }
        $null = Set-MigrationPhase -NewPhase Completed -Force -Reason 'accepted by the owner'
        (Get-MigrationAuditLog -Last 1).details
    """)
    assert printed[0] == "The gate to Completed is shut: 2 blockers"
    assert [line.split(" failed")[0] for line in printed[1:3]] == ["  - 'one' of 'a'", "  - 'two' of 'b'"]
    assert printed[3] == "Transitioned from 'Validation' to 'Completed' (forced: accepted by the owner)"


def test_reading_without_a_state_warns(powershell: PowerShell) -> None:
    """Without a state, reading functions warn and return nothing, the log function warns, and none throws."""
    printed = powershell("""
        $ErrorActionPreference = 'Stop'
        $state = Get-MigrationState 3>&1
        "$state"
        $null -eq (Get-MigrationState -WarningAction SilentlyContinue)
        @(Get-MigrationAuditLog -WarningAction SilentlyContinue).Count
        $said = Write-MigrationAuditLog -Action 'Notice' -Details 'x' 3>&1
        "$said"
        Test-Path migration-state.json
    """)
    path = powershell.folder / "migration-state.json"
    assert printed[0].startswith("Migration state file not found: ")
    assert printed[1:3] == ["True", "0"]
    assert printed[3].startswith("Failed to write audit log: Migration state not found.")
    assert printed[4] == "False"
    assert not path.exists()


def test_exit_status_is_kept(powershell: PowerShell) -> None:
    """The functions leave $LASTEXITCODE and the encodings of a script as they were."""
    printed = powershell("""
        $before = [Console]::OutputEncoding.CodePage
        & migration-state no-such-command 2>$null
        $null = Initialize-MigrationState
        try { $null = Initialize-MigrationState } catch { 'refused' }
        $LASTEXITCODE
        $before -eq [Console]::OutputEncoding.CodePage
        $null -eq $env:PYTHONIOENCODING
    """)
    assert printed == ["refused", "2", "True", "True"]


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


def test_missing_command_is_reported(powershell: PowerShell) -> None:
    """If the command is not on the path, one sentence says how to install it."""
    printed = powershell(
        """
        $env:PATH = ''
        try { Initialize-MigrationState } catch { $_.Exception.Message }
        """,
        load=f". '{PATH}'",
    )
    (sentence,) = printed
    assert sentence.startswith(
        "The command 'migration-state' is not on the PATH; install it with 'python -m pip install "
        "pytest-migration-state'"
    )


def test_each_function_has_help(powershell: PowerShell) -> None:
    """Get-Help knows each function."""
    printed = powershell(
        "(Get-Help Set-MigrationPhase).Synopsis; (Get-Help Set-MigrationPhase -Parameter "
        "Reason).description.Text"
    )
    assert printed == [
        "Moves the migration to a phase and returns its state.",
        "Why it was forced, for the audit log.",
    ]


@pytest.mark.deep
@pytest.mark.sample
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
