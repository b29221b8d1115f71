"""The state cannot be written while tests run.

The tests continue, and the run reports which results it lost.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from outcome_table import BOTH_DEEP
from recorded import ALONE, XDIST, Run

from pytest_migration_state import MigrationTracker, StateNotFoundError

if TYPE_CHECKING:
    from recorded import Suite

pytestmark = pytest.mark.quick_cases(2)

BOTH = pytest.mark.parametrize("how", [ALONE, XDIST])
DEEP_ON_WORKERS = pytest.mark.parametrize("how", BOTH_DEEP)

#: Delete the state's folder. The recorder may write at that moment, and a new file would stop rmtree.
DELETE = 'os.rename("state", "gone"); shutil.rmtree("gone")'
#: Three tests, of which the second interferes with the state.
SUITE = """
import json, os, pathlib, shutil
state = pathlib.Path("migration-state.json")
log = pathlib.Path("migration-audit.log")

@component
def test_a(): pass

@component
def test_b(): {meddle}

@component
def test_c(): pass
"""


def run(suite: Suite, meddle: str, how: str = ALONE, *arguments: str) -> Run:
    suite.write(SUITE.format(meddle=meddle))
    # One file for each worker, so that the three tests run in order.
    return suite.run("--dist=loadfile" if how == XDIST else "-v", *arguments, how=how)


PASSED = {"::test_a": "passed", "::test_b": "passed", "::test_c": "passed"}


@BOTH
def test_deleted_folder_is_reported_and_all_tests_run(suite: Suite, how: str) -> None:
    """The state's folder is deleted: all tests run, and the results that could not be recorded are named."""
    suite.path = suite.folder / "state" / "migration-state.json"
    result = run(suite, DELETE, how)
    assert result.status == 1
    assert "3 passed" in result.output
    assert "problem: not everything could be recorded: " in result.output
    # The verdict of test_a may have been on record before the folder was deleted.
    for name in "bc":
        assert f"  not recorded: Test 'test_it.py::test_{name}' for 'guardian-hive': PASSED" in result.output
    with pytest.raises(StateNotFoundError):
        suite.tracker.read()


def test_deleted_folder_prevents_completion(suite: Suite) -> None:
    """A migration whose state is gone is not completed, and no new state is created in its place."""
    suite.path = suite.folder / "state" / "migration-state.json"
    suite.path.parent.mkdir()
    suite.path.write_text('{"phase": "Validation"}', encoding="utf-8")
    result = run(suite, DELETE, ALONE, "--migration-complete")
    assert result.status == 1
    assert "not completed: " in result.output
    assert not suite.path.exists()


@DEEP_ON_WORKERS
def test_replaced_folder_receives_the_whole_state(suite: Suite, how: str) -> None:
    """The state's folder is deleted and created again: the complete state is written again."""
    suite.path = suite.folder / "state" / "migration-state.json"
    result = run(suite, f'{DELETE}; os.mkdir("state")', how)
    assert suite.books == PASSED
    assert "note: " in result.output


@DEEP_ON_WORKERS
def test_deleted_document_is_written_again(suite: Suite, how: str) -> None:
    """Only the document is deleted: it is written again, complete."""
    assert run(suite, "state.unlink()", how).status == 0
    assert suite.books == PASSED


@DEEP_ON_WORKERS
def test_deleted_log_is_reported_and_nothing_lost(suite: Suite, how: str) -> None:
    """Only the log is deleted: no part of the state is lost, and the gate is shut until that is accepted."""
    result = run(suite, "log.unlink()", how)
    assert result.status == 0
    assert "note: " in result.output
    assert "  log: the audit log is gone: entries 1 to " in result.output
    assert suite.books == PASSED
    assert not suite.can_be_completed()
    suite.tracker.accept_record("ops", "the suite deletes its log")
    again = run(suite, "pass", how)
    assert "note: accepted by ops at " in again.output
    assert "  log: " not in again.output
    assert suite.can_be_completed()


def test_unwritable_log_is_noted(suite: Suite) -> None:
    """The log can no longer be written: the document is written directly, with a note."""
    result = run(suite, "log.unlink(); log.mkdir()")
    assert result.status == 0
    assert "the audit log cannot be written" in result.output
    document = json.loads(suite.path.read_text(encoding="utf-8"))
    assert [verdict["passed"] for verdict in document["validation_results"]] == [True, True, True]


def test_unwritable_document_fails_the_run(suite: Suite) -> None:
    """The document can no longer be written: the log's content is not lost, and the run fails."""
    suite.path.unlink()
    result = run(suite, "state.unlink(); state.mkdir()")
    assert result.status == 1
    assert "3 passed" in result.output
    suite.path.rmdir()
    assert suite.books == PASSED


def test_invalid_document_is_not_overwritten(suite: Suite) -> None:
    """The document is overwritten with invalid content: the run fails and does not overwrite it."""
    result = run(suite, 'state.write_text("[]")')
    assert result.status == 1
    assert "problem: " in result.output
    assert suite.path.read_text(encoding="utf-8") == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit to the size of files")
@BOTH
def test_full_disk_is_reported_and_all_tests_run(suite: Suite, how: str) -> None:
    """Nothing can be written any more: all tests run, and the results that were lost are named."""
    suite.write({"conftest.py": FULL})
    result = run(suite, "pass", how)
    assert result.status == 1
    assert "3 passed" in result.output
    for name in "bc":
        assert f"  not recorded: Test 'test_it.py::test_{name}' for 'guardian-hive': PASSED" in result.output
    assert suite.books == {"::test_a": "passed", "::test_b": "pending", "::test_c": "pending"}
    assert not suite.can_be_completed()


FULL = """
import resource
def pytest_runtest_logstart(nodeid):
    if nodeid.endswith("test_b") and "PYTEST_XDIST_WORKER" not in os.environ:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit to the size of files")
def test_results_are_written_once_there_is_space(suite: Suite) -> None:
    """Results that could not be written are written once there is space again."""
    room = (
        'elif nodeid.endswith("test_c"): resource.setrlimit(resource.RLIMIT_FSIZE, '
        "(resource.RLIM_INFINITY,) * 2)"
    )
    suite.write({"conftest.py": f"{FULL}    {room}"})
    assert run(suite, "pass").status == 0
    assert suite.books == PASSED
    actions = [entry["action"] for entry in suite.log()]
    assert actions.count("ValidationResult") == 3


@pytest.mark.parametrize("name", ["verdict", "plan", "finish", "gate"])
def test_error_of_the_plugin_ends_no_run(suite: Suite, name: str) -> None:
    """An exception in the plugin itself ends no run, and the exit status is not 0."""
    suite.write({"conftest.py": MISTAKE.format(module="tracking.run_writer", name=f"RunWriter.{name}")})
    result = run(suite, "pass")
    assert result.status == 1
    assert "3 passed" in result.output
    assert "ZeroDivisionError" in result.output


@pytest.mark.parametrize("name", ["write", "header"])
def test_error_of_the_plugin_in_the_summary_is_reported(suite: Suite, name: str) -> None:
    """An exception in the summary is reported in short, and the exit status is not 0."""
    suite.write({"conftest.py": MISTAKE.format(module="reports.pytest_summary", name=name)})
    result = run(suite, "pass")
    assert result.status == 1
    assert "ZeroDivisionError" in result.output
    assert suite.books == PASSED


MISTAKE = """
from pytest_migration_state.{module} import *
import pytest_migration_state.{module} as module
def mistake(*args, **kwargs): return 1 / 0
module.{name} = mistake
"""


def test_equal_plans_are_recorded_once(suite: Suite) -> None:
    """Workers that collected the same tests, with the same errors, leave one entry in the log."""
    suite.write({"test_it.py": "@component\ndef test_a(): pass", "test_broken.py": "import no_such_module"})
    result = suite.run("--continue-on-collection-errors", how=XDIST)
    assert result.status == 1
    assert suite.books == {"::test_a": "passed", "test_broken.py": "collection_error"}
    assert [entry["action"] for entry in suite.log()].count("ValidationPlanned") == 1


def test_unrecorded_plan_is_read_again(suite: Suite) -> None:
    """A plan whose recording failed is read again from the next worker, although it is equal."""
    suite.write({"conftest.py": ONE_MISTAKE})
    result = run(suite, "pass", XDIST, "--migration-complete")
    assert result.status == 1
    assert "problem: ZeroDivisionError: once" in result.output
    assert [entry["action"] for entry in suite.log()].count("ValidationPlanned") == 1
    assert suite.can_be_completed()


ONE_MISTAKE = """
from pytest_migration_state.tracking.run_writer import RunWriter
plan, calls = RunWriter.plan, []
def fail_once(*args, **kwargs):
    calls.append(args)
    if len(calls) == 1: raise ZeroDivisionError("once")
    return plan(*args, **kwargs)
RunWriter.plan = fail_once
"""


def test_worker_without_a_plan_is_reported(suite: Suite) -> None:
    """A worker whose plan does not arrive is reported. A test that crashes it fails under (unknown)."""
    suite.write(
        {
            "conftest.py": (
                "def pytest_configure(config):\n"
                "    if hasattr(config, 'workerinput'): "
                "config.workerinput['migration_state']['plans'] = '/nowhere'"
            )
        }
    )
    result = run(suite, "os._exit(1)", XDIST)
    assert result.status == 1
    assert "problem: the plan of worker gw0 could not be read" in result.output
    assert suite.books == {"(unknown): test_it.py::test_b": "failed"}


@pytest.mark.parametrize(
    ("workers", "ending", "expected"),
    [
        pytest.param(
            "gw1",
            "assert worker != 'gw1'",
            {"::test_a": "passed", "::test_b": "failed", "::test_c": "passed"},
            id="fails there",
        ),
        pytest.param(
            "gw0",
            "assert worker != 'gw0'",
            {"::test_a": "passed", "::test_b": "failed", "::test_c": "passed"},
            id="fails there, the first",
            marks=pytest.mark.deep,
        ),
        pytest.param(
            "gw0 gw1 gw2",
            "worker == 'gw1' and os._exit(1)",
            {"(unknown): test_it.py::test_b": "failed"},
            id="crashes",
        ),
    ],
)
def test_reports_count_without_a_plan(
    suite: Suite, workers: str, ending: str, expected: dict[str, str]
) -> None:
    """With --dist=each a worker's reports count, whether or not its plan arrived.

    No success of another worker hides a failure.
    """
    suite.write(
        {
            "conftest.py": f"""
                def pytest_configure(config):
                    if os.environ.get("PYTEST_XDIST_WORKER", "-") in "{workers}":
                        config.workerinput["migration_state"]["plans"] = "/nowhere"
            """,
            "test_it.py": SUITE.format(meddle=ending) + '\nworker = os.environ.get("PYTEST_XDIST_WORKER")\n',
        }
    )
    result = suite.run("--dist=each", "--tx", "2*popen")
    assert result.status == 1
    assert "could not be read" in result.output
    assert suite.books == expected
    assert not suite.can_be_completed()


def test_notices_of_workers_are_printed_once(suite: Suite) -> None:
    """A notice of the fixture's tracker on a worker is printed once, in the summary."""
    suite.write(
        "import pathlib\n@component\ndef test(migration_state):\n"
        "    pathlib.Path('migration-audit.log').unlink()\n"
        "    migration_state.add_native_process('p')"
    )
    result = suite.run("-W", "error", how=XDIST)
    assert "note: " in result.output
    assert [process.name for process in MigrationTracker(suite.path).state.native_processes_started] == ["p"]


@pytest.mark.skipif(sys.platform == "win32", reason="pytest-timeout has no signals there")
def test_a_locked_state_delays_no_test(suite: Suite) -> None:
    """Only the end of the run waits for the lock. No verdict is lost, and no test exceeds its time."""
    suite.write(
        """
        import threading
        from pathlib import Path
        from filelock import FileLock

        def hold(locked):
            with FileLock("migration-state.json.lock"):
                locked.set()
                time.sleep(2)

        @component
        def test_a():
            locked = threading.Event()
            threading.Thread(target=hold, args=[locked]).start()
            locked.wait()
        @component
        def test_b(): pass
        """
    )
    result = suite.run("-p", "timeout", "--timeout=1", "--timeout-method=signal")
    assert suite.books == {"::test_a": "passed", "::test_b": "passed"}
    assert result.status == 0
    assert "waiting for the lock, which " in result.output
