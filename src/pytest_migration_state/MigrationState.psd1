@{
    RootModule = 'MigrationState.psm1'
    ModuleVersion = '0.1.0'
    GUID = '0d5c2f0e-4f0b-4f2c-9f6e-6a1d6c6f3b57'
    Author = 'The pytest-migration-state maintainers'
    CompanyName = 'pytest-migration-state'
    Copyright = '(c) The pytest-migration-state maintainers. MIT license.'
    Description = 'The state of a migration: phases, containers, processes, validation results, gate and audit log.'
    PowerShellVersion = '5.1'
    CompatiblePSEditions = @('Desktop', 'Core')
    FunctionsToExport = @(
        'Initialize-MigrationState',
        'Set-MigrationPhase',
        'Add-ProcessedContainer',
        'Add-PreservedData',
        'Add-NativeProcess',
        'Add-ValidationResult',
        'Remove-ValidationResult',
        'Set-RollbackAvailability',
        'Set-MigrationError',
        'Approve-MigrationRecord',
        'Import-MigrationBackup',
        'Write-MigrationAuditLog',
        'Get-MigrationState',
        'Get-MigrationAuditLog',
        'Get-MigrationGate',
        'Test-MigrationState'
    )
    CmdletsToExport = @()
    VariablesToExport = @()
    AliasesToExport = @()
    PrivateData = @{ PSData = @{ Tags = @('migration', 'docker', 'pytest', 'validation') } }
}
