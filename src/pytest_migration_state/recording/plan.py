"""The plan of a run: the components that each test validates.

Each process makes a plan of the tests that it collected. xdist's workers send their plans to the controller
as JSON.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_migration_state.types import Key


@dataclasses.dataclass
class Plan:
    """The tests that one process collected.

    The name of a test is its node id. If several tests share one, a number is added to all but the first.

    :ivar tests: the validations of each selected test.
    :ivar deselected: the validations of each test that was collected but not selected.
    :ivar alike: the names of the tests that share a node id, by node id.
    :ivar failed: the reason why a file (or other collector) could not be collected, by its node id.
    :ivar skipped: the reason why a whole file was skipped, by its node id.
    :ivar collected: node ids of the collectors that could be collected.
    :ivar unseen: the digest of each file that was left out unread, by its node id.
    :ivar files: the digests of all files that were collected, separated by spaces.
    :ivar node_ids: the node id that a person would type, by test; only for tests that report under another
        node id (xdist adds the name of a group).
    :ivar marker_errors: how many tests have wrong markers.
    :ivar is_whole: True if the collection was completed.
    :ivar is_refused: True if pytest itself refused its arguments, such as a path that does not exist.
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
    marker_errors: int = 0
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
    """Convert validations that a worker sent as JSON, in which a tuple becomes a list."""
    return [(component, name) for component, name in keys]
