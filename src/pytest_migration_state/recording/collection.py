"""Makes a plan of the tests that pytest collected, in a single process and on xdist's workers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_migration_state.domain.runs import clash_name
from pytest_migration_state.recording.attempts import short_reason
from pytest_migration_state.recording.left_out import LeftOut
from pytest_migration_state.recording.marker import MARKER, MarkerError, keys_of, report_wrong_markers
from pytest_migration_state.recording.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from pytest_migration_state.types import Key


class CollectionWatch:
    """Watches a collection and makes a plan of it.

    :ivar plan: complete after :meth:`finish`.
    :ivar names: the name of each collected item in the plan, by the item's identity; ``None`` if the item is
        not marked.
    :ivar claimed: the name of the test that each validation belongs to.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.plan = Plan()
        self.names: dict[int, str | None] = {}
        self.claimed: dict[Key, str] = {}
        self._with_properties = bool(config.getoption("xmlpath", None))
        # With the node ids at collection: xdist adds a group's name later, and some plugins remove items
        # without reporting them as deselected.
        self._items: list[tuple[pytest.Item, str]] = []
        self._left_out = LeftOut(config)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self._items.append((item, item.nodeid))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            # The session itself has no node id; its report fails if a collecting hook raises.
            name = report.nodeid or "."
            (self.plan.failed if report.failed else self.plan.skipped)[name] = short_reason(report)
        elif report.nodeid and report.nodeid not in self._left_out.unseen:
            # The session passes in every run, also in one that does not look at the root folder.
            self.plan.collected.append(report.nodeid)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self) -> Generator[None]:
        yield
        self.plan.is_whole = True

    def finish(self, session: pytest.Session) -> None:
        """Make the plan, after every plugin has changed the items.

        An interrupted collection leaves the plan empty.
        """
        if not self.plan.is_whole:
            # pytest calls the hook for the end of the collection even if it is about to end with an error.
            self.plan.is_refused = _is_refusal(sys.exc_info()[1])
            return
        self.plan.unseen = self._left_out.unseen
        self.plan.files = self._left_out.files()
        selected = {id(item): item for item in session.items}
        planner = _Planner(self)
        for item, node_id in self._all_items(selected):
            planner.add(item, node_id, is_selected=id(item) in selected)
        if self._with_properties:
            self._add_properties(selected.values())
        planner.report_problems(session)

    def _all_items(self, selected: dict[int, pytest.Item]) -> Iterable[tuple[pytest.Item, str]]:
        """Return each item once, with its node id: collected, left out by a plugin, or made by a plugin."""
        items = {id(item): (item, node_id) for item, node_id in [*self._items, *self._left_out.items]}
        for identity, item in selected.items():
            items.setdefault(identity, (item, item.nodeid))
        return items.values()

    def _add_properties(self, items: Iterable[pytest.Item]) -> None:
        """Add the components of each test to its properties in the JUnit report."""
        for item in items:
            keys = self.plan.tests.get(self.names[id(item)] or "", ())
            item.user_properties.extend((MARKER, component) for component, _ in keys)


def _is_refusal(error: BaseException | None) -> bool:
    """Return True if pytest itself raised the usage error, and not a conftest or a plugin."""
    if not isinstance(error, pytest.UsageError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith("_pytest.")


class _Planner:
    """Adds the collected items to the plan, one by one."""

    def __init__(self, watch: CollectionWatch) -> None:
        self._watch = watch
        self._plan = watch.plan
        # The problems of wrong markers, by the node id of the test, or of both if two tests clash.
        self._problems: dict[str, list[str]] = {}
        # The items that share a node id, with their names, by the node id under which they report.
        self._twins: dict[str, list[tuple[pytest.Item, str]]] = {}
        # Node ids under which tests were collected.
        self._node_ids: set[str] = set()
        # Whether each path is below rootdir.
        self._is_inside: dict[Path, bool] = {}

    def add(self, item: pytest.Item, node_id: str, *, is_selected: bool) -> None:
        """Add one item.

        :param node_id: the node id under which the item was collected.
        """
        node_id = self._stable_node_id(item, node_id)
        names, plan = self._watch.names, self._plan
        name, twin = self._name(item)
        if twin is not None:
            names[id(item)] = names[id(twin)]
            if is_selected:
                self._select(name)
            return
        names[id(item)] = None
        number = name[len(item.nodeid) :] if node_id in self._node_ids else ""
        self._node_ids.add(node_id)
        keys = self._valid_keys(item, name, node_id, number)
        if keys:
            names[id(item)] = name
            (plan.tests if is_selected else plan.deselected)[name] = keys
            if name != node_id:
                plan.node_ids[name] = node_id

    def _stable_node_id(self, item: pytest.Item, node_id: str) -> str:
        """Return the node id with the path relative to rootdir, even for a file outside of rootdir.

        pytest gives equal node ids to different files outside of rootdir.
        """
        path = item.path
        is_inside = self._is_inside.get(path)
        if is_inside is None:
            is_inside = self._is_inside[path] = path.is_relative_to(item.config.rootpath)
        return node_id if is_inside else _node_id_outside(item, node_id)

    def report_problems(self, session: pytest.Session) -> None:
        """Report a collection error for each test with wrong markers, so that the user sees the problem."""
        self._plan.marker_errors = len(self._problems)
        for node_id, messages in self._problems.items():
            report_wrong_markers(session, node_id, messages)

    def _select(self, name: str) -> None:
        """Select a test that was deselected when it was collected first."""
        if keys := self._plan.deselected.pop(name, None):
            self._plan.tests[name] = keys

    def _valid_keys(self, item: pytest.Item, name: str, node_id: str, number: str) -> list[Key]:
        """Return the validations of an item; none, and add problems, if its markers are wrong.

        :param number: added to the node id to make the name of a validation unique.
        """
        try:
            keys = keys_of(item, node_id + number)
        except MarkerError as error:
            self._add_problem(node_id, f"{node_id}: {error}")
            return []
        claimed = self._watch.claimed
        clashes = [key for key in keys if claimed.setdefault(key, name) != name]
        for key in clashes:
            # A run of one of the two must not settle it.
            both = clash_name(claimed[key], node_id)
            self._add_problem(both, clash_in_words(node_id, key, claimed[key]))
        return [] if clashes else keys

    def _add_problem(self, node_id: str, problem: str) -> None:
        self._problems.setdefault(node_id, []).append(problem)

    def _name(self, item: pytest.Item) -> tuple[str, pytest.Item | None]:
        """Return the name of an item in the plan, and its twin: the same test, if it was collected before."""
        twins = self._twins.setdefault(item.nodeid, [])
        for twin, name in twins:
            if _is_same_test(item, twin):
                return name, twin
        name = item.nodeid if not twins else f"{item.nodeid} ({len(twins) + 1})"
        twins.append((item, name))
        if len(twins) > 1:
            self._plan.alike[item.nodeid] = [name for _, name in twins]
        return name, None


def _is_same_test(item: pytest.Item, twin: pytest.Item) -> bool:
    """Return True if both items are one test, of a file that was collected twice because it was given twice.

    Two tests of the same collector are different tests.
    """
    was_collected_again = file_of(item) is not file_of(twin)
    return was_collected_again and item.path == twin.path and item.listnames() == twin.listnames()


def clash_in_words(node_id: str, key: Key, owner: str) -> str:
    """Return the message for a test that claims a validation of another test, ``owner``."""
    component, test_name = key
    validation = f"the validation '{test_name}' of '{component}'"
    return f"{node_id}: {validation} is that of {owner} too; give one another test_name"


def file_of(item: pytest.Item) -> object:
    """Return the collector of the item's file; ``None`` if the item is not in a file."""
    return next((node for node in reversed(item.listchain()) if isinstance(node, pytest.File)), None)


def _node_id_outside(item: pytest.Item, node_id: str) -> str:
    """Return the node id of a file outside of rootdir with the path relative to rootdir."""
    root = item.config.rootpath
    try:
        path = os.path.relpath(item.path, root)
    except ValueError:  # on another drive
        path = str(item.path)
    return path.replace(os.sep, "/") + "".join(node_id.partition("::")[1:])
