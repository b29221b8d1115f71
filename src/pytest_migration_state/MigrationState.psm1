# The functions of MigrationState.ps1 as a module: the helpers among them stay the module's own.
. (Join-Path -Path $PSScriptRoot -ChildPath 'MigrationState.ps1')
if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
    Write-Warning -Message 'In this language mode a module cannot see the -WhatIf, -Confirm and -ErrorAction of the script that calls it: give them to each function, or load the functions with: . (migration-state powershell)'
}
Export-ModuleMember -Function @(
    'Initialize-MigrationState'
    'Set-MigrationPhase'
    'Add-ProcessedContainer'
    'Add-PreservedData'
    'Add-NativeProcess'
    'Add-ValidationResult'
    'Remove-ValidationResult'
    'Set-RollbackAvailability'
    'Set-MigrationError'
    'Approve-MigrationRecord'
    'Import-MigrationBackup'
    'Write-MigrationAuditLog'
    'Get-MigrationState'
    'Get-MigrationAuditLog'
    'Get-MigrationGate'
    'Test-MigrationState'
)
