"""pytest's entry point: options, marker, fixture and hooks.

Every run of pytest loads this module, with or without the option, so it imports pytest and the standard library alone. The
recording itself is loaded where ``--migration-state`` is given.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pytest_migration_state import hookspecs

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pytest_migration_state import MigrationTracker
    from pytest_migration_state.recording.recorder import Recorder

#: Gives the tracker that the fixture hands out; present only in a run that is recorded.
tracker_key: pytest.StashKey[Callable[[], MigrationTracker]] = pytest.StashKey()
#: What records the run; present only where ``--migration-state`` is given.
recorder_key: pytest.StashKey[Recorder] = pytest.StashKey()

_ALLOWABLE = ("skipped", "deselected", "xfailed")
_MARKER = (
    "migration_component(*names, test_name=None): the test validates these components of a migration; with --migration-state its "
    "outcome is recorded for each of them as the validation test_name (by default the node id)"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("migration-state", "migration validation")
    group.addoption(
        "--migration-state",
        metavar="PATH",
        help="record the outcomes of marked tests in the migration state at PATH (created if missing)",
    )
    group.addoption(
        "--migration-complete",
        action="store_true",
        help="at the end, move the migration from Validation to Completed if the gate is open; if it is not, exit with at least 1",
    )
    group.addoption(
        "--migration-require",
        action="append",
        default=[],
        metavar="NAME",
        help="the gate stays shut until this component has a verdict (repeatable)",
    )
    group.addoption(
        "--migration-allow",
        action="append",
        default=[],
        metavar="REASON",
        help=f"do not let this keep the gate shut: {', '.join(_ALLOWABLE)} (repeatable)",
    )
    parser.addini("migration_require", "components that must have a verdict before the gate opens", type="args", default=[])
    parser.addini("migration_allow", f"what does not keep the gate shut: {', '.join(_ALLOWABLE)}", type="args", default=[])


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    if handed := getattr(config, "workerinput", {}).get("migration_state"):
        from pytest_migration_state.recording.worker import Worker

        config.pluginmanager.register(Worker(config, handed), "migration_state_worker")
    elif hasattr(config, "workerinput"):
        return
    elif config.option.migration_state is not None:
        from pytest_migration_state.recording.start import start

        start(config)
    else:
        _refuse_orphans(config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, int | pytest.ExitCode | None, int | pytest.ExitCode | None]:
    """Have the last word on the exit status: other plugins and ``pytest.exit(returncode=0)`` may have set it after the run's end."""
    try:
        status = yield
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            left.code = _answered(config, left.code)
        raise
    return _answered(config, status)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """A conftest that exits while it is imported ends pytest before there is a run: not as a success, if one was to be recorded."""
    try:
        return (yield)
    except SystemExit as left:
        is_success = left.code is None or (isinstance(left.code, int) and says_success(left.code))
        if is_success and getattr(early_config.known_args_namespace, "migration_state", None) is not None:
            _tell(f"a conftest exited with status {left.code or 0} while it was imported; no test ran and nothing is recorded")
            left.code = 1
        raise


def _answered(config: pytest.Config, status: int | pytest.ExitCode | None) -> int | pytest.ExitCode | None:
    """The status, raised where it would call a run successful that did not do what it was asked to."""
    if config.option.migration_state is None or hasattr(config, "workerinput") or not says_success(status):
        return status
    recorder = config.stash.get(recorder_key, None)
    if recorder is None:
        from pytest_migration_state.recording.start import passive_option

        why = None if passive_option(config) else "the session did not begin, and nothing is recorded"
    else:
        why = None if recorder.is_sound else recorder.why_not_sound
    if why is None:
        return status
    if recorder is None or not recorder.has_told:
        _tell(why)
    return pytest.ExitCode.TESTS_FAILED


def _tell(why: str) -> None:
    sys.stderr.write(f"migration-state: {why}\n")


def says_success(status: int | pytest.ExitCode | None) -> bool:
    """Will the run be taken for a successful one? The operating system keeps the last byte alone: 256 is seen as 0."""
    return not (status or 0) % 256


def _refuse_orphans(config: pytest.Config) -> None:
    """An option that would guard a recorded run must not be given in vain: the run would only look guarded."""
    given = {
        "--migration-complete": config.option.migration_complete,
        "--migration-require": config.option.migration_require,
        "--migration-allow": config.option.migration_allow,
    }
    for option, value in given.items():
        if value:
            raise pytest.UsageError(f"{option} does nothing without --migration-state=PATH: name the migration state")


@pytest.fixture(scope="session")
def migration_state(request: pytest.FixtureRequest) -> MigrationTracker:
    """The tracker of this run's migration: where things stand, and operations on it. Skips where the run is not recorded."""
    tracker = request.config.stash.get(tracker_key, None)
    if tracker is None:
        pytest.skip("no migration is recorded: run with --migration-state=PATH")
    return tracker()
