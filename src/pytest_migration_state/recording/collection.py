"""What pytest collected, as the plan of a run: which tests are validations of which components.

The same on a single process and on xdist's workers; a plan crosses to the controller as JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state.core.text import storable
from pytest_migration_state.recording.verdicts import short_reason

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_migration_state.core.document import Key

MARKER = "migration_component"


@dataclasses.dataclass
class Plan:
    """What one process collected.

    :ivar tests: the validations of each selected test, by its node id.
    :ivar deselected: the same of each test that was collected and not selected.
    :ivar failed: why each file (or other collector) could not be collected, by its node id.
    :ivar skipped: why each file was skipped as a whole, by its node id.
    :ivar collected: node ids of the collectors that could be collected.
    :ivar node_ids: the node id that a person would type, where that under which a test reports is another (xdist adds a group's name).
    :ivar is_whole: did the collection come to its end?
    """

    tests: dict[str, list[Key]] = dataclasses.field(default_factory=dict)
    deselected: dict[str, list[Key]] = dataclasses.field(default_factory=dict)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    collected: list[str] = dataclasses.field(default_factory=list)
    node_ids: dict[str, str] = dataclasses.field(default_factory=dict)
    is_whole: bool = False

    def to_object(self) -> dict[str, Any]:
        return vars(self)

    @classmethod
    def from_object(cls, value: dict[str, Any]) -> Plan:
        plan = cls(**value)
        plan.tests = {node_id: [(component, name) for component, name in keys] for node_id, keys in plan.tests.items()}
        plan.deselected = {node_id: [(component, name) for component, name in keys] for node_id, keys in plan.deselected.items()}
        return plan


class MarkerError(ValueError):
    """A marker or hook that names no component."""


def keys_of(item: pytest.Item, node_id: str) -> list[Key]:
    """The validations that ``item`` is; none where it is not marked.

    :param node_id: the item's node id as it was collected (xdist adds a group's name to it).
    :raises MarkerError: the marker or the hook does not name components as it should; the message says how.
    """
    marker = item.get_closest_marker(MARKER)
    if marker is not None:
        names, test_name = marker.args, marker.kwargs.get("test_name")
        if surplus := marker.kwargs.keys() - {"test_name"}:
            raise MarkerError(f"the marker {MARKER} has no argument {min(surplus)!r}")
        if not names:
            raise MarkerError(f'the marker {MARKER} names no component; write @pytest.mark.{MARKER}("name")')
        origin = f"the marker {MARKER}"
    else:
        named = item.ihook.pytest_migration_component(item=item)
        if named is None:
            return []
        names, test_name = (named,) if isinstance(named, str) or not isinstance(named, Iterable) else tuple(named), None
        origin = "the hook pytest_migration_component"
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise MarkerError(f"{origin} names {name!r} as a component; a name is text and not empty")
    if test_name is not None and (not isinstance(test_name, str) or not test_name.strip()):
        raise MarkerError(f"{origin} has test_name={test_name!r}; a name is text and not empty")
    name = storable(test_name or node_id)
    return [(storable(component), name) for component in dict.fromkeys(names)]


class CollectionWatch:
    """Watches a collection and makes the plan of it."""

    def __init__(self, config: pytest.Config) -> None:
        self.plan = Plan()
        self._with_properties = bool(config.getoption("xmlpath", None))
        # With the node ids as collected: xdist adds a group's name, and other plugins remove items without a word.
        self._items: list[tuple[pytest.Item, str]] = []

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self._items.append((item, item.nodeid))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        # The session itself has no node id; it fails where a hook that collects does.
        name = report.nodeid or "."
        if not report.passed:
            (self.plan.failed if report.failed else self.plan.skipped)[name] = short_reason(report)
        elif report.result:
            # With --lf pytest reports files that it did not look at as collected and empty: that settles nothing.
            self.plan.collected.append(name)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session) -> Generator[None]:
        """Look at the items once every other plugin has had its way with them."""
        yield
        selected = {id(item): item for item in session.items}
        # An item that is named twice is collected twice; and plugins make items of their own.
        items = {id(item): (item, node_id) for item, node_id in self._items}
        items |= {known: (item, item.nodeid) for known, item in selected.items() if known not in items}
        claimed: dict[Key, str] = {}
        twins: dict[str, pytest.Item] = {}
        problems: dict[str, list[str]] = {}
        for item, node_id in items.values():
            try:
                keys = keys_of(item, node_id)
            except MarkerError as error:
                problems.setdefault(node_id, []).append(f"{node_id}: {error}")
                continue
            if not keys:
                continue
            # A file that is named twice may be collected twice, into two modules with the same tests: they are one. Two tests
            # of one collector are two, whatever they are called.
            twin = twins.setdefault(item.nodeid, item)
            is_another = twin is not item and twin.parent is item.parent
            for component, name in (key for key in keys if claimed.setdefault(key, node_id) != node_id or is_another):
                first = claimed[component, name]
                message = f"{node_id}: the validation '{name}' of '{component}' is that of {first} too; give one another test_name"
                problems.setdefault(node_id, []).append(message)
            if node_id in problems:
                continue
            chosen = self.plan.tests if id(item) in selected else self.plan.deselected
            chosen[item.nodeid] = keys
            if item.nodeid != node_id:
                self.plan.node_ids[item.nodeid] = node_id
            if self._with_properties:
                item.user_properties.extend((MARKER, component) for component, _ in keys)
        self._items.clear()
        for node_id, messages in problems.items():
            # A collection error: the run does not go on without a word. Under the test's own name, so that a run of others
            # in its file does not settle it.
            report = pytest.CollectReport(nodeid=node_id, outcome="failed", longrepr="\n".join(messages), result=[])
            session.ihook.pytest_collectreport(report=report)
        self.plan.is_whole = True
