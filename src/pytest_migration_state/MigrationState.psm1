# The functions of MigrationState.ps1 as a module. The manifest says which of them are exported.
. (Join-Path -Path $PSScriptRoot -ChildPath 'MigrationState.ps1')
if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
    Write-Warning -Message 'In this language mode a module cannot see the -WhatIf, -Confirm and -ErrorAction of the script that calls it: give them to each function, or load the functions with: . (migration-state powershell)'
}
