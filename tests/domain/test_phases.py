"""The phases and their legal transitions."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from pytest_migration_state import (
    GateBlockedError,
    InvalidArgumentError,
    InvalidTransitionError,
    Phase,
    RollbackUnavailableError,
)
from pytest_migration_state.domain import operations
from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.domain.events import apply_effects
from pytest_migration_state.domain.phases import check_transition

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject

NOW = "2026-01-15T09:00:00.000Z"
#: The table of the PowerShell functions, word for word.
LEGAL = {
    "NotStarted": ["BackupInProgress"],
    "BackupInProgress": ["ContainerTermination", "RolledBack"],
    "ContainerTermination": ["NativeDeployment", "RolledBack"],
    "NativeDeployment": ["Validation", "RolledBack"],
    "Validation": ["Completed", "RolledBack"],
    "Completed": ["RolledBack"],
    "RolledBack": [],
}
PAIRS = list(product(LEGAL, LEGAL))


def _in(phase: str, *, rollback: bool = True) -> Document:
    """A state in ``phase`` whose gate is open."""
    document = new_document(NOW, "id", "linux")
    document.fields.update(phase=phase, rollback_available=rollback)
    apply_effects(document, {"validation_results": [{"component": "c", "test_name": "t", "passed": True}]})
    return document


@pytest.mark.parametrize(("current", "requested"), PAIRS)
def test_a_transition_is_legal_or_refused_with_the_legal_ones(current: str, requested: str) -> None:
    """All 49 pairs are checked, without force."""
    if requested in LEGAL[current]:
        event = operations.set_phase(_in(current), NOW, requested)
        completed_at = NOW if requested in {"Completed", "RolledBack"} else None
        data: JsonObject = {"phase": requested, "completed_at": completed_at}
        if requested == "Completed":
            data["metadata"] = {"completed_with": {"at": NOW, "require": [], "allow": [], "forced": None}}
        words = f"Transitioned from '{current}' to '{requested}'"
        assert (event.level, event.details, event.data) == ("INFO", words, data)
    else:
        with pytest.raises(InvalidTransitionError) as caught:
            operations.set_phase(_in(current), NOW, requested)
        error = caught.value
        assert (current, requested, tuple(LEGAL[current])) == (error.current, error.requested, error.allowed)
        valid = ", ".join(LEGAL[current]) or "none, it is final"
        assert (
            str(error)
            == f"Invalid phase transition from '{current}' to '{requested}'. Valid transitions: {valid}"
        )


@pytest.mark.parametrize(("current", "requested"), PAIRS)
def test_force_overrides_the_table_and_is_logged_only_where_it_was_needed(
    current: str, requested: str
) -> None:
    """All 49 pairs are checked, with force."""
    event = operations.set_phase(_in(current), NOW, requested, force=True, reason="it is late")
    details = f"Transitioned from '{current}' to '{requested}'"
    expected = (
        ("INFO", details) if requested in LEGAL[current] else ("WARNING", f"{details} (forced: it is late)")
    )
    assert expected == (event.level, event.details)
    assert requested == event.data["phase"]


@pytest.mark.parametrize("current", [phase for phase in LEGAL if "RolledBack" in LEGAL[phase]])
def test_rollback_that_is_unavailable_is_refused_unless_forced(current: str) -> None:
    """This holds in every phase that allows a rollback."""
    with pytest.raises(
        RollbackUnavailableError, match=f"Rollback from '{current}' is marked as unavailable"
    ) as caught:
        operations.set_phase(_in(current, rollback=False), NOW, "RolledBack")
    assert current == caught.value.current
    event = operations.set_phase(_in(current, rollback=False), NOW, "RolledBack", force=True)
    assert ("WARNING", f"Transitioned from '{current}' to 'RolledBack' (forced: no reason given)") == (
        event.level,
        event.details,
    )


@pytest.mark.parametrize("current", ["NotStarted", "RolledBack"])
def test_an_illegal_rollback_is_refused_as_an_illegal_transition(current: str) -> None:
    """The table is checked before ``rollback_available``."""
    with pytest.raises(InvalidTransitionError):
        check_transition(Phase(current), Phase.ROLLED_BACK, rollback_available=False)


def test_the_gate_is_evaluated_only_on_the_way_to_completed() -> None:
    """Other transitions need no open gate, and neither does a forced one."""
    document = new_document(NOW, "id", "linux")
    document.fields["phase"] = "Validation"
    with pytest.raises(GateBlockedError):
        operations.set_phase(document, NOW, "Completed")
    assert operations.set_phase(document, NOW, "RolledBack").level == "INFO"
    assert operations.set_phase(document, NOW, "Completed", force=True).level == "WARNING"


def test_an_unknown_phase_is_refused_with_the_list() -> None:
    """Only the exact words of the document are accepted."""
    with pytest.raises(InvalidArgumentError) as caught:
        Phase.of("validation")
    words = (
        "NotStarted, BackupInProgress, ContainerTermination, NativeDeployment, Validation, "
        "Completed, RolledBack"
    )
    assert str(caught.value) == f"phase 'validation' cannot be used: it must be one of {words}"
