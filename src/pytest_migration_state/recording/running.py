"""Which test a report is about: the report says its node id, and the item that is running says the rest.

The same on a single process and on xdist's workers. A report that its node id alone does not tie to a test of
the plan is given a tag, which crosses to the controller with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_migration_state.recording.attempts import Attempt
from pytest_migration_state.recording.collection import CollectionWatch, file_of
from pytest_migration_state.recording.marker import MARKER, MarkerError, keys_of
from pytest_migration_state.text import error_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pytest_migration_state.types import Key

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
#: Every other outcome is that of a failure, also one that a plugin calls by another name, such as "rerun".
_GOOD: Final = frozenset({"passed", "skipped"})


class RunningTests:
    """Knows the item that is running, and ties each report to its test.

    :param watch: what was collected.
    :param ended: called with a test's name in the plan when its item has run, whatever was reported of it.
    :param added: called with a test's name and validations where it was marked while it ran and then ended
        its run.
    :ivar has_logfinish: whether pytest has said of the item that is running that it has ended. Set by whoever
        hears that.
    """

    def __init__(
        self, watch: CollectionWatch, ended: Callable[[str], None], added: Callable[[str, list[Key]], None]
    ) -> None:
        self.watch, self._when_ended, self._when_added = watch, ended, added
        self._item: pytest.Item | None = None
        # Reports of the item that is running, for as long as it is not marked.
        self._unmarked_reports: list[pytest.TestReport] = []
        # Node ids that one test of the plan has for itself; those of items that are not marked.
        self._planned: set[str] = set()
        self._unmarked: set[str] = set()
        # Marked items that have begun, and how many markers the one that is running had.
        self._begun: list[pytest.Item] = []
        self._markers = 0
        self._has_naming_hook = False
        self._fixtures = SharedFixtures()
        self.has_logfinish = False

    def begin(self, session: pytest.Session) -> None:
        """Take what was collected, once the plan is made."""
        plan, names = self.watch.plan, self.watch.names
        ambiguous = {name for node_id, alike in plan.alike.items() for name in (node_id, *alike)}
        self._planned = {*plan.tests, *plan.deselected} - ambiguous
        self._unmarked = (
            {item.nodeid for item in session.items if names.get(id(item)) is None} - self._planned - ambiguous
        )
        self._has_naming_hook = bool(session.config.hook.pytest_migration_component.get_hookimpls())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        outer, self._item = self._item, item
        self._unmarked_reports.clear()
        self._fixtures.finished.clear()
        self._markers = len(item.own_markers)
        self.has_logfinish = False
        if self.watch.names.get(id(item)) is not None:
            self._begun.append(item)
        try:
            result = yield
        except BaseException:
            self._look_at_interrupted(item)
            raise
        finally:
            self._item = outer
        if (name := self.watch.names.get(id(item))) is not None:
            self._when_ended(name)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        if fixturedef.scope != "function" and not _is_of_pytest(fixturedef):
            self._fixtures.began(fixturedef, self._item)

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        if fixturedef.scope != "function" and not _is_of_pytest(fixturedef):
            self._fixtures.finished.append(fixturedef)

    def tag_safely(self, report: pytest.TestReport) -> None:
        """:meth:`tag`, with whatever goes wrong in it as a problem of the run."""
        try:
            self.tag(report)
        except Exception as error:  # noqa: BLE001  # a hook of a user, asked once more, may raise anything; the tests go on
            _set(report, PROBLEM, f"{report.nodeid}: {error_in_words(error)}")

    def tag(self, report: pytest.TestReport) -> None:
        """Tie ``report`` to its test, where its node id alone does not."""
        node_id, item = report.nodeid, self._item
        if report.when != "call" and report.outcome not in _GOOD and item is not None:
            self._look_for_doubts(item, report)
        if node_id in self._planned:
            if report.when == "teardown":
                self._look_for_more_components(report)
            return
        if item is None or (node_id in self._unmarked and node_id != item.nodeid):
            # Of another thread, or of no test at all.
            if report.failed and node_id not in self._unmarked:
                _set(
                    report,
                    PROBLEM,
                    f"a report of '{node_id}' that failed belongs to no test that was collected",
                )
            return
        name = self.watch.names.get(id(item))
        if name is not None:
            _set(report, TEST, name)
        elif (
            id(item) not in self.watch.names
            or MARKER in item.keywords
            or (self._has_naming_hook and report.when == "teardown")
        ):
            self._take_late(item, report)
        else:
            self._unmarked_reports.append(report)

    # --- markers that were added after the collection ---

    def _take_late(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """An item that the plan does not have, and that may be marked by now."""
        name = item.nodeid if item.nodeid not in self.watch.plan.alike else f"{item.nodeid} (added)"
        keys = self._keys_now(item, name, report)
        if not keys:
            self.watch.names.setdefault(id(item), None)
            self._unmarked_reports.append(report)
            return
        self.watch.names[id(item)] = name
        self._begun.append(item)
        self._markers = len(item.own_markers)
        before = Attempt()
        for earlier in self._unmarked_reports:
            before.add(earlier)
        _set(report, TEST, name)
        _set(report, KEYS, keys)
        _set(report, BEFORE, dataclasses.asdict(before))

    def _look_at_interrupted(self, item: pytest.Item) -> None:
        """A test that ended its run may have been marked while it ran, and no report says so."""
        if self.watch.names.get(id(item)) is not None or MARKER not in item.keywords:
            return
        with contextlib.suppress(Exception):  # whatever is wrong with the marker, the run has ended already
            self._when_added(item.nodeid, keys_of(item, item.nodeid))

    def _look_for_more_components(self, report: pytest.TestReport) -> None:
        """A test of the plan may have been given one more marker while it ran."""
        item = self._item
        if item is None or len(item.own_markers) == self._markers:
            return
        name = self.watch.names.get(id(item))
        if name is None or name != report.nodeid:
            return
        plan = self.watch.plan
        if keys := self._keys_now(item, plan.node_ids.get(name, name), report):
            planned = plan.tests.get(name) or plan.deselected.get(name) or []
            _set(report, KEYS, list(dict.fromkeys([*planned, *keys])))

    def _keys_now(self, item: pytest.Item, name: str, report: pytest.TestReport) -> list[Key]:
        try:
            keys = keys_of(item, name)
        except MarkerError as error:
            _set(report, PROBLEM, f"{item.nodeid}: {error}")
            return []
        owner = self.watch.names.get(id(item)) or name
        for component, test_name in keys:
            first = self.watch.claimed.setdefault((component, test_name), owner)
            if first != owner:
                message = f"{item.nodeid}: the validation '{test_name}' of '{component}' is that of {first} too; give one another test_name"
                _set(report, PROBLEM, message)
                return []
        return keys

    # --- fixtures that are shared ---

    def _look_for_doubts(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """A test failed outside its call: a fixture that it does not use itself, and that others do, may be what failed."""
        if doubtful := self.in_doubt(item):
            _set(report, IN_DOUBT, doubtful)

    def in_doubt(self, item: pytest.Item | None) -> list[str]:
        """The marked tests whose fixture may be one of those that ended since ``item`` began.

        None where ``item`` is marked and uses one of them: it is what is recorded as failed.

        :param item: ``None`` at the end of the session.
        """
        finished = self._fixtures.finished
        if not finished:
            return []
        if (
            item is not None
            and self.watch.names.get(id(item)) is not None
            and self._fixtures.uses(item, finished)
        ):
            return []
        found = (
            self.watch.names[id(other)]
            for other in self._begun
            if other is not item and self._fixtures.concerns(other, item)
        )
        return [name for name in found if name is not None]


def _is_of_pytest(fixture: pytest.FixtureDef[Any]) -> bool:
    """Whether it is one that pytest brings, such as ``tmp_path_factory``, and not made for functions such as ``teardown_module``."""
    module = str(getattr(fixture.func, "__module__", ""))
    return module.startswith(("_pytest.", "xdist.")) and module not in {"_pytest.python", "_pytest.unittest"}


class SharedFixtures:
    """Which fixtures outlive a test, who uses them, and which ended while an item ran.

    :ivar finished: the fixtures wider than a function that ended since the item began.
    """

    def __init__(self) -> None:
        self.finished: list[pytest.FixtureDef[Any]] = []
        # Those that were asked for by request.getfixturevalue(): who else uses them, nobody can tell.
        self._dynamic: list[pytest.FixtureDef[Any]] = []

    def began(self, fixture: pytest.FixtureDef[Any], item: pytest.Item | None) -> None:
        """Note that a fixture was set up while ``item`` ran."""
        if (item is None or not self.uses(item, [fixture])) and fixture not in self._dynamic:
            self._dynamic.append(fixture)

    def uses(self, item: pytest.Item, fixtures: list[pytest.FixtureDef[Any]]) -> bool:
        """Whether one of these is among the fixtures that the item names, an overridden one included."""
        information = getattr(item, "_fixtureinfo", None)  # pytest has no public way to ask for it
        named = information.name2fixturedefs.values() if information else ()
        return any(definition in fixtures for definitions in named for definition in definitions)

    def concerns(self, other: pytest.Item, item: pytest.Item | None) -> bool:
        """Whether ``other`` may have used the same instance of a fixture that ended while ``item`` ran."""
        near = [fixture for fixture in self.finished if _are_together(other, item, fixture.scope)]
        return any(fixture in self._dynamic for fixture in near) or self.uses(other, near)


def _are_together(other: pytest.Item, item: pytest.Item | None, scope: str) -> bool:
    """Whether two items share an instance of a fixture of this scope."""
    if item is None or scope in {"session", "package"}:
        return True
    if scope == "class" and (item.getparent(pytest.Class) or other.getparent(pytest.Class)):
        return item.getparent(pytest.Class) is other.getparent(pytest.Class)
    return file_of(item) is file_of(other)


def _set(report: pytest.TestReport, key: str, value: Any) -> None:
    tag = report.__dict__.setdefault(TAG, {})
    tag[key] = value
