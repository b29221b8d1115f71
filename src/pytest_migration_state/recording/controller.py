"""The hooks of xdist's controller: what it hands to its workers, and what they hand back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state.recording.guard import guarded
from pytest_migration_state.recording.plan import as_keys
from pytest_migration_state.recording.worker_plans import WorkerPlans
from pytest_migration_state.recording.xdist_protocol import ADDED, ENDED, NOTICES, worker_slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_migration_state.recording.nested import RecordingProcess
    from pytest_migration_state.recording.plan import Plan
    from pytest_migration_state.types import JsonObject, Key


class Controller:
    """Hands the workers of xdist what they need, and takes their plans.

    :param handed: what each worker is handed besides the folder for its plan.
    :param record_plan: called with the plan of a worker and its slot.
    :param add_test: called with a test that was marked while it ran, and its validations.
    :param when_ended: called with a test whose end was not reported.
    :param add_problem: called with what went wrong with the recording.
    :param notices: what the workers have to say to users is added to it.
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
        self.plans = WorkerPlans(config)
        self.workers: set[object] = set()
        self._notices = notices
        self._handed = handed | {"plans": str(self.plans.folder)}
        self._record_plan = record_plan
        self._add_test = add_test
        self._when_ended = when_ended
        self.add_problem = add_problem

    def slot_of(self, report: Any) -> object:
        """Return the worker slot of a report, if each test runs on every worker."""
        return worker_slot(report.node) if self.plans.on_every_worker else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand a worker what it needs."""
        self.workers.add(worker_slot(node))
        node.workerinput["migration_state"] = self._handed

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    @guarded
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        try:
            plan = self.plans.read(node)
        except (OSError, ValueError) as error:
            unread = f"the plan of worker {node.gateway.id} could not be read ({error})"
            self.add_problem(f"{unread}; tests on other machines cannot be recorded")
            return
        if plan is not None:
            self._record_plan(plan, worker_slot(node))
            self.plans.note_recorded()

    @pytest.hookimpl(optionalhook=True)
    @guarded
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker hands over at its end. One that was killed hands over nothing."""
        output: JsonObject = getattr(node, "workeroutput", {})
        self._notices += output.get(NOTICES, ())
        for name, keys in output.get(ADDED, {}).items():
            self._add_test(name, as_keys(keys))
        for name in output.get(ENDED, ()):
            if not self.plans.on_every_worker:
                self._when_ended(name)
