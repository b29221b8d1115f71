"""The commands that read: show, audit, gate, verify."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from commandline import document, entries, outstanding, walk

from pytest_migration_state.tracking.tracker import MigrationTracker
from pytest_migration_state.verification.report import Problem, VerifyReport

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run


def section(out: str, title: str) -> list[str]:
    """The lines of ``out`` from the one that begins with ``title`` to the next empty line."""
    lines = out.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith(title))
    rest = lines[first:]
    return rest[: rest.index("")] if "" in rest else rest


@pytest.fixture
def validated(run: Run, folder: Path) -> dict[str, Any]:
    """The document of a state in Validation with an entry in every part of it."""
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
        "tested_at": "9000-01-16T09:00:00Z",
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


def test_show_prints_every_part_of_a_state(run: Run, validated: dict[str, Any]) -> None:
    """``show`` prints every part of a state."""
    status, out, err = run("show")
    assert (status, err) == (0, "")
    begun, *_, updated = section(out, "State")[2:4]
    assert begun.startswith("Started     2026-01-15T09:00:00.000Z (")
    assert begun.endswith(" days ago)")
    assert updated == f"Updated     {validated['last_updated']} (just now)"
    assert section(out, "Phases")[0].endswith(" > Completed")
    assert fields(out) == {
        "State": "migration-state.json",
        "Migration": f"{validated['metadata']['migration_id']}, docker_to_native on "
        f"{validated['metadata']['platform']}",
        "Containers": "2 removed",
        "Processes": "2 started",
        "Data": "1: guardian-hive-config",
        "Rollback": "unavailable",
        "Error": f"it answers 500, {validated['error']['occurred_at']} (just now)",
        "Gate": "shut: 4 blockers; phase Validation",
    }
    assert section(out, "Component ") == [
        "Component      passed  failed  outstanding  container  process",
        "agent-zero          0       0            1          -        -",
        "guardian-hive       1       0            0    removed    12345",
        "worker-aider        0       2            1    removed  started",
    ]
    blockers = section(out, "Blockers")[1:]
    assert [line.partition(" -> ")[0] for line in blockers] == [
        "  - 'known' of 'worker-aider' failed as its xfail mark expects",
        "  - 'jobs' of 'worker-aider' failed: a job was lost …",
        "  - 't.py::test_skipped' of 'agent-zero' was skipped (no configuration)",
        "  - 't.py::test_pending' of 'worker-aider' was selected to run and has no verdict",
    ]
    assert section(out, "Runs") == [
        "Runs of which nothing is known, begun and not finished: 1 run",
        (
            "  - run run-7 on ci-7 (process 42), begun 2026-01-15T09:00:00Z, has not finished; nothing is "
            "known of it"
        ),
    ]
    assert [line.split()[2] for line in section(out, "Last entries")[1:]] == [
        "ExternalChange",
        "ValidationResult",
    ]


def fields(out: str) -> dict[str, str]:
    """The fields that ``show`` begins with, without times and phases."""
    found = dict(line.split(maxsplit=1) for line in section(out, "State"))
    return {
        name: text for name, text in found.items() if name not in {"Started", "Updated", "Ended", "Phases"}
    }


def test_show_reports_the_empty_parts_of_a_new_state(run: Run) -> None:
    """``show`` reports each part of a new state as empty."""
    run("init")
    out = run("show").out
    assert re.fullmatch(
        r"Phases      \[NotStarted \ds\] > BackupInProgress > ContainerTermination > NativeDeployment > "
        r"Validation > Completed",
        section(out, "Phases")[0],
    )
    shown = fields(out)
    del shown["Migration"]
    assert shown == {
        "State": "migration-state.json",
        "Containers": "0 removed",
        "Processes": "0 started",
        "Data": "none",
        "Rollback": "available",
        "Error": "none",
        "Gate": "shut: 2 blockers; phase NotStarted",
    }
    assert section(out, "Components") == ["Components  none: nothing has been validated yet"]
    assert "Runs" not in out


def test_show_invents_no_values_for_a_bare_document(run: Run, folder: Path) -> None:
    """The document of another tool, with nothing but a phase, is shown without invented values."""
    (folder / "migration-state.json").write_bytes(b'{"phase": "Validation"}')
    status, out, err = run("show")
    assert (status, err) == (0, f"warning: {folder / 'migration-audit.log'}: there is no audit log\n")
    assert section(out, "State")[:5] == [
        "State       migration-state.json",
        "Migration   without an id, of no type on an unknown platform",
        "Started     not known",
        "Updated     not known",
        (
            "Phases      NotStarted > BackupInProgress > ContainerTermination > NativeDeployment > "
            "[Validation] > Completed"
        ),
    ]
    assert section(out, "Last entries") == ["Last entries", "  none"]


def test_nothing_is_cut_in_a_pipe(run: Run, folder: Path) -> None:
    """Every blocker, every component and every key is printed, however many there are."""
    run("init")
    outstanding(folder, *({"test_name": f"test_{number}", "reason": "skipped"} for number in range(300)))
    state = document(folder)
    state["docker_containers_removed"] = [{"name": f"c{number}"} for number in range(100)]
    state["data_preserved"] = {f"k{number}": "x" for number in range(100)}
    (folder / "migration-state.json").write_text(json.dumps(state))
    out = run("show").out
    assert len(section(out, "Component ")) == 1 + 100 + 1
    assert len(section(out, "Blockers")) == 1 + 300 + 2
    assert fields(out)["Data"] == f"100: {', '.join(f'k{number}' for number in range(100))}"
    assert len(run("gate").out.splitlines()) == 1 + 300 + 2


def test_show_prints_all_times_in_utc(run: Run, folder: Path) -> None:
    """Times of other programs, in their own zone, can be compared with ours; a time without a zone stays."""
    state = {
        "phase": "RolledBack",
        "started_at": "2026-01-15T23:30:00.1234567-03:00",
        "last_updated": "/Date(1700000000000)/",
        "completed_at": "2026-01-15T09:00:00",
        "error": {"message": "it answers 500", "occurred_at": "2026-01-15T09:00:00+01:00"},
    }
    (folder / "migration-state.json").write_text(json.dumps(state))
    (folder / "migration-audit.log").write_text(json.dumps({"timestamp": "2026-01-15T09:00:00-03:00"}))
    out = run("show").out
    times = [line.rsplit(" (")[0] for line in section(out, "State")[2:5]]
    assert times == [
        "Started     2026-01-16T02:30:00.123Z",
        "Updated     2023-11-14T22:13:20.000Z",
        "Ended       2026-01-15T09:00:00",
    ]
    assert fields(out)["Error"].startswith("it answers 500, 2026-01-15T08:00:00.000Z (")
    assert section(out, "Last entries")[1].startswith("  2026-01-15T12:00:00.000Z  ")
    printed = json.loads(run("show", "--json").out)
    assert state == {key: printed[key] for key in state}


def test_outstanding_validation_is_not_counted_as_passed(run: Run, folder: Path) -> None:
    """``show`` counts an earlier pass as little as the gate does."""
    walk(run)
    run("result", "hive", "test", "--passed")
    outstanding(
        folder,
        {"component": "hive", "test_name": "test", "reason": "skipped", "since": "9000-01-01T00:00:00Z"},
    )
    assert section(run("show").out, "Component ") == [
        "Component  passed  failed  outstanding",
        "hive            0       0            1",
    ]
    assert run("gate").out.startswith("shut: 1 blocker; phase Validation\n")


#: One validation of "db" under two names, as PowerShell 7 leaves it, and names that only look alike.
REWRITTEN = [
    ("db", "2026-01-15T09:00:00.5000000Z", False),
    ("db", "2026-01-15T06:00:00.5-03:00", True),
    ("web", "2026-01-15T09:00:00.5Z", True),
    ("db", "2026-01-15", True),
    ("db", "t[2026-01-15T09:00:00Z]", True),
    ("db", "t[2026-01-15T09:00:00+00:00]", True),
]


def test_name_that_another_program_rewrote_is_reported(run: Run, folder: Path) -> None:
    """``show`` says that two validations are one, and ``gate`` beside its blocker."""
    results = [
        {"component": component, "test_name": test_name, "passed": passed}
        for component, test_name, passed in REWRITTEN
    ]
    state = {"phase": "Validation", "validation_results": results}
    (folder / "migration-state.json").write_text(json.dumps(state))
    sentence = (
        "'2026-01-15T09:00:00.5000000Z' and '2026-01-15T06:00:00.5-03:00' of 'db' are the same date: "
        "another program rewrote the name"
    )
    assert f"Names       {sentence}" in run("show").out.splitlines()
    (blocker,) = run("gate").out.splitlines()[1:]
    assert blocker.endswith(f" ({sentence})")


@pytest.mark.parametrize("command", ["show", "gate"])
def test_completed_past_the_gate_is_reported(run: Run, command: str) -> None:
    """Completed with a shut gate is reported; the exit status of ``gate`` is 1."""
    run("phase", "Completed", "--force")
    status, out, _ = run(command)
    sentence = "shut: 1 blocker, although the phase is Completed: it was forced (no reason given)"
    assert (status, sentence in out) == (0 if command == "show" else 1, True)


def test_gate_prints_each_blocker_with_its_fix(run: Run, folder: Path) -> None:
    """A shut gate prints every blocker with its fix."""
    walk(run)
    run("result", "guardian-hive", "native_execution_test", "--failed", "--error", "it answers 500")
    outstanding(folder, {"test_name": "t.py::test_a", "reason": "pending"})
    again = "run: pytest --migration-state=migration-state.json t.py::test_a"
    forget = (
        "if it no longer exists: migration-state forget -s migration-state.json guardian-hive "
        "t.py::test_a --reason TEXT"
    )
    forget_result = forget.replace("t.py::test_a", "native_execution_test")
    by_hand = (
        "migration-state result -s migration-state.json guardian-hive native_execution_test --passed (or "
        "--failed)"
    )
    blockers = [
        (
            "'native_execution_test' of 'guardian-hive' failed: it answers 500",
            f"fix it, then check it and record what you see: {by_hand}; {forget_result}",
        ),
        ("'t.py::test_a' of 'guardian-hive' was selected to run and has no verdict", f"{again}; {forget}"),
        (
            "the required component 'agent-zero' has no verdict",
            "run its marked tests: pytest --migration-state=migration-state.json",
        ),
    ]
    lines = "".join(f"  - {message} -> {fix}\n" for message, fix in blockers)
    first = "shut: 3 blockers; phase Validation\n"
    assert run("gate", "--require", "agent-zero") == (1, first + lines, "")
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
        "overridden": [],
        "accepted": [],
    }


def failed_in_a_run(folder: Path, *names: str) -> None:
    """Record failed verdicts as a run of tests does."""
    state = document(folder)
    verdict = {"component": "guardian-hive", "passed": False, "run_id": "7f3c"}
    state["validation_results"] = [{**verdict, "test_name": name} for name in names]
    (folder / "migration-state.json").write_text(json.dumps(state), encoding="utf-8")


def test_an_override_is_shown(run: Run, folder: Path) -> None:
    """``show`` and ``gate`` say who set a verdict by hand over a run's failure, when and why."""
    walk(run)
    failed_in_a_run(folder, "t")
    run("result", "guardian-hive", "t", "--passed", "--reason", "the test asks\nthe old port")
    (verdict,) = document(folder)["validation_results"]
    who, at = verdict["overridden"]["by"], verdict["tested_at"]
    sentence = (
        f"1 verdict was set by hand over a run's failure: 't' of 'guardian-hive' by {who} at {at} "
        "(the test asks …)"
    )
    opened = "Gate        open: nothing keeps this migration from Completed"
    assert section(run("show").out, "Gate") == [opened, f"Note        {sentence}"]
    assert run("gate") == (0, f"open: nothing keeps this migration from Completed\nnote: {sentence}\n", "")
    assert json.loads(run("gate", "--json").out)["overridden"] == [
        {
            "component": "guardian-hive",
            "test_name": "t",
            "by": who,
            "at": at,
            "reason": "the test asks\nthe old port",
        }
    ]


def test_only_overrides_that_count_are_shown(run: Run, folder: Path) -> None:
    """Five are named and the others counted. A failure by hand is a blocker like any other."""
    walk(run)
    failed_in_a_run(folder, *"abcdefgh")
    for name in "abcdefg":
        run("result", "guardian-hive", name, "--passed")
    run("result", "guardian-hive", "h", "--failed")
    *_, note = run("gate").out.splitlines()
    assert note.startswith(
        "note: 7 verdicts were set by hand over a run's failure: 'a' of 'guardian-hive' by "
    )
    assert note.count("(no reason given)") == 5
    assert note.endswith("; and 2 more: see 'migration-state gate --json'")
    assert "h" not in {entry["test_name"] for entry in json.loads(run("gate", "--json").out)["overridden"]}


def test_open_gate_is_exit_status_0(run: Run) -> None:
    """An open gate is exit status 0, in Validation and in Completed."""
    opened = "open: nothing keeps this migration from Completed\n"
    walk(run)
    run("result", "guardian-hive", "t", "--passed")
    assert run("gate") == (0, opened, "")
    assert json.loads(run("gate", "--json").out) == {
        "phase": "Validation",
        "open": True,
        "blockers": [],
        "overridden": [],
        "accepted": [],
    }
    run("phase", "Completed")
    assert run("gate") == (0, "open: the migration is in phase Completed\n", "")


def test_gate_is_shut_before_validation_and_after_a_rollback(run: Run) -> None:
    """It names the phase and the next step, and the exit status is 1, although every validation passed."""
    run("result", "guardian-hive", "t", "--passed")
    state = "-s migration-state.json"
    assert run("gate") == (
        1,
        (
            "shut: the phase is NotStarted; nothing else keeps it shut\n"
            "  - the phase is NotStarted, and Completed can follow only Validation"
            f" -> next: migration-state phase BackupInProgress {state}\n"
        ),
        "",
    )
    shown = fields(run("show").out)
    assert shown["Gate"] == "shut: the phase is NotStarted; nothing else keeps it shut"
    run("phase", "BackupInProgress")
    run("phase", "RolledBack")
    assert run("gate") == (
        1,
        (
            "shut: the migration is rolled back\n"
            "  - the migration is rolled back, which is final"
            f" -> begin again: migration-state init --force {state}\n"
        ),
        "",
    )


@pytest.fixture
def restarted(run: Run) -> None:
    """A migration in Validation: one verdict on the process before the newest, and one on the newest."""
    walk(run)
    run("process", "guardian-hive", "--pid", "111")
    run("result", "guardian-hive", "answers", "--passed")
    run("process", "guardian-hive", "--pid", "222")
    run("result", "guardian-hive", "logs", "--passed")


@pytest.mark.usefixtures("restarted")
def test_stale_verdict_is_a_blocker_and_is_not_shown_as_passed(run: Run) -> None:
    """``gate`` and ``show`` name the verdict, and Completed is refused until it is recorded again."""
    status, out, _ = run("gate")
    message = "'answers' of 'guardian-hive' was validated before its process 222 was started"
    first, blocker = out.splitlines()
    assert (status, first) == (1, "shut: 1 blocker; phase Validation")
    assert blocker.startswith(f"  - {message} -> ")
    shown = run("show").out
    assert section(shown, "Component ") == [
        "Component      passed  failed  outstanding  stale  process",
        "guardian-hive       1       0            0      1      222",
    ]
    assert run("phase", "Completed").status == 1
    run("result", "guardian-hive", "answers", "--passed")
    assert section(run("show").out, "Component ")[0] == "Component      passed  failed  outstanding  process"
    assert run("phase", "Completed").status == 0


@pytest.mark.usefixtures("restarted")
def test_stale_verdict_that_is_allowed_is_a_note(run: Run) -> None:
    """``--allow stale`` opens the gate, and the Completed migration keeps to it."""
    note = (
        "note: 1 validation passed before the newest process was started, which does not keep the gate shut\n"
    )
    opened = "open: nothing keeps this migration from Completed; allowed: 1 stale\n"
    assert run("gate", "--allow", "stale") == (0, f"{opened}{note}", "")
    assert run("phase", "Completed", "--allow", "stale").status == 0
    completed = "open: the migration is in phase Completed; allowed: 1 stale\n"
    assert run("gate") == (0, f"{completed}{note}", "")


def test_process_recorded_in_completed_is_a_note(run: Run) -> None:
    """It leaves the migration complete, and is a blocker again after the way back to Validation."""
    walk(run)
    run("result", "guardian-hive", "answers", "--passed")
    run("phase", "Completed")
    run("process", "guardian-hive")
    status, out, _ = run("gate")
    assert (status, "note: 1 validation passed before the newest process was started" in out) == (0, True)
    run("phase", "Validation", "--force")
    assert run("gate").status == 1


def test_completion_that_was_forced_past_a_stale_verdict_is_reported(run: Run) -> None:
    """The gate stays shut, and --force is named as the cause."""
    walk(run)
    run("result", "guardian-hive", "answers", "--passed")
    run("process", "guardian-hive")
    run("phase", "Completed", "--force", "--reason", "it is late")
    status, out, _ = run("gate")
    assert (status, "although the phase is Completed: it was forced (it is late)" in out) == (1, True)


def test_audit_prints_one_line_per_entry(run: Run, folder: Path) -> None:
    """The log is printed oldest first, the last N on request, and as JSON as in the file."""
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
        "2026-01-15T08:00:00.123Z  INFO     Own                   by a script\n",
        "-                         -        7                     -\n",
    ]
    assert run("audit") == (0, "".join(lines), "")
    assert run("audit", "--last", "3") == (0, "".join(lines[1:]), "")
    assert run("audit", "--last", "0") == (0, "".join(lines), "")
    raw = (folder / "migration-audit.log").read_bytes().splitlines()
    assert run("audit", "--json").out.encode().splitlines() == [*raw[:2], foreign[3:-2], bare[:-1]]
    assert run("audit", "--json", "--last", "1").out.encode() == bare


def entries_of_ours(folder: Path) -> list[dict[str, Any]]:
    """The first two lines of the log, both written by this package."""
    return [json.loads(line) for line in (folder / "migration-audit.log").read_bytes().splitlines()[:2]]


def test_verify_accepts_a_sound_state(run: Run, folder: Path) -> None:
    """A state that nobody tampered with is sound."""
    run("error", "it answers 500")
    assert len(entries(folder)) == 2
    assert run("verify") == (0, "sound: 2 lines in the audit log, 2 of them written by this program\n", "")
    assert json.loads(run("verify", "--json").out)["sound"] is True


def test_verify_reports_a_state_completed_past_the_gate(run: Run) -> None:
    """Completed while the gate is shut is not sound."""
    run("phase", "Completed", "--force")
    assert run("verify").status == 1
    assert json.loads(run("verify", "--json").out)["sound"] is False


def test_verify_prints_problems_and_notes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Problems are printed with their lines, then the notes, and the exit status is 1."""
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
