"""The public names, and the models: typed, frozen, in UTC, with the keys of other tools."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path

import pydantic
import pytest

import pytest_migration_state
from pytest_migration_state import (
    AuditEntry,
    Blocker,
    MigrationState,
    MigrationTracker,
    Phase,
    Policy,
    models,
)
from pytest_migration_state.domain.document import Document
from pytest_migration_state.json_codec import decode_object
from state_files import SAMPLES, STATES, sample

PACKAGE = Path(pytest_migration_state.__file__)


def state(name: str) -> MigrationState:
    return MigrationTracker(SAMPLES / name / "migration-state.json").state


def test_the_public_names_are_complete() -> None:
    """``__all__``, the lazy table and the imports for type checkers have the same names."""
    checked = {
        alias.asname
        for node in ast.walk(ast.parse(PACKAGE.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pytest_migration_state.")
        for alias in node.names
    }
    assert {"__version__", *map(str, checked)} == set(pytest_migration_state.__all__)
    assert all(getattr(pytest_migration_state, name) is not None for name in pytest_migration_state.__all__)
    assert set(pytest_migration_state.__all__) <= set(dir(pytest_migration_state))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The package behaves like any module."""
    with pytest.raises(AttributeError, match="module 'pytest_migration_state' has no attribute 'nothing'"):
        getattr(pytest_migration_state, "nothing")  # noqa: B009  # mypy knows that there is none


@pytest.mark.parametrize("name", STATES)
def test_every_sample_becomes_a_state(name: str) -> None:
    """The models accept every document that the schema accepts."""
    document = Document(decode_object((SAMPLES / name / "migration-state.json").read_bytes()))
    assert document.phase == state(name).phase


def test_a_whole_state_is_converted(tmp_path: Path) -> None:
    """The values of a PowerShell document, converted to the types of the models."""
    found = MigrationTracker(sample("7.6/validation-with-failures", tmp_path)).state
    assert Phase.VALIDATION is found.phase
    assert datetime(2026, 11, 23, 3, 11, 37, 236135, tzinfo=UTC) == found.started_at
    assert found.started_at is not None and found.started_at.tzinfo is UTC
    assert (found.rollback_available, found.completed_at) == (False, None)
    assert [(result.passed, result.error_message is not None) for result in found.validation_results] == [
        (False, True),
        (True, False),
        (False, True),
    ]
    assert found.error is not None and found.error.message == "Failed to start guardian-hive process"
    assert [(process.name, process.process_id) for process in found.native_processes_started] == [
        ("agent-zero", None)
    ]


def test_stale_verdict_says_since_when(tmp_path: Path) -> None:
    """The time is converted, and a verdict on the newest process has none."""
    tracker = MigrationTracker(tmp_path / "migration-state.json", create=True, notify=lambda _: None)
    tracker.add_validation_result("a", "t", passed=True)
    tracker.add_native_process("a")
    stale, fresh = tracker.add_validation_result("b", "t", passed=True).validation_results
    started = tracker.state.native_processes_started[0].started_at
    assert started is not None
    assert (stale.stale_since, fresh.stale_since) == (started, None)


def test_detail_is_a_text_or_none() -> None:
    """Only a failure that pytest recorded has a detail; its lines stay as they are."""
    verdict = {"component": "c", "test_name": "t", "passed": False}
    results = [verdict, {**verdict, "test_name": "u", "detail": "E   é\n[…]\n"}]
    document = Document({"phase": "Validation", "validation_results": results}).to_object()
    found = MigrationState.model_validate(document)
    assert [result.detail for result in found.validation_results] == [None, "E   é\n[…]\n"]


def test_unknown_keys_are_kept() -> None:
    """They are extra attributes, at every level."""
    found = MigrationState.model_validate(
        {
            "phase": "Validation",
            "x_other_tool": {"ticket": "OPS-17"},
            "validation_results": ({"component": "c", "test_name": "t", "passed": True, "x": 1},),
            "metadata": {"x": [1]},
        }
    )
    assert (
        found.model_extra,
        found.validation_results[0].model_extra,
        found.metadata.model_extra,
    ) == ({"x_other_tool": {"ticket": "OPS-17"}}, {"x": 1}, {"x": [1]})


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param(
            {"by": "jane@ops", "at": "2026-01-15T09:00:00Z", "reason": "OPS-7"},
            ("jane@ops", datetime(2026, 1, 15, 9, tzinfo=UTC), "OPS-7"),
            id="an object",
        ),
        pytest.param("@{by=jane@ops}", (None, None, "@{by=jane@ops}"), id="text of ConvertTo-Json"),
    ],
)
def test_an_override_is_typed(written: object, read: object) -> None:
    """Every document that the schema accepts is accepted, and no mark is lost."""
    verdict = {"component": "c", "test_name": "t", "passed": True, "overridden": written}
    document = Document({"phase": "Validation", "validation_results": [verdict]}).to_object()
    found = MigrationState.model_validate(document).validation_results[0].overridden
    assert read == (found and (found.by, found.at, found.reason))


def test_a_time_on_the_first_day_is_kept_in_its_own_zone() -> None:
    """It cannot be converted to UTC."""
    result = {"component": "c", "test_name": "t", "passed": True, "tested_at": "0001-01-01T00:00:00+14:00"}
    state = MigrationState.model_validate({"phase": "Validation", "validation_results": [result]})
    assert state.validation_results[0].tested_at is not None


def test_a_snapshot_does_not_change() -> None:
    """Every record is frozen."""
    found = state("7.6/validation-with-failures")
    for record, name in (
        (found, "phase"),
        (found.metadata, "version"),
        (found.validation_results[0], "passed"),
    ):
        with pytest.raises(pydantic.ValidationError, match="frozen"):
            setattr(record, name, None)
    for value, name in ((Blocker("failed", "c", "t", "m", "f"), "kind"), (Policy(), "require")):
        with pytest.raises(AttributeError):
            setattr(value, name, None)


def test_every_field_is_in_a_model() -> None:
    """The keys of the format, in the format's order."""
    document = Document({"phase": "NotStarted"}).to_object()
    assert list(document) == list(MigrationState.model_fields)
    assert {"RemovedContainer", "NativeProcess", "ValidationResult", "OutstandingValidation"} <= set(
        vars(models)
    )


def test_an_audit_entry_of_any_tool_is_read() -> None:
    """It has four keys or nine; an invalid time is kept as it is written."""
    theirs = AuditEntry.of(
        {"timestamp": "2026-11-23T00:11:37.3559507-03:00", "level": "WARNING", "action": "a", "details": "d"}
    )
    odd = AuditEntry.of({"timestamp": "yesterday", "action": 3})
    assert (datetime(2026, 11, 23, 3, 11, 37, 355950, tzinfo=UTC), None, None) == (
        theirs.timestamp,
        theirs.seq,
        theirs.hash,
    )
    assert odd.model_dump(include={"timestamp", "action"}, warnings=False) == {
        "timestamp": "yesterday",
        "action": 3,
    }
