"""The marker of a test, which names the components that the test validates."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeGuard

import pytest

from pytest_migration_state.domain.policy import RESERVED
from pytest_migration_state.text import to_storable

if TYPE_CHECKING:
    from pytest_migration_state.types import Key

MARKER: Final = "migration_component"


class MarkerError(ValueError):
    """A marker or hook names no component, or names one incorrectly."""


def keys_of(item: pytest.Item, name: str) -> list[Key]:
    """Return the validations of ``item``; none if the item is not marked.

    If several levels (function, class, module) are marked, only the closest one counts, with all its markers.

    :param name: the name of the validations if the marker gives none: the node id at collection.
    :raises MarkerError: a marker or the hook names a component incorrectly; the message says how.
    """
    marked = list(item.iter_markers_with_node(MARKER))
    if not marked:
        return _unique(_keys_named_by_hook(item, name))
    closest = marked[0][0]
    markers = itertools.takewhile(lambda found: found[0] is closest, marked)
    return _unique(key for _, marker in markers for key in _keys_of_marker(marker, name))


def report_wrong_markers(session: pytest.Session, node_id: str, messages: Iterable[str]) -> None:
    """Report a collection error for a test with wrong markers. Without xdist, pytest then runs no test.

    :param node_id: that of the test, so that a run of other tests in its file does not settle the error; of
        two tests that clash, both.
    """
    report = pytest.CollectReport(nodeid=node_id, outcome="failed", longrepr="\n".join(messages), result=[])
    session.ihook.pytest_collectreport(report=report)


def check_unrecorded(session: pytest.Session, items: Iterable[pytest.Item]) -> None:
    """Report marked tests whose markers are wrong in themselves, in a run that is not recorded.

    xdist runs the tests all the same; the run fails.
    """
    for item in items:
        try:
            keys_of(item, item.nodeid)
        except MarkerError as error:
            report_wrong_markers(session, item.nodeid, [f"{item.nodeid}: {error}"])


def _unique(keys: Iterable[Key]) -> list[Key]:
    return list(dict.fromkeys(keys))


def _keys_of_marker(marker: pytest.Mark, name: str) -> list[Key]:
    if surplus := marker.kwargs.keys() - {"test_name"}:
        raise MarkerError(f"the marker {MARKER} has no argument {min(surplus)!r}")
    if not marker.args:
        raise MarkerError(f'the marker {MARKER} names no component; write @pytest.mark.{MARKER}("name")')
    origin = f"the marker {MARKER}"
    keys = _keys(marker.args, name, origin)
    test_name = marker.kwargs.get("test_name")
    if test_name is None:
        return keys
    if not _is_name(test_name):
        raise MarkerError(f"{origin} has test_name={test_name!r}; a name is text and not empty")
    return [(component, to_storable(test_name)) for component, _ in keys]


def _keys_named_by_hook(item: pytest.Item, name: str) -> list[Key]:
    named = item.ihook.pytest_migration_component(item=item)
    if named is None:
        return []
    components = (named,) if isinstance(named, str) or not isinstance(named, Iterable) else tuple(named)
    return _keys(components, name, "the hook pytest_migration_component")


def _keys(components: tuple[object, ...], name: str, origin: str) -> list[Key]:
    return [(to_storable(_checked(component, origin)), to_storable(name)) for component in components]


def _checked(component: object, origin: str) -> str:
    """Return the name of a component, after checking it.

    :raises MarkerError: the name is invalid.
    """
    if not _is_name(component):
        raise MarkerError(f"{origin} names {component!r} as a component; a name is text and not empty")
    if component.strip() in RESERVED:
        raise MarkerError(
            f"{origin} names {component!r} as a component; that name is reserved, choose another"
        )
    return str(component)


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())
