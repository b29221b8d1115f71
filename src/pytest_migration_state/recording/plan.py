"""The plan of a run: which tests are validations of which components.

Each process makes the plan of what it collected. A plan crosses from xdist's workers to the controller as
JSON.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_migration_state.types import Key


@dataclasses.dataclass
class Plan:
    """What one process collected.

    A test is called by its node id; where several share one, the second and those after it have their number
    added.

    :ivar tests: the validations of each selected test.
    :ivar deselected: the same of each test that was collected and not selected.
    :ivar alike: the tests that share a node id, by that.
    :ivar failed: why each file (or other collector) could not be collected, by its node id.
    :ivar skipped: why each file was skipped as a whole, by its node id.
    :ivar collected: node ids of the collectors that could be collected.
    :ivar unseen: the digest of each file that was left out without a look at it, by its node id.
    :ivar files: the digests of all files that were looked at, with a space between them.
    :ivar node_ids: the node id that a person would type, where that under which a test reports is another
        (xdist adds a group's name).
    :ivar is_whole: whether the collection came to its end.
    :ivar is_refused: whether pytest itself refused what it was asked for: a place that does not exist, a
        wrong ``-k``.
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
