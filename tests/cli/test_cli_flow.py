"""A whole migration through the command line alone, compared with the text of the design."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commandline import document, entries

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run, Start

FLOW = (
    (
        ("init",),
        "Migration state initialized: migration-state.json",
        ("INFO", "Initialize", "Migration state initialized"),
    ),
    (
        ("phase", "BackupInProgress"),
        "Phase set to 'BackupInProgress'",
        ("INFO", "PhaseTransition", "Transitioned from 'NotStarted' to 'BackupInProgress'"),
    ),
    (
        ("data", "guardian-hive-config", "C:\\project\\backups\\guardian-hive\\config.json"),
        "Data 'guardian-hive-config' preserved at 'C:\\project\\backups\\guardian-hive\\config.json'",
        (
            "INFO",
            "DataPreserved",
            "Data 'guardian-hive-config' preserved at 'C:\\project\\backups\\guardian-hive\\config.json'",
        ),
    ),
    (
        ("phase", "ContainerTermination"),
        "Phase set to 'ContainerTermination'",
        ("INFO", "PhaseTransition", "Transitioned from 'BackupInProgress' to 'ContainerTermination'"),
    ),
    (
        ("container", "guardian-hive", "abc123def456"),
        "Container 'guardian-hive' (abc123def456) marked as removed",
        ("INFO", "ContainerProcessed", "Container 'guardian-hive' (abc123def456) marked as removed"),
    ),
    (
        ("rollback", "unavailable"),
        "Rollback set to unavailable",
        ("INFO", "RollbackAvailability", "Rollback set to unavailable"),
    ),
    (
        ("rollback", "available"),
        "Rollback set to available",
        ("INFO", "RollbackAvailability", "Rollback set to available"),
    ),
    (
        ("phase", "NativeDeployment"),
        "Phase set to 'NativeDeployment'",
        ("INFO", "PhaseTransition", "Transitioned from 'ContainerTermination' to 'NativeDeployment'"),
    ),
    (
        ("process", "guardian-hive", "--pid", "12345"),
        "Native process 'guardian-hive' started",
        ("INFO", "ProcessStarted", "Native process 'guardian-hive' started"),
    ),
    (
        ("phase", "Validation"),
        "Phase set to 'Validation'",
        ("INFO", "PhaseTransition", "Transitioned from 'NativeDeployment' to 'Validation'"),
    ),
    (
        ("result", "guardian-hive", "native_execution_test", "--failed", "--error", "it answers 500"),
        "Test 'native_execution_test' for 'guardian-hive': FAILED",
        ("INFO", "ValidationResult", "Test 'native_execution_test' for 'guardian-hive': FAILED"),
    ),
    (
        ("error", "guardian-hive answers 500"),
        "Error recorded: guardian-hive answers 500",
        ("ERROR", "Error", "guardian-hive answers 500"),
    ),
    (
        ("log", "Notice", "rules restored", "--level", "WARNING"),
        "Entry 'Notice' written",
        ("WARNING", "Notice", "rules restored"),
    ),
    (
        ("result", "guardian-hive", "native_execution_test", "--passed"),
        "Test 'native_execution_test' for 'guardian-hive': PASSED",
        ("INFO", "ValidationResult", "Test 'native_execution_test' for 'guardian-hive': PASSED"),
    ),
    (
        ("phase", "Completed"),
        "Phase set to 'Completed'",
        ("INFO", "PhaseTransition", "Transitioned from 'Validation' to 'Completed'"),
    ),
)


def test_flow_of_a_migration_leaves_the_formats_document_and_log(run: Run, folder: Path) -> None:
    """From init to Completed: each command says what it did; document and log are the design's."""
    assert [run(*arguments) for arguments, _, _ in FLOW] == [
        (0, f"{sentence}\n", "") for _, sentence, _ in FLOW
    ]

    found = document(folder)
    assert list(found) == [
        "phase", "started_at", "completed_at", "last_updated", "docker_containers_removed", "data_preserved", "native_processes_started",
        "validation_results", "rollback_available", "error", "metadata", "outstanding_validations",
    ]  # fmt: skip
    times = {
        "started_at": found["started_at"],
        "completed_at": found["completed_at"],
        "last_updated": found["last_updated"],
        "removed_at": found["docker_containers_removed"][0]["removed_at"],
        "process_started_at": found["native_processes_started"][0]["started_at"],
        "tested_at": found["validation_results"][0]["tested_at"],
        "occurred_at": found["error"]["occurred_at"],
    }
    assert all(isinstance(time, str) and time.endswith("Z") for time in times.values())
    log = entries(folder)
    assert found == {
        "phase": "Completed",
        "started_at": times["started_at"],
        "completed_at": times["completed_at"],
        "last_updated": times["last_updated"],
        "docker_containers_removed": [
            {"name": "guardian-hive", "id": "abc123def456", "removed_at": times["removed_at"]}
        ],
        "data_preserved": {"guardian-hive-config": "C:\\project\\backups\\guardian-hive\\config.json"},
        "native_processes_started": [
            {"name": "guardian-hive", "process_id": 12345, "started_at": times["process_started_at"]}
        ],
        "validation_results": [
            {
                "component": "guardian-hive",
                "test_name": "native_execution_test",
                "passed": True,
                "error_message": None,
                "tested_at": times["tested_at"],
            }
        ],
        "rollback_available": True,
        "error": {"message": "guardian-hive answers 500", "occurred_at": times["occurred_at"]},
        "metadata": {
            "version": "1.0",
            "migration_type": "docker_to_native",
            "platform": found["metadata"]["platform"],
            "migration_id": found["metadata"]["migration_id"],
            "revision": len(FLOW),
            "audit": {"seq": len(FLOW), "hash": log[-1]["hash"]},
        },
        "outstanding_validations": [],
    }
    assert [tuple(entry)[:4] for entry in log] == [("timestamp", "level", "action", "details")] * len(FLOW)
    assert [(entry["level"], entry["action"], entry["details"]) for entry in log] == [
        entry for _, _, entry in FLOW
    ]
    assert [tuple(entry)[4:] for entry in log] == [("seq", "run_id", "actor", "data", "hash")] * len(FLOW)


def test_flow_as_processes(start: Start, folder: Path) -> None:
    """The same commands as processes of their own end the same way."""
    for arguments, sentence, _ in FLOW:
        assert start(*arguments) == (0, f"{sentence}\n", "")
    assert document(folder)["phase"] == "Completed"
    assert [(entry["level"], entry["action"], entry["details"]) for entry in entries(folder)] == [
        entry for _, _, entry in FLOW
    ]


def test_forced_transition_says_so(run: Run, folder: Path) -> None:
    """A forced transition is a WARNING with its reason."""
    assert run("phase", "Completed", "--force", "--reason", "the window closes").status == 0
    assert entries(folder)[-1]["level"] == "WARNING"
    assert (
        entries(folder)[-1]["details"]
        == "Transitioned from 'NotStarted' to 'Completed' (forced: the window closes)"
    )


def test_forgotten_validation_says_so(run: Run, folder: Path) -> None:
    """A validation taken off the record is a WARNING with its reason."""
    run("result", "guardian-hive", "old_test", "--failed")
    assert run("forget", "guardian-hive", "old_test", "--reason", "replaced") == (
        0,
        "Test 'old_test' for 'guardian-hive' forgotten\n",
        "",
    )
    assert document(folder)["validation_results"] == []
    found = entries(folder)[-1]
    assert (found["level"], found["action"]) == ("WARNING", "ValidationForgotten")
    assert found["details"] == "Test 'old_test' for 'guardian-hive' forgotten: replaced"
