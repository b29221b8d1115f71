"""The marker of a test: which components it validates, and under which name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.policy import RESERVED
from pytest_migration_state.text import to_storable

if TYPE_CHECKING:
    import pytest

    from pytest_migration_state.types import Key

MARKER: Final = "migration_component"


class MarkerError(ValueError):
    """A marker or hook that names no component."""


def keys_of(item: pytest.Item, name: str) -> list[Key]:
    """The validations that ``item`` is; none where it is not marked.

    Of several levels (function, class, module) that are marked, the closest counts; all markers on it count
    together.

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
        if component.strip() in RESERVED:
            raise MarkerError(
                f"{origin} names {component!r} as a component; that name is reserved, choose another"
            )
    if test_name is not None and (not isinstance(test_name, str) or not test_name.strip()):
        raise MarkerError(f"{origin} has test_name={test_name!r}; a name is text and not empty")
    return [(to_storable(str(component)), to_storable(test_name or name)) for component in components]
