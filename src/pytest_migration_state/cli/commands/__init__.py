"""The commands: plain functions that return their exit status, each with its arguments beside it.

The commands decide nothing: the rules are in ``domain``, and their errors become an exit status in
:mod:`~pytest_migration_state.cli.main`.
"""
