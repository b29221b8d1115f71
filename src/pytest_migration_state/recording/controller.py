"""The hooks of xdist's controller: they send data to the workers and receive their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state.recording.guard import guarded
from pytest_migration_state.recording.plan import as_keys
from pytest_migration_state.recording.worker_plans import WorkerPlans
from pytest_migration_state.recording.xdist_protocol import ADDED, CRASHED, ENDED, NOTICES, worker_slot
from pytest_migration_state.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_migration_state.recording.nested import RecordingProcess
    from pytest_migration_state.recording.plan import Plan
    from pytest_migration_state.types import JsonObject, Key


class Controller:
    """Sends the workers of xdist the data that they need, and receives their plans.

    :param handed: data for each worker, besides the folder for its plan.
    :param record_plan: called with the plan of a worker and the worker's slot.
    :param add_test: called with a test that was marked while it ran, and its validations.
    :param when_ended: called with a test whose end was not reported.
    :param add_problem: called with a problem of the recording, as a sentence.
    :param notices: a list to which the workers' notices for users are added.
    :ivar workers: the slots of all workers.
    """

    def __init__(
        self,
        config: pytest.Config,
        process: RecordingProcess,
        handed: dict[str, str],
        *,
        record_plan: Callable[[Plan, object], None],
        add_test: Callable[[str, list[Key]], None],
        when_ended: Callable[[str], object],
        add_problem: Callable[[str], None],
        notices: list[str],
    ) -> None:
        self.process = process
        self._config = config
        # The slots of the workers that have not finished their collection.
        self._collecting: set[object] = set()
        self._marker_errors = 0
        self.plans = WorkerPlans(config)
        self.workers: set[object] = set()
        self._notices = notices
        self._handed = handed | {"plans": str(self.plans.folder)}
        self._record_plan = record_plan
        self._add_test = add_test
        self._when_ended = when_ended
        self.add_problem = add_problem

    def slot_of(self, report: Any) -> object:
        """Return the worker slot of a report; ``None`` if each test runs on one worker only."""
        return worker_slot(report.node) if self.plans.on_every_worker else None

    def lacks_plan_of(self, report: pytest.TestReport) -> bool:
        """Return True if the worker crashed and a plan is missing, so the components may be unknown."""
        return report.when == CRASHED and self.plans.lacks_one

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Send a worker the data that it needs."""
        self.workers.add(worker_slot(node))
        self._collecting.add(worker_slot(node))
        node.workerinput["migration_state"] = self._handed

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    @guarded
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        try:
            plan = self.plans.read(node)
        except (OSError, ValueError) as error:
            unread = f"the plan of worker {node.gateway.id} could not be read ({error})"
            self.add_problem(f"{unread}; tests on other machines cannot be recorded")
            plan = None
        if plan is not None:
            self._marker_errors = max(self._marker_errors, plan.marker_errors)
            self._record_plan(plan, worker_slot(node))
            self.plans.note_recorded()
        self._end_collection(worker_slot(node))

    def _end_collection(self, slot: object) -> None:
        """Note that a worker collects no longer. After the last one, end a run with wrong markers.

        pytest runs no test after a collection error, but xdist does.
        """
        self._collecting.discard(slot)
        if self._collecting or self._config.option.continue_on_collection_errors:
            return
        if self._marker_errors:
            raise pytest.Session.Interrupted(f"{counted(self._marker_errors, 'error')} during collection")

    @pytest.hookimpl(optionalhook=True)
    @guarded
    def pytest_testnodedown(self, node: Any) -> None:
        """Receive the data that a worker sends at its end. A killed worker sends nothing."""
        output: JsonObject = getattr(node, "workeroutput", {})
        self._notices += output.get(NOTICES, ())
        for name, keys in output.get(ADDED, {}).items():
            self._add_test(name, as_keys(keys))
        for name in output.get(ENDED, ()):
            if not self.plans.on_every_worker:
                self._when_ended(name)
        self._end_collection(worker_slot(node))
