"""Counts and groups of a state, computed in one place for all reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.acceptance import acceptances
from pytest_migration_state.domain.facts import normalize_dates, time_of
from pytest_migration_state.domain.gate import let_pass
from pytest_migration_state.domain.override import mark_of
from pytest_migration_state.domain.policy import COLLECTION
from pytest_migration_state.domain.staleness import is_stale
from pytest_migration_state.text import and_more, first_line, to_printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.gate import GateResult
    from pytest_migration_state.domain.policy import Policy
    from pytest_migration_state.reports.blocks import Style
    from pytest_migration_state.types import JsonObject, Key

#: How many overrides are named; the rest are counted.
_NAMED: Final = 5


@dataclass(slots=True)
class ComponentCounts:
    """The numbers of validations of one component.

    They say what the gate says: a validation that is outstanding is not counted as passed.

    :ivar stale: the number of those that passed before a newer process of the component was started.
    """

    passed: int = 0
    failed: int = 0
    stale: int = 0
    outstanding: int = 0

    @property
    def is_troubled(self) -> bool:
        """True if a validation of the component did not pass, or has no valid verdict."""
        return bool(self.failed or self.outstanding or self.stale)


@dataclass(slots=True)
class Status:
    """The counts and groups of a state.

    :ivar components: the counts of each component, in the order of their names; ``(collection)`` is the last.
    :ivar failed: the failed verdicts.
    :ivar stale: the passed verdicts on an earlier process. They do not count as passed.
    :ivar overridden: the marks of the passed verdicts that no run recorded, over a run's failure.
    :ivar outstanding: the outstanding validations that no verdict settles.
    """

    components: dict[str, ComponentCounts] = field(default_factory=dict)
    failed: dict[Key, JsonObject] = field(default_factory=dict)
    stale: dict[Key, JsonObject] = field(default_factory=dict)
    overridden: dict[Key, JsonObject] = field(default_factory=dict)
    outstanding: dict[Key, JsonObject] = field(default_factory=dict)

    @property
    def passed_count(self) -> int:
        """The number of validations that passed."""
        return sum(counts.passed for counts in self.components.values())


def status_of(document: Document) -> Status:
    """Return the counts and groups of a state."""
    status = Status()
    components = status.components
    for key, entry in document.outstanding.items():
        if not document.is_settled(key):
            components.setdefault(key[0], ComponentCounts()).outstanding += 1
            status.outstanding[key] = entry
    for key, verdict in document.verdicts.items():
        counts = components.setdefault(key[0], ComponentCounts())
        if not verdict["passed"]:
            counts.failed += 1
            status.failed[key] = verdict
            continue
        if mark := mark_of(verdict):
            status.overridden[key] = mark
        if key in status.outstanding:
            continue
        if is_stale(verdict):
            counts.stale += 1
            status.stale[key] = verdict
        else:
            counts.passed += 1
    names = sorted(components, key=lambda name: (name == COLLECTION, name))
    status.components = {name: components[name] for name in names}
    return status


def style_of(counts: ComponentCounts, of_nothing: Style = "good") -> Style:
    """Return the style in which a component is shown.

    :param of_nothing: that of a component of which nothing has been validated.
    """
    if counts.failed:
        return "bad"
    if counts.is_troubled:
        return "doubt"
    return "good" if counts.passed else of_nothing


def allowed_in_words(document: Document, policy: Policy | None) -> str:
    """Return, as the end of a sentence, how much the policy lets pass; empty if nothing."""
    counts = ", ".join(f"{count} {reason}" for reason, count in let_pass(document, policy).items())
    return f"; allowed: {counts}" if counts else ""


def rewritten_names(document: Document) -> Iterator[tuple[Key, Key]]:
    """Yield the validations of one component whose names are the same date, in pairs.

    PowerShell 7 writes a name that is a date in another format, so one validation becomes two.
    """
    first: dict[Key, Key] = {}
    for key in dict.fromkeys(chain(document.verdicts, document.outstanding)):
        component, test_name = key
        if time_of(test_name):
            original = first.setdefault((component, normalize_dates(test_name)), key)
            if original != key:
                yield original, key


# --- overrides ----------------------------------------------------------------------------------------------


def overridden_objects(document: Document) -> list[JsonObject]:
    """Return the overrides of a state as JSON objects."""
    return [
        {"component": component, "test_name": test_name, **mark}
        for (component, test_name), mark in status_of(document).overridden.items()
    ]


def gate_object(document: Document, result: GateResult) -> JsonObject:
    """Return the gate's result on a state as a JSON object, with what every report shows beside it."""
    notes = {"overridden": overridden_objects(document), "accepted": acceptances(document)}
    return {"phase": document.phase.value, **result.to_object(), **notes}


def notes_of(document: Document) -> list[str]:
    """Return the sentences that every report shows: overrides, and acceptances of the record."""
    return [*overridden_in_words(document), *accepted_in_words(document)]


def overridden_in_words(document: Document) -> list[str]:
    """Return one sentence about the overrides of a state; none if there are none."""
    overridden = status_of(document).overridden
    if not overridden:
        return []
    count = "1 verdict was" if len(overridden) == 1 else f"{len(overridden)} verdicts were"
    shown, more = and_more([*overridden.items()], _NAMED, ": see 'migration-state gate --json'")
    named = "; ".join([*(override_in_words(key, mark) for key, mark in shown), *more])
    return [f"{count} set by hand over a run's failure: {named}"]


def override_in_words(key: Key, mark: JsonObject) -> str:
    """Return in words which verdict was set by hand, by whom, when and why."""
    component, test_name = key
    words = f"'{_shown(test_name)}' of '{_shown(component)}'"
    if mark.get("by"):
        words += f" by {_shown(mark['by'])}"
    if mark.get("at"):
        words += f" at {_shown(mark['at'])}"
    return f"{words} ({_shown(mark.get('reason') or 'no reason given')})"


# --- acceptances --------------------------------------------------------------------------------------------


def accepted_in_words(document: Document) -> list[str]:
    """Return a sentence about each acceptance of a record that was not whole, the newest ones."""
    return [
        f"accepted by {_shown(one.get('by'))} at {_shown(one.get('at'))} "
        f"({_shown(one.get('reason'))}): {_shown(one.get('what'))}"
        for one in acceptances(document)[-_NAMED:]
    ]


def _shown(text: object) -> str:
    return to_printable(first_line(str(text)))
