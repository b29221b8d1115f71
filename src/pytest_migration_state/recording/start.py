"""How a recorded run begins: the options' values are taken, or refused."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_migration_state import plugin
from pytest_migration_state.core.document import open_runs
from pytest_migration_state.core.errors import InvalidArgumentError, MigrationStateError
from pytest_migration_state.core.gate import RESERVED, Policy
from pytest_migration_state.core.liveness import liveness_of
from pytest_migration_state.core.tracker import MigrationTracker
from pytest_migration_state.recording.recorder import INSIDE_RUN, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Options under which pytest collects or prepares tests without running them: nothing is recorded then.
_PASSIVE = {
    "collectonly": "--collect-only",
    "setuponly": "--setup-only",
    "setupplan": "--setup-plan",
    "showfixtures": "--fixtures",
    "show_fixtures_per_test": "--fixtures-per-test",
    "markers": "--markers",
    "cacheshow": "--cache-show",
    "help": "--help",
    "version": "--version",
}


def start(config: pytest.Config) -> None:
    """Have this run recorded, in the one process or as xdist's controller.

    :raises pytest.UsageError: an option has a value that it cannot have.
    """
    given = config.option.migration_state
    if not given.strip():
        raise pytest.UsageError("--migration-state: the path is empty; name the migration state, such as migration-state.json")
    # Where pytest was started, whatever a test or a conftest does to the working directory later.
    path = config.invocation_params.dir / Path(given).expanduser()
    policy = _policy(config)
    passive = passive_option(config) or _outer_run(path)
    try:
        recorder = Recorder(config, path, policy, complete=config.option.migration_complete, passive=passive)
    except MigrationStateError as error:
        raise pytest.UsageError(f"--migration-state: {error}") from error
    config.stash[plugin.recorder_key] = recorder
    config.pluginmanager.register(recorder, "migration_state_recorder")


def passive_option(config: pytest.Config) -> str | None:
    """The option under which this run runs no tests, in words; ``None`` where it runs them."""
    return next((f"under {option}" for name, option in _PASSIVE.items() if config.getoption(name, None)), None)


def _outer_run(path: Path) -> str | None:
    """The run inside which this one was started, in words, where both are to record in one state: the outer one does."""
    run_id, _, outer_path = os.environ.get(INSIDE_RUN, "").partition(" ")
    if not outer_path or outer_path != os.path.realpath(path):
        return None
    # A process that outlives its run hands the variable on.
    with contextlib.suppress(MigrationStateError), contextlib.closing(MigrationTracker(path, notify=lambda _: None)) as tracker:
        run = open_runs(tracker.read()).get(run_id)
        if run is not None and liveness_of({run_id: run})[run_id] != "dead":
            return f"inside run {run_id}, which records in the same state"
    return None


def _policy(config: pytest.Config) -> Policy:
    def both(option: str) -> Iterable[str]:
        return dict.fromkeys([*config.getini(option), *config.getoption(option)])

    if reserved := sorted(RESERVED.intersection(both("migration_require"))):
        raise pytest.UsageError(f"--migration-require: the name {reserved[0]!r} is reserved; name a component")
    if not all(name.strip() for name in both("migration_require")):
        raise pytest.UsageError("--migration-require: the name is empty; name a component")
    try:
        return Policy(require=tuple(both("migration_require")), allow=frozenset(both("migration_allow")))
    except InvalidArgumentError as error:
        raise pytest.UsageError(f"--migration-allow: {error}") from error
