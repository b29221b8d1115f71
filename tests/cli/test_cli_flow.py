"""A whole migration through the command line alone, compared with the text in the design."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from commandline import document, entries, walk

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


def test_whole_flow_writes_the_document_and_log_of_the_design(run: Run, folder: Path) -> None:
    """From init to Completed, each command reports what it did. Document and log are those of the design."""
    assert [run(*arguments) for arguments, _, _ in FLOW] == [
        (0, f"{sentence}\n", "") for _, sentence, _ in FLOW
    ]

    found = document(folder)
    assert list(found) == [
        "phase", "started_at", "completed_at", "last_updated", "docker_containers_removed", "data_preserved",
        "native_processes_started",
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
            "audit": {
                "seq": len(FLOW),
                "hash": log[-1]["hash"],
                "content": found["metadata"]["audit"]["content"],
            },
            "completed_with": {"at": found["completed_at"], "require": [], "allow": []},
        },
        "outstanding_validations": [],
    }
    assert [tuple(entry)[:4] for entry in log] == [("timestamp", "level", "action", "details")] * len(FLOW)
    assert [(entry["level"], entry["action"], entry["details"]) for entry in log] == [
        entry for _, _, entry in FLOW
    ]
    assert [tuple(entry)[4:] for entry in log] == [("seq", "run_id", "actor", "data", "hash")] * len(FLOW)


def test_whole_flow_works_with_processes(start: Start, folder: Path) -> None:
    """The same commands, run as separate processes, have the same result."""
    for arguments, sentence, _ in FLOW:
        assert start(*arguments) == (0, f"{sentence}\n", "")
    assert document(folder)["phase"] == "Completed"
    assert [(entry["level"], entry["action"], entry["details"]) for entry in entries(folder)] == [
        entry for _, _, entry in FLOW
    ]


def test_forced_transition_is_logged_as_a_warning(run: Run, folder: Path) -> None:
    """A forced transition is a WARNING with its reason."""
    assert run("phase", "Completed", "--force", "--reason", "the window closes").status == 0
    assert entries(folder)[-1]["level"] == "WARNING"
    assert (
        entries(folder)[-1]["details"]
        == "Transitioned from 'NotStarted' to 'Completed' (forced: the window closes)"
    )


def test_forgotten_validation_is_logged_as_a_warning(run: Run, folder: Path) -> None:
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


def test_an_error_is_cleared_once(run: Run, folder: Path) -> None:
    """The log keeps its first line. Where there is no error, nothing is recorded and nothing is wrong."""
    run("error", "the disk is full\nof logs")
    assert run("error", "--clear") == (0, "Error cleared: the disk is full …\n", "")
    assert document(folder)["error"] is None
    found = entries(folder)[-1]
    assert (found["level"], found["action"]) == ("INFO", "ErrorCleared")
    assert found["details"] == "Error cleared: the disk is full …"
    assert run("error", "--clear") == (0, "There is no error to clear\n", "")
    assert entries(folder)[-1] == found
    assert run("verify").status == 0


def test_several_validations_are_forgotten_in_one_commit(run: Run, folder: Path) -> None:
    """Names and patterns: each validation has its entry, all are appended at once and named in the output."""
    for name in ("t[1]", "t[2]", "new", "old a", "old b"):
        run("result", "hive", name, "--passed")
    assert run("forget", "hive", "t[*]", "new", "*[2]", "--reason", "gone") == (
        0,
        "3 validations of 'hive' forgotten\n  t[1]\n  t[2]\n  new\n",
        "",
    )
    found = entries(folder)[-3:]
    assert [entry["part"] for entry in found] == [[1, 3], [2, 3], [3, 3]]
    assert {entry["action"] for entry in found} == {"ValidationForgotten"}
    assert [one["test_name"] for one in document(folder)["validation_results"]] == ["old a", "old b"]
    assert run("verify").status == 0


def test_every_validation_of_a_component_is_forgotten_without_a_name(run: Run, folder: Path) -> None:
    """Without TEST the whole component is off the record, even if one of its tests is called '*'."""
    for component, name in (("hive", "*"), ("hive", "b"), ("proxy", "b")):
        run("result", component, name, "--passed")
    assert run("forget", "hive", "--reason", "gone").out == "2 validations of 'hive' forgotten\n  *\n  b\n"
    assert [one["component"] for one in document(folder)["validation_results"]] == ["proxy"]
    status, out, _ = run("forget", "proxy", "--reason", "gone", "--json")
    assert (status, out.encode()) == (0, (folder / "migration-state.json").read_bytes())


@pytest.mark.parametrize(
    "arguments",
    [
        ("hive", "--reason", "r", "b"),
        ("--reason", "r", "hive", "--json", "b"),
        ("--reason=r", "--", "hive", "-a", "b"),
        ("hive", "b", "--reason=r", "--", "-a", "--json"),
    ],
    ids=" ".join,
)
def test_options_stand_anywhere_between_the_names(run: Run, folder: Path, arguments: tuple[str, ...]) -> None:
    """Options may stand before, between and after the names; behind '--' everything is a name."""
    for name in ("-a", "b", "--json"):
        run("result", "--passed", "--", "hive", name)
    assert run("forget", *arguments).status == 0
    behind = arguments[arguments.index("--") :] if "--" in arguments else ()
    left = {one["test_name"] for one in document(folder)["validation_results"]}
    assert left == {"-a", "b", "--json"} - {"b", *behind}


def test_an_unknown_option_among_the_names_is_refused(run: Run) -> None:
    """A name that begins with '-' needs '--' before it."""
    run("result", "hive", "b", "--passed")
    assert run("forget", "hive", "-a", "b", "--reason", "r") == (
        2,
        "",
        (
            "migration-state: error: there is no option '-a'; a text that begins with '-' needs '--' before "
            "it (see 'migration-state forget --help')\n"
        ),
    )


def test_late_result_that_shuts_the_gate_is_a_warning(run: Run) -> None:
    """The migration stays Completed, and ``show`` says why its gate is shut."""
    walk(run)
    assert run("result", "hive", "t", "--passed").err == ""
    assert run("phase", "Completed").status == 0
    assert run("result", "hive", "t", "--passed").err == ""
    late = run("result", "hive", "t", "--failed")
    assert (late.status, late.err) == (
        0,
        (
            "warning: migration-state.json: the migration is Completed, and its gate is shut: "
            "'t' of 'hive' failed\n"
        ),
    )
    cause = "the gate was open when it was completed, and what shuts it came later"
    assert f"although the phase is Completed: {cause}" in run("show").out


def test_result_after_a_rollback_is_a_warning(run: Run) -> None:
    """It changes nothing for the migration."""
    walk(run)
    run("phase", "RolledBack")
    late = run("result", "hive", "t", "--passed")
    warning = "warning: migration-state.json: the migration is rolled back: the result changes nothing\n"
    assert (late.status, late.err) == (0, warning)


def test_refused_command_on_a_wrong_path_says_that_there_is_no_state(run: Run, folder: Path) -> None:
    """It leaves nothing behind, neither a lock file nor a folder."""
    refused = run("phase", "Validation", "-s", "wrong/path.json")
    assert refused.status == 1
    assert refused.err.endswith("; there was no migration state at wrong/path.json, and none was created\n")
    assert list(folder.iterdir()) == []


def test_forced_policy_is_kept(run: Run) -> None:
    """A completion that was forced past a requirement stays past it."""
    walk(run)
    run("result", "a", "t", "--passed")
    assert run("phase", "Completed", "--require", "b").status == 1
    assert run("phase", "Completed", "--require", "b", "--force", "--reason", "it is late").status == 0
    gate = run("gate")
    assert gate.status == 1
    assert "the required component 'b' has no verdict" in gate.out
    assert "although the phase is Completed: it was forced (it is late)" in gate.out


def test_forced_completion_with_an_open_gate_is_no_cause(run: Run) -> None:
    """--force had nothing to force: what shuts the gate later is the cause."""
    walk(run)
    run("result", "a", "t", "--passed")
    assert run("phase", "Completed", "--force", "--reason", "ok").status == 0
    assert run("gate").status == 0
    run("result", "a", "u", "--failed")
    assert "the gate was open when it was completed, and what shuts it came later" in run("gate").out


def test_completion_from_another_phase_is_a_forced_one(run: Run) -> None:
    """The phase kept the gate shut, so who forced the phase is named as the cause of a gate that is shut."""
    run("init")
    run("result", "a", "t", "--passed")
    assert run("phase", "Completed").status == 1
    assert run("phase", "Completed", "--force", "--reason", "ok").status == 0
    assert run("gate").status == 0
    run("result", "a", "u", "--failed")
    assert "although the phase is Completed: it was forced (ok)" in run("gate").out


def test_result_before_the_end_is_no_warning(run: Run, folder: Path) -> None:
    """Only a verdict after the last change of the phase came late."""
    walk(run)
    operations = folder / "operations"
    verdict = {"operation": "add_validation_result", "component": "a", "test_name": "t", "passed": True}
    back = {"operation": "set_phase", "phase": "RolledBack"}
    operations.write_text(f"{json.dumps(verdict)}\n{json.dumps(back)}\n", "utf-8")
    assert run("apply", "operations").err == ""


def test_refusal_with_many_blockers_says_that_there_is_no_state(run: Run, folder: Path) -> None:
    """The note is in the first line."""
    phases = ["BackupInProgress", "ContainerTermination", "NativeDeployment", "Validation"]
    requests: list[dict[str, object]] = [{"operation": "set_phase", "phase": phase} for phase in phases]
    requests.append({"operation": "set_phase", "phase": "Completed", "require": ["a", "b"]})
    (folder / "operations").write_text("\n".join(map(json.dumps, requests)), "utf-8")
    refused = run("apply", "operations", "-s", "wrong.json")
    assert refused.status == 1
    assert "there was no migration state at wrong.json, and none was created" in refused.err.splitlines()[0]
