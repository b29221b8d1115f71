"""The writing commands: their output, the files they create, and their refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from commandline import contents, document, entries, outstanding, walk

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run

WRITING = {
    "init": ("init", "--force"),
    "phase": ("phase", "BackupInProgress"),
    "container": ("container", "guardian-hive", "abc123def456"),
    "data": ("data", "guardian-hive-config", "backups/config.json"),
    "process": ("process", "guardian-hive"),
    "result": ("result", "guardian-hive", "native_execution_test", "--passed"),
    "rollback": ("rollback", "unavailable"),
    "error": ("error", "the disk is full — völlig"),
    "log": ("log", "Notice", ""),
    "apply": ("apply",),
}


@pytest.mark.parametrize("arguments", WRITING.values(), ids=WRITING)
def test_json_output_is_the_document_on_the_disk(run: Run, folder: Path, arguments: tuple[str, ...]) -> None:
    """With --json a writing command prints the document as it then is on the disk, in ASCII."""
    status, out, _ = run(*arguments, "--json")
    assert status == 0
    assert out.isascii()
    assert json.loads(out) == json.loads((folder / "migration-state.json").read_bytes())
    assert run("show", "--json") == (0, out, "")


def test_clearing_an_error_creates_no_state(run: Run, folder: Path) -> None:
    """Where there is none, its path is misspelt. Otherwise the document is printed without an error."""
    status, out, err = run("error", "--clear")
    assert (status, out, "there is no migration state" in err) == (3, "", True)
    assert list(folder.iterdir()) == []
    run("error", "the disk is full")
    assert json.loads(run("error", "--clear", "--json").out)["error"] is None


@pytest.mark.parametrize(
    "arguments", [pytest.param(arguments, id=name) for name, arguments in WRITING.items() if name != "init"]
)
def test_missing_state_is_created_and_reported(run: Run, folder: Path, arguments: tuple[str, ...]) -> None:
    """A writing command creates a missing state and missing folders, and reports it on standard error."""
    path = "new/folder/shard-3.json"
    status, _, err = run(*arguments, "-s", path)
    phase = "BackupInProgress" if arguments[0] == "phase" else "NotStarted"
    assert (status, err) == (0, f"warning: {path}: created, in phase {phase}\n")
    assert json.loads((folder / path).read_bytes())["phase"] == phase
    assert (folder / "new/folder/shard-3-audit.log").exists()


def test_reading_creates_nothing(run: Run, folder: Path) -> None:
    """Reading commands leave an empty folder empty, and name the next step."""
    begin = "check the path, or begin one: migration-state init -s migration-state.json"
    sentence = f"migration-state.json: there is no migration state here; {begin}"
    for command in ("show", "audit", "gate", "verify"):
        assert run(command) == (3, "", f"migration-state: error: {sentence}\n")
    assert list(folder.iterdir()) == []


def test_refused_command_creates_no_state(run: Run, folder: Path) -> None:
    """If the first command is refused, no state is created."""
    assert run("phase", "Validation").status == 1
    assert contents(folder) == {}


@pytest.mark.parametrize("before", [True, False], ids=["before the command", "after the command"])
def test_state_is_named_by_the_option(
    run: Run, folder: Path, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-s before or after the command takes precedence over the environment."""
    monkeypatch.setenv("MIGRATION_STATE", "other.json")
    assert run(*(("-s", "my.json", "init") if before else ("init", "-s", "my.json"))).status == 0
    assert (folder / "my.json").exists()
    assert not (folder / "other.json").exists()


@pytest.mark.parametrize(
    ("value", "name"), [("other.json", "other.json"), ("", "migration-state.json")], ids=["set", "empty"]
)
def test_state_is_named_by_the_environment(
    run: Run, folder: Path, value: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$MIGRATION_STATE names the state; empty counts as not set."""
    monkeypatch.setenv("MIGRATION_STATE", value)
    assert run("init").status == 0
    assert (folder / name).exists()


def test_existing_state_is_refused_without_force(run: Run, folder: Path) -> None:
    """init leaves an existing state unchanged.

    With --force it is kept under another name, and the log continues.
    """
    run("error", "an old error")
    before = contents(folder)
    sentence = (
        "migration-state.json: there is a migration state already; use it, or set it aside with --force"
    )
    assert run("init") == (1, "", f"migration-state: error: {sentence}\n")
    assert contents(folder) == before
    status, _, err = run("init", "--force")
    (kept,) = folder.glob("migration-state.json.replaced-*")
    assert (status, err) == (
        0,
        f"warning: migration-state.json: the earlier document is kept as {kept.name}\n",
    )
    assert kept.read_bytes() == before["migration-state.json"]
    assert document(folder)["error"] is None
    assert [entry["action"] for entry in entries(folder)] == ["Initialize", "Error", "Initialize"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("[section]", "it is not a migration state (Expecting value: line 1 column 2 (char 1))"),
        ("", "it is empty"),
    ],
    ids=["settings of another program", "empty"],
)
def test_init_says_of_another_file_that_it_is_no_state(
    run: Run, folder: Path, content: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not called a migration state."""
    monkeypatch.setattr("pytest_migration_state.storage.files.document_file.EMPTY_PATIENCE", 0.05)
    (folder / "other.ini").write_text(content, "utf-8")
    fix = "restore it if it was one, name another file for the state, or set this one aside with --force"
    sentence = f"other.ini: there is a file already, but {what}; {fix}"
    assert run("init", "-s", "other.ini") == (1, "", f"migration-state: error: {sentence}\n")
    assert run("init", "-s", "other.ini", "--force").status == 0


@pytest.mark.parametrize(
    "command",
    [
        ["init"],
        ["init", "--force"],
        ["phase", "Validation", "--force"],
        ["result", "db", "dump", "--passed"],
        ["gate"],
        ["verify"],
    ],
    ids=" ".join,
)
def test_two_states_never_share_a_log(run: Run, folder: Path, command: list[str]) -> None:
    """Every command on the second is refused, and the first keeps its verdict."""
    run("phase", "Validation", "--force", "-s", "prod-state.json")
    run("result", "db", "dump", "--failed", "-s", "prod-state.json")
    before = contents(folder)
    sentence = (
        "prod.json: its audit log prod-audit.log is that of prod-state.json, which is in the same folder; "
        "give this state another name or a folder of its own"
    )
    assert run(*command, "-s", "prod.json") == (3, "", f"migration-state: error: {sentence}\n")
    assert contents(folder) == before
    assert run("gate", "-s", "prod-state.json").status == 1


def test_one_blocker_is_one_line(run: Run, folder: Path) -> None:
    """A single blocker refuses Completed in one line. The refusal is recorded, and the phase is unchanged."""
    walk(run)
    sentence = (
        "no validation has a verdict yet; run the marked tests: pytest --migration-state=migration-state.json"
    )
    assert run("phase", "Completed") == (
        1,
        "",
        f"migration-state: error: The gate to Completed is shut: {sentence}\n",
    )
    assert document(folder)["phase"] == "Validation"
    assert (entries(folder)[-1]["level"], entries(folder)[-1]["action"]) == ("WARNING", "GateBlocked")


def test_every_blocker_is_named_up_to_twenty(run: Run, folder: Path) -> None:
    """Completed is refused with a line for each of twenty blockers, and the number of the others."""
    walk(run)
    outstanding(folder, *({"test_name": f"t.py::test_{number}", "reason": "pending"} for number in range(23)))
    run("result", "guardian-hive", "other", "--passed")
    status, out, err = run("phase", "Completed")
    assert (status, out) == (1, "")
    first, *blockers, last = err.splitlines()
    assert first == "migration-state: error: The gate to Completed is shut: 23 blockers"
    assert [line.split(" of ")[0] for line in blockers] == [
        f"  - 't.py::test_{number}'" for number in range(20)
    ]
    assert last == "  and 3 more"


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        pytest.param((), 1, id="none"),
        pytest.param(("--allow", "skipped"), 1, id="one of two reasons"),
        pytest.param(("--allow", "skipped", "--allow", "deselected"), 0, id="both reasons"),
        pytest.param(
            ("--allow", "skipped", "--allow", "deselected", "--require", "guardian-hive"),
            0,
            id="required and there",
        ),
        pytest.param(
            ("--allow", "skipped", "--allow", "deselected", "--require", "agent-zero"),
            1,
            id="required and missing",
        ),
    ],
)
def test_policy_options_apply_to_the_transition_too(
    run: Run, folder: Path, policy: tuple[str, ...], status: int
) -> None:
    """--require and --allow have the same meaning for 'phase Completed' as for 'gate'."""
    walk(run)
    outstanding(folder, {"test_name": "a", "reason": "skipped"}, {"test_name": "b", "reason": "deselected"})
    run("result", "guardian-hive", "c", "--passed")
    assert run("gate", *policy).status == status
    assert run("phase", "Completed", *policy).status == status
    assert document(folder)["phase"] == ("Validation" if status else "Completed")


REFUSED = {
    "illegal transition": (
        (),
        ("phase", "Completed"),
        1,
        "Invalid phase transition from 'NotStarted' to 'Completed'. Valid transitions: BackupInProgress",
    ),
    "final phase": (
        (("phase", "BackupInProgress"), ("phase", "RolledBack")),
        ("phase", "Validation"),
        1,
        "Invalid phase transition from 'RolledBack' to 'Validation'. Valid transitions: none, it is final",
    ),
    "rollback unavailable": (
        (("phase", "BackupInProgress"), ("rollback", "unavailable")),
        ("phase", "RolledBack"),
        1,
        (
            "Rollback from 'BackupInProgress' is marked as unavailable. If it is possible after all, mark it "
            "as available first (command 'rollback available'), or force the transition with a reason"
        ),
    ),
    "unknown phase": (
        (),
        ("phase", "Done"),
        2,
        (
            "argument PHASE: 'Done' cannot be used: it must be one of NotStarted, BackupInProgress, "
            "ContainerTermination, NativeDeployment, Validation, "
            "Completed, RolledBack (see 'migration-state phase --help')"
        ),
    ),
    "unknown level": (
        (),
        ("log", "Notice", "text", "--level", "LOUD"),
        2,
        (
            "argument --level: 'LOUD' cannot be used: it must be one of INFO, WARNING, ERROR (see "
            "'migration-state log --help')"
        ),
    ),
    "unknown reason": (
        (),
        ("gate", "--allow", "failing"),
        2,
        (
            "argument --allow: 'failing' cannot be used: it must be one of skipped, deselected, xfailed, "
            "stale (see 'migration-state gate --help')"
        ),
    ),
    "unknown availability": (
        (),
        ("rollback", "maybe"),
        2,
        (
            "argument AVAILABILITY: 'maybe' cannot be used: it must be one of available, unavailable (see "
            "'migration-state rollback --help')"
        ),
    ),
    "process id no number": (
        (),
        ("process", "guardian-hive", "--pid", "twelve"),
        2,
        (
            "argument --pid: 'twelve' cannot be used: it must be an integer from 1 (see 'migration-state "
            "process --help')"
        ),
    ),
    "process id out of range": (
        (),
        ("process", "guardian-hive", "--pid", "0"),
        2,
        (
            "argument --pid: '0' cannot be used: it must be an integer from 1 (see 'migration-state "
            "process --help')"
        ),
    ),
    "last no number": (
        (),
        ("audit", "--last", "-3"),
        2,
        (
            "argument --last: '-3' cannot be used: it must be an integer from 0 (see 'migration-state audit "
            "--help')"
        ),
    ),
    "no verdict": (
        (),
        ("result", "guardian-hive", "test"),
        2,
        (
            "--passed or --failed is missing; example: migration-state result guardian-hive "
            "native_execution_test --passed (see 'migration-state result --help')"
        ),
    ),
    "two verdicts": (
        (),
        ("result", "guardian-hive", "test", "--passed", "--failed"),
        2,
        "--failed and --passed exclude each other; leave one out (see 'migration-state result --help')",
    ),
    "passed with an error": (
        (),
        ("result", "guardian-hive", "test", "--passed", "--error", "it answers 500"),
        2,
        "--error says why a test failed; leave it out, or say --failed",
    ),
    "failed with a reason": (
        (),
        ("result", "guardian-hive", "test", "--failed", "--reason", "it answers 500"),
        2,
        "--reason says why a test counts as passed; say why it failed with --error",
    ),
    "empty name": ((), ("container", " ", "abc"), 2, "name ' ' cannot be used: it must not be empty"),
    "empty reason": (
        (("result", "guardian-hive", "test", "--failed"),),
        ("forget", "guardian-hive", "test", "--reason", ""),
        2,
        "reason '' cannot be used: it must not be empty",
    ),
    "nothing to forget": (
        (),
        ("forget", "guardian-hive", "test", "--reason", "gone"),
        2,
        (
            "test_name 'test' cannot be used: 'guardian-hive' has neither a verdict nor an outstanding "
            "validation of this name"
        ),
    ),
    "an error to record and to clear": (
        (("error", "slow"),),
        ("error", "--clear", "slow"),
        2,
        "--clear takes the error off the record; leave it out, or the message",
    ),
    "no error": (
        (),
        ("error",),
        2,
        "say what went wrong, or take the error off the record with --clear",
    ),
    "one of several that is not there": (
        (("result", "guardian-hive", "test", "--failed"),),
        ("forget", "guardian-hive", "test", "t[*]", "--reason", "gone"),
        2,
        (
            "test_name 't[*]' cannot be used: 'guardian-hive' has neither a verdict nor an outstanding "
            "validation that matches it"
        ),
    ),
    "nothing of a component": (
        (("result", "guardian-hive", "test", "--failed"),),
        ("forget", "guardian", "--reason", "gone"),
        2,
        "component 'guardian' cannot be used: it has neither a verdict nor an outstanding validation",
    ),
    "nothing named": (
        (),
        ("forget", "--reason", "gone"),
        2,
        (
            "COMPONENT is missing; example: migration-state forget guardian-hive native_execution_test "
            "--reason 'replaced by test_guardian_hive.py' (see 'migration-state forget --help')"
        ),
    ),
    "key that differs in case": (
        (("data", "Config", "a"),),
        ("data", "config", "b"),
        2,
        (
            "key 'config' cannot be used: 'Config' already exists and differs only in case, which PowerShell "
            "does not distinguish"
        ),
    ),
    "required component without a name": (
        (),
        ("gate", "--require", ""),
        2,
        "require '' cannot be used: it must not be empty",
    ),
    "missing argument": (
        (),
        ("container", "x"),
        2,
        (
            "ID is missing; example: migration-state container guardian-hive abc123def456 (see "
            "'migration-state container --help')"
        ),
    ),
    "surplus argument": (
        (),
        ("verify", "x"),
        2,
        (
            "'verify' does not take 'x'; example: migration-state verify --json (see "
            "'migration-state verify --help')"
        ),
    ),
    "abbreviated option": (
        (),
        ("init", "--forc"),
        2,
        "there is no option '--forc'; did you mean '--force'? (see 'migration-state init --help')",
    ),
}


@pytest.mark.parametrize(("before", "arguments", "status", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refusal_is_one_sentence_and_changes_nothing(
    run: Run,
    folder: Path,
    before: tuple[tuple[str, ...], ...],
    arguments: tuple[str, ...],
    status: int,
    sentence: str,
) -> None:
    """A refusal by the rules or the command line is one line with the reason, and no file changes."""
    for earlier in (("init",), *before):
        assert run(*earlier).status == 0
    files = contents(folder)
    assert run(*arguments) == (status, "", f"migration-state: error: {sentence}\n")
    assert contents(folder) == files
