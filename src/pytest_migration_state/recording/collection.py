"""What pytest collected, as a plan. The same in a single process and on xdist's workers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_migration_state.recording.attempts import short_reason
from pytest_migration_state.recording.left_out import LeftOut
from pytest_migration_state.recording.marker import MARKER, MarkerError, keys_of
from pytest_migration_state.recording.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_migration_state.types import Key


class CollectionWatch:
    """Watches a collection and makes the plan of it.

    :ivar plan: complete after :meth:`finish`.
    :ivar names: what each collected item is called in the plan, by the item's identity; ``None`` where it is
        not marked.
    :ivar claimed: which test has each validation.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.plan = Plan()
        self.names: dict[int, str | None] = {}
        self.claimed: dict[Key, str] = {}
        self._with_properties = bool(config.getoption("xmlpath", None))
        # With the node ids as collected: xdist adds a group's name, and other plugins remove items without a
        # word.
        self._items: list[tuple[pytest.Item, str]] = []
        self._left_out = LeftOut(config)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self._items.append((item, item.nodeid))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        # The session itself has no node id; it fails where a hook that collects does.
        name = report.nodeid or "."
        if not report.passed:
            (self.plan.failed if report.failed else self.plan.skipped)[name] = short_reason(report)
        elif report.nodeid not in self._left_out.unseen:
            self.plan.collected.append(name)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self) -> Generator[None]:
        yield
        self.plan.is_whole = True

    def finish(self, session: pytest.Session) -> None:
        """Make the plan, once every plugin has done to the items what it does.

        A collection that was interrupted gives none.
        """
        if not self.plan.is_whole:
            # pytest calls its hook also where it is about to end with an error.
            self.plan.is_refused = _is_refusal(sys.exc_info()[1])
            return
        self.plan.unseen, self.plan.files = self._left_out.unseen, self._left_out.files()
        selected = {id(item): item for item in session.items}
        # An item that is named twice is collected twice; and plugins make items of their own.
        items = {id(item): (item, node_id) for item, node_id in [*self._items, *self._left_out.items]}
        items |= {known: (item, item.nodeid) for known, item in selected.items() if known not in items}
        planner = _Planner(self)
        for item, node_id in items.values():
            planner.add(item, node_id, is_selected=id(item) in selected)
        if self._with_properties:
            for item in selected.values():
                name = self.names[id(item)]
                item.user_properties.extend(
                    (MARKER, component) for component, _ in self.plan.tests.get(name or "", ())
                )
        for node_id, messages in planner.problems.items():
            # A collection error: the run does not go on without a word. Under the test's own name, so that a
            # run of others in its file does not settle it.
            report = pytest.CollectReport(
                nodeid=node_id, outcome="failed", longrepr="\n".join(messages), result=[]
            )
            session.ihook.pytest_collectreport(report=report)


def _is_refusal(error: BaseException | None) -> bool:
    """Whether pytest itself raised the usage error, and not a conftest or a plugin."""
    if not isinstance(error, pytest.UsageError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith("_pytest.")


class _Planner:
    """Gives each item its place in the plan.

    :ivar problems: what is wrong with the markers of a test, by its node id.
    """

    def __init__(self, watch: CollectionWatch) -> None:
        self.problems: dict[str, list[str]] = {}
        self._watch, self._plan = watch, watch.plan
        # Those that share a node id, by the node id under which they report.
        self._twins: dict[str, list[tuple[pytest.Item, str]]] = {}
        # Under which a test was collected.
        self._node_ids: set[str] = set()

    def add(self, item: pytest.Item, node_id: str, *, is_selected: bool) -> None:
        """Take one item.

        :param node_id: under which it was collected.
        """
        node_id = _stable_node_id(item, node_id)
        names, plan = self._watch.names, self._plan
        name, twin = self._name(item)
        if twin is not None:
            # The same test, collected twice.
            names[id(item)] = names[id(twin)]
            if is_selected and (keys := plan.deselected.pop(name, None)):
                plan.tests[name] = keys
            return
        names[id(item)] = None
        number = name[len(item.nodeid) :] if node_id in self._node_ids else ""
        self._node_ids.add(node_id)
        try:
            keys = keys_of(item, node_id + number)
        except MarkerError as error:
            self._report(node_id, f"{node_id}: {error}")
            return
        clashes = [key for key in keys if self._watch.claimed.setdefault(key, name) != name]
        for component, test_name in clashes:
            first = self._watch.claimed[component, test_name]
            message = f"{node_id}: the validation '{test_name}' of '{component}' is that of {first} too; give one another test_name"
            self._report(node_id, message)
        if keys and not clashes:
            names[id(item)] = name
            (plan.tests if is_selected else plan.deselected)[name] = keys
            if name != node_id:
                plan.node_ids[name] = node_id

    def _report(self, node_id: str, problem: str) -> None:
        self.problems.setdefault(node_id, []).append(problem)

    def _name(self, item: pytest.Item) -> tuple[str, pytest.Item | None]:
        """What the item is called in the plan, and the item that is the same test collected before, where there is one."""
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
    """Whether both are one test of a file that was collected twice, since it was named twice.

    Two tests of one collector are two.
    """
    was_collected_again = file_of(item) is not file_of(twin)
    return was_collected_again and item.path == twin.path and item.listnames() == twin.listnames()


def file_of(item: pytest.Item) -> object:
    """The collector of the file that the item is in; ``None`` where it is in none."""
    return next((node for node in reversed(item.listchain()) if isinstance(node, pytest.File)), None)


def _stable_node_id(item: pytest.Item, node_id: str) -> str:
    """The node id, with the path relative to rootdir also where the file lies outside: pytest then gives equal ids to different files."""
    root = item.config.rootpath
    if item.path.is_relative_to(root):
        return node_id
    try:
        path = os.path.relpath(item.path, root)
    except ValueError:  # on another drive
        path = str(item.path)
    return path.replace(os.sep, "/") + "".join(node_id.partition("::")[1:])
