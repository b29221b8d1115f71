#Requires -Version 5.1
# The PowerShell functions of a migration state, over the command 'migration-state'. A script loads them with
#
#     . (migration-state powershell)
#
# Each change is made by one start of that command, under its lock and its rules. For Windows PowerShell 5.1 and
# PowerShell 7. This file is ASCII: Windows PowerShell takes a file without a mark at its start for ANSI.

# --- what the functions share -------------------------------------------------------------------------------

function Resolve-MigrationStatePath {
    # The state's path as the command can use it: it knows nothing of PowerShell's drives and of '~'.
    param([string]$StatePath)
    if (-not $StatePath) { $StatePath = $env:MIGRATION_STATE }
    if (-not $StatePath) { $StatePath = 'migration-state.json' }
    $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($StatePath)
}

function Test-MigrationStatePath {
    # Is there a state? A document that was lost is rebuilt from its log.
    param([string]$StatePath)
    if (Test-Path -LiteralPath $StatePath) { return $true }
    $log = ([System.IO.Path]::GetFileNameWithoutExtension($StatePath) -creplace '-state$', '') + '-audit.log'
    Test-Path -LiteralPath ([System.IO.Path]::Combine([System.IO.Path]::GetDirectoryName($StatePath), $log))
}

function Invoke-MigrationStateTool {
    # Runs the command. Gives its exit status, the lines it printed, and what it said was wrong; its warnings are passed on.
    param([string]$StatePath, [string[]]$Arguments, [hashtable]$Request)

    # Standard error is told apart from output by its type below. Where the caller stops at errors, the first line of it,
    # or an exit status, would end everything before the sentence could be read.
    $ErrorActionPreference = 'Continue'
    $PSNativeCommandUseErrorActionPreference = $false

    $tool = Get-Command -Name 'migration-state' -CommandType Application -ErrorAction SilentlyContinue | Select-Object -First 1
    if (-not $tool) {
        throw "The command 'migration-state' is not on the PATH; install it with 'python -m pip install pytest-migration-state', or add the folder of its scripts to the PATH."
    }

    # The request goes through standard input: Windows PowerShell drops quotes and empty texts from the arguments of a program.
    $OutputEncoding = New-Object System.Text.UTF8Encoding $false
    $consoleEncoding = [Console]::OutputEncoding
    $pythonEncoding = $env:PYTHONIOENCODING
    # A script must find the exit status of the program that it ran itself, not of ours.
    $exitStatus = Get-Variable -Name LASTEXITCODE -Scope Global -ValueOnly -ErrorAction SilentlyContinue
    try {
        # Without a console, as in a service, there is none to set.
        try { [Console]::OutputEncoding = $OutputEncoding } catch { $null = $_ }
        $env:PYTHONIOENCODING = 'utf-8'
        # What stays, if the command cannot even be started.
        $global:LASTEXITCODE = -1
        $lines = @(
            if ($Request) {
                ConvertTo-Json -InputObject $Request -Compress | & $tool.Path @Arguments -s $StatePath 2>&1
            } else {
                & $tool.Path @Arguments -s $StatePath 2>&1
            }
        )
        $code = $global:LASTEXITCODE
    } finally {
        $global:LASTEXITCODE = $exitStatus
        $env:PYTHONIOENCODING = $pythonEncoding
        try { [Console]::OutputEncoding = $consoleEncoding } catch { $null = $_ }
    }

    $output = @($lines | Where-Object { $_ -isnot [System.Management.Automation.ErrorRecord] })
    $errors = @($lines | Where-Object { $_ -is [System.Management.Automation.ErrorRecord] } | ForEach-Object { "$_" })
    foreach ($warning in @($errors -match '^warning: ')) { Write-Warning ($warning -replace '^warning: ', '') }
    # One operation is sent at a time, so the number of its line says nothing.
    $message = @($errors -notmatch '^warning: ') -join "`n" -replace '^migration-state: error: (line 1: )?', ''
    if (-not $message) { $message = "The command 'migration-state' ended with exit status $code and did not say why." }
    [pscustomobject]@{ Code = $code; Lines = $output; Message = $message }
}

function Invoke-MigrationChange {
    # Carries out one operation: a method of the Python class MigrationTracker and its arguments. Gives the new state.
    param([string]$StatePath, [hashtable]$Request)
    $path = Resolve-MigrationStatePath $StatePath
    if ($Request.operation -ne 'initialize' -and -not (Test-MigrationStatePath $path)) {
        throw "Migration state not found. Please initialize first: '$path' does not exist."
    }
    foreach ($name in @($Request.Keys)) {
        # Windows PowerShell writes a text that came from Get-Content as an object; a text of its own is what ToString() gives.
        if ($Request[$name] -is [string]) { $Request[$name] = $Request[$name].ToString() }
    }
    $result = Invoke-MigrationStateTool -StatePath $path -Arguments 'apply', '--json' -Request $Request
    if ($result.Code -ne 0) { throw $result.Message }
    $result.Lines -join "`n" | ConvertFrom-Json
}

# --- functions that change the state ------------------------------------------------------------------------

function Initialize-MigrationState {
    <#
    .SYNOPSIS
        Begins a migration and returns its state.
    .DESCRIPTION
        An existing state is never overwritten: without -Force it is refused, with -Force it is kept under another name
        beside the new one. The audit log goes on.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER Force
        Begin anew although there is a state.
    .EXAMPLE
        Initialize-MigrationState -StatePath 'work/migration-state.json'
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [switch]$Force
    )
    Invoke-MigrationChange $StatePath @{ operation = 'initialize'; force = [bool]$Force }
}

function Set-MigrationPhase {
    <#
    .SYNOPSIS
        Moves the migration to a phase and returns its state.
    .DESCRIPTION
        One step at a time, from NotStarted to Completed; to RolledBack from every phase but NotStarted. Completed passes the
        gate: every validation must have a verdict, and every verdict must be passed. What is refused throws.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER NewPhase
        The phase to move to.
    .PARAMETER Force
        Move whatever the table of transitions, the gate and the availability of rollback say. The audit log says so.
    .PARAMETER Reason
        Why it was forced, for the audit log.
    .EXAMPLE
        Set-MigrationPhase -NewPhase 'BackupInProgress'
    .EXAMPLE
        Set-MigrationPhase -NewPhase 'RolledBack' -Force -Reason 'the new service loses jobs'
    #>
    [CmdletBinding()]
    param(
        # The first word is the path: 'Set-MigrationPhase Completed' would otherwise ask for a phase.
        [ValidateScript({
            $phases = 'NotStarted', 'BackupInProgress', 'ContainerTermination', 'NativeDeployment', 'Validation', 'Completed', 'RolledBack'
            if ($phases -contains $_ -and -not (Test-Path -LiteralPath $_)) {
                throw "'$_' is a phase, and the first word is the path of the state: write Set-MigrationPhase -NewPhase $_"
            }
            $true
        })]
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [ValidateSet('NotStarted', 'BackupInProgress', 'ContainerTermination', 'NativeDeployment', 'Validation', 'Completed', 'RolledBack')]
        [string]$NewPhase,
        [switch]$Force,
        [string]$Reason
    )
    # PowerShell takes 'validation' for Validation, and hands it on as it was typed.
    $phases = 'NotStarted', 'BackupInProgress', 'ContainerTermination', 'NativeDeployment', 'Validation', 'Completed', 'RolledBack'
    $phase = @($phases -eq $NewPhase)[0]
    $request = @{ operation = 'set_phase'; phase = $phase; force = [bool]$Force }
    if ($Reason) { $request.reason = $Reason }
    Invoke-MigrationChange $StatePath $request
}

function Add-ProcessedContainer {
    <#
    .SYNOPSIS
        Records that a container was removed.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER ContainerName
        The container's name.
    .PARAMETER ContainerId
        Its id, as the container engine prints it.
    .EXAMPLE
        Add-ProcessedContainer -ContainerName 'guardian-hive' -ContainerId 'abc123def456'
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [string]$ContainerName,
        [Parameter(Mandatory = $true)]
        [string]$ContainerId
    )
    $null = Invoke-MigrationChange $StatePath @{ operation = 'add_processed_container'; name = $ContainerName; container_id = $ContainerId }
}

function Add-PreservedData {
    <#
    .SYNOPSIS
        Records where data was saved.
    .DESCRIPTION
        A key that is there already is given the new path. A key that differs from one that is there only in case is refused.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER DataKey
        What was saved.
    .PARAMETER BackupPath
        Where it was saved.
    .EXAMPLE
        Add-PreservedData -DataKey 'guardian-hive-config' -BackupPath 'backups/guardian-hive/config.json'
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [string]$DataKey,
        [Parameter(Mandatory = $true)]
        [string]$BackupPath
    )
    $null = Invoke-MigrationChange $StatePath @{ operation = 'add_preserved_data'; key = $DataKey; backup_path = $BackupPath }
}

function Add-NativeProcess {
    <#
    .SYNOPSIS
        Records that a native process was started.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER ProcessName
        What the process is called.
    .PARAMETER ProcessId
        Its process id, where it is known.
    .EXAMPLE
        Add-NativeProcess -ProcessName 'guardian-hive' -ProcessId 12345
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [string]$ProcessName,
        [int]$ProcessId = 0
    )
    $request = @{ operation = 'add_native_process'; name = $ProcessName }
    if ($ProcessId -gt 0) { $request.process_id = $ProcessId }
    $null = Invoke-MigrationChange $StatePath $request
}

function Add-ValidationResult {
    <#
    .SYNOPSIS
        Records the verdict of a validation.
    .DESCRIPTION
        It takes the place of an earlier verdict of the same component and test; the audit log keeps both. A pass in place
        of a failure that a run of tests recorded is shown by every report until a run records another verdict.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER Component
        The component that was validated.
    .PARAMETER TestName
        The test's name.
    .PARAMETER Passed
        Did it pass?
    .PARAMETER ErrorMessage
        Why it did not.
    .PARAMETER Reason
        Why it counts as passed although a run's test failed, for the reports and the audit log.
    .EXAMPLE
        Add-ValidationResult -Component 'guardian-hive' -TestName 'native_execution_test' -Passed $true
    .EXAMPLE
        Add-ValidationResult -Component 'guardian-hive' -TestName 'api_test' -Passed $false -ErrorMessage 'it answers 500'
    .EXAMPLE
        Add-ValidationResult -Component 'guardian-hive' -TestName 'api_test' -Passed $true -Reason 'OPS-7: the test asks the old port'
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [string]$Component,
        [Parameter(Mandatory = $true)]
        [string]$TestName,
        [Parameter(Mandatory = $true)]
        [bool]$Passed,
        [string]$ErrorMessage,
        [string]$Reason
    )
    $request = @{ operation = 'add_validation_result'; component = $Component; test_name = $TestName; passed = $Passed }
    if ($ErrorMessage) { $request.error_message = $ErrorMessage }
    if ($Reason) { $request.reason = $Reason }
    $null = Invoke-MigrationChange $StatePath $request
}

function Set-RollbackAvailability {
    <#
    .SYNOPSIS
        Says whether the migration can be rolled back.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER Available
        Can it be rolled back?
    .EXAMPLE
        Set-RollbackAvailability -Available $false
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [bool]$Available
    )
    $null = Invoke-MigrationChange $StatePath @{ operation = 'set_rollback_availability'; available = $Available }
}

function Set-MigrationError {
    <#
    .SYNOPSIS
        Records an error of the migration.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER ErrorMessage
        What went wrong.
    .EXAMPLE
        Set-MigrationError -ErrorMessage 'the disk of the new host is full'
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [string]$ErrorMessage
    )
    $null = Invoke-MigrationChange $StatePath @{ operation = 'set_error'; message = $ErrorMessage }
}

function Approve-MigrationRecord {
    <#
    .SYNOPSIS
        Accepts the state as the document has it, although its record is not whole.
    .DESCRIPTION
        That is where 'migration-state verify' finds the audit log gone, cut or changed, or changes that were not logged.
        Until then a log that lost entries keeps the gate shut; afterwards every report says who accepted it. Where nothing
        is wrong with the record, it throws.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER By
        Who accepts it.
    .PARAMETER Reason
        Why, for the reports and the audit log.
    .EXAMPLE
        Approve-MigrationRecord -By 'the operator on duty' -Reason 'OPS-9: the log was deleted with the old disk'
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [string]$By,
        [Parameter(Mandatory = $true)]
        [string]$Reason
    )
    $null = Invoke-MigrationChange $StatePath @{ operation = 'accept_record'; by = $By; reason = $Reason }
}

function Write-MigrationAuditLog {
    <#
    .SYNOPSIS
        Writes an entry of your own to the audit log.
    .DESCRIPTION
        It never throws: an entry that cannot be written is a warning, and the migration goes on.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER Action
        What kind of entry it is, in one word.
    .PARAMETER Details
        The entry in words.
    .PARAMETER Level
        INFO, WARNING or ERROR.
    .EXAMPLE
        Write-MigrationAuditLog -Action 'Notice' -Details 'the window was extended to 23:00' -Level 'WARNING'
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [string]$Action,
        [Parameter(Mandatory = $true)]
        [string]$Details,
        [ValidateSet('INFO', 'WARNING', 'ERROR')]
        [string]$Level = 'INFO'
    )
    try {
        # As above: 'info' is taken for INFO.
        $null = Invoke-MigrationChange $StatePath @{ operation = 'write_audit'; action = $Action; details = $Details; level = $Level.ToUpperInvariant() }
    } catch {
        Write-Warning "Failed to write audit log: $($_.Exception.Message)"
    }
}

# --- functions that read it ---------------------------------------------------------------------------------

function Get-MigrationState {
    <#
    .SYNOPSIS
        Returns the state. Where there is none, warns and returns $null.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .EXAMPLE
        (Get-MigrationState).phase
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath
    )
    $path = Resolve-MigrationStatePath $StatePath
    if (-not (Test-MigrationStatePath $path)) {
        Write-Warning "Migration state file not found: $path"
        return $null
    }
    $result = Invoke-MigrationStateTool -StatePath $path -Arguments 'show', '--json'
    if ($result.Code -ne 0) { throw $result.Message }
    $result.Lines -join "`n" | ConvertFrom-Json
}

function Get-MigrationAuditLog {
    <#
    .SYNOPSIS
        Returns the entries of the audit log, the oldest first. Where there is none, warns and returns nothing.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER Last
        Only so many of the newest entries; 0 returns all.
    .EXAMPLE
        Get-MigrationAuditLog -Last 20 | Format-Table timestamp, level, action, details
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [int]$Last = 0
    )
    $path = Resolve-MigrationStatePath $StatePath
    if (-not (Test-MigrationStatePath $path)) {
        Write-Warning "Migration audit log not found: there is no state '$path'"
        return @()
    }
    $arguments = @('audit', '--json')
    if ($Last -gt 0) { $arguments += '--last', "$Last" }
    $result = Invoke-MigrationStateTool -StatePath $path -Arguments $arguments
    if ($result.Code -ne 0) { throw $result.Message }
    foreach ($line in $result.Lines) { ConvertFrom-Json -InputObject $line }
}

function Get-MigrationGate {
    <#
    .SYNOPSIS
        Returns whether the gate to Completed is open, and every reason for it to stay shut.
    .DESCRIPTION
        The object has 'phase', 'open' and 'blockers'; each blocker has 'kind', 'component', 'test_name',
        'message' (what is wrong) and 'fix' (what to do). 'overridden' has the passed verdicts that were set by hand over
        a run's failure; they do not keep the gate shut. 'accepted' says who accepted a record that was not whole, and why.
        Where there is no state, the function warns and returns $null.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER Require
        Components that must have a verdict.
    .PARAMETER Allow
        What does not keep the gate shut: skipped, deselected, xfailed, stale.
    .EXAMPLE
        (Get-MigrationGate -Require 'guardian-hive', 'worker-aider').blockers | Format-List component, message, fix
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [string[]]$Require = @(),
        [ValidateSet('skipped', 'deselected', 'xfailed', 'stale')]
        [string[]]$Allow = @()
    )
    $path = Resolve-MigrationStatePath $StatePath
    if (-not (Test-MigrationStatePath $path)) {
        Write-Warning "Migration state file not found: $path"
        return $null
    }
    $arguments = @('gate', '--json')
    foreach ($name in $Require) { $arguments += "--require=$name" }
    foreach ($reason in $Allow) { $arguments += "--allow=$($reason.ToLowerInvariant())" }
    $result = Invoke-MigrationStateTool -StatePath $path -Arguments $arguments
    # 1 says that the gate is shut; why is in what was printed.
    if ($result.Code -notin 0, 1) { throw $result.Message }
    $result.Lines -join "`n" | ConvertFrom-Json
}
