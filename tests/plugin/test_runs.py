"""The record of a run, and its appearance in the audit log, the header, the summary and JUnit XML."""

from __future__ import annotations

import json
import os
import platform
import socket
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from outcome_table import BOTH_DEEP
from recorded import ALONE, COMPONENT, XDIST

if TYPE_CHECKING:
    from recorded import Suite

pytestmark = pytest.mark.quick_cases(1)

SUITE = (
    "@component\ndef test_a(): pass\n@component\ndef test_b(): assert 0\n@component\n"
    "@pytest.mark.skip\ndef test_c(): pass\n"
)


def test_summary_names_overrides(suite: Suite) -> None:
    """A failure of a run that was replaced by hand is named until a run records the test again."""
    suite.write("""
        @component
        def test_failing(): assert 0
        @component
        def test_good(): pass
    """)
    suite.run()
    suite.tracker.add_validation_result(
        "guardian-hive", "test_it.py::test_failing", passed=True, reason="OPS-7"
    )
    sentence = "note: 1 verdict was set by hand over a run's failure: 'test_it.py::test_failing' of"
    other = suite.run("-k", "good")
    (note,) = (line for line in other.lines if line.startswith(sentence))
    assert note.endswith(" (OPS-7)")
    assert sentence not in suite.run().output


@pytest.mark.parametrize("how", [ALONE, XDIST])
def test_log_records_the_run(suite: Suite, how: str) -> None:
    """The log names the run, its user and its result."""
    suite.write(SUITE)
    suite.environment |= {"GITHUB_SHA": "4f5e", "CI_JOB_URL": "https://ci.example/7", "TOKEN": "secret-7"}
    suite.run("-k", "not secret-8", how=how)
    adopted, first, *_, last = suite.log()
    assert (adopted["action"], first["action"]) == ("ExternalChange", "RunStarted")
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


def test_log_records_each_verdict(suite: Suite) -> None:
    """A verdict names its run, its outcome and its duration, in the format's wording."""
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
        "detail",
    ]
    assert (verdict["passed"], verdict["error_message"]) == (False, "assert 0")


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_killed_run_is_shown_until_it_is_settled(suite: Suite) -> None:
    """A killed run appears in the header of the next run until the same selection has settled it.

    One line reports that it is settled.
    """
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


def test_header_and_summary_show_the_state(suite: Suite) -> None:
    """The header shows the state before the run; the summary shows the state after it and the next step."""
    suite.write(SUITE)
    suite.run()
    lines = suite.run().lines
    assert f"migration state: {suite.path}, phase Validation, 1 passed, 1 failed, 1 outstanding" in lines
    begin = next(index for index, line in enumerate(lines) if "= migration validation =" in line)
    pytest_again = f"run: pytest --migration-state={suite.path} test_it.py::test"
    forget = f"if it no longer exists: migration-state forget -s {suite.path} guardian-hive test_it.py"
    assert lines[begin + 1 : begin + 7] == [
        "guardian-hive  1 passed, 1 failed, 1 outstanding",
        "gate: shut, 2 blockers; phase Validation",
        "  failed: 'test_it.py::test_b' of 'guardian-hive' failed: assert 0",
        f"    -> fix it, then {pytest_again}_b; {forget}::test_b --reason TEXT",
        "  outstanding: 'test_it.py::test_c' of 'guardian-hive' was skipped (unconditional skip)",
        (
            f"    -> fix what it waits for, then {pytest_again}_c, or allow 'skipped'; "
            f"{forget}::test_c --reason TEXT"
        ),
    ]


def test_header_and_summary_count_as_the_gate_does(suite: Suite) -> None:
    """An outstanding validation is not counted as passed as well, and a settled one not as outstanding."""
    passed = {"component": COMPONENT, "passed": True, "tested_at": "2026-01-15T09:00:00Z"}
    skipped = {"component": COMPONENT, "reason": "skipped"}
    state = {
        "phase": "Validation",
        "validation_results": [{**passed, "test_name": "earlier"}, {**passed, "test_name": "later"}],
        "outstanding_validations": [
            {**skipped, "test_name": "earlier", "since": "2026-01-15T10:00:00Z"},
            {**skipped, "test_name": "later", "since": "2026-01-15T08:00:00Z"},
        ],
    }
    suite.path.write_text(json.dumps(state), encoding="utf-8")
    suite.write("def test(): pass")
    lines = suite.run().lines
    assert f"migration state: {suite.path}, phase Validation, 1 passed, 0 failed, 1 outstanding" in lines
    assert "guardian-hive  1 passed, 1 outstanding" in lines
    assert "gate: shut, 1 blocker; phase Validation" in lines


#: Records a failure after the gate was judged, before the end of the run is recorded.
LATE_FAILURE = """
from pytest_migration_state import MigrationTracker
from pytest_migration_state.tracking.run_writer import RunWriter

finish = RunWriter.finish

def finish_late(run, *arguments, **options):
    MigrationTracker(run.path).add_validation_result("guardian-hive", "by hand", False, "it is down")
    finish(run, *arguments, **options)

RunWriter.finish = finish_late
"""


def test_summary_shows_a_failure_that_comes_after_the_judgement(suite: Suite) -> None:
    """The counts and the gate are those of one state: the one that the run leaves."""
    suite.write({"test_it.py": "@component\ndef test(): pass", "conftest.py": LATE_FAILURE})
    lines = suite.run().lines
    begin = lines.index("guardian-hive  1 passed, 1 failed")
    assert lines[begin + 1 : begin + 3] == [
        "gate: shut, 1 blocker; phase Validation",
        "  failed: 'by hand' of 'guardian-hive' failed: it is down",
    ]


def test_many_blockers_are_counted(suite: Suite) -> None:
    """Blockers of one file are one group, with one command for all of them."""
    suite.write("@component\n@pytest.mark.parametrize('n', range(23))\ndef test(n): assert 0")
    lines = suite.run().lines
    assert [line for line in lines if line.startswith(("  guardian-hive", "    -> "))] == [
        "  guardian-hive  test_it.py: 23 failed; 23 x assert 0",
        f"    -> fix them, then run: pytest --migration-state={suite.path} test_it.py",
    ]


@pytest.mark.parametrize("how", [ALONE, XDIST])
def test_junit_xml_contains_the_component(suite: Suite, how: str) -> None:
    """JUnit XML contains the component as a property of the test."""
    suite.write(
        '@pytest.mark.migration_component("guardian-hive", "agent-zero")\ndef test(): pass\n'
        "def test_other(): pass"
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


def test_header_reports_completion_past_the_gate(suite: Suite) -> None:
    """The header reports a state that is Completed although its gate is shut."""
    suite.write(SUITE)
    suite.run()
    suite.tracker.set_phase("Completed", force=True, reason="the customer waits")
    lines = suite.run("-k", "test_a").lines
    cause = "it was forced (the customer waits)"
    beginning = f"migration state: Completed although the gate is shut ({cause}): 'test_it.py::test_b'"
    assert any(line.startswith(beginning) for line in lines)


def test_verdict_that_becomes_stale_in_a_run_is_not_shown_as_passed(suite: Suite) -> None:
    """A test that starts the process again makes the verdicts before it stale, until the next run."""
    restarts = """\
        @component
        def test_a(): pass
        @component
        def test_b(migration_state):
            if not migration_state.state.native_processes_started:
                migration_state.add_native_process("guardian-hive", 222)
        """
    suite.write(restarts)
    run = suite.run("--migration-complete")
    assert (run.status, suite.phase) == (1, "Validation")
    assert "guardian-hive  1 passed, 1 stale" in run.lines
    says = "  stale: 'test_it.py::test_a' of 'guardian-hive' was validated before its process 222 was started"
    assert says in run.lines
    again = suite.run("--migration-complete")
    assert any(line.endswith("1 passed, 0 failed, 0 outstanding, 1 stale") for line in again.lines)
    assert (again.status, suite.phase) == (0, "Completed")


def test_stale_verdict_that_is_allowed_does_not_keep_the_gate_shut(suite: Suite) -> None:
    """``--migration-allow=stale`` lets a run complete that does not run the test again."""
    suite.write("@component\ndef test_a(): pass\n@component\ndef test_b(): pass\n")
    suite.run()
    suite.tracker.add_native_process("guardian-hive")
    assert suite.run("-k", "test_b", "--migration-complete").status == 1
    assert suite.run("-k", "test_b", "--migration-complete", "--migration-allow=stale").status == 0
    assert suite.phase == "Completed"


def test_phase_is_no_failure_of_a_run(suite: Suite) -> None:
    """A run before Validation ends with pytest's own status, and its summary names the phase."""
    suite.path.write_text('{"phase": "NativeDeployment"}', encoding="utf-8")
    suite.write("@component\ndef test_a(): pass\n")
    run = suite.run()
    assert run.status == 0
    assert "validations: all passed; gate: shut, the phase is NativeDeployment" in run.lines
    suite.write("@component\ndef test_a(): assert False\n")
    failed = suite.run()
    assert "gate: shut, 1 blocker; phase NativeDeployment" in failed.lines
    assert not [line for line in failed.lines if line.startswith("  phase: ")]


def test_allowed_validation_is_not_said_to_be_passed(suite: Suite) -> None:
    """The summary of a run before Validation tells a skipped test that is allowed from one that passed."""
    suite.path.write_text('{"phase": "NativeDeployment"}', encoding="utf-8")
    suite.write("@component\ndef test_a(): pass\n@component\ndef test_b(): pytest.skip('later')\n")
    run = suite.run("--migration-allow=skipped")
    result = "validations: all passed or allowed; gate: shut, the phase is NativeDeployment"
    assert f"{result}; allowed: 1 skipped" in run.lines


@pytest.mark.parametrize("how", BOTH_DEEP)
@pytest.mark.parametrize("fix", ["run", "forget"])
def test_run_killed_during_collection_keeps_the_gate_shut(suite: Suite, how: str, fix: str) -> None:
    """Its selected tests are unknown.

    The gate waits until the same run succeeds or the operator forgets it.
    """
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


def test_run_records_nothing_for_a_reinitialized_migration(suite: Suite) -> None:
    """A run records verdicts only for the migration on which it began, not for the one that replaced it."""
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
    assert "its migration was replaced by a new one during the run" in run.output
    state = suite.tracker.state
    assert (state.phase, state.validation_results) == ("Validation", ())
