"""The times in each phase, as the log tells them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pytest_migration_state.domain.phase_history import Stay, stays
from pytest_migration_state.domain.phases import Phase

BEGINNING = "2026-01-15T09:00:00.000Z"


def at(minute: int) -> datetime:
    """A time, by the minute of its hour."""
    return datetime(2026, 1, 15, 9, minute, tzinfo=UTC)


def moved(minute: int, before: str, after: str, **more: Any) -> dict[str, Any]:
    """An entry about a transition, as PowerShell writes it too."""
    details = f"Transitioned from '{before}' to '{after}'"
    return {
        "timestamp": f"2026-01-15T09:{minute:02}:00Z",
        "action": "PhaseTransition",
        "details": details,
        **more,
    }


def test_each_stay_ends_where_the_next_begins() -> None:
    """The first begins with the migration, and the last has no end."""
    entries = [
        moved(1, "NotStarted", "BackupInProgress"),
        moved(5, "BackupInProgress", "ContainerTermination"),
    ]
    assert stays(entries, Phase.CONTAINER_TERMINATION, BEGINNING) == [
        Stay(Phase.NOT_STARTED, at(0), at(1)),
        Stay(Phase.BACKUP_IN_PROGRESS, at(1), at(5)),
        Stay(Phase.CONTAINER_TERMINATION, at(5)),
    ]


def test_migration_that_has_not_moved_is_where_it_began() -> None:
    """No entry is needed for that."""
    assert stays([], Phase.NOT_STARTED, BEGINNING) == [Stay(Phase.NOT_STARTED, at(0))]


def test_only_the_newest_migration_of_a_log_counts() -> None:
    """``init --force`` begins another."""
    initialized = {"timestamp": "2026-01-15T09:03:00Z", "action": "Initialize", "details": "…"}
    entries = [
        moved(1, "NotStarted", "BackupInProgress"),
        initialized,
        moved(4, "NotStarted", "BackupInProgress"),
    ]
    assert stays(entries, Phase.BACKUP_IN_PROGRESS, "2026-01-15T09:03:00Z") == [
        Stay(Phase.NOT_STARTED, at(3), at(4)),
        Stay(Phase.BACKUP_IN_PROGRESS, at(4)),
    ]


def test_change_of_another_program_is_a_transition() -> None:
    """The same transition is not counted again when it is taken over from the document."""
    entries = [
        moved(1, "NotStarted", "Validation"),
        {"timestamp": "2026-01-15T09:02:00Z", "action": "ExternalChange", "data": {"phase": "Validation"}},
        {"timestamp": "2026-01-15T09:07:00Z", "action": "ExternalChange", "data": {"phase": "Completed"}},
        {"timestamp": "2026-01-15T09:08:00Z", "action": "ExternalChange", "data": {"error": None}},
    ]
    assert stays(entries, Phase.COMPLETED, BEGINNING)[1:] == [
        Stay(Phase.VALIDATION, at(1), at(7)),
        Stay(Phase.COMPLETED, at(7)),
    ]


def test_forced_transition_has_its_reason() -> None:
    """The reason is empty if none was given."""
    forced = {
        "level": "WARNING",
        "details": "Transitioned from 'NotStarted' to 'Validation' (forced: OPS-1 (a))",
    }
    (_, stay) = stays([moved(1, "", "", **forced)], Phase.VALIDATION, BEGINNING)
    assert (stay.phase, stay.forced) == (Phase.VALIDATION, "OPS-1 (a)")


@pytest.mark.parametrize(
    "entries", [[], [moved(1, "NotStarted", "BackupInProgress")]], ids=["none", "another"]
)
def test_nothing_is_made_up_where_the_log_says_nothing(entries: list[dict[str, Any]]) -> None:
    """A phase that the log does not end with began at a time that is not known."""
    assert stays(entries, Phase.VALIDATION, BEGINNING)[-1] == Stay(Phase.VALIDATION, None)


@pytest.mark.parametrize(
    "entry",
    [
        {"action": "PhaseTransition"},
        {"action": "PhaseTransition", "details": 7, "timestamp": "never"},
        moved(1, "NotStarted", "Elsewhere"),
        {"action": "ExternalChange", "data": {"phase": 3}},
        {"action": "ExternalChange", "data": {"phase": ["Validation"]}},
        {"action": "ExternalChange", "data": "?"},
    ],
)
def test_entry_that_names_no_phase_is_passed_over(entry: dict[str, Any]) -> None:
    """Other programs may write anything."""
    assert stays([entry], Phase.NOT_STARTED, BEGINNING) == [Stay(Phase.NOT_STARTED, at(0))]


def test_late_line_of_another_program_changes_nothing() -> None:
    """The state refused it: it does not begin where the migration is."""
    entries = [moved(1, "NotStarted", "Validation"), moved(2, "BackupInProgress", "ContainerTermination")]
    assert stays(entries, Phase.VALIDATION, BEGINNING)[-1] == Stay(Phase.VALIDATION, at(1))


@pytest.mark.parametrize("action", ["Initialize", "PhaseTransition"])
def test_entry_of_somebody_who_uses_our_words_changes_nothing(action: str) -> None:
    """``log`` writes any action, without a change."""
    own = {**moved(2, "Validation", "RolledBack"), "action": action, "data": {}, "hash": "9f2c"}
    entries = [moved(1, "NotStarted", "Validation"), own]
    assert stays(entries, Phase.VALIDATION, BEGINNING)[-1] == Stay(Phase.VALIDATION, at(1))
