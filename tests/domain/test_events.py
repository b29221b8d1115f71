"""The event of each operation. Replaying events rebuilds the same document."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_migration_state import InvalidArgumentError
from pytest_migration_state.domain import events, operations, run_events
from pytest_migration_state.domain.document import new_document
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.types import Blocker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.domain.events import Event

NOW = "2026-01-15T09:14:00.000Z"
VERDICT = {
    "component": "guardian-hive",
    "test_name": "native_execution_test",
    "passed": True,
    "error_message": None,
    "tested_at": NOW,
}
BLOCKER = Blocker("failed", "c", "t", "it failed", "run it again")
PENDING = {"component": "c", "test_name": "t", "reason": "pending", "since": NOW}

#: Action, details and level are word for word those of the contract; the data is the change.
EVENTS: dict[str, tuple[Event, str, str, str, dict[str, Any]]] = {
    "initialize": (
        events.initialized(NOW, "4b4b", "linux", "migration-state.json"),
        "Initialize",
        "Migration state initialized",
        "INFO",
        {
            "initialize": {
                "state": "migration-state.json",
                "started_at": NOW,
                "migration_id": "4b4b",
                "platform": "linux",
            }
        },
    ),
    "phase": (
        events.phase_changed(NOW, Phase.NOT_STARTED, Phase.BACKUP_IN_PROGRESS, final=False, forced=None),
        "PhaseTransition",
        "Transitioned from 'NotStarted' to 'BackupInProgress'",
        "INFO",
        {"phase": "BackupInProgress", "completed_at": None},
    ),
    "phase, final": (
        events.phase_changed(NOW, Phase.VALIDATION, Phase.COMPLETED, final=True, forced=None),
        "PhaseTransition",
        "Transitioned from 'Validation' to 'Completed'",
        "INFO",
        {"phase": "Completed", "completed_at": NOW},
    ),
    "phase, forced": (
        events.phase_changed(NOW, Phase.NOT_STARTED, Phase.COMPLETED, final=True, forced="why not"),
        "PhaseTransition",
        "Transitioned from 'NotStarted' to 'Completed' (forced: why not)",
        "WARNING",
        {"phase": "Completed", "completed_at": NOW},
    ),
    "container": (
        events.container_removed(NOW, "guardian-hive", "abc123def456"),
        "ContainerProcessed",
        "Container 'guardian-hive' (abc123def456) marked as removed",
        "INFO",
        {"docker_containers_removed": [{"name": "guardian-hive", "id": "abc123def456", "removed_at": NOW}]},
    ),
    "data": (
        events.data_preserved("K", "C:\\P"),
        "DataPreserved",
        "Data 'K' preserved at 'C:\\P'",
        "INFO",
        {"data_preserved": {"K": "C:\\P"}},
    ),
    "process": (
        events.process_started(NOW, "guardian-hive", 12345),
        "ProcessStarted",
        "Native process 'guardian-hive' started",
        "INFO",
        {"native_processes_started": [{"name": "guardian-hive", "process_id": 12345, "started_at": NOW}]},
    ),
    "process, id not known": (
        events.process_started(NOW, "guardian-hive", None),
        "ProcessStarted",
        "Native process 'guardian-hive' started",
        "INFO",
        {"native_processes_started": [{"name": "guardian-hive", "started_at": NOW}]},
    ),
    "verdict, passed": (
        events.verdict_recorded(NOW, Verdict(("guardian-hive", "native_execution_test"), passed=True)),
        "ValidationResult",
        "Test 'native_execution_test' for 'guardian-hive': PASSED",
        "INFO",
        {"validation_results": [VERDICT]},
    ),
    "verdict, failed in a run": (
        events.verdict_recorded(
            NOW,
            Verdict(
                ("c", "t"),
                passed=False,
                error_message="m",
                outcome="failed",
                duration_seconds=1.5,
                run_id="r",
                detail="E   m\n--- Captured stdout call ---\nn",
            ),
        ),
        "ValidationResult",
        "Test 't' for 'c': FAILED",
        "INFO",
        {
            "validation_results": [
                {
                    "component": "c",
                    "test_name": "t",
                    "passed": False,
                    "error_message": "m",
                    "tested_at": NOW,
                    "outcome": "failed",
                    "duration_seconds": 1.5,
                    "run_id": "r",
                    "detail": "E   m\n--- Captured stdout call ---\nn",
                }
            ]
        },
    ),
    "verdict, overridden": (
        events.verdict_overridden(("c", "t"), "7f3c", "the test is wrong"),
        "VerdictOverridden",
        "Test 't' for 'c': PASSED by hand over the failure of run 7f3c (the test is wrong)",
        "WARNING",
        {"overridden": {"component": "c", "test_name": "t", "run_id": "7f3c"}},
    ),
    "verdict, overridden again without a reason": (
        events.verdict_overridden(("c", "t"), None, None),
        "VerdictOverridden",
        "Test 't' for 'c': PASSED by hand over the failure of an earlier run (no reason given)",
        "WARNING",
        {"overridden": {"component": "c", "test_name": "t", "run_id": None}},
    ),
    "rollback available": (
        events.rollback_set(available=True),
        "RollbackAvailability",
        "Rollback set to available",
        "INFO",
        {"rollback_available": True},
    ),
    "rollback unavailable": (
        events.rollback_set(available=False),
        "RollbackAvailability",
        "Rollback set to unavailable",
        "INFO",
        {"rollback_available": False},
    ),
    "error": (
        events.error_set(NOW, "the message"),
        "Error",
        "the message",
        "ERROR",
        {"error": {"message": "the message", "occurred_at": NOW}},
    ),
    "error cleared": (
        events.error_cleared("the message\nand more"),
        "ErrorCleared",
        "Error cleared: the message …",
        "INFO",
        {"error": None},
    ),
    "forgotten": (
        events.forgotten("c", "t", "it was removed"),
        "ValidationForgotten",
        "Test 't' for 'c' forgotten: it was removed",
        "WARNING",
        {"forgotten": [{"component": "c", "test_name": "t"}]},
    ),
    "gate blocked": (
        events.gate_blocked([BLOCKER, BLOCKER]),
        "GateBlocked",
        "Transition to 'Completed' refused: 2 failed",
        "WARNING",
        {"blockers": [BLOCKER.to_object(), BLOCKER.to_object()]},
    ),
    "recovered": (events.recovered("what was mended"), "Recovered", "what was mended", "WARNING", {}),
    "run started": (
        run_events.run_started(NOW, "7f3c", {"host": "runner-7", "process_id": 9}, {"commit": "abc"}, "4d5e"),
        "RunStarted",
        "Run 7f3c started",
        "INFO",
        {
            "host": "runner-7",
            "process_id": 9,
            "commit": "abc",
            "metadata": {
                "open_runs": {
                    "7f3c": {
                        "started_at": NOW,
                        "host": "runner-7",
                        "process_id": 9,
                        "selection": "4d5e",
                        "collecting": "4d5e",
                    },
                },
            },
        },
    ),
    "run finished": (
        run_events.run_finished(NOW, "7f3c", 1, {"passed": 2, "failed": 1}, 3.14159, has_planned=True),
        "RunFinished",
        "Run 7f3c finished with exit status 1 after 3.1 s: 2 passed, 1 failed",
        "INFO",
        {
            "exit_status": 1,
            "counts": {"passed": 2, "failed": 1},
            "seconds": 3.142,
            "metadata": {"open_runs": {"7f3c": None}},
        },
    ),
    "run that did not plan finished": (
        run_events.run_finished(NOW, "7f3c", 2, {}, 1.0, has_planned=False),
        "RunFinished",
        (
            "Run 7f3c finished with exit status 2 after 1.0 s: it ended before it was known which "
            "tests it would run"
        ),
        "WARNING",
        {
            "exit_status": 2,
            "counts": {},
            "seconds": 1.0,
            "metadata": {"open_runs": {"7f3c": {"finished_at": NOW, "exit_status": 2}}},
        },
    ),
    "planned in the place of others": (
        run_events.planned([PENDING], metadata={"open_runs": {"1a2b": None}}, settled=["1a2b"]),
        "ValidationPlanned",
        "Validations planned: 1 pending; run 1a2b is settled by this run",
        "INFO",
        {"outstanding_validations": [PENDING], "metadata": {"open_runs": {"1a2b": None}}},
    ),
    "left without a verdict": (
        run_events.left_without_verdict({**PENDING, "detail": "in doubt"}),
        "ValidationPlanned",
        "Test 't' for 'c': no verdict (in doubt)",
        "WARNING",
        {"outstanding_validations": [{**PENDING, "detail": "in doubt"}]},
    ),
    "planned": (
        run_events.planned([PENDING], [("(collection)", "test_x.py")]),
        "ValidationPlanned",
        "Validations planned: 1 pending",
        "INFO",
        {
            "outstanding_validations": [PENDING],
            "forgotten": [{"component": "(collection)", "test_name": "test_x.py"}],
        },
    ),
    "skipped": (
        run_events.skipped({**PENDING, "reason": "skipped", "detail": "needs network"}),
        "ValidationSkipped",
        "Test 't' for 'c': SKIPPED (needs network)",
        "WARNING",
        {"outstanding_validations": [{**PENDING, "reason": "skipped", "detail": "needs network"}]},
    ),
}


@pytest.mark.parametrize(("event", "action", "details", "level", "data"), EVENTS.values(), ids=EVENTS.keys())
def test_an_event_has_the_wording_of_the_contract(
    event: Event, action: str, details: str, level: str, data: dict[str, Any]
) -> None:
    """Each event has the action, details, level and data of the contract."""
    assert (action, details, level, data) == (event.action, event.details, event.level, event.data)


def test_replaying_all_events_rebuilds_the_same_document() -> None:
    """Applying an event neither changes it nor makes the document share its parts."""
    story = [event for event, *_ in EVENTS.values()]
    untouched = copy.deepcopy(story)
    documents = []
    for _ in range(2):
        document = new_document(None, "", "")
        for event in story:
            events.apply(document, event.data, NOW)
        documents.append(b"".join(document.encoded()))
    assert documents[0] == documents[1]
    assert untouched == story


def test_applying_an_event_updates_the_revision_and_the_time() -> None:
    """Every entry changes at least these two fields of the document."""
    document = new_document("2026-01-01T00:00:00Z", "id", "linux")
    events.apply(document, {}, NOW)
    assert (document.metadata["revision"], document.fields["last_updated"]) == (1, NOW)


def test_initialize_resets_the_document_and_keeps_only_the_place_in_the_log() -> None:
    """The earlier values are removed; the log continues."""
    document = new_document("2026-01-01T00:00:00Z", "old", "windows")
    events.apply_effects(document, {"validation_results": [dict(VERDICT)]})
    document.metadata["audit"] = {"seq": 3, "hash": "h"}
    events.apply(document, events.initialized(NOW, "new", "linux", "s.json").data, NOW)
    assert (
        document.metadata["migration_id"],
        document.metadata["platform"],
        document.metadata["audit"],
        document.verdicts,
        document.fields["started_at"],
    ) == ("new", "linux", {"seq": 3, "hash": "h"}, {}, NOW)


def test_a_validation_that_is_about_to_run_loses_its_verdict_and_others_keep_theirs() -> None:
    """Only the reason ``pending`` withdraws the verdict."""
    document = new_document(NOW, "id", "linux")
    for reason in ("pending", "skipped", "deselected", "collection_error"):
        events.apply_effects(document, {"validation_results": [{**VERDICT, "test_name": reason}]})
        events.apply(
            document,
            {
                "outstanding_validations": [
                    {**PENDING, "component": "guardian-hive", "test_name": reason, "reason": reason}
                ]
            },
            NOW,
        )
    assert [key[1] for key in document.verdicts] == ["skipped", "deselected", "collection_error"]
    assert [key[1] for key in document.outstanding] == [
        "pending",
        "skipped",
        "deselected",
        "collection_error",
    ]


def test_a_verdict_replaces_the_earlier_one_and_settles_what_was_outstanding() -> None:
    """Each validation has one verdict, the newest, at the end of the list."""
    document = new_document(NOW, "id", "linux")
    for name, passed in (("a", True), ("b", True), ("a", False)):
        events.apply(
            document, {"outstanding_validations": [{**PENDING, "test_name": name, "reason": "skipped"}]}, NOW
        )
        events.apply(document, events.verdict_recorded(NOW, Verdict(("c", name), passed)).data, NOW)
    assert [
        (verdict["test_name"], verdict["passed"]) for verdict in document.to_object()["validation_results"]
    ] == [
        ("b", True),
        ("a", False),
    ]
    assert document.to_object()["outstanding_validations"] == []


def test_a_run_that_ended_is_no_longer_open() -> None:
    """``null`` in a patch removes a key, as in RFC 7396."""
    document = new_document(NOW, "id", "linux")
    events.apply(document, run_events.run_started(NOW, "r", {}, {}, "4d5e").data, NOW)
    opened = list(document.open_runs)
    events.apply(document, run_events.run_finished(NOW, "r", 0, {}, 1.0, has_planned=True).data, NOW)
    assert (opened, document.open_runs) == (["r"], {})


ARGUMENTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "empty name": (
        "add_processed_container",
        {"name": " ", "container_id": "i"},
        "name ' ' cannot be used: it must not be empty",
    ),
    "no text": (
        "add_processed_container",
        {"name": 3, "container_id": "i"},
        "name '3' cannot be used: it must be a string",
    ),
    "empty key": (
        "add_preserved_data",
        {"key": "", "backup_path": "p"},
        "key '' cannot be used: it must not be empty",
    ),
    "key in other case": (
        "add_preserved_data",
        {"key": "CONFIG", "backup_path": "p"},
        "key 'CONFIG' cannot be used: 'config' already exists",
    ),
    "key reserved by PowerShell": (
        "add_preserved_data",
        {"key": "PSBase", "backup_path": "p"},
        "key 'PSBase' cannot be used: PowerShell reserves this name, and could not read the document; choose",
    ),
    "a path that is too long": (
        "add_preserved_data",
        {"key": "k", "backup_path": "/" + "é" * 2048},
        f"backup_path '/{'é' * 199}…' cannot be used: it is longer than 4 KiB, and a path is never cut; give",
    ),
    "an empty path": (
        "add_preserved_data",
        {"key": "k", "backup_path": "\t"},
        "backup_path '\\t' cannot be used: it must not be empty",
    ),
    "process id 0": (
        "add_native_process",
        {"name": "n", "process_id": 0},
        "process_id '0' cannot be used: it must be an integer",
    ),
    "process id a truth": (
        "add_native_process",
        {"name": "n", "process_id": True},
        "process_id 'True' cannot be used",
    ),
    "passed a text": (
        "add_validation_result",
        {"component": "c", "test_name": "t", "passed": "yes"},
        "passed 'yes' cannot be used: it must be true or",
    ),
    "reserved name": (
        "add_validation_result",
        {"component": "(collection)", "test_name": "t", "passed": True},
        "component '(collection)' cannot be used: this name is reserved",
    ),
    "another reserved name": (
        "add_validation_result",
        {"component": " (unknown) ", "test_name": "t", "passed": True},
        "component ' (unknown) ' cannot be used: this name is reserved",
    ),
    "available a number": (
        "set_rollback_availability",
        {"available": 1},
        "available '1' cannot be used: it must be true or false",
    ),
    "no message": ("set_error", {"message": ""}, "message '' cannot be used: it must not be empty"),
    "nothing to forget": (
        "forget_validation",
        {"component": "c", "test_name": "t", "reason": "r"},
        "test_name 't' cannot be used: 'c' has neither a verdict nor an outstanding",
    ),
    "unknown level": (
        "write_audit",
        {"action": "a", "details": "d", "level": "DEBUG"},
        "level 'DEBUG' cannot be used: it must be one of INFO, WARNING, ERROR",
    ),
}


def test_the_longest_path_is_stored_as_it_is() -> None:
    """A path is never cut."""
    path = "/" + "x" * 4095
    event = operations.add_preserved_data(new_document(NOW, "id", "linux"), NOW, "k", path)
    assert event.data == {"data_preserved": {"k": path}}


LONG: Final = "first " + "x" * 5000 + " last"
#: Each operation with long texts, and the ends of the texts that it stores.
LONG_TEXTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "add_processed_container": ({"name": LONG, "container_id": LONG}, ["]", "]"]),
    "add_native_process": ({"name": LONG}, ["]"]),
    "add_validation_result": (
        {"component": LONG, "test_name": LONG, "passed": False, "error_message": LONG},
        ["]", "]", " last"],
    ),
    "set_error": ({"message": LONG}, [" last"]),
    "write_audit": ({"action": LONG, "details": LONG}, ["]", " last"]),
}


@pytest.mark.parametrize(("operation", "texts"), LONG_TEXTS.items(), ids=LONG_TEXTS.keys())
def test_a_long_text_is_cut_and_never_refused(
    operation: str, texts: tuple[dict[str, Any], list[str]]
) -> None:
    """A name ends with the mark, which makes it unique. Of a message the end is stored too."""
    arguments, ends = texts
    event = getattr(operations, operation)(new_document(NOW, "id", "linux"), NOW, **arguments)
    stored = [event.action, event.details] if operation == "write_audit" else list(_texts_in(event.data))
    cut = [text for text in stored if text.startswith("first ")]
    assert ends == [text[-len(end) :] for text, end in zip(cut, ends, strict=True)]
    assert all("[cut: 5011 characters, sha256 " in text and len(text.encode()) <= 4096 for text in cut)


def _texts_in(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(item)


@pytest.mark.parametrize(("operation", "arguments", "sentence"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_an_invalid_argument_is_refused_with_a_sentence(
    operation: str, arguments: dict[str, Any], sentence: str
) -> None:
    """Nothing is written that another tool could not read."""
    document = new_document(NOW, "id", "linux")
    document.fields["data_preserved"]["config"] = "/old"
    with pytest.raises(InvalidArgumentError) as caught:
        getattr(operations, operation)(document, NOW, **arguments)
    assert str(caught.value).startswith(sentence)
