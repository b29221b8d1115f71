#Requires -Version 5.1
# The PowerShell functions of a migration state, over the command 'migration-state'. A script loads them with
#
#     . (migration-state powershell)
#
# or, as a module whose helpers no function of the script can replace, with
#
#     Import-Module (migration-state powershell --module)
#
# Each call, and each whole pipeline, is one start of that command, under its lock and its rules. For Windows
# PowerShell 5.1 and PowerShell 7, in ConstrainedLanguage mode too: there only cmdlets, operators and methods of
# texts may be used, and $PSCmdlet cannot be called. This file is ASCII: Windows PowerShell takes a file without
# a mark at its start for ANSI.

# --- the command --------------------------------------------------------------------------------------------

function Test-FullLanguage {
    $ExecutionContext.SessionState.LanguageMode -eq 'FullLanguage'
}

function ConvertTo-AsciiJson {
    # JSON in which every other character is escaped: then the encodings of the pipe do not matter.
    param([hashtable]$Value)
    $json = ConvertTo-Json -InputObject $Value -Compress -Depth 5
    $codes = @{}
    foreach ($found in [regex]::Matches($json, '[^\x00-\x7f]')) { $codes[[int][char]$found.Value] = $true }
    foreach ($code in $codes.Keys) { $json = $json.Replace([string][char]$code, ('\u{0:x4}' -f $code)) }
    $json
}

function Invoke-MigrationTool {
    # Starts the command. Gives the lines that it printed; Failure says why it could not be started.
    param([string]$Json)
    # The first line on standard error, or an exit status, must not end this where the caller stops at errors.
    $ErrorActionPreference = 'Continue'
    $PSNativeCommandUseErrorActionPreference = $false
    # Not UTF-16, and without a byte order mark, whatever the caller has set.
    $OutputEncoding = [System.Text.Encoding]::ASCII
    $result = @{ Lines = @(); Code = $null; Failure = $null; Path = $null }
    $tool = Get-Command -Name 'migration-state' -CommandType Application -ErrorAction Ignore | Select-Object -First 1
    if (-not $tool) {
        $result.Failure = "The command 'migration-state' is not on the PATH; install it with 'python -m pip install pytest-migration-state', or add the folder of its scripts to the PATH."
        return $result
    }
    $result.Path = $tool.Path
    # A script must find the exit status of the program that it ran itself.
    $hadStatus = Test-Path -LiteralPath 'Variable:global:LASTEXITCODE'
    $status = if ($hadStatus) { $global:LASTEXITCODE }
    try {
        $result.Lines = @($Json | & $tool.Path 'powershell' '--request' 2>&1)
        $result.Code = $global:LASTEXITCODE
    } catch {
        $why = if ($_.Exception.InnerException) { $_.Exception.InnerException.Message } else { $_.Exception.Message }
        $result.Failure = "The command '$($tool.Path)' cannot be started ($why). If it is there, its virtual environment was moved or its Python was removed: reinstall it with 'python -m pip install --force-reinstall pytest-migration-state'."
    } finally {
        if ($hadStatus) {
            $global:LASTEXITCODE = $status
        } else {
            Remove-Variable -Name LASTEXITCODE -Scope Global -ErrorAction Ignore -WhatIf:$false -Confirm:$false
        }
    }
    $result
}

function Invoke-MigrationRequest {
    # Sends one request. Gives its answers and warnings, or the Refusal and its Kind. Without the line that ends an answer,
    # the command crashed or is another program.
    param([hashtable]$Request)
    $PSDefaultParameterValues = @{}
    # Where the caller is strict, each property that a strange answer lacks would be an error of its own.
    Set-StrictMode -Off
    $ErrorActionPreference = 'Stop'
    $reply = @{ Answers = @(); Warnings = @(); Refusal = $null; Kind = $null; IsMissing = $false }
    $tool = Invoke-MigrationTool -Json (ConvertTo-AsciiJson -Value $Request)
    if ($tool.Failure) {
        $reply.Refusal = $tool.Failure
        $reply.Kind = 'NoAnswer'
        return $reply
    }
    $isWhole = $false
    $strange = @()
    $answers = @{}
    foreach ($line in $tool.Lines) {
        $parsed = $null
        if ($line -is [string]) {
            try { $parsed = ConvertFrom-Json -InputObject $line } catch { $strange += $_.Exception.Message }
        }
        switch -CaseSensitive ("$(@($parsed.PSObject.Properties.Name)[0])") {
            'answer' { $answers[$answers.Count] = $parsed.answer }
            'warning' { $reply.Warnings += $parsed.warning }
            'error' {
                $reply.Refusal = $parsed.error.message
                $reply.Kind = $parsed.error.type
                $isWhole = $true
            }
            # The number of lines before it: one that cannot be read must not be missed.
            'end' { $isWhole = $parsed.end -eq $answers.Count + @($reply.Warnings).Count }
            default { if ("$line".Trim()) { $strange += "$line" } }
        }
    }
    $reply.Answers = @(for ($number = 0; $number -lt $answers.Count; $number++) { $answers[$number] })
    if (-not $isWhole) {
        $said = if ($strange) { " It said: $($strange[-1] -replace '(?s)^(.{200}).+$', '$1...')" }
        $reply.Refusal = "The command '$($tool.Path)' ended with exit status $($tool.Code) and without an answer, so nothing is known of the migration state: look at it before you repeat anything.$said If the package is not whole, reinstall it with 'python -m pip install --force-reinstall pytest-migration-state'."
        $reply.Kind = 'NoAnswer'
    }
    $reply
}

# --- calls --------------------------------------------------------------------------------------------------

function New-MigrationCall {
    # What the functions below share about one call: who called, on which state, and with which preferences.
    # A module does not see the variables of the script that calls it, so its preferences are asked for.
    param($Caller, $Bound, [string]$StatePath)
    $PSDefaultParameterValues = @{}
    $call = @{ Caller = $Caller; Bound = $Bound; Operations = @{}; Inputs = 0; Refusal = $null }
    $parameters = @{
        ErrorActionPreference = 'ErrorAction'; WarningPreference = 'WarningAction'; VerbosePreference = 'Verbose'
        WhatIfPreference = 'WhatIf'; ConfirmPreference = 'Confirm'
    }
    foreach ($name in $parameters.Keys) {
        $call[$name] = Microsoft.PowerShell.Utility\Get-Variable -Name $name -ValueOnly
        if ((Test-FullLanguage) -and -not $Bound.ContainsKey($parameters[$name])) {
            $call[$name] = $Caller.GetVariableValue($name)
        }
    }
    if (-not $StatePath) { $StatePath = $env:MIGRATION_STATE }
    if (-not $StatePath) { $StatePath = 'migration-state.json' }
    # What is warned of has been done: an error would hide that. Windows PowerShell takes no 'Ignore' from a variable.
    if ("$($call.WarningPreference)" -in 'Stop', 'Inquire') { $call.WarningPreference = 'Continue' }
    if ("$($call.WarningPreference)" -eq 'Ignore') { $call.WarningPreference = 'SilentlyContinue' }
    # ShouldProcess has something to say under these alone. It is too slow to be asked for each object of a pipeline.
    $call.Asks = $call.WhatIfPreference -or "$($call.ConfirmPreference)" -in 'Low', 'Medium' -or "$($call.VerbosePreference)" -ne 'SilentlyContinue'
    $call.Path = Read-MigrationPath -Call $call -Path $StatePath
    $call
}

function Read-MigrationPath {
    # Gives a path as the command can use it. One that cannot be used refuses the call.
    param([hashtable]$Call, [string]$Path)
    try {
        Resolve-MigrationPath -Caller $Call.Caller -Path $Path
    } catch {
        $Call.Refusal = "The path '$Path' cannot be used: $($_.Exception.Message)"
    }
}

function Resolve-MigrationPath {
    # A path as the command can use it, which knows nothing of PowerShell's drives and of '~'. Nothing need be there.
    param($Caller, [string]$Path)
    if (Test-FullLanguage) {
        $provider = $drive = $null
        $resolved = $Caller.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Path, [ref]$provider, [ref]$drive)
        if ($provider.Name -ne 'FileSystem') { throw "it names no file, but something of the provider $($provider.Name)." }
        return $resolved
    }
    if (Test-Path -LiteralPath $Path) { return Convert-Path -LiteralPath $Path }
    $parent = Split-Path -Path $Path -Parent
    if (-not $parent) {
        if ($Path -match '^([A-Za-z]:)?[\\/]') { return $Path }
        if ($Path -match ':') { throw 'its drive cannot be found.' }
        return Join-Path -Path (Convert-Path -LiteralPath '.') -ChildPath $Path
    }
    Join-Path -Path (Resolve-MigrationPath -Caller $Caller -Path $parent) -ChildPath (Split-Path -Path $Path -Leaf)
}

function Confirm-MigrationChange {
    # Gives $true, unless -WhatIf or the user's answer to -Confirm forbids the change. A call that is refused asks nothing.
    param([hashtable]$Call, [string]$Change)
    if ($Call.Refusal) { return $true }
    $WhatIfPreference = $Call.WhatIfPreference
    $ConfirmPreference = $Call.ConfirmPreference
    if (Test-FullLanguage) { return $Call.Caller.ShouldProcess($Call.Path, $Change) }
    if ($WhatIfPreference) {
        Write-Host "What if: Performing the operation `"$Change`" on target `"$($Call.Path)`"."
        return $false
    }
    if ("$ConfirmPreference" -notin 'Low', 'Medium') { return $true }
    (Read-Host -Prompt "$Change in $($Call.Path)? [Y] Yes  [N] No") -in 'y', 'yes'
}

function Add-MigrationOperation {
    # Adds an operation to a call: a method of the Python class MigrationTracker and its arguments.
    param([hashtable]$Call, [string]$Change, [hashtable]$Operation)
    foreach ($name in @($Operation.Keys)) {
        # Windows PowerShell writes a text that came from Get-Content as an object; a text of its own is what ToString() gives.
        if ($Operation[$name] -is [string]) { $Operation[$name] = $Operation[$name].ToString() }
        if ($Operation[$name] -is [array]) {
            $Operation[$name] = @(foreach ($one in $Operation[$name]) { if ($one -is [string]) { $one.ToString() } else { $one } })
        }
    }
    if (-not $Call.Asks -or (Confirm-MigrationChange -Call $Call -Change $Change)) {
        $Call.Operations[$Call.Operations.Count] = $Operation
    }
}

function Read-MigrationInput {
    # Gives the values of a call by the names of its parameters: a parameter that was given counts for every object of the
    # pipeline, the others are read from the object. Gives nothing, and refuses the call, if a value is missing or unusable.
    # A column is the name of a parameter and its aliases; with '?' at its end it may be missing. With '*' the parameter may
    # have several values, and be missing where there is no pipeline.
    param([hashtable]$Call, $InputObject, [string[]]$Columns)
    # Where the caller is strict, each property that an object lacks would be an error of its own.
    Set-StrictMode -Off
    if ($Call.Refusal) { return }
    $Call.Inputs++
    $isPiped = $Call.Caller.MyInvocation.ExpectingInput
    $which = if ($isPiped) { "Object $($Call.Inputs) of the pipeline" } else { 'The call' }
    if (-not $isPiped -and $Call.Bound.Keys -contains 'InputObject') {
        $Call.Refusal = 'InputObject is for the pipeline: write $rows | ' + $Call.Caller.MyInvocation.MyCommand.Name + '.'
        return
    }
    $values = @{}
    foreach ($column in $Columns) {
        $names = ($column -replace '[?*]$').Split(' ')
        $isGiven = $Call.Bound.Keys -contains $names[0]
        $takesSeveral = $isGiven -and $column.EndsWith('*')
        $mayMiss = $column.EndsWith('?') -or ($column.EndsWith('*') -and -not $isPiped -and -not $isGiven)
        $value = $null
        if ($isGiven) {
            $value = $Call.Bound[$names[0]]
        } elseif ($isPiped -and $null -ne $InputObject) {
            try {
                $value = Get-MigrationProperty -InputObject $InputObject -Names $names
            } catch {
                $Call.Refusal = "$which has no $($names[0]) that can be read: $($_.Exception.Message) Nothing was recorded."
                return
            }
        }
        $found = @($value)
        $isScript = $value -is [scriptblock] -or ($isPiped -and $isGiven -and "$value" -match '\$(_|PSItem)\b')
        if ($isScript -or $value -is [System.Collections.IDictionary] -or $value -is [System.Management.Automation.PSCustomObject]) {
            # PowerShell would take the text of a script block, and the name of the type of an object.
            $Call.Refusal = "$which has { $value } in place of a text or a number for $($names[0]). Nothing was recorded."
            return
        }
        $empty = @(foreach ($one in $found) { if (-not "$one".Trim()) { $true } }).Count
        $isThere = $found.Count -and -not $empty
        $isTooMany = $found.Count -gt 1 -and -not $takesSeveral
        if ($isTooMany -or -not ($isThere -or $mayMiss)) {
            $number = if ($isTooMany) { "$($found.Count) values for" } else { 'no' }
            $hint = if ($isPiped -and $null -ne $InputObject) { " It has: $(@($InputObject.PSObject.Properties.Name) -join ', ')." }
            $Call.Refusal = "$which has $number $($names[0]).$hint Nothing was recorded."
            return
        }
        $values[$names[0]] = if ($isThere) { $value } else { '' }
    }
    $values
}

function Get-MigrationProperty {
    # Gives the value of the first of these names that an object, or a hashtable, has.
    param($InputObject, [string[]]$Names)
    foreach ($name in $Names) {
        if ($InputObject -is [System.Collections.IDictionary]) {
            if ($InputObject.Keys -contains $name) { return , $InputObject[$name] }
        } elseif ($null -ne ($property = $InputObject.PSObject.Properties[$name])) {
            return , $property.Value
        }
    }
}

function Stop-MigrationCall {
    # Ends a function, and the script that called it unless that catches it. Where the caller asked to go on after
    # errors, PowerShell would skip 'throw': then the function has failed and returns nothing.
    param([hashtable]$Call, [string]$Message, [string]$Kind)
    $goesOn = "$($Call.ErrorActionPreference)" -in 'SilentlyContinue', 'Ignore'
    $ErrorActionPreference = if ($goesOn) { 'SilentlyContinue' } else { 'Stop' }
    $invocation = $Call.Caller.MyInvocation
    if ($invocation.ScriptName) {
        $separator = if ($Message.Contains("`n")) { "`n" } else { ' ' }
        $Message += "$separator($($invocation.ScriptName), line $($invocation.ScriptLineNumber))"
    }
    if (-not (Test-FullLanguage)) {
        if (-not $goesOn) { throw $Message }
        if ("$($Call.ErrorActionPreference)" -ne 'Ignore') { Write-Error -Message $Message }
        return
    }
    $exception = New-Object -TypeName System.InvalidOperationException -ArgumentList $Message
    $record = New-Object -TypeName System.Management.Automation.ErrorRecord -ArgumentList $exception, $Kind, 'InvalidOperation', $Call.Path
    if (-not $goesOn) { throw $record }
    $Call.Caller.WriteError($record)
}

function Send-MigrationRequest {
    # Sends a request of a call, unless the call is refused already. Gives the reply.
    param([hashtable]$Call, [hashtable]$Request)
    if ($Call.Refusal) { return @{ Answers = @(); Refusal = $Call.Refusal; Kind = 'InvalidInput'; IsMissing = $false } }
    $Request.state = $Call.Path
    $reply = Invoke-MigrationRequest -Request $Request
    foreach ($warning in $reply.Warnings) { Write-MigrationWarning -Call $Call -Message $warning }
    $reply
}

function Write-MigrationWarning {
    # A script may have a Write-Warning of its own. What that returns is no answer of ours.
    param([hashtable]$Call, [string]$Message)
    $WarningPreference = $Call.WarningPreference
    $null = Write-Warning -Message $Message
}

function Invoke-MigrationCall {
    # Sends a request of a call. Gives the reply, or $null after a refusal.
    param([hashtable]$Call, [hashtable]$Request)
    $reply = Send-MigrationRequest -Call $Call -Request $Request
    if (-not $reply.Refusal) { return $reply }
    Stop-MigrationCall -Call $Call -Message $reply.Refusal -Kind $reply.Kind
}

function Complete-MigrationCall {
    # Sends the operations of a call, all or none. Gives the state, if that is wanted, as a hashtable.
    param([hashtable]$Call, [switch]$WantsState)
    $count = $Call.Operations.Count
    if ($count -eq 0 -and -not $Call.Refusal) { return }
    $operations = @(for ($number = 0; $number -lt $count; $number++) { $Call.Operations[$number] })
    $request = @{ command = 'apply'; operations = $operations; wants_state = [bool]$WantsState }
    $reply = Invoke-MigrationCall -Call $Call -Request $request
    if (-not $reply) { return }
    $VerbosePreference = $Call.VerbosePreference
    $state = $reply.Answers[0]
    $null = Write-Verbose -Message "$($Call.Path): recorded ($count); the phase is '$($state.phase)'."
    if ($WantsState) { ConvertTo-StateHashtable -State $state }
}

function ConvertTo-StateHashtable {
    # The state as a hashtable, as are the objects in it that have keys of their own. Items of lists stay objects.
    param($State)
    $table = @{}
    foreach ($property in $State.PSObject.Properties) {
        $value = $property.Value
        if ($value -is [System.Management.Automation.PSCustomObject]) { $value = ConvertTo-StateHashtable -State $value }
        $table[$property.Name] = $value
    }
    $table
}

function Read-MigrationState {
    # Sends a request that changes nothing. Gives the reply; where there is no state, a warning and a reply that says so;
    # nothing after a refusal.
    param([hashtable]$Call, [hashtable]$Request, [string]$What = 'Migration state file')
    $reply = Send-MigrationRequest -Call $Call -Request $Request
    if (-not $reply.Refusal) { return $reply }
    if ($reply.Kind -eq 'StateNotFoundError') {
        Write-MigrationWarning -Call $Call -Message "$What not found: $($Call.Path)"
        return @{ Answers = @(); IsMissing = $true }
    }
    Stop-MigrationCall -Call $Call -Message $reply.Refusal -Kind $reply.Kind
}

function ConvertTo-Verdict {
    # $true or $false, from that or from what a file may have in its place; $null for anything else.
    param($Value)
    switch ("$Value".Trim()) {
        { $_ -in 'true', '$true', 'yes', '1', 'passed' } { return $true }
        { $_ -in 'false', '$false', 'no', '0', 'failed' } { return $false }
    }
    $null
}

# --- functions that change the state ------------------------------------------------------------------------

function Initialize-MigrationState {
    <#
    .SYNOPSIS
        Begins a migration and returns its state, a hashtable.
    .DESCRIPTION
        An existing state is never overwritten: without -Force it is refused, with -Force it is kept under another name
        beside the new one. The audit log goes on.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER Force
        Begin another migration although there is a state.
    .EXAMPLE
        Initialize-MigrationState -StatePath 'work/migration-state.json'
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    param(
        [string]$StatePath,
        [switch]$Force
    )
    $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath
    $operation = @{ operation = 'initialize'; force = [bool]$Force }
    Add-MigrationOperation -Call $call -Change 'Begin a migration' -Operation $operation
    Complete-MigrationCall -Call $call -WantsState
}

function Set-MigrationPhase {
    <#
    .SYNOPSIS
        Moves the migration to a phase and returns its state, a hashtable.
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
        Why, for the audit log.
    .PARAMETER Require
        Before Completed: components that must have a verdict.
    .PARAMETER Allow
        Before Completed: what does not keep the gate shut: skipped, deselected, xfailed, stale.
    .EXAMPLE
        Set-MigrationPhase -NewPhase 'BackupInProgress'
    .EXAMPLE
        Set-MigrationPhase -NewPhase 'Completed' -Require 'guardian-hive', 'worker-aider'
    .EXAMPLE
        Set-MigrationPhase -NewPhase 'RolledBack' -Force -Reason 'the new service loses jobs'
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
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
        [string]$Reason,
        [string[]]$Require = @(),
        [ValidateSet('skipped', 'deselected', 'xfailed', 'stale')]
        [string[]]$Allow = @()
    )
    $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath
    $allowed = @(foreach ($one in $Allow) { $one.ToLowerInvariant() })
    $request = @{ operation = 'set_phase'; phase = $NewPhase; force = [bool]$Force; require = @($Require); allow = $allowed }
    if ($Reason) { $request.reason = $Reason }
    Add-MigrationOperation -Call $call -Change "Move to the phase $NewPhase" -Operation $request
    Complete-MigrationCall -Call $call -WantsState
}

function Add-ProcessedContainer {
    <#
    .SYNOPSIS
        Records that a container was removed, or that many were.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER ContainerName
        The container's name. Columns of that name, Name or Names.
    .PARAMETER ContainerId
        Its id, as the container engine prints it. Columns of that name, or Id.
    .PARAMETER InputObject
        From the pipeline only: objects whose properties have the names of parameters, such as rows of Import-Csv. All are
        recorded, or none.
    .EXAMPLE
        Add-ProcessedContainer -ContainerName 'guardian-hive' -ContainerId 'abc123def456'
    .EXAMPLE
        Import-Csv removed.csv | Add-ProcessedContainer
    .EXAMPLE
        docker ps -a --format json | ConvertFrom-Json | Add-ProcessedContainer
    #>
    [CmdletBinding(SupportsShouldProcess = $true, DefaultParameterSetName = 'Single')]
    param(
        [Parameter(Position = 0)]
        [string]$StatePath,
        [Parameter(Mandatory = $true, Position = 1, ParameterSetName = 'Single')]
        [Parameter(Position = 1, ParameterSetName = 'Pipeline')]
        [Alias('Names', 'Name')]
        [string]$ContainerName,
        [Parameter(Mandatory = $true, Position = 2, ParameterSetName = 'Single')]
        [Parameter(Position = 2, ParameterSetName = 'Pipeline')]
        [Alias('Id')]
        [string]$ContainerId,
        [Parameter(Mandatory = $true, ValueFromPipeline = $true, ParameterSetName = 'Pipeline')]
        [AllowNull()]
        [object]$InputObject
    )
    begin { $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath }
    process {
        $given = Read-MigrationInput -Call $call -InputObject $InputObject -Columns 'ContainerName Names Name', 'ContainerId Id'
        if (-not $given) { return }
        $name, $id = "$($given.ContainerName)", "$($given.ContainerId)"
        $operation = @{ operation = 'add_processed_container'; name = $name; container_id = $id }
        Add-MigrationOperation -Call $call -Change "Record that container '$name' ($id) was removed" -Operation $operation
    }
    end { Complete-MigrationCall -Call $call }
}

function Add-PreservedData {
    <#
    .SYNOPSIS
        Records where data was saved.
    .DESCRIPTION
        A key that is there already is given the new path. A key that differs from one that is there only in case is refused,
        and so is one that PowerShell reserves, such as psbase.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER DataKey
        What was saved. Columns of that name, or Key.
    .PARAMETER BackupPath
        Where it was saved. Columns of that name, or Path.
    .PARAMETER InputObject
        From the pipeline only: objects whose properties have the names of parameters, such as rows of Import-Csv. All are
        recorded, or none.
    .EXAMPLE
        Add-PreservedData -DataKey 'guardian-hive-config' -BackupPath 'backups/guardian-hive/config.json'
    .EXAMPLE
        Import-Csv saved.csv | Add-PreservedData
    #>
    [CmdletBinding(SupportsShouldProcess = $true, DefaultParameterSetName = 'Single')]
    param(
        [Parameter(Position = 0)]
        [string]$StatePath,
        [Parameter(Mandatory = $true, Position = 1, ParameterSetName = 'Single')]
        [Parameter(Position = 1, ParameterSetName = 'Pipeline')]
        [Alias('Key')]
        [string]$DataKey,
        [Parameter(Mandatory = $true, Position = 2, ParameterSetName = 'Single')]
        [Parameter(Position = 2, ParameterSetName = 'Pipeline')]
        [Alias('Path')]
        [string]$BackupPath,
        [Parameter(Mandatory = $true, ValueFromPipeline = $true, ParameterSetName = 'Pipeline')]
        [AllowNull()]
        [object]$InputObject
    )
    begin { $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath }
    process {
        $given = Read-MigrationInput -Call $call -InputObject $InputObject -Columns 'DataKey Key', 'BackupPath Path'
        if (-not $given) { return }
        $key, $path = "$($given.DataKey)", "$($given.BackupPath)"
        $operation = @{ operation = 'add_preserved_data'; key = $key; backup_path = $path }
        Add-MigrationOperation -Call $call -Change "Record that data '$key' was preserved at '$path'" -Operation $operation
    }
    end { Complete-MigrationCall -Call $call }
}

function Add-NativeProcess {
    <#
    .SYNOPSIS
        Records that a native process was started.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER ProcessName
        What the process is called. Columns of that name, or Name.
    .PARAMETER ProcessId
        Its process id, where it is known. Columns of that name, or Id.
    .PARAMETER InputObject
        From the pipeline only: objects whose properties have the names of parameters, such as rows of Import-Csv. All are
        recorded, or none.
    .EXAMPLE
        Add-NativeProcess -ProcessName 'guardian-hive' -ProcessId 12345
    .EXAMPLE
        Get-Process guardian* | Add-NativeProcess
    #>
    [CmdletBinding(SupportsShouldProcess = $true, DefaultParameterSetName = 'Single')]
    param(
        [Parameter(Position = 0)]
        [string]$StatePath,
        [Parameter(Mandatory = $true, Position = 1, ParameterSetName = 'Single')]
        [Parameter(Position = 1, ParameterSetName = 'Pipeline')]
        [Alias('Name')]
        [string]$ProcessName,
        [Parameter(Position = 2)]
        [Alias('Id')]
        [object]$ProcessId,
        [Parameter(Mandatory = $true, ValueFromPipeline = $true, ParameterSetName = 'Pipeline')]
        [AllowNull()]
        [object]$InputObject
    )
    begin { $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath }
    process {
        $given = Read-MigrationInput -Call $call -InputObject $InputObject -Columns 'ProcessName Name', 'ProcessId Id?'
        if (-not $given) { return }
        $name, $id = "$($given.ProcessName)", "$($given.ProcessId)".Trim()
        $operation = @{ operation = 'add_native_process'; name = $name }
        # As before, 0 is no process. What is no number is refused, with a sentence that shows it.
        if ($id -notin '', '0') { $operation.process_id = if ($id -match '^[0-9]{1,10}$') { [long]$id } else { $id } }
        Add-MigrationOperation -Call $call -Change "Record that process '$name' was started" -Operation $operation
    }
    end { Complete-MigrationCall -Call $call }
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
        Did it pass? $true or $false; true, false, yes, no, 1, 0, passed or failed, as a file may have it.
    .PARAMETER ErrorMessage
        Why it did not.
    .PARAMETER Reason
        Why it counts as passed although a run's test failed, for the reports and the audit log.
    .PARAMETER InputObject
        From the pipeline only: objects whose properties have the names of parameters, such as rows of Import-Csv. All are
        recorded, or none.
    .EXAMPLE
        Add-ValidationResult -Component 'guardian-hive' -TestName 'native_execution_test' -Passed $true
    .EXAMPLE
        Add-ValidationResult -Component 'guardian-hive' -TestName 'api_test' -Passed $false -ErrorMessage 'it answers 500'
    .EXAMPLE
        Add-ValidationResult -Component 'guardian-hive' -TestName 'api_test' -Passed $true -Reason 'OPS-7: the test asks the old port'
    .EXAMPLE
        Import-Csv results.csv | Add-ValidationResult
    #>
    [CmdletBinding(SupportsShouldProcess = $true, DefaultParameterSetName = 'Single')]
    param(
        [Parameter(Position = 0)]
        [string]$StatePath,
        [Parameter(Mandatory = $true, Position = 1, ParameterSetName = 'Single')]
        [Parameter(Position = 1, ParameterSetName = 'Pipeline')]
        [string]$Component,
        [Parameter(Mandatory = $true, Position = 2, ParameterSetName = 'Single')]
        [Parameter(Position = 2, ParameterSetName = 'Pipeline')]
        [Alias('test_name')]
        [string]$TestName,
        [Parameter(Mandatory = $true, Position = 3, ParameterSetName = 'Single')]
        [Parameter(Position = 3, ParameterSetName = 'Pipeline')]
        [object]$Passed,
        [Parameter(Position = 4)]
        [Alias('error_message')]
        [string]$ErrorMessage,
        [Parameter(Position = 5)]
        [string]$Reason,
        [Parameter(Mandatory = $true, ValueFromPipeline = $true, ParameterSetName = 'Pipeline')]
        [AllowNull()]
        [object]$InputObject
    )
    begin { $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath }
    process {
        $given = Read-MigrationInput -Call $call -InputObject $InputObject -Columns 'Component', 'TestName test_name', 'Passed', 'ErrorMessage error_message?', 'Reason?'
        if (-not $given) { return }
        $component, $test = "$($given.Component)", "$($given.TestName)"
        $verdict = ConvertTo-Verdict -Value $given.Passed
        if ($null -eq $verdict) {
            $call.Refusal = "Passed '$($given.Passed)' of '$test' of '$component' is no verdict: write true or false; nothing was recorded."
            return
        }
        $operation = @{ operation = 'add_validation_result'; component = $component; test_name = $test; passed = $verdict }
        if ("$($given.ErrorMessage)") { $operation.error_message = "$($given.ErrorMessage)" }
        if ("$($given.Reason)") { $operation.reason = "$($given.Reason)" }
        $word = if ($verdict) { 'PASSED' } else { 'FAILED' }
        Add-MigrationOperation -Call $call -Change "Record '$test' of '$component': $word" -Operation $operation
    }
    end { Complete-MigrationCall -Call $call }
}

function Remove-ValidationResult {
    <#
    .SYNOPSIS
        Takes validations whose tests no longer exist off the record.
    .DESCRIPTION
        All that are named are taken off the record, or none. Each has its entry in the audit log.

        In a pattern, * stands for any text and ? for one character. [ and ] stand for themselves, other than in the patterns
        of PowerShell, and so does `. A name that is on record means just that one, whatever characters it has.

        A run that did not finish is 'run ID' of the component '(collection)'. One that is alive is taken off the record only
        by that name, not by a pattern.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER Component
        The component that was validated.
    .PARAMETER TestName
        The tests' names, or patterns. Without it, and without a pipeline, every validation of the component.
    .PARAMETER Reason
        Why they no longer exist, for the audit log.
    .PARAMETER InputObject
        From the pipeline only: objects whose properties have the names of parameters, such as rows of Import-Csv. All are
        recorded, or none.
    .EXAMPLE
        Remove-ValidationResult -Component 'guardian-hive' -TestName 'native_execution_test' -Reason 'replaced by test_guardian_hive.py'
    .EXAMPLE
        Remove-ValidationResult -Component 'guardian-hive' -TestName 'api_test', 'tests/test_old.py::*' -Reason 'the files were deleted'
    .EXAMPLE
        Remove-ValidationResult -Component 'guardian-hive' -Reason 'it is no longer a component'
    .EXAMPLE
        (Get-MigrationState).validation_results | Where-Object component -eq 'old' | Remove-ValidationResult -Reason 'it was renamed'
    #>
    [CmdletBinding(SupportsShouldProcess = $true, DefaultParameterSetName = 'Single')]
    param(
        [Parameter(Position = 0)]
        [string]$StatePath,
        [Parameter(Mandatory = $true, Position = 1, ParameterSetName = 'Single')]
        [Parameter(Position = 1, ParameterSetName = 'Pipeline')]
        [string]$Component,
        [Parameter(Position = 2)]
        [Alias('test_name')]
        [string[]]$TestName,
        [Parameter(Mandatory = $true, Position = 3)]
        [string]$Reason,
        [Parameter(Mandatory = $true, ValueFromPipeline = $true, ParameterSetName = 'Pipeline')]
        [AllowNull()]
        [object]$InputObject
    )
    begin { $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath }
    process {
        $given = Read-MigrationInput -Call $call -InputObject $InputObject -Columns 'Component', 'TestName test_name*'
        if (-not $given) { return }
        $component = "$($given.Component)"
        $tests = @(foreach ($one in $given.TestName) { if ("$one") { "$one" } })
        $change = "Forget '$($tests -join "', '")' of '$component'"
        if (-not $tests) {
            # A test may be called '*', and its name means that one alone.
            $tests = @('*', '?*')
            $change = "Forget every validation of '$component'"
        }
        $operation = @{ operation = 'forget_validation'; component = $component; test_name = $tests; reason = $Reason }
        Add-MigrationOperation -Call $call -Change $change -Operation $operation
    }
    end { Complete-MigrationCall -Call $call }
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
    [CmdletBinding(SupportsShouldProcess = $true)]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [bool]$Available
    )
    $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath
    $operation = @{ operation = 'set_rollback_availability'; available = $Available }
    Add-MigrationOperation -Call $call -Change "Record whether rollback is available: $Available" -Operation $operation
    Complete-MigrationCall -Call $call
}

function Set-MigrationError {
    <#
    .SYNOPSIS
        Records an error of the migration, or takes it off the record.
    .DESCRIPTION
        The audit log keeps it. -Clear where there is no error changes nothing.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER ErrorMessage
        What went wrong.
    .PARAMETER Clear
        Take the error off the record.
    .EXAMPLE
        Set-MigrationError -ErrorMessage 'the disk of the new host is full'
    .EXAMPLE
        Set-MigrationError -Clear
    #>
    [CmdletBinding(SupportsShouldProcess = $true, DefaultParameterSetName = 'Message')]
    param(
        [Parameter(Position = 0)]
        [string]$StatePath,
        [Parameter(Mandatory = $true, Position = 1, ParameterSetName = 'Message')]
        [string]$ErrorMessage,
        [Parameter(Mandatory = $true, ParameterSetName = 'Clear')]
        [switch]$Clear
    )
    $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath
    $operation = @{ operation = 'set_error'; message = $ErrorMessage }
    $change = "Record the error '$ErrorMessage'"
    if ($Clear) {
        $operation = @{ operation = 'clear_error' }
        $change = 'Take the error off the record'
    } elseif ($PSBoundParameters.Keys -notcontains 'ErrorMessage') {
        $call.Refusal = 'There is nothing to do with -Clear:$false: give an ErrorMessage, or -Clear.'
    }
    Add-MigrationOperation -Call $call -Change $change -Operation $operation
    Complete-MigrationCall -Call $call
}

function Approve-MigrationRecord {
    <#
    .SYNOPSIS
        Accepts the state as the document has it, although its record is not whole.
    .DESCRIPTION
        That is where Test-MigrationState finds the audit log gone, cut or changed, or changes that were not logged.
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
    [CmdletBinding(SupportsShouldProcess = $true)]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [string]$By,
        [Parameter(Mandatory = $true)]
        [string]$Reason
    )
    $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath
    $operation = @{ operation = 'accept_record'; by = $By; reason = $Reason }
    Add-MigrationOperation -Call $call -Change "Accept the record as the document has it" -Operation $operation
    Complete-MigrationCall -Call $call
}

function Import-MigrationBackup {
    <#
    .SYNOPSIS
        Checks the backup that a manifest describes against its files, and records the result.
    .DESCRIPTION
        Each container of the backup script's backup-manifest.json gets a verdict with the test name 'backup'; if it is passed,
        its folder is recorded as preserved data. Every checksum is computed from the files: what the manifest says of its own
        success is never believed. Returns one object for each container, and warns of each backup that is not safe.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER ManifestPath
        The backup-manifest.json that the backup script wrote.
    .PARAMETER Root
        Where the manifest's backup_root is mounted here, if it is elsewhere.
    .EXAMPLE
        Import-MigrationBackup -ManifestPath 'backups/backup-manifest.json'
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [string]$ManifestPath,
        [string]$Root
    )
    $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath
    if (-not (Confirm-MigrationChange -Call $call -Change "Record the backups of '$ManifestPath'")) { return }
    $request = @{ command = 'import_backup'; manifest = Read-MigrationPath -Call $call -Path $ManifestPath }
    if ($Root) { $request.root = Read-MigrationPath -Call $call -Path $Root }
    $reply = Invoke-MigrationCall -Call $call -Request $request
    if (-not $reply) { return }
    foreach ($backup in $reply.Answers) {
        foreach ($reason in $backup.reasons) { Write-MigrationWarning -Call $call -Message "The backup of '$($backup.container)' is not safe: $reason" }
        $backup
    }
}

function Write-MigrationAuditLog {
    <#
    .SYNOPSIS
        Writes an entry of your own to the audit log.
    .DESCRIPTION
        An entry that cannot be written is a warning, and the migration goes on. Before
        Initialize-MigrationState too, the entry goes into the log, and the migration that begins then continues that log.
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
    [CmdletBinding(SupportsShouldProcess = $true)]
    param(
        [string]$StatePath,
        [Parameter(Mandatory = $true)]
        [string]$Action,
        [Parameter(Mandatory = $true)]
        [string]$Details,
        [ValidateSet('INFO', 'WARNING', 'ERROR')]
        [string]$Level = 'INFO'
    )
    $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath
    if (-not (Confirm-MigrationChange -Call $call -Change "Write the entry '$Action' to the audit log")) { return }
    # PowerShell takes 'info' for INFO, and hands it on as it was typed.
    $request = @{ command = 'log'; action = $Action.ToString(); details = $Details.ToString(); level = $Level.ToUpperInvariant() }
    $reply = Send-MigrationRequest -Call $call -Request $request
    if ($reply.Refusal) { Write-MigrationWarning -Call $call -Message "Failed to write audit log: $($reply.Refusal)" }
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
    $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath
    $reply = Read-MigrationState -Call $call -Request @{ command = 'show' }
    if (-not $reply) { return }
    if ($reply.IsMissing) { return $null }
    $reply.Answers[0]
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
        Get-MigrationAuditLog -Last 20
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [int]$Last = 0
    )
    $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath
    $reply = Read-MigrationState -Call $call -Request @{ command = 'audit'; last = $Last } -What 'Migration audit log'
    if (-not $reply) { return }
    foreach ($entry in $reply.Answers) {
        # The name under which MigrationState.format.ps1xml has the columns.
        $null = Add-Member -InputObject $entry -TypeName 'MigrationState.AuditEntry'
        $entry
    }
}

function Get-MigrationGate {
    <#
    .SYNOPSIS
        Returns whether the gate to Completed is open, and every reason for it to stay shut.
    .DESCRIPTION
        The object has 'phase', 'open' and 'blockers'; each blocker has 'kind', 'component', 'test_name',
        'message' (what is wrong) and 'fix' (what to do). 'overridden' has the passed verdicts that were set by hand over
        a run's failure; they do not keep the gate shut. 'accepted' says who accepted a record that was not whole, and why.
        Where there is no state, it throws: nothing is known of a gate.
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
    $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath
    $allowed = @(foreach ($one in $Allow) { $one.ToLowerInvariant() })
    $reply = Invoke-MigrationCall -Call $call -Request @{ command = 'gate'; require = @($Require); allow = $allowed }
    if ($reply) { $reply.Answers[0] }
}

function Test-MigrationState {
    <#
    .SYNOPSIS
        Checks the audit log's hash chain, and the state against the log. Returns $true or $false.
    .DESCRIPTION
        What was found is written as warnings. Where there is no state, the function warns and returns $false; with
        -PassThru it throws.
    .PARAMETER StatePath
        The state file. Default: $env:MIGRATION_STATE, else migration-state.json in the current folder.
    .PARAMETER PassThru
        Return the report instead: 'sound', 'lines', 'entries', 'problems' and 'notes'.
    .EXAMPLE
        if (-not (Test-MigrationState)) { throw 'do not sign yet' }
    #>
    [CmdletBinding()]
    param(
        [string]$StatePath,
        [switch]$PassThru
    )
    $call = New-MigrationCall -Caller $PSCmdlet -Bound $PSBoundParameters -StatePath $StatePath
    $request = @{ command = 'verify' }
    if ($PassThru) {
        $reply = Invoke-MigrationCall -Call $call -Request $request
        if ($reply) { $reply.Answers[0] }
        return
    }
    $reply = Read-MigrationState -Call $call -Request $request
    if (-not $reply) { return }
    if ($reply.IsMissing) { return $false }
    $VerbosePreference = $call.VerbosePreference
    $report = $reply.Answers[0]
    foreach ($problem in $report.problems) { Write-MigrationWarning -Call $call -Message $problem.message }
    foreach ($note in $report.notes) { $null = Write-Verbose -Message $note }
    $report.sound
}

# --- how the entries of the log are shown -------------------------------------------------------------------

Update-FormatData -AppendPath (Join-Path -Path $PSScriptRoot -ChildPath 'MigrationState.format.ps1xml') -WhatIf:$false -Confirm:$false
