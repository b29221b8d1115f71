"""Hooks that users of the plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.hookspec(firstresult=True)
def pytest_migration_component(item: pytest.Item) -> str | Sequence[str] | None:
    """Name the component (or components) that ``item`` validates, in place of a marker.

    The hook is called only for items without a ``migration_component`` marker, so that items that cannot have
    a marker (doctests, items of other plugins) can be recorded too. The name of the validation is the item's
    node id.

    :param item: the collected item.
    :returns: one name, several names, or ``None`` to leave the item to other implementations. If all of them
        return ``None``, the item is not recorded.
    """
