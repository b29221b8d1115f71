"""The commands that read: show, audit, gate, verify."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from commandline import document, entries, outstanding, walk

from pytest_migration_state.tracking.tracker import MigrationTracker
from pytest_migration_state.verification.report import Problem, VerifyReport

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run


def section(out: str, title: str) -> list[str]:
    """The lines of ``out`` from the one that begins with ``title`` to the next empty one."""
    lines = out.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith(title))
    rest = lines[first:]
    return rest[: rest.index("")] if "" in rest else rest


@pytest.fixture
def validated(run: Run, folder: Path) -> dict[str, Any]:
    """The document of a state in Validation with something in every part of it."""
    walk(run)
    run("container", "guardian-hive", "abc")
    run("container", "worker-aider", "def")
    run("data", "guardian-hive-config", "backups/config.json")
    run("process", "guardian-hive", "--pid", "12345")
    run("process", "worker-aider")
    run("rollback", "unavailable")
    run("error", "it answers 500")
    outstanding(
        folder,
        {
            "component": "agent-zero",
            "test_name": "t.py::test_skipped",
            "reason": "skipped",
            "detail": "no configuration",
        },
        {"component": "worker-aider", "test_name": "t.py::test_pending", "reason": "pending"},
        {"component": "guardian-hive", "test_name": "settled", "reason": "pending"},
    )
    state = document(folder)
    settled = {
        "component": "guardian-hive",
        "test_name": "settled",
        "passed": True,
        "tested_at": "2026-01-16T09:00:00Z",
    }
    xfailed = {"component": "worker-aider", "test_name": "known", "passed": False, "outcome": "xfailed"}
    state["validation_results"] = [settled, xfailed]
    state["metadata"]["open_runs"] = {
        "run-7": {"started_at": "2026-01-15T09:00:00Z", "host": "ci-7", "process_id": 42}
    }
    state["started_at"] = "2026-01-15T09:00:00Z"
    (folder / "migration-state.json").write_text(json.dumps(state))
    run("result", "worker-aider", "jobs", "--failed", "--error", "a job was lost\nand another")
    return document(folder)


def test_show_at_a_glance(run: Run, validated: dict[str, Any]) -> None:
    """``show`` prints every part of a state."""
    status, out, err = run("show")
    assert (status, err) == (0, "")
    head = section(out, "State")
    assert head[:3] == [
        "State       migration-state.json",
        f"Migration   {validated['metadata']['migration_id']}",
        f"            docker_to_native on {validated['metadata']['platform']}",
    ]
    assert head[3].startswith("Started     2026-01-15T09:00:00Z (")
    assert head[3].endswith(" days ago)")
    assert head[4] == f"Updated     {validated['last_updated']} (just now)"
    assert section(out, "Phase") == [
        "Phase       NotStarted",
        "            BackupInProgress",
        "            ContainerTermination",
        "            NativeDeployment",
        "        ->  Validation",
        "            Completed",
        "            RolledBack",
    ]
    assert section(out, "Containers") == [
        "Containers  2: guardian-hive, worker-aider",
        "Data        1: guardian-hive-config",
        "Processes   2: guardian-hive (12345), worker-aider",
        "Rollback    unavailable",
        f"Error       it answers 500, {validated['error']['occurred_at']} (just now)",
    ]
    assert section(out, "Components") == [
        "Components     passed  failed  outstanding",
        "guardian-hive       1       0            0",
        "worker-aider        0       2            1",
        "agent-zero          0       0            1",
    ]
    assert section(out, "Failed") == [
        "Failed",
        "  - worker-aider: known (as its xfail mark expects)",
        "  - worker-aider: jobs: a job was lost\\nand another",
    ]
    assert section(out, "Outstanding") == [
        "Outstanding",
        "  - agent-zero: t.py::test_skipped, skipped: no configuration",
        "  - worker-aider: t.py::test_pending, pending",
    ]
    assert section(out, "Gate") == ["Gate        shut, 4 blockers; 'migration-state gate' says what to do"]
    assert section(out, "Runs") == [
        "Runs that began and did not end, or are running now",
        (
            "  - run run-7 on ci-7 (process 42), begun 2026-01-15T09:00:00Z, has not finished; nothing is "
            "known of it"
        ),
    ]
    assert [line.split()[2] for line in section(out, "Last entries")[1:]] == [
        "ProcessStarted", "ProcessStarted", "RollbackAvailability", "Error", "ValidationResult",
    ]  # fmt: skip


def test_show_of_a_new_state(run: Run) -> None:
    """``show`` says of each part of a new state that it is empty."""
    run("init")
    out = run("show").out
    assert section(out, "Phase")[0] == "Phase   ->  NotStarted"
    assert section(out, "Containers") == [
        "Containers  none", "Data        none", "Processes   none", "Rollback    available", "Error       none",
    ]  # fmt: skip
    assert section(out, "Components") == ["Components  none: nothing has been validated yet"]
    assert section(out, "Gate") == ["Gate        shut, 1 blocker; 'migration-state gate' says what to do"]
    assert "Runs that began" not in out


def test_show_of_a_bare_document(run: Run, folder: Path) -> None:
    """A document of another tool, with nothing but a phase, is shown without made-up values."""
    (folder / "migration-state.json").write_bytes(b'{"phase": "Validation"}')
    status, out, err = run("show")
    assert (status, err) == (0, f"warning: {folder / 'migration-audit.log'}: there is no audit log\n")
    assert section(out, "State") == [
        "State       migration-state.json",
        "Migration   without an id",
        "            of no type on an unknown platform",
        "Started     not known",
        "Updated     not known",
    ]
    assert section(out, "Last entries") == ["Last entries", "  none"]


def test_long_lists_are_counted(run: Run, folder: Path) -> None:
    """Twenty items of a list are shown, and the rest are counted."""
    run("init")
    outstanding(
        folder, *({"test_name": f"test_{number}", "reason": "collection_error"} for number in range(22))
    )
    state = document(folder)
    state["validation_results"] = [
        {"component": "c", "test_name": f"test_{number}", "passed": False} for number in range(21)
    ]
    state["docker_containers_removed"] = [{"name": f"c{number}"} for number in range(25)]
    (folder / "migration-state.json").write_text(json.dumps(state))
    out = run("show").out
    assert section(out, "Outstanding")[-2:] == [
        "  - guardian-hive: test_19, collection error",
        "  and 2 more",
    ]
    assert section(out, "Failed")[-2:] == ["  - c: test_19", "  and 1 more"]
    assert (
        section(out, "Containers")[0]
        == f"Containers  25: {', '.join(f'c{number}' for number in range(20))} and 5 more"
    )


@pytest.mark.parametrize("command", ["show", "gate"])
def test_completed_past_the_gate_is_said_to_be_so(run: Run, command: str) -> None:
    """Completed with a shut gate is reported; the exit status of ``gate`` is 1."""
    run("phase", "Completed", "--force")
    status, out, _ = run(command)
    sentence = (
        "the phase is 'Completed' although the gate is shut: it was forced, it was set by a tool that "
        "does not know the gate, "
        "or what shuts the gate came later"
    )
    assert (status, sentence in out) == (0 if command == "show" else 1, True)


def test_gate_says_what_to_do(run: Run, folder: Path) -> None:
    """A shut gate prints every blocker with its fix."""
    walk(run)
    run("result", "guardian-hive", "native_execution_test", "--failed", "--error", "it answers 500")
    outstanding(folder, {"test_name": "t.py::test_a", "reason": "pending"})
    again = "run: pytest --migration-state=migration-state.json t.py::test_a"
    forget = (
        "if it no longer exists: migration-state forget -s migration-state.json guardian-hive "
        "t.py::test_a --reason TEXT"
    )
    by_hand = (
        "migration-state result -s migration-state.json guardian-hive native_execution_test --passed (or "
        "--failed)"
    )
    blockers = [
        (
            "'native_execution_test' of 'guardian-hive' failed: it answers 500",
            f"fix it, then check it and record what you see: {by_hand}",
        ),
        ("'t.py::test_a' of 'guardian-hive' was selected to run and has no verdict", f"{again}; {forget}"),
        (
            "the required component 'agent-zero' has no verdict",
            "run its marked tests: pytest --migration-state=migration-state.json",
        ),
    ]
    lines = "".join(f"  - {message}\n    -> {fix}\n" for message, fix in blockers)
    assert run("gate", "--require", "agent-zero") == (1, f"shut: 3 blockers\n{lines}", "")
    status, out, _ = run("gate", "--require", "agent-zero", "--json")
    assert status == 1
    validations = [
        ("failed", "guardian-hive", "native_execution_test"),
        ("outstanding", "guardian-hive", "t.py::test_a"),
        ("missing_component", "agent-zero", None),
    ]
    assert json.loads(out) == {
        "phase": "Validation",
        "open": False,
        "blockers": [
            {"kind": kind, "component": component, "test_name": test_name, "message": message, "fix": fix}
            for (kind, component, test_name), (message, fix) in zip(validations, blockers, strict=True)
        ],
    }


def test_open_gate(run: Run) -> None:
    """An open gate is exit status 0; a phase that Completed cannot follow is named."""
    run("result", "guardian-hive", "t", "--passed")
    opened = "open: nothing keeps this migration from Completed\n"
    assert run("gate") == (
        0,
        f"{opened}the phase is 'NotStarted': Completed can follow only Validation\n",
        "",
    )
    walk(run)
    assert run("gate") == (0, opened, "")
    assert json.loads(run("gate", "--json").out) == {"phase": "Validation", "open": True, "blockers": []}
    run("phase", "Completed")
    assert run("gate") == (0, opened, "")


def test_audit_prints_an_entry_a_line(run: Run, folder: Path) -> None:
    """The log is printed oldest first, the last N on request, and as JSON exactly as in the file."""
    run("error", "it answers 500")
    foreign = (
        b'\xef\xbb\xbf{"timestamp":"2026-01-15T09:00:00.1234567+01:00","level":"INFO",'
        b'"action":"Own","details":"by a script"}\r\n'
    )
    bare = b'{"details": null, "action": 7}\n'
    with (folder / "migration-audit.log").open("ab") as file:
        file.write(foreign + bare)
    first, second = (entry["timestamp"] for entry in entries_of_ours(folder))
    lines = [
        f"{first}  INFO     Initialize            Migration state initialized\n",
        f"{second}  ERROR    Error                 it answers 500\n",
        "2026-01-15T09:00:00.1234567+01:00  INFO     Own                   by a script\n",
        "-                         -        7                     -\n",
    ]
    assert run("audit") == (0, "".join(lines), "")
    assert run("audit", "--last", "3") == (0, "".join(lines[1:]), "")
    assert run("audit", "--last", "0") == (0, "", "")
    raw = (folder / "migration-audit.log").read_bytes().splitlines()
    assert run("audit", "--json").out.encode().splitlines() == [*raw[:2], foreign[3:-2], bare[:-1]]
    assert run("audit", "--json", "--last", "1").out.encode() == bare


def entries_of_ours(folder: Path) -> list[dict[str, Any]]:
    """The first two lines of the log, both written by this package."""
    return [json.loads(line) for line in (folder / "migration-audit.log").read_bytes().splitlines()[:2]]


def test_verify_of_a_sound_state(run: Run, folder: Path) -> None:
    """A state that nobody tampered with is sound."""
    run("error", "it answers 500")
    assert len(entries(folder)) == 2
    assert run("verify") == (0, "sound: 2 lines in the audit log, 2 of them written by this program\n", "")
    assert json.loads(run("verify", "--json").out)["sound"] is True


def test_verify_of_a_state_completed_past_the_gate(run: Run) -> None:
    """Completed while the gate is shut is not sound."""
    run("phase", "Completed", "--force")
    assert run("verify").status == 1
    assert json.loads(run("verify", "--json").out)["sound"] is False


def test_verify_prints_what_was_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Problems are named with their lines, notes follow, and the exit status is 1."""
    report = VerifyReport(
        (
            Problem("changed", 3, "line 3: it was changed"),
            Problem("completed_past_gate", None, "the gate is shut"),
        ),
        ("a note",),
        7,
        5,
    )
    monkeypatch.setattr(MigrationTracker, "verify", lambda _: report)
    assert run("verify") == (
        1,
        (
            "not sound, 2 problems: 7 lines in the audit log, 5 of them written by this program\n"
            "  - line 3: it was changed\n  - the gate is shut\nnote: a note\n"
        ),
        "",
    )
    status, out, _ = run("verify", "--json")
    assert (status, json.loads(out)) == (1, report.to_object())
