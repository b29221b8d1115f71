"""The commands: plain functions that return their exit status, each with its arguments beside it.

Nothing is decided here: the rules are those of ``domain``, and what they raise becomes an exit status in
:mod:`~pytest_migration_state.cli.main`.
"""
