"""The start of a recorded run: validates the options and registers the recorder."""

from __future__ import annotations

from typing import Final

import pytest

from pytest_migration_state.domain.policy import SETTINGS, Policy
from pytest_migration_state.errors import InvalidArgumentError, MigrationStateError
from pytest_migration_state.recording.nested import outer_run
from pytest_migration_state.recording.recorder import RecorderPlugin
from pytest_migration_state.recording.stash import recorder_key
from pytest_migration_state.tracking.run_writer import located

#: Options with which pytest does not run tests, so that nothing is recorded.
_PASSIVE: Final = {
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
    """Record this run, in the single process or as xdist's controller.

    :raises pytest.UsageError: the value of an option is invalid.
    """
    given = config.option.migration_state
    if not given.strip():
        raise pytest.UsageError(
            "--migration-state: the path is empty; name the migration state, such as migration-state.json"
        )
    # Relative to where pytest was started, even if a test or a conftest changes the working directory later.
    path = located(given, config.invocation_params.dir)
    policy = _policy(config)
    passive = passive_option(config) or outer_run(path)
    try:
        recorder = RecorderPlugin(config, path, policy, passive=passive)
    except MigrationStateError as error:
        raise pytest.UsageError(f"--migration-state: {error}") from error
    config.stash[recorder_key] = recorder
    config.pluginmanager.register(recorder, "migration_state_recorder")


def passive_option(config: pytest.Config) -> str | None:
    """Return, in words, the option because of which this run runs no tests; ``None`` if there is none."""
    return next(
        (f"under {option}" for name, option in _PASSIVE.items() if config.getoption(name, None)), None
    )


def _policy(config: pytest.Config) -> Policy:
    """Return the policy from the options and the ini file together."""
    found: dict[str, list[str]] = {}
    for setting in SETTINGS:
        option = f"migration_{setting.name}"
        found[setting.name] = [*config.getini(option), *config.getoption(option)]
    try:
        return Policy.of(found)
    except InvalidArgumentError as error:
        raise pytest.UsageError(f"--migration-{error.argument.replace('_', '-')}: {error}") from error
