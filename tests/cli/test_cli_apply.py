"""``apply`` and ``MigrationTracker.apply``: several operations, all of them or none."""

from __future__ import annotations

import inspect
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from commandline import contents, document, entries, outstanding, walk

from pytest_migration_state import (
    GateBlockedError,
    InvalidArgumentError,
    InvalidTransitionError,
    MigrationStateError,
    MigrationTracker,
    StateExistsError,
)
from pytest_migration_state.cli.commands.apply import LINE_LIMIT
from pytest_migration_state.domain.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from commandline import Run

FLOW: tuple[dict[str, Any], ...] = (
    {"operation": "initialize"},
    {"operation": "set_phase", "phase": "BackupInProgress"},
    {"operation": "add_preserved_data", "key": "config", "backup_path": "backups/config.json"},
    {"operation": "set_phase", "phase": "ContainerTermination"},
    {"operation": "add_processed_container", "name": "guardian-hive", "container_id": "abc"},
    {"operation": "set_phase", "phase": "NativeDeployment", "force": False, "reason": None},
    {"operation": "add_native_process", "name": "guardian-hive", "process_id": 12345},
    {"operation": "set_phase", "phase": "Validation"},
    {"operation": "set_rollback_availability", "available": True},
    {"operation": "set_error", "message": "it is slow"},
    {"operation": "clear_error"},
    {"operation": "set_error", "message": "it answers 500"},
    {"operation": "write_audit", "action": "Notice", "details": "mended", "level": "WARNING"},
    {
        "operation": "add_validation_result",
        "component": "guardian-hive",
        "test_name": "t",
        "passed": False,
        "error_message": "500",
    },
    {
        "operation": "add_validation_result",
        "component": "guardian-hive",
        "test_name": "t",
        "passed": True,
        "error_message": None,
    },
    {"operation": "add_validation_result", "component": "guardian-hive", "test_name": "old", "passed": False},
    {
        "operation": "forget_validation",
        "component": "guardian-hive",
        "test_name": ["old", "ol*"],
        "reason": "replaced",
    },
    {"operation": "set_phase", "phase": "Completed", "require": ["guardian-hive"], "allow": ["skipped"]},
)


def jsonl(*requests: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(request).encode() + b"\n" for request in requests)


def shape(folder: Path) -> tuple[Any, ...]:
    """Document and log without times and ids."""
    state, log = document(folder), entries(folder)
    verdicts = [
        (item["component"], item["test_name"], item["passed"]) for item in state["validation_results"]
    ]
    words = [(entry["level"], entry["action"], entry["details"]) for entry in log]
    return (
        state["phase"],
        state["data_preserved"],
        state["error"]["message"],
        verdicts,
        state["metadata"]["revision"],
        words,
    )


def test_one_apply_carries_out_the_whole_flow(run: Run, folder: Path) -> None:
    """Operations from standard input act like the single commands, and are appended as one block."""
    assert run("apply", stdin=jsonl(*FLOW)) == (0, "18 operations applied; the phase is 'Completed'\n", "")
    together = shape(folder)
    assert [entry["seq"] for entry in entries(folder)] == list(range(1, 19))
    for path in folder.iterdir():
        path.unlink()
    for request in FLOW:
        assert run("apply", "-", stdin=jsonl(request)).status == 0
    assert shape(folder) == together


def test_operations_are_read_from_a_file_and_the_document_is_printed_as_json(run: Run, folder: Path) -> None:
    """A file is read like standard input; --json prints the document as it then is on the disk."""
    (folder / "operations.jsonl").write_bytes(jsonl(*FLOW))
    status, out, err = run("apply", "operations.jsonl", "--json")
    assert (status, err) == (0, "")
    assert out.encode() == (folder / "migration-state.json").read_bytes()


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(b'\xef\xbb\xbf{"operation":"set_error","message":"x"}\n', id="BOM"),
        pytest.param(
            (
                b'{"operation":"set_error","message":"x"}\r\n'
                b'{"operation":"set_rollback_availability","available":true}\r\n'
            ),
            id="CRLF",
        ),
        pytest.param(b'\n  \n{"operation":"set_error","message":"x"}\n\r\n', id="empty lines"),
        pytest.param(b'{"operation":"set_error","message":"x"}', id="no line end"),
        pytest.param(b' { "message" : "x" , "operation" : "set_error" } ', id="spaces and another order"),
    ],
)
def test_lines_of_other_tools_are_read(run: Run, folder: Path, lines: bytes) -> None:
    """BOM, CRLF, empty lines and a missing line end are accepted."""
    assert run("apply", stdin=lines).status == 0
    assert document(folder)["error"]["message"] == "x"


def test_empty_input_is_accepted(run: Run, folder: Path) -> None:
    """Empty input is not an error, and leaves an existing state's log as it was."""
    run("init")
    log = (folder / "migration-audit.log").read_bytes()
    assert run("apply", stdin=b"\n\n") == (0, "0 operations applied; the phase is 'NotStarted'\n", "")
    assert (folder / "migration-audit.log").read_bytes() == log


GOOD = b'{"operation":"set_error","message":"never written"}'
KNOWN = ", ".join(OPERATIONS)

WRONG = {
    "no JSON": (b"set_error x", "it is not an operation as a JSON object (Expecting value, at character 1)"),
    "list": (
        b'["set_error"]',
        "it is not an operation as a JSON object (expected a JSON object, found a list)",
    ),
    "key twice": (
        b'{"operation":"set_error","message":"a","message":"b"}',
        "it is not an operation as a JSON object (duplicate key 'message')",
    ),
    "NaN": (
        b'{"operation":"add_native_process","name":"x","process_id":NaN}',
        "it is not an operation as a JSON object (NaN is not a JSON number)",
    ),
    "huge number": (
        b'{"operation":"add_native_process","name":"x","process_id":1e999}',
        "it is not an operation as a JSON object (the number 1e999 is too large)",
    ),
    "nested too deep": (
        b'{"operation":' * 20_000,
        "it is not an operation as a JSON object (too deeply nested)",
    ),
    "no UTF-8": (
        b'{"operation":"set_error","message":"\xff"}',
        (
            "it is not an operation as a JSON object ('utf-8' codec can't decode byte 0xff in position 36: "
            "invalid start byte)"
        ),
    ),
    "no operation": (
        b'{"phase":"Validation"}',
        f"operation '' cannot be used: it is missing; it must be one of {KNOWN}",
    ),
    "unknown operation": (
        b'{"operation":"destroy"}',
        f"operation 'destroy' cannot be used: it must be one of {KNOWN}",
    ),
    "operation no text": (
        b'{"operation":["set_error"]}',
        f"operation \"['set_error']\" cannot be used: it must be one of {KNOWN}",
    ),
    "a reading method": (
        b'{"operation":"read_audit"}',
        f"operation 'read_audit' cannot be used: it must be one of {KNOWN}",
    ),
    "missing argument": (
        b'{"operation":"add_processed_container","name":"x"}',
        "operation 'add_processed_container' cannot be used: its argument 'container_id' is missing",
    ),
    "null for an argument": (
        b'{"operation":"set_error","message":null}',
        "operation 'set_error' cannot be used: its argument 'message' is missing",
    ),
    "surplus argument": (
        b'{"operation":"set_error","message":"x","colour":null}',
        "operation 'set_error' cannot be used: it has no argument 'colour'; its arguments are message",
    ),
    "inner argument": (
        b'{"operation":"set_phase","phase":"BackupInProgress","state":"x"}',
        (
            "operation 'set_phase' cannot be used: it has no argument 'state'; its arguments are phase, "
            "force, reason, require, allow"
        ),
    ),
    "policy": (
        b'{"operation":"set_phase","phase":"BackupInProgress","policy":{}}',
        (
            "operation 'set_phase' cannot be used: it has no argument 'policy'; its arguments are phase, "
            "force, reason, require, allow"
        ),
    ),
    "path": (
        b'{"operation":"initialize","path":"../../x"}',
        "operation 'initialize' cannot be used: it has no argument 'path'; its arguments are force",
    ),
    "text no text": (
        b'{"operation":"set_error","message":5}',
        "message '5' cannot be used: it must be a string",
    ),
    "truth no truth": (
        b'{"operation":"add_validation_result","component":"c","test_name":"t","passed":"yes"}',
        "passed 'yes' cannot be used: it must be true or false",
    ),
    "force no truth": (
        b'{"operation":"set_phase","phase":"BackupInProgress","force":1}',
        "force '1' cannot be used: it must be true or false",
    ),
    "reason no text": (
        b'{"operation":"set_phase","phase":"BackupInProgress","reason":5}',
        "reason '5' cannot be used: it must be a string",
    ),
    "number no number": (
        b'{"operation":"add_native_process","name":"x","process_id":"12"}',
        "process_id '12' cannot be used: it must be an integer from 1 to 4294967295",
    ),
    "truth for a number": (
        b'{"operation":"add_native_process","name":"x","process_id":true}',
        "process_id 'True' cannot be used: it must be an integer from 1 to 4294967295",
    ),
    "number beyond every process": (
        b'{"operation":"add_native_process","name":"x","process_id":4294967296}',
        "process_id '4294967296' cannot be used: it must be an integer from 1 to 4294967295",
    ),
    "require no list": (
        b'{"operation":"set_phase","phase":"BackupInProgress","require":"guardian-hive"}',
        "require 'guardian-hive' cannot be used: it must be a list of strings",
    ),
    "allow unknown": (
        b'{"operation":"set_phase","phase":"BackupInProgress","allow":["failed"]}',
        "allow 'failed' cannot be used: it must be one of skipped, deselected, xfailed, stale",
    ),
    "unknown phase": (
        b'{"operation":"set_phase","phase":"Done"}',
        (
            "phase 'Done' cannot be used: it must be one of NotStarted, BackupInProgress, "
            "ContainerTermination, NativeDeployment, Validation, "
            "Completed, RolledBack"
        ),
    ),
    "phase no text": (
        b'{"operation":"set_phase","phase":{}}',
        (
            "phase '{}' cannot be used: it must be one of NotStarted, BackupInProgress, "
            "ContainerTermination, NativeDeployment, Validation, "
            "Completed, RolledBack"
        ),
    ),
    "unknown level": (
        b'{"operation":"write_audit","action":"a","details":"d","level":["INFO"]}',
        "level \"['INFO']\" cannot be used: it must be one of INFO, WARNING, ERROR",
    ),
    "long value": (
        b'{"operation":"set_phase","phase":"' + b"x" * 500_000 + b'"}',
        (
            f"phase '{'x' * 200}…' cannot be used: it must be one of NotStarted, BackupInProgress, "
            "ContainerTermination, NativeDeployment, Validation, "
            "Completed, RolledBack"
        ),
    ),
    "a path over 4 KiB": (
        b'{"operation":"add_preserved_data","key":"k","backup_path":"' + b"x" * 4097 + b'"}',
        (
            f"backup_path '{'x' * 200}…' cannot be used: it is longer than 4 KiB, and a path is never cut; "
            "give a shorter one"
        ),
    ),
}


@pytest.mark.parametrize(("line", "sentence"), WRONG.values(), ids=WRONG)
def test_wrong_line_is_named_and_nothing_is_applied(
    run: Run, folder: Path, line: bytes, sentence: str
) -> None:
    """An invalid line is exit status 2 and one sentence with its number. No line is carried out."""
    run("init")
    before = contents(folder)
    assert run("apply", stdin=GOOD + b"\n\n" + line + b"\n" + GOOD) == (
        2,
        "",
        f"migration-state: error: line 3: {sentence}\n",
    )
    assert contents(folder) == before


def line_of(size: int) -> bytes:
    """Return a failed verdict as one line of ``size`` bytes."""
    verdict = {"operation": "add_validation_result", "component": "c", "test_name": "t", "passed": False}
    start = json.dumps({**verdict, "error_message": ""}).encode().removesuffix(b'"}')
    return start.ljust(size - 2, b"x") + b'"}'


def test_failed_verdict_with_the_longest_message_replaces_an_earlier_pass(run: Run, folder: Path) -> None:
    """A line of 64 MiB is read, in less memory than four times its size."""
    run("result", "c", "t", "--passed")
    stdin = line_of(LINE_LIMIT) + b"\r\n"
    tracemalloc.start()
    try:
        status, _, err = run("apply", stdin=stdin)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (status, err) == (0, "")
    (verdict,) = document(folder)["validation_results"]
    assert not verdict["passed"]
    # The copy that stands for standard input counts too.
    assert peak < 5 * LINE_LIMIT


def test_line_over_the_limit_is_refused(run: Run, folder: Path) -> None:
    """A line of more than 64 MiB is exit status 2 and one sentence; no line is carried out."""
    run("init")
    before = contents(folder)
    stdin = GOOD + b"\n" + line_of(LINE_LIMIT + 1) + b"\n"
    sentence = "line 2: it is longer than 64 MiB; shorten it"
    assert run("apply", stdin=stdin) == (2, "", f"migration-state: error: {sentence}\n")
    assert contents(folder) == before


REFUSED = {
    "illegal transition": (
        (),
        {"operation": "set_phase", "phase": "Completed"},
        ("phase", "Completed"),
    ),
    "rollback unavailable": (
        (("phase", "BackupInProgress"), ("rollback", "unavailable")),
        {"operation": "set_phase", "phase": "RolledBack"},
        ("phase", "RolledBack"),
    ),
    "existing state": ((), {"operation": "initialize"}, ("init",)),
    "nothing to forget": (
        (),
        {"operation": "forget_validation", "component": "c", "test_name": "t", "reason": "r"},
        ("forget", "c", "t", "--reason", "r"),
    ),
    "empty name": (
        (),
        {"operation": "add_processed_container", "name": "", "container_id": "x"},
        ("container", "", "x"),
    ),
}


@pytest.mark.parametrize(("before", "request_", "command"), REFUSED.values(), ids=REFUSED)
def test_refused_line_is_reported_like_the_single_command(
    run: Run,
    folder: Path,
    before: tuple[tuple[str, ...], ...],
    request_: dict[str, Any],
    command: tuple[str, ...],
) -> None:
    """A refused line has the exit status and sentence of the single command; the state is unchanged."""
    for earlier in (("init",), *before):
        assert run(*earlier).status == 0
    files = contents(folder)
    alone = run(*command)
    assert alone.status in (1, 2)
    together = run("apply", stdin=GOOD + b"\n" + jsonl(request_))
    assert together == (alone.status, "", alone.err.replace("error: ", "error: line 2: ", 1))
    assert contents(folder) == files


def test_gate_is_evaluated_on_the_result_of_the_earlier_lines(run: Run, folder: Path) -> None:
    """A failed verdict in line 1 shuts the gate for line 2. Only the refusal is recorded."""
    walk(run)
    run("result", "guardian-hive", "t", "--passed")
    state = document(folder)
    failed = {
        "operation": "add_validation_result",
        "component": "guardian-hive",
        "test_name": "t",
        "passed": False,
    }
    status, _, err = run("apply", stdin=jsonl(failed, {"operation": "set_phase", "phase": "Completed"}))
    assert (status, err.partition("failed;")[0]) == (
        1,
        "migration-state: error: line 2: The gate to Completed is shut: 't' of 'guardian-hive' ",
    )
    assert document(folder)["validation_results"] == state["validation_results"]
    assert document(folder)["phase"] == "Validation"
    assert entries(folder)[-1]["action"] == "GateBlocked"
    assert len(entries(folder)) == state["metadata"]["audit"]["seq"] + 1


def test_earlier_lines_can_open_the_gate(run: Run, folder: Path) -> None:
    """A blocker that earlier lines settled no longer keeps the gate shut."""
    walk(run)
    outstanding(folder, {"test_name": "t", "reason": "pending"})
    passed = {
        "operation": "add_validation_result",
        "component": "guardian-hive",
        "test_name": "t",
        "passed": True,
    }
    assert run("apply", stdin=jsonl(passed, {"operation": "set_phase", "phase": "Completed"})).status == 0
    assert document(folder)["phase"] == "Completed"


@pytest.mark.parametrize(
    "first",
    [{"operation": "set_error", "message": "x"}, {"operation": "initialize"}],
    ids=["created", "begun"],
)
def test_refused_apply_creates_no_state(run: Run, folder: Path, first: dict[str, Any]) -> None:
    """A refusal creates no state, whichever line is refused and for whatever reason."""
    completed = {"operation": "set_phase", "phase": "Completed"}
    assert run("apply", stdin=jsonl(first, completed)).status == 1
    assert contents(folder) == {}
    forward = [
        {"operation": "set_phase", "phase": phase}
        for phase in ("BackupInProgress", "ContainerTermination", "NativeDeployment")
    ]
    assert (
        run(
            "apply",
            stdin=jsonl(first, *forward, {"operation": "set_phase", "phase": "Validation"}, completed),
        ).status
        == 1
    )
    assert contents(folder) == {}


def test_forced_initialize_can_be_one_of_the_operations(run: Run, folder: Path) -> None:
    """A forced initialize sets the earlier document aside, unless a later line is refused."""
    run("error", "an old error")
    before = contents(folder)
    begin = {"operation": "initialize", "force": True}
    assert run("apply", stdin=jsonl(begin, {"operation": "set_phase", "phase": "Validation"})).status == 1
    assert contents(folder) == before
    assert run("apply", stdin=jsonl({"operation": "set_error", "message": "x"}, begin)).status == 0
    assert document(folder)["error"] is None
    (kept,) = folder.glob("migration-state.json.replaced-*")
    assert kept.read_bytes() == before["migration-state.json"]
    assert [entry["action"] for entry in entries(folder)] == ["Initialize", "Error", "Error", "Initialize"]


def test_forced_initialize_replaces_a_damaged_document(run: Run, folder: Path) -> None:
    """Like the command, a forced initialize in the first line needs no readable document."""
    run("init")
    (folder / "migration-state.json").write_bytes(b"[]")
    assert run("apply", stdin=jsonl({"operation": "set_error", "message": "x"})).status == 3
    status, _, _ = run(
        "apply",
        stdin=jsonl({"operation": "initialize", "force": True}, {"operation": "set_error", "message": "x"}),
    )
    assert (status, document(folder)["error"]["message"]) == (0, "x")


def test_too_many_lines_are_refused(run: Run, folder: Path) -> None:
    """100,000 lines are read. The next one is refused by its number, and empty lines count."""
    run("init")
    files = contents(folder)
    sentence = "line 100001: 100,000 lines are the most that can be applied at once; split the input"
    assert run("apply", stdin=GOOD + b"\n" * 100_001) == (2, "", f"migration-state: error: {sentence}\n")
    assert contents(folder) == files
    assert run("apply", stdin=GOOD + b"\n" * 100_000).status == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing.jsonl", "No such file or directory"), (".", "Is a directory")],
    ids=["missing", "folder"],
)
def test_unreadable_file_is_wrong_usage(run: Run, folder: Path, name: str, reason: str) -> None:
    """A file that cannot be read is wrong usage, and no state is created."""
    assert run("apply", name) == (2, "", f"migration-state: error: {name}: it cannot be read ({reason})\n")
    assert list(folder.iterdir()) == []


# --- in Python ----------------------------------------------------------------------------------------------


def test_operations_are_the_methods_of_the_tracker() -> None:
    """Every operation is a method of MigrationTracker with the same arguments; two lists replace a policy."""
    found = {}
    for name in OPERATIONS:
        parameters = list(inspect.signature(getattr(MigrationTracker, name)).parameters.values())[1:]
        required = tuple(parameter.name for parameter in parameters if parameter.default is parameter.empty)
        optional = tuple(
            parameter.name for parameter in parameters if parameter.default is not parameter.empty
        )
        if "policy" in optional:
            optional = (*(name for name in optional if name != "policy"), "require", "allow")
        found[name] = (required, optional)
    assert found == {name: known[1:] for name, known in OPERATIONS.items()}


def test_tracker_applies_and_returns_the_state(folder: Path) -> None:
    """MigrationTracker.apply takes mappings and returns the new state."""
    state = MigrationTracker(folder / "migration-state.json").apply(iter(FLOW))
    assert (state.phase, len(state.validation_results)) == ("Completed", 1)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        pytest.param(
            {"operation": "set_phase", "phase": "Completed"}, InvalidTransitionError, id="transition"
        ),
        pytest.param({"operation": "initialize"}, StateExistsError, id="exists"),
        pytest.param({"operation": "nothing"}, InvalidArgumentError, id="unknown"),
        pytest.param("set_error", InvalidArgumentError, id="no mapping"),
    ],
)
def test_tracker_names_the_position_of_the_refused_operation(
    folder: Path, request_: Any, error: type[MigrationStateError]
) -> None:
    """The error names the position of the operation, counted from 1."""
    tracker = MigrationTracker(folder / "migration-state.json")
    tracker.initialize()
    before = contents(folder)
    with pytest.raises(error) as caught:
        tracker.apply([{"operation": "set_error", "message": "x"}, request_])
    assert caught.value.position == 2
    assert contents(folder) == before


def test_tracker_continues_after_a_refusal(folder: Path) -> None:
    """Operations staged before a refusal are discarded. The next one starts from the state on the disk."""
    tracker = MigrationTracker(folder / "migration-state.json", create=True, notify=lambda _: None)
    for phase in ("BackupInProgress", "ContainerTermination", "NativeDeployment", "Validation"):
        tracker.set_phase(phase)
    with pytest.raises(GateBlockedError):
        tracker.apply(
            [{"operation": "set_error", "message": "x"}, {"operation": "set_phase", "phase": "Completed"}]
        )
    state = tracker.add_validation_result("guardian-hive", "t", passed=True)
    assert (state.error, len(state.validation_results)) == (None, 1)
    assert [entry["action"] for entry in entries(folder)][-2:] == ["GateBlocked", "ValidationResult"]
