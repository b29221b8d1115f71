"""Whole pipelines in one call: all objects are recorded, or none."""

from __future__ import annotations

import sysconfig
from typing import TYPE_CHECKING

from powershell_runner import LONG
from pytest_migration_state import MigrationTracker

if TYPE_CHECKING:
    from powershell_runner import PowerShell

TABLES = {
    "removed.csv": "ContainerName,ContainerId\r\nguardian-hive,abc\r\nworker,def\r\n",
    "saved.csv": "DataKey,BackupPath\r\nconfig,backups/config.json\r\n",
    "results.csv": (
        "Component,TestName,Passed,ErrorMessage\r\nguardian-hive,one,TRUE,\r\n"
        "guardian-hive,two,false,it answers 500\r\nworker,three,passed,\r\nworker,four,0,\r\n"
    ),
    "docker.jsonl": (
        '{"Names": "agent", "ID": "123", "Image": "x"}\n{"Names": "cron", "ID": "456", "Image": "y"}\n'
    ),
}


def test_pipelines_of_operators_work(powershell: PowerShell) -> None:
    """Rows of a CSV file, containers of docker, processes, and parameters that all objects share."""
    for name, content in TABLES.items():
        (powershell.folder / name).write_text(content, encoding="ascii", newline="")
    printed = powershell("""
        $null = Initialize-MigrationState
        Import-Csv removed.csv | Add-ProcessedContainer
        Get-Content docker.jsonl | ConvertFrom-Json | Add-ProcessedContainer
        Import-Csv saved.csv | Add-PreservedData
        Get-Process -Id $PID | Add-NativeProcess
        [pscustomobject]@{ Name = 'without id' } | Add-NativeProcess
        @{ Name = 'table'; Id = 7 } | Add-NativeProcess
        Add-ProcessedContainer -ContainerName 007 -ContainerId 123456789e12
        Import-Csv results.csv | Add-ValidationResult
        Import-Csv removed.csv | ForEach-Object { [pscustomobject]@{ Component = $_.ContainerName } } |
            Add-ValidationResult -TestName 'answers' -Passed $true
        (Get-MigrationState).validation_results | Where-Object test_name -eq 'four' |
            Remove-ValidationResult -Reason 'it never was'
        @() | Add-ProcessedContainer
        $PID
    """)
    state = MigrationTracker(powershell.state).state
    assert [(one.name, one.id) for one in state.docker_containers_removed] == [
        ("guardian-hive", "abc"), ("worker", "def"), ("agent", "123"), ("cron", "456"),
        ("007", "123456789e12"),
    ]  # fmt: skip
    assert state.data_preserved == {"config": "backups/config.json"}
    assert [one.process_id for one in state.native_processes_started] == [int(printed[0]), None, 7]
    verdicts = {
        (one.component, one.test_name): (one.passed, one.error_message) for one in state.validation_results
    }
    assert verdicts == {
        ("guardian-hive", "one"): (True, None),
        ("guardian-hive", "two"): (False, "it answers 500"),
        ("worker", "three"): (True, None),
        ("guardian-hive", "answers"): (True, None),
        ("worker", "answers"): (True, None),
    }


def test_one_object_that_is_refused_refuses_all(powershell: PowerShell) -> None:
    """A missing value, a wrong one, another kind of object, a refusal by the rules: nothing is recorded."""
    printed = powershell(
        """
        $null = Initialize-MigrationState
        function Row($Table) { [pscustomobject]$Table }
        function Try-It($Call) { try { & $Call; 'taken' } catch { ("$_" -split ' \\(/')[0] } }
        $good = Row @{ Name = 'a'; Id = '1' }
        $several = Row @{ Name = 'b', 'c'; Id = '2' }
        $throws = Row @{ Id = '3' }
        Add-Member -InputObject $throws -MemberType ScriptProperty -Name Name -Value { throw 'no name' }
        foreach ($bad in (Row @{ Name = 'b' }), $several, 'text', $null, @{ Name = 'd' }, $throws, 5) {
            Try-It { $good, $bad, $good | Add-ProcessedContainer }
        }
        $pass = Row @{ Component = 'a'; TestName = 't'; Passed = 'true' }
        foreach ($word in 'maybe', '', '2', $null) {
            $bad = Row @{ Component = 'a'; TestName = 'u'; Passed = $word }
            Try-It { $pass, $bad | Add-ValidationResult }
        }
        Try-It { $pass, (Row @{ Component = 'a'; TestName = 't'; Passed = 'no' }) | Add-ValidationResult }
        Try-It { $pass | Add-ValidationResult -Component { $_.Component } }
        Try-It { $pass | Add-ValidationResult -Passed @{ a = 1 } }
        Try-It { Add-ProcessedContainer -InputObject $good }
        $row = Row @{ Component = 'a'; TestName = 't'; Reason = 'r' }
        Try-It { $row | Remove-ValidationResult }
        Try-It { $good, (Row @{ Name = 'b'; Id = 'x1' }) | Add-NativeProcess }
        Try-It { $good, (Row @{ Name = 'b'; Id = '٣' }) | Add-NativeProcess }
        $key = Row @{ Key = 'config'; Path = 'p' }
        Try-It { $key, (Row @{ Key = 'CONFIG'; Path = 'q' }) | Add-PreservedData }
        'end'
    """
    )
    second = "Object 2 of the pipeline has"
    assert printed[:2] == [
        f"{second} no ContainerId. It has: Name. Nothing was recorded.",
        f"{second} 2 values for ContainerName. {printed[1].partition('. ')[2]}",
    ]
    assert printed[2:5] == [
        f"{second} no ContainerName. It has: Length. Nothing was recorded.",
        f"{second} no ContainerName. Nothing was recorded.",
        f"{second} no ContainerId. {printed[4].partition('. ')[2]}",
    ]
    assert all(line.startswith(f"{second} no ContainerName. ") for line in printed[5:7])
    verdicts = printed[7:11]
    assert (
        verdicts[0]
        == "Passed 'maybe' of 'u' of 'a' is no verdict: write true or false; nothing was recorded."
    )
    assert [line.partition(".")[0] for line in verdicts[1::2]] == [f"{second} no Passed"] * 2
    assert verdicts[2] == "Passed '2' of 'u' of 'a' is no verdict: write true or false; nothing was recorded."
    contradiction, script, table, argument, reason, pid, arabic, key, end = printed[11:]
    assert (
        "an object before it says something else of 't' of 'a'; keep one of them; nothing was"
        in contradiction
    )
    assert script.startswith("Object 1 of the pipeline has {  $_.Component  } in place of a text or ")
    assert table.startswith("Object 1 of the pipeline has { System.Collections.Hashtable } in place of ")
    assert argument == "InputObject is for the pipeline: write $rows | Add-ProcessedContainer."
    assert "mandatory parameters: Reason." in reason
    assert pid.startswith("object 2 of 2: process_id 'x1' cannot be used: it must be an integer ")
    assert arabic.startswith("object 2 of 2: process_id '٣' cannot be used: it must be an integer ")
    assert key.startswith("object 2 of 2: key 'CONFIG' cannot be used: 'config' already exists")
    assert end == "end"
    document = powershell.document()
    assert document["docker_containers_removed"] == document["validation_results"] == []
    assert document["native_processes_started"] == []
    assert document["data_preserved"] == {}


@LONG
def test_validations_are_removed_by_names_and_patterns(powershell: PowerShell) -> None:
    """Several names, patterns, the whole component, and objects: what is empty never means everything."""
    printed = powershell("""
        $null = Initialize-MigrationState
        function Get-Left { @((Get-MigrationState).validation_results | % { $_.test_name }) -join ' ' }
        function Try-It($Call) { try { & $Call; 'taken' } catch { ("$_" -split ' \\(/')[0] } }
        $names = '*', 't[1]', 't[2]', 't1', 'a', 'b1', 'b2', 'c', 'd'
        $names | ForEach-Object { [pscustomobject]@{ Component = 'hive'; TestName = $_; Passed = $true } } |
            Add-ValidationResult
        Remove-ValidationResult -Component hive -TestName a, 'b*' -Reason r -WhatIf
        Remove-ValidationResult -Component hive -Reason r -WhatIf
        foreach ($empty in $null, @(), '', ' ', @('a', '')) {
            Try-It { Remove-ValidationResult -Component hive -TestName $empty -Reason r }
        }
        Try-It { $null | Remove-ValidationResult -Component hive -Reason r }
        Try-It { @{ Component = 'hive' } | Remove-ValidationResult -Reason r }
        Try-It { Remove-ValidationResult -Component hive -TestName a, 'x*' -Reason r }
        $twice = @{ Component = 'hive'; TestName = '*' }
        Try-It { $twice, $twice | Remove-ValidationResult -Reason r }
        Get-Left
        Set-Content -Path names.txt -Value 'a', 'c'
        Remove-ValidationResult -Component hive -TestName (Get-Content names.txt) -Reason r
        Remove-ValidationResult migration-state.json hive 't[*]', 'b?' 'by position'
        Get-Left
        @{ TestName = '*' } | Remove-ValidationResult -Component hive -Reason r
        Get-Left
        Add-ValidationResult -Component hive -TestName '*' -Passed $true
        Add-ValidationResult -Component proxy -TestName 'p' -Passed $true
        Remove-ValidationResult -Component hive -Reason r
        Get-Left
    """)
    assert [line.partition('"')[2].partition('"')[0] for line in printed[:2]] == [
        "Forget 'a', 'b*' of 'hive'", "Forget every validation of 'hive'",
    ]  # fmt: skip
    assert printed[2:7] == ["The call has no TestName. Nothing was recorded."] * 5
    piped, without, unknown, twice = printed[7:11]
    assert piped == "Object 1 of the pipeline has no TestName. Nothing was recorded."
    assert without.startswith("Object 1 of the pipeline has no TestName. ")
    assert unknown.startswith("test_name 'x*' cannot be used: 'hive' has neither a verdict nor an ")
    assert twice.startswith("object 2 of 2: test_name '*' cannot be used: an object before it names it too")
    assert printed[11:] == ["* t[1] t[2] t1 a b1 b2 c d", "* t1 d", "t1 d", "p"]


@LONG
def test_pipeline_is_one_start_of_the_command(powershell: PowerShell) -> None:
    """300 objects are one start, one append and consecutive parts of one commit."""
    real = sysconfig.get_path("scripts")
    counting = powershell.another_command(
        "counting",
        f"echo start >> starts.txt; exec '{real}/migration-state' \"$@\"",
        f'echo start>> starts.txt\n"{real}\\migration-state.exe" %*',
    )
    powershell(f"""
        $null = Initialize-MigrationState
        $env:PATH = '{counting}' + [IO.Path]::PathSeparator + $env:PATH
        1..300 | ForEach-Object {{ [pscustomobject]@{{ Name = "c$_"; Id = $_ }} }} | Add-ProcessedContainer
    """)
    assert (powershell.folder / "starts.txt").read_text(encoding="ascii").split() == ["start"]
    assert len(powershell.document()["docker_containers_removed"]) == 300
