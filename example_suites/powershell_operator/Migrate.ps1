#Requires -Version 5.1
<#
.SYNOPSIS
    Migrates the containers of containers.csv to native processes, and records every step.
.DESCRIPTION
    Backup, removal, deployment and validation are recorded in a migration state. Only if its gate is open is the
    migration completed; otherwise the script repairs what it can, tries once more, and rolls back. The exit status is 0
    if the migration is completed, else 1. As this is an example, the processes are stopped at the end in any case.
    The commands migration-state, pytest and python must be on the PATH.
.PARAMETER Work
    The folder to work in, new or empty. Default: a new folder for temporary files.
.PARAMETER Fail
    The component whose backup is damaged on purpose, to see the migration rolled back.
.EXAMPLE
    ./Migrate.ps1 -Work work
.EXAMPLE
    ./Migrate.ps1 -Fail guardian-hive
.EXAMPLE
    ./Migrate.ps1 -WhatIf
#>
[CmdletBinding(SupportsShouldProcess = $true)]
param(
    [string]$Work = (Join-Path -Path ([IO.Path]::GetTempPath()) -ChildPath "migration-$PID"),
    [ValidateSet('agent-zero', 'guardian-hive', 'worker-aider')]
    [string]$Fail
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
# The exit status of pytest is looked at below.
$PSNativeCommandUseErrorActionPreference = $false

. (migration-state powershell)

$startLimit = 10 # seconds within which a process must be ready
$Work = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($Work)
$backups = Join-Path $Work 'backups'
$native = Join-Path $Work 'native'
$containers = @(Import-Csv -LiteralPath "$PSScriptRoot/containers.csv")
$names = @($containers.ContainerName)
$processes = @{} # those that run, by the name of the component

# --- the steps ----------------------------------------------------------------------------------------------

function Backup-Component {
    # Saves the data of each container. Returns what Add-PreservedData takes.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([Parameter(ValueFromPipelineByPropertyName = $true)][string]$ContainerName)
    process {
        $backup = Join-Path $backups $ContainerName
        if (-not $PSCmdlet.ShouldProcess($ContainerName, "Save the data to $backup")) { return }
        Copy-Item -LiteralPath "$PSScriptRoot/container_data/$ContainerName" -Destination $backup -Recurse
        if ($ContainerName -eq $Fail) { Set-Content -LiteralPath "$backup/settings.json" -Value '{"jobs":' }
        [pscustomobject]@{ DataKey = "$ContainerName-backup"; BackupPath = $backup }
    }
}

function Restore-Component {
    # Restores the data of each container. Returns what Add-PreservedData takes.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([Parameter(ValueFromPipelineByPropertyName = $true)][string]$ContainerName)
    process {
        $folder = Join-Path $native $ContainerName
        if (-not $PSCmdlet.ShouldProcess($ContainerName, "Restore the data to $folder")) { return }
        Copy-Item -LiteralPath (Join-Path $backups $ContainerName) -Destination $folder -Recurse
        [pscustomobject]@{ DataKey = "$ContainerName-data"; BackupPath = $folder }
    }
}

function Start-Component {
    # Starts the process of each container, in place of one that runs. Returns what Add-NativeProcess takes.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([Parameter(ValueFromPipelineByPropertyName = $true)][string]$ContainerName)
    process {
        if (-not $PSCmdlet.ShouldProcess($ContainerName, 'Start the process')) { return }
        Stop-Component -Name $ContainerName
        $folder = Join-Path $native $ContainerName
        Remove-Item -LiteralPath "$folder/ready.json" -ErrorAction Ignore
        $start = @{
            FilePath               = 'python'
            ArgumentList           = "`"$PSScriptRoot/services/service.py`" `"$folder`""
            RedirectStandardOutput = "$folder/output.log"
            RedirectStandardError  = "$folder/error.log"
        }
        $processes[$ContainerName] = Start-Process @start -NoNewWindow -PassThru
        [pscustomobject]@{ ProcessName = $ContainerName; ProcessId = $processes[$ContainerName].Id }
    }
}

function Repair-Component {
    # Changes the paths in the settings, which are those that the container saw, to those of the native process.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param(
        [Parameter(ValueFromPipelineByPropertyName = $true)][string]$ContainerName,
        [Parameter(ValueFromPipelineByPropertyName = $true)][string]$MountedAt
    )
    process {
        $settings = "$(Join-Path $native $ContainerName)/settings.json"
        if (-not $PSCmdlet.ShouldProcess($settings, 'Change the paths')) { return }
        $text = (Get-Content -LiteralPath $settings -Raw).Replace("$MountedAt/", '')
        Set-Content -LiteralPath $settings -Value $text -Encoding Ascii -NoNewline
    }
}

function Stop-Component {
    param([string[]]$Name)
    foreach ($process in @($Name | ForEach-Object { $processes[$_] } | Where-Object { $_ })) {
        Stop-Process -InputObject $process -Force -ErrorAction SilentlyContinue
        $null = $process.WaitForExit(5000)
    }
    $Name | ForEach-Object { $processes.Remove($_) }
}

function Get-ComponentHealth {
    # Waits until each process is ready or has ended. It stands for the health check that you have.
    $deadline = (Get-Date).AddSeconds($startLimit)
    foreach ($name in $names) {
        $folder = Join-Path $native $name
        $ready = "$folder/ready.json"
        $process = $processes[$name]
        while (-not (Test-Path -LiteralPath $ready) -and -not $process.HasExited -and (Get-Date) -lt $deadline) {
            Start-Sleep -Milliseconds 50
        }
        $isReady = (Test-Path -LiteralPath $ready) -and -not $process.HasExited
        $problem = if (-not $isReady) { Get-Content -LiteralPath "$folder/error.log" -Tail 1 }
        [pscustomobject]@{ Component = $name; TestName = 'starts'; Passed = $isReady; ErrorMessage = $problem }
    }
}

function Test-Component {
    # Records the results of the health check and of the tests.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param()
    if (-not $PSCmdlet.ShouldProcess("$names", 'Check the processes and run the tests')) { return }
    Get-ComponentHealth | Export-Csv -LiteralPath "$Work/results.csv" -NoTypeInformation -Encoding UTF8
    Import-Csv -LiteralPath "$Work/results.csv" | Add-ValidationResult
    pytest "--migration-state=$env:MIGRATION_STATE" "$PSScriptRoot/validation" | Out-Host
    # Where the tests passed or failed, the gate decides; everything else is no answer.
    if ($LASTEXITCODE -notin 0, 1) { throw "pytest ended with exit status $LASTEXITCODE" }
}

function Complete-Migration {
    # Completes the migration, or prints and returns the blockers of its gate.
    try {
        $null = Set-MigrationPhase -NewPhase 'Completed'
    } catch {
        $gate = Get-MigrationGate
        # With an open gate, something else went wrong.
        if ($gate.open) { throw }
        Write-Host 'The migration cannot be completed:'
        foreach ($blocker in $gate.blockers) {
            Write-Host "  - $($blocker.message)"
            Write-Host "    -> $($blocker.fix)"
        }
        $gate.blockers
    }
}

# --- the migration ------------------------------------------------------------------------------------------

if (Get-ChildItem -LiteralPath $Work -Force -ErrorAction Ignore) { throw "The folder $Work is not empty." }
$null = New-Item -Path $Work -ItemType Directory -Force
$stateBefore = $env:MIGRATION_STATE
$env:MIGRATION_STATE = Join-Path $Work 'migration-state.json'
$status = 1
try {
    try {
        Write-MigrationAuditLog -Action 'Window' -Details "The maintenance window is open, for $names"
        $null = Initialize-MigrationState

        $null = Set-MigrationPhase -NewPhase 'BackupInProgress'
        $null = New-Item -Path $backups -ItemType Directory
        $containers | Backup-Component | Add-PreservedData

        # Here you would remove the containers.
        $null = Set-MigrationPhase -NewPhase 'ContainerTermination'
        Import-Csv -LiteralPath "$PSScriptRoot/containers.csv" | Add-ProcessedContainer

        $null = Set-MigrationPhase -NewPhase 'NativeDeployment'
        $null = New-Item -Path $native -ItemType Directory
        $containers | Restore-Component | Add-PreservedData
        $containers | Start-Component | Add-NativeProcess

        $null = Set-MigrationPhase -NewPhase 'Validation'
        Test-Component
        $blockers = @(Complete-Migration)
        if ($blockers) {
            $broken = @($containers | Where-Object ContainerName -In $blockers.component)
            Write-Host "Repairing $($broken.ContainerName -join ', ')"
            $broken | Repair-Component
            $broken | Start-Component | Add-NativeProcess
            # The verdicts on the processes before are stale now.
            Test-Component
            $blockers = @(Complete-Migration)
        }
        if ($blockers) { throw "Validation failed for $(@($blockers.component | Sort-Object -Unique) -join ', ')" }
        $status = 0
    } catch {
        Write-Host "Rolling back: $_"
        Stop-Component -Name $names
        # Here you would create the containers again, from the backups.
        Set-MigrationError -ErrorMessage "$_"
        $null = Set-MigrationPhase -NewPhase 'RolledBack' -Reason "$_"
    }
    if (-not $WhatIfPreference) {
        Write-Host "The phase is $((Get-MigrationState).phase); the record is sound: $(Test-MigrationState)"
        Get-MigrationAuditLog | Where-Object action -NotLike 'Validation*'
    }
} finally {
    Stop-Component -Name $names
    $env:MIGRATION_STATE = $stateBefore
}
exit $status
