"""The plugin object on one of xdist's workers: it says what it collected and makes its reports fit to cross."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state import plugin
from pytest_migration_state.core.tracker import MigrationTracker
from pytest_migration_state.recording.collection import CollectionWatch

if TYPE_CHECKING:
    from collections.abc import Generator


class Worker:
    """Only the controller records; a worker hands it its plan in a file, before it reports its collection."""

    def __init__(self, config: pytest.Config, handed: dict[str, str]) -> None:
        self._plan_file = Path(handed["plans"]) / f"{config.workerinput['workerid']}.json"  # type: ignore[attr-defined]  # set by xdist
        self._watch = CollectionWatch(config)
        config.pluginmanager.register(self._watch, "migration_state_collection")
        config.stash[plugin.tracker_key] = MigrationTracker(handed["path"], run_id=handed["run_id"])

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self) -> None:
        temporary = self._plan_file.with_suffix(".tmp")
        try:
            # ASCII: a lone surrogate in a node id must not keep the plan from being written.
            temporary.write_text(json.dumps(self._watch.plan.to_object()), encoding="ascii")
            temporary.replace(self._plan_file)
        except OSError:
            # The controller finds no plan and says so; the tests go on.
            return

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_report_to_serializable(self) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
        """Make a report fit to cross: a value that cannot would take the verdict of its test, or the worker, with it."""
        data = yield
        return None if data is None else plain(data)


_PLAIN = frozenset({int, float, bool, bytes, type(None)})


def plain(value: Any) -> Any:  # noqa: PLR0911  # a line a type
    """``value`` with nothing in it that cannot be sent: lone surrogates escaped, unknown objects as their ``repr``."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    try:
        return plain(repr(value))
    except Exception:  # noqa: BLE001  # an object whose repr fails is still only a remark on a report
        return f"<{type(value).__name__}>"
