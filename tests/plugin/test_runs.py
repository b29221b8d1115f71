"""The run on record, and what a reader sees of it: audit log, header, summary, JUnit XML."""

from __future__ import annotations

import os
import platform
import socket
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from recorded import ALONE, XDIST

if TYPE_CHECKING:
    from recorded import Suite

SUITE = "@component\ndef test_a(): pass\n@component\ndef test_b(): assert 0\n@component\n@pytest.mark.skip\ndef test_c(): pass\n"


@pytest.mark.parametrize("how", [ALONE, XDIST])
def test_run_in_the_log(suite: Suite, how: str) -> None:
    """The log names who ran what and how it ended."""
    suite.write(SUITE)
    suite.environment |= {"GITHUB_SHA": "4f5e", "CI_JOB_URL": "https://ci.example/7", "TOKEN": "secret-7"}
    suite.run("-k", "not secret-8", how=how)
    first, *_, last = suite.log()
    assert first["action"] == "RunStarted"
    run_id = first["run_id"]
    assert first["details"] == f"Run {run_id} started"
    where = first["data"]
    assert (where["host"], where["python_version"], where["pytest_version"]) == (
        socket.gethostname(),
        platform.python_version(),
        pytest.__version__,
    )
    assert (where["git_commit"], where["ci_job_url"]) == ("4f5e", "https://ci.example/7")
    assert isinstance(where["process_id"], int)
    assert last["action"] == "RunFinished"
    data = last["data"]
    assert (data["exit_status"], data["counts"]) == (1, {"passed": 1, "failed": 1, "skipped": 1})
    assert data["seconds"] > 0
    assert last["details"].startswith(f"Run {run_id} finished with exit status 1 after ")
    assert {entry["run_id"] for entry in suite.log()} == {run_id}
    assert "secret" not in suite.tracker.audit_log_path.read_text(encoding="utf-8")
    assert "open_runs" not in suite.document()["metadata"]


def test_verdict_in_the_log(suite: Suite) -> None:
    """A verdict names its run, its outcome and its duration; the log's words are the format's."""
    suite.write(SUITE)
    suite.run()
    entries = {entry["details"]: entry for entry in suite.log()}
    assert entries["Test 'test_it.py::test_b' for 'guardian-hive': FAILED"]["action"] == "ValidationResult"
    assert (
        entries["Test 'test_it.py::test_c' for 'guardian-hive': SKIPPED (unconditional skip)"]["level"]
        == "WARNING"
    )
    verdict = suite.document()["validation_results"][1]
    assert list(verdict) == [
        "component",
        "test_name",
        "passed",
        "error_message",
        "tested_at",
        "outcome",
        "duration_seconds",
        "run_id",
    ]
    assert (verdict["passed"], verdict["error_message"]) == (False, "assert 0")


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_run_that_never_finished(suite: Suite) -> None:
    """A run that was killed shows in the header of the next until one of the same has settled it, and one line says that it has."""
    suite.write("@component\ndef test(): os.kill(os.getpid(), 9)")
    suite.run()
    run_id = suite.log()[0]["run_id"]
    suite.write("@component\ndef test(): pass")
    result = suite.run("-k", "test")
    killed = f"run {run_id} on {socket.gethostname()} (process "
    (line,) = [line for line in result.lines if killed in line]
    assert line.startswith(f"migration state: {killed}")
    assert line.endswith(" was killed")
    header, settled = [line for line in suite.run("-v").lines if killed in line]
    assert header.startswith(f"migration state: {killed}")
    assert settled.startswith(f"note: {killed}")
    assert settled.endswith(" was killed; it is settled by this run, which was asked to run the same tests")
    assert killed not in suite.run().output


def test_header_and_summary(suite: Suite) -> None:
    """The header shows the state before the run, the summary the state after it and what to do next."""
    suite.write(SUITE)
    suite.run()
    lines = suite.run().lines
    assert f"migration state: {suite.path}, phase Validation, 1 passed, 1 failed, 1 outstanding" in lines
    begin = next(index for index, line in enumerate(lines) if "= migration validation =" in line)
    pytest_again = f"run: pytest --migration-state={suite.path} test_it.py::test"
    assert lines[begin + 1 : begin + 7] == [
        "guardian-hive  1 passed, 1 failed, 1 outstanding",
        "gate: shut, 2 blockers; phase Validation",
        "  failed: 'test_it.py::test_b' of 'guardian-hive' failed: assert 0",
        f"    -> fix it, then {pytest_again}_b",
        "  outstanding: 'test_it.py::test_c' of 'guardian-hive' was skipped (unconditional skip)",
        (
            "    -> fix what it waits for, then "
            f"{pytest_again}_c, or allow 'skipped'; if it no longer exists: migration-state forget -s {suite.path} guardian-hive "
            "test_it.py::test_c --reason TEXT"
        ),
    ]


def test_many_blockers(suite: Suite) -> None:
    """At most 20 blockers are printed, the rest is counted."""
    suite.write("@component\n@pytest.mark.parametrize('n', range(23))\ndef test(n): assert 0")
    lines = suite.run().lines
    assert sum(line.startswith("  failed: ") for line in lines) == 20
    assert "  and 3 more: see 'migration-state gate'" in lines


@pytest.mark.parametrize("how", [ALONE, XDIST])
def test_component_in_junit_xml(suite: Suite, how: str) -> None:
    """JUnit XML has the component as a property of the test."""
    suite.write(
        '@pytest.mark.migration_component("guardian-hive", "agent-zero")\ndef test(): pass\ndef test_other(): pass'
    )
    suite.run("--junitxml=junit.xml", how=how)
    properties = {
        case.get("name"): [(found.get("name"), found.get("value")) for found in case.iter("property")]
        for case in ET.parse(suite.folder / "junit.xml").iter("testcase")
    }
    assert properties == {
        "test": [("migration_component", "guardian-hive"), ("migration_component", "agent-zero")],
        "test_other": [],
    }


def test_completed_past_the_gate(suite: Suite) -> None:
    """A state that is Completed although its gate is shut is said to be so in the header."""
    suite.write(SUITE)
    suite.run()
    suite.tracker.set_phase("Completed", force=True, reason="the customer waits")
    lines = suite.run("-k", "test_a").lines
    assert any(
        line.startswith("migration state: Completed although the gate is shut: 'test_it.py::test_b'")
        for line in lines
    )


@pytest.mark.parametrize("how", [ALONE, XDIST])
@pytest.mark.parametrize("fix", ["run", "forget"])
def test_run_that_dies_while_it_collects(suite: Suite, how: str, fix: str) -> None:
    """What it would have run is unknown, so the gate waits until the same run succeeds or the operator forgets it."""
    second = "@component\ndef test_b(): pass\n"
    suite.write("@component\ndef test_a(): pass\n")
    suite.run(how=how)
    assert suite.tracker.gate().open
    suite.write({"test_second.py": f"os._exit(0)\n{second}"})
    suite.run()
    (blocker,) = suite.tracker.gate().blockers
    assert (blocker.kind, blocker.component) == ("outstanding", "(collection)")
    suite.write({"test_second.py": second})
    if fix == "run":
        suite.run(how=how)
    else:
        suite.tracker.forget_validation("(collection)", str(blocker.test_name), "killed by hand")
    assert suite.tracker.gate().open


def test_migration_reinitialized_during_a_run(suite: Suite) -> None:
    """What a run records belongs to the migration that it began on: no verdict of it counts for another one."""
    suite.write("""\
        @component
        def test_a(): pass
        @component
        def test_b(migration_state):
            migration_state.initialize(force=True)
            migration_state.set_phase("Validation", force=True)
        @component
        def test_c(): pass
        """)
    run = suite.run("--migration-complete")
    assert run.status == 1
    assert "the state was reinitialized during the run" in run.output
    state = suite.tracker.state
    assert (state.phase, state.validation_results) == ("Validation", ())
