"""Counts and groups of a state, computed once for everybody who shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject, Key


@dataclass(slots=True)
class ComponentCounts:
    """How many validations of one component there are."""

    passed: int = 0
    failed: int = 0
    outstanding: int = 0


@dataclass(slots=True)
class Status:
    """The counts and groups of a state.

    :ivar components: the counts of each component, in the order of the document.
    :ivar failed: the failed verdicts.
    :ivar outstanding: the outstanding validations that no verdict settles.
    """

    components: dict[str, ComponentCounts] = field(default_factory=dict)
    failed: dict[Key, JsonObject] = field(default_factory=dict)
    outstanding: dict[Key, JsonObject] = field(default_factory=dict)

    @property
    def passed_count(self) -> int:
        """How many validations passed."""
        return sum(counts.passed for counts in self.components.values())


def status_of(document: Document) -> Status:
    """Return the counts and groups of a state."""
    status = Status()
    components = status.components
    for key, verdict in document.verdicts.items():
        counts = components.setdefault(key[0], ComponentCounts())
        if verdict["passed"]:
            counts.passed += 1
        else:
            counts.failed += 1
            status.failed[key] = verdict
    for key, entry in document.outstanding.items():
        if not document.is_settled(key):
            components.setdefault(key[0], ComponentCounts()).outstanding += 1
            status.outstanding[key] = entry
    return status
