"""What pytest collected, as the plan of a run: which tests are validations of which components.

The same on a single process and on xdist's workers; a plan crosses to the controller as JSON.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_migration_state.core.text import storable
from pytest_migration_state.recording.left_out import LeftOut
from pytest_migration_state.recording.verdicts import short_reason

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_migration_state.core.document import Key

MARKER: Final = "migration_component"
#: Names under which records are kept that belong to no component; see ``core.gate``, which workers do not load.
_RESERVED: Final = frozenset({"(collection)", "(unknown)"})


@dataclasses.dataclass
class Plan:
    """What one process collected.

    A test is called by its node id; where several share one, the second and those after it have their number added.

    :ivar tests: the validations of each selected test.
    :ivar deselected: the same of each test that was collected and not selected.
    :ivar alike: the tests that share a node id, by that.
    :ivar failed: why each file (or other collector) could not be collected, by its node id.
    :ivar skipped: why each file was skipped as a whole, by its node id.
    :ivar collected: node ids of the collectors that could be collected.
    :ivar unseen: the digest of each file that was left out without a look at it, by its node id.
    :ivar files: the digests of all files that were looked at, with a space between them.
    :ivar node_ids: the node id that a person would type, where that under which a test reports is another (xdist adds a group's name).
    :ivar is_whole: whether the collection came to its end.
    :ivar is_refused: whether pytest itself refused what it was asked for: a place that does not exist, a wrong ``-k``.
    """

    tests: dict[str, list[Key]] = dataclasses.field(default_factory=dict)
    deselected: dict[str, list[Key]] = dataclasses.field(default_factory=dict)
    alike: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    collected: list[str] = dataclasses.field(default_factory=list)
    unseen: dict[str, str] = dataclasses.field(default_factory=dict)
    files: str = ""
    node_ids: dict[str, str] = dataclasses.field(default_factory=dict)
    is_whole: bool = False
    is_refused: bool = False

    def to_object(self) -> dict[str, Any]:
        return vars(self)

    @classmethod
    def from_object(cls, value: dict[str, Any]) -> Plan:
        plan = cls(**value)
        plan.tests = {name: as_keys(keys) for name, keys in plan.tests.items()}
        plan.deselected = {name: as_keys(keys) for name, keys in plan.deselected.items()}
        return plan


def as_keys(keys: Iterable[Iterable[str]]) -> list[Key]:
    """Validations that have crossed from a worker, where a tuple becomes a list."""
    return [(component, name) for component, name in keys]


class MarkerError(ValueError):
    """A marker or hook that names no component."""


def keys_of(item: pytest.Item, name: str) -> list[Key]:
    """The validations that ``item`` is; none where it is not marked.

    Of several levels (function, class, module) that are marked, the closest counts; all markers on it count together.

    :param name: what its validations are called where no marker says so: the node id as it was collected.
    :raises MarkerError: a marker or the hook does not name components as it should; the message says how.
    """
    marked = list(item.iter_markers_with_node(MARKER))
    keys: list[Key] = []
    for node, marker in marked:
        if node is not marked[0][0]:
            break
        if surplus := marker.kwargs.keys() - {"test_name"}:
            raise MarkerError(f"the marker {MARKER} has no argument {min(surplus)!r}")
        if not marker.args:
            raise MarkerError(f'the marker {MARKER} names no component; write @pytest.mark.{MARKER}("name")')
        keys += _keys(marker.args, marker.kwargs.get("test_name"), name, f"the marker {MARKER}")
    if not marked:
        named = item.ihook.pytest_migration_component(item=item)
        if named is not None:
            names = (named,) if isinstance(named, str) or not isinstance(named, Iterable) else tuple(named)
            keys += _keys(names, None, name, "the hook pytest_migration_component")
    return list(dict.fromkeys(keys))


def _keys(components: tuple[object, ...], test_name: object, name: str, origin: str) -> list[Key]:
    for component in components:
        if not isinstance(component, str) or not component.strip():
            raise MarkerError(f"{origin} names {component!r} as a component; a name is text and not empty")
        if component.strip() in _RESERVED:
            raise MarkerError(f"{origin} names {component!r} as a component; that name is reserved, choose another")
    if test_name is not None and (not isinstance(test_name, str) or not test_name.strip()):
        raise MarkerError(f"{origin} has test_name={test_name!r}; a name is text and not empty")
    return [(storable(str(component)), storable(test_name or name)) for component in components]


class CollectionWatch:
    """Watches a collection and makes the plan of it.

    :ivar plan: complete after :meth:`finish`.
    :ivar names: what each collected item is called in the plan, by the item's identity; ``None`` where it is not marked.
    :ivar claimed: which test has each validation.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.plan = Plan()
        self.names: dict[int, str | None] = {}
        self.claimed: dict[Key, str] = {}
        self._with_properties = bool(config.getoption("xmlpath", None))
        # With the node ids as collected: xdist adds a group's name, and other plugins remove items without a word.
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
        """Make the plan, once every plugin has done to the items what it does. A collection that was interrupted gives none."""
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
                item.user_properties.extend((MARKER, component) for component, _ in self.plan.tests.get(name or "", ()))
        for node_id, messages in planner.problems.items():
            # A collection error: the run does not go on without a word. Under the test's own name, so that a run of others
            # in its file does not settle it.
            report = pytest.CollectReport(nodeid=node_id, outcome="failed", longrepr="\n".join(messages), result=[])
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
    """Whether both are one test of a file that was collected twice, since it was named twice. Two tests of one collector are two."""
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
