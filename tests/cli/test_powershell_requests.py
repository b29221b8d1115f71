"""The requests of the PowerShell functions, without PowerShell: one JSON object in, JSON Lines out."""

from __future__ import annotations

import errno
import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest
from commandline import TO_VALIDATION, document, entries

from pytest_migration_state.storage.files import log_file
from pytest_migration_state.storage.files.log_file import LogFile

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run


class Reply(NamedTuple):
    """The exit status, and the lines of the answer by their keys; the last line's key."""

    status: int
    answers: list[Any]
    warnings: list[str]
    error: dict[str, Any]
    last: str


class Ask(Protocol):
    """Send a request about the state in the test's folder."""

    def __call__(self, command: str, **arguments: Any) -> Reply: ...


@pytest.fixture
def ask(run: Run) -> Ask:
    """See :class:`Ask`."""

    def call(command: str, **arguments: Any) -> Reply:
        request = {"command": command, "state": "migration-state.json", **arguments}
        status, out, err = run("powershell", "--request", stdin=json.dumps(request).encode())
        assert err == ""
        assert out.isascii()
        lines = [json.loads(line) for line in out.splitlines()]
        assert all(len(line) == 1 for line in lines)
        found: dict[str, list[Any]] = {"answer": [], "warning": [], "error": [{}], "end": []}
        for line in lines:
            for key, value in line.items():
                found[key].append(value)
        assert found["end"] in ([], [len(lines) - 1])
        return Reply(status, found["answer"], found["warning"], found["error"][-1], next(iter(lines[-1])))

    return call


def begin(ask: Ask) -> None:
    """Begin a migration, and move it to Validation."""
    phases = [{"operation": "set_phase", "phase": phase} for phase in TO_VALIDATION]
    assert ask("apply", operations=[{"operation": "initialize"}, *phases]).last == "end"


def test_operations_are_applied(ask: Ask, folder: Path) -> None:
    """All operations of a request are one commit. The answer is the phase, or the state if it is wanted."""
    begin(ask)
    containers = [
        {"operation": "add_processed_container", "name": f"é{number}", "container_id": "1"}
        for number in (1, 2)
    ]
    assert ask("apply", operations=containers) == Reply(0, [{"phase": "Validation"}], [], {}, "end")
    reply = ask("apply", operations=[{"operation": "set_error", "message": "m"}], wants_state=True)
    assert [one["name"] for one in reply.answers[0]["docker_containers_removed"]] == ["é1", "é2"]
    assert document(folder)["error"]["message"] == "m"


def test_refused_operation_is_named(ask: Ask, folder: Path) -> None:
    """Of several operations, the refused one is named by its number, and none is carried out."""
    begin(ask)
    operations = [{"operation": "set_error", "message": "m"}, {"operation": "set_error", "message": " "}]
    reply = ask("apply", operations=operations)
    assert (reply.status, reply.last) == (2, "error")
    assert reply.error == {
        "message": "object 2 of 2: message ' ' cannot be used: it must not be empty; nothing was recorded",
        "exit_status": 2,
        "type": "InvalidArgumentError",
    }
    assert document(folder)["error"] is None


def test_verdicts_that_contradict_each_other_are_refused(ask: Ask, folder: Path) -> None:
    """Of the rows of a table none is the newer one. Two that agree are one."""
    begin(ask)
    passed = {"operation": "add_validation_result", "component": "a", "test_name": "t", "passed": True}
    reply = ask("apply", operations=[passed, {**passed, "test_name": "u"}, {**passed, "passed": False}])
    assert reply.error["message"].startswith(
        "object 3 of 3: passed 'False' cannot be used: an object before it"
    )
    assert document(folder)["validation_results"] == []
    assert ask("apply", operations=[passed, passed]).last == "end"
    saved = {"operation": "add_preserved_data", "key": "k", "backup_path": "p"}
    reply = ask("apply", operations=[saved, {**saved, "backup_path": "q"}])
    assert "says something else of 'k'; keep one of them" in reply.error["message"]


def test_a_name_is_forgotten_by_one_object(ask: Ask, folder: Path) -> None:
    """Named again it would be a pattern, and take the validations off the record that match it."""
    begin(ask)
    passed = {"operation": "add_validation_result", "component": "a", "passed": True}
    names = ("t*", "t1", "u")
    assert ask("apply", operations=[{**passed, "test_name": name} for name in names]).last == "end"
    forget = {"operation": "forget_validation", "component": "a", "reason": "r"}
    operations = [{**forget, "test_name": ["u", "t*"]}, {**forget, "test_name": ["t*"]}]
    assert ask("apply", operations=operations).error["message"] == (
        "object 2 of 2: test_name 't*' cannot be used: an object before it names it too, of 'a'; keep one of "
        "them; nothing was recorded"
    )
    assert len(document(folder)["validation_results"]) == 3
    assert ask("apply", operations=[{**forget, "test_name": ["t*", "t*"]}]).last == "end"
    assert [one["test_name"] for one in document(folder)["validation_results"]] == ["t1", "u"]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("apply", {"operations": [{"operation": "set_error", "message": "m"}]}),
        ("show", {}),
        ("audit", {"last": 0}),
        ("gate", {"require": [], "allow": []}),
        ("verify", {}),
        ("import_backup", {"manifest": "m.json"}),
    ],
)
def test_no_state_is_an_error_of_its_own_kind(
    ask: Ask, folder: Path, command: str, arguments: dict[str, Any]
) -> None:
    """Without a state nothing is created, and the kind of the error tells it from every other one."""
    reply = ask(command, **arguments)
    assert (reply.status, reply.error["type"]) == (3, "StateNotFoundError")
    assert reply.error["message"] == (
        "Migration state not found. Please initialize first: there is no 'migration-state.json'"
    )
    assert list(folder.iterdir()) == []


def test_sentences_speak_powershell(ask: Ask) -> None:
    """What to do is said in the words of the functions."""
    begin(ask)
    reply = ask("apply", operations=[{"operation": "initialize"}])
    assert reply.error["message"].endswith("use it, or set it aside with -Force")
    (result,) = ask("gate", require=["web"], allow=[]).answers
    assert [blocker["fix"].split(" (")[0] for blocker in result["blockers"]] == [
        f"run {which} marked tests: pytest --migration-state=migration-state.json, or record what you see: "
        f"Add-ValidationResult -StatePath migration-state.json -Component {name} -TestName TEXT -Passed $true"
        for which, name in (("the", "NAME"), ("its", "web"))
    ]
    ask("apply", operations=[{"operation": "set_rollback_availability", "available": False}])
    reply = ask("apply", operations=[{"operation": "set_phase", "phase": "RolledBack"}])
    assert (
        "(Set-RollbackAvailability -StatePath migration-state.json -Available $true)"
        in reply.error["message"]
    )
    failed = {"operation": "add_validation_result", "test_name": "t", "passed": False}
    ask("apply", operations=[{**failed, "component": name} for name in "abcdefghijkl"])
    completion = {"operation": "set_phase", "phase": "completed", "require": ["web", "it's"]}
    reply = ask("apply", operations=[completion])
    first, *blockers, last = reply.error["message"].split("\n")
    assert last.startswith(
        "For a list: (Get-MigrationGate -StatePath migration-state.json -Require web, 'it''s')."
    )
    assert (reply.status, first) == (1, "The gate to Completed is shut: 14 blockers")
    assert "Remove-ValidationResult -StatePath migration-state.json -Component a -TestName t" in blockers[0]


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="Windows takes its time zone from elsewhere")
def test_times_are_local(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of the state, of the log and of the changes in it have the local offset; other texts stay."""
    monkeypatch.setenv("TZ", "XYZ-05:30")
    time.tzset()
    try:
        moment = "2026-01-15T09:00:00Z"
        ask("apply", operations=[{"operation": "initialize"}])
        (state,) = ask(
            "apply", operations=[{"operation": "set_error", "message": moment}], wants_state=True
        ).answers
        entry = ask("audit", last=1).answers[0]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert state["started_at"].endswith("+05:30")
    assert entry["timestamp"].endswith("+05:30")
    assert entry["data"]["error"]["occurred_at"].endswith("+05:30")
    assert state["error"]["message"] == moment


def test_entry_before_the_beginning(ask: Ask, folder: Path) -> None:
    """An entry goes into the log before there is a state; the migration that begins continues that log."""
    log = folder / "migration-audit.log"
    log.write_bytes(b'{"timestamp":"2026-01-15T09:00:00Z","action":"Old"}')
    assert ask("log", action="Notice", details="é", level="WARNING") == Reply(0, [], [], {}, "end")
    assert [*entries(folder)[1]] == ["timestamp", "level", "action", "details"]
    assert not (folder / "migration-state.json").exists()
    assert [entry["action"] for entry in ask("audit", last=0).answers] == ["Old", "Notice"]
    begin(ask)
    ask("log", action="Notice", details="later", level="INFO")
    assert entries(folder)[-1]["seq"] == 6
    assert ask("verify").answers[0]["sound"]
    assert ask("log", action=" ", details="x", level="INFO").error["type"] == "InvalidArgumentError"


def test_early_entry_that_the_disk_refuses_leaves_nothing(
    ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a part of a line, nor one that was written and not flushed: the caller will write it again."""
    log = folder / "migration-audit.log"
    before = b'{"timestamp":"2026-01-15T09:00:00Z","action":"Old"}\n'
    log.write_bytes(before)
    written = iter([5])

    def part(descriptor: int, content: bytes) -> int:
        for size in written:
            return os.write(descriptor, content[:size])
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(log_file, "os_write", part)
    assert (
        "it cannot be written (no space)"
        in ask("log", action="A", details="d", level="INFO").error["message"]
    )
    assert log.read_bytes() == before
    monkeypatch.undo()
    monkeypatch.chdir(folder)

    def refuse(_: LogFile) -> None:
        raise OSError(errno.EIO, "no disk")

    monkeypatch.setattr(LogFile, "flush", refuse)
    assert (
        "it cannot be written (no disk)" in ask("log", action="A", details="d", level="INFO").error["message"]
    )
    assert log.read_bytes() == before


def test_entry_in_the_log_of_another_state_is_refused(ask: Ask, run: Run, folder: Path) -> None:
    """An entry never goes into the log of another state of the folder."""
    run("init", "-s", "migration.json")
    before = (folder / "migration-audit.log").read_bytes()
    reply = ask("log", action="Notice", details="x", level="INFO")
    assert "its audit log migration-audit.log is that of migration.json" in reply.error["message"]
    assert (folder / "migration-audit.log").read_bytes() == before


def test_warnings_come_first(ask: Ask, folder: Path) -> None:
    """A warning is a line of its own before the answer."""
    begin(ask)
    (folder / "migration-audit.log").unlink()
    reply = ask("show")
    assert reply.answers
    assert len(ask("apply", operations=[{"operation": "set_error", "message": "m"}]).warnings) == 1


def test_keys_that_powershell_cannot_read_are_left_out(ask: Ask, folder: Path) -> None:
    """A document of another program is shown without them, and a warning names each."""
    begin(ask)
    path = folder / "migration-state.json"
    state = document(folder)
    state["of_others"] = {"": 1, "psbase": 2, "key": 3, "KEY": 4, "ß": 5, "ss": 6}
    path.write_text(json.dumps(state), encoding="utf-8")
    reply = ask("show")
    assert reply.answers[0]["of_others"] == {"key": 3, "ß": 5, "ss": 6}
    assert reply.warnings == [
        f"the key '{name}' is left out here: PowerShell cannot read it" for name in ("", "psbase", "KEY")
    ]


def test_error_is_printed_as_json_too(run: Run) -> None:
    """With --json an error is also an object on standard output, in ASCII; without it only a sentence."""
    for arguments in (("show", "-s", "é.json", "--json"), ("gate", "--json", "--no-such-option")):
        status, out, err = run(*arguments)
        (error,) = json.loads(out).values()
        assert out.isascii()
        assert (error["exit_status"], err) == (status, f"migration-state: error: {error['message']}\n")
    assert run("show", "-s", "é.json").out == ""
