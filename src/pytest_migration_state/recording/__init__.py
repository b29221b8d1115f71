"""Records a run of pytest in the migration state.

Loaded only with --migration-state; xdist's workers load only the modules that they need.
"""
