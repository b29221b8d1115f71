"""The layers above a store work with another kind of store, even if it loses races."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memory_store import NOW, MemoryStore
from pytest_migration_state import GateBlockedError, InvalidTransitionError, MigrationTracker, Policy
from pytest_migration_state.domain.events import container_removed, verdict_recorded
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.tracking.run_writer import RunWriter

if TYPE_CHECKING:
    from pytest_migration_state.storage.base import StateStore

KEY = ("guardian-hive", "test_it")
PHASES = ("BackupInProgress", "ContainerTermination", "NativeDeployment", "Validation")


def checked(store: MemoryStore) -> StateStore:
    """Return the store, for the type checker."""
    return store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The store of a test."""
    memory = MemoryStore()
    for module in ("tracker", "run_writer"):
        monkeypatch.setattr(
            f"pytest_migration_state.tracking.{module}.open_store", lambda *_, **__: checked(memory)
        )
    return memory


@pytest.fixture
def tracker(store: MemoryStore) -> MigrationTracker:
    """The tracker of a migration in Validation whose one validation passed."""
    tracker = MigrationTracker("memory", notify=lambda _: None)
    tracker.initialize()
    for phase in PHASES:
        tracker.set_phase(phase)
    tracker.add_validation_result(*KEY, passed=True)
    store.asked = 0
    return tracker


def test_an_operation_is_decided_again_after_a_lost_race(
    store: MemoryStore, tracker: MigrationTracker
) -> None:
    """Both changes are there, in the order in which they were committed."""
    store.rivals = [lambda _: [container_removed(NOW, "first", "id")]]
    state = tracker.add_processed_container("second", "id")
    assert [container.name for container in state.docker_containers_removed] == ["first", "second"]
    assert store.asked == 2
    assert tracker.verify().sound


def test_the_gate_is_asked_again_after_a_lost_race(store: MemoryStore, tracker: MigrationTracker) -> None:
    """A failure that another writer recorded meanwhile keeps the migration from Completed."""
    store.rivals = [lambda _: [verdict_recorded(NOW, Verdict(KEY, passed=False, error_message="late"))]]
    with pytest.raises(GateBlockedError, match="late"):
        tracker.set_phase("Completed")
    assert tracker.state.phase == "Validation"
    assert tracker.read_audit()[-1].action == "GateBlocked"


def test_several_operations_are_decided_again_together(store: MemoryStore, tracker: MigrationTracker) -> None:
    """All of them are decided on the state that the other writer left."""
    store.rivals = [lambda _: [container_removed(NOW, "rival", "id")]]
    mine = {"operation": "add_processed_container", "name": "mine", "container_id": "id"}
    state = tracker.apply([mine, {"operation": "set_phase", "phase": "Completed"}])
    assert [container.name for container in state.docker_containers_removed] == ["rival", "mine"]
    assert state.phase == "Completed"
    assert store.asked == 2


def test_a_refused_operation_takes_the_others_with_it(tracker: MigrationTracker) -> None:
    """Each is decided on the state that the previous ones left. If one is refused, none is carried out."""
    mine = {"operation": "add_processed_container", "name": "mine", "container_id": "id"}
    requests = [
        mine,
        {"operation": "set_phase", "phase": "Completed"},
        {"operation": "set_phase", "phase": "Validation"},
    ]
    with pytest.raises(InvalidTransitionError) as refused:
        tracker.apply(requests)
    assert refused.value.position == 3
    assert tracker.state.docker_containers_removed == ()
    assert tracker.state.phase == "Validation"


def test_a_run_completes_over_any_store(store: MemoryStore, tracker: MigrationTracker) -> None:
    """Its plan, its verdicts and its end are written through the run's writer."""
    run = RunWriter(Path("memory"), "4b4b", notify=lambda _: None)
    run.open(lambda _: None, {})
    run.plan(RunPlan([outstanding(NOW, KEY, "pending")]))
    assert not tracker.gate().open
    run.verdict(Verdict(KEY, passed=True, run_id="4b4b"))
    assert run.complete(Policy()).open
    run.finish(0, {"passed": 1})
    assert (tracker.state.phase, dict(store.read().open_runs)) == ("Completed", {})
    assert tracker.verify().sound


def test_a_run_does_not_complete_over_a_rival_s_failure(
    store: MemoryStore, tracker: MigrationTracker
) -> None:
    """The decision is made again on the state that the other writer left."""
    run = RunWriter(Path("memory"), "4b4b", notify=lambda _: None)
    run.open(lambda _: None, {})
    run.plan(RunPlan([]))
    store.rivals = [lambda _: [verdict_recorded(NOW, Verdict(("other", "t"), passed=False))]]
    assert [blocker.component for blocker in run.complete(Policy()).blockers] == ["other"]
    assert tracker.state.phase == "Validation"
