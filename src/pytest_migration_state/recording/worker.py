"""The plugin object on an xdist worker: sends the plan to the controller, and makes reports sendable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state.recording.collection import CollectionWatch
from pytest_migration_state.recording.running import RunningTests
from pytest_migration_state.recording.sanitize import sanitize, sanitize_unsendable_reports
from pytest_migration_state.recording.stash import tracker_key
from pytest_migration_state.recording.xdist_protocol import ADDED, ENDED, NOTICES

if TYPE_CHECKING:
    import warnings

    from pytest_migration_state import MigrationTracker
    from pytest_migration_state.types import Key


class Worker:
    """Writes the plan to a file for the controller, before xdist reports the collection.

    Only the controller records.
    """

    def __init__(self, config: pytest.Config, handed: dict[str, str]) -> None:
        worker_id: str = config.workerinput["workerid"]  # type: ignore[attr-defined]  # set by xdist
        self._plan_file = Path(handed["plans"]) / f"{worker_id}.json"
        self._watch = CollectionWatch(config)
        self._running = RunningTests(self._watch, self._when_ended, self._when_added)
        # The tests whose end xdist does not report, because pytest did not report it.
        self._ended: list[str] = []
        self._added: dict[str, list[Key]] = {}
        config.pluginmanager.register(self._watch, "migration_state_collection")
        config.pluginmanager.register(self._running, "migration_state_running")
        self._config = config
        self._notices: list[str] = []
        self._handed = handed
        self._tracker: MigrationTracker | None = None
        config.stash[tracker_key] = self._get_tracker
        sanitize_unsendable_reports(config.pluginmanager)

    def _get_tracker(self) -> MigrationTracker:
        """Return the tracker, loading it on first use: without it a worker starts in half the time."""
        if self._tracker is None:
            from pytest_migration_state import MigrationTracker

            self._tracker = MigrationTracker(
                self._handed["path"], run_id=self._handed["run_id"], notify=self._notices.append
            )
        return self._tracker

    def _when_ended(self, name: str) -> None:
        if not self._running.has_logfinish:
            self._ended.append(name)

    def _when_added(self, name: str, keys: list[Key]) -> None:
        self._added[name] = keys

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._running.tag_safely(report)

    def pytest_runtest_logfinish(self) -> None:
        self._running.has_logfinish = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._watch.finish(session)
        self._running.begin(session)
        temporary = self._plan_file.with_suffix(".tmp")
        try:
            # ASCII: a lone surrogate in a node id must not prevent writing the plan.
            temporary.write_text(json.dumps(self._watch.plan.to_object()), encoding="ascii")
            temporary.replace(self._plan_file)
        except OSError:
            # The controller finds no plan and reports it; the tests go on.
            return

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Make a warning sendable: xdist ends a worker that cannot send a warning."""
        text = str(warning_message.message)
        if (sendable := sanitize(text)) != text:
            warning_message.message = sendable

    def pytest_sessionfinish(self) -> None:
        """Send the notices, and the tests that no report covers, to the controller."""
        output: dict[str, Any] = self._config.workeroutput  # type: ignore[attr-defined]  # set by xdist
        output[NOTICES] = [sanitize(notice) for notice in self._notices]
        output[ENDED] = sanitize(self._ended)
        output[ADDED] = sanitize(self._added)

    def pytest_unconfigure(self) -> None:
        if self._tracker is not None:
            self._tracker.close()
