"""Ties each report to its test, by the report's node id and by the item that is running.

Used in a single process and on xdist's workers. If the node id alone does not tie a report to a test of the
plan, the report gets a tag (see :mod:`.report_tags`).
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_migration_state.recording.attempts import Attempt
from pytest_migration_state.recording.collection import CollectionWatch, clash_in_words, file_of
from pytest_migration_state.recording.marker import MARKER, MarkerError, keys_of
from pytest_migration_state.recording.report_tags import BEFORE, IN_DOUBT, KEYS, PROBLEM, TEST, set_tag
from pytest_migration_state.text import error_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pytest_migration_state.types import Key

#: Every other outcome is a failure, including outcomes that plugins add, such as "rerun".
_GOOD: Final = frozenset({"passed", "skipped"})


class RunningTests:
    """Knows the item that is running, and ties each report to its test.

    :param watch: the collection of this process.
    :param ended: called with a test's name in the plan when its item has run, even without any report.
    :param added: called with a test's name and validations if the test was marked while it ran, and then
        ended the run.
    :ivar has_logfinish: True if pytest has called ``pytest_runtest_logfinish`` for the running item. Set by
        the plugin object that implements that hook.
    """

    def __init__(
        self, watch: CollectionWatch, ended: Callable[[str], None], added: Callable[[str, list[Key]], None]
    ) -> None:
        self.watch = watch
        self._when_ended = ended
        self._when_added = added
        self._item: pytest.Item | None = None
        # Reports of the running item, as long as it is not marked.
        self._unmarked_reports: list[pytest.TestReport] = []
        # Node ids that belong to exactly one test of the plan.
        self._planned: set[str] = set()
        # Node ids that belong only to items that are not marked.
        self._unmarked: set[str] = set()
        # Marked items that have begun, with their names in the plan.
        self._begun: list[tuple[pytest.Item, str]] = []
        # The number of markers that the running item had when it began.
        self._markers = 0
        self._has_naming_hook = False
        self._fixtures = SharedFixtures()
        self.has_logfinish = False

    def begin(self, session: pytest.Session) -> None:
        """Read the node ids of the collected items. Call this after the plan is made."""
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
        if (name := self.watch.names.get(id(item))) is not None:
            self._begun.append((item, name))
        try:
            result = yield
        except BaseException:
            self._add_if_marked_by_now(item)
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

    def is_plain(self, report: pytest.TestReport) -> bool:
        """Return True for a report that needs no tag: nearly every one."""
        return report.outcome == "passed" and report.when != "teardown" and report.nodeid in self._planned

    def tag_safely(self, report: pytest.TestReport) -> None:
        """Call :meth:`tag`, and turn an error in it into a problem of the run."""
        try:
            self.tag(report)
        except Exception as error:  # noqa: BLE001  # a user's hook may raise anything; the tests must go on
            set_tag(report, PROBLEM, f"{report.nodeid}: {error_in_words(error)}")

    def tag(self, report: pytest.TestReport) -> None:
        """Tag ``report`` if its node id does not identify its test, or if its failure affects others."""
        item = self._item
        if item is not None and _failed_outside_call(report):
            self._tag_tests_in_doubt(item, report)
        if report.nodeid in self._planned:
            if report.when == "teardown":
                self._tag_more_components(report)
        elif item is None or self._is_of_other_unmarked_item(report, item):
            self._tag_if_lost(report)
        else:
            self._tag_as_of(item, report)

    def _is_of_other_unmarked_item(self, report: pytest.TestReport, item: pytest.Item) -> bool:
        """Return True if the report is about another, unmarked item: another thread sent the report."""
        return report.nodeid in self._unmarked and report.nodeid != item.nodeid

    def _tag_if_lost(self, report: pytest.TestReport) -> None:
        """Tag a failed report if it belongs to no item that was collected."""
        if report.failed and report.nodeid not in self._unmarked:
            problem = f"a report of '{report.nodeid}' that failed belongs to no test that was collected"
            set_tag(report, PROBLEM, problem)

    def _tag_as_of(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Tie a report to the running item, or keep the report as long as the item is not marked."""
        name = self.watch.names.get(id(item))
        if name is not None:
            set_tag(report, TEST, name)
        elif self._may_be_marked_by_now(item, report):
            self._tag_late(item, report)
        else:
            self._unmarked_reports.append(report)

    # --- markers that were added after the collection ---

    def _may_be_marked_by_now(self, item: pytest.Item, report: pytest.TestReport) -> bool:
        """Return True if the markers (or the hook) have to be read again for an item that was not marked."""
        was_collected = id(item) in self.watch.names
        is_hook_due = self._has_naming_hook and report.when == "teardown"
        return not was_collected or is_hook_due or MARKER in item.keywords

    def _tag_late(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Tag the report of an item that is not in the plan, if the item is marked by now."""
        name = item.nodeid if item.nodeid not in self.watch.plan.alike else f"{item.nodeid} (added)"
        keys = self._keys_now(item, name, report)
        if not keys:
            self.watch.names.setdefault(id(item), None)
            self._unmarked_reports.append(report)
            return
        self.watch.names[id(item)] = name
        self._begun.append((item, name))
        self._markers = len(item.own_markers)
        before = Attempt()
        for earlier in self._unmarked_reports:
            before.add(earlier)
        set_tag(report, TEST, name)
        set_tag(report, KEYS, keys)
        set_tag(report, BEFORE, dataclasses.asdict(before))

    def _add_if_marked_by_now(self, item: pytest.Item) -> None:
        """Add a test that was marked while it ran, and then ended the run before any report could say so."""
        if self.watch.names.get(id(item)) is not None or MARKER not in item.keywords:
            return
        with contextlib.suppress(Exception):  # the run has ended already, so no error can matter
            self._when_added(item.nodeid, keys_of(item, item.nodeid))

    def _tag_more_components(self, report: pytest.TestReport) -> None:
        """Tag the report of a planned test that was given another marker while it ran."""
        item, name = self._item, report.nodeid
        if item is None or len(item.own_markers) == self._markers:
            return
        if self.watch.names.get(id(item)) != name:
            return
        plan = self.watch.plan
        if keys := self._keys_now(item, plan.node_ids.get(name, name), report):
            planned = plan.tests.get(name) or plan.deselected.get(name) or []
            set_tag(report, KEYS, list(dict.fromkeys([*planned, *keys])))

    def _keys_now(self, item: pytest.Item, name: str, report: pytest.TestReport) -> list[Key]:
        """Return the present validations of ``item``; none, and tag a problem, if its markers are wrong."""
        try:
            keys = keys_of(item, name)
        except MarkerError as error:
            set_tag(report, PROBLEM, f"{item.nodeid}: {error}")
            return []
        owner = self.watch.names.get(id(item)) or name
        for key in keys:
            first = self.watch.claimed.setdefault(key, owner)
            if first != owner:
                set_tag(report, PROBLEM, clash_in_words(item.nodeid, key, first))
                return []
        return keys

    # --- fixtures that are shared ---

    def _tag_tests_in_doubt(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Tag a failure outside the call with the other tests that may share the fixture that failed."""
        if doubtful := self.in_doubt(item):
            set_tag(report, IN_DOUBT, doubtful)

    def in_doubt(self, item: pytest.Item | None) -> list[str]:
        """Return the marked tests that may have used a fixture that ended since ``item`` began.

        Return none if ``item`` is marked and uses such a fixture: the failure is then recorded for ``item``.

        :param item: ``None`` at the end of the session.
        """
        if not self._fixtures.finished or self._is_recorded_for(item):
            return []
        return [
            name for other, name in self._begun if other is not item and self._fixtures.concerns(other, item)
        ]

    def _is_recorded_for(self, item: pytest.Item | None) -> bool:
        """Return True if ``item`` is marked and uses a fixture that ended, so that it records the failure."""
        if item is None or self.watch.names.get(id(item)) is None:
            return False
        return self._fixtures.uses(item, self._fixtures.finished)


def _failed_outside_call(report: pytest.TestReport) -> bool:
    return report.when != "call" and report.outcome not in _GOOD


def _is_of_pytest(fixture: pytest.FixtureDef[Any]) -> bool:
    """Return True if pytest or xdist defines the fixture, as with ``tmp_path_factory``.

    The fixtures that pytest makes for a user's ``teardown_module`` and similar functions do not count.
    """
    module = str(getattr(fixture.func, "__module__", ""))
    return module.startswith(("_pytest.", "xdist.")) and module not in {"_pytest.python", "_pytest.unittest"}


class SharedFixtures:
    """The fixtures with a scope wider than a function, and the tests that may share them.

    :ivar finished: the fixtures of such a scope that ended since the running item began.
    """

    def __init__(self) -> None:
        self.finished: list[pytest.FixtureDef[Any]] = []
        # Fixtures requested by request.getfixturevalue(): any test may use them too.
        self._dynamic: list[pytest.FixtureDef[Any]] = []

    def began(self, fixture: pytest.FixtureDef[Any], item: pytest.Item | None) -> None:
        """Note that a fixture was set up while ``item`` was running."""
        if (item is None or not self.uses(item, [fixture])) and fixture not in self._dynamic:
            self._dynamic.append(fixture)

    def uses(self, item: pytest.Item, fixtures: list[pytest.FixtureDef[Any]]) -> bool:
        """Return True if the item names one of ``fixtures``, even one that is overridden."""
        information = getattr(item, "_fixtureinfo", None)  # pytest has no public name for this
        named = information.name2fixturedefs.values() if information else ()
        return any(definition in fixtures for definitions in named for definition in definitions)

    def concerns(self, other: pytest.Item, item: pytest.Item | None) -> bool:
        """Return True if ``other`` may have used a fixture instance that ended while ``item`` was running."""
        near = [fixture for fixture in self.finished if _are_together(other, item, fixture.scope)]
        return any(fixture in self._dynamic for fixture in near) or self.uses(other, near)


def _are_together(other: pytest.Item, item: pytest.Item | None, scope: str) -> bool:
    """Return True if two items share an instance of a fixture of this scope."""
    if item is None or scope in {"session", "package"}:
        return True
    if scope == "class":
        mine, theirs = item.getparent(pytest.Class), other.getparent(pytest.Class)
        if mine or theirs:
            return mine is theirs
    return file_of(item) is file_of(other)
