"""The command line: ``migration-state``."""
