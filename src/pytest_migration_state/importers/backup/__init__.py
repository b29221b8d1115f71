"""The backups of the operators' PowerShell script, checked against their files."""
