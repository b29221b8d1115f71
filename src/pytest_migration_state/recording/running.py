"""Which test a report is about: the report says its node id, and the item that is running says the rest.

The same on a single process and on xdist's workers. A report that its node id alone does not tie to a test of the plan is
given a tag, which crosses to the controller with it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_migration_state.recording.collection import MARKER, CollectionWatch, MarkerError, keys_of
from pytest_migration_state.recording.verdicts import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

#: The attribute of a report that holds its tag: a dict with some of the keys below.
TAG: Final = "migration_state"
#: The test that the report is about, as the plan calls it.
TEST: Final = "test"
#: The validations that the test is, where a marker was added after the collection.
KEYS: Final = "keys"
#: What earlier reports of such a test said (see :class:`Attempt`).
BEFORE: Final = "before"
#: The tests whose fixture may be what failed here.
IN_DOUBT: Final = "in_doubt"
#: In words, why the report can be tied to no test.
PROBLEM: Final = "problem"


class RunningTests:
    """Knows the item that is running, and ties each report to its test.

    :param watch: what was collected.
    :param ended: called with a test's name in the plan when its item has run, whatever was reported of it.
    :ivar has_logfinish: has pytest said, of the item that is running, that it has ended? For the use of who hears that.
    """

    def __init__(self, watch: CollectionWatch, ended: Callable[[str], None]) -> None:
        self._watch, self._when_ended = watch, ended
        self._item: pytest.Item | None = None
        self._next: pytest.Item | None = None
        # Reports of the item that is running, for as long as it is not marked.
        self._unmarked_reports: list[pytest.TestReport] = []
        # Node ids that one test of the plan has for itself; those of items that are not marked.
        self._planned: set[str] = set()
        self._unmarked: set[str] = set()
        # Marked items that have begun, and how many markers the one that is running had.
        self._begun: list[pytest.Item] = []
        self._markers = 0
        self.has_logfinish = False

    def begin(self, items: Iterable[pytest.Item]) -> None:
        """Take what was collected, once the plan is made."""
        plan, names = self._watch.plan, self._watch.names
        ambiguous = {name for node_id, alike in plan.alike.items() for name in (node_id, *alike)}
        self._planned = {*plan.tests, *plan.deselected} - ambiguous
        self._unmarked = {item.nodeid for item in items if names.get(id(item)) is None} - self._planned - ambiguous

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
        outer = self._item, self._next
        self._item, self._next = item, nextitem
        self._unmarked_reports.clear()
        self._markers, self.has_logfinish = len(item.own_markers), False
        name = self._watch.names.get(id(item))
        if name is not None:
            self._begun.append(item)
        try:
            result = yield
        finally:
            self._item, self._next = outer
        if (name := self._watch.names.get(id(item))) is not None:
            self._when_ended(name)
        return result

    def tag(self, report: pytest.TestReport) -> None:
        """Tie ``report`` to its test, where its node id alone does not."""
        node_id = report.nodeid
        if node_id in self._planned:
            if report.when == "teardown":
                self._look_for_more_components(report)
            return
        item = self._item
        if item is None:
            if report.failed and node_id not in self._unmarked:
                _set(report, PROBLEM, f"a report of '{node_id}' that failed belongs to no test that was collected")
            return
        name = self._watch.names.get(id(item))
        if name is not None:
            _set(report, TEST, name)
        elif id(item) not in self._watch.names or MARKER in item.keywords:
            self._take_late(item, report)
        else:
            self._unmarked_reports.append(report)
            if report.when == "teardown" and report.failed:
                self._look_for_doubts(item, report)

    # --- markers that were added after the collection ---

    def _take_late(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """An item that the plan does not have, and that may be marked by now."""
        name = item.nodeid if item.nodeid not in self._watch.plan.alike else f"{item.nodeid} (added)"
        keys = self._keys_now(item, name, report)
        if not keys:
            self._watch.names.setdefault(id(item), None)
            self._unmarked_reports.append(report)
            return
        self._watch.names[id(item)] = name
        self._begun.append(item)
        self._markers = len(item.own_markers)
        before = Attempt()
        for earlier in self._unmarked_reports:
            before.add(earlier)
        _set(report, TEST, name)
        _set(report, KEYS, keys)
        _set(report, BEFORE, dataclasses.asdict(before))

    def _look_for_more_components(self, report: pytest.TestReport) -> None:
        """A test of the plan may have been given one more marker while it ran."""
        item = self._item
        if item is None or len(item.own_markers) == self._markers:
            return
        name = self._watch.names.get(id(item))
        if name is not None and name == report.nodeid and (keys := self._keys_now(item, self._watch.plan.node_ids.get(name, name), report)):
            _set(report, KEYS, keys)

    def _keys_now(self, item: pytest.Item, name: str, report: pytest.TestReport) -> list[tuple[str, str]]:
        try:
            keys = keys_of(item, name)
        except MarkerError as error:
            _set(report, PROBLEM, f"{item.nodeid}: {error}")
            return []
        owner = self._watch.names.get(id(item)) or name
        for component, test_name in keys:
            first = self._watch.claimed.setdefault((component, test_name), owner)
            if first != owner:
                message = f"{item.nodeid}: the validation '{test_name}' of '{component}' is that of {first} too; give one another test_name"
                _set(report, PROBLEM, message)
                return []
        return keys

    # --- fixtures that are shared ---

    def _look_for_doubts(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """A test that is not marked failed at its teardown: a fixture that it shares with marked tests may be what failed."""
        remaining = set(map(id, self._next.listchain())) if self._next is not None else set()
        torn_down = {id(node) for node in item.listchain() if id(node) not in remaining}
        doubtful = [self._watch.names[id(other)] for other in self._begun if _owners_of_fixtures(other) & torn_down]
        if doubtful:
            _set(report, IN_DOUBT, doubtful)


def _owners_of_fixtures(item: pytest.Item) -> set[int]:
    """The nodes, by identity, with which the fixtures of ``item`` that outlive it are torn down."""
    information = getattr(item, "_fixtureinfo", None)  # pytest has no public way to ask for it
    found = information.name2fixturedefs.values() if information else ()
    scopes = {definitions[-1].scope for definitions in found}
    return {id(node) for node in item.listchain() if _owns(node, item, scopes)}


def _owns(node: object, item: pytest.Item, scopes: set[str]) -> bool:
    """Is a fixture of one of these scopes torn down with ``node``, one of those that ``item`` is in?"""
    if isinstance(node, pytest.Session):
        return "session" in scopes
    if isinstance(node, pytest.Directory):
        # Which of the folders above it is the package, only pytest knows.
        return "package" in scopes
    if isinstance(node, pytest.Class):
        return "class" in scopes
    return isinstance(node, pytest.File) and ("module" in scopes or ("class" in scopes and item.getparent(pytest.Class) is None))


def _set(report: pytest.TestReport, key: str, value: Any) -> None:
    tag = report.__dict__.setdefault(TAG, {})
    tag[key] = value
