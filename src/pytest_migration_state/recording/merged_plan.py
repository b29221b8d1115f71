"""The merged plans of all processes of a run, kept by the controller or the single process."""

from __future__ import annotations

import collections
import itertools
from typing import TYPE_CHECKING

from pytest_migration_state.domain.policy import COLLECTION, UNKNOWN
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import Look
from pytest_migration_state.text import to_storable, to_storable_message, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.recording.plan import Plan
    from pytest_migration_state.recording.selection import Selection
    from pytest_migration_state.types import JsonObject, Key


class MergedPlan:
    """The plans of all processes of a run. Tests are identified by their names in the plan.

    :param selection: the tests that the run was asked to run.
    :param on_every_worker: True if each test runs on every worker (xdist's ``--dist=each``).
    :ivar tests: the validations of each test.
    :ivar alike: the names of the tests that share a node id, by node id.
    :ivar slots: the worker slots that collected a test, or ran it, under ``--dist=each``.
    :ivar workers: the slots of all workers.
    :ivar is_planned: True if the plan of every process that is needed has arrived.
    :ivar is_refused: True if pytest itself refused its arguments.
    """

    def __init__(self, selection: Selection, *, on_every_worker: bool) -> None:
        self.tests: dict[str, list[Key]] = {}
        self.alike: dict[str, list[str]] = {}
        self.slots: dict[str, set[object]] = collections.defaultdict(set)
        self.workers: set[object] = set()
        self.is_planned = self.is_refused = False
        self._selection = selection
        self._on_every_worker = on_every_worker
        self._node_ids: dict[str, str] = {}
        self._uncollected: set[str] = set()
        self._planned: set[Key] = set()
        self._whole: set[object] = set()

    def node_id(self, name: str) -> str:
        """Return the node id that a person would type to run a test."""
        return self._node_ids.get(name, name)

    def add(self, plan: Plan, slot: object) -> list[JsonObject]:
        """Add the plan of one process, and return the entries of validations that become outstanding."""
        if plan.is_whole:
            self._whole.add(slot)
            self.is_planned = not self._on_every_worker or self._whole >= self.workers
        self.is_refused = self.is_refused or plan.is_refused
        self._node_ids |= plan.node_ids
        self.alike |= plan.alike
        entries: list[JsonObject] = []
        for name, keys in plan.tests.items():
            if self._on_every_worker:
                self.slots[name].add(slot)
            entries += self.add_test(name, keys)
        for name, keys in plan.deselected.items():
            # If the test runs nevertheless, its result counts.
            self.tests.setdefault(name, keys)
            entries += self._new(name, keys, "deselected")
        self._uncollected |= plan.failed.keys() | plan.skipped.keys()
        entries += _uncollected_files("collection_error", plan.failed)
        entries += _uncollected_files("skipped", plan.skipped)
        return entries

    def add_test(self, name: str, keys: list[Key]) -> list[JsonObject]:
        """Add a test that will run, and return the entries of validations that become outstanding."""
        self.tests[name] = keys
        entries = self._new(name, keys, "pending")
        self._planned.update(keys)
        return entries

    def _new(self, name: str, keys: list[Key], reason: str) -> list[JsonObject]:
        now = utc_now()
        node_id = self.node_id(name)
        return [outstanding(now, key, reason, None, node_id) for key in keys if key not in self._planned]

    def collected(self, plan: Plan) -> list[str]:
        """Return the node ids that a process collected, except any that another process could not collect."""
        names = itertools.chain(plan.collected, plan.tests, plan.deselected)
        node_ids = (self.node_id(name) for name in names)
        return [to_storable(node_id) for node_id in node_ids if node_id not in self._uncollected]

    def look(self, plan: Plan) -> Look:
        """Return the scope of a process's collection: the files that it collected or left out."""
        selection = self._selection
        return Look(
            selection=selection.full,
            files=plan.files,
            unseen={to_storable(name): digest for name, digest in plan.unseen.items()},
            chosen_by_plugin=selection.chosen_by_plugin,
            why=selection.narrowed_by or "left out by a plugin",
            project=selection.project,
        )

    def add_unknown(self, node_id: str) -> None:
        """Add a test whose worker crashed before its plan arrived, so that its components are unknown."""
        self.tests.setdefault(node_id, [(UNKNOWN, to_storable(node_id))])


def _uncollected_files(reason: str, files: dict[str, str]) -> Iterator[JsonObject]:
    """Yield the outstanding entries of files that were not collected.

    :param files: the detail of the reason, by file.
    """
    for file, detail in files.items():
        yield outstanding(utc_now(), (COLLECTION, to_storable(file)), reason, to_storable_message(detail))
