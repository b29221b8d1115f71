"""The plugin object on one of xdist's workers: it says what it collected and makes its reports fit to cross."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state import plugin
from pytest_migration_state.recording.collection import CollectionWatch
from pytest_migration_state.recording.running import RunningTests

if TYPE_CHECKING:
    import warnings
    from collections.abc import Generator

    from pytest_migration_state import MigrationTracker
    from pytest_migration_state.core.document import Key


class Worker:
    """Only the controller records; a worker hands it its plan in a file, before it reports its collection."""

    def __init__(self, config: pytest.Config, handed: dict[str, str]) -> None:
        self._plan_file = Path(handed["plans"]) / f"{config.workerinput['workerid']}.json"  # type: ignore[attr-defined]  # set by xdist
        self._watch = CollectionWatch(config)
        self._running = RunningTests(self._watch, self._when_ended, self._when_added)
        # The tests whose end xdist does not report, since pytest did not.
        self._ended: list[str] = []
        self._added: dict[str, list[Key]] = {}
        config.pluginmanager.register(self._watch, "migration_state_collection")
        config.pluginmanager.register(self._running, "migration_state_running")
        self._config = config
        self._notices: list[str] = []
        self._handed = handed
        self._tracker: MigrationTracker | None = None
        config.stash[plugin.tracker_key] = self._get_tracker
        send_reports_in_any_case(config.pluginmanager)

    def _get_tracker(self) -> MigrationTracker:
        """Loaded when the first test asks for it: without it a worker starts in half the time."""
        if self._tracker is None:
            from pytest_migration_state import MigrationTracker

            self._tracker = MigrationTracker(self._handed["path"], run_id=self._handed["run_id"], notify=self._notices.append)
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
            # ASCII: a lone surrogate in a node id must not keep the plan from being written.
            temporary.write_text(json.dumps(self._watch.plan.to_object()), encoding="ascii")
            temporary.replace(self._plan_file)
        except OSError:
            # The controller finds no plan and says so; the tests go on.
            return

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Make a warning fit to cross: one that cannot would take the worker with it."""
        text = str(warning_message.message)
        if (sendable := plain(text)) != text:
            warning_message.message = sendable

    def pytest_sessionfinish(self) -> None:
        """What a person should know is told once, by the controller."""
        output: dict[str, Any] = self._config.workeroutput  # type: ignore[attr-defined]  # set by xdist
        output[NOTICES] = [plain(notice) for notice in self._notices]
        output[ENDED] = plain(self._ended)
        output[ADDED] = plain(self._added)

    def pytest_unconfigure(self) -> None:
        if self._tracker is not None:
            self._tracker.close()


def send_reports_in_any_case(plugins: pytest.PytestPluginManager) -> None:
    """Have each report sent: a value that cannot cross would take the verdict of its test, or the worker, with it.

    Nearly every report can cross, and to look through each of them before would cost more than to record it. So it is done where
    sending failed, inside xdist's own plugin: to every hook around it nothing has happened. That plugin has no public name; where it
    is not known by its method, every report is looked through.
    """
    xdist: Any = next((found for found in plugins.get_plugins() if hasattr(found, "sendevent")), None)
    if xdist is None:
        plugins.register(ReportsMadeFit())
        return
    send = xdist.sendevent

    def sendevent(name: str, **content: Any) -> None:
        try:
            send(name, **content)
        except Exception:
            if name not in {"testreport", "collectreport"}:
                raise
            # A channel that is closed says so again.
            send(name, **plain(content))

    xdist.sendevent = sendevent


class ReportsMadeFit:
    """Makes every report fit to cross."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_report_to_serializable(self) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
        data = yield
        return None if data is None else plain(data)


#: Under which key of its output a worker hands its notices to the controller, the tests whose end was not reported, and those that
#: were marked while they ran and then ended the worker's run.
NOTICES = "migration_state_notices"
ENDED = "migration_state_ended"
ADDED = "migration_state_added"

_PLAIN = frozenset({int, float, bool, bytes, type(None)})
#: Numbers beyond these are sent as text: execnet sends none below, and other limits lie beyond.
_SMALLEST, _LARGEST = -(2**31), 2**63
#: How deep a report may be nested: pytest's own need a third of this.
_DEPTH = 30


def plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """``value`` with nothing in it that cannot be sent: lone surrogates escaped, unknown objects as their ``repr``.

    :param above: the containers that it stands in, by identity: one that contains itself would have no end.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value if kind is not int or _SMALLEST <= value <= _LARGEST else _label(value)
    if kind is str:
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if id(value) not in above and len(above) < _DEPTH:
        inside = (*above, id(value))
        if isinstance(value, dict):
            return {plain(key if type(key) in _PLAIN else _label(key)): plain(item, inside) for key, item in value.items()}
        if isinstance(value, (list, set, frozenset)):
            return [plain(item, inside) for item in value]
        if isinstance(value, tuple):
            return tuple([plain(item, inside) for item in value])
    return plain(_label(value))


def _label(value: object) -> str:
    """A text for an object that is none (or a kind of text of its own)."""
    if isinstance(value, str):
        return str.__str__(value)
    try:
        return str.__str__(repr(value))
    except Exception:  # noqa: BLE001  # an object whose repr fails is still only a remark on a report
        return f"<{type(value).__name__}>"
