"""One component: ``show COMPONENT`` and ``gate --component``, and why a test failed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commandline import document, walk

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run

DETAIL = "E   assert 500 == 200\n--- Captured stdout call ---\nasking port 8080"


@pytest.fixture
def state(run: Run, folder: Path) -> Path:
    """The folder of a migration in Validation, in which a run recorded a failure with its detail."""
    walk(run)
    run("container", "guardian-hive", "abc")
    run("process", "guardian-hive", "--pid", "12345")
    run("result", "worker-aider", "jobs", "--failed", "--error", "a job was lost")
    run("result", "guardian-hive", "logs", "--passed")
    written = document(folder)
    written["validation_results"].append(
        {
            "component": "guardian-hive",
            "test_name": "t.py::test_answers",
            "passed": False,
            "error_message": "assert 500 == 200\n  +  where 500 = answer()",
            "tested_at": "2026-01-15T09:00:00Z",
            "outcome": "failed",
            "duration_seconds": 0.25,
            "attempts": 2,
            "run_id": "7f3c",
            "detail": DETAIL,
        }
    )
    written["outstanding_validations"] = [
        {
            "component": "guardian-hive",
            "test_name": "t.py::test_later",
            "reason": "skipped",
            "since": "2026-01-15T09:00:00Z",
            "detail": "no configuration",
        }
    ]
    del written["metadata"]["audit"]
    (folder / "migration-state.json").write_text(json.dumps(written), encoding="utf-8")
    (folder / "migration-audit.log").unlink()
    return folder


def test_show_of_a_component_says_why_its_tests_failed(run: Run, state: Path) -> None:
    """Its container and process, what is outstanding, and its verdicts, failed ones first."""
    assert state.exists()
    lines = run("show", "guardian-hive").out.splitlines()
    assert lines[0] == "guardian-hive: 1 passed, 1 failed, 1 outstanding"
    assert lines[1].startswith("Container   abc, removed 20")
    assert lines[2].startswith("Process     12345, started 20")
    assert lines[4] == "skipped: t.py::test_later (no configuration)"
    assert lines[6] == "failed: t.py::test_answers"
    assert lines[7].endswith(" days ago), took 0.25 s, attempt 2")
    assert lines[8:13] == [
        "    assert 500 == 200",
        "      +  where 500 = answer()",
        "      E   assert 500 == 200",
        "      --- Captured stdout call ---",
        "      asking port 8080",
    ]
    assert lines[13] == "passed: logs"


def test_component_as_json(run: Run, state: Path) -> None:
    """It holds what the document holds of it."""
    found = json.loads(run("show", "guardian-hive", "--json").out)
    whole = json.loads(run("show", "--json").out)
    assert state.exists()
    assert found["component"] == "guardian-hive"
    assert [item["id"] for item in found["docker_containers_removed"]] == ["abc"]
    assert [item["process_id"] for item in found["native_processes_started"]] == [12345]
    assert found["validation_results"] == [
        verdict for verdict in whole["validation_results"] if verdict["component"] == "guardian-hive"
    ]
    assert found["outstanding_validations"] == whole["outstanding_validations"]


@pytest.mark.parametrize("arguments", [("show", "guardian-hiv"), ("gate", "--component", "Guardian-Hive")])
def test_unknown_component_is_refused(run: Run, state: Path, arguments: tuple[str, ...]) -> None:
    """A misspelt name never looks like a component without blockers."""
    assert state.exists()
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.endswith(
        f"nothing is on record of a component '{arguments[-1]}'; did you mean 'guardian-hive'?\n"
    )


def test_gate_of_a_component_shows_its_blockers(run: Run, state: Path) -> None:
    """The status is that of the whole gate, and the headline counts the others too."""
    assert state.exists()
    status, out, _ = run("gate", "--component", "worker-aider")
    first, blocker = out.splitlines()
    assert (status, first) == (1, "shut: 3 blockers, 1 of them in 'worker-aider'; phase Validation")
    assert blocker.startswith("  - 'jobs' of 'worker-aider' failed: a job was lost -> ")
    found = json.loads(run("gate", "--component", "worker-aider", "--json").out)
    assert (found["open"], [one["test_name"] for one in found["blockers"]]) == (False, ["jobs"])
    assert found["other_blockers"] == 2
    run("result", "worker-aider", "jobs", "--passed")
    assert run("gate", "--component", "worker-aider")[:2] == (
        1,
        "shut: 2 blockers, 0 of them in 'worker-aider'; phase Validation\n",
    )


def test_verbose_gate_says_why_tests_failed(run: Run, state: Path) -> None:
    """The detail is printed beneath its blocker, and only with -v."""
    assert state.exists()
    lines = run("gate", "-v").out.splitlines()
    begin = next(index for index, line in enumerate(lines) if "t.py::test_answers" in line)
    assert lines[begin + 1 : begin + 4] == [f"      {part}" for part in DETAIL.splitlines()]
    assert "asking port" not in run("gate").out


# --- what is loaded -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        "--help", "gate --help", "gate", "show", "show guardian-hive", "audit", "verify", "show --json",
        "gate --json",
    ],
)  # fmt: skip
def test_rich_is_loaded_only_for_a_terminal(state: Path, arguments: str) -> None:
    """Neither for help and JSON, nor for a pipe."""
    program = (
        "import sys\n"
        "from pytest_migration_state.cli.main import main\n"
        f"main({arguments.split()!r})\n"
        "sys.exit('rich is loaded' if 'rich' in sys.modules else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=state, capture_output=True, check=False)
    assert done.returncode == 0
