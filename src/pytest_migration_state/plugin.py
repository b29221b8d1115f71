"""The entry point for pytest: options, marker, fixture and hooks.

Every run of pytest loads this module, with or without the option. So the module imports only pytest, the
standard library and the table of settings, from which the options are derived. The recording itself is loaded
only if ``--migration-state`` is given.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pytest_migration_state import hookspecs
from pytest_migration_state.domain.policy import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_migration_state import MigrationTracker
    from pytest_migration_state.recording.stash import Recording

_MARKER = (
    "migration_component(*names, test_name=None): the test validates these components of a migration; "
    "with --migration-state its outcome is recorded for each of them as the validation test_name "
    "(by default the node id)"
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
        help="at the end, move the migration from Validation to Completed if the gate is open; "
        "if it is not, exit with at least 1",
    )
    for setting in SETTINGS:
        help_text = f"{setting.full_help} (repeatable)"
        group.addoption(
            f"--migration-{setting.option}",
            metavar=setting.metavar,
            action="append",
            default=[],
            help=help_text,
        )
        parser.addini(f"migration_{setting.name}", setting.full_help, type="args", default=[])


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
        from pytest_migration_state.recording.setup import start

        start(config)
    else:
        _refuse_orphans(config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(
    config: pytest.Config,
) -> Generator[None, int | pytest.ExitCode | None, int | pytest.ExitCode | None]:
    """Check the exit status last.

    Other plugins and ``pytest.exit(returncode=0)`` may have set the status after the end of the run.
    """
    try:
        status = yield
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            left.code = _checked_status(config, left.code)
        raise
    return _checked_status(config, status)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Raise a successful exit status if a conftest ended a run that should be recorded during its import."""
    try:
        return (yield)
    except SystemExit as left:
        from pytest_migration_state.recording.stash import says_success

        is_success = left.code is None or (isinstance(left.code, int) and says_success(left.code))
        if is_success and getattr(early_config.known_args_namespace, "migration_state", None) is not None:
            exited = f"a conftest exited with status {left.code or 0} while it was imported"
            _complain(f"{exited}; no test ran and nothing is recorded")
            left.code = 1
        raise


def _checked_status(
    config: pytest.Config, status: int | pytest.ExitCode | None
) -> int | pytest.ExitCode | None:
    """Return the exit status, raised to a failure if the run did not do everything that was requested."""
    if config.option.migration_state is None or hasattr(config, "workerinput"):
        return status
    from pytest_migration_state.recording.stash import recorder_key, says_success

    if not says_success(status):
        return status
    recorder = config.stash.get(recorder_key, None)
    why = _why_not_sound(config, recorder)
    if why is None:
        return status
    if recorder is None or not recorder.has_reported:
        _complain(why)
    return pytest.ExitCode.TESTS_FAILED


def _why_not_sound(config: pytest.Config, recorder: Recording | None) -> str | None:
    """Return the reason why the run is not sound; ``None`` if it did everything that was requested."""
    if recorder is not None:
        return None if recorder.is_sound else recorder.why_not_sound or ""
    from pytest_migration_state.recording.setup import passive_option

    if passive_option(config) is not None:
        return None
    return "the session did not begin, and nothing is recorded"


def _complain(why: str) -> None:
    sys.stderr.write(f"migration-state: {why}\n")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Report markers that are wrong in themselves where nothing is recorded, too."""
    if session.config.option.migration_state is not None:
        return
    marked = [item for item in session.items if item.get_closest_marker("migration_component")]
    if marked:
        from pytest_migration_state.recording.marker import check_unrecorded

        check_unrecorded(session, marked)


def _refuse_orphans(config: pytest.Config) -> None:
    """Refuse an option that guards a recorded run if nothing is recorded: the run would only look guarded."""
    given = {
        "--migration-complete": config.option.migration_complete,
        **{
            f"--migration-{setting.option}": config.getoption(f"migration_{setting.name}")
            for setting in SETTINGS
        },
    }
    for option, value in given.items():
        if value:
            raise pytest.UsageError(
                f"{option} does nothing without --migration-state=PATH: name the migration state"
            )


@pytest.fixture(scope="session")
def migration_state(request: pytest.FixtureRequest) -> MigrationTracker:
    """Return the tracker of this run's migration. Skip the test if the run is not recorded."""
    from pytest_migration_state.recording.stash import tracker_key

    tracker = request.config.stash.get(tracker_key, None)
    if tracker is None:
        pytest.skip("no migration is recorded: run with --migration-state=PATH")
    return tracker()
